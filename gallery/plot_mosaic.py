"""
How do I train with Mosaic?
===========================

Mosaic combines four images, so the dataset has to be wrapped in ``MultiImageMixDataset``,
which hands them to it. Inherit from the standard config; no file of MMDetection is
edited.
"""

# %%
# .. snippet:: faster_rcnn_r50_fpn_mosaic_1x_coco.py
#
# .. train:: faster_rcnn_r50_fpn_mosaic_1x_coco.py
#
# {% if mmdet2 %}
# For MMDetection 2.19 or newer: ``persistent_workers`` came with 2.19, Mosaic with 2.15.1.
# So their release notes say; this page ran on 2.28.
# {% else %}
# For MMDetection 3.0 or newer.
# {% endif %}

# %%
# Adapt it
# {% if mmdet2 %}
# --------
# - **Another scale**: change ``img_scale``; ``border`` follows. Tests stay at (1333, 800): set their scale as
#   for :doc:`small objects <plot_small_objects>`.
# - **Another detector**: change ``_base_``. Any that learns boxes alone will do; Mosaic carries no masks
#   along. Copy its ``img_norm_cfg``, with which it is tested: configs with ``caffe`` in their name have
#   another one, and YOLOX has no ``Normalize``.
# - **Your own data**: change ``data_root``, ``ann_file`` and ``img_prefix`` here, and add ``classes``, see
#   :doc:`your own classes <plot_custom_classes>`. What you set elsewhere does not reach this dataset.
# - **Plain images in the last epochs**: see `Mosaic to the last epoch`_.
# {% else %}
# --------
# - **Another scale**: change ``img_scale``; ``border`` follows. Tests stay at (1333, 800): set their scale as
#   for :doc:`small objects <plot_small_objects>`.
# - **Another detector**: change ``_base_`` to any that learns boxes alone. ``CachedMosaic`` takes masks, too.
# - **Your own data**: change ``data_root``, ``ann_file`` and ``data_prefix`` here, and add ``metainfo``, see
#   :doc:`your own classes <plot_custom_classes>`. What you set elsewhere does not reach this dataset, and
#   without ``metainfo`` it leaves out objects with names of your own, and says nothing.
# - **Plain images in the last epochs**: see `Mosaic to the last epoch`_.
# {% endif %}
from howto import Workspace
from howto.checkout.family import api

checkout = Workspace("mosaic")
config = "faster_rcnn_r50_fpn_mosaic_1x_coco.py"
cfg = checkout.config(config)
stock = checkout.config("faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py")

base = "../faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py"
other = checkout.edit(config, {base: "../retinanet/retinanet_r18_fpn_1x_coco.py"})
# {% if mmdet2 %}
moved = checkout.train(other, evaluate=False).trains("bbox_head")
# {% else %}
fewer = dict(train_dataloader__dataset__dataset__indices=4)
moved = checkout.train(other, evaluate=False, **fewer).trains("bbox_head")
# {% endif %}
checkout.check("RetinaNet trains on Mosaic too", moved, [True])

# %%
# {% if mmdet2 %}
# To see what your own training images become, have MMDetection draw them. Its script stops on
# Python 3.10 and newer with ``cannot import name 'Sequence' from 'collections'``, so mend a copy:
# {% else %}
# To see what your own training images become, have MMDetection draw them:
# {% endif %}
#
# .. code-block:: console
#
# {% if mmdet2 %}
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
# {% else %}
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
# {% endif %}

# %%
# What happens to an image
# ------------------------
# The detector stays as it is; this is how its training images are made.
from howto.figures.diagram import draw_pipelines

draw_pipelines(cfg, stock)

# %%
# Here are the first two steps at the config's full size, with random numbers that draw
# four different photographs, one of them without any object, and keep every object
# visible. ``mixed`` keeps what each step made.
# {% if mmdet2 %}
import matplotlib.pyplot as plt

# {% endif %}
from howto.figures.mosaic import first_seed, mixed, sources
from howto.figures.show import draw_boxes

dataset = checkout.dataset(cfg)

with checkout.inside():
    seed = first_seed(dataset, index=0)
    four = sources(dataset, index=0, seed=seed)
    mosaic, affine = mixed(dataset, index=0, seed=seed)

# %%
# {% if mmdet3 %}
classes = dataset.metainfo["classes"]
# {% endif %}
figure, axes = plt.subplots(1, 4, figsize=(9, 2.2))
places = ("top left", "top right", "bottom left", "bottom right")
# {% if mmdet2 %}
for axis, image, place in zip(axes, four, places, strict=True):
    draw_boxes(axis, image, dataset.CLASSES, place)
# {% else %}
for axis, image, place in zip(axes, four, places, strict=True):
    draw_boxes(axis, image, classes, place)
# {% endif %}

# %%
# {% if mmdet2 %}
# They meet in a point drawn at random, each scaled to fit 1333 × 800 and cut at the
# border. The canvas is twice as high and twice as wide as ``img_scale``; grey is
# padding.
# {% else %}
# They meet in a point drawn at random, each scaled to fit 1333 × 800 and cut at the
# border. The canvas is twice as wide and twice as high as ``img_scale``; grey is
# padding.
# {% endif %}
figure, axes = plt.subplots(1, 2, figsize=(9, 3))
# {% if mmdet2 %}
draw_boxes(axes[0], mosaic, dataset.CLASSES, "after Mosaic")
draw_boxes(axes[1], affine, dataset.CLASSES, "after RandomAffine")
# {% else %}
draw_boxes(axes[0], mosaic, classes, "after Mosaic")
draw_boxes(axes[1], affine, classes, "after RandomAffine")
# {% endif %}
# sphinx_gallery_thumbnail_number = 2

# %%
# The same image with other random numbers: step through five draws, and slide from the
# canvas to what RandomAffine makes of it.
from howto.figures.pairs import Pairs

with checkout.inside():
    draws = {f"seed {n}": mixed(dataset, index=0, seed=n) for n in range(5)}
pictures = {name: [step["img"] for step in steps] for name, steps in draws.items()}
Pairs(pictures, names=("after Mosaic", "after RandomAffine"))

# %%
# Your log should say
# -------------------
# Mosaic writes one line when the dataset is built. Its height and width are your ``img_scale``,
# which was made smaller for this run; for a square one the line is missing. Then comes the loss
# of the standard detector, falling: the last lines of three epochs, with a smaller ResNet on the
# small COCO.
smaller = dict(
    model__backbone__depth=18,
    model__backbone__init_cfg__checkpoint="torchvision://resnet18",
    model__neck__in_channels=[64, 128, 256, 512],
)
short = checkout.train(config, epochs=3, evaluate=False, warmed_up=True, **smaller)

# %%
# {% if mmdet2 %}
print(*short.logged("in Mosaic.__init__"), *short.logged("Epoch [")[5::6], sep="\n")
# {% else %}
named, iterations = short.logged("in Mosaic.__init__"), short.logged("Epoch(train)")
each = len(iterations) // 3
print(*named, *iterations[each - 1 :: each], sep="\n")
# {% endif %}

# %%
# Pitfalls
# --------

# %%
# {% if mmdet3 %}
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
# {% endif %}
# Portrait images: ``img_scale`` is the wrong way round
# {% if mmdet2 %}
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# For Mosaic and MixUp ``img_scale`` is (height, width), and so is RandomAffine's
# ``border``; for Resize and MultiScaleFlipAug it is (width, height). Nothing stops: the log
# says ``image shape: height=1333, width=800 in Mosaic.__init__``. The published tutorial
# has (1333, 800) for Mosaic, and trains on portrait images.
variant = checkout.edit(config, {"img_scale = (800, 1333)": "img_scale = (1333, 800)"})
# {% else %}
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# In MMDetection 3 Mosaic takes (width, height), as all other steps do. In MMDetection 2
# Mosaic and MixUp took (height, width), and RandomAffine's ``border`` followed them; a
# config brought over from there trains on portrait images. The only sign is in the log.
variant = checkout.edit(config, {"img_scale = (1333, 800)": "img_scale = (800, 1333)"})
# {% endif %}
with checkout.inside():
    _, portrait = mixed(checkout.dataset(checkout.config(variant)), index=0, seed=seed)
checkout.check(
    "Images become portraits: height, width", portrait["img"].shape[:2], (1332, 800)
)

# %%
# {% if mmdet2 %}
# Here are two of the others: Resize makes an image (width, height) large, and MixUp
# fits the image that it mixes in into (height, width).
# {% else %}
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
# {% endif %}
import numpy as np

# {% if mmdet2 %}
from mmdet.datasets.pipelines import MixUp, Resize
# {% endif %}


# {% if mmdet2 %}
def picture(width, height):
    image = np.zeros((height, width, 3), np.uint8)
    boxes = np.array([[0, 0, width, height]], np.float32)
    labels, ignored = np.zeros(1, int), np.zeros((0, 4), np.float32)
    return dict(img=image, gt_bboxes=boxes, gt_labels=labels, gt_bboxes_ignore=ignored)


# {% else %}
def picture(width, height):
    image = np.zeros((height, width, 3), np.uint8)
    boxes = np.array([[0, 0, width, height]], np.float32)
    result = dict(img=image, gt_bboxes=boxes, gt_bboxes_labels=np.zeros(1, int))
    return result | dict(gt_ignore_flags=np.zeros(1, bool))


# {% endif %}


# %%
# {% if mmdet2 %}
resized = Resize(img_scale=(400, 200), keep_ratio=False)(picture(50, 50))
checkout.check(
    "Resize to (400, 200) makes height, width", resized["img"].shape[:2], (200, 400)
)
mixup = MixUp(img_scale=(200, 400), ratio_range=(1, 1))
# {% endif %}
both = mixup(picture(500, 500) | dict(mix_results=[picture(100, 50)]))
width, height = both["gt_bboxes"][1, 2:]
# {% if mmdet2 %}
checkout.check("MixUp to (200, 400) makes height, width", (height, width), (200, 400))
# {% else %}
checkout.check("MixUp to (400, 200) makes width, height", (width, height), (400, 200))
# {% endif %}

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
# Nothing tells you, and the training runs to its end. But the workers that begin the next
# epoch get the seeds that those before them had: in every epoch the first image of a worker
# is mixed with the same three others, and so is the second, to the last epoch.
#
# {% if mmdet2 %}
# So it is on 2.x without ``persistent_workers=True``, and in the published tutorial.
# {% else %}
# So it is wherever workers load the images and ``persistent_workers`` is not ``True``; the stock
# config sets it.
# {% endif %}
from howto.figures.mosaic import partners, read

# {% if mmdet2 %}
variant = checkout.edit(config, {", persistent_workers=True": ""})
# {% else %}
line = "dict(dataset=train_dataset"
variant = checkout.edit(
    config, {line: line.replace("dict(", "dict(persistent_workers=False, ")}
)
# {% endif %}
with checkout.inside():
    first, second = read(checkout.config(variant), dataset)
same = partners(first) == partners(second)
checkout.check("The second epoch mixes in the images of the first", same, True)

# %%
# ``assert 'mix_results' in results``: Mosaic without the wrapper
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# In the pipeline of a plain ``CocoDataset`` there are no other images to mix. Mosaic
# stops with an ``AssertionError`` that gives no reason.
# {% if mmdet2 %}
plain = "data = dict(train=dict(pipeline=[*train_dataset['dataset']['pipeline'], *train_pipeline]), "
variant = checkout.edit(config, {"data = dict(train=train_dataset, ": plain})
# {% else %}
plain = "train_dataloader = dict(dataset=dict(pipeline=[*train_dataset['dataset']['pipeline'], *train_pipeline]))"
variant = checkout.edit(
    config, {"train_dataloader = dict(dataset=train_dataset)": plain}
)
# {% endif %}
failure = checkout.fails(checkout.train, variant, **smaller)
checkout.check("The line that stops", failure.line, "assert 'mix_results' in results")

# %%
# {% if mmdet2 %}
# ``TypeError: __init__() got an unexpected keyword argument 'ann_file'``: no ``_delete_``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The keys of the stock dataset are then handed to the wrapper, which has no such keys.
# {% else %}
# ``TypeError: MultiImageMixDataset.__init__() got an unexpected keyword argument 'data_root'``: no ``_delete_``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The keys of the stock dataset are then handed to the wrapper, which has no such keys.
# {% endif %}
line = "    _delete_=True,  # replace the stock train dataset instead of merging\n"
variant = checkout.edit(config, {line: ""})
failure = checkout.fails(checkout.dataset, checkout.config(variant))
# {% if mmdet2 %}
reason = "__init__() got an unexpected keyword argument 'ann_file'"
checkout.check(f"It says: {reason}", reason in failure.message, True)
# {% else %}
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
# {% endif %}

# %%
# ``'FasterRCNN' object has no attribute 'bbox_head'``: YOLOX's hook
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The hook also switches a loss on in the box head, where YOLOX has it; Faster R-CNN has its
# box head in ``roi_head``. It fires an epoch early, too: here it has to leave 0 epochs
# without Mosaic, and stops the run before the only one.
# {% if mmdet2 %}
line = "data = dict(train=train_dataset"
# {% else %}
line = "train_dataloader = dict("
# {% endif %}
hook = "custom_hooks = [dict(type='YOLOXModeSwitchHook', num_last_epochs=0)]\n"
variant = checkout.edit(config, {line: hook + line})
failure = checkout.fails(checkout.train, variant, **smaller)
reason = "AttributeError: 'FasterRCNN' object has no attribute 'bbox_head'"
checkout.check("It says", failure.message, reason)

# %%
# What it does to the dataset is one call, which a hook of your own can make. The images are
# then as large as their files, so ``Resize`` has to follow ``Mosaic`` in the pipeline, as it
# does in YOLOX's.
dataset.update_skip_type_keys(["Mosaic", "RandomAffine"])
# {% if mmdet2 %}
with checkout.inside():
    plain, file = dataset[0]["img_metas"].data, dataset.dataset[0]
# {% else %}
with checkout.inside():
    plain, file = dataset[0]["data_samples"], dataset.dataset[0]
# {% endif %}
dataset.update_skip_type_keys([])
# {% if mmdet2 %}
checkout.check(
    "Without Mosaic an image is as large as its file",
    plain["img_shape"],
    file["img"].shape,
)
# {% else %}
checkout.check(
    "Without Mosaic an image is as large as its file",
    plain.img_shape,
    file["img"].shape[:2],
)
# {% endif %}

# %%
# And workers that live on have copies of the dataset: they still mix four images. YOLOX's
# hook starts them anew.
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
# {% if mmdet2 %}
variant = checkout.edit(config, {"img_scale = (800, 1333)": "img_scale = (640, 640)"})
# {% else %}
variant = checkout.edit(config, {"img_scale = (1333, 800)": "img_scale = (640, 640)"})
# {% endif %}
with checkout.inside():
    other = mixed(checkout.dataset(checkout.config(variant)), index=0, seed=seed)
sizes = [step["img"].shape[:2] for step in other]
checkout.check(
    "640 × 640: canvas and image: height, width", sizes, [(1280, 1280), (640, 640)]
)
# {% if mmdet3 %}
log = io.StringIO()
with checkout.inside(), contextlib.redirect_stdout(log):
    Mosaic(img_scale=(640, 640))
lines = log.getvalue().count("in Mosaic.__init__")
checkout.check("Lines of Mosaic in the log of a square scale", lines, 0)
# {% endif %}


# %%
# The other steps are MMDetection's own
# {% if mmdet2 %}
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Loading and mixing are YOLOX's, but for the sizes; flipping and what comes after it is
# the stock Faster R-CNN's.
def without(step, size):
    return {key: value for key, value in step.items() if key != size}


# {% else %}
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Loading and mixing are YOLOX's, but for the sizes; flipping and packing is the stock
# Faster R-CNN's, and so is the model, whose ``data_preprocessor`` normalises and pads.
def without(step, *keys):
    return {key: value for key, value in step.items() if key not in keys}


# {% endif %}


train = api().split(cfg, "train")
# {% if mmdet2 %}
yolox = checkout.config("yolox/yolox_s_8x8_300e_coco.py").data.train
same = train.dataset.pipeline == yolox.dataset.pipeline
# {% else %}
yolox = checkout.config("yolox/yolox_s_8xb8-300e_coco.py").train_dataloader.dataset
loading = [without(step, "backend_args") for step in yolox.dataset.pipeline]
same = list(map(dict, train.dataset.pipeline)) == loading
# {% endif %}
checkout.check("Images are loaded as YOLOX loads them", same, True)
# {% if mmdet3 %}
same = train.dataset.get("filter_cfg") == yolox.dataset.filter_cfg
checkout.check("Images are left out as YOLOX leaves them out", same, True)

# %%
# {% endif %}
for step, size in enumerate(("img_scale", "border")):
    mine, theirs = train.pipeline[step], yolox.pipeline[step]
    same = without(mine, size) == without(theirs, size)
    checkout.check(f"{mine.type} is YOLOX's but for {size}", same, True)
same = train.pipeline[2:] == api().split(stock, "train").pipeline[3:]
checkout.check("The steps from flipping on are the stock config's", same, True)
# {% if mmdet3 %}
checkout.check("The model is the stock config's", cfg.model == stock.model, True)
# {% endif %}

# %%
# Every box is still on its object
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Checked without trusting Mosaic's own arithmetic: each source image is painted black
# but for one box, in white. The same draw of random numbers then moves the white as it
# moved the photograph, and what is white afterwards has to be the box.
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
# All four images are in the canvas. One of them shows nothing that COCO has a name for:
# ``filter_empty_gt=False`` lets such images take part.
from howto.figures.mosaic import images_shown

with checkout.inside():
    number = images_shown(dataset, index=0, seed=seed)
checkout.check("A canvas shows images", number, 4)
fewest = min(len(image["gt_bboxes"]) for image in four)
checkout.check("One of them has boxes", fewest, 0)

# %%
# {% if mmdet2 %}
# Without that line they would be left out: ``True`` is the default of 2.x.
line = ",\n        filter_empty_gt=False"
# {% else %}
# Without that line they would take part as well, with those that are smaller than 32
# pixels: ``False`` is the default of MMDetection 3, as ``True`` was that of 2. The stock
# config says ``True``, but its dataset is the one that ``_delete_`` replaces.
line = "        filter_cfg=dict(filter_empty_gt=False, min_size=32),\n"
# {% endif %}
default = checkout.dataset(checkout.config(checkout.edit(config, {line: ""})))
# {% if mmdet3 %}
usual = checkout.dataset(stock)
# {% endif %}
everything = checkout.annotations("train")
shown = {annotation["image_id"] for annotation in everything["annotations"]}
# {% if mmdet2 %}
checkout.check(
    "With the line all images take part", len(dataset), len(everything["images"])
)
checkout.check("Without it those that show an object", len(default), len(shown))
checkout.check("Those are fewer", len(default) < len(dataset), True)
# {% else %}
number = len(everything["images"])
checkout.check("With the line all images take part", len(dataset), number)
checkout.check("Without it they do as well", len(default), number)
checkout.check(
    "With the stock config those that show an object", len(usual), len(shown)
)
checkout.check("Those are fewer", len(usual) < len(dataset), True)
# {% endif %}

# %%
# Worker processes draw different images
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Images are mixed in worker processes, of which the stock config has two. This is their
# work in two epochs, as MMDetection's own loader hands it on: for each image the worker,
# and the images that were read for it.
from howto.figures.show import Table

with checkout.inside():
    first, second = read(cfg, dataset)
rows = zip(*zip(*first[:6], strict=True), *zip(*second[:6], strict=True), strict=True)
Table(("worker", "epoch 1 reads", "worker", "epoch 2 reads"), list(rows))

# %%
# Each mosaic reads four images, so loading takes four times as long as it did. The workers
# have seeds of their own and draw different images, and they go on drawing in the second
# epoch.
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
# An epoch on the small COCO and an evaluation; the options fit the config to the machine
# that built this page.
# {% if mmdet2 %}
import math

# {% endif %}
run = checkout.train(config)
finite = all(map(math.isfinite, run.losses))
checkout.check("Every loss is finite", finite, True)
checkout.check("The box head's weights move", run.trains("roi_head"), [True])
checkout.check("It is evaluated after each epoch, times", run.evaluations, 1)

# %%
# That epoch lay inside the 500 iterations of warm-up, where the rate is next to nothing. So
# once more without them, for three epochs with a smaller ResNet, at the rate to which the
# command above leads on one GPU.
import statistics

# {% if mmdet2 %}
checkout.check("Learning rate of the config, for 16 images", cfg.optimizer.lr, 0.02)
# {% else %}
rate = cfg.optim_wrapper.optimizer.lr
checkout.check("Learning rate of the config, for 16 images", rate, 0.02)
# {% endif %}
checkout.check("Images a step on one GPU", short.images_per_step, 2)
checkout.check("Learning rates of the run", set(short.rates), {0.0025})
first, _, last = [statistics.mean(epoch.losses) for epoch in short.epochs.values()]
checkout.check("The loss falls: third epoch over first", last / first, at_most=0.8)

# %%
# Several GPUs would stop at a parameter that gets no gradient. Here each gets one.
unused = checkout.unused_parameters(cfg)
checkout.check("Parameters without a gradient", unused, [])

# %%
# Mosaic to the last epoch
# ~~~~~~~~~~~~~~~~~~~~~~~~
# It stays on to the last epoch. YOLOX, whose first steps these are, trains its last epochs on
# plain images: ``YOLOXModeSwitchHook`` skips ``Mosaic``, ``RandomAffine`` and ``MixUp`` there.
# A schedule of 12 epochs cannot take over YOLOX's 15 of 300.
# :doc:`plot_mosaic_off` gives any detector, and any schedule, plain images at its end.
# {% if mmdet2 %}
from mmdet.core.hook import YOLOXModeSwitchHook

# {% else %}
from mmdet.engine.hooks import YOLOXModeSwitchHook
# {% endif %}

# {% if mmdet2 %}
stock_yolox = checkout.config("yolox/yolox_s_8x8_300e_coco.py")
# {% else %}
stock_yolox = checkout.config("yolox/yolox_s_8xb8-300e_coco.py")
# {% endif %}
hooks = {hook.type: hook for hook in stock_yolox.custom_hooks}
hook = hooks["YOLOXModeSwitchHook"]
# {% if mmdet2 %}
checkout.check("YOLOX trains for epochs", stock_yolox.runner.max_epochs, 300)
# {% else %}
checkout.check("YOLOX trains for epochs", stock_yolox.train_cfg.max_epochs, 300)
# {% endif %}
checkout.check("of which without Mosaic the last", hook.num_last_epochs, 15)
skipped = ("Mosaic", "RandomAffine", "MixUp")
checkout.check("There it skips", YOLOXModeSwitchHook().skip_type_keys, skipped)
# {% if mmdet2 %}
checkout.check("This config trains for epochs", cfg.runner.max_epochs, 12)
mine = [hook.type for hook in cfg.custom_hooks]
checkout.check("Hooks of this config", mine, ["NumClassCheckHook"])
# {% else %}
checkout.check("This config trains for epochs", cfg.train_cfg.max_epochs, 12)
checkout.check("Hooks that it adds", cfg.get("custom_hooks", []), [])
# {% endif %}

# %%
# What was not tried
# ~~~~~~~~~~~~~~~~~~
# - Accuracy: the weights are random where the real ones were out of reach, and the small COCO
#   is too small to tell a good detector from a bad one.
# - Twelve epochs on COCO, and eight GPUs. The commands for them are those that two processes on
#   this machine ran.
# - Instance segmentation: Mosaic carries no masks along.
