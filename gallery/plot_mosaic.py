"""
How do I train with Mosaic?
===========================

Mosaic combines four images, so the dataset has to be wrapped in ``MultiImageMixDataset``,
which hands them to it. Inherit from the standard config; no file of MMDetection is
edited.
"""

# %%
# .. index:: ! Mosaic
#
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
# --------
# - **Another scale**: change ``img_scale``; ``border`` follows. Tests stay at (1333, 800): set their scale as
#   for :doc:`small objects <plot_small_objects>`.
# - **Plain images in the last epochs**: see :doc:`plot_mosaic_off`.
# {% if mmdet2 %}
# - **Your own data**: change ``data_root``, ``ann_file`` and ``img_prefix`` here, and add ``classes``, see
# {% else %}
# - **Your own data**: change ``data_root``, ``ann_file`` and ``data_prefix`` here, and add ``metainfo``, see
# {% endif %}
#   :doc:`your own classes <plot_custom_classes>`. What you set elsewhere does not reach this dataset. Without
#   the names, objects of your own classes are left out, and the log does not say so.
import contextlib
import io
import math
import statistics
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from howto import Workspace
from howto.checkout import fit
from howto.checkout.family import api

checkout = Workspace("mosaic")
cfg = checkout.config()
stock = checkout.config("faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py")
scale = tuple(cfg.img_scale)

# %%
# Another detector
# ~~~~~~~~~~~~~~~~
# Change ``_base_`` to any box-only detector. YOLOX and RTMDet mix images already. For masks see the pitfall
# ``RandomAffine only supports bbox``.
# {% if mmdet2 %}
# Also copy the ``img_norm_cfg`` of its config: ``caffe`` configs use other values.
# {% endif %}
checkout.ask_python()
base = f"faster_rcnn/{Path(stock.filename).name}"
retinanet = {base: "retinanet/retinanet_r18_fpn_1x_coco.py"}
other = checkout.edit(checkout.own, retinanet, adapts=True)
moved = checkout.train(other, evaluate=False).trains("bbox_head")
checkout.check("RetinaNet trains on Mosaic too", moved, [True])

# %%
# Draw your own training images
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# {% if mmdet2 %}
# MMDetection draws what your images become. Its script stops on Python 3.10 and newer with
# ``cannot import name 'Sequence' from 'collections'``, so repair a copy:
#
# .. code-block:: console
#
#    $ sed 's/from collections import/from collections.abc import/' tools/misc/browse_dataset.py > browse_dataset.py
#    $ python browse_dataset.py configs/mosaic/faster_rcnn_r50_fpn_mosaic_1x_coco.py --not-show --output-dir drawn
#
# It draws every image, of COCO more than 100,000; end it with Ctrl-C when you have seen enough.
repair = "s/from collections import/from collections.abc import/"
repaired = checkout.shell(f"sed '{repair}' tools/misc/browse_dataset.py")
(checkout.root / "browse_dataset.py").write_text(repaired, "utf-8")
script, options, size = "browse_dataset.py", "", (800, 1344)  # padded
number = len(checkout.annotations("train")["images"])
# {% else %}
# MMDetection draws what your images become:
#
# .. code-block:: console
#
#    $ python tools/analysis_tools/browse_dataset.py configs/mosaic/faster-rcnn_r50_fpn_mosaic_1x_coco.py --not-show --output-dir drawn --cfg-options train_dataloader.dataset.dataset.indices=4
#
# The last option leaves the first four images in the dataset, and Mosaic mixes only
# those. Without the option the script draws every image, of COCO more than 100,000.
script, number, size = "tools/analysis_tools/browse_dataset.py", 4, (800, 1332)
options = "--cfg-options train_dataloader.dataset.dataset.indices=4"
# {% endif %}
command = f"python {script} configs/mosaic/{checkout.own} --not-show --output-dir drawn"
checkout.shell(f"{command} {options}")
drawn = [plt.imread(path) for path in (checkout.root / "drawn").glob("*.jpg")]
checkout.check("browse_dataset.py draws each image once", len(drawn), number)
sizes = {image.shape[:2] for image in drawn}
checkout.check("As they train: height, width", sizes, {size})

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
from howto.figures.mosaic import first_seed, mixed, sources
from howto.figures.show import draw_boxes

dataset = checkout.dataset(cfg)
classes = api().classes(dataset)
with checkout.inside():
    seed = first_seed(dataset, index=0)
    four = sources(dataset, index=0, seed=seed)
    mosaic, affine = mixed(dataset, index=0, seed=seed)
figure, axes = plt.subplots(1, 4, figsize=(9, 2.2))
places = ("top left", "top right", "bottom left", "bottom right")
for axis, image, place in zip(axes, four, places, strict=True):
    draw_boxes(axis, image, classes, place)

# %%
# They meet in a point drawn at random, each scaled to fit 1333 × 800 and cut at the
# border. The canvas is twice as wide and twice as high as ``img_scale``; grey is
# padding.
#
# Step through five draws of random numbers, and slide from the canvas to what RandomAffine
# makes of it.
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
short = checkout.train(epochs=3, evaluate=False, warmed_up=True, **smaller)

# %%
named, iterations = short.logged("in Mosaic.__init__"), short.logged(api().TRAINED)
each = len(iterations) // 3
print(*named, *iterations[each - 1 :: each], sep="\n")

# %%
# Pitfalls
# --------

# %%
# {% if mmdet3 %}
# No Mosaic, and no error: ``data = dict(train=…)``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Set ``train_dataloader``, which MMDetection 3 reads. MMDetection 2 read ``data``, and the
# published tutorial's edition for 3.x still has that: the config loads, and the training
# runs to its end on plain images. The only sign is that the log lacks the line of Mosaic.
old = {"train_dataloader = dict(dataset=": "data = dict(train="}
variant = checkout.edit(checkout.own, old)
ignored = checkout.train(variant, evaluate=False, **smaller)
finite = all(map(math.isfinite, ignored.losses))
checkout.check("It trains all the same, every loss is finite", finite, True)
lines = len(ignored.logged("in Mosaic.__init__"))
checkout.check("Lines of Mosaic in the log", lines, 0)
ignored = checkout.dataset(checkout.config(variant))
checkout.check("The dataset in training", type(ignored).__name__, "CocoDataset")
steps = [type(step).__name__ for step in ignored.pipeline.transforms]
plain = "LoadImageFromFile LoadAnnotations Resize RandomFlip PackDetInputs"
checkout.check("The steps in training", steps, plain.split())

# %%
# {% endif %}
# Portrait images: ``img_scale`` is the wrong way round
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# {% if mmdet2 %}
# Write (height, width) for Mosaic and MixUp; RandomAffine's ``border`` has the same order. For Resize and
# MultiScaleFlipAug ``img_scale`` is (width, height). The published tutorial has (1333, 800) for Mosaic, and
# trains on portrait images. The only sign is in the log.
# {% else %}
# Write (width, height), as for all other steps. In MMDetection 2 Mosaic and MixUp took (height, width), and
# RandomAffine's ``border`` followed them; a config brought over from there trains on portrait images. The only
# sign is in the log.
# {% endif %}
turned = {f"img_scale = {scale}": f"img_scale = {scale[::-1]}"}
variant = checkout.config(checkout.edit(checkout.own, turned))
with checkout.inside():
    _, portrait = mixed(checkout.dataset(variant), index=0, seed=seed)
size = portrait["img"].shape[:2]
checkout.check("Images become portraits: height, width", size, (1332, 800))


# %%
# Mosaic logs which is the height and which is the width:
def logged(**keys):
    log = io.StringIO()
    out, errors = contextlib.redirect_stdout(log), contextlib.redirect_stderr(log)
    with out, errors, checkout.inside():
        api().step(keys)
    return log.getvalue()


line = "image shape: height=1333, width=800 in Mosaic.__init__"
said = logged(type="Mosaic", img_scale=scale[::-1])
checkout.check(f"Mosaic logs: {line}", line in said, True)


# %%
# MixUp takes the order of Mosaic, and fits the image that it mixes in:
def picture(width, height):
    image, labels = np.zeros((height, width, 3), np.uint8), np.zeros(1, int)
    boxes = np.array([[0, 0, width, height]], np.float32)
    names = dict(gt_labels=labels, gt_bboxes_labels=labels)  # of both families
    ignored = dict(gt_bboxes_ignore=boxes[:0], gt_ignore_flags=np.zeros(1, bool))
    return dict(img=image, gt_bboxes=boxes, **names, **ignored)


# %%
resize = {"type": "Resize", "keep_ratio": False, api().SCALES[0]: (400, 200)}
size = api().step(resize)(picture(50, 50))["img"].shape[:2]
checkout.check("Resize to (400, 200) makes height, width", size, (200, 400))
wide_first = {(1333, 800): True, (800, 1333): False}[scale]
order = sorted(("height", "width"), reverse=wide_first)
size = tuple(sorted((200, 400), reverse=wide_first))
mixup = api().step(dict(type="MixUp", img_scale=size, ratio_range=(1, 1)))
both = mixup(picture(500, 500) | dict(mix_results=[picture(100, 50)]))
sides = dict(zip(("width", "height"), both["gt_bboxes"][1, 2:], strict=True))
made = tuple(sides[name] for name in order)
checkout.check(f"MixUp to {size} makes {', '.join(order)}", made, size)

# %%
# ``assert isinstance(img_scale, tuple)``: ``img_scale`` is a list
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Write a tuple, ``(640, 640)``, in round brackets. The error's last line, ``AssertionError`` or
# ``AssertionError: Mosaic:``, gives no reason; the assertion stands above it.
failure = checkout.fails(type(dataset.pipeline[0]), img_scale=[640, 640])
asserted = "assert isinstance(img_scale, tuple)"
checkout.check("The line that refuses a list", failure.line, asserted)

# %%
# Four times the pixels: RandomAffine has no negative ``border``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Keep ``border``. Without it the image stays as large as the canvas, and training takes as much more memory.
border = {"border=(-img_scale[0] // 2, -img_scale[1] // 2)": "border=(0, 0)"}
variant = checkout.config(checkout.edit(checkout.own, border))
with checkout.inside():
    _, large = mixed(checkout.dataset(variant), index=0, seed=seed)
size = large["img"].shape[:2]
checkout.check("Images stay at twice the size: height, width", size, (1600, 2666))

# %%
# The same mosaics in every epoch: workers end with it
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Set ``persistent_workers=True``. Without it each epoch starts new workers with the old seeds, so every epoch
# sees the same mosaics. Training runs to its end, and the log does not say so. The standard configs of
# MMDetection 3 set it; those of 2 do not, nor does the published tutorial. Without worker processes leave it
# out: torch refuses it there.
from howto.figures.mosaic import distance, partners, read

with checkout.inside():
    first, second = read(checkout.config(persistent_workers=False), dataset)
same = partners(first) == partners(second)
checkout.check("The second epoch mixes in the images of the first", same, True)
with checkout.inside():
    failure = checkout.fails(api().loader, checkout.config(workers=0), dataset)
reason = "ValueError: persistent_workers option needs num_workers > 0"
checkout.check("Without worker processes it says", failure.message, reason)

# %%
# ``assert 'mix_results' in results``: Mosaic without the wrapper
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Wrap the dataset in ``MultiImageMixDataset``, as this config does. In the pipeline of a plain ``CocoDataset``
# there are no other images to mix, and the ``AssertionError`` gives no reason.
# {% if mmdet2 %}
wrapped, before, after = "data = dict(train=train_dataset, ", "data = dict(train=", ", "
# {% else %}
before, after = "train_dataloader = dict(dataset=", ")"
wrapped = f"{before}train_dataset{after}"
# {% endif %}
plain = "dict(pipeline=train_dataset['dataset']['pipeline'] + train_pipeline)"
variant = checkout.edit(checkout.own, {wrapped: f"{before}{plain}{after}"})
failure = checkout.fails(checkout.train, variant, **smaller)
checkout.check(
    "Without the wrapper it stops at", failure.line, "assert 'mix_results' in results"
)

# %%
# ``__init__() got an unexpected keyword argument 'ann_file'``, or ``'data_root'``: keys on the wrapper
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Look at the config in your ``_base_``. The error has two causes, and each needs a fix of its own.
#
# - Its training dataset is plain, as Faster R-CNN's is: add ``_delete_=True`` to your ``MultiImageMixDataset``. Without
#   it the keys of the stock dataset are merged into the wrapper, which has no such keys.
# - It is YOLOX, whose training dataset is wrapped already: write your keys one deeper, into the wrapper's
#   ``dataset=dict(…)``, without ``_delete_``, which would end in a ``KeyError``.
line = "    _delete_=True,  # replace the stock train dataset instead of merging\n"
merged = checkout.config(checkout.edit(checkout.own, {line: ""}))
failure = checkout.fails(checkout.dataset, merged)
reason = "MultiImageMixDataset.__init__() got an unexpected keyword argument"
checkout.check(f"It says: {reason}", reason in failure.message, True)
# {% if mmdet3 %}

# %%
# ``ConcatDataset`` needs ``_delete_`` for the same reason, see :doc:`plot_several_datasets`.
joined = checkout.config(base, train=dict(type="ConcatDataset", datasets=[]))
failure = checkout.fails(checkout.dataset, joined)
reason = reason.replace("MultiImageMix", "Concat") + " 'data_root'"
checkout.check(f"It says: {reason}", reason in failure.message, True)
# {% endif %}

# %%
# YOLOX-tiny with a file of your own on the wrapper, with ``_delete_``, and one deeper:
tiny = "yolox/yolox_tiny_8x8_300e_coco.py"
yolox = api().split(checkout.config(tiny), "train")
file = dict(ann_file=yolox.dataset.ann_file.replace("train", "val"))
failure = checkout.fails(checkout.dataset, checkout.config(tiny, train=file))
reason = "unexpected keyword argument 'ann_file'"
checkout.check(f"YOLOX says: {reason}", reason in failure.message, True)
replaced = checkout.config(tiny, train=dict(_delete_=True, dataset=file))
failure = checkout.fails(checkout.dataset, replaced)
checkout.check("With _delete_", failure.message.partition(":")[0], "KeyError")
deeper = checkout.dataset(checkout.config(tiny, train__dataset=file))
name = Path(deeper.dataset.ann_file).name
checkout.check("One deeper YOLOX reads", name, "instances_val2017.json")

# %%
# ``unexpected keyword argument 'dataset'``: a plain ``type`` over YOLOX's wrapper
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Write ``type`` one deeper, too, and leave the wrapper's ``type`` as it is: Mosaic needs the wrapper. Otherwise your
# ``CocoDataset`` is given the wrapper's key ``dataset``, which it does not know.
mistaken = checkout.config(tiny, train=dict(type="CocoDataset", **file))
failure = checkout.fails(checkout.dataset, mistaken)
reason = "unexpected keyword argument 'dataset'"
checkout.check(f"It says: {reason}", reason in failure.message, True)

# %%
# ``NotImplementedError: RandomAffine only supports bbox``: a detector with masks
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Use a box-only detector. ``Mosaic``, ``RandomAffine`` and ``MixUp`` do not transform masks, so Mask R-CNN cannot train
# on them.
masks = {base: base.replace("faster", "mask")}
masks["with_bbox=True"] = "with_bbox=True, with_mask=True"
variant = checkout.edit(checkout.own, masks)
failure = checkout.fails(checkout.train, variant, evaluate=False, **smaller)
reason = "NotImplementedError: RandomAffine only supports bbox."
checkout.check("It says", failure.message, reason)
# {% if mmdet2 %}

# %%
# ``KeyError: 'flip'``: there is no ``RandomFlip``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Keep ``RandomFlip`` before ``Collect``, with ``flip_ratio=0.0`` if nothing is to be mirrored. ``Collect`` takes the
# key ``flip``, which only that step writes.
flip = "    dict(type='RandomFlip', flip_ratio=0.5),\n"
variant = checkout.edit(checkout.own, {flip: ""})
failure = checkout.fails(checkout.train, variant, evaluate=False, **smaller)
checkout.check("It says", failure.message, "KeyError: 'flip'")
never = checkout.edit(checkout.own, {flip: flip.replace("0.5", "0.0")}, adapts=True)
with checkout.inside():
    item = checkout.dataset(checkout.config(never))[0]
checkout.check("With flip_ratio=0.0: flip", item["img_metas"].data["flip"], False)
# {% else %}

# %%
# For masks take RTMDet-Ins's steps: ``CachedMosaic`` and ``CachedMixUp`` transform them. Here they are for Mask R-CNN.
# ``CachedMosaic`` mixes what it has read before, so it needs no wrapper. ``RandomResize`` starts from twice
# ``img_scale``. Keep ``img_scale`` square:
text = checkout.root.joinpath("configs/mosaic", checkout.own).read_text("utf-8")
start, end = "    # Mosaic doubles width", "    dict(type='RandomFlip'"
old_affine = text[text.index(start) : text.index(end)]
crop = """    dict(type='RandomResize', scale=(1280, 1280), ratio_range=(0.1, 2), keep_ratio=True),
    dict(type='RandomCrop', crop_size=img_scale, recompute_bbox=True, allow_negative_crop=True),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(1, 1)),
"""
masks |= {old_affine: crop, wrapped: f"{before}{plain}{after}"}
masks["with_bbox=True"] += ", poly2mask=False"
masks["type='Mosaic'"] = "type='CachedMosaic'"
square = {"img_scale = (1333, 800)": "img_scale = (640, 640)"}
mask_rcnn = checkout.edit(checkout.own, masks | square, adapts=True)
masked = checkout.train(mask_rcnn, evaluate=False, **smaller)
finite = all(map(math.isfinite, masked.losses))
checkout.check("Mask R-CNN trains, every loss is finite", finite, True)

# %%
# If ``img_scale`` is not square, ``CachedMosaic`` swaps the height and the width of the canvas when it moves masks, and
# cuts masks off, without an error. Here is how far boxes are from their masks:
from howto.checkout.isolation import seeded


def largest_error(name):
    mosaic_cfg = checkout.config(name)
    data = api().split(mosaic_cfg, "train")
    data.pipeline = data.pipeline[:3]  # to CachedMosaic
    data, errors = checkout.dataset(mosaic_cfg), []
    with checkout.inside(), seeded(0):
        for number in range(40):
            item = data[number % len(data)]
            boxes, outlines = item["gt_bboxes"], item["gt_masks"].get_bboxes("hbox")
            pairs = zip(boxes.numpy(), outlines.numpy(), strict=True)
            errors += [distance(box, mask, item["img"]) for box, mask in pairs]
    return max(errors)


# %%
error = largest_error(mask_rcnn)
checkout.check("Masks on their boxes at 640 × 640, error in pixels", error, at_most=3)
error = largest_error(checkout.edit(checkout.own, masks))
checkout.check("At 1333 × 800 masks are off by over 100 pixels", error > 100, True)

# %%
# ``BaseDataset.__init__() got an unexpected keyword argument 'img_prefix'``: keys of MMDetection 2
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Write ``data_prefix`` and ``filter_cfg``. In MMDetection 2 ``img_prefix`` and ``filter_empty_gt`` stood beside
# ``pipeline``, and in the published tutorial's edition for 3.x they still do.
refused = []
for old, new in {
    "data_prefix=dict(img='train2017/')": "img_prefix=data_root + 'train2017/'",
    "filter_cfg=dict(filter_empty_gt=False, min_size=32)": "filter_empty_gt=False",
}.items():
    variant = checkout.config(checkout.edit(checkout.own, {old: new}))
    failure = checkout.fails(checkout.dataset, variant)
    key = new.partition("=")[0]
    said = f"BaseDataset.__init__() got an unexpected keyword argument '{key}'"
    refused += [key] * (said in failure.message)
both = ["img_prefix", "filter_empty_gt"]
checkout.check("CocoDataset refuses the keyword arguments", refused, both)

# %%
# ``DefaultFormatBundle is not in the mmdet::transform registry``: the last steps of MMDetection 2
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Write ``PackDetInputs`` instead of ``DefaultFormatBundle`` and ``Collect``.
unknown = []
for step in ("DefaultFormatBundle", "Collect"):
    failure = checkout.fails(api().step, dict(type=step))
    said = f"'{step} is not in the mmdet::transform registry"
    unknown += [step] * (said in failure.message)
both = ["DefaultFormatBundle", "Collect"]
checkout.check("MMDetection 3 does not know the steps", unknown, both)

# %%
# ``RuntimeError: each data_itement in list of batch should be of equal size``: no ``PackDetInputs``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# End the pipeline with ``PackDetInputs``. Without it the training stops as soon as a batch is to be made of images
# that have different numbers of boxes. The message names neither.
last = ",\n    # Normalising and padding is the work of the model's data_preprocessor.\n    dict(type='PackDetInputs')"
variant = checkout.edit(checkout.own, {last: ""})
failure = checkout.fails(checkout.train, variant, **smaller)
reason = "RuntimeError: each data_itement in list of batch should be of equal size"
checkout.check("Without PackDetInputs it says", failure.message, reason)

# %%
# Pixels normalised twice: ``Normalize`` is still in the pipeline
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Remove it. In MMDetection 3 the model's ``data_preprocessor`` normalises the pixels; a ``Normalize`` from a pipeline
# of MMDetection 2 does it a second time, without an error. What the detector gets is then almost one colour.
normalize = "dict(type='Normalize', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True),\n    "
line = "dict(type='PackDetInputs')"
variant = checkout.edit(checkout.own, {line: normalize + line})
given, normalise = [], checkout.build(checkout.config()).data_preprocessor
for each in (checkout.dataset(checkout.config(variant)), dataset):
    with checkout.inside(), seeded(seed):
        item = each[0]
    batch = dict(inputs=[item["inputs"]], data_samples=[item["data_samples"]])
    padded = normalise(batch, True)["inputs"][0].cpu()
    given.append(padded[:, :800, :1332])
twice, once = (float(image.std(dim=(1, 2)).mean()) for image in given)
checkout.check(
    "Standard deviation of a channel: twice over once", twice / once, at_most=0.02
)

# %%
# The model also pads, to a multiple of 32.
size = tuple(padded.shape[1:])
checkout.check("The detector gets: height, width", size, (800, 1344))
mean = np.reshape([123.675, 116.28, 103.53], (3, 1, 1))  # ImageNet's, red first
deviation = np.reshape([58.395, 57.12, 57.375], (3, 1, 1))
normalised = (item["inputs"].flip(0).numpy() - mean) / deviation
error = float(abs(given[1].numpy() - normalised).max())
checkout.check("Once, by ImageNet's mean and deviation: error", error, at_most=1e-4)
# {% endif %}

# %%
# Evidence
# --------

# %%
# Sizes
# ~~~~~
# At the config's full scale; Mosaic's canvas is twice ``img_scale``, and RandomAffine cuts
# the middle out of it. And at 640 × 640, the change that stands under *Adapt it*.
size = mosaic["img"].shape[:2]
checkout.check("Mosaic doubles the canvas: height, width", size, (1600, 2666))
size = affine["img"].shape[:2]
checkout.check("RandomAffine restores the size: height, width", size, (800, 1332))
change = {f"img_scale = {scale}": "img_scale = (640, 640)"}
variant = checkout.config(checkout.edit(checkout.own, change, adapts=True))
with checkout.inside():
    other = mixed(checkout.dataset(variant), index=0, seed=seed)
sizes, expected = [step["img"].shape[:2] for step in other], [(1280, 1280), (640, 640)]
checkout.check("640 × 640: canvas and image: height, width", sizes, expected)
lines = logged(type="Mosaic", img_scale=(640, 640)).count("in Mosaic.__init__")
checkout.check("Lines of Mosaic in the log of a square scale", lines, 0)


# %%
# The other steps are MMDetection's own
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Loading and mixing are YOLOX's, apart from the sizes. Flipping and what comes after it is
# the stock Faster R-CNN's, and so is the model.
def without(step, *keys):
    return {key: value for key, value in step.items() if key not in keys}


train = api().split(cfg, "train")
loading = [without(step, "backend_args") for step in yolox.dataset.pipeline]
same = list(map(dict, train.dataset.pipeline)) == loading
checkout.check("Images are loaded as YOLOX loads them", same, True)
keys = ("filter_cfg", "filter_empty_gt")  # of MMDetection 3 and 2
same = all(train.dataset.get(key) == yolox.dataset.get(key) for key in keys)
checkout.check("Images are left out as YOLOX leaves them out", same, True)

# %%
yolox_s = api().split(checkout.config("yolox/yolox_s_8x8_300e_coco.py"), "train")
for step, size in enumerate(("img_scale", "border")):
    mine, theirs = train.pipeline[step], yolox_s.pipeline[step]
    same = without(mine, size) == without(theirs, size)
    checkout.check(f"{mine.type} is YOLOX's but for {size}", same, True)
same = train.pipeline[2:] == api().split(stock, "train").pipeline[3:]
checkout.check("The steps from flipping on are the stock config's", same, True)
checkout.check("The model is the stock config's", cfg.model == stock.model, True)

# %%
# Every box is still on its object
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Checked without trusting Mosaic's own arithmetic: each source image is painted black
# except for one box, in white. The same draw of random numbers then moves the white as it
# moved the photograph, and what is white afterwards has to be the box.
from howto.figures.mosaic import painted_boxes

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
    check = f"{name} keeps boxes on their objects, error in pixels"
    checkout.check(check, worst, at_most=3)
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
checkout.check("The fewest boxes of the four images", fewest, 0)
everything = checkout.annotations("train")
number = len(everything["images"])
shown = len({annotation["image_id"] for annotation in everything["annotations"]})

# %%
# {% if mmdet2 %}
# Without that line they would be left out: ``True`` is the default of 2.x.
line, left = ",\n        filter_empty_gt=False", shown
# {% else %}
# Without that line they would take part as well, with those that are smaller than 32
# pixels: ``False`` is the default of MMDetection 3, as ``True`` was that of 2. The stock
# config says ``True``, but its dataset is the one that ``_delete_`` replaces.
line = "        filter_cfg=dict(filter_empty_gt=False, min_size=32),\n"
left = number
# {% endif %}
default = checkout.config(checkout.edit(checkout.own, {line: ""}))
default, usual = len(checkout.dataset(default)), len(checkout.dataset(stock))
checkout.check("With the line all images take part", len(dataset), number)
checkout.check("Without it", default, left)
checkout.check("With the stock config those that show an object", usual, shown)
checkout.check("Those are fewer", usual < len(dataset), True)

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
run = checkout.train()
finite = all(map(math.isfinite, run.losses))
checkout.check("Every loss is finite", finite, True)
checkout.check("The box head's weights move", run.trains("roi_head"), [True])
checkout.check("It is evaluated after each epoch, times", run.evaluations, 1)

# %%
# That epoch lay inside the 500 iterations of warm-up, where the rate is next to nothing. So
# once more without them, for three epochs with a smaller ResNet, at the rate to which the
# command above leads on one GPU.
checkout.check("Learning rate of the config, for 16 images", api().rate(cfg), 0.02)
checkout.check("Images a step on one GPU", short.images_per_step, 2)
checkout.check("Learning rates of the run", set(short.rates), {0.0025})
first, _, last = [statistics.mean(epoch.losses) for epoch in short.epochs.values()]
checkout.check("The loss falls: third epoch over first", last / first, at_most=0.8)

# %%
# On several GPUs training fails if a parameter gets no gradient. Here two processes average the
# gradients of all of them, as this command has them do:
printed = checkout.launch(iterations=2, **fit.RESNET18)
checkout.check("Two processes trained", api().FIRST_EPOCH in printed, True)
unused = checkout.unused_parameters(cfg)
checkout.check("Parameters without a gradient", unused, [])

# %%
# What was not tried
# ~~~~~~~~~~~~~~~~~~
# - Accuracy: the weights are random where the real ones were out of reach, and the small COCO
#   is too small to tell a good detector from a bad one.
# - Twelve epochs on COCO, and eight GPUs. The commands for them are those that two processes on
#   this machine ran.
