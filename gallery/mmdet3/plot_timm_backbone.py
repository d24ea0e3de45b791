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
# For any MMDetection 3, which has a config like it in ``configs/timm_example``. With timm 1.x
# take the config of ``efficientnet_b1`` from the table below: its checkpoint is another there,
# trained on pixels of another scale.

# %%
# Adapt it
# --------
# .. include:: ../../gallery/words/timm_backbone_table.rst
from howto import Workspace
from howto.figures.show import Table
from howto.figures.timm_models import HEAD, rows

checkout = Workspace("timm_backbone")
config = "retinanet_timm-efficientnet-b1_fpn_1x_coco.py"
cfg = checkout.config(config)
with checkout.inside():
    table = {row.name: row for row in rows()}
    folder = checkout.root / "configs/timm_backbone"
    cfgs = {name: row.write(folder) for name, row in table.items()}
Table(HEAD, [row.cells() for row in table.values()])

# %%
# .. include:: ../../gallery/words/timm_backbone_others.rst
#
# .. code-block:: console
#
#    $ python -c "import timm; print(*enumerate(timm.create_model('dla34', features_only=True).feature_info.info), sep='\n')"
made = "timm.create_model('dla34', features_only=True)"
program = f"import timm; print(*enumerate({made}.feature_info.info), sep='\\n')"
output = checkout.shell(f'python -c "{program}"')
print(output)

# %%
# These are the numbers and channels that the table has.
import ast

told = map(ast.literal_eval, output.splitlines())
found = [(n, each["num_chs"]) for n, each in told if 4 <= each["reduction"] <= 32]
dla = table["dla34"].backbone
expected = list(zip(dla.keys["out_indices"], dla.channels, strict=True))
checkout.check("The levels of dla34 from stride 4 on", found, expected)

# %%
# In pure Python
# ~~~~~~~~~~~~~~
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
said = run.logged("backbone out_")
losses = run.logged("Epoch(train)")
print(*said, losses[0], "…", losses[-1], sep="\n")
told = "backbone out_channels: [24, 40, 112, 320]" in said
checkout.check("The wrapper logs the channels that the neck expects", told, True)

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
# Levels at other strides than the anchors: ``out_indices`` of DLA or CSPDarkNet
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/timm_backbone_numbers.rst
from howto.checkout.measure import anchor_strides, neck_strides

shift = {"(2, 3, 4, 5)": "(1, 2, 3, 4)"}
shift |= {"[64, 128, 256, 512]": "[32, 64, 128, 256]"}
other = checkout.config(checkout.edit(table["dla34"].file, shift))
other.model.backbone.pretrained = False  # quicker
shifted = checkout.build(other)
half = [4, 8, 16, 32, 64]
checkout.check("The neck's levels have strides", neck_strides(shifted), half)
twice = [2 * stride for stride in half]
checkout.check("The anchors have strides", anchor_strides(shifted), twice)

# %%
# Pixels on another scale than the checkpoint's: nothing is reported
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/timm_backbone_pixels.rst
from howto.figures.backbones import STOCK, pixels

lite = table["tf_efficientnet_lite0"]
own = "mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]"
usual = "mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]"
variant = checkout.edit(lite.file, {own: usual})
checkout.check(
    "The checkpoint's mean and deviation", lite.pixels[:2], ([127.5] * 3,) * 2
)
standard = pixels(checkout.config(variant)) == pixels(stock) == STOCK
checkout.check("The standard config has others", standard, True)

# %%
# In timm 1.x there is such a checkpoint for ``efficientnet_b1``, too, in 0.6 there is not.
import timm

told = [name for name, row in table.items() if row.backbone.pixels]
known = {"0": [lite.name], "1": ["efficientnet_b1", lite.name]}[timm.__version__[0]]
checkout.check("Models of the table with such a checkpoint", told, known)

# %%
# ``Expected to have finished reduction in the prior iteration before starting a new one``: HRNet
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/timm_backbone_hrnet.rst
hrnet = table["hrnet_w18_small"]
variant = checkout.edit(hrnet.file, {"find_unused_parameters = True\n": ""})
output = checkout.launch(
    variant, iterations=2, succeeds=False, model__backbone__pretrained=False
)
message = "Expected to have finished reduction in the prior iteration before starting a new one"
checkout.check(f"Two processes say: {message}", message in output, True)
unused = [
    n for n, row in table.items() if row.backbone.unused[row.backbone.start_level]
]
checkout.check("Models with parameters without a gradient", unused, [hrnet.name])

# %%
# ``pretrained must be bool, not str for model path``: it is a switch
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# For a file of your own, add ``pretrained_cfg`` as under *A checkpoint of your own*.
variant = checkout.edit(config, {"pretrained=True": "pretrained='efficientnet_b1.pth'"})
failure = checkout.fails(checkout.build, checkout.config(variant))
reason = "pretrained must be bool, not str for model path"
checkout.check(f"It says: {reason}", reason in failure.message, True)

# %%
# ``Unexpected key(s) in state_dict``: ``checkpoint_path`` loads strictly
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/timm_backbone_checkpoint_path.rst
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
# So it was written for MMDetection 2. Nothing reads it here: the training runs, with the
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
checkout.check("The strides by timm's feature_info", theirs, strides)

# %%
# .. include:: ../../gallery/words/timm_backbone_strides.rst
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
    "The optimizer has",
    settings,
    {"initial_lr": 0.01, "momentum": 0.9, "weight_decay": 0.0001},
)

# %%
found = checkout.detect(run.model, run.cfg, checkout.photograph()).pred_instances
checkout.check(
    "A detection tells", sorted(found.keys()), ["bboxes", "labels", "scores"]
)

# %%
# It trains on several GPUs
# ~~~~~~~~~~~~~~~~~~~~~~~~~
# With MMDetection's own script, in fresh processes where nothing else has imported
# MMPreTrain. The log says what became of the rate for two images in each process.
output = checkout.launch(config, iterations=2, auto_scale_lr__enable=True)
folder = checkout.root / "work_dirs" / config.replace(".py", "_two_processes0")
saved = any(folder.glob("epoch_*.pth"))
checkout.check("Two processes train it, and save a checkpoint", saved, True)
scaled = "Scaling the original LR by 0.25."
checkout.check(f"They say: {scaled}", scaled in output, True)

# %%
# The same in pure Python
# ~~~~~~~~~~~~~~~~~~~~~~~
pure = "retinanet_timm_efficientnet_b1_fpn_1x_coco.py"
other = checkout.config(pure)
one, same = cfg.to_dict(), other.to_dict()
neck = same["model"]["neck"] == one["model"]["neck"]
checkout.check("In pure Python the neck is the same", neck, True)
differ = sorted(key for key in one if one[key] != same.get(key))
checkout.check("Keys that differ", differ, ["custom_imports", "model"])
for form in (one, same):
    del form["model"]["backbone"]["type"]  # a name, and the class that it names
keys = [form["model"]["backbone"] for form in (one, same)]
checkout.check("The backbone is the same", keys[0] == keys[1], True)

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
checkout.check("In pure Python, equal to the checkpoint's", len(equal), len(loaded))

# %%
alike = checkout.train(pure, evaluate=False)
checkout.check("In pure Python the backbone trains", alike.trains("backbone"), [True])

# %%
# The backbone's batch norms train
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/timm_backbone_norms.rst
averaging = [epoch.norms_training["backbone"] for epoch in run.epochs.values()]
checkout.check("The backbone's batch norms average", all(averaging), True)

trained = run.model.backbone.timm_model.state_dict()
means = [key for key in trained if key.endswith("running_mean")]
kept = [key for key in means if torch.equal(trained[key].cpu(), checkpoint[key])]
checkout.check("Means that are still the checkpoint's", len(kept), 0)

keys = dict(cfgs["convnext_atto"].model.backbone, pretrained=False)
convnext = checkout.backbone(**keys)
norms = {name for name, _ in convnext.named_buffers() if "running_" in name}
checkout.check("Statistics that a ConvNeXt has", norms, set())

# %%
# The other models of the table
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/timm_backbone_measured.rst
from howto.figures import backbones

checkout.check("Models in the table", len(table), 33)
told = [
    row.told == (row.backbone.channels, row.backbone.strides) for row in table.values()
]
checkout.check("timm's feature_info says what is measured", all(told), True)
with checkout.inside():
    necks = [backbones.neck_strides(cfgs[n], row.backbone) for n, row in table.items()]
checkout.check("Every neck has levels at the anchors' strides", necks, [anchors] * 33)
same = all(pixels(cfgs[name]) == row.pixels for name, row in table.items())
checkout.check("Every config has the pixels of its checkpoint", same, True)
unused = [name for name, row in table.items() if row.backbone.unused[0]]
checkout.check("Parameters that Faster R-CNN would leave unused", unused, [])

# %%
# The config of ``efficientnet_b1`` has the levels of this page's; a ConvNeXt is trained.
for part, key in (("backbone", "out_indices"), ("neck", "in_channels")):
    mine, theirs = cfg.model[part][key], cfgs["efficientnet_b1"].model[part][key]
    checkout.check(f"efficientnet_b1 has {key}", list(theirs), list(mine))
trained = checkout.train(table["convnext_atto"].file, evaluate=False)
optimizer = type(trained.optimizer).__name__
checkout.check("convnext_atto is trained by", optimizer, "AdamW")
checkout.check("The weights of convnext_atto move", trained.trains("backbone"), [True])

# %%
# What was not tried
# ~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/timm_backbone_not_tried.rst
