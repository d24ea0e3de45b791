"""
How do I train on my own classes?
=================================

Name your classes in each dataset, in the order of the annotation file, and their number in
each head. Inherit from the standard config; no file of MMDetection is edited.
"""

# %%
# .. index:: ! num_classes
#
# .. snippet:: custom_classes/faster-rcnn_r50_fpn_1x_my_dataset.py
#
# .. train:: custom_classes/faster-rcnn_r50_fpn_1x_my_dataset.py
#
# .. include:: ../../gallery/words/custom_classes_layout.rst
#
# For MMDetection 3.0 or newer.

# %%
# Adapt it
# --------
# .. include:: ../../gallery/words/custom_classes_heads.rst
from howto import Workspace
from howto.figures import classes
from howto.figures.show import Table

checkout = Workspace("custom_classes")
config = "faster-rcnn_r50_fpn_1x_my_dataset.py"
cfg = checkout.config(config)

# %%
detectors = classes.standard()
models = {name: checkout.config(path).model for name, path in detectors.items()}
places = {name: classes.numbers(model) for name, model in models.items()}
rows = [(name, ", ".join(keys)) for name, keys in places.items()]
Table(("Detector", "num_classes stands in"), rows)

# %%
# .. include:: ../../gallery/words/custom_classes_lists.rst
#
# .. code-block:: console
#
#    $ python tools/train.py CONFIG --cfg-options model.roi_head.bbox_head.0.num_classes=2 model.roi_head.bbox_head.1.num_classes=2 model.roi_head.bbox_head.2.num_classes=2
cascade = checkout.config(detectors["Cascade R-CNN"])
three = [f"model.roi_head.bbox_head.{n}" for n in range(3)]
checkout.check("The heads of Cascade R-CNN", list(places["Cascade R-CNN"]), three)
cascade.merge_from_dict({f"{key}.num_classes": 2 for key in three})
now = classes.numbers(cascade.model)
checkout.check("Then their num_classes are", list(now.values()), [2, 2, 2])

# %%
# .. include:: ../../gallery/words/custom_classes_one.rst
single = checkout.config(config)
single.train_dataloader.dataset.metainfo.classes = ("mug",)
mugs = checkout.dataset(single)
checkout.check("Labels by category id, with mugs alone", mugs.cat2label, {3: 0})

# %%
# What reaches the head
# ---------------------
# .. include:: ../../gallery/words/custom_classes_reach.rst
import json

dataset = checkout.dataset(cfg)
names, labels = dataset.metainfo["classes"], dataset.cat2label
file = json.loads((checkout.root / dataset.ann_file).read_text())
listed = {each["id"]: each["name"] for each in file["categories"]}
rows = [
    (number, name, labels[number], names[labels[number]])
    for number, name in listed.items()
]
Table(("Category id in the file", "its name", "Label", "Name of the output"), rows)

# %%
checkout.check("Categories of the file", listed, {12: "kitten", 3: "mug"})
checkout.check("Labels by category id", labels, {12: 0, 3: 1})
outputs = {name: names[labels[number]] for number, name in listed.items()}
checkout.check(
    "Outputs by the name of the category", outputs, {"kitten": "kitten", "mug": "mug"}
)

# %%
import matplotlib.pyplot as plt
from howto.checkout.family import api
from howto.figures.show import draw_boxes

loading = checkout.config(config)
loading.train_dataloader.dataset.pipeline[2:] = []
images = checkout.dataset(loading)
figure, axes = plt.subplots(1, len(images), figsize=(9, 2.4))
for number, axis in enumerate(axes):
    with checkout.inside():
        draw_boxes(axis, api().plain(images[number]), names, f"image {number}")

# %%
# .. include:: ../../gallery/words/custom_classes_pull.rst
smaller = dict(
    model__backbone__depth=18,
    model__backbone__init_cfg__checkpoint="torchvision://resnet18",
    model__neck__in_channels=[64, 128, 256, 512],
)
found = [images.get_data_info(n)["instances"] for n in range(len(images))]
shown = [names[objects[0]["bbox_label"]] for objects in found]


def raised(name, config=config):
    cfg, number = checkout.config(config, **smaller), shown.index(name)
    return classes.raised(checkout, cfg, number, names)


# %%
trained = {name: raised(name) for name in names}
Table(
    ("An image with a", "raises"), [(name, *found) for name, found in trained.items()]
)

# %%
expected = {"kitten": ["kitten"], "mug": ["mug"]}
checkout.check("Outputs that an image with one object raises", trained, expected)

# %%
# Your log should say
# -------------------
# .. include:: ../../gallery/words/custom_classes_log.rst
changes = dict(**smaller, train_cfg__val_interval=8)
run = checkout.train(config, epochs=8, warmed_up=True, **changes)

# %%
table = [line for line in run.log.splitlines() if line.startswith(("+--", "| "))]
print(*run.logged("Epoch(train)")[5::10], *table, sep="\n")
told = [name for name in names if f"| {name} " in "".join(table)]
checkout.check("The evaluation names", told, ["kitten", "mug"])

# %%
# Pitfalls
# --------

# %%
# ``ValueError: need at least one array to concatenate``: no name is the file's
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/custom_classes_concatenate.rst
variant = checkout.edit(config, {"('kitten', 'mug')": "('Kitten', 'Mug')"})
failure = checkout.fails(checkout.dataset, checkout.config(variant))
reason = "ValueError: need at least one array to concatenate"
checkout.check("With capitals it says", failure.message, reason)

# %%
# Or the key of ``metainfo`` is ``CLASSES``, as it was before MMDetection 3.0 was released.
variant = checkout.edit(config, {"dict(classes=classes)": "dict(CLASSES=classes)"})
failure = checkout.fails(checkout.dataset, checkout.config(variant))
checkout.check("With the old key it says", failure.message, reason)

# %%
# ``IndexError: list index out of range`` after the first epoch: a name is misspelled
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/custom_classes_index.rst
variant = checkout.edit(config, {"('kitten', 'mug')": "('kiten', 'mug')"})
misspelled = checkout.dataset(checkout.config(variant))
label = misspelled.cat2label[3]
checkout.check("A mug is then called", misspelled.metainfo["classes"][label], "kiten")
failure = checkout.fails(checkout.train, variant, **smaller)
reason = "IndexError: list index out of range"
checkout.check("The first evaluation says", failure.message, reason)

# %%
# ``AssertionError: The `num_classes` (80) in Shared2FCBBoxHead``: the head has COCO's classes
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# ``NumClassCheckHook`` compares before the first epoch and before each evaluation. Most standard
# configs of MMDetection 3 do not ask for it, this page's does.
line = "model = dict(roi_head=dict(bbox_head=dict(num_classes=len(classes))))\n\n"
hook = "custom_hooks = [dict(type='NumClassCheckHook')]"
variant = checkout.edit(config, {line: ""})
failure = checkout.fails(checkout.train, variant, **smaller)
reason = "AssertionError: The `num_classes` (80) in Shared2FCBBoxHead of FasterRCNN"
checkout.check(f"It says: {reason}", reason in failure.message, True)
stock = checkout.config(detectors["Faster R-CNN"])
checkout.check("Hooks of the standard config", stock.get("custom_hooks", []), [])

# %%
# Without the hook an epoch goes by.
variant = checkout.edit(config, {line: "", hook: ""})
failure = checkout.fails(checkout.train, variant, **smaller)
reason = "IndexError: list index out of range"
checkout.check("Then the first evaluation says", failure.message, reason)

# %%
# The hook also notices that ``val_dataloader`` has no ``metainfo``, and so COCO's 80 names.
lines = "val_dataloader = dict(\n    dataset=dict(\n        metainfo=metainfo,\n"
without = lines.replace("        metainfo=metainfo,\n", "")
variant = checkout.edit(config, {lines: without})
failure = checkout.fails(checkout.train, variant, **smaller)
reason = "does not matches the length of `classes` 80) in CocoDataset"
checkout.check(f"It says: {reason}", reason in failure.message, True)

# %%
# The last class is never found: ``num_classes`` is one too small
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Nothing stops without ``NumClassCheckHook``.
#
# .. include:: ../../gallery/words/custom_classes_gone.rst
variant = checkout.edit(config, {"num_classes=len(classes)": "num_classes=1", hook: ""})
silent = checkout.train(variant, evaluate=False, **smaller)
checkout.check("It trains", silent.trains("roi_head"), [True])
gone = raised("mug", variant)
checkout.check("An image with a mug raises", gone, ["background"])

# %%
# Kittens are called mugs: ``classes`` has another order than the file
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/custom_classes_swapped.rst
variant = checkout.edit(config, {"('kitten', 'mug')": "('mug', 'kitten')"})
swapped = checkout.dataset(checkout.config(variant))
label = swapped.cat2label[12]
checkout.check("The label of a kitten is still", label, 0)
checkout.check("and its name is", swapped.metainfo["classes"][label], "mug")

# %%
# ``AssertionError: `classes` in CocoDatasetshould be a tuple of str``: no comma
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# ``('mug')`` is a string. Without ``NumClassCheckHook`` nothing would say so.
variant = checkout.edit(config, {"('kitten', 'mug')": "('mug')"})
failure = checkout.fails(checkout.train, variant, **smaller)
reason = "AssertionError: `classes` in CocoDatasetshould be a tuple of str"
checkout.check(f"It says: {reason}", reason in failure.message, True)

# %%
# It hardly learns: the training ends within its warm-up
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/custom_classes_warm_up3.rst

# %%
# Proof
# -----

# %%
# Which images are trained on
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/custom_classes_kept.rst
checkout.check("Images in the file", len(file["images"]), 10)
checkout.check("Images trained on", len(dataset), 4)
evaluated = checkout.dataset(cfg, "val")
checkout.check("Labels in the evaluation", evaluated.cat2label, labels)
checkout.check("and their names", evaluated.metainfo["classes"], names)
differ = [cfg.test_dataloader != cfg.val_dataloader]
differ.append(cfg.test_evaluator != cfg.val_evaluator)
checkout.check("The test differs: in its data, its evaluator", differ, [False] * 2)

# %%
# It trains, and the loss falls
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/custom_classes_rate.rst
import statistics

checkout.check(
    "Learning rate of the config, for 16 images", cfg.optim_wrapper.optimizer.lr, 0.02
)
checkout.check("Images a step on one GPU", run.images_per_step, 2)
checkout.check("Learning rates of the run", set(run.rates), {0.0025})
means = [statistics.mean(epoch.losses) for epoch in run.epochs.values()]
ratio = means[-1] / max(means)
checkout.check("The loss falls: last epoch over highest", ratio, at_most=0.7)

# %%
# It trains on several GPUs
# ~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/custom_classes_gpus.rst
printed = checkout.launch(config, **smaller)
checkout.check("Two processes trained", "Epoch(train) [1]" in printed, True)

# %%
# What was not tried
# ~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/custom_classes_not_tried.rst
