"""
How do I train with Mosaic?
===========================

Mosaic combines four images, so the dataset has to be wrapped in ``MultiImageMixDataset``,
which hands them to it. Inherit from the standard config; no file of MMDetection is
edited.
"""

# %%
# .. snippet:: mosaic/faster_rcnn_r50_fpn_mosaic_1x_coco.py
#
# .. train:: mosaic/faster_rcnn_r50_fpn_mosaic_1x_coco.py
#
# For MMDetection 2.19 or newer: ``persistent_workers`` came with 2.19, Mosaic with 2.15.1.
# So their release notes say; this page ran on 2.28.

# %%
# Adapt it
# --------
# .. include:: ../../gallery/words/mosaic_adapt2.rst
from howto import Workspace

checkout = Workspace("mosaic")
config = "faster_rcnn_r50_fpn_mosaic_1x_coco.py"
cfg = checkout.config(config)
stock = checkout.config("faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py")

base = "../faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py"
other = checkout.edit(config, {base: "../retinanet/retinanet_r18_fpn_1x_coco.py"})
moved = checkout.train(other, evaluate=False).trains("bbox_head")
checkout.check("RetinaNet trains on Mosaic too", moved, [True])

# %%
# To see what your own training images become, have MMDetection draw them. Its script stops on
# Python 3.10 and newer with ``cannot import name 'Sequence' from 'collections'``, so mend a copy:
#
# .. code-block:: console
#
#    $ sed 's/from collections import/from collections.abc import/' tools/misc/browse_dataset.py > browse_dataset.py
#    $ python browse_dataset.py configs/mosaic/faster_rcnn_r50_fpn_mosaic_1x_coco.py --not-show --output-dir drawn
mend = "s/from collections import/from collections.abc import/"
script = checkout.shell(f"sed '{mend}' tools/misc/browse_dataset.py")
(checkout.root / "browse_dataset.py").write_text(script, "utf-8")
command = f"python browse_dataset.py configs/mosaic/{config} --not-show"
checkout.shell(f"{command} --output-dir drawn")
drawn = len(list((checkout.root / "drawn").glob("*.jpg")))
images = len(checkout.annotations("train")["images"])
checkout.check("browse_dataset.py draws each image once", drawn, images)

# %%
# What happens to an image
# ------------------------
# The detector stays as it is; this is how its training images are made.
from howto.figures.diagram import draw_pipelines

draw_pipelines(cfg, stock)

# %%
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
# .. include:: ../../gallery/words/mosaic_draws.rst
from howto.figures.pairs import Pairs

with checkout.inside():
    draws = {f"seed {n}": mixed(dataset, index=0, seed=n) for n in range(5)}
pictures = {name: [step["img"] for step in steps] for name, steps in draws.items()}
Pairs(pictures, names=("after Mosaic", "after RandomAffine"))

# %%
# Your log should say
# -------------------
# .. include:: ../../gallery/words/mosaic_log.rst
smaller = dict(
    model__backbone__depth=18,
    model__backbone__init_cfg__checkpoint="torchvision://resnet18",
    model__neck__in_channels=[64, 128, 256, 512],
)
short = checkout.train(config, epochs=3, evaluate=False, warmed_up=True, **smaller)

# %%
print(*short.logged("in Mosaic.__init__"), *short.logged("Epoch [")[5::6], sep="\n")

# %%
# Pitfalls
# --------

# %%
# Portrait images: ``img_scale`` is the wrong way round
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# For Mosaic and MixUp ``img_scale`` is (height, width), and so is RandomAffine's
# ``border``; for Resize and MultiScaleFlipAug it is (width, height). Nothing stops: the log
# says ``image shape: height=1333, width=800 in Mosaic.__init__``. The published tutorial
# has (1333, 800) for Mosaic, and trains on portrait images.
variant = checkout.edit(config, {"img_scale = (800, 1333)": "img_scale = (1333, 800)"})
with checkout.inside():
    _, portrait = mixed(checkout.dataset(checkout.config(variant)), index=0, seed=seed)
checkout.check(
    "Images become portraits: height, width", portrait["img"].shape[:2], (1332, 800)
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
    "Resize to (400, 200) makes height, width", resized["img"].shape[:2], (200, 400)
)
mixup = MixUp(img_scale=(200, 400), ratio_range=(1, 1))
both = mixup(picture(500, 500) | dict(mix_results=[picture(100, 50)]))
width, height = both["gt_bboxes"][1, 2:]
checkout.check("MixUp to (200, 400) makes height, width", (height, width), (200, 400))

# %%
# Four times the pixels: RandomAffine has no negative ``border``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The image then stays as large as the canvas, and training takes as much more memory.
variant = checkout.edit(
    config, {"border=(-img_scale[0] // 2, -img_scale[1] // 2)": "border=(0, 0)"}
)
with checkout.inside():
    _, large = mixed(checkout.dataset(checkout.config(variant)), index=0, seed=seed)
checkout.check(
    "Images stay at twice the size: height, width", large["img"].shape[:2], (1600, 2666)
)

# %%
# The same mosaics in every epoch: workers end with it
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/mosaic_workers_end.rst
#
# So it is on 2.x without ``persistent_workers=True``, and in the published tutorial.
from howto.figures.mosaic import partners, read

variant = checkout.edit(config, {", persistent_workers=True": ""})
with checkout.inside():
    first, second = read(checkout.config(variant), dataset)
same = partners(first) == partners(second)
checkout.check("The second epoch mixes in the images of the first", same, True)

# %%
# ``assert 'mix_results' in results``: Mosaic without the wrapper
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# In the pipeline of a plain ``CocoDataset`` there are no other images to mix. Mosaic
# stops with an ``AssertionError`` that gives no reason.
plain = "data = dict(train=dict(pipeline=[*train_dataset['dataset']['pipeline'], *train_pipeline]), "
variant = checkout.edit(config, {"data = dict(train=train_dataset, ": plain})
failure = checkout.fails(checkout.train, variant, **smaller)
checkout.check("The line that stops", failure.line, "assert 'mix_results' in results")

# %%
# ``TypeError: __init__() got an unexpected keyword argument 'ann_file'``: no ``_delete_``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/mosaic_delete.rst
line = "    _delete_=True,  # replace the stock train dataset instead of merging\n"
variant = checkout.edit(config, {line: ""})
failure = checkout.fails(checkout.dataset, checkout.config(variant))
reason = "__init__() got an unexpected keyword argument 'ann_file'"
checkout.check(f"It says: {reason}", reason in failure.message, True)

# %%
# ``'FasterRCNN' object has no attribute 'bbox_head'``: YOLOX's hook
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/mosaic_hook.rst
line = "data = dict(train=train_dataset"
hook = "custom_hooks = [dict(type='YOLOXModeSwitchHook', num_last_epochs=0)]\n"
variant = checkout.edit(config, {line: hook + line})
failure = checkout.fails(checkout.train, variant, **smaller)
reason = "AttributeError: 'FasterRCNN' object has no attribute 'bbox_head'"
checkout.check("It says", failure.message, reason)

# %%
# .. include:: ../../gallery/words/mosaic_skip.rst
dataset.update_skip_type_keys(["Mosaic", "RandomAffine"])
with checkout.inside():
    plain, file = dataset[0]["img_metas"].data, dataset.dataset[0]
dataset.update_skip_type_keys([])
checkout.check(
    "Without Mosaic an image is as large as its file",
    plain["img_shape"],
    file["img"].shape,
)

# %%
# .. include:: ../../gallery/words/mosaic_skip_workers.rst
with checkout.inside():
    first, second = read(cfg, dataset, skip=("Mosaic", "RandomAffine"))
read_for_one = {len(numbers) for _, numbers in second}
checkout.check("Workers that live on still read for one image", read_for_one, {4})

# %%
# Proof
# -----

# %%
# Sizes
# ~~~~~
# At the config's full scale; Mosaic's canvas is twice ``img_scale``, and RandomAffine cuts
# the middle out of it.
size = mosaic["img"].shape[:2]
checkout.check("Mosaic doubles the canvas: height, width", size, (1600, 2666))
size = affine["img"].shape[:2]
checkout.check("RandomAffine restores the size: height, width", size, (800, 1332))

# %%
# And at 640 × 640, the change that stands under *Adapt it*.
variant = checkout.edit(config, {"img_scale = (800, 1333)": "img_scale = (640, 640)"})
with checkout.inside():
    other = mixed(checkout.dataset(checkout.config(variant)), index=0, seed=seed)
sizes = [step["img"].shape[:2] for step in other]
checkout.check(
    "640 × 640: canvas and image: height, width", sizes, [(1280, 1280), (640, 640)]
)


# %%
# The other steps are MMDetection's own
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Loading and mixing are YOLOX's, but for the sizes; flipping and what comes after it is
# the stock Faster R-CNN's.
def without(step, size):
    return {key: value for key, value in step.items() if key != size}


train = cfg.data.train
yolox = checkout.config("yolox/yolox_s_8x8_300e_coco.py").data.train
same = train.dataset.pipeline == yolox.dataset.pipeline
checkout.check("Images are loaded as YOLOX loads them", same, True)
for step, size in enumerate(("img_scale", "border")):
    mine, theirs = train.pipeline[step], yolox.pipeline[step]
    same = without(mine, size) == without(theirs, size)
    checkout.check(f"{mine.type} is YOLOX's but for {size}", same, True)
same = train.pipeline[2:] == stock.data.train.pipeline[3:]
checkout.check("The steps from flipping on are the stock config's", same, True)

# %%
# Every box is still on its object
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/mosaic_paint.rst
from howto.figures.mosaic import distance, painted_boxes

with checkout.inside():
    tracked = painted_boxes(dataset, index=0, seed=seed)

# %%
steps = zip(("Mosaic", "RandomAffine"), (mosaic, affine), tracked, strict=True)
for name, result, paint in steps:
    image, boxes = result["img"], result["gt_bboxes"]
    labels = [label for label, edges in paint]
    same = list(result["gt_labels"]) == labels
    checkout.check(f"{name} keeps the label of each of {len(labels)} boxes", same, True)
    pairs = zip(boxes, paint, strict=True)
    worst = max(distance(box, edges, image) for box, (_, edges) in pairs)
    checkout.check(
        f"{name} keeps boxes on their objects, error in pixels", worst, at_most=3
    )
    size = image.shape[1], image.shape[0]
    inside = (boxes >= 0).all() and (boxes.reshape(-1, 2) <= size).all()
    checkout.check(f"{name} leaves no box outside of the image", bool(inside), True)

# %%
# Images without objects take part
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/mosaic_empty.rst
from howto.figures.mosaic import images_shown

with checkout.inside():
    number = images_shown(dataset, index=0, seed=seed)
checkout.check("A canvas shows images", number, 4)
fewest = min(len(image["gt_bboxes"]) for image in four)
checkout.check("One of them has boxes", fewest, 0)

# %%
# Without that line they would be left out: ``True`` is the default of 2.x.
line = ",\n        filter_empty_gt=False"
default = checkout.dataset(checkout.config(checkout.edit(config, {line: ""})))
everything = checkout.annotations("train")
shown = {annotation["image_id"] for annotation in everything["annotations"]}
checkout.check(
    "With the line all images take part", len(dataset), len(everything["images"])
)
checkout.check("Without it those that show an object", len(default), len(shown))
checkout.check("Those are fewer", len(default) < len(dataset), True)

# %%
# Worker processes draw different images
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/mosaic_workers.rst
from howto.figures.show import Table

with checkout.inside():
    first, second = read(cfg, dataset)
rows = zip(*zip(*first[:6], strict=True), *zip(*second[:6], strict=True), strict=True)
Table(("worker", "epoch 1 reads", "worker", "epoch 2 reads"), list(rows))

# %%
# .. include:: ../../gallery/words/mosaic_workers_seed.rst
workers = sorted({worker for worker, _ in first})
checkout.check("Images are mixed by the workers", workers, [0, 1])
checkout.check("Images read for one", {len(numbers) for _, numbers in first}, {4})
differ = partners(first, worker=0) != partners(first, worker=1)
checkout.check("The two workers mix in different images", differ, True)
differ = partners(first) != partners(second)
checkout.check("The second epoch mixes in others than the first", differ, True)

# %%
# It trains, and the loss falls
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/mosaic_trains.rst
import math

run = checkout.train(config)
finite = all(map(math.isfinite, run.losses))
checkout.check("Every loss is finite", finite, True)
checkout.check("The box head's weights move", run.trains("roi_head"), [True])
checkout.check("It is evaluated after each epoch, times", run.evaluations, 1)

# %%
# .. include:: ../../gallery/words/mosaic_rate.rst
import statistics

checkout.check("Learning rate of the config, for 16 images", cfg.optimizer.lr, 0.02)
checkout.check("Images a step on one GPU", short.images_per_step, 2)
checkout.check("Learning rates of the run", set(short.rates), {0.0025})
first, _, last = [statistics.mean(epoch.losses) for epoch in short.epochs.values()]
checkout.check("The loss falls: third epoch over first", last / first, at_most=0.8)

# %%
# .. include:: ../../gallery/words/mosaic_gpus.rst
unused = checkout.unused_parameters(cfg)
checkout.check("Parameters without a gradient", unused, [])

# %%
# Mosaic to the last epoch
# ~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/mosaic_stays.rst
from mmdet.core.hook import YOLOXModeSwitchHook

stock_yolox = checkout.config("yolox/yolox_s_8x8_300e_coco.py")
hooks = {hook.type: hook for hook in stock_yolox.custom_hooks}
hook = hooks["YOLOXModeSwitchHook"]
checkout.check("YOLOX trains for epochs", stock_yolox.runner.max_epochs, 300)
checkout.check("of which without Mosaic the last", hook.num_last_epochs, 15)
skipped = ("Mosaic", "RandomAffine", "MixUp")
checkout.check("There it skips", YOLOXModeSwitchHook().skip_type_keys, skipped)
checkout.check("This config trains for epochs", cfg.runner.max_epochs, 12)
mine = [hook.type for hook in cfg.custom_hooks]
checkout.check("Hooks of this config", mine, ["NumClassCheckHook"])

# %%
# What was not tried
# ~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/mosaic_not_tried.rst
