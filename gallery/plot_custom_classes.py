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
# Your own data is in COCO's format:
#
# .. code-block:: text
#
#    data/my_dataset/
#        annotations/train.json
#        annotations/val.json
#        train/    the images that train.json names
#        val/      the images that val.json names
#
# {% if mmdet2 %}
# MMDetection compares ``num_classes`` with your names since 2.9; this page ran on 2.28.
#
# {% endif %}
# Before you train, count what your config trains on. MMDetection leaves out, without a word, the
# objects that it cannot use.
#
# .. snippet:: count_objects.py
#
# .. code-block:: console
#
#    $ python configs/custom_classes/count_objects.py configs/custom_classes/CONFIG
import json

from howto import Workspace
from howto.checkout.family import api, load
from howto.figures import classes
from howto.figures.show import Table

checkout = Workspace("custom_classes")
checkout.ask_python()
cfg = checkout.config()
dataset = checkout.dataset(cfg)
folder = "configs/custom_classes"
path = checkout.root / "data/my_dataset/annotations/train.json"
content = json.loads(path.read_text("utf-8"))


# %%
def count(config=checkout.own, succeeds=True):
    """The lines that the script prints of a config: on its dataset, then on what is wrong."""
    command = f"python {folder}/count_objects.py {folder}/{config}"
    lines = checkout.shell(command, succeeds=succeeds).splitlines()
    start = next(n for n, line in enumerate(lines) if line.endswith(" images"))
    return [line.strip() for line in lines[start:]]


print(*(counted := count()), sep="\n")
expected = ["label 0, kitten: 2 objects", "label 1, mug: 2 objects"]
checkout.check("Objects of each class", counted[1:3], expected)

# %%
# This is the file for these images of kittens and mugs, with its first image and object. A box is its left, its
# top, its width and its height, in pixels.
for key in ("images", "categories", "annotations"):
    first = content[key] if key == "categories" else content[key][:1]
    print(f'"{key}":', *map(json.dumps, first), sep="\n    ")

# %%
# The first category that the file lists is label 0 and the head's first output, the second is the
# next; the ids themselves may be anything. The last output is for the background.
names = api().classes(dataset)
loading = checkout.config()
del api().split(loading, "train").pipeline[2:]
images = checkout.dataset(loading)

# %%
# Adapt it
# --------

# %%
# Another detector
# ~~~~~~~~~~~~~~~~
# Keep these lines, and set ``num_classes`` in each head that has one:
detectors = classes.standard()
models = {name: checkout.config(path).model for name, path in detectors.items()}
places = {name: classes.numbers(model) for name, model in models.items()}
Table(
    ("Detector", "num_classes is in"),
    [(name, ", ".join(places[name])) for name in places],
)

# %%
# SSD and YOLOX: one ``dataset=dict(…)`` deeper
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# They wrap the dataset that they train on, so its lines belong to what is wrapped. This is YOLOX:
base = f"../{detectors['Faster R-CNN']}"
line = "model = dict(roi_head=dict(bbox_head=dict(num_classes=len(classes))))"
one = {line: line.replace("roi_head=dict(", "").replace("))))", ")))")}
# {% if mmdet2 %}
deeper = {"train=dict(\n": "train=dict(dataset=dict(\n", "'train/')": "'train/'))"}
# {% else %}
start, end = "train_dataloader = dict(\n    dataset=dict(", "'train/'))"
deeper = {start: f"{start}dataset=dict(", end: f"{end})"}
# {% endif %}
changes = {base: f"../{detectors['YOLOX']}", **one, **deeper}
yolox = checkout.config(checkout.edit(checkout.own, changes, adapts=True))
wrapped = checkout.dataset(yolox).dataset
checkout.check("YOLOX's labels", wrapped.cat2label, {12: 0, 3: 1})
checkout.check("Its num_classes", list(classes.numbers(yolox.model).values()), [2])
# {% if mmdet3 %}

# %%
# Hooks: YOLOX and RTMDet need their own
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Keep ``*_base_.get(…)``. Without it YOLOX and RTMDet lose their ``EMAHook`` and the hook that turns their
# strong augmentation off, and training does not tell you.
changes = {base: f"../{detectors['RTMDet']}", **one}
rtmdet = checkout.config(checkout.edit(checkout.own, changes, adapts=True))
for name, adapted in {"YOLOX": yolox, "RTMDet": rtmdet}.items():
    hooks = [hook.type for hook in checkout.config(detectors[name]).custom_hooks]
    checkout.check(f"{name} has EMAHook", "EMAHook" in hooks, True)
    kept = [hook.type for hook in adapted.custom_hooks]
    checkout.check(f"Hooks of {name}", kept, [*hooks, "NumClassCheckHook"])
# {% endif %}

# %%
# Cascade R-CNN: ``bbox_head`` is a list
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# {% if mmdet2 %}
# Copy the whole list into your config, instead of the line ``model = …``. Or leave that line out, and give
# each member to ``tools/train.py``, and to ``tools/test.py`` later:
#
# .. code-block:: console
#
#    $ python tools/train.py CONFIG --cfg-options model.roi_head.bbox_head.0.num_classes=2 model.roi_head.bbox_head.1.num_classes=2 model.roi_head.bbox_head.2.num_classes=2
#
# {% else %}
# Change its members one by one, as below.
# {% endif %}
# With the line ``model = …`` as it is, the config ends in ``TypeError: bbox_head=… in child config cannot
# inherit from base``.
changes = {base: f"../{detectors['Cascade R-CNN']}"}
stopping = checkout.edit(checkout.own, changes, adapts=True)
failure = checkout.fails(load, checkout.root / folder / stopping)
told = "in child config cannot inherit from base" in failure.message
checkout.check("The line ends in this error", told, True)
# {% if mmdet2 %}
changes[line], each = "", "model.roi_head.bbox_head.{}.num_classes"
options = {each.format(n): 2 for n in range(3)}
# {% else %}
loop = "model = _base_.model\nfor head in model.roi_head.bbox_head:\n"
changes[line], options = loop + "    head.num_classes = len(classes)", {}
# {% endif %}
cascade = checkout.config(checkout.edit(checkout.own, changes, adapts=True))
cascade.merge_from_dict(options)
now = classes.numbers(cascade.model)
checkout.check("Then their num_classes are", list(now.values()), [2, 2, 2])

# %%
# A single class
# ~~~~~~~~~~~~~~
# It needs its comma. The annotation file may list more categories than you name; objects of the others
# are left out.
single = checkout.edit(checkout.own, {"('kitten', 'mug')": "('mug', )"}, adapts=True)
mugs = checkout.dataset(checkout.config(single))
checkout.check("Labels by category id, with mugs alone", mugs.cat2label, {3: 0})

# %%
# Your log should say
# -------------------
# Look at the table of the evaluation: it names your classes. Above it are the third and the eighth
# epoch of a small ResNet on random weights and four images; while the head learns to find boxes at
# all, the loss rises before it falls.
smaller = dict(
    model__backbone__depth=18,
    model__backbone__init_cfg__checkpoint="torchvision://resnet18",
    model__neck__in_channels=[64, 128, 256, 512],
)
run = checkout.train(epochs=8, warmed_up=True, val_interval=8, **smaller)

# %%
table = [line for line in run.log.splitlines() if line.startswith(("+--", "| "))]
print(*run.logged(api().TRAINED)[5::10], *table, sep="\n")
told = [name for name in names if f"| {name} " in "".join(table)]
checkout.check("The evaluation names", told, ["kitten", "mug"])

# %%
# Pitfalls
# --------

# %%
# ``ValueError: need at least one array to concatenate``: no image is left
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Spell the names in ``classes`` as the file does, capitals included. An image without an object of your
# classes is left out. It is also left out if ``classes`` is missing and the file has none of COCO's
# names.
variant = checkout.edit(checkout.own, {"('kitten', 'mug')": "('Kitten', 'Mug')"})
failure = checkout.fails(checkout.train, variant, **smaller)
reason = "ValueError: need at least one array to concatenate"
checkout.check("With capitals it says", failure.message, reason)
# {% if mmdet3 %}

# %%
# Or the key of ``metainfo`` is ``CLASSES``, as it was before MMDetection 3.0 was released.
variant = checkout.edit(
    checkout.own, {"dict(classes=classes)": "dict(CLASSES=classes)"}
)
failure = checkout.fails(checkout.dataset, checkout.config(variant))
checkout.check("With the old key it says", failure.message, reason)
# {% else %}

# %%
# On several GPUs that error does not come. No iteration runs, ``epoch_1.pth`` is saved untrained, and the
# evaluation ends in ``IndexError: list index out of range``.
from mmdet.datasets.samplers import DistributedGroupSampler

empty = checkout.dataset(checkout.config(variant))
iterations = len(DistributedGroupSampler(empty, 2, num_replicas=2, rank=0))
checkout.check("Images and iterations on two GPUs", [len(empty), iterations], [0, 0])
# {% endif %}


# %%
# If the names are right, look into the file. Images need at least 32 pixels on each side, ``category_id``
# must be the ``id`` of a category and ``image_id`` that of an image: ``"3"`` is not ``3``. MMDetection
# leaves out whatever differs.
def copy(name, config=checkout.own, **changes):
    """The dataset of a config, of a copy of the annotation file with some keys changed."""
    path.with_name(f"{name}.json").write_text(json.dumps(content | changes), "utf-8")
    data = api().split(checkout.config(config), "train")
    return dict(data, ann_file=data.ann_file.replace("train", name))


def boxes(**keys):
    """The file's annotations, each with `keys`."""
    return [each | keys for each in content["annotations"]]


# %%
def counts(**datasets):
    """The lines that the script prints of each of these datasets, joined in a config."""
    joined = dict(type="ConcatDataset", datasets=[*datasets.values()], _delete_=True)
    checkout.config(train=joined).dump(str(checkout.root / folder / "joined.py"))
    lines = count("joined.py", succeeds=False)
    starts = [n for n, line in enumerate(lines) if line.endswith(" images")]
    ends = [*starts[1:], None]
    return {name: lines[a:b] for name, a, b in zip(datasets, starts, ends)}


# %%
narrow = [each | {"width": 31} for each in content["images"]]
left = {
    "images 31 pixels wide": copy("narrow", images=narrow),
    "category_id is a string": copy("category", annotations=boxes(category_id="3")),
    "image_id is a string": copy("image", annotations=boxes(image_id="1")),
}
left = {name: lines[0] for name, lines in counts(**left).items()}
none = [line.endswith(": 0 images") for line in left.values()]
checkout.check("The script counts 0 images", none, [True] * 3)
Table(("In the file", "The script says"), list(left.items()))

# %%
# ``loss_bbox: 0.0000``: no object is left
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Run ``count_objects.py`` and correct the file that it names. Training takes every image for background, and
# does not tell you, if
#
# - ``iscrowd`` is 1, as CVAT writes for masks: set it to 0;
# - ``area`` is 0: set it to the box's width times its height, in pixels;
# - boxes are fractions of the image: multiply them by its width and height;
# - a category is in the file twice, as Roboflow and VIA may write it: :doc:`order_categories.py
#   <plot_several_datasets>` leaves out the row that no object has.
crowds = copy("crowds", annotations=boxes(iscrowd=1))
twice = [{"id": 0, "name": "mug"}, *content["categories"]]
left = {
    "iscrowd is 1": crowds,
    "area is 0": copy("area", annotations=boxes(area=0)),
    "boxes are fractions": copy("part", annotations=boxes(bbox=[0.2, 0.2, 0.4, 0.4])),
    "mug is in it twice": copy("twice", single, categories=twice),
}
left = counts(**left)
last = left["mug is in it twice"]
last[3:] = last[-1:]
rows = [(name, "; ".join(lines[1:4])) for name, lines in left.items()]
Table(("In the file", "The script says"), rows)

# %%
trained = [line for lines in left.values() for line in lines if line[:5] == "label"]
objects = {line.rpartition(": ")[2] for line in trained}
checkout.check("Objects of a class, in each", objects, {"0 objects"})
keys = {"evaluate": False, "train__ann_file": crowds["ann_file"]}
silent = checkout.train(**keys, **smaller)
logged = ["loss_bbox: 0.0000" in line for line in silent.logged(api().TRAINED)]
checkout.check("With iscrowd it logs loss_bbox: 0.0000", logged, [True, True])

# %%
# ``KeyError: 'area'``: an annotation has none
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Write it into the file: the box's width times its height, in pixels. MMDetection asks each object for it.
bare = [dict(each) for each in content["annotations"]]
for each in bare:
    del each["area"]
name = copy("bare", annotations=bare)["ann_file"]
lacking = checkout.config(train__ann_file=name)
failure = checkout.fails(lambda: checkout.dataset(lacking)[0])
checkout.check("It says", failure.message, "KeyError: 'area'")

# %%
# One object is never found: annotation ids start from 0
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Number the annotations from 1 in the file that ``val`` and ``test`` evaluate with. pycocotools takes the
# id of an object for a yes or no, so the one with the id 0 counts as missed. Roboflow, Label Studio, VIA
# and makesense number from 0. Here every object is found, at the right place:
#
# .. snippet:: number_annotations.py
from howto.figures.confusion import average_precision


def precision(name):
    """The AP of what a file annotates, if the detections are the same boxes."""
    content = json.loads(path.with_name(name).read_text("utf-8"))
    found = [each | {"score": 1.0} for each in content["annotations"]]
    return round(average_precision(content, found), 3)


# %%
numbered = [each | {"id": n} for n, each in enumerate(content["annotations"])]
zero = content | {"annotations": numbered}
path.with_name("zero.json").write_text(json.dumps(zero), "utf-8")
files = [f"data/my_dataset/annotations/{name}.json" for name in ("zero", "numbered")]
checkout.shell(f"python {folder}/number_annotations.py {' '.join(files)}")
checkout.check(
    "AP of what the file annotates, ids from 0", precision("zero.json"), 0.626
)
checkout.check("AP, ids from 1", precision("numbered.json"), 1.0)

# %%
# ``IndexError: list index out of range`` after the first epoch: a name is misspelled
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Correct the name that is not in the file, here ``kiten``. ``count_objects.py`` finds no object of that name.
# Labels are counted without it, so a mug has label 0, which is called ``kiten``. Training runs. The first
# evaluation stops as soon as the detector finds label 1, for which the file has no category.
variant = checkout.edit(checkout.own, {"('kitten', 'mug')": "('kiten', 'mug')"})
misspelled = checkout.dataset(checkout.config(variant))
label = misspelled.cat2label[3]
checkout.check("A mug is then called", api().classes(misspelled)[label], "kiten")
failure = checkout.fails(checkout.train, variant, **smaller)
misspelling = "IndexError: list index out of range"
checkout.check("The first evaluation says", failure.message, misspelling)

# %%
# Where ``val`` has no names, it has COCO's 80.
# {% if mmdet2 %}
# The same error tells you:
lines, told = "    val=dict(\n        classes=classes,\n", misspelling
# {% else %}
# ``NumClassCheckHook`` tells you:
lines = "val_dataloader = dict(\n    dataset=dict(\n        metainfo=metainfo,\n"
told = "does not matches the length of `classes` 80) in CocoDataset"
# {% endif %}
without = "".join(lines.splitlines(keepends=True)[:-1])
variant = checkout.edit(checkout.own, {lines: without})
failure = checkout.fails(checkout.train, variant, **smaller)
checkout.check(f"Without names in val it says: {told}", told in failure.message, True)

# %%
# ``AssertionError: The `num_classes` (80) in Shared2FCBBoxHead``: the head has COCO's classes
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Set ``num_classes`` in the head. ``NumClassCheckHook`` compares it with your names before training.
variant = checkout.edit(checkout.own, {f"{line}\n\n": ""})
failure = checkout.fails(checkout.train, variant, **smaller)
reason = "AssertionError: The `num_classes` (80) in Shared2FCBBoxHead of"
checkout.check(f"It says: {reason}", reason in failure.message, True)
# {% if mmdet3 %}

# %%
# Most standard configs of MMDetection 3 do not have that hook, so this page's config adds it. Without it an
# epoch goes by, and ``IndexError: list index out of range`` ends the first evaluation:
stock = checkout.config(detectors["Faster R-CNN"])
checkout.check("Hooks of the standard config", stock.get("custom_hooks", []), [])
failure = checkout.fails(checkout.train, variant, custom_hooks=[], **smaller)
checkout.check("Without the hook it says", failure.message, misspelling)
# {% endif %}

# %%
# The last class is never found: ``num_classes`` is one too small
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Keep ``NumClassCheckHook``, which stops such a training: a list ``custom_hooks`` replaces that of the
# config it inherits.
# {% if mmdet2 %}
# YOLOX has a list without the hook: compare there yourself.
# {% endif %}
# Boxes of the class at the end have the number that stands for the background, and the head learns to
# overlook them. The loss falls as usual. Here is which outputs the image with the mug raises, without the hook:
# {% if mmdet2 %}
hooks = [hook.type for hook in yolox.custom_hooks]
checkout.check("YOLOX has the hook", "NumClassCheckHook" in hooks, False)
# {% endif %}
shown = [names[objects[0][0]] for objects in api().annotated(images).values()]


def raised(name, config=checkout.own):
    """The outputs that a step down the gradient of an image with this object raises."""
    return classes.raised(checkout, config, shown.index(name), names, **smaller)


# %%
variant = checkout.edit(checkout.own, {"num_classes=len(classes)": "num_classes=1"})
silent = checkout.train(variant, evaluate=False, custom_hooks=[], **smaller)
checkout.check("It trains", silent.trains("roi_head"), [True])
checkout.check("An image with a mug raises", raised("mug", variant), ["background"])

# %%
# Kittens are called mugs: ``classes`` has another order than the file
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# List your classes as the file does. Labels follow the order of its categories, whatever the order of
# ``classes``. There is no error, and the AP is right, but drawings and everything else that asks the
# detector for its names call each kitten a mug.
variant = checkout.edit(checkout.own, {"('kitten', 'mug')": "('mug', 'kitten')"})
swapped = checkout.dataset(checkout.config(variant))
label = swapped.cat2label[12]
checkout.check("The label of a kitten is still", label, 0)
checkout.check("and its name is", api().classes(swapped)[label], "mug")

# %%
# {% if mmdet2 %}
# ``FileNotFoundError: CocoDataset: [Errno 2] No such file or directory: 'mug'``: no comma
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Write ``('mug', )``. ``('mug')`` is a string, and a string is the path of a file with a name in each line.
reason = "FileNotFoundError: CocoDataset: [Errno 2] No such file or directory: 'mug'"
# {% else %}
# ``AssertionError: `classes` in CocoDatasetshould be a tuple of str``: no comma
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Write ``('mug', )``. ``('mug')`` is a string. Without ``NumClassCheckHook`` training runs, and there is only
# a warning: ``mug is not a meta file, simply parsed as meta information``.
reason = "AssertionError: `classes` in CocoDatasetshould be a tuple of str"
# {% endif %}
variant = checkout.edit(checkout.own, {"('kitten', 'mug')": "('mug')"})
failure = checkout.fails(checkout.train, variant, **smaller)
checkout.check(f"It says: {reason}", reason in failure.message, True)
# {% if mmdet3 %}
command = f"python {folder}/count_objects.py {folder}/{variant}"
warned = checkout.shell(command, succeeds=False)
reason = "mug is not a meta file, simply parsed as meta information"
checkout.check("MMEngine warns", reason in warned, True)
# {% endif %}

# %%
# It hardly learns: the training ends within its warm-up
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Shorten the warm-up, :doc:`as for rare classes <plot_class_imbalance>`. It takes 500 iterations, however small
# your data, and 600 images × 12 epochs at 16 images a step are 456.
# {% if mmdet2 %}
# The log, too, counts iterations: an epoch of fewer than 50 logs no loss.
# {% endif %}

# %%
# Evidence
# --------

# %%
# Each class trains the output with its name
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# A step down the gradient raises the outputs whose bias has a negative one. Here they are for an image
# with a kitten and for one with a mug:
labels = dataset.cat2label
listed = {each["id"]: each["name"] for each in content["categories"]}
checkout.check("Categories of the file", listed, {12: "kitten", 3: "mug"})
checkout.check("Labels by category id", labels, {12: 0, 3: 1})
checkout.check("Names by label", names, ("kitten", "mug"))
trained = {name: raised(name) for name in names}
expected = {"kitten": ["kitten"], "mug": ["mug"]}
checkout.check("Outputs that an image with one object raises", trained, expected)

# %%
# Which images are trained on
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Only images with one of the objects are trained on; MMDetection's stock config leaves out the others.
checkout.check("Images in the file", len(content["images"]), 10)
checkout.check("Images trained on", len(dataset), 4)
evaluated = checkout.dataset(cfg, "val")
checkout.check("Labels in the evaluation", evaluated.cat2label, labels)
checkout.check("and their names", api().classes(evaluated), names)
same = api().split(cfg, "test") == api().split(cfg, "val")
same &= cfg.get("test_evaluator") == cfg.get("val_evaluator")
checkout.check("The test is as the evaluation", same, True)

# %%
# It trains, and the loss falls
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# With a smaller ResNet and without the 500 iterations of warm-up, the run under *Your log should
# say* is at the rate to which the command above leads on one GPU.
import statistics

checkout.check("Learning rate of the config, for 16 images", api().rate(cfg), 0.02)
checkout.check("Images a step on one GPU", run.images_per_step, 2)
checkout.check("Learning rates of the run", set(run.rates), {0.0025})
means = [statistics.mean(epoch.losses) for epoch in run.epochs.values()]
ratio = means[-1] / max(means)
checkout.check("The loss falls: last epoch over highest", ratio, at_most=0.7)

# %%
# It trains on several GPUs
# ~~~~~~~~~~~~~~~~~~~~~~~~~
# Two processes average their gradients, as this command has them do:
printed = checkout.launch(iterations=1, **smaller)
checkout.check("Two processes trained", api().FIRST_EPOCH in printed, True)

# %%
# What was not tried
# ~~~~~~~~~~~~~~~~~~
# - Accuracy: the weights are random where the real ones were out of reach, and four images tell
#   nothing.
# - Twelve epochs, and more than two GPUs.
# - Data sets in another format, such as VOC's or YOLO's. Convert them to COCO's.
