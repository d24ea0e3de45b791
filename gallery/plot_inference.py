"""
How do I run a trained detector on my images and keep the results?
==================================================================

Give this script the config, the checkpoint and a folder of images. It keeps a drawing of each
image, and all boxes in one COCO file.
"""

# %%
# {% if mmdet2 %}
# .. index:: ! inference, init_detector, inference_detector, show_result
# {% else %}
# .. index:: ! inference, DetInferencer, init_detector, inference_detector
# {% endif %}
#
# .. snippet:: detect_folder.py
#
# .. code-block:: console
#
#    $ python configs/inference/detect_folder.py CONFIG CHECKPOINT IMAGES OUT
#
# {% if mmdet2 %}
# Run it in your MMDetection folder. ``CHECKPOINT`` is a file that training saved, as
# ``work_dirs/NAME/latest.pth``, or the address of a published one.
# {% else %}
# Run it in your MMDetection folder. ``CHECKPOINT`` is a file that training saved, as
# ``work_dirs/NAME/epoch_12.pth``, or the address of a published one.
# {% endif %}

# %%
# Adapt it
# --------
# Two numbers at the top of the script are yours to change.
from howto import Workspace

checkout = Workspace("inference")
small = dict(
    model__backbone__depth=18,
    model__backbone__init_cfg__checkpoint="torchvision://resnet18",
    model__neck__in_channels=[64, 128, 256, 512],
    model__roi_head__bbox_head__num_classes=2,
)
# {% if mmdet2 %}
own = dict(
    data__train__classes=("kitten", "mug"),
    data__train__ann_file="data/my_dataset/annotations/train.json",
    data__train__img_prefix="data/my_dataset/train/",
)
# {% else %}
own = dict(
    train_dataloader__dataset__metainfo=dict(classes=("kitten", "mug")),
    train_dataloader__dataset__data_root="data/my_dataset/",
    train_dataloader__dataset__ann_file="annotations/train.json",
    train_dataloader__dataset__data_prefix=dict(img="train/"),
)
# {% endif %}

# %%
run = checkout.train(
    "faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py", evaluate=False, **small, **own
)
mine = checkout.root / "configs/inference/mine.py"
run.cfg.dump(str(mine))

# %%
import shutil

from PIL import Image

source = sorted((checkout.root / "data/my_dataset/train").iterdir())
photos = checkout.root / "photos"
photos.mkdir()
for path in source[:4]:
    shutil.copy(path, photos)
Image.open(source[4]).resize((240, 512)).save(photos / "portrait.jpeg")
Image.open(source[5]).resize((512, 240)).save(photos / "shouted.PNG")
(photos / "notes.txt").touch()


# %%
import json


def detected(script, images, out):
    """What the script prints, and its file about a folder of images."""
    saved = run.checkpoint.relative_to(checkout.root)
    command = f"python configs/inference/{script} configs/inference/mine.py"
    printed = checkout.shell(f"{command} {saved} {images} {out}")
    return printed, json.loads((checkout.root / out / "detections.json").read_text())


# %%
printed, coco = detected("detect_folder.py", "photos", "found")

# %%
# Another threshold
# ~~~~~~~~~~~~~~~~~
# ``SCORE`` is for the drawings and for the file. Set it as low as you need; a detector has boxes
# down to ``score_thr`` of its config's ``test_cfg``, which is 0.05 in most.
sure = checkout.edit("detect_folder.py", {"SCORE = 0.3": "SCORE = 0.65"}, adapts=True)
_, few = detected(sure, "photos", "few")
scores = [each["score"] for each in coco["annotations"]]
over = sum(score > 0.65 for score in scores)
checkout.check(
    "Boxes over 0.65 in a file of those over 0.3", over, len(few["annotations"])
)

# %%
# More images at a time, or one
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# A batch is padded to its largest image, and a padded image is not quite the same image: its boxes
# move a little, and near a threshold one may come or go. With ``BATCH = 1`` an image's boxes do not
# depend on its neighbours. Images of one size are not padded, and nothing changes:
import numpy as np

# {% if mmdet2 %}
from mmdet.apis import inference_detector

# {% else %}
from mmdet.apis import DetInferencer
# {% endif %}

# {% if mmdet2 %}
model = run.model.eval()
# {% else %}
saved = str(run.checkpoint.relative_to(checkout.root))
with checkout.inside():
    detect = DetInferencer(str(mine), saved, device=checkout.device)
detect.show_progress = False
# {% endif %}
paths = sorted(str(path) for path in photos.iterdir() if path.suffix != ".txt")
# {% if mmdet2 %}
model.cfg = run.cfg
# {% endif %}


# {% if mmdet2 %}
def boxes_of(images):
    """For each image an array (boxes, 5) of x1, y1, x2, y2, score, of both classes."""
    with checkout.inside():
        return [np.concatenate(each) for each in inference_detector(model, images)]


# {% else %}
def boxes_of(images, number=6):
    """For each image an array (boxes, 6) of x1, y1, x2, y2, score, label; so many at a time."""
    with checkout.inside():
        found = detect(images, number)["predictions"]
    keys = ("scores", "labels")
    return [np.c_[np.array(each["bboxes"]), *map(each.get, keys)] for each in found]


# {% endif %}


# %%
def apart(one, other):
    """The largest difference of any number, of all the boxes of two images."""
    return float(abs(one - other).max()) if one.shape == other.shape else None


# %%
square, alone = paths[:2], [boxes_of([path])[0] for path in paths]
together = boxes_of(square)
sizes = [Image.open(path).size for path in square]
checkout.check("Two images of one size", sizes, [(512, 512)] * 2)
same = max(map(apart, together, alone))
checkout.check("Largest difference of their boxes, in pixels", same, at_most=0.01)
mixed = boxes_of(paths[:4])
moved = sum(apart(*pair) != 0 for pair in zip(mixed, alone, strict=False))
checkout.check("In a batch of several sizes boxes move", moved > 0, True)

# %%
# What you get
# ------------
# For each image there is a drawing, and for all of them ``detections.json``: a COCO file with the
# images, the classes that the checkpoint knows, and each box with its score, as x, y, width and
# height in pixels. Tools for COCO files read it, those for correcting annotations as well.
for key, items in coco.items():
    print(f"{key}: {len(items)}, the first: {items[0]}")

# %%
# Two of the drawings, with another threshold. The weights are random: the names mean nothing, and
# neither do the boxes.
import matplotlib.pyplot as plt

boxed = {each["image_id"] for each in few["annotations"]}
shown = [each["file_name"] for each in few["images"] if each["id"] in boxed]
figure, axes = plt.subplots(1, 2, figsize=(5, 2.8))
# {% if mmdet2 %}
for axis, name in zip(axes, shown, strict=True):
    axis.imshow(plt.imread(checkout.root / "few" / name))
    axis.set_title(name)
    axis.set_axis_off()
# {% else %}
for axis, name in zip(axes, shown, strict=True):
    axis.imshow(plt.imread(checkout.root / "few/vis" / name))
    axis.set_title(name)
    axis.set_axis_off()
# {% endif %}

# %%
# Your log should say
# -------------------
# The log says that the checkpoint is loaded, and nothing of a size mismatch, which would mean that config and
# checkpoint do not belong together, and that the detector has random weights where they differ.
print(printed)
# {% if mmdet2 %}
reason = "load checkpoint from local path"
# {% else %}
reason = "Loads checkpoint by local backend"
# {% endif %}
checkout.check(f"It says: {reason}", reason in printed, True)
checkout.check("Size mismatches", printed.count("size mismatch"), 0)

# %%
# Pitfalls
# --------

# %%
# Mugs are called bicycles: the checkpoint has no class names
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Where the checkpoint has no names, MMDetection takes COCO's, and warns only once. Checkpoints that
# ``tools/train.py`` saves have them; one that holds weights alone has not.
#
# {% if mmdet2 %}
# Set them after the line ``model = …``: ``model.CLASSES = ('kitten', 'mug')``.
# {% else %}
# Set them after the line ``detect = …``:
# ``detect.model.dataset_meta = dict(classes=('kitten', 'mug'), palette='random')`` and
# ``detect.visualizer.dataset_meta = detect.model.dataset_meta``.
# {% endif %}
import warnings

import torch
from howto.checkout import weights
from mmdet.apis import init_detector

bare = checkout.root / "bare.pth"
torch.save({"state_dict": weights.load(run.checkpoint)}, bare)
with checkout.inside(), warnings.catch_warnings(record=True) as told:
    nameless = init_detector(str(mine), bare.name, device=checkout.device)
# {% if mmdet2 %}
checkout.check("Its first names", list(nameless.CLASSES[:2]), ["person", "bicycle"])
# {% else %}
first = list(nameless.dataset_meta["classes"][:2])
checkout.check("Its first names", first, ["person", "bicycle"])
# {% endif %}
reason = "use COCO classes by default"
said = [str(each.message) for each in told if reason in str(each.message)]
print(*said)
checkout.check(f"It warns: {reason}", len(said), 1)

# %%
# Scores are worse on arrays than on files: the array is RGB
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# An array is taken for BGR, as OpenCV reads images. What Pillow, matplotlib or imageio read is RGB:
# turn it round with ``array[..., ::-1]``. Nothing fails otherwise; scores are worse.
rgb = np.asarray(Image.open(paths[0]).convert("RGB"))
turned, wrong = boxes_of([rgb[..., ::-1].copy()])[0], boxes_of([rgb])[0]
checkout.check("The array as BGR, and the file", apart(turned, alone[0]), at_most=0.01)
checkout.check("As RGB its boxes are others", apart(wrong, alone[0]) != 0, True)

# %%
# {% if mmdet2 %}
# ``KeyError: 'img'``: a file after an array
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# For an array ``inference_detector`` changes the first step of the model's own config, and
# leaves it so. Give a model either files or arrays; ``mmcv.imread`` makes the one the other.
failure = checkout.fails(boxes_of, paths[:1])
checkout.check("It says", failure.message, "KeyError: 'img'")
first = model.cfg.data.test.pipeline[0].type
checkout.check("The first step is now", first, "LoadImageFromWebcam")
model.cfg = checkout.config("mine.py")
# {% else %}
# ``AttributeError: 'FasterRCNN' object has no attribute 'show_result'``: it is gone
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# MMDetection 2's detectors drew their results. Now ``DetInferencer`` does, with a visualizer.
failure = checkout.fails(getattr, nameless, "show_result")
reason = "AttributeError: 'FasterRCNN' object has no attribute 'show_result'"
checkout.check("It says", failure.message, reason)
# {% endif %}

# %%
# {% if mmdet2 %}
# ``CUDA out of memory`` with a list of images: it is one batch
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# ``inference_detector`` puts all that it is given into one batch. So the script gives it
# ``BATCH`` images at a time.
batches = []
hook = model.backbone.register_forward_pre_hook(lambda _, x: batches.append(len(x[0])))
boxes_of(paths)
hook.remove()
checkout.check("Images in each batch, for a list of 6", batches, [6])
# {% else %}
# A list is no faster than a loop: ``inference_detector`` makes no batches
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# It takes a list, and runs the detector on one image after another. ``DetInferencer`` takes
# as many at a time as you say.
from mmdet.apis import inference_detector
from mmengine.registry import init_default_scope


def batches_of(model, call, *arguments):
    """How many images the backbone gets at a time."""
    seen = []
    backbone = model.backbone
    hook = backbone.register_forward_pre_hook(lambda _, x: seen.append(len(x[0])))
    with checkout.inside():
        init_default_scope("mmdet")
        call(*arguments)
    hook.remove()
    return seen


# {% endif %}

# %%
# {% if mmdet2 %}
# Boxes that nobody would believe: what it returns has no threshold but the config's
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# ``score_thr`` of ``show_result`` is for the drawing alone. What ``inference_detector``
# returns holds every box over ``test_cfg.rcnn.score_thr``.
# {% else %}
singly = batches_of(nameless, inference_detector, nameless, paths)
checkout.check("inference_detector, for a list of 6", singly, [1] * 6)
four = batches_of(detect.model, detect, paths, 4)
checkout.check("DetInferencer with a batch size of 4", four, [4, 2])

# %%
# Boxes that nobody would believe: ``pred_score_thr`` is for the drawing
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# What ``DetInferencer`` returns, and writes with ``no_save_pred=False``, holds every box over
# the config's ``test_cfg.rcnn.score_thr``.
# {% endif %}
lowest = run.cfg.model.test_cfg.rcnn.score_thr
checkout.check("The config's threshold", lowest, 0.05)
# {% if mmdet2 %}
below = sum(int((each[:, 4] < 0.3).sum()) for each in alone)
checkout.check("Boxes below 0.3 are returned, too", below > 0, True)
# {% else %}
with checkout.inside():
    detect(paths[0], out_dir="own", pred_score_thr=0.3, no_save_pred=False)
own = json.loads(next((checkout.root / "own/preds").iterdir()).read_text())
checkout.check("Boxes below 0.3 are kept, too", min(own["scores"]) < 0.3, True)
# {% endif %}

# %%
# Proof
# -----

# %%
# Every image of the folder is in the file
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
names = [image["file_name"] for image in coco["images"]]
checkout.check("Images, in order", names, [path.rpartition("/")[2] for path in paths])
sizes = [(image["width"], image["height"]) for image in coco["images"]]
real = [Image.open(path).size for path in paths]
checkout.check("Their widths and heights are", sizes, real)
known = {each["id"]: each["name"] for each in coco["categories"]}
checkout.check("Classes", known, {0: "kitten", 1: "mug"})
# {% if mmdet2 %}
drawn = sorted(path.name for path in (checkout.root / "found").iterdir())
checkout.check("Files", drawn, sorted([*names, "detections.json"]))
# {% else %}
drawn = sorted(path.name for path in (checkout.root / "found/vis").iterdir())
checkout.check("Drawings", drawn, names)
# {% endif %}

# %%
# Its boxes are those of the detector
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The same images in the same batches, asked for in this process:
expected = []
# {% if mmdet2 %}
for start in (0, 4):
    with checkout.inside():
        results = inference_detector(model, paths[start : start + 4])
    for number, each in enumerate(results, start + 1):
        for label, boxes in enumerate(each):
            for x1, y1, x2, y2, score in boxes[boxes[:, 4] > 0.3].tolist():
                row = [number, label, x1, y1, x2 - x1, y2 - y1, score]
                expected.append(row)
# {% else %}
for number, boxes in enumerate(boxes_of(paths, 4), 1):
    for x1, y1, x2, y2, score, label in boxes[boxes[:, 4] > 0.3].tolist():
        expected.append([number, label, x1, y1, x2 - x1, y2 - y1, score])
# {% endif %}

# %%
kept = [
    [each["image_id"], each["category_id"], *each["bbox"], each["score"]]
    for each in coco["annotations"]
]
checkout.check("Number of boxes", len(kept), len(expected))
far = float(abs(np.array(kept) - np.array(expected)).max())
checkout.check("Largest difference of any number", far, at_most=0.01)
ids = [each["id"] for each in coco["annotations"]]
checkout.check("Numbered from 1", ids == list(range(1, len(ids) + 1)), True)

# %%
# Tools for COCO files read it
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~
from howto.project.quiet import quiet
from pycocotools.coco import COCO

with quiet():
    read = COCO(str(checkout.root / "found/detections.json"))
areas = [
    w * h - each["area"] for each in read.anns.values() for w, h in [each["bbox"][2:]]
]
checkout.check("Areas less width times height", max(map(abs, areas)), 0)
checkout.check("Crowds", len(read.getAnnIds(iscrowd=True)), 0)
mugs = len(read.getAnnIds(catIds=[1]))
checkout.check("Mugs", mugs, sum(row[1] == 1 for row in expected))

# %%
# What is drawn is what is in the file
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
drawn_on = []
# {% if mmdet2 %}
for image in few["images"]:
    before = Image.open(photos / image["file_name"])
    after = Image.open(checkout.root / "few" / image["file_name"])
    change = abs(np.asarray(before).astype(int) - np.asarray(after)).max(2)
    if (change > 100).sum() > 50:  # a JPEG differs a little everywhere
        drawn_on.append(image["id"])
# {% else %}
for image in few["images"]:
    before = Image.open(photos / image["file_name"])
    after = Image.open(checkout.root / "few/vis" / image["file_name"])
    change = abs(np.asarray(before).astype(int) - np.asarray(after)).max(2)
    if (change > 100).sum() > 50:  # a JPEG differs a little everywhere
        drawn_on.append(image["id"])
# {% endif %}
boxed = {each["image_id"] for each in few["annotations"]}
checkout.check(
    "Some images have no box over 0.65", len(few["images"]) - len(boxed) > 0, True
)
checkout.check("Drawn on are those with one", drawn_on, sorted(boxed))

# %%
# {% if mmdet2 %}
# Of a detector of masks it keeps the boxes
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# What ``inference_detector`` returns is a pair then, of boxes and masks.
import collections

mask_rcnn = "mask_rcnn/mask_rcnn_r50_fpn_1x_coco.py"
few = dict(model__test_cfg__rcnn__max_per_img=5)
cfg = checkout.config(
    mask_rcnn, model__roi_head__mask_head__num_classes=2, **few, **small
)
cfg.data = checkout.config("mine.py").data
masks = checkout.root / "configs/inference/masks.py"
cfg.dump(str(masks))
state = checkout.build(cfg).state_dict()
names = {"CLASSES": ("kitten", "mug")}
torch.save({"state_dict": state, "meta": names}, checkout.root / "masks.pth")

# %%
command = "python configs/inference/detect_folder.py configs/inference/masks.py"
checkout.shell(f"{command} masks.pth photos masked")
coco = json.loads((checkout.root / "masked/detections.json").read_text())
with checkout.inside():
    model = init_detector(str(masks), "masks.pth", device=checkout.device)
    results = inference_detector(model, paths[:4])
over = [sum(int((each[:, 4] > 0.3).sum()) for each in boxes) for boxes, _ in results]
kept = collections.Counter(each["image_id"] for each in coco["annotations"])
checkout.check("Boxes on four images", [kept[n] for n in (1, 2, 3, 4)], over)
checkout.check("There are some", sum(over) > 0, True)

# %%
# {% endif %}
# What was not tried
# ~~~~~~~~~~~~~~~~~~
# - Accuracy and speed: the weights are random, and the images small.
# - A GPU, videos, and images in other formats.
# - Keypoints and panoptic segmentation. Masks are drawn, and are not in the file.
