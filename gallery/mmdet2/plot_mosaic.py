"""
How do I train with Mosaic?
===========================

Mosaic needs four images at once, so the dataset is wrapped in ``MultiImageMixDataset``,
which hands them to it. Inherit from the standard config; no file of MMDetection is
edited.
"""

# %%
# .. snippet:: mosaic/faster_rcnn_r50_fpn_mosaic_1x_coco.py
#
# Save it at this path in your MMDetection folder and train it:
#
# .. code-block:: console
#
#    $ python tools/train.py configs/mosaic/faster_rcnn_r50_fpn_mosaic_1x_coco.py --auto-scale-lr
#
# On several GPUs, here eight:
#
# .. code-block:: console
#
#    $ torchrun --nproc_per_node=8 tools/train.py configs/mosaic/faster_rcnn_r50_fpn_mosaic_1x_coco.py --launcher pytorch --auto-scale-lr --no-validate
#
# .. include:: ../../gallery/words/learning_rate.rst
#
# .. include:: ../../gallery/words/several_gpus.rst
#
# The config is for MMDetection 2.19 or newer: ``persistent_workers`` came with 2.19,
# Mosaic with 2.15.1. So those versions say; this page ran on 2.28.

# %%
# What happens to an image
# ------------------------
# A ``Workspace`` is an MMDetection checkout with a small COCO in it; the file above
# lies in it unchanged. The detector stays as it is.
from howto import Workspace
from howto.figures.diagram import draw_pipelines

checkout = Workspace("mosaic")
config = "faster_rcnn_r50_fpn_mosaic_1x_coco.py"
cfg = checkout.config(config)
stock = checkout.config("faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py")
draw_pipelines(cfg, stock)

# %%
# Four images become one
# ----------------------
# .. include:: ../../gallery/words/mosaic_four.rst
import matplotlib.pyplot as plt
from howto.figures.mosaic import first_seed, mixed, sources
from howto.figures.show import draw_boxes

dataset = checkout.dataset(cfg)

with checkout.inside():
    seed = first_seed(dataset, index=0)
    four = sources(dataset, index=0, seed=seed)
    mosaic, affine = mixed(dataset, index=0, seed=seed)

# %%
figure, axes = plt.subplots(1, 4, figsize=(9, 2.2))
places = ("top left", "top right", "bottom left", "bottom right")
for axis, image, place in zip(axes, four, places, strict=True):
    draw_boxes(axis, image, dataset.CLASSES, place)

# %%
# They meet in a point drawn at random, each scaled to fit 1333 × 800 and cut at the
# border. The canvas is twice as high and twice as wide as ``img_scale``; grey is
# padding.
figure, axes = plt.subplots(1, 2, figsize=(9, 3))
draw_boxes(axes[0], mosaic, dataset.CLASSES, "after Mosaic")
draw_boxes(axes[1], affine, dataset.CLASSES, "after RandomAffine")
# sphinx_gallery_thumbnail_number = 2

# %%
checkout.check(
    "canvas after Mosaic: height, width", mosaic["img"].shape[:2], (1600, 2666)
)
checkout.check(
    "image after RandomAffine: height, width", affine["img"].shape[:2], (800, 1332)
)


# %%
# .. include:: ../../gallery/words/mosaic_draws.rst
from howto.figures.pairs import Pairs

with checkout.inside():
    draws = {f"seed {n}": mixed(dataset, index=0, seed=n) for n in range(5)}
pictures = {name: [step["img"] for step in steps] for name, steps in draws.items()}
Pairs(pictures, names=("after Mosaic", "after RandomAffine"))


# %%
# The rest is MMDetection's own
# -----------------------------
# Loading and mixing are YOLOX's, but for the sizes; flipping and what comes after it is
# the stock Faster R-CNN's.
def without(step, size):
    return {key: value for key, value in step.items() if key != size}


train = cfg.data.train
yolox = checkout.config("yolox/yolox_s_8x8_300e_coco.py").data.train
checkout.check("loading", train.dataset.pipeline, yolox.dataset.pipeline)
for step, size in enumerate(("img_scale", "border")):
    mine, theirs = train.pipeline[step], yolox.pipeline[step]
    checkout.check(mine.type, without(mine, size), without(theirs, size))
checkout.check("flipping and after", train.pipeline[2:], stock.data.train.pipeline[3:])

# %%
# Every box is still on its object
# --------------------------------
# .. include:: ../../gallery/words/mosaic_paint.rst
from howto.figures.mosaic import distance, painted_boxes

with checkout.inside():
    tracked = painted_boxes(dataset, index=0, seed=seed)

# %%
steps = zip(("Mosaic", "RandomAffine"), (mosaic, affine), tracked, strict=True)
for name, result, paint in steps:
    image, boxes = result["img"], result["gt_bboxes"]
    labels = [label for label, edges in paint]
    checkout.check(f"labels after {name}", list(result["gt_labels"]), labels)
    pairs = zip(boxes, paint, strict=True)
    worst = max(distance(box, edges, image) for box, (_, edges) in pairs)
    checkout.check(f"pixels from box to paint after {name}", worst, at_most=3)
    size = image.shape[1], image.shape[0]
    inside = (boxes >= 0).all() and (boxes.reshape(-1, 2) <= size).all()
    checkout.check(f"boxes after {name} are inside", bool(inside), True)

# %%
# .. include:: ../../gallery/words/mosaic_empty.rst
from howto.figures.mosaic import images_shown

with checkout.inside():
    checkout.check("images in the canvas", images_shown(dataset, index=0, seed=seed), 4)
checkout.check(
    "fewest boxes in one of them", min(len(image["gt_bboxes"]) for image in four), 0
)

# %%
# Without that line they would be left out: ``True`` is the default of 2.x.
line = ",\n        filter_empty_gt=False"
default = checkout.dataset(checkout.config(checkout.edit(config, {line: ""})))
everything = checkout.annotations("train")
shown = {annotation["image_id"] for annotation in everything["annotations"]}
checkout.check("images that take part", len(dataset), len(everything["images"]))
checkout.check("images without the line", len(default), len(shown))
checkout.check("images with objects are fewer", len(default) < len(dataset), True)

# %%
# Worker processes
# ----------------
# .. include:: ../../gallery/words/mosaic_workers.rst
from howto.figures.mosaic import partners, read
from howto.figures.show import Table

with checkout.inside():
    first, second = read(cfg, dataset)
rows = zip(*zip(*first[:6], strict=True), *zip(*second[:6], strict=True), strict=True)
Table(("worker", "epoch 1 reads", "worker", "epoch 2 reads"), list(rows))

# %%
# .. include:: ../../gallery/words/mosaic_workers_seed.rst
checkout.check("workers", sorted({worker for worker, _ in first}), [0, 1])
checkout.check("images read for one", {len(numbers) for _, numbers in first}, {4})
same = partners(first, worker=0) == partners(first, worker=1)
checkout.check("both workers mix in the same images", same, False)
same = partners(first) == partners(second)
checkout.check("the second epoch mixes in those of the first", same, False)

# %%
# It trains
# ---------
# .. include:: ../../gallery/words/mosaic_trains.rst
import math

run = checkout.train(config)
checkout.check("every loss is finite", all(map(math.isfinite, run.losses)), True)
checkout.check("weights of the box head moved", run.trains("roi_head"), [True])
checkout.check("evaluations", run.evaluations, 1)

# %%
# .. include:: ../../gallery/words/mosaic_rate.rst
import statistics

smaller = dict(
    model__backbone__depth=18,
    model__backbone__init_cfg__checkpoint="torchvision://resnet18",
    model__neck__in_channels=[64, 128, 256, 512],
)
run = checkout.train(config, epochs=3, evaluate=False, warmed_up=True, **smaller)
checkout.check("learning rate of the config", cfg.optimizer.lr, 0.02)
checkout.check("images a step", run.images_per_step, 2)
checkout.check("learning rates of the run", set(run.rates), {0.0025})
first, _, last = [statistics.mean(epoch.losses) for epoch in run.epochs.values()]
checkout.check("mean loss, third epoch over first", last / first, at_most=0.8)

# %%
# .. include:: ../../gallery/words/mosaic_gpus.rst
unused = checkout.unused_parameters(cfg)
checkout.check("parameters without a gradient", unused, [])

# %%
# Mosaic to the last epoch
# ------------------------
# .. include:: ../../gallery/words/mosaic_stays.rst
from mmdet.core.hook import YOLOXModeSwitchHook

stock_yolox = checkout.config("yolox/yolox_s_8x8_300e_coco.py")
hooks = {hook.type: hook for hook in stock_yolox.custom_hooks}
hook = hooks["YOLOXModeSwitchHook"]
checkout.check("YOLOX's epochs", stock_yolox.runner.max_epochs, 300)
checkout.check("its last epochs are", hook.num_last_epochs, 15)
skipped = ("Mosaic", "RandomAffine", "MixUp")
checkout.check("they skip", YOLOXModeSwitchHook().skip_type_keys, skipped)
checkout.check("epochs here", cfg.runner.max_epochs, 12)
mine = [hook.type for hook in cfg.custom_hooks]
checkout.check("hooks here", mine, ["NumClassCheckHook"])

# %%
# Pitfall: ``img_scale`` the other way round
# ------------------------------------------
# For Mosaic and MixUp ``img_scale`` is (height, width), and so is RandomAffine's
# ``border``; for Resize and MultiScaleFlipAug it is (width, height). The published
# tutorial has (1333, 800) for Mosaic, and trains on portrait images.
variant = checkout.edit(config, {"img_scale = (800, 1333)": "img_scale = (1333, 800)"})
with checkout.inside():
    _, portrait = mixed(checkout.dataset(checkout.config(variant)), index=0, seed=seed)
checkout.check(
    "image after RandomAffine: height, width", portrait["img"].shape[:2], (1332, 800)
)

# %%
# Here are two of the others: Resize makes an image (width, height) large, and MixUp
# fits the image that it mixes in into (height, width).
import numpy as np
from mmdet.datasets.pipelines import MixUp, Resize


def picture(width, height):
    image = np.zeros((height, width, 3), np.uint8)
    boxes = np.array([[0, 0, width, height]], np.float32)
    labels, ignored = np.zeros(1, int), np.zeros((0, 4), np.float32)
    return dict(img=image, gt_bboxes=boxes, gt_labels=labels, gt_bboxes_ignore=ignored)


# %%
resized = Resize(img_scale=(400, 200), keep_ratio=False)(picture(50, 50))
checkout.check(
    "Resize to (400, 200): height, width", resized["img"].shape[:2], (200, 400)
)
mixup = MixUp(img_scale=(200, 400), ratio_range=(1, 1))
both = mixup(picture(500, 500) | dict(mix_results=[picture(100, 50)]))
width, height = both["gt_bboxes"][1, 2:]
checkout.check(
    "MixUp's image in (200, 400): height, width", (height, width), (200, 400)
)

# %%
# Pitfall: workers that end with each epoch
# -----------------------------------------
# .. include:: ../../gallery/words/mosaic_workers_end.rst
#
# So it is on 2.x without ``persistent_workers=True``, and in the published tutorial.
variant = checkout.edit(config, {", persistent_workers=True": ""})
with checkout.inside():
    first, second = read(checkout.config(variant), dataset)
same = partners(first) == partners(second)
checkout.check("the second epoch mixes in those of the first", same, True)

# %%
# Pitfall: YOLOX's hook on Faster R-CNN
# -------------------------------------
# .. include:: ../../gallery/words/mosaic_hook.rst
line = "data = dict(train=train_dataset"
hook = "custom_hooks = [dict(type='YOLOXModeSwitchHook', num_last_epochs=0)]\n"
variant = checkout.edit(config, {line: hook + line})
failure = checkout.fails(checkout.train, variant, **smaller)
reason = "AttributeError: 'FasterRCNN' object has no attribute 'bbox_head'"
checkout.check("what it says", failure.message, reason)

# %%
# .. include:: ../../gallery/words/mosaic_skip.rst
dataset.update_skip_type_keys(["Mosaic", "RandomAffine"])
with checkout.inside():
    plain, file = dataset[0]["img_metas"].data, dataset.dataset[0]
dataset.update_skip_type_keys([])
checkout.check("shape of an image", plain["img_shape"], file["img"].shape)

# %%
# .. include:: ../../gallery/words/mosaic_skip_workers.rst
with checkout.inside():
    first, second = read(cfg, dataset, skip=("Mosaic", "RandomAffine"))
checkout.check("images read for one", {len(numbers) for _, numbers in second}, {4})

# %%
# Pitfall: without ``_delete_``
# -----------------------------
# .. include:: ../../gallery/words/mosaic_delete.rst
line = "    _delete_=True,  # replace the stock train dataset instead of merging\n"
variant = checkout.edit(config, {line: ""})
failure = checkout.fails(checkout.dataset, checkout.config(variant))
reason = "__init__() got an unexpected keyword argument 'ann_file'"
checkout.check(f"it says: {reason}", reason in failure.message, True)

# %%
# Pitfall: Mosaic without the wrapper
# -----------------------------------
# In the pipeline of a plain ``CocoDataset`` there are no other images to mix. Mosaic
# stops with an assertion that gives no reason.
plain = "data = dict(train=dict(pipeline=[*train_dataset['dataset']['pipeline'], *train_pipeline]), "
variant = checkout.edit(config, {"data = dict(train=train_dataset, ": plain})
failure = checkout.fails(checkout.train, variant, **smaller)
checkout.check(
    "line that raised the error", failure.line, "assert 'mix_results' in results"
)

# %%
# Pitfall: no negative border
# ---------------------------
# RandomAffine then leaves the image as large as the canvas: four times the pixels to
# train on.
variant = checkout.edit(
    config, {"border=(-img_scale[0] // 2, -img_scale[1] // 2)": "border=(0, 0)"}
)
with checkout.inside():
    _, large = mixed(checkout.dataset(checkout.config(variant)), index=0, seed=seed)
checkout.check(
    "image after RandomAffine: height, width", large["img"].shape[:2], (1600, 2666)
)
