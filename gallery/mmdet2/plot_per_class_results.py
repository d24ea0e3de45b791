"""
How do I see AP per class, and what is confused?
================================================

Set ``classwise=True``, and the log has the AP of each class. ``confused.py`` counts what
was taken for what, each object once; the tool that MMDetection brings counts some twice.
"""

# %%
# .. index:: ! classwise, ! confusion matrix, AP per class, confusion_matrix.py, eval_metric.py, nan
#
# .. snippet:: per_class_results/faster_rcnn_r50_fpn_1x_classwise_coco.py
#
# .. train:: per_class_results/faster_rcnn_r50_fpn_1x_classwise_coco.py
#
# .. snippet:: per_class_results/confused.py

# %%
# Adapt it
# --------
# .. include:: ../../gallery/words/per_class_results_adapt2.rst
from howto import Workspace
from howto.checkout import fit
from howto.figures.show import Table

checkout = Workspace("per_class_results")
config = "faster_rcnn_r50_fpn_1x_classwise_coco.py"
cfg = checkout.config(config)
any_score = dict(model__test_cfg__rcnn__score_thr=0.0, **fit.RESNET18)
run = checkout.train(config, warmed_up=True, **any_score)
named = [key for key in run.metrics if "cup" in key]
checkout.check("Metrics that name a class", named, [])

# %%
# What is confused
# ----------------
# .. include:: ../../gallery/words/per_class_results_made.rst
import json
import pickle

import numpy as np
from howto.figures import confusion

content = checkout.annotations("val")
made = confusion.made(content)
ids = [each["id"] for each in content["categories"]]


# %%
def predicted(image, boxes):
    """The boxes of an image as ``tools/test.py --out`` pickles them."""
    found = [[] for _ in ids]
    for each in boxes:
        x, y, width, height = each["bbox"]
        row = [x, y, x + width, y + height, each["score"]]
        found[ids.index(each["category_id"])].append(row)
    return [np.array(rows, dtype="float32").reshape(-1, 5) for rows in found]


# %%
results = [
    predicted(image, [each for each in made.boxes if each["image_id"] == image["id"]])
    for image in content["images"]
]
(checkout.root / "results.pkl").write_bytes(pickle.dumps(results))
path = f"configs/per_class_results/{config}"
tools = "python tools/analysis_tools"
printed = checkout.shell(f"{tools}/eval_metric.py {path} results.pkl --eval bbox")
lines = [line for line in printed.splitlines() if line.startswith("| ")]
cells = [cell.strip() for line in lines[1:] for cell in line.split("|")[1:-1]]
pairs = zip(cells[::2], cells[1::2], strict=True)
scores = {name: float(score) for name, score in pairs if name != "None"}
for name, score in scores.items():
    if score >= 0:  # and not nan
        print(f"{name:14} {score:.3f}")

# %%
# .. include:: ../../gallery/words/per_class_results_confused.rst
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
def stock(cfg, results, score_thr=0.3):
    """The counts of MMDetection's own tool, which draws them as percentages."""
    cfg.data.test.test_mode = True  # as the tool itself sets it
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
# .. include:: ../../gallery/words/per_class_results_log2.rst
lines = [line for line in run.log.splitlines() if line.startswith("|")]
print(*lines[:4], f"and {len(lines) - 4} more", sep="\n")

# %%
# Pitfalls
# --------

# %%
# Half of the people are confused, and all are found: an object counts twice
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/per_class_results_twice.rst
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
# .. include:: ../../gallery/words/per_class_results_nan.rst
import math

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
# ``FileNotFoundError``: ``No such file or directory: 'confusion/confusion_matrix.png'``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/per_class_results_folder.rst
two_kinds = [[image[ids.index(1)], image[ids.index(17)]] for image in results]
(checkout.root / "two.pkl").write_bytes(pickle.dumps(two_kinds))
options = "--cfg-options 'data.test.classes=(person,cat)'"
command = f"{tools}/confusion_matrix.py {path} two.pkl confusion {options}"
printed = checkout.shell(command, succeeds=False)
print(printed.splitlines()[-1])
reason = "No such file or directory: 'confusion/confusion_matrix.png'"
checkout.check(f"It says: {reason}", reason in printed, True)

# %%
# Proof
# -----

# %%
# Each AP is that of pycocotools
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/per_class_results_apart.rst
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
# .. include:: ../../gallery/words/per_class_results_once.rst
for name, given, found, expected in confusion.CASES:
    result = confusion.counted(checkout, given, found)
    checkout.check(name, result == expected, True)

# %%
# The boxes of each evaluation are kept
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/per_class_results_kept.rst
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
printed = checkout.shell(f"{command} --out tested.pkl --eval bbox {{fit}}")
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
layouts = [
    (len(each), {(rows.dtype.name, rows.shape[1]) for rows in each})
    for each in (*pickled, *results)
]
alike = all(layout == layouts[0] for layout in layouts)
checkout.check("tools/test.py writes boxes as they were made above", alike, True)

# %%
# It trains on several GPUs
# ~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/custom_classes_gpus.rst
printed = checkout.launch(config, iterations=2, **fit.RESNET18)
checkout.check("Two processes trained", "Epoch [1]" in printed, True)
checkout.check("Parameters without a gradient", checkout.unused_parameters(cfg), [])

# %%
# What was not tried
# ~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/per_class_results_not_tried.rst
