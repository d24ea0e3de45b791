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
# {% if mmdet2 %}
# --------
# A checkpoint that you have needs no training: run ``tools/test.py`` with this config and ``--eval bbox`` on
# it, with ``--out results.pkl`` to keep its boxes for MMDetection's tools. The AP of a class is in the log's
# table alone. It is no metric, so it can't choose the best checkpoint.
# {% else %}
# --------
# A checkpoint that you have needs no training: run ``tools/test.py`` with this config on it, with
# ``--out results.pkl`` to keep its boxes for MMDetection's tools. Each class has a metric of its own, which
# may choose the best checkpoint: ``save_best='coco/cup_precision'``.
# {% endif %}
from howto import Workspace
from howto.checkout.family import api
from howto.checkout import fit
from howto.figures.show import Table

checkout = Workspace("per_class_results")
config = "faster_rcnn_r50_fpn_1x_classwise_coco.py"
cfg = checkout.config(config)
any_score = dict(model__test_cfg__rcnn__score_thr=0.0, **fit.RESNET18)
run = checkout.train(config, warmed_up=True, **any_score)
# {% if mmdet2 %}
named = [key for key in run.metrics if "cup" in key]
checkout.check("Metrics that name a class", named, [])
# {% else %}
by_name = {key: value for key, value in run.metrics.items() if "_precision" in key}
checkout.check("Metrics of one class", len(by_name), 80)
checkout.check("cup_precision is among them", "cup_precision" in by_name, True)
# {% endif %}

# %%
# What is confused
# ----------------
# A detector with random weights finds nothing, so these boxes are made up: every fourth object has only a box
# of a wrong class, every tenth has none, and half of the others have a weaker one of a wrong class
# besides. ``eval_metric.py`` evaluates such a file, as ``tools/test.py --out`` writes it:
# {% if mmdet2 %}
import json

# {% endif %}
import pickle

# {% if mmdet2 %}
import numpy as np

# {% else %}
import torch

# {% endif %}
from howto.figures import confusion

content = checkout.annotations("val")
made = confusion.made(content)
ids = [each["id"] for each in content["categories"]]


# %%
# {% if mmdet2 %}
def predicted(image, boxes):
    """The boxes of an image as ``tools/test.py --out`` pickles them."""
    found = [[] for _ in ids]
    for each in boxes:
        x, y, width, height = each["bbox"]
        row = [x, y, x + width, y + height, each["score"]]
        found[ids.index(each["category_id"])].append(row)
    return [np.array(rows, dtype="float32").reshape(-1, 5) for rows in found]


# {% else %}
def predicted(image, boxes):
    """The boxes of an image as ``tools/test.py --out`` pickles them."""
    x, y, width, height = (
        torch.tensor([each["bbox"] for each in boxes]).reshape(-1, 4).T
    )
    instances = dict(
        bboxes=torch.stack([x, y, x + width, y + height], dim=1),
        scores=torch.tensor([each["score"] for each in boxes]),
        labels=torch.tensor([ids.index(each["category_id"]) for each in boxes]).long(),
    )
    shape = image["height"], image["width"]
    return dict(img_id=image["id"], ori_shape=shape, pred_instances=instances)


# {% endif %}


# %%
results = [
    predicted(image, [each for each in made.boxes if each["image_id"] == image["id"]])
    for image in content["images"]
]
(checkout.root / "results.pkl").write_bytes(pickle.dumps(results))
path = f"configs/per_class_results/{config}"
tools = "python tools/analysis_tools"
# {% if mmdet2 %}
printed = checkout.shell(f"{tools}/eval_metric.py {path} results.pkl --eval bbox")
lines = [line for line in printed.splitlines() if line.startswith("| ")]
cells = [cell.strip() for line in lines[1:] for cell in line.split("|")[1:-1]]
pairs = zip(cells[::2], cells[1::2], strict=True)
scores = {name: float(score) for name, score in pairs if name != "None"}
for name, score in scores.items():
    if score >= 0:  # and not nan
        print(f"{name:14} {score:.3f}")
# {% else %}
printed = checkout.shell(f"{tools}/eval_metric.py {path} results.pkl")
table = [
    line.split("|")[1:-1] for line in printed.splitlines() if line.startswith("| ")
]
table = [[cell.strip() for cell in row] for row in table]
print(
    *("  ".join(f"{cell:12}" for cell in row) for row in table if row[1] != "nan"),
    sep="\n",
)
# {% endif %}

# %%
# The same evaluation leaves ``val.bbox.json``. From it ``confused.py`` prints a table for a spreadsheet: a row
# for each class of objects, a column for each that they were taken for. State the threshold with it; AP has
# none. A higher one leaves fewer boxes on no object, and in the end more objects missed.
truth = "data/coco/annotations/instances_val2017.json"
boxes = f"work_dirs/{config.removesuffix('.py')}/val.bbox.json"
script = "python configs/per_class_results/confused.py"
counts = confusion.read(checkout.shell(f"{script} {truth} {boxes} 0.3"))
checkout.check(
    "What was confused, missed and found, as made", counts == made.counts, True
)

# %%
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


# %%
# {% if mmdet2 %}
def stock(cfg, results, score_thr=0.3):
    """The counts of MMDetection's own tool, which draws them as percentages."""
    cfg.data.test.test_mode = True  # as the tool itself sets it
    data = checkout.dataset(cfg, "test")
    with quiet():
        return tool["calculate_confusion_matrix"](data, results, score_thr)


# {% else %}
def stock(cfg, results, score_thr=0.3):
    """The counts of MMDetection's own tool, which draws them as percentages."""
    data = checkout.dataset(cfg, "test")
    with quiet():
        return tool["calculate_confusion_matrix"](data, results, score_thr)


# {% endif %}


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
# {% if mmdet2 %}
# -------------------
# After each evaluation a table of all classes, three to a line; ``nan`` is a class without an object. The
# weights are random here, and so all else is 0:
# {% else %}
# -------------------
# After each evaluation a table with a line for each class; ``nan`` is a class, or a size, without an object.
# The weights are random here, and so all else is 0:
# {% endif %}
lines = [line for line in run.log.splitlines() if line.startswith("|")]
print(*lines[:4], f"and {len(lines) - 4} more", sep="\n")

# %%
# Pitfalls
# --------

# %%
# Half of the people are confused, and all are found: an object counts twice
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The tool counts a pair for every box that overlaps an object by half, whatever else lies there, and shows
# percentages of these pairs. An object that is found, and has a weaker box of another class besides, is half
# confused.
objects = [each for each in content["annotations"] if not each["iscrowd"]]
print(f"{len(objects)} objects, in the rows of the tool {matrix[:-1].sum():.0f}")
checkout.check("It has more", matrix[:-1].sum() > len(objects), True)
two = [
    predicted(
        image, [each for each in made.boxes[:2] if each["image_id"] == image["id"]]
    )
    for image in content["images"]
]
own = ids.index(objects[0]["category_id"])
row = stock(cfg, two)[own, :-1]
checkout.check("A right box and a surplus one: found", row[own] / row.sum(), 0.5)

# %%
# ``nan`` and ``-1%``: the class has no object
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Such a class is left out of the mean, and with it all boxes of it: what a detector takes for a class that your
# val set lacks costs no mAP. The tool writes ``-1%`` for it. Its other percentages are cut, not rounded, and
# with two classes the whole picture is as large as a stamp.
import math

# {% if mmdet3 %}
scores = {row[0]: float(row[1]) for row in table[1:]}
# {% endif %}
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
# {% if mmdet3 %}
import numpy as np

# {% endif %}
two_classes = np.array([[1, 2, 0], [0, 0, 0], [0, 0, 0]])
cells, pixels = confusion.percentages(tool["plot_confusion_matrix"], two_classes)
checkout.check("One of three, and two", cells[:2], ["33%", "66%"])
checkout.check("A class without an object", cells[3:6], ["-1%"] * 3)
checkout.check("Pixels of the whole picture, of two classes", pixels, (270, 216))

# %%
# {% if mmdet2 %}
# ``FileNotFoundError``: ``No such file or directory: 'confusion/confusion_matrix.png'``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The tool reads all boxes, counts them, and then does not make the folder of its picture. Make it first.
two_kinds = [[image[ids.index(1)], image[ids.index(17)]] for image in results]
(checkout.root / "two.pkl").write_bytes(pickle.dumps(two_kinds))
options = "--cfg-options 'data.test.classes=(person,cat)'"
command = f"{tools}/confusion_matrix.py {path} two.pkl confusion {options}"
# {% else %}
# ``IndexError: index 1 is out of bounds for axis 0 with size 1``: ``--nms-iou-thr``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The option drops boxes, but the tool goes on to read the scores of all. Leave it out; a detector's boxes
# have been through it already.
alike = [made.boxes[0], made.boxes[0]]
twice = [
    predicted(image, [each for each in alike if each["image_id"] == image["id"]])
    for image in content["images"]
]
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
# A box may lie on a region that is marked ``iscrowd`` and need not, as COCO has it. The tool counts each such
# region as an object that was missed.
import json

crowds = [each | {"iscrowd": 1} for each in content["annotations"]]
file = "data/my_dataset/annotations/crowds.json"
(checkout.root / file).write_text(json.dumps(content | {"annotations": crowds}))
crowded = checkout.config(
    config,
    test_dataloader__dataset__ann_file=f"{checkout.root}/{file}",
)
nothing = [predicted(image, []) for image in content["images"]]
missed = int(stock(crowded, nothing)[:-1, -1].sum())
checkout.check("Objects that the tool misses", missed == len(crowds), True)
counted = confusion.read(checkout.shell(f"{script} {file} {boxes} 0.3"))
missed = confusion.sums(counted)[2]
checkout.check("And confused.py", missed, 0)

# %%
# No table of classes: ``eval_metric.py`` reads ``val_evaluator``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# It reads the images of ``test_dataloader``, but evaluates as ``val_evaluator`` says: an option of
# ``test_evaluator`` does nothing, and neither does a test set's own ``ann_file``. Set both, as this config does.
option = "val_evaluator.classwise=False"
printed = checkout.shell(
    f"{tools}/eval_metric.py {path} results.pkl --cfg-options {option}"
)
checkout.check("The test set's evaluator has it", cfg.test_evaluator.classwise, True)
checkout.check("A table", "| category" in printed, False)
# {% endif %}

# %%
# Proof
# -----

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
tested.write_text(
    f"""_base_ = './{config}'
model = dict(
    backbone=dict(depth=18, init_cfg=None),
    neck=dict(in_channels=[64, 128, 256, 512]),
    test_cfg=dict(rcnn=dict(score_thr=0.0)))
"""
)
(checkout.root / boxes).unlink()
trained = run.checkpoint.relative_to(checkout.root)
command = f"python tools/test.py {tested.relative_to(checkout.root)} {trained}"
# {% if mmdet2 %}
printed = checkout.shell(f"{command} --out tested.pkl --eval bbox {{fit}}")
# {% else %}
printed = checkout.shell(f"{command} --out tested.pkl {{fit}}")
# {% endif %}
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
# Two processes average their gradients, started by the command that you would use:
printed = checkout.launch(config, iterations=2, **fit.RESNET18)
checkout.check("Two processes trained", api().FIRST_EPOCH in printed, True)
checkout.check("Parameters without a gradient", checkout.unused_parameters(cfg), [])

# %%
# What was not tried
# ~~~~~~~~~~~~~~~~~~
# - A trained detector: the boxes above were made, so that it is known what is right.
# - Masks: ``confused.py`` reads boxes alone.
# - LVIS, Open Images and VOC, which have metrics of their own.
