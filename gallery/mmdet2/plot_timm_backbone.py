"""
How do I use a backbone from timm?
==================================

Through ``mmcls.TIMMBackbone``: name the timm model, ask for its features only, and give
the neck the channels of the levels you pick. Here RetinaNet gets an EfficientNet-B1.
"""

# %%
# .. index:: ! EfficientNet
#
# .. snippet:: timm_backbone/retinanet_timm_efficientnet_b1_fpn_1x_coco.py
#
# Install timm and MMClassification, save the file at this path in your MMDetection folder, and train it:
#
# .. install:: timm mmcls
#
# .. code-block:: console
#
#    $ python tools/train.py configs/timm_backbone/retinanet_timm_efficientnet_b1_fpn_1x_coco.py --auto-scale-lr
#
# On several GPUs, here eight:
#
# .. code-block:: console
#
#    $ torchrun --nproc_per_node=8 tools/train.py configs/timm_backbone/retinanet_timm_efficientnet_b1_fpn_1x_coco.py --launcher pytorch --auto-scale-lr --no-validate
#
# .. include:: ../../gallery/words/learning_rate.rst
#
# .. include:: ../../gallery/words/several_gpus.rst
#
# MMDetection has this config among its own since 2.22, in ``configs/timm_example``. The
# wrapper has ``features_only`` since MMClassification 0.20.

# %%
# What the config becomes
# -----------------------
# ``mmcls.TIMMBackbone`` is MMClassification's wrapper: ``mmcls`` names where the class
# is registered, and every other key goes on to ``timm.create_model``.
from howto import Workspace

checkout = Workspace("timm_backbone")
config = "retinanet_timm_efficientnet_b1_fpn_1x_coco.py"
cfg = checkout.config(config)
keys = ["features_only", "model_name", "out_indices", "pretrained", "type"]
checkout.check("keys of the backbone", sorted(cfg.model.backbone), keys)

# %%
model = checkout.build(cfg)
backbone = model.backbone
checkout.check(
    "module of the wrapper",
    type(backbone).__module__,
    "mmcls.models.backbones.timm_backbone",
)
checkout.check(
    "module of what it wraps",
    type(backbone.timm_model).__module__,
    "timm.models.efficientnet",
)

# %%
from howto.figures.diagram import draw_detector

stock = checkout.config("retinanet/retinanet_r50_fpn_1x_coco.py")
draw_detector(model, cfg, stock)

# %%
# The channels belong to the levels
# ---------------------------------
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
checkout.check("channels of the levels", channels, [24, 40, 112, 320])
checkout.check(
    "channels that the neck expects", list(cfg.model.neck.in_channels), channels
)
checkout.check("strides of the levels, in pixels", strides, [4, 8, 16, 32])

listed = backbone.timm_model.feature_info.info
own = [listed[number]["reduction"] for number in cfg.model.backbone.out_indices]
checkout.check("timm's strides for these numbers", own, strides)

# %%
from howto.figures.show import draw_levels

figure = draw_levels(photograph, levels, strides)

# %%
# The strides belong to the anchors
# ---------------------------------
# .. include:: ../../gallery/words/timm_backbone_strides.rst
from howto.checkout.measure import anchor_strides, neck_strides

anchors = anchor_strides(model)
checkout.check("strides of the anchors", anchors, [8, 16, 32, 64, 128])
checkout.check("strides of the levels that the head gets", neck_strides(model), anchors)
checkout.check("parameters without a gradient", checkout.unused_parameters(cfg), [])

# %%
# ``pretrained=True`` is honoured
# -------------------------------
# timm loads its own checkpoint while the backbone is built, and ``init_weights`` leaves
# it alone.
#
# .. include:: ../../gallery/words/timm_backbone_stand_in.rst
checkpoint = checkout.checkpoint("efficientnet_b1")
loaded = backbone.timm_model.state_dict()
checkout.check(
    "tensors that the checkpoint lacks", sorted(set(loaded) - set(checkpoint)), []
)
equal = [
    key for key, value in loaded.items() if torch.equal(value.cpu(), checkpoint[key])
]
checkout.check("tensors equal to the checkpoint's", len(equal), len(loaded))

# %%
# It trains, with the optimizer of the config
# -------------------------------------------
# .. include:: ../../gallery/words/timm_backbone_trains.rst
import statistics

run = checkout.train(
    config,
    epochs=6,
    warmed_up=True,
    data__samples_per_gpu=8,
    evaluation__interval=6,
)

# %%
early, late = run.losses[: len(run.losses) // 2], run.losses[len(run.losses) // 2 :]
checkout.check(
    "mean loss of the second half over that of the first",
    statistics.mean(late) / statistics.mean(early),
    at_most=0.99,
)
checkout.check("learning rates", set(run.rates), {0.01 * run.images_per_step / 16})
checkout.check("evaluations", run.evaluations, 1)
moved = run.trains("backbone")
checkout.check("the backbone's weights moved in each epoch", all(moved), True)

# %%
# These are the config's, which sets the rate for 16 images.
group = run.optimizer.param_groups[0]
settings = {key: group[key] for key in ("initial_lr", "momentum", "weight_decay")}
settings["initial_lr"] *= 16 / run.images_per_step
checkout.check("class of the optimizer", type(run.optimizer).__name__, "SGD")
checkout.check(
    "its settings",
    settings,
    {"initial_lr": 0.01, "momentum": 0.9, "weight_decay": 0.0001},
)

# %%
detections = checkout.detect(run.model, run.cfg, checkout.photograph())
checkout.check("classes in the answer", len(detections), 80)

# %%
# So it does with MMDetection's own script, in a fresh process where nothing else has
# imported MMClassification.
checkout.shell(
    f"python tools/train.py configs/timm_backbone/{config} --auto-scale-lr {{fit}}"
)
saved = checkout.root / "work_dirs" / config.removesuffix(".py") / "epoch_1.pth"
checkout.check("the script saved a checkpoint", saved.exists(), True)

# %%
# Its log says which learning rate it took for two images a step.
log = max(saved.parent.glob("*.log"), key=lambda path: path.stat().st_mtime).read_text()
scaled = "LR has been automatically scaled from 0.01 to 0.00125"
checkout.check("learning rate of two images a step", scaled in log, True)

# %%
# Its batch norms train
# ---------------------
# .. include:: ../../gallery/words/timm_backbone_norms.rst
averaging = [epoch.norms_training["backbone"] for epoch in run.epochs.values()]
checkout.check("batch norms of the backbone average", all(averaging), True)

trained = run.model.backbone.timm_model.state_dict()
means = [key for key in trained if key.endswith("running_mean")]
kept = [key for key in means if torch.equal(trained[key].cpu(), checkpoint[key])]
checkout.check("means that are still the checkpoint's", len(kept), 0)

convnext = checkout.backbone(
    type="mmcls.TIMMBackbone", model_name="convnext_tiny", features_only=True
)
norms = {name for name, _ in convnext.named_buffers() if "running_" in name}
checkout.check("statistics in ConvNeXt", norms, set())

# %%
# .. include:: ../../gallery/words/timm_backbone_sync.rst
line = "        features_only=True,"
variant = checkout.edit(config, {line: f"{line}\n        norm_layer='SyncBN',"})
failure = checkout.fails(checkout.build, checkout.config(variant))
reason = "No equivalent norm_act layer for syncbatchnorm"
checkout.check(f"it says: {reason}", reason in failure.message, True)

# %%
# A checkpoint of your own
# ------------------------
# .. include:: ../../gallery/words/timm_backbone_file.rst
import timm

own = timm.create_model("efficientnet_b1").state_dict()
torch.save(own, checkout.root / "own.pth")
line = "        pretrained=True,"
named = f"{line}\n        pretrained_cfg=dict(file='own.pth'),"
variant = checkout.edit(config, {line: named})
found = checkout.build(checkout.config(variant)).backbone.timm_model.state_dict()
equal = [key for key, value in found.items() if torch.equal(value.cpu(), own[key])]
checkout.check("tensors equal to the file's", len(equal), len(loaded))
convolutions = [key for key in equal if own[key].ndim == 4]
equal = [key for key in convolutions if torch.equal(own[key], checkpoint[key])]
checkout.check("convolutions equal to timm's checkpoint", len(equal), 0)

# %%
# Other timm models
# -----------------
# .. include:: ../../gallery/words/timm_backbone_others.rst
from howto.checkout.measure import levels as measure
from howto.checkout.measure import millions
from howto.figures.show import Table


def row(name, out_indices):
    keys = dict(
        type="mmcls.TIMMBackbone",
        model_name=name,
        features_only=True,
        out_indices=out_indices,
    )
    other = checkout.backbone(**keys)
    return name, out_indices, *measure(other, size=64), millions(other)


# %%
rows = [row("convnext_tiny", (0, 1, 2, 3))]
rows += [row(name, (1, 2, 3, 4)) for name in ("resnet18", "resnet50", "regnety_008")]
rows += [row(f"efficientnet_{size}", (1, 2, 3, 4)) for size in ("b0", "b1", "b3")]
rows += [row("mobilenetv3_large_100", (1, 2, 3, 4))]
head = ("model_name", "out_indices", "in_channels", "Strides", "Parameters (M)")
Table(head, rows)

# %%
checkout.check(
    "strides of every row", {tuple(line[3]) for line in rows}, {(4, 8, 16, 32)}
)

# %%
# Pitfall: the import fails
# -------------------------
# .. include:: ../../gallery/words/mmcls_import_fails.rst
variant = checkout.edit(config, {"imports=['mmcls.models']": "imports=['mmcls.model']"})
failure = checkout.fails(checkout.config, variant)
checkout.check("last line of the traceback", failure.message, "ImportError")

# %%
# Pitfall: ``features_only`` is left out
# --------------------------------------
# timm then builds the whole classifier, which has no levels to pick.
variant = checkout.edit(config, {"        features_only=True,\n": ""})
failure = checkout.fails(checkout.build, checkout.config(variant))
reason = "got an unexpected keyword argument 'out_indices'"
checkout.check(f"it says: {reason}", reason in failure.message, True)

# %%
# Pitfall: ``pretrained`` is a path
# ---------------------------------
# It is a switch. For a file of your own, add ``pretrained_cfg`` as above.
variant = checkout.edit(config, {"pretrained=True": "pretrained='efficientnet_b1.pth'"})
failure = checkout.fails(checkout.build, checkout.config(variant))
reason = "pretrained must be bool, not str for model path"
checkout.check(f"it says: {reason}", reason in failure.message, True)

# %%
# Pitfall: ``checkpoint_path``
# ----------------------------
# .. include:: ../../gallery/words/timm_backbone_checkpoint_path.rst
variant = checkout.edit(config, {"pretrained=True": "checkpoint_path='own.pth'"})
failure = checkout.fails(checkout.build, checkout.config(variant))
reason = 'Unexpected key(s) in state_dict: "conv_head.weight"'
checkout.check(f"it says: {reason}", reason in failure.message, True)

# %%
# Pitfall: the levels are counted from 1
# --------------------------------------
# ``(0, 1, 2, 3)`` starts one level too early: the detector builds, and stops at the
# first image.
variant = checkout.edit(
    config, {"out_indices=(1, 2, 3, 4)": "out_indices=(0, 1, 2, 3)"}
)
failure = checkout.fails(checkout.train, variant)
reason = "to have 40 channels, but got 24 channels instead"
checkout.check(f"it says: {reason}", reason in failure.message, True)
