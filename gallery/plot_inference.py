"""
How do I run a trained detector on my images and keep the results?
==================================================================

Give this script the config, the checkpoint and a folder of images. It keeps a drawing of each
image, and all boxes in one COCO file.
"""

# %%
# .. index:: ! inference, init_detector, inference_detector, DetInferencer, show_result
#
# .. snippet:: detect_folder.py
#
# .. code-block:: console
#
#    $ python configs/inference/detect_folder.py CONFIG CHECKPOINT IMAGES OUT
#
# Run it in your MMDetection folder. ``CHECKPOINT`` is a file that training saved, as
# ``work_dirs/NAME/epoch_12.pth``, or the address of a published one. ``IMAGES`` may have subfolders. ``OUT`` is
# a new folder elsewhere: the script writes over nothing.

# %%
# Adapt it
# --------
# Three values at the top of the script are yours to change.
from howto import Workspace
from howto.checkout.family import api

checkout = Workspace("inference")
small = dict(
    model__backbone__depth=18,
    model__backbone__init_cfg__checkpoint="torchvision://resnet18",
    model__neck__in_channels=[64, 128, 256, 512],
    model__roi_head__bbox_head__num_classes=2,
)
own = dict(train__ann_file="data/my_dataset/annotations/train.json")
names, folder = ("kitten", "mug"), "data/my_dataset/train/"
# {% if mmdet2 %}
own |= dict(train__classes=names, train__img_prefix=folder)
# {% else %}
own |= dict(train__metainfo=dict(classes=names), train__data_root="")
own |= dict(train__data_prefix=dict(img=folder))
# {% endif %}

# %%
path = "faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py"
run = checkout.train(path, evaluate=False, **small, **own)
mine = checkout.root / "configs/inference/mine.py"
run.cfg.dump(str(mine))

# %%
import shutil

from PIL import Image, ImageOps

source = sorted((checkout.root / folder).iterdir())
photos = checkout.root / "photos"
(photos / "more").mkdir(parents=True)
for path in source[:4]:
    shutil.copy(path, photos)
turned = Image.Exif()
turned[0x0112] = 6  # saved on its side, as telephones do
tall = Image.open(source[4]).resize((240, 512)).transpose(Image.Transpose.ROTATE_90)
tall.save(photos / "more/portrait.jpeg", exif=turned)
Image.open(source[5]).resize((512, 240)).save(photos / "shouted.PNG")
for name in "notes.txt", "broken.jpg", "._broken.jpg":
    (photos / name).touch()

# %%
import json


def detected(script, images, out):
    """What the script prints, and its file about a folder of images."""
    saved = run.checkpoint.relative_to(checkout.root)
    command = f"python configs/inference/{script} configs/inference/mine.py"
    printed = checkout.shell(f"{command} {saved} {images} {out}")
    file = checkout.root / out / "detections.json"
    return printed, json.loads(file.read_text("utf-8"))


printed, coco = detected("detect_folder.py", "photos", "found")

# %%
# Another threshold
# ~~~~~~~~~~~~~~~~~
# ``SCORE`` is for the drawings and for the file. Set it as low as you need; a detector has boxes
# down to ``score_thr`` of its config's ``test_cfg``, which is 0.05 in most.
sure = checkout.edit("detect_folder.py", {"SCORE = 0.3": "SCORE = 0.65"}, adapts=True)
_, few = detected(sure, "photos", "few")
over = sum(each["score"] > 0.65 for each in coco["annotations"])
left = len(few["annotations"])
checkout.check("Boxes over 0.65 in a file of those over 0.3", over, left)

# %%
# More images at a time, or one
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Set ``BATCH = 1`` if an image's boxes must not depend on its neighbours. A batch is padded to its largest
# image, and a padded image is not quite the same image: its boxes move a little, and near a threshold one may
# come or go. Images of one size are not padded, and nothing changes:
import numpy as np
from mmdet.apis import inference_detector

# {% if mmdet2 %}
model = run.model.eval()
model.cfg = run.cfg


def found(images):
    return inference_detector(model, images)


# {% else %}
from mmdet.apis import DetInferencer

saved = str(run.checkpoint.relative_to(checkout.root))
with checkout.inside():
    detect = DetInferencer(str(mine), saved, checkout.device, show_progress=False)


def found(images):
    return detect(images, len(images), return_datasamples=True)["predictions"]


# {% endif %}


# %%
def boxes_of(images):
    """For each image of a batch an array (boxes, 6): x1, y1, x2, y2, score, label."""
    with checkout.inside():
        return [api().boxes(each) for each in found(images)]


def apart(one, other):
    """The largest difference of any number, of all the boxes of two images."""
    return float(abs(one - other).max()) if one.shape == other.shape else None


# %%
names = [image["file_name"] for image in coco["images"]]
paths = [str(photos / name) for name in names]
alone = [boxes_of([path])[0] for path in paths]
sizes = [Image.open(path).size for path in paths[:2]]
checkout.check("Two images of one size", sizes, [(512, 512)] * 2)
same = max(map(apart, boxes_of(paths[:2]), alone))
checkout.check("Largest difference of their boxes, in pixels", same, at_most=0.01)
mixed = boxes_of(paths[:4])
moved = sum(apart(*pair) != 0 for pair in zip(mixed, alone, strict=False))
checkout.check("In a batch of several sizes boxes move", moved > 0, True)

# %%
# Other files
# ~~~~~~~~~~~
# Add to ``SUFFIXES`` what OpenCV reads and writes. The script prints what it leaves out: how many files have
# another suffix, and which images cannot be read. It ignores names that begin with a dot, such as macOS's
# ``._photo.jpg``.
left_out = [line for line in printed.splitlines() if line.startswith("left out")]
print(*left_out, sep="\n")
said = ["left out: 1 x .txt", "left out: broken.jpg cannot be read"]
checkout.check("Left out", left_out, said)

# %%
# What you get
# ------------
# For each image there is a drawing in ``OUT/vis``, and for all of them ``OUT/detections.json``: a COCO file with
# the images, the classes that the checkpoint knows, and each box with its score, as x, y, width and height in
# pixels. Widths and heights are those of the upright image, where EXIF says that a camera was turned. The ids are
# the file's own: images count from 1, classes from 0.
for key, items in coco.items():
    print(f"{key}: {len(items)}, the first: {items[0]}")

# %%
# Two of the drawings, with another threshold. The weights are random: the names mean nothing, and
# neither do the boxes.
import matplotlib.pyplot as plt

boxed = {each["image_id"] for each in few["annotations"]}
shown = [each["file_name"] for each in few["images"] if each["id"] in boxed]
figure, axes = plt.subplots(1, 2, figsize=(5, 2.8))
for axis, name in zip(axes, shown, strict=True):
    axis.imshow(plt.imread(checkout.root / "few/vis" / name))
    axis.set_title(name)
    axis.set_axis_off()

# %%
# Your log should say
# -------------------
# The log says that the checkpoint is loaded. If it also has ``size mismatch``, config and checkpoint do not belong
# together, and the detector has random weights where they differ.
import re

print(printed)
loads = re.findall("loads? checkpoint (?:from|by) local", printed, re.IGNORECASE)
checkout.check("Times that it says so", len(loads), 1)
checkout.check("Size mismatches", printed.count("size mismatch"), 0)

# %%
# Pitfalls
# --------

# %%
# Mugs are called bicycles: the checkpoint has no class names
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# {% if mmdet2 %}
# Set the names after the line ``model = …``: ``model.CLASSES = ('kitten', 'mug')``.
# {% else %}
# Set the names after the line ``detect = …``:
# ``detect.model.dataset_meta = dict(classes=('kitten', 'mug'), palette='random')`` and
# ``detect.visualizer.dataset_meta = detect.model.dataset_meta``.
# {% endif %}
#
# If the checkpoint has no names, MMDetection uses COCO's, and warns only once. Checkpoints that
# ``tools/train.py`` saves have them; one that holds only weights does not.
import warnings

import torch
from howto.checkout import weights
from mmdet.apis import init_detector

bare = checkout.root / "bare.pth"
torch.save({"state_dict": weights.load(run.checkpoint)}, bare)
with checkout.inside(), warnings.catch_warnings(record=True) as told:
    nameless = init_detector(str(mine), bare.name, device=checkout.device)
named = getattr(nameless, "dataset_meta", {}).get("classes") or nameless.CLASSES
checkout.check("Its first names", list(named[:2]), ["person", "bicycle"])
reason = "use COCO classes by default"
said = [str(each.message) for each in told if reason in str(each.message)]
print(*said)
checkout.check(f"It warns: {reason}", len(said), 1)

# %%
# Scores are worse on arrays than on files: the array is RGB
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Turn the array round with ``array[..., ::-1]``. MMDetection takes an array for BGR, as OpenCV reads images.
# What Pillow, matplotlib or imageio read is RGB. Nothing fails, but scores are worse.
rgb = np.asarray(Image.open(paths[0]).convert("RGB"))
right, wrong = boxes_of([rgb[..., ::-1].copy()])[0], boxes_of([rgb])[0]
checkout.check("The array as BGR, and the file", apart(right, alone[0]), at_most=0.01)
checkout.check("As RGB its boxes are others", apart(wrong, alone[0]) != 0, True)


# %%
def batches_of(model, call, *arguments):
    """How many images the backbone gets at a time."""
    seen = []
    backbone = model.backbone
    hook = backbone.register_forward_pre_hook(lambda _, x: seen.append(len(x[0])))
    with checkout.inside():
        call(*arguments)
    hook.remove()
    return seen


# %%
# {% if mmdet2 %}
# ``KeyError: 'img'``: a file after an array
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Give a model either files or arrays; ``mmcv.imread`` makes an array of a file. For an array
# ``inference_detector`` changes the first step of the model's own config, and leaves it so.
failure = checkout.fails(boxes_of, paths[:1])
checkout.check("It says", failure.message, "KeyError: 'img'")
first = model.cfg.data.test.pipeline[0].type
checkout.check("The first step is now", first, "LoadImageFromWebcam")
model.cfg = checkout.config("mine.py")

# %%
# ``CUDA out of memory`` with a list of images: it is one batch
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Give ``inference_detector`` a few images at a time, as the script does. It puts all that it is given into one
# batch.
batches = batches_of(model, found, paths)
checkout.check("Images in each batch, for a list of 6", batches, [6])
# {% else %}
# ``AttributeError: 'FasterRCNN' object has no attribute 'show_result'``: it is gone
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Draw with ``DetInferencer``, or with its visualizer as the script does. MMDetection 2's detectors drew their
# results themselves.
failure = checkout.fails(getattr, nameless, "show_result")
reason = "AttributeError: 'FasterRCNN' object has no attribute 'show_result'"
checkout.check("It says", failure.message, reason)

# %%
# A list is no faster than a loop: ``inference_detector`` makes no batches
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Use ``DetInferencer``, which takes as many images at a time as you say. ``inference_detector`` takes a list,
# and runs the detector on one image after another.
from mmengine.registry import init_default_scope


def one_list():
    init_default_scope("mmdet")  # as init_detector does
    inference_detector(nameless, paths)


singly = batches_of(nameless, one_list)
checkout.check("inference_detector, for a list of 6", singly, [1] * 6)
four = batches_of(detect.model, detect, paths, 4)
checkout.check("DetInferencer with a batch size of 4", four, [4, 2])

# %%
# Memory grows with every image: ``DetInferencer`` returns its drawings
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Call it for one batch after another, and keep ``['predictions']``. With ``out_dir`` it keeps each drawing until it
# returns: 36 MB for a photograph of 12 megapixels. The script draws without it.
with checkout.inside():
    results = detect(paths, 4, out_dir="own", pred_score_thr=0.3, no_save_pred=False)
sizes = [image.shape[:2] for image in results["visualization"]]
real = [(each["height"], each["width"]) for each in coco["images"]]
checkout.check("Drawings in memory", sizes == real, True)
# {% endif %}

# %%
# Boxes that nobody would believe: the threshold is for the drawing alone
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Compare scores yourself, as the script does. A detector returns every box over the config's
# ``test_cfg.rcnn.score_thr``.
# {% if mmdet2 %}
# ``score_thr`` of ``show_result`` affects only the drawing.
# {% else %}
# ``pred_score_thr`` of ``DetInferencer`` affects only the drawing; ``no_save_pred=False`` writes all boxes.
written = json.loads(next((checkout.root / "own/preds").iterdir()).read_text())
checkout.check("Boxes below 0.3 are written", min(written["scores"]) < 0.3, True)
# {% endif %}
lowest = run.cfg.model.test_cfg.rcnn.score_thr
checkout.check("The config's threshold", lowest, 0.05)
below = sum(int((each[:, 4] < 0.3).sum()) for each in alone)
checkout.check("Boxes below 0.3 are returned, too", below > 0, True)

# %%
# Evidence
# --------

# %%
# Every image of the folder is in the file
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
expected = [*(path.name for path in source[:4]), "more/portrait.jpeg", "shouted.PNG"]
checkout.check("Images, in order", names, expected)
upright = [ImageOps.exif_transpose(Image.open(path)) for path in paths]
sizes = [(image["width"], image["height"]) for image in coco["images"]]
checkout.check("Their widths and heights are", sizes, [each.size for each in upright])
known = {each["id"]: each["name"] for each in coco["categories"]}
checkout.check("Classes", known, {0: "kitten", 1: "mug"})
vis = checkout.root / "found/vis"
files = (path for path in vis.rglob("*") if path.is_file())
drawn = sorted(path.relative_to(vis).as_posix() for path in files)
checkout.check("Drawings", drawn, names)

# %%
# Its boxes are those of the detector
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The same images in the same batches, asked for in this process:
expected = []
for number, boxes in enumerate([*boxes_of(paths[:4]), *boxes_of(paths[4:])], 1):
    for x1, y1, x2, y2, score, label in boxes[boxes[:, 4] > 0.3].tolist():
        expected.append([number, label, x1, y1, x2 - x1, y2 - y1, score])
keys, kept = ("image_id", "category_id", "bbox", "score"), coco["annotations"]
rows = [np.hstack([each[key] for key in keys]) for each in kept]
checkout.check("Number of boxes", len(rows), len(expected))
far = float(abs(np.array(rows) - np.array(expected)).max())
checkout.check("Largest difference of any number", far, at_most=0.01)
numbered = all(each["id"] == number for number, each in enumerate(kept, 1))
checkout.check("Numbered from 1", numbered, True)

# %%
# pycocotools reads it, and finds no masks
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# ``showAnns`` and ``annToMask`` need masks, and fail.
from howto.project.quiet import quiet
from pycocotools.coco import COCO

with quiet():
    read = COCO(str(checkout.root / "found/detections.json"))
every = list(read.anns.values())
areas = [each["bbox"][2] * each["bbox"][3] - each["area"] for each in every]
checkout.check("Areas less width times height", max(map(abs, areas)), 0)
checkout.check("Crowds", len(read.getAnnIds(iscrowd=True)), 0)
mugs = len(read.getAnnIds(catIds=[1]))
checkout.check("Mugs", mugs, sum(row[1] == 1 for row in expected))
said = [checkout.fails(read.annToMask, every[0]), checkout.fails(read.showAnns, every)]
errors = ["KeyError: 'segmentation'", "Exception: datasetType not supported"]
checkout.check("They say", [failure.message for failure in said], errors)

# %%
# What is drawn is what is in the file
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Of all boxes over 0.3, the drawings above show the outlines of those over 0.65, and of no other:
from PIL import ImageDraw, ImageFilter


def outlined(change, box):
    """The share of a box's outline that lies within a pixel of what changed."""
    x, y, width, height = box
    right, bottom = min(x + width, change.width - 1), min(y + height, change.height - 1)
    outline = Image.new("1", change.size)
    ImageDraw.Draw(outline).rectangle((x, y, right, bottom), outline=1)
    wide = np.asarray(change.filter(ImageFilter.MaxFilter(3)))
    return (wide[np.asarray(outline)] > 40).mean()  # a JPEG differs a little everywhere


# %%
changes = {}
for image, before in zip(few["images"], upright, strict=True):
    after = Image.open(checkout.root / "few/vis" / image["file_name"])
    change = abs(np.asarray(before).astype(int) - np.asarray(after)).max(2)
    changes[image["id"]] = Image.fromarray(change.astype("uint8"))
sure = [each["score"] > 0.65 for each in kept]
drawn = [outlined(changes[each["image_id"]], each["bbox"]) > 0.7 for each in kept]
checkout.check("There are boxes over 0.65", any(sure), True)
differ = sum(one != other for one, other in zip(sure, drawn, strict=True))
said = "Boxes that are drawn and not in the file, or in it and not drawn"
checkout.check(said, differ, 0)

# %%
# Of a detector of masks it keeps the boxes
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
import collections

from howto.checkout import fit

small |= dict(model__roi_head__mask_head__num_classes=2)
small |= dict(model__test_cfg__rcnn__max_per_img=5)
cfg = checkout.config("mask_rcnn/mask_rcnn_r50_fpn_1x_coco.py", **small)
cfg.merge_from_dict(fit.overrides(cfg, checkout.device, 1))
masks = checkout.root / "configs/inference/masks.py"
cfg.dump(str(masks))
state = checkout.build(cfg).state_dict()
names = {"CLASSES": ("kitten", "mug")}
torch.save({"state_dict": state, "meta": names}, checkout.root / "masks.pth")

# %%
command = "python configs/inference/detect_folder.py configs/inference/masks.py"
(checkout.root / "square").mkdir()
for path in paths[:2]:
    shutil.copy(path, checkout.root / "square")
checkout.shell(f"{command} masks.pth square masked")
coco = json.loads((checkout.root / "masked/detections.json").read_text("utf-8"))
with checkout.inside():
    model = init_detector(str(masks), "masks.pth", device=checkout.device)
results = [checkout.detect(model, cfg, path) for path in paths[:2]]
over = [int((api().boxes(each)[:, 4] > 0.3).sum()) for each in results]
kept = collections.Counter(each["image_id"] for each in coco["annotations"])
checkout.check("Boxes on two images", [kept[1], kept[2]], over)
checkout.check("There are some", sum(over) > 0, True)

# %%
# What was not tried
# ~~~~~~~~~~~~~~~~~~
# - Accuracy and speed: the weights are random, and the images small.
# - A GPU, videos, and tools for correcting annotations.
# - Keypoints and panoptic segmentation. Masks are drawn, and are not in the file.
