"""
How do I train on my own classes?
=================================

Name your classes in each dataset, in the order of the annotation file, and their number in
each head. Inherit from the standard config; no file of MMDetection is edited.
"""

# %%
# .. index:: ! num_classes
#
# .. snippet:: faster_rcnn_r50_fpn_1x_my_dataset.py
#
# .. train:: faster_rcnn_r50_fpn_1x_my_dataset.py
#
# Your own data lies in ``data/my_dataset``, in COCO's format: images in ``train`` and ``val``, and
# ``annotations/train.json`` and ``annotations/val.json``. Nothing else changes, and no file of
# MMDetection is edited. The images of this page show kittens and mugs; in its files the kitten's
# category has the id 12 and the mug's has 3.
#
# {% if mmdet2 %}
# For MMDetection 2.9 or newer, which stops where the numbers of classes disagree. So its
# changelog says; this page ran on 2.28.
# {% else %}
# For MMDetection 3.0 or newer.
# {% endif %}

# %%
# Adapt it
# --------
# Another detector takes the same lines, but for ``num_classes``, which has to be set in each head
# that has one. SSD and YOLOX wrap the dataset that they train on: there its lines go one
# ``dataset=dict(…)`` deeper. Below are the heads of some standard configs.
from howto import Workspace
from howto.checkout.family import api
from howto.figures import classes
from howto.figures.show import Table

checkout = Workspace("custom_classes")
config = "faster_rcnn_r50_fpn_1x_my_dataset.py"
cfg = checkout.config(config)

# %%
detectors = classes.standard()
models = {name: checkout.config(path).model for name, path in detectors.items()}
places = {name: classes.numbers(model) for name, model in models.items()}
rows = [(name, ", ".join(keys)) for name, keys in places.items()]
Table(("Detector", "num_classes stands in"), rows)

# %%
# Where that is a list, as in Cascade R-CNN, a config that inherits can only replace the list as a
# whole. On the command line its members can be set one by one:
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
# A single class needs its comma: ``classes = ('mug', )``. The annotation file may list more
# categories than you name; objects of the others are left out.
single = checkout.config(config)
# {% if mmdet2 %}
single.data.train.classes = ("mug",)
# {% else %}
single.train_dataloader.dataset.metainfo.classes = ("mug",)
# {% endif %}
mugs = checkout.dataset(single)
checkout.check("Labels by category id, with mugs alone", mugs.cat2label, {3: 0})

# %%
# What reaches the head
# ---------------------
# The first category that the file lists is label 0 and the head's first output, the second is the
# next; the ids themselves may be anything. The last output is for the background.
# {% if mmdet3 %}
import json

# {% endif %}
dataset = checkout.dataset(cfg)
names, labels = api().classes(dataset), dataset.cat2label
# {% if mmdet2 %}
listed = {each["id"]: each["name"] for each in dataset.coco.dataset["categories"]}
# {% else %}
file = json.loads((checkout.root / dataset.ann_file).read_text())
listed = {each["id"]: each["name"] for each in file["categories"]}
# {% endif %}
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
from howto.figures.show import draw_boxes

loading = checkout.config(config)
# {% if mmdet2 %}
loading.data.train.pipeline = loading.data.train.pipeline[:2]
# {% else %}
loading.train_dataloader.dataset.pipeline[2:] = []
# {% endif %}
images = checkout.dataset(loading)
figure, axes = plt.subplots(1, len(images), figsize=(9, 2.4))
for number, axis in enumerate(axes):
    with checkout.inside():
        draw_boxes(axis, api().plain(images[number]), names, f"image {number}")

# %%
# That each class trains the output with its name can be seen in a gradient. A step down the
# gradient raises the outputs whose bias has a negative one. Here they are for an image with a
# kitten and for one with a mug:
smaller = dict(
    model__backbone__depth=18,
    model__backbone__init_cfg__checkpoint="torchvision://resnet18",
    model__neck__in_channels=[64, 128, 256, 512],
)
# {% if mmdet2 %}
shown = [names[images.get_ann_info(n)["labels"][0]] for n in range(len(images))]
# {% else %}
found = [images.get_data_info(n)["instances"] for n in range(len(images))]
shown = [names[objects[0]["bbox_label"]] for objects in found]
# {% endif %}


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
# Look at the table of the evaluation: it names your classes. Above it are the third and the eighth
# epoch of a small ResNet on random weights and four images; while the head learns to find boxes at
# all, the loss rises before it falls.
changes = dict(**smaller, val_interval=8)
run = checkout.train(config, epochs=8, warmed_up=True, **changes)

# %%
table = [line for line in run.log.splitlines() if line.startswith(("+--", "| "))]
print(*run.logged(api().TRAINED)[5::10], *table, sep="\n")
told = [name for name in names if f"| {name} " in "".join(table)]
checkout.check("The evaluation names", told, ["kitten", "mug"])

# %%
# Pitfalls
# --------

# %%
# ``ValueError: need at least one array to concatenate``: no name is the file's
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# None of the names in ``classes`` is one of the file's, so no object and no image is left. Names
# must be the same to the letter, capitals included. It looks the same if ``classes`` is left out
# and the file has none of COCO's 80 names.
variant = checkout.edit(config, {"('kitten', 'mug')": "('Kitten', 'Mug')"})
# {% if mmdet2 %}
failure = checkout.fails(checkout.train, variant, **smaller)
# {% else %}
failure = checkout.fails(checkout.dataset, checkout.config(variant))
# {% endif %}
reason = "ValueError: need at least one array to concatenate"
checkout.check("With capitals it says", failure.message, reason)
# {% if mmdet3 %}

# %%
# Or the key of ``metainfo`` is ``CLASSES``, as it was before MMDetection 3.0 was released.
variant = checkout.edit(config, {"dict(classes=classes)": "dict(CLASSES=classes)"})
failure = checkout.fails(checkout.dataset, checkout.config(variant))
checkout.check("With the old key it says", failure.message, reason)
# {% endif %}

# %%
# ``IndexError: list index out of range`` after the first epoch: a name is misspelled
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# One name is not in the file: here ``kiten``. Training runs, and its labels are counted without
# that name, so a mug has label 0, which is called ``kiten``. The first evaluation stops as soon
# as the detector finds something with the label 1, for which the file has no category.
variant = checkout.edit(config, {"('kitten', 'mug')": "('kiten', 'mug')"})
misspelled = checkout.dataset(checkout.config(variant))
label = misspelled.cat2label[3]
checkout.check("A mug is then called", api().classes(misspelled)[label], "kiten")
failure = checkout.fails(checkout.train, variant, **smaller)
reason = "IndexError: list index out of range"
checkout.check("The first evaluation says", failure.message, reason)

# %%
# {% if mmdet2 %}
# The same error comes where ``val`` has no ``classes``: then the dataset has COCO's 80 names.
lines = "    val=dict(\n        classes=classes,\n"
variant = checkout.edit(config, {lines: "    val=dict(\n"})
# {% else %}
# ``AssertionError: The `num_classes` (80) in Shared2FCBBoxHead``: the head has COCO's classes
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# ``NumClassCheckHook`` compares before the first epoch and before each evaluation. Most standard
# configs of MMDetection 3 do not ask for it, this page's does.
line = "model = dict(roi_head=dict(bbox_head=dict(num_classes=len(classes))))\n\n"
hook = "custom_hooks = [dict(type='NumClassCheckHook')]"
variant = checkout.edit(config, {line: ""})
# {% endif %}
failure = checkout.fails(checkout.train, variant, **smaller)
# {% if mmdet2 %}
checkout.check("Without classes in val it says", failure.message, reason)
# {% else %}
reason = "AssertionError: The `num_classes` (80) in Shared2FCBBoxHead of FasterRCNN"
checkout.check(f"It says: {reason}", reason in failure.message, True)
stock = checkout.config(detectors["Faster R-CNN"])
checkout.check("Hooks of the standard config", stock.get("custom_hooks", []), [])
# {% endif %}

# %%
# {% if mmdet2 %}
# ``AssertionError: The `num_classes` (80) in Shared2FCBBoxHead``: the head has COCO's classes
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# ``NumClassCheckHook``, which the standard configs have, compares before the first epoch.
line = "model = dict(roi_head=dict(bbox_head=dict(num_classes=len(classes))))\n\n"
variant = checkout.edit(config, {line: ""})
# {% else %}
# Without the hook an epoch goes by.
variant = checkout.edit(config, {line: "", hook: ""})
# {% endif %}
failure = checkout.fails(checkout.train, variant, **smaller)
# {% if mmdet2 %}
reason = "AssertionError: The `num_classes` (80) in Shared2FCBBoxHead of MMDataParallel"
# {% else %}
reason = "IndexError: list index out of range"
checkout.check("Then the first evaluation says", failure.message, reason)

# %%
# The hook also notices that ``val_dataloader`` has no ``metainfo``, and so COCO's 80 names.
lines = "val_dataloader = dict(\n    dataset=dict(\n        metainfo=metainfo,\n"
without = lines.replace("        metainfo=metainfo,\n", "")
variant = checkout.edit(config, {lines: without})
failure = checkout.fails(checkout.train, variant, **smaller)
reason = "does not matches the length of `classes` 80) in CocoDataset"
# {% endif %}
checkout.check(f"It says: {reason}", reason in failure.message, True)

# %%
# The last class is never found: ``num_classes`` is one too small
# {% if mmdet2 %}
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# ``custom_hooks`` replaces the standard config's list, and with it the hook that compares.
# {% else %}
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Nothing stops without ``NumClassCheckHook``.
# {% endif %}
#
# The boxes of the class at the end then have the number that stands for the background, and the
# head learns to overlook them. The loss falls as usual. Here is what the image with the mug trains:
# {% if mmdet2 %}
unchecked = "num_classes=1)))\ncustom_hooks = []"
variant = checkout.edit(config, {"num_classes=len(classes))))": unchecked})
# {% else %}
variant = checkout.edit(config, {"num_classes=len(classes)": "num_classes=1", hook: ""})
# {% endif %}
silent = checkout.train(variant, evaluate=False, **smaller)
checkout.check("It trains", silent.trains("roi_head"), [True])
gone = raised("mug", variant)
checkout.check("An image with a mug raises", gone, ["background"])

# %%
# Kittens are called mugs: ``classes`` has another order than the file
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Nothing is reported, and the AP is right, but drawings and everything else that asks the detector
# for its names call each kitten a mug. Labels follow the order of the categories in the annotation
# file, whatever the order of ``classes``. So list your classes as the file does:
variant = checkout.edit(config, {"('kitten', 'mug')": "('mug', 'kitten')"})
swapped = checkout.dataset(checkout.config(variant))
label = swapped.cat2label[12]
checkout.check("The label of a kitten is still", label, 0)
checkout.check("and its name is", api().classes(swapped)[label], "mug")

# %%
# {% if mmdet2 %}
# ``FileNotFoundError: CocoDataset: [Errno 2] No such file or directory: 'mug'``: no comma
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# ``('mug')`` is a string, and a string is the path of a file with a name in each line.
# {% else %}
# ``AssertionError: `classes` in CocoDatasetshould be a tuple of str``: no comma
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# ``('mug')`` is a string. Without ``NumClassCheckHook`` nothing would say so.
# {% endif %}
variant = checkout.edit(config, {"('kitten', 'mug')": "('mug')"})
# {% if mmdet2 %}
failure = checkout.fails(checkout.dataset, checkout.config(variant))
reason = "FileNotFoundError: CocoDataset: [Errno 2] No such file or directory: 'mug'"
checkout.check("It says", failure.message, reason)
# {% else %}
failure = checkout.fails(checkout.train, variant, **smaller)
reason = "AssertionError: `classes` in CocoDatasetshould be a tuple of str"
checkout.check(f"It says: {reason}", reason in failure.message, True)
# {% endif %}

# %%
# It hardly learns: the training ends within its warm-up
# {% if mmdet2 %}
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The rate rises for 500 iterations, however small your data: at 16 images a step twelve epochs of 660
# images are not as many. Shorten it, with ``lr_config = dict(warmup_iters=100)``. And a loss is
# logged every 50 iterations of an epoch, so of fewer there is no line: ``log_config = dict(interval=10)``.
# {% else %}
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The rate rises for 500 iterations, however small your data: at 16 images a step twelve epochs of 660
# images are not as many. Shorten it, with ``param_scheduler = _base_.param_scheduler`` and
# ``param_scheduler[0].update(end=100)``.
# {% endif %}

# %%
# Proof
# -----

# %%
# Which images are trained on
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Only images with one of the objects are trained on; MMDetection's stock config leaves out the others.
# {% if mmdet2 %}
checkout.check("Images in the file", len(dataset.coco.imgs), 10)
# {% else %}
checkout.check("Images in the file", len(file["images"]), 10)
# {% endif %}
checkout.check("Images trained on", len(dataset), 4)
evaluated = checkout.dataset(cfg, "val")
checkout.check("Labels in the evaluation", evaluated.cat2label, labels)
checkout.check("and their names", api().classes(evaluated), names)
# {% if mmdet2 %}
differ = [key for key in cfg.data.val if cfg.data.test[key] != cfg.data.val[key]]
checkout.check("Keys in which the test differs from it", differ, [])
# {% else %}
differ = [cfg.test_dataloader != cfg.val_dataloader]
differ.append(cfg.test_evaluator != cfg.val_evaluator)
checkout.check("The test differs: in its data, its evaluator", differ, [False] * 2)
# {% endif %}

# %%
# It trains, and the loss falls
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# With a smaller ResNet and without the 500 iterations of warm-up, the run under *Your log should
# say* is at the rate to which the command above leads on one GPU.
import statistics

# {% if mmdet2 %}
checkout.check("Learning rate of the config, for 16 images", cfg.optimizer.lr, 0.02)
# {% else %}
checkout.check(
    "Learning rate of the config, for 16 images", cfg.optim_wrapper.optimizer.lr, 0.02
)
# {% endif %}
checkout.check("Images a step on one GPU", run.images_per_step, 2)
checkout.check("Learning rates of the run", set(run.rates), {0.0025})
means = [statistics.mean(epoch.losses) for epoch in run.epochs.values()]
ratio = means[-1] / max(means)
checkout.check("The loss falls: last epoch over highest", ratio, at_most=0.7)

# %%
# It trains on several GPUs
# ~~~~~~~~~~~~~~~~~~~~~~~~~
# Two processes average their gradients, started by the command that you would use:
printed = checkout.launch(config, **smaller)
checkout.check("Two processes trained", api().FIRST_EPOCH in printed, True)

# %%
# What was not tried
# ~~~~~~~~~~~~~~~~~~
# - Accuracy: the weights are random where the real ones were out of reach, and four images tell
#   nothing.
# - Twelve epochs, and more than two GPUs.
# - Data sets in another format, such as VOC's or YOLO's. Convert them to COCO's.
