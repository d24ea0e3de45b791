"""
How do I use a backbone from MMClassification?
==============================================

Write its class with the prefix ``mmcls.``, drop the old backbone's keys with
``_delete_``, and give the neck the new channels. Here RetinaNet gets a MobileNetV3 small
in place of its ResNet-50; no file of MMDetection is edited.
"""

# %%
# .. install:: mmcls
#
# .. snippet:: mmcls_backbone/retinanet_mobilenet_v3_small_fpn_1x_coco.py
#
# .. train:: mmcls_backbone/retinanet_mobilenet_v3_small_fpn_1x_coco.py
#
# For MMDetection 2.14 or newer. One registry for all of OpenMMLab's backbones came with
# 2.12; but up to 2.13 RetinaNet hands ``pretrained`` to its backbone, which MobileNetV3
# does not take. So the changelog and those versions say; this page ran on 2.28.

# %%
# Adapt it
# --------
# .. include:: ../../gallery/words/mmcls_backbone_table.rst
from howto import Workspace
from howto.figures.classifiers import HEAD, rows
from howto.figures.show import Table

checkout = Workspace("mmcls_backbone")
config = "retinanet_mobilenet_v3_small_fpn_1x_coco.py"
with checkout.inside():
    table = {row.name: row for row in rows()}
    folder = checkout.root / "configs/mmcls_backbone"
    cfgs = {name: row.write(folder) for name, row in table.items()}

# %%
Table(HEAD, [row.cells() for row in table.values()])

# %%
# .. include:: ../../gallery/words/mmcls_backbone_adapt.rst

# %%
# What the detector becomes
# -------------------------
# .. include:: ../../gallery/words/mmcls_backbone_detector.rst
from howto.figures.diagram import draw_detector

cfg = checkout.config(config)
model = checkout.build(cfg)
backbone = model.backbone
stock = checkout.config("retinanet/retinanet_r50_fpn_1x_coco.py")
draw_detector(model, cfg, stock)

# %%
# .. include:: ../../gallery/words/mmcls_backbone_levels.rst
import cv2
import torch
from howto.figures.show import draw_levels

photograph = cv2.imread(str(checkout.photograph()))[..., ::-1][:256, :256]
image = torch.tensor(photograph.copy(), device=checkout.device)
image = image.permute(2, 0, 1)[None] / 255
levels = backbone(image)
strides = [image.shape[-1] // level.shape[-1] for level in levels]
figure = draw_levels(photograph, levels, strides)

# %%
# Your log should say
# -------------------
# .. include:: ../../gallery/words/mmcls_backbone_log.rst
run = checkout.train(
    config,
    epochs=6,
    warmed_up=True,
    data__samples_per_gpu=8,
    evaluation__interval=6,
)

# %%
lines = run.logged("Epoch [")
print(*run.logged("load backbone."), *lines[:2], "…", *lines[-2:], sep="\n")

# %%
# Pitfalls
# --------

# %%
# ``RuntimeError: Expected to have finished reduction in the prior iteration before starting a new one.``: ``find_unused_parameters`` is left out
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/mmcls_backbone_unused.rst
unused = checkout.unused_parameters(cfg)
layer12 = [
    f"backbone.layer12.{name}" for name in ("conv.weight", "bn.weight", "bn.bias")
]
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
# .. include:: ../../gallery/words/mmcls_backbone_rate.rst
line = "optimizer = dict(lr=0.01)  # as MMDetection's own RetinaNet\n"
variant = checkout.edit(config, {line: ""})
without = checkout.config(variant).optimizer.lr
faster = checkout.config("faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py").optimizer.lr
checkout.check("Without the line the learning rate is", without, 0.02)
checkout.check("Faster R-CNN's is", faster, 0.02)
checkout.check("The stock RetinaNet's is", stock.optimizer.lr, 0.01)

# %%
# Anchors reach only to the middle of the image: ``start_level=0`` is left out
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/mmcls_backbone_no_start.rst
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

# %%
silent = checkout.train(variant, evaluate=False)
finite = all(map(math.isfinite, silent.losses))
checkout.check("It trains, and every loss is finite", finite, True)

# %%
# No weight is the checkpoint's: ``prefix`` is left out
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/mmcls_backbone_no_prefix.rst
checkpoint = checkout.checkpoint("mobilenet_v3_small-8427ecf0.pth")
expected = {
    key.removeprefix("backbone."): value
    for key, value in checkpoint.items()
    if key.startswith("backbone.")
}
variant = checkout.edit(config, {", prefix='backbone.'": ""})
untouched = checkout.build(checkout.config(variant)).backbone.state_dict()
equal = [
    key
    for key, value in untouched.items()
    if value.ndim == 4 and torch.equal(value.cpu(), expected[key])
]
checkout.check("Convolutions equal to the checkpoint's", len(equal), 0)

# %%
# ``AssertionError: model. is not in the pretrained model``: another prefix
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# A prefix that occurs in no key stops the run.
variant = checkout.edit(config, {"prefix='backbone.'": "prefix='model.'"})
failure = checkout.fails(checkout.build, checkout.config(variant))
message = "AssertionError: model. is not in the pretrained model"
checkout.check("It says", failure.message, message)

# %%
# ``ImportError``: MMClassification is not installed
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/mmcls_import_fails.rst
variant = checkout.edit(config, {"imports=['mmcls.models']": "imports=['mmcls.model']"})
failure = checkout.fails(checkout.config, variant)
checkout.check("The last line of the traceback", failure.message, "ImportError")

# %%
# ``AttributeError: RetinaNet: 'NoneType' object has no attribute 'parent'``: no ``custom_imports``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Nobody imports MMClassification then, and no registry goes by the name ``mmcls``. MMCV's
# message doesn't mention the import.
line = "custom_imports = dict(imports=['mmcls.models'], allow_failed_imports=False)\n"
variant = checkout.edit(config, {line: ""})
output = checkout.shell(
    f"python tools/train.py configs/mmcls_backbone/{variant} {{fit}}", succeeds=False
)
message = "AttributeError: RetinaNet: 'NoneType' object has no attribute 'parent'"
checkout.check("The last line", output.splitlines()[-1], message)

# %%
# ``to have 16 channels, but got 24 channels instead``: ``in_channels`` do not match
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The detector builds, and stops at the first image. Take the channels from the table.
variant = checkout.edit(
    config, {"in_channels=[24, 48, 96]": "in_channels=[16, 24, 48]"}
)
failure = checkout.fails(checkout.train, variant)
reason = "to have 16 channels, but got 24 channels instead"
checkout.check(f"It says: {reason}", reason in failure.message, True)

# %%
# ``is smaller than the window size (7)``: a Swin Transformer and a small image
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/mmcls_backbone_small_map.rst
name = "SwinTransformer, arch='tiny'"
variant = checkout.edit(table[name].file, {"        pad_small_map=True,\n": ""})
swin = checkout.backbone(**checkout.config(variant).model.backbone)
failure = checkout.fails(swin, torch.rand(1, 3, 128, 128))
reason = "The input shape (4, 4) is smaller than the window size (7)."
checkout.check(f"It says: {reason}", reason in failure.message, True)

# %%
# ``Expected 3D (unbatched) or 4D (batched) input to conv2d``: a ConvNeXt's levels are averaged
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/mmcls_backbone_gap.rst
name = "ConvNeXt, arch='tiny'"
variant = checkout.edit(
    table[name].file, {"        gap_before_final_norm=False,\n": ""}
)
parts = checkout.config(variant).model
convnext, neck = checkout.backbone(**parts.backbone), checkout.backbone(**parts.neck)
averaged = convnext(torch.rand(1, 3, 64, 64))
failure = checkout.fails(neck, averaged)
reason = "Expected 3D (unbatched) or 4D (batched) input to conv2d"
checkout.check(f"It says: {reason}", reason in failure.message, True)

# %%
# Proof
# -----

# %%
# The backbone is MMClassification's
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# No key of the ResNet is left, and its levels are those of the last blocks at each stride.
keys = ["arch", "init_cfg", "norm_eval", "out_indices", "type"]
checkout.check("The backbone's keys", sorted(cfg.model.backbone), keys)
module = "mmcls.models.backbones.mobilenet_v3"
checkout.check("The class is from", type(backbone).__module__, module)
channels = [level.shape[1] for level in levels]
checkout.check("The levels have channels", channels, [24, 48, 96])
checkout.check("The neck expects", list(cfg.model.neck.in_channels), channels)
checkout.check("The levels have strides", strides, [8, 16, 32])

# %%
last, level = {}, image
for number, name in enumerate(backbone.layers[:-1]):  # the last layer is no block
    level = getattr(backbone, name)(level)
    last[image.shape[-1] // level.shape[-1]] = number
blocks = [last[stride] for stride in strides]
levels_of = list(cfg.model.backbone.out_indices)
checkout.check("The last blocks at these strides", blocks, levels_of)

# %%
# The strides belong to the anchors
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/mmcls_backbone_strides.rst
checkout.check("The anchors have strides", anchors, [8, 16, 32, 64, 128])
checkout.check("The head gets levels of strides", neck_strides(model), anchors)

# %%
# Every weight is the checkpoint's
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/mmcls_backbone_prefix.rst
loaded = backbone.state_dict()
missing = sorted(set(loaded) - set(expected))
checkout.check("The checkpoint lacks", missing, [])
equal = [
    key for key, value in loaded.items() if torch.equal(value.cpu(), expected[key])
]
checkout.check("Tensors equal to the checkpoint's", len(equal), len(loaded))

# %%
# .. include:: ../../gallery/words/mmcls_backbone_stand_in.rst
from torchvision.models import mobilenet_v3_small

published = mobilenet_v3_small().features.state_dict()
same = [a.shape == b.shape for a, b in zip(loaded.values(), published.values())]
checkout.check(
    "Tensors of torchvision's shape", (sum(same), len(published)), (len(loaded),) * 2
)

# %%
# It trains, and the loss falls
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/mmcls_backbone_trains.rst
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
# The trained detector answers with one array of boxes for each of COCO's 80 classes.
detections = checkout.detect(run.model, run.cfg, checkout.photograph())
checkout.check("It answers for classes", len(detections), 80)
numbers = {boxes.shape[1] for boxes in detections}
checkout.check("Numbers for a box: x1, y1, x2, y2, score", numbers, {5})

# %%
# It trains on several GPUs
# ~~~~~~~~~~~~~~~~~~~~~~~~~
# With MMDetection's own script, in fresh processes where nothing else has imported
# MMClassification. Its log says which rate it took for two images in each process.
output = checkout.launch(config, iterations=2, auto_scale_lr__enable=True)
folder = checkout.root / "work_dirs" / config.replace(".py", "_two_processes0")
saved = any(folder.glob("epoch_*.pth"))
checkout.check("Two processes train it, and save a checkpoint", saved, True)
scaled = "LR has been automatically scaled from 0.01 to 0.0025"
checkout.check(f"They say: {scaled}", scaled in output, True)

# %%
# What the changes under *Adapt it* do
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# ``frozen_stages=1`` freezes up to stride 4, as it does in the stock config.
line = "        norm_eval=True,"
variant = checkout.edit(config, {line: f"        frozen_stages=1,\n{line}"})
partly = checkout.build(checkout.config(variant)).train().backbone
frozen = {
    name.partition(".")[0]
    for name, parameter in partly.named_parameters()
    if not parameter.requires_grad
}
checkout.check("frozen_stages=1 freezes", sorted(frozen), ["layer0", "layer1"])

# %%
# With the last convolution as a level nothing is unused, at the cost of a larger neck.
from howto.checkout.measure import cost, millions

variant = checkout.edit(
    config, {"(3, 8, 11)": "(3, 8, 12)", "[24, 48, 96]": "[24, 48, 576]"}
)
wide = checkout.config(variant)
unused = checkout.unused_parameters(wide)
checkout.check("With (3, 8, 12) no gradient is missing", unused, [])
grown = millions(checkout.build(wide).neck) - millions(model.neck)
larger = grown > millions(backbone)
checkout.check("The neck grows by more parameters than the backbone has", larger, True)

# %%
# The other backbones of the table
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/mmcls_backbone_table_checks.rst
from howto.figures import backbones

checkout.check("Backbones in the table", len(table), 26)
with checkout.inside():
    reached = {
        tuple(backbones.neck_strides(cfgs[name], row.backbone))
        for name, row in table.items()
    }
checkout.check("The neck of each has levels of strides", reached, {tuple(anchors)})
other = [
    name for name, row in table.items() if row.pixels != backbones.pixels(cfgs[name])
]
checkout.check("Trained on pixels normalised otherwise", other, [])

# %%
new = [key for row in table.values() for key in row.lacking]
norms = all(key.startswith("norm") for key in new)
checkout.check("All that a checkpoint lacks are norms of the levels", norms, True)
lacking = [name.partition(",")[0] for name, row in table.items() if row.lacking]
families = ["ConvNeXt", "HorNet", "SwinTransformer", "SwinTransformerV2", "PoolFormer"]
checkout.check("Checkpoints that lack them", lacking, families)
small = table["MobileNetV3, arch='small'"]
neck = cfgs[small.name].model.neck
checkout.check("The table has this page's neck", neck, cfg.model.neck)
pvt = checkout.config("pvt/retinanet_pvt-t_fpn_1x_coco.py").optimizer
checkout.check("AdamW is as in the stock config of PVT", pvt, backbones.ADAMW)

# %%
# .. include:: ../../gallery/words/mmcls_backbone_table_trains.rst
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
# .. include:: ../../gallery/words/mmcls_backbone_saves.rst
resnet = cost(checkout.build(stock), size=320)
mobilenet = cost(model, size=320)
sizes = [("ResNet-50", *resnet), ("MobileNetV3 small", *mobilenet)]
Table(("Backbone", "Parameters (M)", "Backbone alone (M)", "GFLOPs"), sizes)

# %%
fewer = mobilenet[2] < resnet[2]
checkout.check("MobileNetV3 needs fewer multiply-adds than ResNet-50", fewer, True)

# %%
# What was not tried
# ~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/mmcls_backbone_not_tried.rst
