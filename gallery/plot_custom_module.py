"""
How do I use a module or loss of my own?
========================================

Put it in a file beside the config, register its class, and name the file in ``custom_imports``.
Here RetinaNet learns its boxes by a loss that MMDetection does not have.
"""

# %%
# .. index:: ! custom_imports, ! register_module, ! registry, ! loss; of your own
#
# .. snippet:: retinanet_r50_fpn_log_cosh_1x_coco.py
#
# .. train:: retinanet_r50_fpn_log_cosh_1x_coco.py
#
# .. snippet:: log_cosh_loss.py

# %%
# Adapt it
# --------

# %%
# Another kind of module
# ~~~~~~~~~~~~~~~~~~~~~~
# Register it in the place of its kind, derive it from the class that others of its kind are derived
# from, and give the config its name as ``type``.
# {% if mmdet2 %}
import importlib

# {% endif %}
import math
import re

from howto import Workspace
from howto.checkout.family import api
from howto.figures.show import Table

checkout = Workspace("custom_module")
config = "retinanet_r50_fpn_log_cosh_1x_coco.py"
cfg = checkout.config(config)

# %%
# {% if mmdet2 %}
kinds = {
    "backbone, neck, head, loss": ("mmdet.models", "LOSSES", "L1Loss"),
    "step of a pipeline": ("mmdet.datasets", "PIPELINES", "Resize"),
    "dataset": ("mmdet.datasets", "DATASETS", "CocoDataset"),
    "hook": ("mmcv.runner", "HOOKS", "EMAHook"),
    "optimizer": ("mmcv.runner", "OPTIMIZERS", "SGD"),
}
# {% else %}
kinds = {
    "backbone, neck, head, loss": ("MODELS", "L1Loss"),
    "step of a pipeline": ("TRANSFORMS", "Resize"),
    "dataset": ("DATASETS", "CocoDataset"),
    "metric": ("METRICS", "CocoMetric"),
    "hook": ("HOOKS", "EMAHook"),
    "optimizer": ("OPTIMIZERS", "SGD"),
}

# %%
import mmdet.registry

# {% endif %}
rows = []
# {% if mmdet2 %}
for kind, (package, registry, standard) in kinds.items():
    found = getattr(importlib.import_module(package), registry).get(standard)
    base = found.__mro__[1].__name__
    rows.append((kind, f"from {package} import {registry}", f"{standard} ({base})"))
# {% else %}
with checkout.inside():
    for kind, (registry, standard) in kinds.items():
        found = getattr(mmdet.registry, registry).get(standard)
        base = found.__mro__[1].__name__
        where = f"from mmdet.registry import {registry}"
        rows.append((kind, where, f"{standard} ({base})"))
# {% endif %}
Table(("A", "is registered in", "One that is there, and its base class"), rows)

# %%
# From a package of your own
# ~~~~~~~~~~~~~~~~~~~~~~~~~~
# A file below ``configs/`` needs the repository's root on the module path. A package that is installed,
# or lies in a folder on ``PYTHONPATH``, is found from everywhere, and the config names that:
package = checkout.root / "elsewhere" / "my_detection"
package.mkdir(parents=True)
(package / "__init__.py").touch()
loss = checkout.root / "configs/custom_module/log_cosh_loss.py"
(package / "losses.py").write_text(loss.read_text("utf-8"))
mine = {"configs.custom_module.log_cosh_loss'": "my_detection.losses'"}
packaged = checkout.edit(config, mine, adapts=True)
train = "tools/train.py configs/custom_module"
variables = "PYTHONPATH=elsewhere"
# {% if mmdet2 %}
checkout.shell(f"{variables} python {train}/{packaged} --no-validate {{fit}}")
# {% else %}
checkout.shell(f"{variables} python {train}/{packaged} {{fit}}")
# {% endif %}
saved = f"work_dirs/{packaged.removesuffix('.py')}/epoch_1.pth"
checkout.check("It trained", (checkout.root / saved).exists(), True)

# %%
# {% if mmdet2 %}
# By a script of your own
# ~~~~~~~~~~~~~~~~~~~~~~~
# A config that names nothing will do if the script has imported the module. This one hands over to
# ``tools/train.py``, and lies in the repository's root, where Python looks first:
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
# {% else %}
# In pure Python
# ~~~~~~~~~~~~~~
# A config that is Python throughout takes the class itself, and needs no name and no
# ``custom_imports``. Import it outside of ``read_base``, which reads files as configs:
pure = """from configs.custom_module.log_cosh_loss import LogCoshLoss
from mmengine.config import read_base

with read_base():
    from .._base_.datasets.coco_detection import *
    from .._base_.default_runtime import *
    from .._base_.models.retinanet_r50_fpn import *
    from .._base_.schedules.schedule_1x import *

model.bbox_head.update(loss_bbox=dict(type=LogCoshLoss, loss_weight=1.0))
optim_wrapper.optimizer.update(lr=0.01)
"""
(checkout.root / "configs/custom_module/pure.py").write_text(pure)
same = checkout.build(checkout.config("pure.py")).bbox_head.loss_bbox
checkout.check("Its loss", type(same).__name__, "LogCoshLoss")
# {% endif %}

# %%
# Your log should say
# -------------------
# The log lists the config and no more; ``loss_bbox`` is what the loss returned. Its values are smaller
# than those of L1 on the same boxes, so compare it with itself alone.
from howto.checkout import fit

run = checkout.train(config, evaluate=False, warmed_up=True, **fit.RESNET18)
print(*run.logged(api().TRAINED), sep="\n")
kind = type(run.model.bbox_head.loss_bbox).__name__
checkout.check("The loss that trained", kind, "LogCoshLoss")

# %%
# Why one would want it: near 0 its gradient falls, so that it settles, and far out it stays below 1, so
# that no outlier rules. ``SmoothL1Loss`` has a corner where the two meet.
import matplotlib.pyplot as plt
import torch
from howto.figures.losses import draw

# {% if mmdet2 %}
from mmdet.models import build_loss

# {% else %}
from mmdet.registry import MODELS
# {% endif %}

# {% if mmdet2 %}
with checkout.inside(cfg):
    losses = {
        "L1Loss": build_loss(dict(type="L1Loss")),
        "SmoothL1Loss": build_loss(dict(type="SmoothL1Loss")),
        "LogCoshLoss": build_loss(cfg.model.bbox_head.loss_bbox),
    }
# {% else %}
with checkout.inside(cfg):
    losses = {
        "L1Loss": MODELS.build(dict(type="L1Loss")),
        "SmoothL1Loss": MODELS.build(dict(type="SmoothL1Loss")),
        "LogCoshLoss": MODELS.build(cfg.model.bbox_head.loss_bbox),
    }
# {% endif %}

# %%
figure, axes = plt.subplots(1, 2, figsize=(8, 2.6))
draw(axes, losses)
axes[0].set_title("Loss")
axes[1].set_title("Its gradient")

# %%
# Pitfalls
# --------

# %%
# {% if mmdet2 %}
# ``LogCoshLoss is not in the models registry``: nothing imports the file
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# A class is registered when its file is imported, and Python imports no file by itself:
# {% else %}
# ``LogCoshLoss is not in the mmdet::model registry``: nothing imports the file
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# A class is registered when its file is imported, and Python imports no file by itself:
line = "custom_imports = dict(imports=['configs.custom_module.log_cosh_loss'])\n"
unnamed = checkout.edit(config, {line: ""})
# {% endif %}
failure = checkout.fails(checkout.train, unnamed)
# {% if mmdet2 %}
reason = "LogCoshLoss is not in the models registry"
# {% else %}
reason = "LogCoshLoss is not in the mmdet::model registry"
# {% endif %}
checkout.check(f"It says: {reason}", reason in failure.message, True)


# %%
# {% if mmdet2 %}
# ``ImportError``, and ``No module named 'configs'`` above it: Python does not look here
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The last line does not mention it; the cause stands further up. ``tools/train.py`` makes Python look
# in ``tools/``. Put ``PYTHONPATH=.`` in front, as the commands above do, and start it in the repository's
# root.
# {% else %}
# ``ImportError: Failed to import custom modules``: Python does not look here
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The first error has the reason. ``tools/train.py`` makes Python look in ``tools/``. Put ``PYTHONPATH=.``
# in front, and start it in the repository's root; ``tools/dist_train.sh`` does so by itself.
# {% endif %}
def errors(command):
    """The errors in what a command that fails has printed."""
    printed = checkout.shell(command, succeeds=False).splitlines()
    return [line for line in printed if re.match(r"\w*Error\b", line)]


said = errors(f"python {train}/{config}")
print(*said, sep="\n")
# {% if mmdet2 %}
reasons = ["ModuleNotFoundError: No module named 'configs'", "ImportError"]
checkout.check("It says", said, reasons)
# {% else %}
reason = "ModuleNotFoundError: No module named 'configs'"
checkout.check("It says first", said[0], reason)
failed = "ImportError: Failed to import custom modules"
checkout.check(f"And last: {failed}", said[-1].startswith(failed), True)
# {% endif %}

# %%
# What ``custom_imports`` names is a module: dots for slashes, and no ``.py``. People say that a
# hyphen in it is wrong. An ``import`` statement could not have one, but ``custom_imports`` is a string.
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
# {% if mmdet2 %}
# ``'L1Loss is already registered in models'``: the name is taken
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# A registry takes each name once. The error comes with a name that MMDetection has, and with a file that
# is imported under two module names.
# {% else %}
# ``L1Loss is already registered in model``: the name is taken
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# A registry takes each name once. The error comes with a name that MMDetection has, and with a file that
# is imported under two module names.
# {% endif %}
taken = checkout.edit("log_cosh_loss.py", {"class LogCoshLoss(": "class L1Loss("})
imports = dict(custom_imports__imports=[f"configs.custom_module.{taken[:-3]}"])
failure = checkout.fails(checkout.train, config, **imports)
# {% if mmdet2 %}
reason = "'L1Loss is already registered in models'"
# {% else %}
reason = "L1Loss is already registered in model"
# {% endif %}
checkout.check(f"It says: {reason}", reason in failure.message, True)

# %%
# Boxes are hardly learnt: the loss leaves ``avg_factor`` out, or ``weight``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# A head hands the loss all anchors of a batch, and ``avg_factor``, the number of those that have an
# object. Without it the sum is divided by the number of all. Both were tried on one image: the gradient
# of the last layer for boxes.
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
# ``weight`` is 0 for anchors without an object. Without it they all learn that their box is right:
everywhere = wrong("pred, target, weight, reduction", "pred, target, reduction")
apart = float((everywhere - right).norm() / right.norm())
print(f"difference of the gradients, of the right one: {apart:.3f}")
checkout.check("It is more than a tenth", apart > 0.1, True)

# %%
# ``got an unexpected keyword argument 'alpha'``: a key of the old loss is left
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# A config merges with its base. RetinaNet's ``loss_bbox`` has no key of its own; Libra R-CNN's has
# ``alpha``, ``gamma`` and ``beta``, and the new loss gets them. ``_delete_`` replaces the whole:
# {% if mmdet2 %}
retinanet, libra = "retinanet/retinanet_r50", "libra_rcnn/libra_retinanet_r50"
# {% else %}
retinanet, libra = "retinanet/retinanet_r50", "libra_rcnn/libra-retinanet_r50"
# {% endif %}
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
# In double precision, against the logarithm of the hyperbolic cosine; its gradient is the hyperbolic
# tangent.
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
# On random boxes, half of them with weight 0, against the formula:
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
# {% if mmdet2 %}
with checkout.inside(cfg):
    once = build_loss(dict(type="LogCoshLoss"))
    double = build_loss(dict(type="LogCoshLoss", loss_weight=2.0))
# {% else %}
with checkout.inside(cfg):
    once = MODELS.build(dict(type="LogCoshLoss"))
    double = MODELS.build(dict(type="LogCoshLoss", loss_weight=2.0))
# {% endif %}
ratio = float(double(pred, target) / once(pred, target))
checkout.check("loss_weight=2.0 makes it larger by", round(ratio, 6), 2.0)
checkout.check("Without one it is", once.loss_weight, 1.0)

# %%
# It is the one change, and the box branch learns by it
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# All else is the standard RetinaNet's:
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
# Two processes average their gradients, started by the command that you would use:
printed = checkout.launch(config, iterations=2, **fit.RESNET18)
checkout.check("Two processes trained", api().FIRST_EPOCH in printed, True)
checkout.check("Parameters without a gradient", checkout.unused_parameters(cfg), [])

# %%
# What was not tried
# ~~~~~~~~~~~~~~~~~~
# - Accuracy: whether this loss is better than L1 takes COCO, real weights and twelve epochs to say. It is
#   here as an example.
# - An installed package: a folder on ``PYTHONPATH`` stands for it.
# - Detectors that learn decoded boxes, as those with an IoU loss do.
