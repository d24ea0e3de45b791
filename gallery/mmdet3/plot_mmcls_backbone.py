"""
How do I use a backbone from MMPreTrain?
========================================

MMPreTrain is what became of MMClassification. Write the backbone's class with the
prefix ``mmpretrain.``, drop the old backbone's keys with
``_delete_``, and give the neck the new channels. Nothing in MMDetection is edited. Here
RetinaNet gets a MobileNetV3 small in place of its ResNet-50.
"""

# %%
# .. tab:: With _base_
#
#    .. snippet:: mmcls_backbone/retinanet_mobilenet-v3-small_fpn_1x_coco.py
#
# .. tab:: Pure Python
#
#    .. snippet:: mmcls_backbone/retinanet_mobilenet_v3_small_fpn_1x_coco.py
#
# Put one of them at that place in your checkout, and train it by its name:
#
# .. code-block:: console
#
#    $ python tools/train.py configs/mmcls_backbone/retinanet_mobilenet-v3-small_fpn_1x_coco.py

# %%
# What the config becomes
# -----------------------
# .. include:: ../../gallery/words/mmcls_backbone_delete.rst
from howto import Workspace

checkout = Workspace("mmcls_backbone")
config = "retinanet_mobilenet-v3-small_fpn_1x_coco.py"
cfg = checkout.config(config)
checkout.check(
    "keys of the backbone",
    sorted(cfg.model.backbone),
    ["arch", "init_cfg", "out_indices", "type"],
)

# %%
# The prefix sends the registry to MMPreTrain, where the class is looked up.
model = checkout.build(cfg)
backbone = model.backbone
checkout.check(
    "module of the class",
    type(backbone).__module__,
    "mmpretrain.models.backbones.mobilenet_v3",
)

# %%
from howto.diagram import draw_detector

stock = checkout.config("retinanet/retinanet_r50_fpn_1x_coco.py")
draw_detector(model, cfg, stock)

# %%
# The channels belong to the levels
# ---------------------------------
# .. include:: ../../gallery/words/mmcls_backbone_levels.rst
import cv2
import torch

photograph = cv2.imread(str(checkout.photograph()))[..., ::-1][:256, :256]
image = (
    torch.tensor(photograph.copy(), device=checkout.device).permute(2, 0, 1)[None] / 255
)
levels = backbone(image)

channels = [level.shape[1] for level in levels]
strides = [image.shape[-1] // level.shape[-1] for level in levels]
checkout.check("channels of the levels", channels, [24, 48, 96])
checkout.check(
    "channels that the neck expects", list(cfg.model.neck.in_channels), channels
)
checkout.check("strides of the levels, in pixels", strides, [8, 16, 32])

# %%
from howto.show import draw_levels

figure = draw_levels(photograph, levels, strides)

# %%
# Every weight is the checkpoint's
# --------------------------------
# .. include:: ../../gallery/words/mmcls_backbone_prefix.rst
checkpoint = checkout.checkpoint("mobilenet_v3_small-8427ecf0.pth")
expected = {
    key.removeprefix("backbone."): value
    for key, value in checkpoint.items()
    if key.startswith("backbone.")
}
loaded = backbone.state_dict()
checkout.check(
    "tensors that the checkpoint lacks", sorted(set(loaded) - set(expected)), []
)
equal = [
    key for key, value in loaded.items() if torch.equal(value.cpu(), expected[key])
]
checkout.check("tensors equal to the checkpoint's", len(equal), len(loaded))

# %%
# It trains
# ---------
# .. include:: ../../gallery/words/mmcls_backbone_trains.rst
import math

run = checkout.train(config, epochs=2)
checkout.check("every loss is finite", all(map(math.isfinite, run.losses)), True)
checkout.check(
    "the backbone's weights moved in each epoch", run.trains("backbone"), [True, True]
)
checkout.check("evaluations", run.evaluations, 2)

# %%
# The trained detector answers with a ``DetDataSample``: boxes, scores and classes lie in
# its ``pred_instances``.
found = checkout.detect(run.model, run.cfg, checkout.photograph()).pred_instances
checkout.check("what it tells", sorted(found.keys()), ["bboxes", "labels", "scores"])
checkout.check("numbers for a box: x1, y1, x2, y2", found.bboxes.shape[1], 4)

# %%
# So it does with MMDetection's own script, in a fresh process where nothing else has
# imported MMPreTrain.
output = checkout.shell(
    f"python tools/train.py configs/mmcls_backbone/{config} {{fit}}"
)
saved = checkout.root / "work_dirs" / config.removesuffix(".py") / "epoch_1.pth"
checkout.check("the script saved a checkpoint", saved.exists(), True)

# %%
# The learning rate is ``schedule_1x.py``'s. MMDetection's own RetinaNet takes half of it;
# the how-to for timm shows the line that sets it.
checkout.check("learning rate here", cfg.optim_wrapper.optimizer.lr, 0.02)
checkout.check("in MMDetection's own RetinaNet", stock.optim_wrapper.optimizer.lr, 0.01)

# %%
# What it saves
# -------------
# The same detector with its ResNet-50, both on a 320 × 320 image: parameters,
# multiply-adds as MMEngine counts them, and the median time of five passes on the device
# that built this page.
from howto.measure import cost
from howto.show import Table

resnet = checkout.build(stock)
rows = [
    ("ResNet-50", *cost(resnet, size=320)),
    ("MobileNetV3 small", *cost(model, size=320)),
]
Table(("Backbone", "Parameters (M)", "Backbone alone (M)", "GFLOPs", "Time (ms)"), rows)

# %%
checkout.check(
    "MobileNetV3 needs fewer multiply-adds than ResNet-50",
    rows[1][3] < rows[0][3],
    True,
)

# %%
# Pitfall: the prefix does not match
# ----------------------------------
# A prefix that occurs in no key stops the run.
variant = checkout.edit(config, {"prefix='backbone.'": "prefix='model.'"})
failure = checkout.fails(checkout.build, checkout.config(variant))
checkout.check(
    "error", failure.message, "AssertionError: model. is not in the pretrained model"
)

# %%
# No prefix at all is worse: the run goes on, and not one convolution is the
# checkpoint's.
variant = checkout.edit(config, {", prefix='backbone.'": ""})
untouched = checkout.build(checkout.config(variant)).backbone.state_dict()
convolutions = [key for key, value in untouched.items() if value.ndim == 4]
equal = [
    key for key in convolutions if torch.equal(untouched[key].cpu(), expected[key])
]
checkout.check("convolutions equal to the checkpoint's", len(equal), 0)

# %%
# What ``custom_imports`` is for
# ------------------------------
# .. include:: ../../gallery/words/mmpretrain_missing.rst
program = (
    "import sys; sys.modules['mmpretrain'] = None; from mmengine.config import Config; "
    f"Config.fromfile('configs/mmcls_backbone/{config}')"
)
output = checkout.shell(f'python -c "{program}"', succeeds=False)
message = "ImportError: Failed to import custom modules from {'imports': ['mmpretrain.models'], 'allow_failed_imports': False}"
found = [line for line in output.splitlines() if "custom modules" in line][-1]
checkout.check("what it says", found.partition("}")[0] + "}", message)

# %%
# It may be left out: MMEngine imports the package that a prefix names by itself.
line = "custom_imports = dict(\n    imports=['mmpretrain.models'], allow_failed_imports=False)\n"
variant = checkout.edit(config, {line: ""})
checkout.shell(f"python tools/train.py configs/mmcls_backbone/{variant} {{fit}}")
saved = checkout.root / "work_dirs" / variant.removesuffix(".py") / "epoch_1.pth"
checkout.check("the script saved a checkpoint", saved.exists(), True)

# %%
# The same in pure Python
# -----------------------
# .. include:: ../../gallery/words/pure_python.rst
pure = "retinanet_mobilenet_v3_small_fpn_1x_coco.py"
other = checkout.config(pure)
one, same = cfg.to_dict(), other.to_dict()
checkout.check("its model's neck", same["model"]["neck"] == one["model"]["neck"], True)
checkout.check(
    "keys that differ",
    sorted(key for key in one if one[key] != same.get(key)),
    ["custom_imports", "model"],
)
checkout.check(
    "keys of its backbone", sorted(other.model.backbone), sorted(cfg.model.backbone)
)

# %%
again = checkout.build(other)
checkout.check("class of its backbone", type(again.backbone), type(backbone))
equal = [
    key
    for key, value in again.backbone.state_dict().items()
    if torch.equal(value.cpu(), expected[key])
]
checkout.check("tensors equal to the checkpoint's", len(equal), len(loaded))

# %%
output = checkout.shell(f"python tools/train.py configs/mmcls_backbone/{pure} {{fit}}")
saved = checkout.root / "work_dirs" / pure.removesuffix(".py") / "epoch_1.pth"
checkout.check("the script saved a checkpoint", saved.exists(), True)

# %%
# .. include:: ../../gallery/words/pure_python_update.rst
variant = checkout.edit(
    pure,
    {
        "model.backbone = dict(": "model.update(backbone=dict(_delete_=True,",
        "prefix='backbone.'))": "prefix='backbone.')))",
    },
)
failure = checkout.fails(checkout.build, checkout.config(variant))
reason = "got an unexpected keyword argument 'depth'"
checkout.check("what it says", reason in failure.message, True)

# %%
# Pitfall: the names of MMDetection 2
# -----------------------------------
# A config that imports ``mmcls.models`` stops while it is loaded. The message goes on to
# advise you to set ``PYTHONPATH``, which does not help: the package is called
# ``mmpretrain`` today.
variant = checkout.edit(
    config, {"imports=['mmpretrain.models']": "imports=['mmcls.models']"}
)
output = checkout.shell(
    f"python tools/train.py configs/mmcls_backbone/{variant}", succeeds=False
)
message = "ImportError: Failed to import custom modules from {'imports': ['mmcls.models'], 'allow_failed_imports': False}"
found = [line for line in output.splitlines() if "custom modules" in line][-1]
found = found.partition("}")[0] + "}"
checkout.check("what importing mmcls.models says", found, message)

# %%
# Pitfall: the prefix of the class is left out
# --------------------------------------------
# MMDetection then looks among its own backbones.
variant = checkout.edit(config, {"type='mmpretrain.MobileNetV3'": "type='MobileNetV3'"})
failure = checkout.fails(checkout.build, checkout.config(variant))
reason = "MobileNetV3 is not in the mmdet::model registry"
checkout.check("what it says", reason in failure.message, True)

# %%
# Pitfall: ``in_channels`` do not match
# -------------------------------------
# The detector builds, and stops at the first image.
variant = checkout.edit(
    config, {"in_channels=[24, 48, 96]": "in_channels=[16, 24, 48]"}
)
failure = checkout.fails(checkout.train, variant)
checkout.check(
    "what it says",
    "to have 16 channels, but got 24 channels instead" in failure.message,
    True,
)
