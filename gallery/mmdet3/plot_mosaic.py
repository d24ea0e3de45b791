"""
How do I train with Mosaic?
===========================

Mosaic needs four images at once, so the dataset is wrapped in ``MultiImageMixDataset``,
which hands them to it. Inherit from the standard config; no file of MMDetection is
edited.
"""

# %%
# .. snippet:: mosaic/faster-rcnn_r50_fpn_mosaic_1x_coco.py
#
# Save it at this path in your MMDetection folder and train it:
#
# .. code-block:: console
#
#    $ python tools/train.py configs/mosaic/faster-rcnn_r50_fpn_mosaic_1x_coco.py --auto-scale-lr
#
# On several GPUs, here eight:
#
# .. code-block:: console
#
#    $ bash tools/dist_train.sh configs/mosaic/faster-rcnn_r50_fpn_mosaic_1x_coco.py 8 --auto-scale-lr
#
# .. include:: ../../gallery/words/learning_rate.rst

# %%
# What happens to an image
# ------------------------
# A ``Workspace`` is an MMDetection checkout with a small COCO in it; the file above
# lies in it unchanged. The detector stays as it is.
from howto import Workspace
from howto.figures.diagram import draw_pipelines

checkout = Workspace("mosaic")
config = "faster-rcnn_r50_fpn_mosaic_1x_coco.py"
cfg = checkout.config(config)
stock = checkout.config("faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py")
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
classes = dataset.metainfo["classes"]
figure, axes = plt.subplots(1, 4, figsize=(9, 2.2))
places = ("top left", "top right", "bottom left", "bottom right")
for axis, image, place in zip(axes, four, places, strict=True):
    draw_boxes(axis, image, classes, place)

# %%
# They meet in a point drawn at random, each scaled to fit 1333 × 800 and cut at the
# border. The canvas is twice as wide and twice as high as ``img_scale``; grey is
# padding.
figure, axes = plt.subplots(1, 2, figsize=(9, 3))
draw_boxes(axes[0], mosaic, classes, "after Mosaic")
draw_boxes(axes[1], affine, classes, "after RandomAffine")
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
# Loading and mixing are YOLOX's, but for the sizes; flipping and packing is the stock
# Faster R-CNN's, and so is the model, whose ``data_preprocessor`` normalises and pads.
def without(step, *keys):
    return {key: value for key, value in step.items() if key not in keys}


train = cfg.train_dataloader.dataset
yolox = checkout.config("yolox/yolox_s_8xb8-300e_coco.py").train_dataloader.dataset
loading = [without(step, "backend_args") for step in yolox.dataset.pipeline]
checkout.check("loading", list(map(dict, train.dataset.pipeline)), loading)
theirs = yolox.dataset.filter_cfg
checkout.check("what is left out", train.dataset.get("filter_cfg"), theirs)
for step, size in enumerate(("img_scale", "border")):
    mine, theirs = train.pipeline[step], yolox.pipeline[step]
    checkout.check(mine.type, without(mine, size), without(theirs, size))

# %%
theirs = stock.train_dataloader.dataset.pipeline
same = train.pipeline[2:] == theirs[3:]
checkout.check("flipping and packing are the stock's", same, True)
checkout.check("the model is the stock config's", cfg.model == stock.model, True)

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
# Without that line they would take part as well, with those that are smaller than 32
# pixels: ``False`` is the default of MMDetection 3, as ``True`` was that of 2. The stock
# config says ``True``, but its dataset is the one that ``_delete_`` replaces.
line = "        filter_cfg=dict(filter_empty_gt=False, min_size=32),\n"
default = checkout.dataset(checkout.config(checkout.edit(config, {line: ""})))
usual = checkout.dataset(stock)
everything = checkout.annotations("train")
shown = {annotation["image_id"] for annotation in everything["annotations"]}
checkout.check("images that take part", len(dataset), len(everything["images"]))
checkout.check("images without the line", len(default), len(everything["images"]))
checkout.check("images of the stock config", len(usual), len(shown))
checkout.check("images with objects are fewer", len(usual) < len(dataset), True)

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
checkout.check("learning rate of the config", cfg.optim_wrapper.optimizer.lr, 0.02)
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
from mmdet.engine.hooks import YOLOXModeSwitchHook

stock_yolox = checkout.config("yolox/yolox_s_8xb8-300e_coco.py")
hooks = {hook.type: hook for hook in stock_yolox.custom_hooks}
hook = hooks["YOLOXModeSwitchHook"]
checkout.check("YOLOX's epochs", stock_yolox.train_cfg.max_epochs, 300)
checkout.check("its last epochs are", hook.num_last_epochs, 15)
skipped = ("Mosaic", "RandomAffine", "MixUp")
checkout.check("they skip", YOLOXModeSwitchHook().skip_type_keys, skipped)
checkout.check("epochs here", cfg.train_cfg.max_epochs, 12)
checkout.check("hooks here", cfg.get("custom_hooks", []), [])

# %%
# Pitfall: ``data = dict(train=…)``
# ---------------------------------
# So it was written for MMDetection 2, and so it still stands in the tutorial's edition for
# 3.x. No one reads it: the config loads, the training runs to its end, without Mosaic.
variant = checkout.edit(
    config, {"train_dataloader = dict(dataset=": "data = dict(train="}
)
run = checkout.train(variant, evaluate=False, **smaller)
checkout.check("every loss is finite", all(map(math.isfinite, run.losses)), True)
ignored = checkout.dataset(checkout.config(variant))
checkout.check("what it trained on", type(ignored).__name__, "CocoDataset")
steps = [type(step).__name__ for step in ignored.pipeline.transforms]
checkout.check("Mosaic is among its steps", "Mosaic" in steps, False)

# %%
# Pitfall: ``img_prefix`` and ``filter_empty_gt`` beside ``pipeline``
# -------------------------------------------------------------------
# There they were in MMDetection 2, and there the tutorial's edition for 3.x has them. Now
# they belong into ``data_prefix`` and ``filter_cfg``.
refused = []
for old, new in {
    "data_prefix=dict(img='train2017/')": "img_prefix=data_root + 'train2017/'",
    "filter_cfg=dict(filter_empty_gt=False, min_size=32)": "filter_empty_gt=False",
}.items():
    variant = checkout.edit(config, {old: new})
    failure = checkout.fails(checkout.dataset, checkout.config(variant))
    key = new.partition("=")[0]
    if f"got an unexpected keyword argument '{key}'" in failure.message:
        refused.append(key)
both = ["img_prefix", "filter_empty_gt"]
checkout.check("keyword arguments that CocoDataset refuses", refused, both)

# %%
# Pitfall: ``img_scale`` the other way round
# ------------------------------------------
# Mosaic takes (width, height), as everything else does. In MMDetection 2 Mosaic and
# MixUp took (height, width), and RandomAffine's ``border`` followed them; a config
# brought over from there trains on portrait images.
variant = checkout.edit(config, {"img_scale = (1333, 800)": "img_scale = (800, 1333)"})
with checkout.inside():
    _, portrait = mixed(checkout.dataset(checkout.config(variant)), index=0, seed=seed)
checkout.check(
    "image after RandomAffine: height, width", portrait["img"].shape[:2], (1332, 800)
)

# %%
# So does MixUp: the image that it mixes in has to fit into (width, height).
import numpy as np
from mmdet.datasets.transforms import MixUp


def picture(width, height):
    image = np.zeros((height, width, 3), np.uint8)
    boxes = np.array([[0, 0, width, height]], np.float32)
    result = dict(img=image, gt_bboxes=boxes, gt_bboxes_labels=np.zeros(1, int))
    return result | dict(gt_ignore_flags=np.zeros(1, bool))


# %%
mixup = MixUp(img_scale=(400, 200), ratio_range=(1, 1))
both = mixup(picture(500, 500) | dict(mix_results=[picture(100, 50)]))
width, height = both["gt_bboxes"][1, 2:]
checkout.check(
    "MixUp's image in (400, 200): width, height", (width, height), (400, 200)
)

# %%
# Pitfall: workers that end with each epoch
# -----------------------------------------
# .. include:: ../../gallery/words/mosaic_workers_end.rst
#
# So it is wherever ``persistent_workers`` is not ``True``; the stock config says it.
variant = checkout.edit(
    config,
    {
        "dict(dataset=train_dataset": "dict(persistent_workers=False, dataset=train_dataset"
    },
)
with checkout.inside():
    first, second = read(checkout.config(variant), dataset)
same = partners(first) == partners(second)
checkout.check("the second epoch mixes in those of the first", same, True)

# %%
# Pitfall: YOLOX's hook on Faster R-CNN
# -------------------------------------
# .. include:: ../../gallery/words/mosaic_hook.rst
line = "train_dataloader = dict("
hook = "custom_hooks = [dict(type='YOLOXModeSwitchHook', num_last_epochs=0)]\n"
variant = checkout.edit(config, {line: hook + line})
failure = checkout.fails(checkout.train, variant, **smaller)
reason = "AttributeError: 'FasterRCNN' object has no attribute 'bbox_head'"
checkout.check("what it says", failure.message, reason)

# %%
# .. include:: ../../gallery/words/mosaic_skip.rst
dataset.update_skip_type_keys(["Mosaic", "RandomAffine"])
with checkout.inside():
    plain, file = dataset[0]["data_samples"], dataset.dataset[0]
dataset.update_skip_type_keys([])
checkout.check("shape of an image", plain.img_shape, file["img"].shape[:2])

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
reason = "__init__() got an unexpected keyword argument 'data_root'"
checkout.check(f"it says: {reason}", reason in failure.message, True)

# %%
# Pitfall: Mosaic without the wrapper
# -----------------------------------
# In the pipeline of a plain ``CocoDataset`` there are no other images to mix. Mosaic
# stops with an assertion that gives no reason.
plain = "train_dataloader = dict(dataset=dict(pipeline=[*train_dataset['dataset']['pipeline'], *train_pipeline]))"
variant = checkout.edit(
    config, {"train_dataloader = dict(dataset=train_dataset)": plain}
)
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
