"""
How do I run a trained detector on my images and keep the results?
==================================================================

Give this script the config, the checkpoint and a folder of images. It keeps a drawing of each
image, and all boxes in one COCO file.
"""

# %%
# .. index:: ! inference, init_detector, inference_detector, show_result
#
# .. snippet:: inference/detect_folder.py
#
# .. code-block:: console
#
#    $ python configs/inference/detect_folder.py CONFIG CHECKPOINT IMAGES OUT
#
# Run it in your MMDetection folder. ``CHECKPOINT`` is a file that training saved, as
# ``work_dirs/NAME/latest.pth``, or the address of a published one.

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
own = dict(
    data__train__classes=("kitten", "mug"),
    data__train__ann_file="data/my_dataset/annotations/train.json",
    data__train__img_prefix="data/my_dataset/train/",
)

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
# .. include:: ../../gallery/words/inference_score.rst
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
# .. include:: ../../gallery/words/inference_batch.rst
import numpy as np
from mmdet.apis import inference_detector

model = run.model.eval()
paths = sorted(str(path) for path in photos.iterdir() if path.suffix != ".txt")
model.cfg = run.cfg


def boxes_of(images):
    """For each image an array (boxes, 5) of x1, y1, x2, y2, score, of both classes."""
    with checkout.inside():
        return [np.concatenate(each) for each in inference_detector(model, images)]


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
# .. include:: ../../gallery/words/inference_get.rst
for key, items in coco.items():
    print(f"{key}: {len(items)}, the first: {items[0]}")

# %%
# .. include:: ../../gallery/words/inference_shown.rst
import matplotlib.pyplot as plt

boxed = {each["image_id"] for each in few["annotations"]}
shown = [each["file_name"] for each in few["images"] if each["id"] in boxed]
figure, axes = plt.subplots(1, 2, figsize=(5, 2.8))
for axis, name in zip(axes, shown, strict=True):
    axis.imshow(plt.imread(checkout.root / "few" / name))
    axis.set_title(name)
    axis.set_axis_off()

# %%
# Your log should say
# -------------------
# .. include:: ../../gallery/words/inference_log.rst
print(printed)
reason = "load checkpoint from local path"
checkout.check(f"It says: {reason}", reason in printed, True)
checkout.check("Size mismatches", printed.count("size mismatch"), 0)

# %%
# Pitfalls
# --------

# %%
# Mugs are called bicycles: the checkpoint has no class names
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/inference_names.rst
#
# Set them after the line ``model = …``: ``model.CLASSES = ('kitten', 'mug')``.
import warnings

import torch
from howto.checkout import weights
from mmdet.apis import init_detector

bare = checkout.root / "bare.pth"
torch.save({"state_dict": weights.load(run.checkpoint)}, bare)
with checkout.inside(), warnings.catch_warnings(record=True) as told:
    nameless = init_detector(str(mine), bare.name, device=checkout.device)
checkout.check("Its first names", list(nameless.CLASSES[:2]), ["person", "bicycle"])
reason = "use COCO classes by default"
said = [str(each.message) for each in told if reason in str(each.message)]
print(*said)
checkout.check(f"It warns: {reason}", len(said), 1)

# %%
# Scores are worse on arrays than on files: the array is RGB
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/inference_rgb.rst
rgb = np.asarray(Image.open(paths[0]).convert("RGB"))
turned, wrong = boxes_of([rgb[..., ::-1].copy()])[0], boxes_of([rgb])[0]
checkout.check("The array as BGR, and the file", apart(turned, alone[0]), at_most=0.01)
checkout.check("As RGB its boxes are others", apart(wrong, alone[0]) != 0, True)

# %%
# ``KeyError: 'img'``: a file after an array
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# For an array ``inference_detector`` changes the first step of the model's own config, and
# leaves it so. Give a model either files or arrays; ``mmcv.imread`` makes the one the other.
failure = checkout.fails(boxes_of, paths[:1])
checkout.check("It says", failure.message, "KeyError: 'img'")
first = model.cfg.data.test.pipeline[0].type
checkout.check("The first step is now", first, "LoadImageFromWebcam")
model.cfg = checkout.config("mine.py")

# %%
# ``CUDA out of memory`` with a list of images: it is one batch
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# ``inference_detector`` puts all that it is given into one batch. So the script gives it
# ``BATCH`` images at a time.
batches = []
hook = model.backbone.register_forward_pre_hook(lambda _, x: batches.append(len(x[0])))
boxes_of(paths)
hook.remove()
checkout.check("Images in each batch, for a list of 6", batches, [6])

# %%
# Boxes that nobody would believe: what it returns has no threshold but the config's
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# ``score_thr`` of ``show_result`` is for the drawing alone. What ``inference_detector``
# returns holds every box over ``test_cfg.rcnn.score_thr``.
lowest = run.cfg.model.test_cfg.rcnn.score_thr
checkout.check("The config's threshold", lowest, 0.05)
below = sum(int((each[:, 4] < 0.3).sum()) for each in alone)
checkout.check("Boxes below 0.3 are returned, too", below > 0, True)

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
drawn = sorted(path.name for path in (checkout.root / "found").iterdir())
checkout.check("Files", drawn, sorted([*names, "detections.json"]))

# %%
# Its boxes are those of the detector
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The same images in the same batches, asked for in this process:
expected = []
for start in (0, 4):
    with checkout.inside():
        results = inference_detector(model, paths[start : start + 4])
    for number, each in enumerate(results, start + 1):
        for label, boxes in enumerate(each):
            for x1, y1, x2, y2, score in boxes[boxes[:, 4] > 0.3].tolist():
                row = [number, label, x1, y1, x2 - x1, y2 - y1, score]
                expected.append(row)

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
for image in few["images"]:
    before = Image.open(photos / image["file_name"])
    after = Image.open(checkout.root / "few" / image["file_name"])
    change = abs(np.asarray(before).astype(int) - np.asarray(after)).max(2)
    if (change > 100).sum() > 50:  # a JPEG differs a little everywhere
        drawn_on.append(image["id"])
boxed = {each["image_id"] for each in few["annotations"]}
checkout.check(
    "Some images have no box over 0.65", len(few["images"]) - len(boxed) > 0, True
)
checkout.check("Drawn on are those with one", drawn_on, sorted(boxed))

# %%
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
# What was not tried
# ~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/inference_not_tried.rst
