"""
How do I train with Mosaic?
===========================

Mosaic combines four images, so the dataset has to be wrapped in ``MultiImageMixDataset``,
which hands them to it. Inherit from the standard config; no file of MMDetection is
edited.
"""

# %%
# .. snippet:: mosaic/faster-rcnn_r50_fpn_mosaic_1x_coco.py
#
# .. train:: mosaic/faster-rcnn_r50_fpn_mosaic_1x_coco.py
#
# For MMDetection 3.0 or newer.

# %%
# Adapt it
# --------
# .. include:: ../../gallery/words/mosaic_adapt3.rst
from howto import Workspace

checkout = Workspace("mosaic")
config = "faster-rcnn_r50_fpn_mosaic_1x_coco.py"
cfg = checkout.config(config)
stock = checkout.config("faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py")

base = "../faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py"
other = checkout.edit(config, {base: "../retinanet/retinanet_r18_fpn_1x_coco.py"})
fewer = dict(train_dataloader__dataset__dataset__indices=4)
moved = checkout.train(other, evaluate=False, **fewer).trains("bbox_head")
checkout.check("RetinaNet trains on Mosaic too", moved, [True])

# %%
# To see what your own training images become, have MMDetection draw them:
#
# .. code-block:: console
#
#    $ python tools/analysis_tools/browse_dataset.py configs/mosaic/faster-rcnn_r50_fpn_mosaic_1x_coco.py --not-show --output-dir drawn --cfg-options train_dataloader.dataset.dataset.indices=4
#
# The last option leaves the first four images in the dataset, and Mosaic mixes only
# those. Without the option the script draws every image, of COCO more than 100,000.
import matplotlib.pyplot as plt

script = "python tools/analysis_tools/browse_dataset.py configs/mosaic"
options = "--cfg-options train_dataloader.dataset.dataset.indices=4"
checkout.shell(f"{script}/{config} --not-show --output-dir drawn {options}")
drawn = [plt.imread(path) for path in (checkout.root / "drawn").glob("*.jpg")]
checkout.check("browse_dataset.py draws each of the four images once", len(drawn), 4)
checkout.check(
    "The drawn images are as large as those in training: height, width",
    {image.shape[:2] for image in drawn},
    {(800, 1332)},
)

# %%
# What happens to an image
# ------------------------
# The detector stays as it is; this is how its training images are made.
from howto.figures.diagram import draw_pipelines

draw_pipelines(cfg, stock)

# %%
# .. include:: ../../gallery/words/mosaic_four.rst
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
named, iterations = short.logged("in Mosaic.__init__"), short.logged("Epoch(train)")
each = len(iterations) // 3
print(*named, *iterations[each - 1 :: each], sep="\n")

# %%
# Pitfalls
# --------

# %%
# No Mosaic, and nothing is reported: ``data = dict(train=…)``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# MMDetection 3 reads ``train_dataloader``. MMDetection 2 read ``data``, and the
# published tutorial's edition for 3.x still has that: the config loads, and the training
# runs to its end on plain images. The only sign is that the log lacks the line of Mosaic.
import math

variant = checkout.edit(
    config, {"train_dataloader = dict(dataset=": "data = dict(train="}
)
fewer = dict(train_dataloader__dataset__indices=4)
ignored = checkout.train(variant, evaluate=False, **fewer, **smaller)
finite = all(map(math.isfinite, ignored.losses))
checkout.check("It trains all the same, every loss is finite", finite, True)
lines = len(ignored.logged("in Mosaic.__init__"))
checkout.check("Lines of Mosaic in the log", lines, 0)

# %%
ignored = checkout.dataset(checkout.config(variant))
checkout.check("The dataset in training", type(ignored).__name__, "CocoDataset")
steps = [type(step).__name__ for step in ignored.pipeline.transforms]
plain = "LoadImageFromFile LoadAnnotations Resize RandomFlip PackDetInputs"
checkout.check("The steps in training", steps, plain.split())

# %%
# Portrait images: ``img_scale`` is the wrong way round
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# In MMDetection 3 Mosaic takes (width, height), as all other steps do. In MMDetection 2
# Mosaic and MixUp took (height, width), and RandomAffine's ``border`` followed them; a
# config brought over from there trains on portrait images. The only sign is in the log.
variant = checkout.edit(config, {"img_scale = (1333, 800)": "img_scale = (800, 1333)"})
with checkout.inside():
    _, portrait = mixed(checkout.dataset(checkout.config(variant)), index=0, seed=seed)
checkout.check(
    "Images become portraits: height, width", portrait["img"].shape[:2], (1332, 800)
)

# %%
# Mosaic logs which is the height and which is the width:
import contextlib
import io

from mmdet.datasets.transforms import MixUp, Mosaic

log = io.StringIO()
with checkout.inside(), contextlib.redirect_stdout(log):
    Mosaic(img_scale=(800, 1333))
    mixup = MixUp(img_scale=(400, 200), ratio_range=(1, 1))
line = "image shape: height=1333, width=800 in Mosaic.__init__"
checkout.check(f"Mosaic logs: {line}", line in log.getvalue(), True)

# %%
# MixUp takes the same order: the image that it mixes in is fitted into (width, height).
import numpy as np


def picture(width, height):
    image = np.zeros((height, width, 3), np.uint8)
    boxes = np.array([[0, 0, width, height]], np.float32)
    result = dict(img=image, gt_bboxes=boxes, gt_bboxes_labels=np.zeros(1, int))
    return result | dict(gt_ignore_flags=np.zeros(1, bool))


# %%
both = mixup(picture(500, 500) | dict(mix_results=[picture(100, 50)]))
width, height = both["gt_bboxes"][1, 2:]
checkout.check("MixUp to (400, 200) makes width, height", (width, height), (400, 200))

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
# So it is wherever workers load the images and ``persistent_workers`` is not ``True``; the stock
# config sets it.
from howto.figures.mosaic import partners, read

line = "dict(dataset=train_dataset"
variant = checkout.edit(
    config, {line: line.replace("dict(", "dict(persistent_workers=False, ")}
)
with checkout.inside():
    first, second = read(checkout.config(variant), dataset)
same = partners(first) == partners(second)
checkout.check("The second epoch mixes in the images of the first", same, True)

# %%
# ``assert 'mix_results' in results``: Mosaic without the wrapper
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# In the pipeline of a plain ``CocoDataset`` there are no other images to mix. Mosaic
# stops with an ``AssertionError`` that gives no reason.
plain = "train_dataloader = dict(dataset=dict(pipeline=[*train_dataset['dataset']['pipeline'], *train_pipeline]))"
variant = checkout.edit(
    config, {"train_dataloader = dict(dataset=train_dataset)": plain}
)
failure = checkout.fails(checkout.train, variant, **smaller)
checkout.check("The line that stops", failure.line, "assert 'mix_results' in results")

# %%
# ``TypeError: MultiImageMixDataset.__init__() got an unexpected keyword argument 'data_root'``: no ``_delete_``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/mosaic_delete.rst
line = "    _delete_=True,  # replace the stock train dataset instead of merging\n"
variant = checkout.edit(config, {line: ""})
failure = checkout.fails(checkout.dataset, checkout.config(variant))
reason = "MultiImageMixDataset.__init__() got an unexpected keyword argument"
checkout.check(f"It says: {reason}", f"{reason} 'data_root'" in failure.message, True)

# %%
# ``TypeError: BaseDataset.__init__() got an unexpected keyword argument 'img_prefix'``: keys of MMDetection 2
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# In MMDetection 2 ``img_prefix`` and ``filter_empty_gt`` stood beside ``pipeline``, and
# in the published tutorial's edition for 3.x they still do. In MMDetection 3 they belong
# into ``data_prefix`` and ``filter_cfg``.
refused = []
for old, new in {
    "data_prefix=dict(img='train2017/')": "img_prefix=data_root + 'train2017/'",
    "filter_cfg=dict(filter_empty_gt=False, min_size=32)": "filter_empty_gt=False",
}.items():
    variant = checkout.edit(config, {old: new})
    failure = checkout.fails(checkout.dataset, checkout.config(variant))
    key = new.partition("=")[0]
    said = f"BaseDataset.__init__() got an unexpected keyword argument '{key}'"
    if said in failure.message:
        refused.append(key)
both = ["img_prefix", "filter_empty_gt"]
checkout.check("CocoDataset refuses the keyword arguments", refused, both)

# %%
# ``DefaultFormatBundle is not in the mmdet::transform registry``: the last steps of MMDetection 2
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# In MMDetection 3 ``PackDetInputs`` took the place of ``DefaultFormatBundle`` and
# ``Collect``.
unknown = []
for step in ("DefaultFormatBundle", "Collect"):
    variant = checkout.edit(config, {"PackDetInputs": step})
    failure = checkout.fails(checkout.dataset, checkout.config(variant))
    if f"'{step} is not in the mmdet::transform registry" in failure.message:
        unknown.append(step)
both = ["DefaultFormatBundle", "Collect"]
checkout.check("MMDetection 3 does not know the steps", unknown, both)

# %%
# ``RuntimeError: each data_itement in list of batch should be of equal size``: no ``PackDetInputs``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Without this last step the training stops as soon as a batch is to be made of images
# that have different numbers of boxes. The message names neither.
last = ",\n    # Normalising and padding is the work of the model's data_preprocessor.\n    dict(type='PackDetInputs')"
variant = checkout.edit(config, {last: ""})
failure = checkout.fails(checkout.train, variant, **smaller)
reason = "RuntimeError: each data_itement in list of batch should be of equal size"
checkout.check("Without PackDetInputs it says", failure.message, reason)

# %%
# Pixels normalised twice: ``Normalize`` is still in the pipeline
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Nothing is reported. In MMDetection 3 the model's ``data_preprocessor`` normalises the
# pixels; a ``Normalize`` brought over from a pipeline of MMDetection 2 does it a second time.
from howto.figures.mosaic import seeded
from mmdet.models import DetDataPreprocessor

keys = dict(cfg.model.data_preprocessor)
keys.pop("type")
normalize = "dict(type='Normalize', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True),\n    "
line = "dict(type='PackDetInputs')"
variant = checkout.edit(config, {line: normalize + line})
spreads, normalise = [], DetDataPreprocessor(**keys)
for each in (dataset, checkout.dataset(checkout.config(variant))):
    with checkout.inside(), seeded(seed):
        item = each[0]
    batch = dict(inputs=[item["inputs"]], data_samples=[item["data_samples"]])
    height, width = item["inputs"].shape[1:]
    image = normalise(batch, True)["inputs"][0, :, :height, :width]
    spreads.append(float(image.std(dim=(1, 2)).mean()))

# %%
# So what the detector gets is almost one colour.
ratio = spreads[1] / spreads[0]
checkout.check("Standard deviation of a channel: twice over once", ratio, at_most=0.02)

# %%
# ``'FasterRCNN' object has no attribute 'bbox_head'``: YOLOX's hook
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/mosaic_hook.rst
line = "train_dataloader = dict("
hook = "custom_hooks = [dict(type='YOLOXModeSwitchHook', num_last_epochs=0)]\n"
variant = checkout.edit(config, {line: hook + line})
failure = checkout.fails(checkout.train, variant, **smaller)
reason = "AttributeError: 'FasterRCNN' object has no attribute 'bbox_head'"
checkout.check("It says", failure.message, reason)

# %%
# .. include:: ../../gallery/words/mosaic_skip.rst
dataset.update_skip_type_keys(["Mosaic", "RandomAffine"])
with checkout.inside():
    plain, file = dataset[0]["data_samples"], dataset.dataset[0]
dataset.update_skip_type_keys([])
checkout.check(
    "Without Mosaic an image is as large as its file",
    plain.img_shape,
    file["img"].shape[:2],
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
variant = checkout.edit(config, {"img_scale = (1333, 800)": "img_scale = (640, 640)"})
with checkout.inside():
    other = mixed(checkout.dataset(checkout.config(variant)), index=0, seed=seed)
sizes = [step["img"].shape[:2] for step in other]
checkout.check(
    "640 × 640: canvas and image: height, width", sizes, [(1280, 1280), (640, 640)]
)
log = io.StringIO()
with checkout.inside(), contextlib.redirect_stdout(log):
    Mosaic(img_scale=(640, 640))
lines = log.getvalue().count("in Mosaic.__init__")
checkout.check("Lines of Mosaic in the log of a square scale", lines, 0)


# %%
# The other steps are MMDetection's own
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Loading and mixing are YOLOX's, but for the sizes; flipping and packing is the stock
# Faster R-CNN's, and so is the model, whose ``data_preprocessor`` normalises and pads.
def without(step, *keys):
    return {key: value for key, value in step.items() if key not in keys}


train = cfg.train_dataloader.dataset
yolox = checkout.config("yolox/yolox_s_8xb8-300e_coco.py").train_dataloader.dataset
loading = [without(step, "backend_args") for step in yolox.dataset.pipeline]
same = list(map(dict, train.dataset.pipeline)) == loading
checkout.check("Images are loaded as YOLOX loads them", same, True)
same = train.dataset.get("filter_cfg") == yolox.dataset.filter_cfg
checkout.check("Images are left out as YOLOX leaves them out", same, True)

# %%
for step, size in enumerate(("img_scale", "border")):
    mine, theirs = train.pipeline[step], yolox.pipeline[step]
    same = without(mine, size) == without(theirs, size)
    checkout.check(f"{mine.type} is YOLOX's but for {size}", same, True)
same = train.pipeline[2:] == stock.train_dataloader.dataset.pipeline[3:]
checkout.check("The steps from flipping on are the stock config's", same, True)
checkout.check("The model is the stock config's", cfg.model == stock.model, True)

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
# Without that line they would take part as well, with those that are smaller than 32
# pixels: ``False`` is the default of MMDetection 3, as ``True`` was that of 2. The stock
# config says ``True``, but its dataset is the one that ``_delete_`` replaces.
line = "        filter_cfg=dict(filter_empty_gt=False, min_size=32),\n"
default = checkout.dataset(checkout.config(checkout.edit(config, {line: ""})))
usual = checkout.dataset(stock)
everything = checkout.annotations("train")
shown = {annotation["image_id"] for annotation in everything["annotations"]}
number = len(everything["images"])
checkout.check("With the line all images take part", len(dataset), number)
checkout.check("Without it they do as well", len(default), number)
checkout.check(
    "With the stock config those that show an object", len(usual), len(shown)
)
checkout.check("Those are fewer", len(usual) < len(dataset), True)

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
run = checkout.train(config)
finite = all(map(math.isfinite, run.losses))
checkout.check("Every loss is finite", finite, True)
checkout.check("The box head's weights move", run.trains("roi_head"), [True])
checkout.check("It is evaluated after each epoch, times", run.evaluations, 1)

# %%
# .. include:: ../../gallery/words/mosaic_rate.rst
import statistics

rate = cfg.optim_wrapper.optimizer.lr
checkout.check("Learning rate of the config, for 16 images", rate, 0.02)
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
from mmdet.engine.hooks import YOLOXModeSwitchHook

stock_yolox = checkout.config("yolox/yolox_s_8xb8-300e_coco.py")
hooks = {hook.type: hook for hook in stock_yolox.custom_hooks}
hook = hooks["YOLOXModeSwitchHook"]
checkout.check("YOLOX trains for epochs", stock_yolox.train_cfg.max_epochs, 300)
checkout.check("of which without Mosaic the last", hook.num_last_epochs, 15)
skipped = ("Mosaic", "RandomAffine", "MixUp")
checkout.check("There it skips", YOLOXModeSwitchHook().skip_type_keys, skipped)
checkout.check("This config trains for epochs", cfg.train_cfg.max_epochs, 12)
checkout.check("Hooks that it adds", cfg.get("custom_hooks", []), [])

# %%
# What was not tried
# ~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/mosaic_not_tried.rst
