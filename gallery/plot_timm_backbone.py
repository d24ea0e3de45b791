"""
How do I use a backbone from timm?
==================================

# {% if mmdet2 %}
Set the type to ``mmcls.TIMMBackbone``, name the timm model, ask for its features only,
# {% else %}
Set the type to ``mmpretrain.TIMMBackbone``, name the timm model, ask for its features only,
# {% endif %}
and give the neck the channels of the levels that you pick. Here RetinaNet gets an EfficientNet-B1.
"""

# %%
# .. index:: ! EfficientNet
#
# {% if mmdet2 %}
# .. install:: timm mmcls
# {% else %}
# .. install:: timm mmpretrain
# {% endif %}
#
# .. snippet:: retinanet_timm-efficientnet-b1_fpn_1x_coco.py
#
# .. train:: retinanet_timm-efficientnet-b1_fpn_1x_coco.py
#
# {% if mmdet2 %}
# MMDetection has this config among its own since 2.22, in ``configs/timm_example``. The
# wrapper has ``features_only`` since MMClassification 0.20.
# {% else %}
# For any MMDetection 3, which has a config like it in ``configs/timm_example``. With timm 1.x
# take the config of ``efficientnet_b1`` from the table below: its checkpoint is another there,
# trained on pixels of another scale.
# {% endif %}

# %%
# Adapt it
# --------
# The third column has a config for each model. It works as it is: save it below ``configs/``, like the
# one above. Where a model needs more than its levels, the config has it: the scale of the pixels that
# its checkpoint was trained on, AdamW for ConvNeXt, ``find_unused_parameters`` for several GPUs. With
# ``pretrained=True`` timm downloads the checkpoint. The parameters are those of the backbone.
import torch
from howto import Workspace
from howto.checkout.family import api
from howto.figures.show import Table
from howto.figures.timm_models import HEAD, rows

checkout = Workspace("timm_backbone")
checkout.ask_python()
config, library = checkout.own, api().LIBRARIES[-1]
cfg = checkout.config(config)
with checkout.inside():
    table = {row.name: row for row in rows()}
    folder = checkout.root / "configs/timm_backbone"
    cfgs = {name: row.write(folder) for name, row in table.items()}
Table(HEAD, [row.cells() for row in table.values()])

# %%
# - **Faster R-CNN**: in the config write its file into ``_base_``, and leave out ``start_level``: it needs
#   all four levels, and their strides are those of its own backbone.
# - **A loss or hook of your own**: name its module in ``imports``, and the one that is there, too. A
#   config that inherits from this one :doc:`replaces the whole list <plot_mmcls_backbone>`.
# - **A checkpoint of your own**: see `A checkpoint of your own`_.

# %%
# Any other model
# ~~~~~~~~~~~~~~~
# Ask timm for its levels. Take the four whose ``reduction`` is 4 to 32: their numbers are ``out_indices``,
# and ``num_chs`` are the channels.
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

# {% if mmdet3 %}

# %%
# In pure Python
# ~~~~~~~~~~~~~~
# The same config :doc:`without strings <plot_mmcls_backbone>`, for MMEngine 0.8 or newer:
#
# .. snippet:: retinanet_timm_efficientnet_b1_fpn_1x_coco.py
#
# .. code-block:: console
#
#    $ python tools/train.py configs/timm_backbone/retinanet_timm_efficientnet_b1_fpn_1x_coco.py --auto-scale-lr
# {% endif %}

# %%
# What the detector becomes
# -------------------------
# The prefix names the library in which the wrapper ``TIMMBackbone`` is registered. The wrapper passes
# every other key to ``timm.create_model``. timm numbers the levels from 0, at stride 2;
# ``out_indices=(1, 2, 3, 4)`` are those at strides 4 to 32.
model = checkout.build(cfg)
backbone = model.backbone
from howto.figures.diagram import draw_detector

stock = checkout.config("retinanet/retinanet_r50_fpn_1x_coco.py")
draw_detector(model, cfg, stock)

# %%
# Your log should say
# -------------------
# The wrapper logs the channels of its levels, which have to be the neck's ``in_channels``, and their
# strides, which have to be 4 to 32. Then the loss falls, slowly. The lines are from a run on the small
# COCO with eight images a step and without the warm-up.
import statistics

run = checkout.train(config, epochs=4, warmed_up=True, batch_size=8, val_interval=4)

# %%
said = run.logged("backbone out_")
losses = run.logged(api().TRAINED)
print(*said, losses[0], "…", losses[-1], sep="\n")
told = "backbone out_channels: [24, 40, 112, 320]" in said
checkout.check("The wrapper logs the channels that the neck expects", told, True)

# %%
# Pitfalls
# --------

# %%
# {% if mmdet2 %}
# ``ImportError`` without further text: MMClassification is not installed
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Install it, or correct its name, which stands further up in the traceback.
# {% else %}
# ``ImportError: Failed to import custom modules``: MMPreTrain is not installed
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Install it, or correct its name. ``PYTHONPATH``, which the message advises, does not help.
# {% endif %}
changes = {f"imports=['{library}.models']": f"imports=['{library}.model']"}
failure = checkout.fails(checkout.config, checkout.edit(config, changes))
asked = {"imports": [f"{library}.model"], "allow_failed_imports": False}
says = {"mmcls": "", "mmpretrain": f": Failed to import custom modules from {asked}"}
message = f"ImportError{says[library]}"
checkout.check("It says", failure.message.partition(", the current")[0], message)

# %%
# timm downloads its checkpoint again for testing, and stops without a network
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Set ``pretrained`` to ``False`` for all that starts from a checkpoint of yours:
#
# .. code-block:: console
#
# {% if mmdet2 %}
#    $ python tools/test.py CONFIG CHECKPOINT --eval bbox --cfg-options model.backbone.pretrained=False
# {% else %}
#    $ python tools/test.py CONFIG CHECKPOINT --cfg-options model.backbone.pretrained=False
# {% endif %}
#
# In Python ``init_detector`` takes ``cfg_options={'model.backbone.pretrained': False}``. For any other
# program write a config with ``_base_`` and ``model = dict(backbone=dict(pretrained=False))``.
# MMDetection skips the checkpoints that it knows, those of ``init_cfg``, but timm loads its own. On a
# machine without a network, or without timm's cache, that stops the program: with ``URLError: <urlopen error``
# from timm 0.6, with ``LocalEntryNotFoundError`` from timm 1.
checkpoint = run.checkpoint.relative_to(checkout.root)
nothing = "HTTPS_PROXY=http://127.0.0.1:9 TORCH_HOME=none HF_HUB_CACHE=none"
test = f"{nothing} python tools/test.py configs/timm_backbone/{config} {checkpoint}"
test += f" {api().evaluating()}"
output = checkout.shell(test, succeeds=False)
refused = "URLError" in output or "LocalEntryNotFoundError" in output
checkout.check("Without a network timm stops it", refused, True)

# %%
off = "model.backbone.pretrained=False"
output = checkout.shell(f"{test} {{fit}} {off}")
checkout.check("Then it evaluates", "Evaluating bbox" in output, True)

from mmdet.apis import init_detector

from howto.checkout import weights
from howto.project.quiet import quiet

path = str(checkout.root / "configs/timm_backbone" / config)
off = {"model.backbone.pretrained": False}
with quiet():
    trained = init_detector(path, str(run.checkpoint), device="cpu", cfg_options=off)
found, saved = trained.state_dict(), weights.load(run.checkpoint)
same = [torch.equal(found[key], saved[key].cpu()) for key in found]
checkout.check("Every weight is the trained one", all(same), True)

# %%
# ``got an unexpected keyword argument 'out_indices'``: no ``features_only``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Set ``features_only=True``. Without it timm builds the whole classifier, which has no levels to pick.
variant = checkout.edit(config, {"        features_only=True,\n": ""})
failure = checkout.fails(checkout.build, checkout.config(variant))
reason = "got an unexpected keyword argument 'out_indices'"
checkout.check(f"It says: {reason}", reason in failure.message, True)

# %%
# ``expected input to have 40 channels``: the levels are counted from 0
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Take ``out_indices`` from the table. ``(0, 1, 2, 3)`` starts one level too early: the detector builds,
# and stops at the first image.
changes = {"out_indices=(1, 2, 3, 4)": "out_indices=(0, 1, 2, 3)"}
variant = checkout.edit(config, changes)
failure = checkout.fails(checkout.train, variant)
reason = "to have 40 channels, but got 24 channels instead"
checkout.check(f"It says: {reason}", reason in failure.message, True)

# %%
# Levels at other strides than the anchors: ``out_indices`` of DLA or CSPDarkNet
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Take ``out_indices`` and channels from the table. Number 1 is the level at stride 4 for most models,
# number 0 for ConvNeXt, and number 2 for DLA and CSPDarkNet, whose first level is as large as the image.
# With the channels of the wrong levels the detector builds and trains without an error.
from howto.checkout.measure import anchor_strides, neck_strides, roi_strides

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
# Pixels on another scale than the checkpoint's, without an error
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Set ``mean`` and ``std`` as the configs of the table do. MMDetection's standard configs normalise pixels
# by ImageNet's mean and deviation. Most of timm's checkpoints were trained on such pixels, some on
# pixels from -1 to 1.
from howto.figures.backbones import STOCK, pixels

lite = table["tf_efficientnet_lite0"]
own = "mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]"
usual = "mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]"
variant = checkout.edit(lite.file, {own: usual})
scale = ([127.5] * 3,) * 2
checkout.check("The checkpoint's mean and deviation", lite.pixels[:2], scale)
standard = pixels(checkout.config(variant)) == pixels(stock) == STOCK
checkout.check("The standard config has others", standard, True)

# %%
# In timm 1.x there is such a checkpoint for ``efficientnet_b1``, too; in 0.6 there is not.
import timm

told = [name for name, row in table.items() if row.backbone.pixels]
known = {"0": [lite.name], "1": ["efficientnet_b1", lite.name]}[timm.__version__[0]]
checkout.check("Models of the table with such a checkpoint", told, known)
# {% if mmdet2 %}

# %%
# ``The `num_classes` (0) in HighResolutionNetFeatures``: HRNet
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Leave out ``NumClassCheckHook``, and keep the other hooks of your base: a list replaces the base's.
# RetinaNet has no other, so the table's config says ``custom_hooks = []``. YOLOX has three more, which
# you name again. The hook compares each ``num_classes`` in the detector with the dataset's, and an
# HRNet of timm has one that is 0.
hrnet = table["hrnet_w18_small"]
variant = checkout.edit(hrnet.file, {"custom_hooks = []\n": ""})
failure = checkout.fails(checkout.train, variant, model__backbone__pretrained=False)
reason = "The `num_classes` (0) in HighResolutionNetFeatures"
checkout.check(f"It says: {reason}", reason in failure.message, True)
named = [name for name, row in table.items() if row.classes]
checkout.check("Models that have num_classes", named, [hrnet.name])
bases = stock, checkout.config("yolox/yolox_s_8x8_300e_coco.py")
hooks = [[hook.type for hook in base.custom_hooks] for base in bases]
YOLOX = ["YOLOXModeSwitchHook", "SyncNormHook", "ExpMomentumEMAHook"]
checkout.check("Hooks of RetinaNet and YOLOX", hooks, [["NumClassCheckHook"], YOLOX])
# {% endif %}

# %%
# ``Expected to have finished reduction in the prior iteration before starting a new one``: HRNet
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Set ``find_unused_parameters = True``, as its config does. RetinaNet leaves out the first level. What an
# HRNet computes for that level alone gets no gradient, and several GPUs stop at that.
hrnet = table["hrnet_w18_small"]
variant = checkout.edit(hrnet.file, {"find_unused_parameters = True\n": ""})
changes = dict(model__backbone__pretrained=False)
output = checkout.launch(variant, iterations=2, succeeds=False, **changes)
message = "Expected to have finished reduction in the prior iteration before starting a new one"
checkout.check(f"Two processes say: {message}", message in output, True)
parts = [row.backbone for row in table.values()]
unused = [part.keys["model_name"] for part in parts if part.unused[part.start_level]]
checkout.check("Models with parameters without a gradient", unused, [hrnet.name])

# %%
# ``pretrained must be bool, not str for model path``: it is a switch
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Add ``pretrained_cfg`` for a file of your own, as under *A checkpoint of your own*.
variant = checkout.edit(config, {"pretrained=True": "pretrained='efficientnet_b1.pth'"})
failure = checkout.fails(checkout.build, checkout.config(variant))
reason = "pretrained must be bool, not str for model path"
checkout.check(f"It says: {reason}", reason in failure.message, True)

# %%
# ``Unexpected key(s) in state_dict``: ``checkpoint_path`` loads strictly
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Use ``pretrained_cfg`` here, too. ``checkpoint_path`` is meant for whole classifiers: with
# ``features_only`` timm compares the file's names with those of the levels alone, and stops.
own = timm.create_model("efficientnet_b1").state_dict()
torch.save(own, checkout.root / "own.pth")
variant = checkout.edit(config, {"pretrained=True": "checkpoint_path='own.pth'"})
failure = checkout.fails(checkout.build, checkout.config(variant))
reason = 'Unexpected key(s) in state_dict: "conv_head.weight"'
checkout.check(f"It says: {reason}", reason in failure.message, True)

# %%
# ``unexpected keyword argument 'inplace'``, or ``No equivalent norm_act layer``: ``SyncBN``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Leave out ``norm_layer='SyncBN'``, which would average over all GPUs. EfficientNet does not accept it:
# its norms include the activation.
line = "        features_only=True,"
variant = checkout.edit(config, {line: f"{line}\n        norm_layer='SyncBN',"})
failure = checkout.fails(checkout.build, checkout.config(variant))
reason = {
    "mmcls": "No equivalent norm_act layer for syncbatchnorm",
    "mmpretrain": "unexpected keyword argument 'inplace'",
}[library]
checkout.check(f"It says: {reason}", reason in failure.message, True)
# {% if mmdet3 %}

# %%
# Twice the learning rate: ``optimizer = dict(…)``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Write ``optim_wrapper = dict(optimizer=dict(…))``. MMDetection 3 does not read ``optimizer``, which is
# the form of MMDetection 2: the training runs, with the stock schedule's learning rate of 0.02.
old = "optim_wrapper = dict(optimizer=dict(lr=0.01))"
new = "optimizer = dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=0.0001)"
variant = checkout.edit(config, {old: new})
ignored = checkout.train(variant, evaluate=False, batch_size=8)
rate = ignored.optimizer.param_groups[0]["initial_lr"]
checkout.check("It is ignored: the learning rate is", rate, 0.02)

# %%
# Activations are lost: ``sync_bn``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Leave it out. The key of MMEngine's runner makes every batch norm one that averages over all GPUs.
# timm's norms include the activation, and lose it without an error.
from mmengine.model import convert_sync_batchnorm
from torch import nn

before = checkout.build(cfg).backbone
kinds = {type(module) for module in before.modules() if hasattr(module, "running_mean")}
acting = {hasattr(kind(1), "act") for kind in kinds}
checkout.check("timm's norms have activations in them", acting, {True})
after = convert_sync_batchnorm(before, "torch")
kinds = {type(module) for module in after.modules() if hasattr(module, "running_mean")}
checkout.check("Afterwards each is", kinds, {nn.SyncBatchNorm})
# {% endif %}

# %%
# Evidence
# --------

# %%
# Wrapper, channels and strides are what the config names
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
keys = ["features_only", "model_name", "out_indices", "pretrained", "type"]
checkout.check("The backbone's keys", sorted(cfg.model.backbone), keys)
module = f"{library}.models.backbones.timm_backbone"
checkout.check("The wrapper's module", type(backbone).__module__, module)
wrapped = type(backbone.timm_model).__module__
checkout.check("What it wraps", wrapped, "timm.models.efficientnet")
levels = backbone(torch.rand(1, 3, 256, 256, device=checkout.device))
channels = [level.shape[1] for level in levels]
strides = [256 // level.shape[-1] for level in levels]
checkout.check("The levels have channels", channels, [24, 40, 112, 320])
checkout.check("The neck expects", list(cfg.model.neck.in_channels), channels)
checkout.check("The levels have strides", strides, [4, 8, 16, 32])

listed = backbone.timm_model.feature_info.info
theirs = [listed[number]["reduction"] for number in cfg.model.backbone.out_indices]
checkout.check("The strides by timm's feature_info", theirs, strides)

# %%
# RetinaNet's neck leaves out the first of four levels by ``start_level=1``, so what the head gets begins
# at stride 8, as its anchors do. The other levels are computed from the first, so every parameter gets a
# gradient, and several GPUs need no other config.
anchors = anchor_strides(model)
checkout.check("The anchors lie at strides", anchors, [8, 16, 32, 64, 128])
checkout.check("The head gets levels at strides", neck_strides(model), anchors)
checkout.check("Parameters without a gradient", checkout.unused_parameters(cfg), [])

# %%
# ``pretrained=True`` loads timm's checkpoint
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# timm loads its own checkpoint while the backbone is built, and ``init_weights`` does not change it.
# Where the list at the end of this page says that these weights are random, names and shapes are those
# of timm's own model, which its published file has to fit.
checkpoint = checkout.checkpoint("efficientnet_b1")
loaded = backbone.timm_model.state_dict()
lacking = sorted(set(loaded) - set(checkpoint))
checkout.check("Tensors that the checkpoint lacks", lacking, [])
equal = [key for key in loaded if torch.equal(loaded[key].cpu(), checkpoint[key])]
checkout.check("Tensors equal to the checkpoint's", len(equal), len(loaded))

# %%
# A checkpoint of your own
# ~~~~~~~~~~~~~~~~~~~~~~~~
# Add ``pretrained_cfg`` with the file's path, from where you start the training or an absolute one. Keep
# ``pretrained=True``, without which timm loads nothing. Here the file holds a classifier with weights of
# its own.
line = "        pretrained=True,"
named = f"{line}\n        pretrained_cfg=dict(file='own.pth'),"
variant = checkout.edit(config, {line: named}, adapts=True)
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
ratio = statistics.mean(late) / statistics.mean(early)
checkout.check("The loss falls: second half over first", ratio, at_most=0.99)
rate = 0.01 * run.images_per_step / 16
checkout.check("Learning rates of the run", set(run.rates), {rate})
checkout.check("It is evaluated, times", run.evaluations, 1)
moved = run.trains("backbone")
checkout.check("The backbone's weights move in each epoch", all(moved), True)

# %%
# These are the config's, which sets the rate for 16 images.
group = run.optimizer.param_groups[0]
settings = {key: group[key] for key in ("initial_lr", "momentum", "weight_decay")}
settings["initial_lr"] *= 16 / run.images_per_step
checkout.check("The optimizer is", type(run.optimizer).__name__, "SGD")
expected = {"initial_lr": 0.01, "momentum": 0.9, "weight_decay": 0.0001}
checkout.check("The optimizer has", settings, expected)

# %%
# It trains on several GPUs
# ~~~~~~~~~~~~~~~~~~~~~~~~~
# With MMDetection's own script, in fresh processes where no other code has imported the library. The
# log says what ``--auto-scale-lr`` makes of the rate for two images in each process.
output = checkout.launch(config, iterations=2, auto_scale_lr__enable=True)
folder = checkout.root / "work_dirs" / config.replace(".py", "_two_processes0")
saved = any(folder.glob("epoch_*.pth"))
checkout.check("Two processes train it, and save a checkpoint", saved, True)
scaled = api().scaled(0.01, 0.25)
checkout.check(f"They say: {scaled}", scaled in output, True)
# {% if mmdet3 %}

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
alike = checkout.train(pure, evaluate=False, batch_size=8)
checkout.check("In pure Python the backbone trains", alike.trains("backbone"), [True])
same = type(alike.model.backbone.timm_model) is type(backbone.timm_model)
checkout.check("It wraps the same class", same, True)
# {% endif %}

# %%
# The backbone's batch norms train
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# With two images a GPU, take a model without batch norms, such as ConvNeXt, or put more images on a GPU.
# ``_delete_`` drops the ResNet's ``norm_eval=True`` and ``frozen_stages=1``, and the wrapper has neither
# key: everything trains, and the batch norms average over the images of one GPU.
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
# Channels and strides are measured in a forward pass. Every config was loaded, and its neck got levels
# of these shapes.
from howto.figures import backbones

checkout.check("Models in the table", len(table), 33)
told = [row.told for row in table.values()]
same = told == [(part.channels, part.strides) for part in parts]
checkout.check("timm's feature_info says what is measured", same, True)
with checkout.inside():
    necks = [backbones.neck_strides(cfgs[n], row.backbone) for n, row in table.items()]
checkout.check("Every neck has levels at the anchors' strides", necks, [anchors] * 33)
same = all(pixels(cfgs[name]) == row.pixels for name, row in table.items())
checkout.check("Every config has the pixels of its checkpoint", same, True)
unused = [name for name, row in table.items() if row.backbone.unused[0]]
checkout.check("Parameters that Faster R-CNN would leave unused", unused, [])

# %%
# The config of a model whose pixels are on another scale becomes a Faster R-CNN by the two changes under
# *Adapt it*.
from pathlib import Path

faster = checkout.config("faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py")
name = Path(faster.filename).name
base = "retinanet/retinanet_r50_fpn_1x_coco.py"
changes = {base: f"faster_rcnn/{name}", ", start_level=1": ""}
adapted = checkout.config(checkout.edit(lite.file, changes, adapts=True))
checkout.check("Its pixels are the checkpoint's", pixels(adapted), lite.pixels)
adapted.model.backbone.pretrained = False
built = checkout.build(adapted)
given = neck_strides(built)
checkout.check("Its neck's strides are its anchors'", given, anchor_strides(built))
checkout.check("Boxes are cut out at these strides", roi_strides(built), given[:4])

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
# - Accuracy: the weights are random where the real ones were out of reach, and the small COCO is too
#   small to tell a good detector from a bad one.
# - Two images a step, as on one GPU: at an eighth of the rate a run this short shows no trend.
# - Twelve epochs on COCO, and eight GPUs. The command for several GPUs ran in two processes.
# - Training with most models of the table, and opening their checkpoints.
