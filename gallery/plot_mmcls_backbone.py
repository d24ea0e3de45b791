"""
# {% if mmdet2 %}
How do I use a backbone from MMClassification?
==============================================

Write its class with the prefix ``mmcls.``, drop the old backbone's keys with
# {% else %}
How do I use a backbone from MMPreTrain?
========================================

Write its class with the prefix ``mmpretrain.``, drop the old backbone's keys with
# {% endif %}
``_delete_``, and give the neck the new channels. Here RetinaNet gets a MobileNetV3 small
instead of its ResNet-50; no file of MMDetection is edited.
"""

# %%
# {% if mmdet2 %}
# .. install:: mmcls
#
# .. snippet:: retinanet_mobilenet_v3_small_fpn_1x_coco.py
#
# .. train:: retinanet_mobilenet_v3_small_fpn_1x_coco.py
#
# For MMDetection 2.14 or newer. The prefix works since 2.12, but up to 2.13 RetinaNet hands
# ``pretrained`` to its backbone, and MobileNetV3 does not accept it. This page ran on 2.28.
# {% else %}
# MMPreTrain is MMClassification's successor.
#
# .. install:: mmpretrain
#
# .. snippet:: retinanet_mobilenet-v3-small_fpn_1x_coco.py
#
# .. train:: retinanet_mobilenet-v3-small_fpn_1x_coco.py
#
# For any MMDetection 3.
# {% endif %}

# %%
# Adapt it
# --------
# Take the config of another backbone from the third column: it works as it is, below ``configs/``
# like the one above. For another detector copy ``custom_imports``, the backbone, ``in_channels`` and
# what column *Needs* names. RetinaNet leaves out the first of four levels by ``start_level``; a
# Faster R-CNN needs all four, and no ``start_level``.
import torch
from howto import Workspace
from howto.checkout.family import api
from howto.figures.classifiers import HEAD, rows
from howto.figures.show import Table

checkout = Workspace("mmcls_backbone")
checkout.ask_python()
config, library = checkout.own, api().LIBRARIES[-1]
with checkout.inside():
    table = {row.name: row for row in rows()}
    folder = checkout.root / "configs/mmcls_backbone"
    cfgs = {name: row.write(folder) for name, row in table.items()}
Table(HEAD, [row.cells() for row in table.values()])

# %%
# - **Your own classes**: set ``num_classes`` of ``bbox_head``, and the names in each dataset, as on
#   :doc:`their page <plot_custom_classes>`.
# - **A loss or hook of your own**: name its module in ``imports``, and this library's too. A config that
#   inherits from this one replaces the whole list.
# - **Freeze the first stages**: add ``frozen_stages=1`` to the backbone, as the standard config has
#   it. Here it freezes everything up to stride 4.
# - **No level unused**: with ``out_indices=(3, 8, 12)`` and 576 channels the last convolution is used,
#   and ``find_unused_parameters`` is not needed; but the neck grows by more parameters than the
#   backbone has.
# {% if mmdet3 %}

# %%
# In pure Python
# ~~~~~~~~~~~~~~
# The same config without strings: ``read_base`` imports what it is based on, classes replace their
# names, and an assignment replaces ``_delete_``. Editors can follow such names, and
# ``custom_imports`` is not needed.
#
# Every base must be a file that Python can import. Faster R-CNN's in ``configs/_base_/`` is not,
# because its name has a hyphen, so the how-tos that start from it have no such form.
#
# .. snippet:: retinanet_mobilenet_v3_small_fpn_1x_coco.py
#
# .. code-block:: console
#
#    $ python tools/train.py configs/mmcls_backbone/retinanet_mobilenet_v3_small_fpn_1x_coco.py --auto-scale-lr
#
# ``read_base`` needs MMEngine 0.8 or newer.
# {% endif %}

# %%
# What the detector becomes
# -------------------------
# ``_delete_=True`` drops every key of the ResNet, so ``norm_eval`` is set again: two images a GPU are
# too few to average over. The neck has three levels instead of four. ``out_indices=(3, 8, 11)`` names the
# last block at each of three strides. Their channels go into ``neck.in_channels`` in the same order.
from howto.figures.diagram import draw_detector

cfg = checkout.config(config)
model = checkout.build(cfg)
backbone = model.backbone
stock = checkout.config("retinanet/retinanet_r50_fpn_1x_coco.py")
draw_detector(model, cfg, stock)

# %%
# Your log should say
# -------------------
# The first line says that the checkpoint was loaded, by its prefix; the loss then falls. These lines
# are from four epochs on the small COCO with eight images a step.
run = checkout.train(config, epochs=4, warmed_up=True, batch_size=8, val_interval=4)

# %%
lines = run.logged(api().TRAINED)
print(*run.logged("load backbone."), *lines[:2], "…", *lines[-2:], sep="\n")

# %%
# Pitfalls
# --------

# %%
# ``RuntimeError: Expected to have finished reduction in the prior iteration before starting a new one.``: ``find_unused_parameters`` is left out
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Set ``find_unused_parameters = True``. MobileNetV3 builds ``layer12``, the convolution before a
# classifier's pooling, but no level follows it, so it gets no gradient. One GPU trains all the same;
# several stop in the second iteration and list the numbers of those parameters. The published tutorial
# lacks the line.
unused = checkout.unused_parameters(cfg)
names = ("conv.weight", "bn.weight", "bn.bias")
layer12 = [f"backbone.layer12.{name}" for name in names]
checkout.check("Parameters without a gradient", unused, layer12)
variant = checkout.edit(config, {"find_unused_parameters = True\n": ""})
output = checkout.launch(variant, iterations=2, succeeds=False)
message = "RuntimeError: Expected to have finished reduction in the prior iteration before starting a new one."
checkout.check(f"Two processes say: {message}", message in output, True)
message = "did not receive grad for rank 0: 135 136 137"
checkout.check(f"They name: {message}", message in output, True)

# %%
# RetinaNet at twice its learning rate: the line is left out
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Set the rate to 0.01, as MMDetection's own RetinaNet does. The schedule's 0.02 is for Faster R-CNN,
# and no message says so. The published tutorial lacks the line.
lines = (checkout.source / config).read_text("utf-8").splitlines(keepends=True)
(line,) = [each for each in lines if "lr=0.01" in each]
without = checkout.config(checkout.edit(config, {line: ""}))
faster = checkout.config("faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py")
checkout.check("Without the line the learning rate is", api().rate(without), 0.02)
checkout.check("Faster R-CNN's is", api().rate(faster), 0.02)
checkout.check("The stock RetinaNet's is", api().rate(stock), 0.01)

# %%
# Anchors reach only to the middle of the image: ``start_level=0`` is left out
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Set ``start_level=0``. The neck leaves out the first of four levels, as ``_base_`` says, but there are
# only three. So it begins at stride 16, while the head lays its anchors as if that were 8, and their
# centres end at the middle of the image. There is no error, and no loss looks wrong.
import math

from howto.checkout.measure import anchor_reach, anchor_strides, neck_strides

anchors = anchor_strides(model)
variant = checkout.edit(config, {", start_level=0": ""})
shifted = checkout.build(checkout.config(variant))
twice = [2 * stride for stride in anchors]
checkout.check("The neck's levels have strides", neck_strides(shifted), twice)
checkout.check("The anchors have strides", anchor_strides(shifted), anchors)
reached = round(anchor_reach(shifted), 2)
checkout.check("The centres reach, as a part of the width", reached, 0.47)
silent = checkout.train(variant, evaluate=False)
finite = all(map(math.isfinite, silent.losses))
checkout.check("It trains, and every loss is finite", finite, True)

# %%
# No weight is the checkpoint's: ``prefix`` is left out
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Set ``prefix='backbone.'``. Without it no name in the checkpoint fits. What does not fit is skipped
# without an error, and the backbone trains from random weights.
checkpoint = checkout.checkpoint("mobilenet_v3_small-8427ecf0.pth")
expected = {
    key.removeprefix("backbone."): value
    for key, value in checkpoint.items()
    if key.startswith("backbone.")
}
variant = checkout.edit(config, {", prefix='backbone.'": ""})
untouched = checkout.build(checkout.config(variant)).backbone.state_dict()
four = {key: value.cpu() for key, value in untouched.items() if value.ndim == 4}
equal = [key for key in four if torch.equal(four[key], expected[key])]
checkout.check("Convolutions equal to the checkpoint's", len(equal), 0)

# %%
# ``AssertionError: model. is not in the pretrained model``: another prefix
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Use the prefix of the checkpoint's keys. One that no key begins with stops the run.
variant = checkout.edit(config, {"prefix='backbone.'": "prefix='model.'"})
failure = checkout.fails(checkout.build, checkout.config(variant))
message = "AssertionError: model. is not in the pretrained model"
checkout.check("It says", failure.message, message)

# %%
# {% if mmdet2 %}
# ``ImportError``: MMClassification is not installed
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Install it, or correct its name: ``mmpretrain`` is for MMDetection 3. The traceback has the name
# further up, after ``ModuleNotFoundError``.
# {% else %}
# ``Failed to import custom modules from {'imports': ['mmcls.models']``: the name in MMDetection 2
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Write ``mmpretrain.models``, and install it. The message goes on to advise you to set
# ``PYTHONPATH``, which does not help.
# {% endif %}
# With ``allow_failed_imports=True`` the run would go on, to an error that does not name the library.
other = {"mmcls": "mmpretrain", "mmpretrain": "mmcls"}[library]
changes = {f"imports=['{library}.models']": f"imports=['{other}.models']"}
failure = checkout.fails(checkout.config, checkout.edit(config, changes))
asked = {"imports": [f"{other}.models"], "allow_failed_imports": False}
says = {"mmcls": "", "mmpretrain": f": Failed to import custom modules from {asked}"}
message = f"ImportError{says[library]}"
checkout.check("It says", failure.message.partition(", the current")[0], message)

# %%
# {% if mmdet2 %}
# ``MobileNetV3 is not in the models registry``: the class has no prefix
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# {% else %}
# ``MobileNetV3 is not in the mmdet::model registry``: the class has no prefix
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# {% endif %}
# Add the prefix. Without it MMDetection looks among its own backbones.
variant = checkout.edit(config, {f"type='{library}.MobileNetV3'": "type='MobileNetV3'"})
failure = checkout.fails(checkout.build, checkout.config(variant))
registry = {"mmcls": "models", "mmpretrain": "mmdet::model"}[library]
reason = f"MobileNetV3 is not in the {registry} registry"
checkout.check(f"It says: {reason}", reason in failure.message, True)

# %%
# {% if mmdet2 %}
# ``AttributeError: RetinaNet: 'NoneType' object has no attribute 'parent'``: ``mmcls.models`` is not imported
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Name ``mmcls.models`` in ``custom_imports``. If your config inherits from this one and has
# imports of its own, they replace those of this one, so name it again.
# {% else %}
# Imports of the base are gone: ``custom_imports`` of a config that inherits
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Name all modules again: your list replaces that of the base. ``mmpretrain.models`` may be left
# out, because MMEngine imports the package that a prefix names. But with the name the run stops
# early if the package is not installed.
# {% endif %}
own = "configs.mmcls_backbone.own_loss"
(folder / "own_loss.py").write_text("# your own loss\n", "utf-8")
child = folder / "with_own_loss.py"
text = f"_base_ = './{config}'\ncustom_imports = dict(imports=['{own}'])\n"
child.write_text(text, "utf-8")
imports = checkout.config(child.name).custom_imports.imports
checkout.check("All imports of a config that inherits", imports, [own])
model_of = f"init_detector('configs/mmcls_backbone/{child.name}', device='cpu')"
program = f"from mmdet.apis import *; print(type({model_of}.backbone).__module__)"
command = f'PYTHONPATH=. python -c "{program}"'
# {% if mmdet2 %}

# %%
output = checkout.shell(command, succeeds=False)
message = "AttributeError: RetinaNet: 'NoneType' object has no attribute 'parent'"
checkout.check("The last line", output.splitlines()[-1], message)
child.write_text(text.replace("['", "['mmcls.models', '"), "utf-8")
# {% endif %}

# %%
*_, built = checkout.shell(command).splitlines()
module = f"{library}.models.backbones.mobilenet_v3"
checkout.check("The backbone of a config that inherits is from", built, module)
# {% if mmdet3 %}

# %%
# ``got an unexpected keyword argument 'depth'``: ``update`` in pure Python
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Assign the whole backbone. ``update`` merges and knows no ``_delete_``: the keys of the ResNet
# stay, and the new backbone gets its ``depth``.
pure = "retinanet_mobilenet_v3_small_fpn_1x_coco.py"
changes = {
    "model.backbone = dict(": "model.update(backbone=dict(_delete_=True,",
    "prefix='backbone.'))": "prefix='backbone.')))",
}
failure = checkout.fails(checkout.build, checkout.config(checkout.edit(pure, changes)))
reason = "got an unexpected keyword argument 'depth'"
checkout.check(f"It says: {reason}", reason in failure.message, True)
# {% endif %}

# %%
# ``to have 16 channels, but got 24 channels instead``: ``in_channels`` do not match
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Take the channels from the table. With others the detector builds, and stops at the first image.
changes = {"in_channels=[24, 48, 96]": "in_channels=[16, 24, 48]"}
variant = checkout.edit(config, changes)
failure = checkout.fails(checkout.train, variant)
reason = "to have 16 channels, but got 24 channels instead"
checkout.check(f"It says: {reason}", reason in failure.message, True)

# %%
# ``is smaller than the window size (7)``: a Swin Transformer and a small image
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Set ``pad_small_map=True``, as the configs of the table do: it pads a level that is smaller than a
# window. A classifier's Swin stops at images that small.
name = "SwinTransformer, arch='tiny'"
variant = checkout.edit(table[name].file, {"        pad_small_map=True,\n": ""})
swin = checkout.backbone(**checkout.config(variant).model.backbone)
failure = checkout.fails(swin, torch.rand(1, 3, 128, 128))
reason = "The input shape (4, 4) is smaller than the window size (7)."
checkout.check(f"It says: {reason}", reason in failure.message, True)

# %%
# ``Expected 3D (unbatched) or 4D (batched) input to conv2d``: a ConvNeXt's levels are averaged
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Set ``gap_before_final_norm=False``, as the configs of the table do. A classifier's ConvNeXt averages
# each level to a single vector, which a neck cannot use.
name = "ConvNeXt, arch='tiny'"
changes = {"        gap_before_final_norm=False,\n": ""}
variant = checkout.edit(table[name].file, changes)
parts = checkout.config(variant).model
convnext, neck = checkout.backbone(**parts.backbone), checkout.backbone(**parts.neck)
averaged = convnext(torch.rand(1, 3, 64, 64))
failure = checkout.fails(neck, averaged)
reason = "Expected 3D (unbatched) or 4D (batched) input to conv2d"
checkout.check(f"It says: {reason}", reason in failure.message, True)

# %%
# Evidence
# --------

# %%
# The backbone is the library's
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# No key of the ResNet is left, and its levels are those of the last blocks at each stride.
keys = ["arch", "init_cfg", "norm_eval", "out_indices", "type"]
checkout.check("The backbone's keys", sorted(cfg.model.backbone), keys)
checkout.check("The class is from", type(backbone).__module__, module)
image = torch.rand(1, 3, 256, 256, device=checkout.device)
levels = backbone(image)
channels = [level.shape[1] for level in levels]
strides = [256 // level.shape[-1] for level in levels]
checkout.check("The levels have channels", channels, [24, 48, 96])
checkout.check("The neck expects", list(cfg.model.neck.in_channels), channels)
checkout.check("The levels have strides", strides, [8, 16, 32])

# %%
last, level = {}, image
for number, name in enumerate(backbone.layers[:-1]):  # the last layer is no block
    level = getattr(backbone, name)(level)
    last[256 // level.shape[-1]] = number
blocks = [last[stride] for stride in strides]
levels_of = list(cfg.model.backbone.out_indices)
checkout.check("The last blocks at these strides", blocks, levels_of)

# %%
# The strides belong to the anchors
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The head lays its anchors at strides of 8 to 128 pixels, whatever the neck gives it; no code compares
# the two. These three levels begin at stride 8, so ``start_level`` is 0.
checkout.check("The anchors have strides", anchors, [8, 16, 32, 64, 128])
checkout.check("The head gets levels of strides", neck_strides(model), anchors)

# %%
# Every weight is the checkpoint's
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# A classifier's checkpoint names its tensors ``backbone.…``. ``prefix='backbone.'`` keeps those and
# removes the prefix. All are compared, because one that does not fit is skipped without an error.
loaded = backbone.state_dict()
missing = sorted(set(loaded) - set(expected))
checkout.check("The checkpoint lacks", missing, [])
equal = [key for key in loaded if torch.equal(loaded[key].cpu(), expected[key])]
checkout.check("Tensors equal to the checkpoint's", len(equal), len(loaded))

# %%
# Where the list at the end of this page says that these weights are random, this shows that names and
# prefix fit the library's own classifier; the published file was not opened. Its weights are
# torchvision's, converted, and torchvision's class has tensors of the same shapes in the same order.
from torchvision.models import mobilenet_v3_small

published = mobilenet_v3_small().features.state_dict()
same = [a.shape == b.shape for a, b in zip(loaded.values(), published.values())]
counts = sum(same), len(published)
checkout.check("Tensors of torchvision's shape", counts, (len(loaded),) * 2)

# %%
# It trains, and the loss falls
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The run above had no warm-up, which would be longer than the run. Its rate is for eight images: half of
# that for 16.
import statistics

half = len(run.losses) // 2
ratio = statistics.mean(run.losses[half:]) / statistics.mean(run.losses[:half])
checkout.check("The loss falls: second half over first", ratio, at_most=0.99)
checkout.check("Learning rates", set(run.rates), {0.01 * run.images_per_step / 16})
checkout.check("It is evaluated, times", run.evaluations, 1)
moved = all(run.trains("backbone"))
checkout.check("The backbone's weights move in each epoch", moved, True)
averaging = {epoch.norms_training["backbone"] for epoch in run.epochs.values()}
checkout.check("Batch norms that average over two images", sum(averaging), 0)

# %%
# The trained detector detects.
found = api().boxes(checkout.detect(run.model, run.cfg, checkout.photograph()))
numbers = "x1, y1, x2, y2, score, label"
checkout.check(f"Numbers for a box: {numbers}", found.shape[1], 6)
checkout.check("Labels of COCO's 80", set(found[:, 5]) <= set(range(80)), True)

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
# In pure Python it is the same config
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Only the import, which it makes itself, and the name of the class differ.
other = checkout.config(pure)
one, same = cfg.to_dict(), other.to_dict()
checkout.check("The neck is the same", same["model"]["neck"], one["model"]["neck"])
differ = sorted(key for key in one if one[key] != same.get(key))
checkout.check("Keys that differ", differ, ["custom_imports", "model"])
for form in (one, same):
    del form["model"]["backbone"]["type"]  # a name, and the class that it names
equal = same["model"]["backbone"] == one["model"]["backbone"]
checkout.check("The backbone's keys are the same", equal, True)
alike = checkout.train(pure, evaluate=False)
checkout.check("In pure Python the backbone trains", alike.trains("backbone"), [True])
checkout.check("The class is the same", type(alike.model.backbone), type(backbone))
# {% endif %}

# %%
# What the changes under *Adapt it* do
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# ``frozen_stages=1`` freezes up to stride 4, as it does in the stock config.
line = "        norm_eval=True,"
variant = checkout.edit(config, {line: f"        frozen_stages=1,\n{line}"})
partly = checkout.build(checkout.config(variant)).train().backbone
still = [name for name, value in partly.named_parameters() if not value.requires_grad]
frozen = {name.partition(".")[0] for name in still}
checkout.check("frozen_stages=1 freezes", sorted(frozen), ["layer0", "layer1"])

# %%
# With the last convolution as a level nothing is unused, at the cost of a larger neck.
from howto.checkout.measure import cost, millions

changes = {"(3, 8, 11)": "(3, 8, 12)", "[24, 48, 96]": "[24, 48, 576]"}
wide = checkout.config(checkout.edit(config, changes))
unused = checkout.unused_parameters(wide)
checkout.check("With (3, 8, 12) no gradient is missing", unused, [])
grown = millions(checkout.build(wide).neck) - millions(model.neck)
larger = grown > millions(backbone)
checkout.check("The neck grows by more parameters than the backbone has", larger, True)

# %%
# The other backbones of the table
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Each backbone of the table was built from its config's keys, its levels were measured on an image of
# 64 pixels, and it was compared with the classifier of its checkpoint. Parameters that a checkpoint
# lacks begin with random weights.
from howto.figures import backbones

number = {"mmcls": 26, "mmpretrain": 30}[library]
checkout.check("Backbones in the table", len(table), number)
with checkout.inside():
    given = [backbones.neck_strides(cfgs[n], row.backbone) for n, row in table.items()]
checkout.check("The neck of each has levels of strides", given, [anchors] * number)
other = [n for n, row in table.items() if row.pixels != backbones.pixels(cfgs[n])]
checkout.check("Trained on pixels normalised otherwise", other, [])

# %%
new = [key for row in table.values() for key in row.lacking]
norms = all(key.startswith("norm") for key in new)
checkout.check("All that a checkpoint lacks are norms of the levels", norms, True)
lacking = {name.partition(",")[0] for name, row in table.items() if row.lacking}
expected = {"ConvNeXt", "HorNet", "SwinTransformer", "SwinTransformerV2", "PoolFormer"}
expected |= {"DaViT"} if library == "mmpretrain" else set()
checkout.check("Checkpoints that lack them", lacking, expected)
small = table["MobileNetV3, arch='small'"]
neck = cfgs[small.name].model.neck
checkout.check("The table has this page's neck", neck, cfg.model.neck)
pvt = api().optimizer(checkout.config("pvt/retinanet_pvt-t_fpn_1x_coco.py"))
checkout.check("AdamW is as in the stock config of PVT", pvt, backbones.ADAMW)

# %%
# Two of the configs train as they are: one with three levels and ``find_unused_parameters``, one with
# four and AdamW. Here the parameters without a gradient are those of the whole detector.
for name in ("ShuffleNetV2", "PoolFormer, arch='s12'"):
    row, trained = table[name], checkout.train(table[name].file, evaluate=False)
    optimizer = type(trained.optimizer).__name__
    moved = trained.trains("backbone") == [True]
    finite = all(map(math.isfinite, trained.losses))
    checkout.check(f"{name} trains, by {optimizer}", moved and finite, True)
    unused = checkout.unused_parameters(cfgs[name])
    unused = [parameter.removeprefix("backbone.") for parameter in unused]
    said = row.backbone.unused[row.backbone.start_level]
    checkout.check(f"{name}: parameters without a gradient", unused, said)

# %%
# What it saves
# ~~~~~~~~~~~~~
# The same detector with its ResNet-50: parameters, and multiply-adds for a 320 × 320 image as
# OpenMMLab counts them. Most of the MobileNetV3 detector is neck and head.
resnet = cost(checkout.build(stock), size=320)
mobilenet = cost(model, size=320)
fewer = mobilenet[2] < resnet[2]
checkout.check("MobileNetV3 needs fewer multiply-adds than ResNet-50", fewer, True)
sizes = [("ResNet-50", *resnet), ("MobileNetV3 small", *mobilenet)]
Table(("Backbone", "Parameters (M)", "Backbone alone (M)", "GFLOPs"), sizes)

# %%
# What was not tried
# ~~~~~~~~~~~~~~~~~~
# - Accuracy: the weights are random where the real ones were out of reach, and the small COCO
#   is too small to tell a good detector from a bad one.
# - Twelve epochs on COCO, and eight GPUs. The command for several GPUs ran in two processes.
# - The table's other configs were loaded and their backbones measured; they were not trained, and
#   the checkpoints behind their addresses were not opened.
# - Two images a step, as on one GPU: at an eighth of the rate a run this short shows no trend.
