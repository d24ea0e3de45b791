"""
How do I use a backbone from timm?
==================================

Set the type to ``mmcls.TIMMBackbone``, name the timm model, ask for its features only,
and give the neck the channels of the levels that you pick. Here RetinaNet gets an
EfficientNet-B1.
"""

# %%
# .. index:: ! EfficientNet
#
# It needs timm and MMClassification:
#
# .. install:: timm mmcls
#
# .. snippet:: timm_backbone/retinanet_timm_efficientnet_b1_fpn_1x_coco.py
#
# .. train:: timm_backbone/retinanet_timm_efficientnet_b1_fpn_1x_coco.py
#
# MMDetection has this config among its own since 2.22, in ``configs/timm_example``. The
# wrapper has ``features_only`` since MMClassification 0.20.

# %%
# Adapt it
# --------
# .. include:: ../../gallery/words/timm_backbone_others.rst
from howto import Workspace
from howto.checkout.measure import levels as measure
from howto.checkout.measure import millions
from howto.figures.show import Table

checkout = Workspace("timm_backbone")
config = "retinanet_timm_efficientnet_b1_fpn_1x_coco.py"
cfg = checkout.config(config)


# %%
def row(name, out_indices):
    keys = dict(
        type="mmcls.TIMMBackbone",
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
# What the detector becomes
# -------------------------
# ``mmcls.TIMMBackbone`` is MMClassification's wrapper: ``mmcls`` names where the class is
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
    epochs=6,
    warmed_up=True,
    data__samples_per_gpu=8,
    evaluation__interval=6,
)

# %%
print(*run.logged("Epoch [")[::5], sep="\n")

# %%
# Pitfalls
# --------

# %%
# ``ImportError`` without a word more: a module that is not there
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/mmcls_import_fails.rst
variant = checkout.edit(config, {"imports=['mmcls.models']": "imports=['mmcls.model']"})
failure = checkout.fails(checkout.config, variant)
checkout.check("The traceback ends with", failure.message, "ImportError")

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
# ``No equivalent norm_act layer for syncbatchnorm``: ``SyncBN``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/timm_backbone_sync.rst
line = "        features_only=True,"
variant = checkout.edit(config, {line: f"{line}\n        norm_layer='SyncBN',"})
failure = checkout.fails(checkout.build, checkout.config(variant))
reason = "No equivalent norm_act layer for syncbatchnorm"
checkout.check(f"It says: {reason}", reason in failure.message, True)

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
    "mmcls.models.backbones.timm_backbone",
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
detections = checkout.detect(run.model, run.cfg, checkout.photograph())
checkout.check("Classes in the answer", len(detections), 80)

# %%
# So it does with MMDetection's own script, in a fresh process where nothing else has
# imported MMClassification.
checkout.shell(
    f"python tools/train.py configs/timm_backbone/{config} --auto-scale-lr {{fit}}"
)
saved = checkout.root / "work_dirs" / config.removesuffix(".py") / "epoch_1.pth"
checkout.check("tools/train.py saves a checkpoint", saved.exists(), True)

# %%
# Its log says which learning rate it took for two images a step.
log = max(saved.parent.glob("*.log"), key=lambda path: path.stat().st_mtime).read_text()
scaled = "LR has been automatically scaled from 0.01 to 0.00125"
checkout.check("Its log says how the rate was scaled", scaled in log, True)

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
    type="mmcls.TIMMBackbone", model_name="convnext_tiny", features_only=True
)
norms = {name for name, _ in convnext.named_buffers() if "running_" in name}
checkout.check("Statistics that a ConvNeXt has", norms, set())

# %%
# What was not tried
# ~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/timm_backbone_not_tried.rst
