"""
How do I use a backbone from timm?
==================================

Set the type to ``mmpretrain.TIMMBackbone``, name the timm model, ask for its features
only, and give the neck the channels of the levels that you pick. Here RetinaNet gets an
EfficientNet-B1.
"""

# %%
# .. index:: ! EfficientNet
#
# It needs timm and MMPreTrain:
#
# .. install:: timm mmpretrain
#
# .. snippet:: timm_backbone/retinanet_timm-efficientnet-b1_fpn_1x_coco.py
#
# .. train:: timm_backbone/retinanet_timm-efficientnet-b1_fpn_1x_coco.py
#
# For any MMDetection 3, which has a config like it in ``configs/timm_example``.

# %%
# Adapt it
# --------
# .. include:: ../../gallery/words/timm_backbone_others.rst
from howto import Workspace
from howto.checkout.measure import levels as measure
from howto.checkout.measure import millions
from howto.figures.show import Table

checkout = Workspace("timm_backbone")
config = "retinanet_timm-efficientnet-b1_fpn_1x_coco.py"
cfg = checkout.config(config)


# %%
def row(name, out_indices):
    keys = dict(
        type="mmpretrain.TIMMBackbone",
        model_name=name,
        features_only=True,
        out_indices=out_indices,
    )
    other = checkout.backbone(**keys)
    channels, strides = measure(other, size=64)
    return name, channels, list(out_indices), strides, millions(other)


# %%
efficient = [f"efficientnet_{size}" for size in ("b0", "b1", "b2", "b3", "lite0")]
efficient += ["tf_efficientnetv2_s", "tf_efficientnetv2_b0", "mixnet_s", "fbnetc_100"]
mobile = ["mobilenetv2_100", "mobilenetv3_large_100", "mnasnet_100", "ghostnet_100"]
residual = ["resnet18", "resnet26d", "resnet34", "resnet50", "resnext50_32x4d"]
residual += ["seresnet50", "ecaresnet50d", "resnest14d", "res2net50_26w_4s"]
residual += ["skresnet18"]
others = ["regnetx_008", "regnety_008", "densenet121", "hrnet_w18"]

# %%
with_four = ("convnext_tiny", "convnext_small")
rows = [row(name, (0, 1, 2, 3)) for name in with_four]
rows += [row(name, (1, 2, 3, 4)) for name in efficient + mobile + residual + others]
head = ("model_name", "in_channels", "out_indices", "Strides", "Parameters (M)")
Table(head, rows)

# %%
strides = {tuple(line[3]) for line in rows}
checkout.check("Every row has levels at strides", strides, {(4, 8, 16, 32)})
checkout.check("Rows", len(rows), 29)

# %%
# .. include:: ../../gallery/words/pure_python.rst
#
# .. snippet:: timm_backbone/retinanet_timm_efficientnet_b1_fpn_1x_coco.py
#
# .. code-block:: console
#
#    $ python tools/train.py configs/timm_backbone/retinanet_timm_efficientnet_b1_fpn_1x_coco.py --auto-scale-lr
#
# It is for MMEngine 0.8 or newer, where ``read_base`` came.

# %%
# What the detector becomes
# -------------------------
# ``mmpretrain.TIMMBackbone`` is MMPreTrain's wrapper: ``mmpretrain`` names where the class is
# registered, and every other key goes on to ``timm.create_model``.
model = checkout.build(cfg)
backbone = model.backbone

# %%
from howto.figures.diagram import draw_detector

stock = checkout.config("retinanet/retinanet_r50_fpn_1x_coco.py")
draw_detector(model, cfg, stock)

# %%
# timm numbers the levels from 0, at stride 2; ``out_indices=(1, 2, 3, 4)`` are those at
# strides 4 to 32.
import cv2
import torch

photograph = cv2.imread(str(checkout.photograph()))[..., ::-1][:256, :256]
image = (
    torch.tensor(photograph.copy(), device=checkout.device).permute(2, 0, 1)[None] / 255
)
levels = backbone(image)

# %%
channels = [level.shape[1] for level in levels]
strides = [image.shape[-1] // level.shape[-1] for level in levels]

# %%
from howto.figures.show import draw_levels

figure = draw_levels(photograph, levels, strides)

# %%
# Your log should say
# -------------------
# .. include:: ../../gallery/words/timm_backbone_log.rst
import statistics

run = checkout.train(
    config,
    epochs=8,
    warmed_up=True,
    train_dataloader__batch_size=8,
    train_cfg__val_interval=8,
)

# %%
print(*run.logged("Epoch(train)")[::5], sep="\n")

# %%
# Pitfalls
# --------

# %%
# ``ImportError: Failed to import custom modules``: MMPreTrain is not installed
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/mmpretrain_missing.rst
program = (
    "import sys; sys.modules['mmpretrain'] = None; from mmengine.config import Config; "
    f"Config.fromfile('configs/timm_backbone/{config}')"
)
output = checkout.shell(f'python -c "{program}"', succeeds=False)
message = "ImportError: Failed to import custom modules from {'imports': ['mmpretrain.models'], 'allow_failed_imports': False}"
found = [line for line in output.splitlines() if "custom modules" in line][-1]
checkout.check("It says", found.partition("}")[0] + "}", message)

# %%
# ``got an unexpected keyword argument 'out_indices'``: no ``features_only``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# timm then builds the whole classifier, which has no levels to pick.
variant = checkout.edit(config, {"        features_only=True,\n": ""})
failure = checkout.fails(checkout.build, checkout.config(variant))
reason = "got an unexpected keyword argument 'out_indices'"
checkout.check(f"It says: {reason}", reason in failure.message, True)

# %%
# ``expected input to have 40 channels``: the levels are counted from 0
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# ``(0, 1, 2, 3)`` starts one level too early: the detector builds, and stops at the
# first image.
variant = checkout.edit(
    config, {"out_indices=(1, 2, 3, 4)": "out_indices=(0, 1, 2, 3)"}
)
failure = checkout.fails(checkout.train, variant)
reason = "to have 40 channels, but got 24 channels instead"
checkout.check(f"It says: {reason}", reason in failure.message, True)

# %%
# ``pretrained must be bool, not str for model path``: it is a switch
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# It is a switch. For a file of your own, add ``pretrained_cfg`` as under *A checkpoint of your own*.
variant = checkout.edit(config, {"pretrained=True": "pretrained='efficientnet_b1.pth'"})
failure = checkout.fails(checkout.build, checkout.config(variant))
reason = "pretrained must be bool, not str for model path"
checkout.check(f"It says: {reason}", reason in failure.message, True)

# %%
# ``Unexpected key(s) in state_dict``: ``checkpoint_path`` loads strictly
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/timm_backbone_checkpoint_path.rst
import timm

own = timm.create_model("efficientnet_b1").state_dict()
torch.save(own, checkout.root / "own.pth")
variant = checkout.edit(config, {"pretrained=True": "checkpoint_path='own.pth'"})
failure = checkout.fails(checkout.build, checkout.config(variant))
reason = 'Unexpected key(s) in state_dict: "conv_head.weight"'
checkout.check(f"It says: {reason}", reason in failure.message, True)

# %%
# ``unexpected keyword argument 'inplace'``: ``SyncBN``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/timm_backbone_sync.rst
line = "        features_only=True,"
variant = checkout.edit(config, {line: f"{line}\n        norm_layer='SyncBN',"})
failure = checkout.fails(checkout.build, checkout.config(variant))
reason = "unexpected keyword argument 'inplace'"
checkout.check(f"It says: {reason}", reason in failure.message, True)

# %%
# Twice the learning rate: ``optimizer = dict(…)``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# So it was written for MMDetection 2. No one reads it here: the training runs, with the
# stock schedule's learning rate of 0.02.
old = "optim_wrapper = dict(optimizer=dict(lr=0.01))"
new = "optimizer = dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=0.0001)"
variant = checkout.edit(config, {old: new})
ignored = checkout.train(variant, evaluate=False)
rate = ignored.optimizer.param_groups[0]["initial_lr"]
checkout.check("It is ignored: the learning rate is", rate, 0.02)

# %%
# Activations are lost: ``sync_bn``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The key of MMEngine's runner makes every batch norm one that averages over all GPUs. timm's
# norms have the activation in them, and lose it without an error.
from mmengine.model import convert_sync_batchnorm
from torch import nn

before = checkout.build(cfg).backbone
kinds = {type(module) for module in before.modules() if hasattr(module, "running_mean")}
checkout.check(
    "timm's norms have activations in them",
    {hasattr(kind(1), "act") for kind in kinds},
    {True},
)
after = convert_sync_batchnorm(before, "torch")
kinds = {type(module) for module in after.modules() if hasattr(module, "running_mean")}
checkout.check("Afterwards each is", kinds, {nn.SyncBatchNorm})

# %%
# Proof
# -----

# %%
# The wrapper is what the config names
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
keys = ["features_only", "model_name", "out_indices", "pretrained", "type"]
checkout.check("The backbone's keys", sorted(cfg.model.backbone), keys)
checkout.check(
    "The wrapper's module",
    type(backbone).__module__,
    "mmpretrain.models.backbones.timm_backbone",
)
checkout.check(
    "What it wraps",
    type(backbone.timm_model).__module__,
    "timm.models.efficientnet",
)

# %%
# Channels and strides
# ~~~~~~~~~~~~~~~~~~~~
checkout.check("The levels have channels", channels, [24, 40, 112, 320])
checkout.check("The neck expects", list(cfg.model.neck.in_channels), channels)
checkout.check("The levels have strides", strides, [4, 8, 16, 32])

listed = backbone.timm_model.feature_info.info
theirs = [listed[number]["reduction"] for number in cfg.model.backbone.out_indices]
checkout.check("timm says so of them", theirs, strides)

# %%
# .. include:: ../../gallery/words/timm_backbone_strides.rst
from howto.checkout.measure import anchor_strides, neck_strides

anchors = anchor_strides(model)
checkout.check("The anchors lie at strides", anchors, [8, 16, 32, 64, 128])
checkout.check("The head gets levels at strides", neck_strides(model), anchors)
checkout.check("Parameters without a gradient", checkout.unused_parameters(cfg), [])

# %%
# ``pretrained=True`` loads timm's checkpoint
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# timm loads its own checkpoint while the backbone is built, and ``init_weights`` leaves
# it alone.
#
# .. include:: ../../gallery/words/timm_backbone_stand_in.rst
checkpoint = checkout.checkpoint("efficientnet_b1")
loaded = backbone.timm_model.state_dict()
checkout.check(
    "Tensors that the checkpoint lacks", sorted(set(loaded) - set(checkpoint)), []
)
equal = [
    key for key, value in loaded.items() if torch.equal(value.cpu(), checkpoint[key])
]
checkout.check("Tensors equal to the checkpoint's", len(equal), len(loaded))

# %%
# A checkpoint of your own
# ~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/timm_backbone_file.rst
line = "        pretrained=True,"
named = f"{line}\n        pretrained_cfg=dict(file='own.pth'),"
variant = checkout.edit(config, {line: named})
found = checkout.build(checkout.config(variant)).backbone.timm_model.state_dict()
equal = [key for key, value in found.items() if torch.equal(value.cpu(), own[key])]
checkout.check("Tensors equal to the file's", len(equal), len(loaded))
convolutions = [key for key in equal if own[key].ndim == 4]
equal = [key for key in convolutions if torch.equal(own[key], checkpoint[key])]
checkout.check("Convolutions that are still timm's", len(equal), 0)

# %%
# It trains, with the optimizer of the config
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
early, late = run.losses[: len(run.losses) // 2], run.losses[len(run.losses) // 2 :]
checkout.check(
    "The loss falls: second half over first",
    statistics.mean(late) / statistics.mean(early),
    at_most=0.99,
)
checkout.check(
    "Learning rates of the run", set(run.rates), {0.01 * run.images_per_step / 16}
)
checkout.check("It is evaluated, times", run.evaluations, 1)
moved = run.trains("backbone")
checkout.check("The backbone's weights move in each epoch", all(moved), True)

# %%
# These are the config's, which sets the rate for 16 images.
group = run.optimizer.param_groups[0]
settings = {key: group[key] for key in ("initial_lr", "momentum", "weight_decay")}
settings["initial_lr"] *= 16 / run.images_per_step
checkout.check("The optimizer is", type(run.optimizer).__name__, "SGD")
checkout.check(
    "Its settings",
    settings,
    {"initial_lr": 0.01, "momentum": 0.9, "weight_decay": 0.0001},
)

# %%
found = checkout.detect(run.model, run.cfg, checkout.photograph()).pred_instances
checkout.check(
    "A detection tells", sorted(found.keys()), ["bboxes", "labels", "scores"]
)

# %%
# So it does with MMDetection's own script, in a fresh process where nothing else has
# imported MMPreTrain.
output = checkout.shell(
    f"python tools/train.py configs/timm_backbone/{config} --auto-scale-lr {{fit}}"
)
saved = checkout.root / "work_dirs" / config.removesuffix(".py") / "epoch_1.pth"
checkout.check("tools/train.py saves a checkpoint", saved.exists(), True)

# %%
# It says by what it multiplied the learning rate for two images a step.
scaled = "Scaling the original LR by 0.125."
checkout.check("Its log says how the rate was scaled", scaled in output, True)

# %%
# The same in pure Python
# ~~~~~~~~~~~~~~~~~~~~~~~
pure = "retinanet_timm_efficientnet_b1_fpn_1x_coco.py"
other = checkout.config(pure)
one, same = cfg.to_dict(), other.to_dict()
checkout.check(
    "In pure Python the neck is the same",
    same["model"]["neck"] == one["model"]["neck"],
    True,
)
checkout.check(
    "Keys that differ",
    sorted(key for key in one if one[key] != same.get(key)),
    ["custom_imports", "model"],
)
for form in (one, same):
    del form["model"]["backbone"]["type"]  # a name, and the class that it names
checkout.check(
    "The backbone is the same",
    same["model"]["backbone"] == one["model"]["backbone"],
    True,
)

# %%
again = checkout.build(other).backbone.timm_model
checkout.check(
    "It wraps the same class", type(again) is type(backbone.timm_model), True
)
equal = [
    key
    for key, value in again.state_dict().items()
    if torch.equal(value.cpu(), checkpoint[key])
]
checkout.check("Tensors equal to the checkpoint's", len(equal), len(loaded))

# %%
alike = checkout.train(pure, evaluate=False)
checkout.check("Its backbone trains", alike.trains("backbone"), [True])

# %%
# Its batch norms train
# ~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/timm_backbone_norms.rst
averaging = [epoch.norms_training["backbone"] for epoch in run.epochs.values()]
checkout.check("The backbone's batch norms average", all(averaging), True)

trained = run.model.backbone.timm_model.state_dict()
means = [key for key in trained if key.endswith("running_mean")]
kept = [key for key in means if torch.equal(trained[key].cpu(), checkpoint[key])]
checkout.check("Means that are still the checkpoint's", len(kept), 0)

convnext = checkout.backbone(
    type="mmpretrain.TIMMBackbone", model_name="convnext_tiny", features_only=True
)
norms = {name for name, _ in convnext.named_buffers() if "running_" in name}
checkout.check("Statistics that a ConvNeXt has", norms, set())

# %%
# What was not tried
# ~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/timm_backbone_not_tried.rst
