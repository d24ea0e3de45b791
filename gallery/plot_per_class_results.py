"""
How do I see AP per class, and what is confused?
================================================

Set ``classwise=True``, and the log has the AP of each class. ``confused.py`` counts what
was taken for what, each object once; the tool that MMDetection brings counts some twice.
"""

# %%
# .. index:: ! classwise, ! confusion matrix, AP per class, confusion_matrix.py, eval_metric.py, nan
#
# .. snippet:: faster_rcnn_r50_fpn_1x_classwise_coco.py
#
# .. train:: faster_rcnn_r50_fpn_1x_classwise_coco.py
#
# .. snippet:: confused.py

# %%
# Adapt it
# --------
# A checkpoint that you have needs no training: run ``tools/test.py`` with this config on it, with
# ``--out results.pkl`` to keep its boxes for MMDetection's tools.
# {% if mmdet2 %}
# Add ``--eval bbox``. The AP of a class is in the log's table alone. It is no metric, so it can't choose the
# best checkpoint.
# {% else %}
# Each class has a metric of its own, which may choose the best checkpoint: ``save_best='coco/cup_precision'``.
# {% endif %}
from howto import Workspace
from howto.checkout.family import api
from howto.checkout import fit
from howto.figures.show import Table

checkout = Workspace("per_class_results")
checkout.ask_python()
cfg = checkout.config()
any_score = dict(model__test_cfg__rcnn__score_thr=0.0, **fit.RESNET18)
run = checkout.train(warmed_up=True, **any_score)
cups = [key for key in run.metrics if "cup" in key]
evaluate = f" {api().evaluating()}"
# {% if mmdet2 %}
checkout.check("Metrics that name a class", cups, [])
# {% else %}
every = [key for key in run.metrics if key.endswith("_precision")]
checkout.check("Metrics of one class", len(every), 80)
checkout.check("cup_precision is among them", cups, ["cup_precision"])
# {% endif %}

# %%
# What is confused
# ----------------
# A detector with random weights finds nothing, so these boxes are made up: every fourth object has only a box
# of a wrong class, every tenth has none, and half of the others have a weaker one of a wrong class
# besides. ``eval_metric.py`` evaluates such a file, as ``tools/test.py --out`` writes it:
import json
import pickle

from howto.figures import confusion

content = checkout.annotations("val")
made = confusion.made(content)
ids = [each["id"] for each in content["categories"]]


# %%
def predicted(boxes):
    """What ``tools/test.py --out`` would pickle, had it found these boxes."""
    by_image = {image["id"]: [] for image in content["images"]}
    for each in boxes:
        by_image[each["image_id"]].append(each)
    return [
        api().pickled(each, by_image[each["id"]], ids) for each in content["images"]
    ]


# %%
results = predicted(made.boxes)
(checkout.root / "results.pkl").write_bytes(pickle.dumps(results))
path = f"configs/per_class_results/{checkout.own}"
tools = "python tools/analysis_tools"
printed = checkout.shell(f"{tools}/eval_metric.py {path} results.pkl{evaluate}")
table = [line.split("|")[1:-1] for line in printed.splitlines() if line[:2] == "| "]
head, *table = [[cell.strip() for cell in row] for row in table]
step = len(head) // head.count("category")  # 2.x has three classes to a line
cells = [row[at : at + 2] for row in table for at in range(0, len(row), step)]
scores = {name: float(score) for name, score in cells if name != "None"}
for name, score in scores.items():
    if score >= 0:  # and not nan
        print(f"{name:14} {score:.3f}")

# %%
# The same evaluation leaves ``val.bbox.json``. From it ``confused.py`` prints a table for a spreadsheet: a row
# for each class of objects, a column for each that they were taken for. State the threshold with it; AP has
# none. A higher threshold gives fewer false positives and, in the end, more missed objects.
truth = "data/coco/annotations/instances_val2017.json"
boxes = f"work_dirs/{checkout.own.removesuffix('.py')}/val.bbox.json"
script = "python configs/per_class_results/confused.py"
counts = confusion.read(checkout.shell(f"{script} {truth} {boxes} 0.3"))
checkout.check(
    "What was confused, missed and found, as made", counts == made.counts, True
)
from howto.project.quiet import quiet

rows = []
for score in 0.3, 0.5, 0.7:
    with quiet():
        printed = checkout.shell(f"{script} {truth} {boxes} {score}")
    rows.append((score, *confusion.sums(confusion.read(printed))))
Table(("Boxes from", "Own class", "Another", "Missed", "On no object"), rows)

# %%
import runpy

tool = runpy.run_path(str(checkout.root / "tools/analysis_tools/confusion_matrix.py"))


def stock(cfg, results, score_thr=0.3):
    """The counts of MMDetection's own tool, which draws them as percentages."""
    api().split(cfg, "test").test_mode = True  # as the tool has it
    data = checkout.dataset(cfg, "test")
    with quiet():
        return tool["calculate_confusion_matrix"](data, results, score_thr)


matrix = stock(cfg, results)
theirs = confusion.named(matrix, [each["name"] for each in content["categories"]])

# %%
import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 2, figsize=(9, 4.2), sharey=True)
for axis, found, title in (
    (axes[0], counts, "confused.py"),
    (axes[1], theirs, "MMDetection's tool"),
):
    confusion.draw(axis, found, like=counts)
    axis.set_title(f"{title}: {sum(found.values())} counted")

# %%
# Your log should say
# -------------------
# After each evaluation there is a table of all classes. ``nan`` means that there is no object, of the class or
# of the size. The weights are random here, so every AP is 0:
lines = [line for line in run.log.splitlines() if line.startswith("|")]
print(*lines[:4], f"and {len(lines) - 4} more", sep="\n")

# %%
# Pitfalls
# --------

# %%
# Half of the people are confused, and all are found: an object counts twice
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Count with ``confused.py``. The tool counts a pair for every box that overlaps an object by half, whatever else
# lies there, and shows percentages of these pairs. So an object that is found, and has a weaker box of another
# class besides, is half confused.
objects = [each for each in content["annotations"] if not each["iscrowd"]]
print(f"{len(objects)} objects, in the rows of the tool {matrix[:-1].sum():.0f}")
checkout.check("It has more", matrix[:-1].sum() > len(objects), True)
two = predicted(made.boxes[:2])
own = ids.index(objects[0]["category_id"])
row = stock(cfg, two)[own, :-1]
checkout.check("A right box and a surplus one: found", row[own] / row.sum(), 0.5)

# %%
# ``nan`` and ``-1%``: the class has no object
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Read the column of such a class in the table of ``confused.py``. The mean leaves the class out, and all its boxes
# with it: what a detector takes for a class that your val set lacks costs no mAP. The tool writes ``-1%`` for
# it. Its other percentages are cut, not rounded, and the whole picture of two classes is 270 pixels wide.
import math

import numpy as np

absent = {name for name, score in scores.items() if math.isnan(score)}
shown = {each["category_id"] for each in content["annotations"]}
names = {each["id"]: each["name"] for each in content["categories"]}
expected = {name for key, name in names.items() if key not in shown}
checkout.check("Classes without an object", absent == expected, True)
wrong = [each for each in made.boxes if names[each["category_id"]] in absent]
rest = [each for each in made.boxes if each not in wrong]
print(f"{len(wrong)} of {len(made.boxes)} boxes are of such a class")
with_them, without = (
    round(confusion.average_precision(content, each), 4) for each in (made.boxes, rest)
)
checkout.check("mAP without their boxes less mAP with them", without - with_them, 0)

# %%
two_classes = np.array([[1, 2, 0], [0, 0, 0], [0, 0, 0]])
cells, pixels = confusion.percentages(tool["plot_confusion_matrix"], two_classes)
checkout.check("One of three, and two", cells[:2], ["33%", "66%"])
checkout.check("A class without an object", cells[3:6], ["-1%"] * 3)
checkout.check("Pixels of the whole picture, of two classes", pixels, (270, 216))

# %%
# {% if mmdet2 %}
# ``FileNotFoundError``: ``No such file or directory: 'confusion/confusion_matrix.png'``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Make the folder first: ``mkdir confusion``. The tool reads and counts all boxes, and fails when it saves its
# picture.
two_kinds = [[image[ids.index(1)], image[ids.index(17)]] for image in results]
(checkout.root / "two.pkl").write_bytes(pickle.dumps(two_kinds))
options = "--cfg-options 'data.test.classes=(person,cat)'"
command = f"{tools}/confusion_matrix.py {path} two.pkl confusion {options}"
# {% else %}
# ``IndexError: index 1 is out of bounds for axis 0 with size 1``: ``--nms-iou-thr``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Leave the option out; a detector's boxes have been through NMS already. The option drops boxes, and the tool
# goes on to read the scores of all.
twice = predicted([made.boxes[0], made.boxes[0]])
(checkout.root / "twice.pkl").write_bytes(pickle.dumps(twice))
command = f"{tools}/confusion_matrix.py {path} twice.pkl confusion --nms-iou-thr 0.5"
# {% endif %}
printed = checkout.shell(command, succeeds=False)
print(printed.splitlines()[-1])
# {% if mmdet2 %}
reason = "No such file or directory: 'confusion/confusion_matrix.png'"
checkout.check(f"It says: {reason}", reason in printed, True)
# {% else %}
reason = "IndexError: index 1 is out of bounds for axis 0 with size 1"
checkout.check("It says", printed.splitlines()[-1], reason)

# %%
# Crowds are missed objects
# ~~~~~~~~~~~~~~~~~~~~~~~~~
# Use ``confused.py``, or take regions marked ``iscrowd`` out of the file. The tool counts each such region as an
# object that was missed. COCO ignores the boxes of the region's own class that lie on it, and so does
# ``confused.py``.
crowds = [each | {"iscrowd": 1} for each in content["annotations"]]
file = "data/my_dataset/annotations/crowds.json"
(checkout.root / file).write_text(json.dumps(content | {"annotations": crowds}))
crowded = checkout.config(test__ann_file=f"{checkout.root}/{file}")
missed = int(stock(crowded, predicted([]))[:-1, -1].sum())
checkout.check("Objects that the tool misses", missed == len(crowds), True)
counted = confusion.read(checkout.shell(f"{script} {file} {boxes} 0.3"))
missed = confusion.sums(counted)[2]
checkout.check("And confused.py", missed, 0)

# %%
# No table of classes: ``eval_metric.py`` reads ``val_evaluator``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Set both evaluators, as this config does. The tool reads the images of ``test_dataloader``, but evaluates as
# ``val_evaluator`` says: an option of ``test_evaluator`` does nothing, and neither does its ``ann_file``.
option = "val_evaluator.classwise=False"
printed = checkout.shell(
    f"{tools}/eval_metric.py {path} results.pkl --cfg-options {option}"
)
checkout.check("The test set's evaluator has it", cfg.test_evaluator.classwise, True)
checkout.check("A table", "| category" in printed, False)

# %%
# ``cup_precision`` of a detector of masks is the mask's
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# For the AP of a class's boxes read the first of the log's two tables, or set ``metric='bbox'``. With
# ``metric=['bbox', 'segm']`` boxes and masks write to the same key, and masks come last. Here all boxes are
# right, and all masks are empty:
import torch
from mmdet.registry import METRICS

samples = predicted([each | {"score": 1.0} for each in objects])
for each in samples:
    found, size = each["pred_instances"], each["ori_shape"]
    found["masks"] = torch.zeros(len(found["scores"]), *size, dtype=torch.uint8)
evaluator = checkout.config("mask_rcnn/mask_rcnn_r50_fpn_1x_coco.py").val_evaluator
with checkout.inside(), quiet():
    metric = METRICS.build(dict(evaluator, classwise=True))
    metric.dataset_meta = checkout.dataset(cfg, "val").metainfo
    metric.process({}, samples)
    metrics = metric.evaluate(len(samples))
checkout.check("bbox_mAP", metrics["coco/bbox_mAP"], 1.0)
checkout.check("person_precision", metrics["coco/person_precision"], 0.0)
# {% endif %}

# %%
# Evidence
# --------

# %%
# Each AP is that of pycocotools
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# For each class alone, pycocotools evaluates the same boxes; MMDetection rounds to three digits:
apart = {
    names[key]: confusion.average_precision(content, made.boxes, key) for key in shown
}
largest = max(abs(score - scores[name]) for name, score in apart.items())
checkout.check("Largest difference of a class", largest, at_most=0.0006)
checkout.check("Different scores among them", len(set(scores.values())) > 2, True)
mean = sum(apart.values()) / len(apart)
checkout.check("mAP less their mean", abs(with_them - mean), at_most=0.0001)

# %%
# ``confused.py`` counts each once
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Small cases, each with a cat or a cup or two, and what the script has to count of them:
for name, given, found, expected in confusion.CASES:
    result = confusion.counted(checkout, given, found)
    checkout.check(name, result == expected, True)

# %%
# The boxes of each evaluation are kept
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# ``tools/test.py`` writes the file again, as each evaluation of a training does. It holds what was evaluated; the
# scores have no threshold here, and the ResNet has 18 layers:
tested = checkout.root / "configs/per_class_results/any_score.py"
checkout.config(**any_score).dump(str(tested))
(checkout.root / boxes).unlink()
trained = run.checkpoint.relative_to(checkout.root)
command = f"python tools/test.py {tested.relative_to(checkout.root)} {trained}"
printed = checkout.shell(f"{command} --out tested.pkl{evaluate} {{fit}}")
checkout.check("It prints the table of classes", "| category" in printed, True)

# %%
kept = json.loads((checkout.root / boxes).read_text())
images = {each["image_id"] for each in kept}
checkout.check("Images that have boxes", len(images), len(content["images"]))
checkout.check(
    "Boxes of each, as many as the config allows", len(kept) / len(images), 100
)
mean = confusion.average_precision(content, kept)
checkout.check(
    "Their mAP less that of the training",
    abs(mean - run.metrics["bbox_mAP"]),
    at_most=0.001,
)
# %%
pickled = pickle.loads((checkout.root / "tested.pkl").read_bytes())
# {% if mmdet2 %}
layouts = [
    (len(each), {(rows.dtype.name, rows.shape[1]) for rows in each})
    for each in (*pickled, *results)
]
# {% else %}
layouts = [
    (set(each) >= {"img_id", "ori_shape"}, sorted(each["pred_instances"]))
    for each in (*pickled, *results)
]
# {% endif %}
alike = all(layout == layouts[0] for layout in layouts)
checkout.check("tools/test.py writes boxes as they were made above", alike, True)
# {% if mmdet3 %}
same = cfg.test_evaluator == cfg.val_evaluator
checkout.check("It is tested as it is validated", same, True)
# {% endif %}

# %%
# It trains on several GPUs
# ~~~~~~~~~~~~~~~~~~~~~~~~~
# Two processes average their gradients, as this command has them do:
printed = checkout.launch(iterations=2, **fit.RESNET18)
checkout.check("Two processes trained", api().FIRST_EPOCH in printed, True)
checkout.check("Parameters without a gradient", checkout.unused_parameters(cfg), [])

# %%
# What was not tried
# ~~~~~~~~~~~~~~~~~~
# - A trained detector: the boxes above were made, so that it is known what is right.
# - Masks: ``confused.py`` reads boxes alone.
# - LVIS, Open Images and VOC, which have metrics of their own.
