"""
How do I use a module or loss of my own?
========================================

Put it in a file beside the config, register its class, and name the file in ``custom_imports``.
Here RetinaNet learns its boxes by a loss that MMDetection does not have.
"""

# %%
# .. index:: ! custom_imports, ! register_module, ! registry, ! loss; of your own
#
# .. snippet:: custom_module/retinanet_r50_fpn_log_cosh_1x_coco.py
#
# .. train:: custom_module/retinanet_r50_fpn_log_cosh_1x_coco.py
#
# .. snippet:: custom_module/log_cosh_loss.py

# %%
# Adapt it
# --------

# %%
# Another kind of module
# ~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/custom_module_registries.rst
import importlib
import math
import re

from howto import Workspace
from howto.figures.show import Table

checkout = Workspace("custom_module")
config = "retinanet_r50_fpn_log_cosh_1x_coco.py"
cfg = checkout.config(config)

# %%
kinds = {
    "backbone, neck, head, loss": ("mmdet.models", "LOSSES", "L1Loss"),
    "step of a pipeline": ("mmdet.datasets", "PIPELINES", "Resize"),
    "dataset": ("mmdet.datasets", "DATASETS", "CocoDataset"),
    "hook": ("mmcv.runner", "HOOKS", "EMAHook"),
    "optimizer": ("mmcv.runner", "OPTIMIZERS", "SGD"),
}
rows = []
for kind, (package, registry, standard) in kinds.items():
    found = getattr(importlib.import_module(package), registry).get(standard)
    base = found.__mro__[1].__name__
    rows.append((kind, f"from {package} import {registry}", f"{standard} ({base})"))
Table(("A", "is registered in", "One that is there, and its base class"), rows)

# %%
# From a package of your own
# ~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/custom_module_package.rst
package = checkout.root / "elsewhere" / "my_detection"
package.mkdir(parents=True)
(package / "__init__.py").touch()
loss = checkout.root / "configs/custom_module/log_cosh_loss.py"
(package / "losses.py").write_text(loss.read_text("utf-8"))
mine = {"configs.custom_module.log_cosh_loss'": "my_detection.losses'"}
packaged = checkout.edit(config, mine, adapts=True)
train = "tools/train.py configs/custom_module"
variables = "PYTHONPATH=elsewhere"
checkout.shell(f"{variables} python {train}/{packaged} --no-validate {{fit}}")
saved = f"work_dirs/{packaged.removesuffix('.py')}/epoch_1.pth"
checkout.check("It trained", (checkout.root / saved).exists(), True)

# %%
# By a script of your own
# ~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/custom_module_script.rst
script = """import runpy

import configs.custom_module.log_cosh_loss

runpy.run_path('tools/train.py', run_name='__main__')
"""
(checkout.root / "train.py").write_text(script)
line = "custom_imports = dict(imports=['configs.custom_module.log_cosh_loss'])\n"
unnamed = checkout.edit(config, {line: ""}, adapts=True)
path = f"configs/custom_module/{unnamed}"
checkout.shell(f"python train.py {path} --no-validate {{fit}}")
saved = f"work_dirs/{unnamed.removesuffix('.py')}/epoch_1.pth"
checkout.check("It trained", (checkout.root / saved).exists(), True)

# %%
# Your log should say
# -------------------
# .. include:: ../../gallery/words/custom_module_log.rst
from howto.checkout import fit

run = checkout.train(config, evaluate=False, warmed_up=True, **fit.RESNET18)
print(*run.logged("Epoch ["), sep="\n")
kind = type(run.model.bbox_head.loss_bbox).__name__
checkout.check("The loss that trained", kind, "LogCoshLoss")

# %%
# .. include:: ../../gallery/words/custom_module_drawn.rst
import matplotlib.pyplot as plt
import torch
from howto.figures.losses import draw
from mmdet.models import build_loss

with checkout.inside(cfg):
    losses = {
        "L1Loss": build_loss(dict(type="L1Loss")),
        "SmoothL1Loss": build_loss(dict(type="SmoothL1Loss")),
        "LogCoshLoss": build_loss(cfg.model.bbox_head.loss_bbox),
    }

# %%
figure, axes = plt.subplots(1, 2, figsize=(8, 2.6))
draw(axes, losses)
axes[0].set_title("Loss")
axes[1].set_title("Its gradient")

# %%
# Pitfalls
# --------

# %%
# ``LogCoshLoss is not in the models registry``: nothing imports the file
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/custom_module_registry.rst
failure = checkout.fails(checkout.train, unnamed)
reason = "LogCoshLoss is not in the models registry"
checkout.check(f"It says: {reason}", reason in failure.message, True)


# %%
# ``ImportError``, and ``No module named 'configs'`` above it: Python does not look here
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/custom_module_path2.rst
def errors(command):
    """The errors in what a command that fails has printed."""
    printed = checkout.shell(command, succeeds=False).splitlines()
    return [line for line in printed if re.match(r"\w*Error\b", line)]


said = errors(f"python {train}/{config}")
print(*said, sep="\n")
reasons = ["ModuleNotFoundError: No module named 'configs'", "ImportError"]
checkout.check("It says", said, reasons)

# %%
# .. include:: ../../gallery/words/custom_module_suffix.rst
suffix = checkout.edit(config, {"log_cosh_loss']": "log_cosh_loss.py']"})
said = errors(f"PYTHONPATH=. python {train}/{suffix}")
print(*said, sep="\n")
reason = "No module named 'configs.custom_module.log_cosh_loss.py'"
checkout.check(f"It says: {reason}", reason in said[0], True)

# %%
hyphens = loss.with_name("log-cosh-loss.py")
hyphens.write_text(loss.read_text("utf-8"))
named = checkout.edit(config, {"log_cosh_loss']": "log-cosh-loss']"}, adapts=True)
built = checkout.build(checkout.config(named)).bbox_head.loss_bbox
checkout.check("Hyphens do not matter", type(built).__name__, "LogCoshLoss")

# %%
# ``'L1Loss is already registered in models'``: the name is taken
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/custom_module_taken.rst
taken = checkout.edit("log_cosh_loss.py", {"class LogCoshLoss(": "class L1Loss("})
imports = dict(custom_imports__imports=[f"configs.custom_module.{taken[:-3]}"])
failure = checkout.fails(checkout.train, config, **imports)
reason = "'L1Loss is already registered in models'"
checkout.check(f"It says: {reason}", reason in failure.message, True)

# %%
# Boxes are hardly learnt: the loss leaves ``avg_factor`` out, or ``weight``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/custom_module_average.rst
from howto.figures import gradients

small = dict(fit.RESNET18)
right = gradients.of(checkout, config, "bbox_head.retina_reg.weight", **small)


def wrong(old, new):
    """The gradient that a variant of the loss gives to the last layer for boxes."""
    variant = checkout.edit("log_cosh_loss.py", {old: new})
    small["custom_imports__imports"] = [f"configs.custom_module.{variant[:-3]}"]
    return gradients.of(checkout, config, "bbox_head.retina_reg.weight", **small)


# %%
mean = wrong("reduction=reduction, avg_factor=avg_factor)", "reduction=reduction)")
share = float(mean.norm() / right.norm())
print(f"gradient, of the right one: {share:.4f}")
checkout.check("It is less than a twentieth", share, at_most=0.05)

# %%
# .. include:: ../../gallery/words/custom_module_weight.rst
everywhere = wrong("pred, target, weight, reduction", "pred, target, reduction")
apart = float((everywhere - right).norm() / right.norm())
print(f"difference of the gradients, of the right one: {apart:.3f}")
checkout.check("It is more than a tenth", apart > 0.1, True)

# %%
# ``got an unexpected keyword argument 'alpha'``: a key of the old loss is left
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/custom_module_keys.rst
retinanet, libra = "retinanet/retinanet_r50", "libra_rcnn/libra_retinanet_r50"
merged = checkout.edit(config, {retinanet: libra}, adapts=True)
failure = checkout.fails(checkout.build, checkout.config(merged))
reason = "got an unexpected keyword argument 'alpha'"
checkout.check(f"It says: {reason}", reason in failure.message, True)

# %%
whole = {"dict(type='Log": "dict(_delete_=True, type='Log"}
replaced = checkout.edit(config, {retinanet: libra, **whole}, adapts=True)
built = checkout.build(checkout.config(replaced)).bbox_head.loss_bbox
checkout.check("Its loss", type(built).__name__, "LogCoshLoss")

# %%
# Proof
# -----

# %%
# Its values are those of the formula
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/custom_module_formula.rst
module = losses["LogCoshLoss"]
x = torch.linspace(-5, 5, 101, dtype=torch.float64).requires_grad_()
each = module(x, torch.zeros_like(x), reduction_override="none")
far = (each - torch.log(torch.cosh(x))).abs().max()
checkout.check("Largest error", float(far), at_most=1e-9)
(slope,) = torch.autograd.grad(each.sum(), x)
checkout.check("Of the gradient", float((slope - x.tanh()).abs().max()), at_most=1e-9)

# %%
# In single precision the plain formula overflows, and this one does not.
large = torch.tensor([100.0])
checkout.check("log(cosh(100))", float(torch.log(torch.cosh(large))), float("inf"))
off = float(module(large, torch.zeros(1)) - (100 - math.log(2)))
checkout.check("Its error there", abs(off), at_most=1e-4)

# %%
# It takes weights and averages as MMDetection's own losses do
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/custom_module_average_right.rst
torch.manual_seed(0)
pred, target = torch.randn(50, 4), torch.randn(50, 4)
weight = (torch.rand(50, 1) > 0.5).float().expand(50, 4)
apart = torch.log(torch.cosh(pred - target))
calls = {
    "all four at once": (
        dict(weight=weight, avg_factor=7.0),
        (apart * weight).sum() / 7,
    ),
    "no average": (dict(weight=weight), (apart * weight).mean()),
    "the sum": (dict(reduction_override="sum"), apart.sum()),
}
for name, (keys, expected) in calls.items():
    ratio = float(module(pred, target, **keys) / expected)
    checkout.check(f"Error, {name}", abs(ratio - 1), at_most=1e-5)

# %%
with checkout.inside(cfg):
    once = build_loss(dict(type="LogCoshLoss"))
    double = build_loss(dict(type="LogCoshLoss", loss_weight=2.0))
ratio = float(double(pred, target) / once(pred, target))
checkout.check("loss_weight=2.0 makes it larger by", round(ratio, 6), 2.0)
checkout.check("Without one it is", once.loss_weight, 1.0)

# %%
# It is the one change, and the box branch learns by it
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/custom_module_trains.rst
stock = checkout.config("retinanet/retinanet_r50_fpn_1x_coco.py")
changed = {key for key in cfg.model if cfg.model[key] != stock.model.get(key)}
checkout.check("Parts of the model that differ", changed, {"bbox_head"})
mine, theirs = cfg.model.bbox_head, stock.model.bbox_head
keys = [key for key in mine if mine[key] != theirs[key]]
checkout.check("Keys of the head that differ", keys, ["loss_bbox"])
checkout.check("Its weight", mine.loss_bbox.loss_weight, theirs.loss_bbox.loss_weight)
checkout.check("The head trains", run.trains("bbox_head"), [True])

# %%
# It trains on several GPUs
# ~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/custom_classes_gpus.rst
printed = checkout.launch(config, iterations=2, **fit.RESNET18)
checkout.check("Two processes trained", "Epoch [1]" in printed, True)
checkout.check("Parameters without a gradient", checkout.unused_parameters(cfg), [])

# %%
# What was not tried
# ~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/custom_module_not_tried.rst
