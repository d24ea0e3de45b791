"""
How do I choose anchors and image scale for small objects?
==========================================================

Add smaller anchors beside the standard ones, and enlarge the images in training and in tests. Smaller
anchors in the place of the standard ones leave large objects with none: ``coverage.py`` shows it.
"""

# %%
# .. index:: ! small objects, ! anchor scales, image scale, optimize_anchors.py, min_size
#
# .. snippet:: faster_rcnn_r50_fpn_1x_small_objects_coco.py
#
# .. train:: faster_rcnn_r50_fpn_1x_small_objects_coco.py
#
# .. snippet:: coverage.py

# %%
# Adapt it
# --------
# Run ``coverage.py`` on your own config before you train. It tells how many objects of each size there are, and
# how many anchors train on one of them. First the standard config, then this one, whose images are larger:
from howto import Workspace
from howto.checkout.family import api
from howto.checkout import fit
from howto.figures import anchors

checkout = Workspace("small_objects")
config = "faster_rcnn_r50_fpn_1x_small_objects_coco.py"
standard = "faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py"
script = "python configs/small_objects/coverage.py"
for path in standard, f"small_objects/{config}":
    covered = checkout.shell(f"{script} configs/{path} 500")
    print(covered[covered.index("        size") :])

# %%
# What covers which size
# ----------------------
# From the upper line (``pos_iou_thr``) on, every anchor trains on the object that it overlaps that much; an object
# below the lower one (``min_pos_iou``) trains none. Larger images move the curve to the left just as smaller
# anchors do, and both take away what covers the largest objects. The objects here lie anywhere in a photograph
# of 640 × 480 pixels, up to twice as high as wide or as wide as high:
cfg, usual = checkout.config(config), checkout.config(standard)
old, new = usual.model.rpn_head.anchor_generator, cfg.model.rpn_head.anchor_generator
places = old.strides, old.ratios
# {% if mmdet2 %}
small, large = (each.data.train.pipeline[2].img_scale for each in (usual, cfg))
# {% else %}
small, large = (
    each.train_dataloader.dataset.pipeline[2].scale for each in (usual, cfg)
)
# {% endif %}
curves = {
    "standard": anchors.coverage(small, old.scales, *places),
    "scales=[4]": anchors.coverage(small, [4], *places),
    "larger images": anchors.coverage(large, old.scales, *places),
    "this config": anchors.coverage(large, new.scales, *places),
}

# %%
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
# The log says nothing about anchors. An object that trains none is not reported; the loss goes on without it.
run = checkout.train(config, warmed_up=True, **fit.RESNET18)
# {% if mmdet2 %}
print(*run.logged("Epoch [1]")[-1:])
# {% else %}
print(*run.logged("Epoch(train)")[-1:])
# {% endif %}

# %%
# Pitfalls
# --------

# %%
# Large objects train no anchor: smaller ones stand in the others' place
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# This is the advice given most often. It moves all anchors, and so the largest objects have none:
instead = checkout.edit(config, {"scales=[4, 8, 16]": "scales=[4]"})
lost = checkout.shell(f"{script} configs/small_objects/{instead} 2")
print(lost.splitlines()[-1])
largest, kept = (anchors.read(text)[-1] for text in (lost, covered))
checkout.check("Anchors that train on the largest", largest[3], 0)
checkout.check("With this config some", kept[3] > 0, True)

# %%
# Objects are smaller in the tests: only training has the larger images
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The detector then meets objects at two thirds of the size that it was trained on, and nothing is reported:
# {% if mmdet2 %}
lines = "train=dict(pipeline=train_pipeline),\n"
lines += "    val=dict(pipeline=test_pipeline),\n    test=dict(pipeline=test_pipeline))"
alone = "train=dict(pipeline=train_pipeline))"
forgotten = checkout.config(checkout.edit(config, {lines: alone}))
# {% else %}
line = "val_dataloader = dict(dataset=dict(pipeline=test_pipeline))\n"
line += "test_dataloader = val_dataloader\n"
forgotten = checkout.config(checkout.edit(config, {line: ""}))
# {% endif %}


# {% if mmdet2 %}
def height(cfg):
    """The height of the first test image, as the detector gets it."""
    cfg.data.test.test_mode = True
    with checkout.inside(cfg):
        item = checkout.dataset(cfg, "test")[0]
    return item["img_metas"][0].data["img_shape"][0]


# {% else %}
def height(cfg):
    """The height of the first test image, as the detector gets it."""
    with checkout.inside(cfg):
        return api().shape(checkout.dataset(cfg, "test")[0])[0]


# {% endif %}


shrunk = round(height(forgotten) / height(cfg), 2)
checkout.check("Side of an object in the tests, over that in training", shrunk, 0.67)

# %%
# Small objects are not filtered: ``min_size`` is that of images
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# It drops whole images whose shorter side has less than 32 pixels. Of the objects it drops none: those go
# whose box is less than a pixel wide or high or outside the image, whose ``area`` is 0, as some converters
# write it, and those marked ``ignore``.
import json

folder = checkout.root / "data/my_dataset/annotations"
image = json.loads((folder / "train.json").read_text())["images"][0]
content = checkout.annotations("train")
first = content["annotations"][0]
objects = [
    first | {"id": number, "image_id": place, "bbox": [10, 10, *size], "area": 9.0}
    for number, (place, size) in enumerate([(1, (3, 3)), (1, (0.5, 18)), (2, (9, 9))])
]
images = [image | {"id": 1}, image | {"id": 2, "width": 31}]
tiny = content | {"images": images, "annotations": objects}
(folder / "tiny.json").write_text(json.dumps(tiny))

# %%
# {% if mmdet2 %}
own = """train=dict(
        ann_file='data/my_dataset/annotations/tiny.json',
        img_prefix='data/my_dataset/train/',
        pipeline=train_pipeline)"""
changed = checkout.edit(
    config, {"train=dict(pipeline=train_pipeline)": own}, adapts=True
)
# {% else %}
own = """train_dataloader = dict(
    dataset=dict(
        data_root='data/my_dataset/',
        ann_file='annotations/tiny.json',
        data_prefix=dict(img='train/'),
        pipeline=train_pipeline))"""
changed = checkout.edit(
    config,
    {"train_dataloader = dict(dataset=dict(pipeline=train_pipeline))": own},
    adapts=True,
)
# {% endif %}
tiny = checkout.dataset(checkout.config(changed))
checkout.check("Images, one of them 31 pixels wide", len(tiny), 1)
(kept,) = api().annotated(tiny).values()
checkout.check("Objects, of 3 pixels and of a half", len(kept), 1)

# %%
printed = checkout.shell(f"{script} configs/small_objects/{changed} 500")
print(printed.splitlines()[-1])
((size, number, _, _),) = anchors.read(printed)
checkout.check("Size of the one that is left, enlarged", (size, number), ("0 to 16", 1))

# %%
# ``AttributeError: 'ConfigDict' object has no attribute 'bbox_head'``: anchors for YOLO alone
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# ``optimize_anchors.py`` proposes anchors for YOLO alone. Those of the RPN and of RetinaNet are strides times
# scales; choose the scales by ``coverage.py``.
tool = "tools/analysis_tools/optimize_anchors.py"
said = []
for path in standard, "retinanet/retinanet_r50_fpn_1x_coco.py":
    printed = checkout.shell(
        f"python {tool} configs/{path} --device cpu", succeeds=False
    )
    said.append(printed.splitlines()[-1])
print(*said, sep="\n")
reason = "AttributeError: 'ConfigDict' object has no attribute 'bbox_head'"
checkout.check("It says of Faster R-CNN", said[0], reason)
reason = "AssertionError: Only support optimize YOLOAnchor, but get AnchorGenerator."
checkout.check("Of RetinaNet", said[1], reason)

# %%
# YOLO's anchors are in the wrong order, and squeezed
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The result is one list, smallest first; the config's ``base_sizes`` has the largest first, in threes for
# strides 32, 16 and 8. And for an ``--input-shape`` that is no square, each box is stretched as the
# shape is, while ``Resize`` keeps its ratio.
# {% if mmdet2 %}
yolo = "yolo/yolov3_d53_mstrain-608_273e_coco.py"
# {% else %}
yolo = "yolo/yolov3_d53_8xb8-ms-608-273e_coco.py"
# {% endif %}
options = "--device cpu --algorithm k-means --output-dir ."
checkout.shell(f"python {tool} configs/{yolo} {options}")
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
# Proof
# -----

# %%
# What ``coverage.py`` prints, computed apart
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The anchors are laid out again from strides, scales and ratios alone, without MMDetection, on images of half the
# size that are not flipped:
# {% if mmdet2 %}
smaller = {"flip_ratio=0.5": "flip_ratio=0.0", "(2000, 1200)": "(1000, 600)"}
# {% else %}
smaller = {"prob=0.5": "prob=0.0", "(2000, 1200)": "(1000, 600)"}
# {% endif %}
unflipped = checkout.edit(config, smaller)
printed = anchors.read(
    checkout.shell(f"{script} configs/small_objects/{unflipped} 500")
)
data = checkout.dataset(checkout.config(unflipped))
sizes, ious, taken = [], [], []
with checkout.inside():
    items = [data[index] for index in range(len(data))]
# {% if mmdet2 %}
for item in items:
    boxes = item["gt_bboxes"].data.numpy()
    laid = anchors.laid_out(api().shape(item), new.strides, new.scales, new.ratios)
    found = anchors.overlaps(boxes, laid)
    sizes += [*np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) ** 0.5]
    ious += [*found.max(axis=1)]
    taken += anchors.positives(found, assigner.pos_iou_thr, assigner.min_pos_iou)
# {% else %}
for item in items:
    boxes = item["data_samples"].gt_instances.bboxes.tensor.numpy()
    laid = anchors.laid_out(api().shape(item), new.strides, new.scales, new.ratios)
    found = anchors.overlaps(boxes, laid)
    sizes += [*np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) ** 0.5]
    ious += [*found.max(axis=1)]
    taken += anchors.positives(found, assigner.pos_iou_thr, assigner.min_pos_iou)
# {% endif %}

# %%
apart = anchors.medians(sizes, ious, taken)
checkout.check(
    "Sizes and objects", [row[:2] for row in printed], [row[:2] for row in apart]
)
largest = max(abs(one[2] - two[2]) for one, two in zip(printed, apart, strict=True))
checkout.check("IoU differs by", largest, at_most=0.0051)
largest = max(abs(one[3] - two[3]) for one, two in zip(printed, apart, strict=True))
checkout.check("Positives by", largest, at_most=0.51)

# %%
# The detector has these anchors, and these images
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The RPN takes its number of anchors from the config. A standard checkpoint fits it in all but the RPN's last
# two layers:
head = run.model.rpn_head
widths = sorted(
    {
        round(float(x2 - x1))
        for x1, y1, x2, y2 in head.prior_generator.base_anchors[0]
        if x2 - x1 == y2 - y1
    }
)
checkout.check("Squares of the finest level", widths, [16, 32, 64])
checkout.check("Scores of each place", head.rpn_cls.out_channels, 9)

# %%
# {% if mmdet2 %}
info = data.data_infos[0]
# {% else %}
info = data.get_data_info(0)
# {% endif %}
sides = info["height"], info["width"]
factor = min(2000 / max(sides), 1200 / min(sides))
expected = tuple(round(side * factor) for side in sides)
with checkout.inside():
    shape = api().shape(checkout.dataset(cfg)[0])
checkout.check("Size of an image", shape, expected)

# %%
# All else is as in the standard config
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The steps and their order are those of the standard config; only the scale differs.
# {% if mmdet2 %}
for split in "train", "val":
    own, theirs = (str(each.data[split].pipeline) for each in (cfg, usual))
    same = own == theirs.replace(str(small), str(large))
    checkout.check(f"The steps, {split}, but for the scale", same, True)
same = cfg.data.test.pipeline == cfg.data.val.pipeline
# {% else %}
dropped = "scale", "backend_args"


def steps(cfg, split):
    """The steps of a pipeline, without what may differ."""
    pipeline = cfg[f"{split}_dataloader"].dataset.pipeline
    return [
        {key: value for key, value in step.items() if key not in dropped}
        for step in pipeline
    ]


# %%
for split in "train", "val":
    same = steps(cfg, split) == steps(usual, split)
    checkout.check(f"The steps, {split}", same, True)
same = cfg.test_dataloader == cfg.val_dataloader
# {% endif %}
checkout.check("It is tested as it is validated", same, True)
# {% if mmdet3 %}
scale = cfg.val_dataloader.dataset.pipeline[1].scale
checkout.check("The tests have the scale of the training", scale, large)
# {% endif %}
checkout.check("Scales", (small, large), ((1333, 800), (2000, 1200)))

# %%
# It trains on several GPUs
# ~~~~~~~~~~~~~~~~~~~~~~~~~
# Two processes average their gradients, started by the command that you would use:
printed = checkout.launch(config, iterations=2, **fit.RESNET18)
checkout.check("Two processes trained", api().FIRST_EPOCH in printed, True)
checkout.check("Parameters without a gradient", checkout.unused_parameters(cfg), [])

# %%
# What was not tried
# ~~~~~~~~~~~~~~~~~~
# - Accuracy, with trained weights. Larger images also show finer detail, which no overlap tells.
# - Memory and time: (2000, 1200) has 2.25 times the pixels of (1333, 800).
# - Tiles: to cut large images before training, as SAHI does.
# - Detectors without anchors (FCOS, YOLOX, DETR), for which the scale is all there is to choose.
