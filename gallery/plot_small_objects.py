"""
How do I choose anchors and image scale for small objects?
==========================================================

Add smaller anchors beside the standard ones, and enlarge the images in training and in tests. Do not replace the
standard anchors: large objects would be left without any, as ``coverage.py`` shows.
"""

# %%
# .. index:: ! small objects, ! anchor scales, image scale, optimize_anchors.py, min_size, ! crowded images, max_per_img
#
# .. snippet:: faster_rcnn_r50_fpn_1x_small_objects_coco.py
#
# .. train:: faster_rcnn_r50_fpn_1x_small_objects_coco.py
#
# .. snippet:: coverage.py

# %%
# Adapt it
# --------
# Run ``coverage.py`` on your own config before you train. It works for detectors whose anchors are assigned by IoU
# (``MaxIoUAssigner``): Faster, Mask and Cascade R-CNN, RetinaNet, SSD. First the standard config, then this one,
# whose images are larger:
from howto import Workspace
from howto.checkout.family import api
from howto.checkout import fit
from howto.figures import anchors

checkout = Workspace("small_objects")
checkout.ask_python()
standard = "faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py"
for name in standard, checkout.own:
    covered = anchors.told(checkout, name, 500)
columns = ["size", "objects", "IoU", "positives", "untrained"]
checkout.check("Columns", covered.split()[:5], columns)

# %%
# What covers which size
# ----------------------
# An anchor that overlaps an object by ``pos_iou_thr``, the upper line, or more trains on it. An object whose best
# anchor is below ``min_pos_iou``, the lower line, trains none. Larger images move the curve to the left just as
# smaller anchors do, and both take away what covers the largest objects. The objects here lie anywhere in a
# photograph of 640 × 480 pixels, up to twice as high as wide or as wide as high:
cfg, usual = checkout.config(), checkout.config(standard)
old, new = usual.model.rpn_head.anchor_generator, cfg.model.rpn_head.anchor_generator
places = old.strides, old.ratios


def scale(cfg, split, place):
    """The image scale of the step at a place of a pipeline, (width, height)."""
    step = api().split(cfg, split).pipeline[place]
    return next(step[key] for key in api().SCALES if key in step)


# %%
small, large = scale(usual, "train", 2), scale(cfg, "train", 2)
curves = {
    "standard": anchors.coverage(small, old.scales, *places),
    "scales=[4]": anchors.coverage(small, [4], *places),
    "larger images": anchors.coverage(large, old.scales, *places),
    "this config": anchors.coverage(large, new.scales, *places),
}
import matplotlib.pyplot as plt

assigner = cfg.model.train_cfg.rpn.assigner
figure, axes = plt.subplots(figsize=(8, 3.2))
anchors.draw(axes, curves, assigner.pos_iou_thr, assigner.min_pos_iou)
axes.set_title("IoU of an object with its best anchor")

# %%
least = {name: min(curve) for name, curve in curves.items()}
checkout.check(
    "This config covers each size by 0.6 or more", least["this config"] > 0.6, True
)
below = [name for name, value in least.items() if value < 0.5]
others = ["standard", "scales=[4]", "larger images"]
checkout.check("Less than 0.5 for some size", below, others)

# %%
# Your log should say
# -------------------
# The log says nothing about anchors. It does not name objects without an anchor; the loss goes on without them.
run = checkout.train(warmed_up=True, **fit.RESNET18)
print(*run.logged(api().FIRST_EPOCH)[-1:])

# %%
# Pitfalls
# --------

# %%
# Large objects train no anchor: the smaller ones replaced the others
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Keep the standard scale beside the smaller one. ``scales=[4]`` alone is the advice given most often. It moves all
# anchors, and the largest objects are left with none:
instead = checkout.edit(checkout.own, {"scales=[4, 8, 16]": "scales=[4]"})
largest, kept = (
    anchors.read(text)[-1] for text in (anchors.told(checkout, instead, 2), covered)
)
checkout.check("Anchors that train on the largest", largest[3], 0)
checkout.check("With this config some", kept[3] > 0, True)
checkout.check("Untrained, of the largest", largest[4] / largest[1], 1.0)

# %%
# Most of the image has no anchor: their strides are not those of the feature maps
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Keep ``strides=[4, 8, 16, 32, 64]``, those of the FPN's levels, and choose ``scales``. Strides place anchors: at
# half of them, the anchors of a level fill a quarter of the image. MMDetection builds this detector
# without an error; ``coverage.py`` runs backbone and neck and compares.
scales = "scales=[4, 8, 16]"
halved = checkout.edit(checkout.own, {scales: f"{scales}, strides=[2, 4, 8, 16, 32]"})
said = anchors.told(checkout, halved, 1, succeeds=False)
advice = "Set strides=[4, 8, 16, 32, 64]"
checkout.check(f"coverage.py stops: {advice}", said.endswith(advice), True)
import torch

rpn = checkout.build(checkout.config(halved)).rpn_head
maps = [(512 // stride,) * 2 for stride in (4, 8, 16, 32, 64)]
placed = torch.cat(rpn.prior_generator.grid_priors(maps, device="cpu"))
farthest = (placed[:, 0] + placed[:, 2]).max() / 2
part = round(float(farthest) / 512, 2)
checkout.check("Part of the width that anchors are centred in", part, 0.5)

# %%
# Crowded images: many objects train no anchor, and a test returns 100 boxes at most
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Raise two numbers: ``model.train_cfg.rpn.sampler.num`` to what ``coverage.py`` says, and
# ``model.test_cfg.rcnn.max_per_img``. In each iteration the RPN's ``RandomSampler(num=256, pos_fraction=0.5)`` draws
# 128 positives of an image, whatever its number of objects. Here are 100 objects of 40 pixels, first with 256, then
# with the number that it says:
import json

content = checkout.annotations("train")
photograph, first = content["images"][0], content["annotations"][0]


def own(name, images, objects, **changes):
    """Write a standard config that trains on these images and objects; its name."""
    file = checkout.root / f"data/coco/annotations/{name}.json"
    changed = content | {"images": images, "annotations": objects}
    file.write_text(json.dumps(changed), "utf-8")
    cfg = checkout.config(standard, train__ann_file=str(file), **changes)
    cfg.dump(str(checkout.root / f"configs/small_objects/{name}.py"))
    return f"{name}.py"


# %%
sides = photograph["width"], photograph["height"]
side = 40 / min(max(small) / max(sides), min(small) / min(sides))
objects = []
for number in range(100):
    x, y = (place * each / 10 for place, each in zip(divmod(number, 10), sides))
    box = {"bbox": [x, y, side, side], "area": side**2}
    objects.append(first | box | {"id": number + 1, "image_id": photograph["id"]})
crowd = anchors.told(checkout, own("crowd", [photograph], objects), 1)
num = int(crowd.partition("num=")[2].split()[0])
most = {"model__train_cfg__rpn__sampler__num": num}
calm = anchors.told(checkout, own("calm", [photograph], objects, **most), 1)
untrained = [sum(row[4] for row in anchors.read(text)) for text in (crowd, calm)]
checkout.check("Untrained of 100, more than 10", untrained[0] > 10, True)
checkout.check("With the num that it names", untrained[1], 0)

# %%
# {% if mmdet2 %}
from mmdet.core import multiclass_nms

# {% else %}
from mmdet.models.layers import multiclass_nms

# {% endif %}
keys = cfg.model.test_cfg.rcnn
corners = torch.arange(300.0).reshape(-1, 1) * 10
boxes = torch.cat([corners, corners, corners + 8, corners + 8], dim=1)
scores = torch.tensor([[0.9, 0.1]]).repeat(300, 1)
for limit in keys.max_per_img, 1000:
    found, _ = multiclass_nms(boxes, scores, keys.score_thr, keys.nms, limit)
    expected = {100: 100, 1000: 300}[limit]
    checkout.check(f"Boxes of 300, max_per_img={limit}", len(found), expected)

# %%
# Then watch ``bbox_mAP_50``: it counts 1000 boxes of a class in an image, ``bbox_mAP`` only the 100 best, whatever
# ``max_per_img`` is. Here all 300 objects of one image are found:
import pickle

objects = [
    first | {"id": n, "image_id": photograph["id"], "bbox": [n * 10, n * 10, 8, 8]}
    for n in range(1, 301)
]
file = str(checkout.root / "data/coco/annotations/many.json")
tested = dict(test__ann_file=file, val_evaluator__ann_file=file)
many = anchors.path(checkout, own("many", [photograph], objects, **tested))
ids = [each["id"] for each in content["categories"]]
results = api().pickled(photograph, [each | {"score": 1.0} for each in objects], ids)
(checkout.root / "many.pkl").write_bytes(pickle.dumps([results]))

# %%
tool = "tools/analysis_tools/eval_metric.py"
said = checkout.shell(f"python {tool} {many} many.pkl {api().evaluating()}")
found = [line for line in said.splitlines() if "Precision" in line][:2]
print(*found, sep="\n")
checkout.check("bbox_mAP, of 100 boxes", found[0].split()[-1], "0.337")
checkout.check("bbox_mAP_50, of 1000", found[1].split()[-1], "1.000")

# %%
# Objects are smaller in the tests: only training has the larger images
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Set the scale in both pipelines. Otherwise the detector meets objects at two thirds of the size that it was trained
# on, and nothing reports it:
# {% if mmdet2 %}
lines = "train=dict(pipeline=train_pipeline),\n"
lines += "    val=dict(pipeline=test_pipeline),\n    test=dict(pipeline=test_pipeline))"
change = {lines: "train=dict(pipeline=train_pipeline))"}
# {% else %}
line = "val_dataloader = dict(dataset=dict(pipeline=test_pipeline))\n"
change = {f"{line}test_dataloader = val_dataloader\n": ""}
# {% endif %}
forgotten = checkout.config(checkout.edit(checkout.own, change))
with checkout.inside(cfg):
    heights = [
        api().shape(checkout.dataset(each, "test")[0])[0] for each in (forgotten, cfg)
    ]
shrunk = round(heights[0] / heights[1], 2)
checkout.check("Side of an object in the tests, over that in training", shrunk, 0.67)

# %%
# Small objects are not filtered: ``min_size`` is that of images
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Leave ``min_size`` as it is: it drops images with a side under 32 pixels, never objects. An object is dropped if
# its box is under a pixel wide or high or lies outside the image, if its ``area`` is 0, as some converters write it,
# or if it is marked ``ignore``.
images = [photograph | {"id": 1}, photograph | {"id": 2, "width": 31}]
boxes = (1, (3, 3)), (1, (0.5, 18)), (2, (9, 9))
objects = [
    first | {"id": number, "image_id": place, "bbox": [10, 10, *size], "area": 9.0}
    for number, (place, size) in enumerate(boxes, 1)
]
tiny = own("tiny", images, objects)
data = checkout.dataset(checkout.config(tiny))
checkout.check("Images, one of them 31 pixels wide", len(data), 1)
(kept,) = api().annotated(data).values()
checkout.check("Objects, of 3 pixels and of a half", len(kept), 1)
((size, number, *_),) = anchors.read(anchors.told(checkout, tiny, 500))
checkout.check("Size of the one that is left, enlarged", (size, number), ("0 to 16", 1))

# %%
# ``AssertionError: scales and octave_base_scale``: RetinaNet takes no ``scales``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Set ``octave_base_scale`` instead. RetinaNet's config has 4; with 2 each anchor is half as large, and the largest
# objects may be left without any: run ``coverage.py``.
retina = "retinanet/retinanet_r50_fpn_1x_coco.py"
key = "model__bbox_head__anchor_generator__"


def squares(head):
    """Sides of the square anchors of the finest level, in pixels."""
    found = head.prior_generator.base_anchors[0].tolist()
    return sorted({round(x2 - x1) for x1, y1, x2, y2 in found if x2 - x1 == y2 - y1})


# %%
scaled = checkout.config(retina, **{f"{key}scales": [4, 8, 16]})
failure = checkout.fails(checkout.build, scaled)
reason = "scales and octave_base_scale with scales_per_octave cannot be set"
checkout.check(f"It says: {reason}", reason in failure.message, True)
for base, expected in (4, [32, 40, 51]), (2, [16, 20, 25]):
    halved = checkout.config(retina, **{f"{key}octave_base_scale": base})
    found = squares(checkout.build(halved).bbox_head)
    checkout.check(f"Squares, octave_base_scale={base}", found, expected)

# %%
# ``AttributeError: 'ConfigDict' object has no attribute 'bbox_head'``: anchors for YOLO alone
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Choose the scales by ``coverage.py``. ``optimize_anchors.py`` proposes anchors for YOLO only; those of the RPN are
# strides times ``scales``.
tool = "tools/analysis_tools/optimize_anchors.py"
said = []
for path in standard, retina:
    command = f"python {tool} {anchors.path(checkout, path)} --device cpu"
    said.append(checkout.shell(command, succeeds=False).splitlines()[-1])
print(*said, sep="\n")
reason = "AttributeError: 'ConfigDict' object has no attribute 'bbox_head'"
checkout.check("It says of Faster R-CNN", said[0], reason)
reason = "AssertionError: Only support optimize YOLOAnchor, but get AnchorGenerator."
checkout.check("Of RetinaNet", said[1], reason)

# %%
# YOLO's anchors are in the wrong order, and squeezed
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Sort the tool's list from largest to smallest, and put it into ``base_sizes`` in threes, for strides 32, 16 and 8:
# the tool lists the smallest first. Give a square ``--input-shape``; for any other the tool stretches each box as the
# shape is, and ``Resize`` keeps its ratio.
*_, yolo = sorted(checkout.root.glob("configs/yolo/yolov3_d53_*608*.py"))
options = "--device cpu --algorithm k-means --output-dir ."
checkout.shell(f"python {tool} {anchors.path(checkout, yolo)} {options}")
proposed = json.loads((checkout.root / "anchor_optimize_result.json").read_text())
theirs = checkout.config(yolo).model.bbox_head.anchor_generator.base_sizes
areas = [width * height for width, height in proposed]
checkout.check("The tool's list begins with the smallest", areas == sorted(areas), True)
largest = [max(width * height for width, height in level) for level in theirs]
checkout.check(
    "The config's with the largest", largest == sorted(largest, reverse=True), True
)

# %%
import logging
import runpy

import numpy as np
from howto.project.quiet import quiet

optimizer = runpy.run_path(str(checkout.root / tool))["BaseAnchorOptimizer"]
data = checkout.dataset(usual)
with quiet():
    given = optimizer(data, [1333, 800], logging.getLogger("quiet"), "cpu")
    sizes, _ = given.get_whs_and_shapes()
wider = np.divide(*given.bbox_whs.T) / np.divide(*sizes.T)
checkout.check(
    "Width over height, of 1333 x 800, over what it was", set(wider.round(2)), {1.67}
)

# %%
# Evidence
# --------

# %%
# What ``coverage.py`` prints, computed apart
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The anchors are laid out again from strides, scales and ratios alone, without MMDetection, on smaller images that are
# not flipped. The coarsest level ends beyond them: 480 is no multiple of 64. With ``allowed_border=0``, as of Cascade
# R-CNN, anchors that do not lie inside of the image do not train. The sampler's ``num`` is so large that it leaves
# no positive out, since which it leaves out is random:
whole = dict(allowed_border=0, sampler=dict(num=10**6))
unflipped = checkout.config(model__train_cfg__rpn=whole)
_, _, resize, flip, *_ = api().split(unflipped, "train").pipeline
resize.update({key: (800, 480) for key in api().SCALES if key in resize})
flip.update({key: 0.0 for key in flip if key != "type"})
unflipped.dump(str(checkout.root / "configs/small_objects/unflipped.py"))
printed = anchors.told(checkout, "unflipped.py", 500)
table = anchors.read(printed)

# %%
data = checkout.dataset(unflipped)
sizes, ious, taken, sums = [], [], [], []
with checkout.inside():
    items = [data[index] for index in range(len(data))]
for item in items:
    boxes = api().gt_boxes(item)
    height, width = shape = api().shape(item)
    laid = anchors.laid_out(shape, new.strides, new.scales, new.ratios)
    ends = (laid[:, :2] >= 0) & (laid[:, 2:] < [width, height])
    found = anchors.overlaps(boxes, laid[ends.all(axis=1)])
    sizes += [*np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) ** 0.5]
    ious += [*found.max(axis=1)]
    train = anchors.positives(found, assigner.pos_iou_thr, assigner.min_pos_iou)
    taken += train
    sums.append(sum(train))

# %%
apart = anchors.medians(sizes, ious, taken)
checkout.check(
    "Sizes and objects", [row[:2] for row in table], [row[:2] for row in apart]
)
for name, place, most in ("IoU differs by", 2, 0.0051), ("Positives by", 3, 0.51):
    differences = [abs(one[place] - two[place]) for one, two in zip(table, apart)]
    checkout.check(name, max(differences), at_most=most)
untrained = [[row[4] for row in rows] for rows in (table, apart)]
checkout.check("Untrained of each size", *untrained)
summed = f"{sum(sums) / len(sums):.1f}, at most {max(sums)}"
checkout.check(f"Positives of an image: {summed}", summed in printed, True)

# %%
# What ``coverage.py`` refuses
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Another assigner than one by IoU, and a file of which no object trains, here because it is a crowd:
said = anchors.told(checkout, "atss/atss_r50_fpn_1x_coco.py", 1, succeeds=False)
checkout.check("It says of ATSS that it does not work", "not for ATSS" in said, True)
group = first | {"image_id": photograph["id"], "iscrowd": 1}
said = anchors.told(checkout, own("group", [photograph], [group]), 1, succeeds=False)
checkout.check("No object in 1 images", "No object in 1 images" in said, True)

# %%
# The detector has these anchors, and these images
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The RPN takes its number of anchors from the config. A standard checkpoint fits it in all but the RPN's last
# two layers:
head = run.model.rpn_head
checkout.check("Squares of the finest level", squares(head), [16, 32, 64])
checkout.check("Scores of each place", head.rpn_cls.out_channels, 9)
name = next(iter(api().annotated(data)))
(info,) = [each for each in content["images"] if each["file_name"] == name]
sides = info["height"], info["width"]
factor = min(2000 / max(sides), 1200 / min(sides))
expected = tuple(round(side * factor) for side in sides)
with checkout.inside():
    shape = api().shape(checkout.dataset(cfg)[0])
checkout.check("Size of an image", shape, expected)

# %%
# Everything else is as in the standard config
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The steps and their order are those of the standard config; only the scale differs.
dropped = *api().SCALES, "backend_args"


def steps(cfg, split):
    """The steps of a pipeline, without what may differ."""
    return [
        {key: value for key, value in step.items() if key not in dropped}
        for step in api().split(cfg, split).pipeline
    ]


# %%
for split in "train", "val":
    same = steps(cfg, split) == steps(usual, split)
    checkout.check(f"The steps, {split}", same, True)
same = api().split(cfg, "test") == api().split(cfg, "val")
checkout.check("It is tested as it is validated", same, True)
tested = scale(cfg, "val", 1)
checkout.check("The tests have the scale of the training", tested, large)
checkout.check("Scales", (small, large), ((1333, 800), (2000, 1200)))

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
# - Accuracy, with trained weights. Larger images also show finer detail, which no overlap tells.
# - Memory and time: (2000, 1200) has 2.25 times the pixels of (1333, 800).
# - Tiles: to cut large images before training, as SAHI does.
# - Detectors without anchors. YOLOX and DETR have only the scale to choose; FCOS also has ``regress_ranges``, the
#   sizes of objects that each level learns.
