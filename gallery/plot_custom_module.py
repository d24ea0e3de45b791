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
# Register it in the registry of its kind, derive it from the class that others of its kind are derived
# from, and give the config its name as ``type``.
import importlib
import math
import re

from howto import Workspace
from howto.checkout.family import api
from howto.figures.show import Table

checkout = Workspace("custom_module")
checkout.ask_python()
cfg = checkout.config()

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
    "backbone, neck, head, loss": ("mmdet.registry", "MODELS", "L1Loss"),
    "step of a pipeline": ("mmdet.registry", "TRANSFORMS", "Resize"),
    "dataset": ("mmdet.registry", "DATASETS", "CocoDataset"),
    "metric": ("mmdet.registry", "METRICS", "CocoMetric"),
    "hook": ("mmdet.registry", "HOOKS", "EMAHook"),
    "optimizer": ("mmdet.registry", "OPTIMIZERS", "SGD"),
}
# {% endif %}
rows = []
with checkout.inside():
    for kind, (package, registry, standard) in kinds.items():
        found = getattr(importlib.import_module(package), registry).get(standard)
        one = f"{standard} ({found.__mro__[1].__name__})"
        rows.append((kind, f"from {package} import {registry}", one))
Table(("A", "is registered in", "One that is there, and its base class"), rows)

# %%
# From a package of your own
# ~~~~~~~~~~~~~~~~~~~~~~~~~~
# Name its module in the config. A package that is installed, or in a folder on ``PYTHONPATH``, is found
# from everywhere; a file below ``configs/`` needs the repository's root on the module path.
package = checkout.root / "elsewhere" / "my_detection"
package.mkdir(parents=True)
(package / "__init__.py").touch()
loss = checkout.root / "configs/custom_module/log_cosh_loss.py"
(package / "losses.py").write_text(loss.read_text("utf-8"))
mine = {"configs.custom_module.log_cosh_loss'": "my_detection.losses'"}
packaged = checkout.edit(checkout.own, mine, adapts=True)
train = "python tools/train.py configs/custom_module"
checkout.shell(f"PYTHONPATH=elsewhere {train}/{packaged} {{fit}}")
saved = f"work_dirs/{packaged.removesuffix('.py')}/epoch_1.pth"
checkout.check("It trained", (checkout.root / saved).exists(), True)

# %%
# By a script of your own
# ~~~~~~~~~~~~~~~~~~~~~~~
# Import the module in the script, and the config need not name it. This one starts ``tools/train.py``,
# and lies in the repository's root, where Python looks first:
script = """import runpy

import configs.custom_module.log_cosh_loss

runpy.run_path('tools/train.py', run_name='__main__')
"""
(checkout.root / "train.py").write_text(script, "utf-8")
line = "custom_imports = dict(imports=['configs.custom_module.log_cosh_loss'])\n"
unnamed = checkout.edit(checkout.own, {line: ""}, adapts=True)
checkout.shell(f"python train.py configs/custom_module/{unnamed} {{fit}}")
saved = f"work_dirs/{unnamed.removesuffix('.py')}/epoch_1.pth"
checkout.check("It trained", (checkout.root / saved).exists(), True)

# %%
# {% if mmdet3 %}
# In pure Python
# ~~~~~~~~~~~~~~
# A config in pure Python takes the class itself, without ``custom_imports``. Import it outside of
# ``read_base``, which reads files as configs:
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
(checkout.root / "configs/custom_module/pure.py").write_text(pure, "utf-8")
same = checkout.build(checkout.config("pure.py")).bbox_head.loss_bbox
checkout.check("Its loss", type(same).__name__, "LogCoshLoss")

# %%
# {% endif %}
# Your log should say
# -------------------
# The log names the loss in the config only; ``loss_bbox`` is what it returned. Its values are smaller than
# those of L1 on the same boxes, so compare them with each other only.
from howto.checkout import fit

run = checkout.train(evaluate=False, warmed_up=True, **fit.RESNET18)
print(*run.logged(api().TRAINED), sep="\n")
kind = type(run.model.bbox_head.loss_bbox).__name__
checkout.check("The loss that trained", kind, "LogCoshLoss")

# %%
# Near 0 its gradient falls, so that it settles, and far out it stays below 1, so that no outlier
# dominates. ``SmoothL1Loss`` has a corner where the two meet.
import matplotlib.pyplot as plt
import torch
from howto.figures.losses import draw

own = cfg.model.bbox_head.loss_bbox
with checkout.inside(cfg):
    losses = {
        keys["type"]: api().part(keys)
        for keys in (dict(type="L1Loss"), dict(type="SmoothL1Loss"), own)
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
# {% if mmdet2 %}
# ``LogCoshLoss is not in the models registry``: nothing imports the file
# {% else %}
# ``LogCoshLoss is not in the mmdet::model registry``: nothing imports the file
# {% endif %}
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Name it in ``custom_imports``. A class is registered when its file is imported, and Python imports no
# file by itself:
failure = checkout.fails(checkout.train, checkout.edit(checkout.own, {line: ""}))
said = r"LogCoshLoss is not in the (models|mmdet::model) registry"
unregistered = re.search(said, failure.message)[0]
checkout.check(f"It says: {unregistered}", unregistered in failure.message, True)


# %%
# ``ImportError``, and ``No module named 'configs'`` above it: Python does not look here
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Put ``PYTHONPATH=.`` in front, as the commands above do, and start the command in the repository's root.
# ``tools/train.py`` makes Python look in ``tools/``. The reason is in the first error, not in the last line.
# {% if mmdet3 %}
# The last line says ``ImportError: Failed to import custom modules``. ``tools/dist_train.sh`` sets the path.
# {% endif %}
def errors(command):
    """The errors in what a command that fails has printed."""
    printed = checkout.shell(command, succeeds=False).splitlines()
    return [line for line in printed if re.match(r"\w*Error\b", line)]


said = errors(f"{train}/{checkout.own}")
print(*said, sep="\n")
first = "ModuleNotFoundError: No module named 'configs'"
checkout.check("It says first", said[0], first)
last = said[-1].partition(": Failed to import custom modules")[0]
checkout.check("And last", last, "ImportError")

# %%
# Write dots for slashes, and no ``.py``: ``custom_imports`` names a module. People say that it must have no
# hyphen. That is true of an ``import`` statement, but ``custom_imports`` is a string.
suffix = checkout.edit(checkout.own, {"log_cosh_loss']": "log_cosh_loss.py']"})
said = errors(f"PYTHONPATH=. {train}/{suffix}")
print(*said, sep="\n")
reason = "No module named 'configs.custom_module.log_cosh_loss.py'"
checkout.check(f"It says: {reason}", reason in said[0], True)

# %%
hyphens = loss.with_name("log-cosh-loss.py")
hyphens.write_text(loss.read_text("utf-8"), "utf-8")
names = {"log_cosh_loss']": "log-cosh-loss']"}
hyphens = checkout.config(checkout.edit(checkout.own, names, adapts=True))
built = checkout.build(hyphens).bbox_head.loss_bbox
checkout.check("Hyphens do not matter", type(built).__name__, "LogCoshLoss")

# %%
# A class of the base is not in the registry: the base has ``custom_imports``, too
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Name the modules of the base as well as yours: a list in a config replaces that of its base. Here the base
# is this page's config:
(checkout.root / "configs/custom_module/mine.py").write_text("# yours\n", "utf-8")
inherits = {"../retinanet/retinanet_r50_fpn_1x_coco.py": checkout.own}
alone = {**inherits, "custom_module.log_cosh_loss'": "custom_module.mine'"}
failure = checkout.fails(checkout.train, checkout.edit(checkout.own, alone))
said = unregistered in failure.message
checkout.check(f"It says so, too: {unregistered}", said, True)

# %%
both = {**inherits, "log_cosh_loss']": "log_cosh_loss', 'configs.custom_module.mine']"}
both = checkout.config(checkout.edit(checkout.own, both, adapts=True))
built = checkout.build(both).bbox_head.loss_bbox
checkout.check("With both its loss is", type(built).__name__, "LogCoshLoss")

# %%
# {% if mmdet2 %}
# ``MaskRCNN: 'NoneType' object has no attribute 'parent'``: the base imports ``mmcls.models``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Name ``mmcls.models`` as well as your module. ConvNeXt's config imports it for its backbone:
(mask_rcnn,) = checkout.root.glob("configs/convnext/mask_rcnn*.py")
convnext = {
    "retinanet/retinanet_r50_fpn_1x_coco": f"convnext/{mask_rcnn.stem}",
    "bbox_head=dict(loss": "roi_head=dict(bbox_head=dict(loss",
    "1.0)))": "1.0))))",
}
said = errors(f"PYTHONPATH=. {train}/{checkout.edit(checkout.own, convnext)}")
no_parent = "AttributeError: MaskRCNN: 'NoneType' object has no attribute 'parent'"
checkout.check("It says", said[-1], no_parent)

# %%
convnext["imports=["] = "imports=['mmcls.models', "
both = checkout.edit(checkout.own, convnext, adapts=True)
both = checkout.config(both, model__backbone__init_cfg=None)
built = checkout.build(both).roi_head.bbox_head.loss_bbox
checkout.check("With both its loss is", type(built).__name__, "LogCoshLoss")

# %%
# {% endif %}
# ``L1Loss is already registered in``: the name is taken
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Choose another name. A registry takes each name once: not one that MMDetection has, and not twice from a
# file that is imported under two module names.
taken = checkout.edit("log_cosh_loss.py", {"class LogCoshLoss(": "class L1Loss("})
imports = dict(custom_imports__imports=[f"configs.custom_module.{taken[:-3]}"])
failure = checkout.fails(checkout.train, **imports)
reason = "L1Loss is already registered in"
checkout.check(f"It says: {reason}", reason in failure.message, True)

# %%
# Boxes are hardly learnt: the loss leaves ``avg_factor`` out, or ``weight``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Use both, as ``log_cosh_loss.py`` does. A head gives the loss all anchors of a batch, and ``avg_factor``, the
# number of those that have an object. Without it the sum is divided by the number of all. Both mistakes were
# tried on one image. This is the gradient of the last layer for boxes:
from howto.figures import gradients

small = dict(fit.RESNET18)
right = gradients.of(checkout, checkout.own, "bbox_head.retina_reg.weight", **small)


def wrong(old, new):
    """The gradient that a variant of the loss gives to the last layer for boxes."""
    variant = checkout.edit("log_cosh_loss.py", {old: new})
    small["custom_imports__imports"] = [f"configs.custom_module.{variant[:-3]}"]
    return gradients.of(checkout, checkout.own, "bbox_head.retina_reg.weight", **small)


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
# Add ``_delete_=True``, which replaces the whole dict. A config merges with its base. RetinaNet's
# ``loss_bbox`` has no key of its own; Libra R-CNN's has ``alpha``, ``gamma`` and ``beta``, and the new loss
# gets them:
retinanet = "retinanet/retinanet_r50_fpn_1x_coco"
(libra,) = checkout.root.glob("configs/libra_rcnn/libra?retinanet_r50_fpn_1x_coco.py")
base = {retinanet: f"libra_rcnn/{libra.stem}"}
merged = checkout.edit(checkout.own, base, adapts=True)
failure = checkout.fails(checkout.build, checkout.config(merged))
reason = "got an unexpected keyword argument 'alpha'"
checkout.check(f"It says: {reason}", reason in failure.message, True)

# %%
whole = {"dict(type='Log": "dict(_delete_=True, type='Log"}
replaced = checkout.edit(checkout.own, {**base, **whole}, adapts=True)
built = checkout.build(checkout.config(replaced)).bbox_head.loss_bbox
checkout.check("Its loss", type(built).__name__, "LogCoshLoss")

# %%
# Evidence
# --------

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
weighted, sevenths = apart * weight, dict(weight=weight, avg_factor=7.0)
calls = {
    "all four at once": (sevenths, weighted.sum() / 7),
    "no average": (dict(weight=weight), weighted.mean()),
    "the sum": (dict(reduction_override="sum"), apart.sum()),
}
for name, (keys, expected) in calls.items():
    ratio = float(module(pred, target, **keys) / expected)
    checkout.check(f"Error, {name}", abs(ratio - 1), at_most=1e-5)

# %%
with checkout.inside(cfg):
    once = api().part(dict(type="LogCoshLoss"))
    double = api().part(dict(type="LogCoshLoss", loss_weight=2.0))
ratio = float(double(pred, target) / once(pred, target))
checkout.check("loss_weight=2.0 makes it larger by", round(ratio, 6), 2.0)
checkout.check("Without one it is", once.loss_weight, 1.0)

# %%
# It is the one change, and the box branch learns by it
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Everything else is the standard RetinaNet's:
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
# Two processes average their gradients, as this command has them do:
printed = checkout.launch(iterations=2, **fit.RESNET18)
checkout.check("Two processes trained", api().FIRST_EPOCH in printed, True)
checkout.check("Parameters without a gradient", checkout.unused_parameters(cfg), [])

# %%
# What was not tried
# ~~~~~~~~~~~~~~~~~~
# - Accuracy: whether this loss is better than L1 takes COCO, real weights and twelve epochs to say. It is
#   here as an example.
# - An installed package: a folder on ``PYTHONPATH`` was tried in its place.
# - Detectors that learn decoded boxes, as those with an IoU loss do.
