"""
How do I train on several datasets at once?
===========================================

Join them with ``ConcatDataset``, and give each the names that its own file has for the head's
outputs. Here a small set of kittens and mugs, shown three times, is joined with COCO's cats and cups.
"""

# %%
# .. index:: ! ConcatDataset, ! RepeatDataset, several datasets
#
# .. snippet:: faster_rcnn_r50_fpn_1x_two_datasets.py
#
# .. train:: faster_rcnn_r50_fpn_1x_two_datasets.py
#
# .. snippet:: order_categories.py

# %%
# Adapt it
# --------
# - **More datasets**: add them to the list, each with as many names as the others.
# - **Another weight**: change ``times``. Without ``RepeatDataset`` each image comes once in an epoch.
# - **Other names**: the number of names is ``num_classes``, in every head.
# - **Only one evaluation**: put one dataset in the place of the joined one, and its metric.
from howto import Workspace
from howto.checkout.family import api
from howto.checkout import fit
from howto.figures.show import Table

checkout = Workspace("several_datasets")
config = "faster_rcnn_r50_fpn_1x_two_datasets.py"
cfg = checkout.config(config)
train = api().split(cfg, "train")
dataset = checkout.dataset(cfg)
own, coco = dataset.datasets[0].dataset, dataset.datasets[1]

# %%
rows = [
    ("my_dataset", api().classes(own), len(own), len(dataset.datasets[0])),
    ("COCO", api().classes(coco), len(coco), len(coco)),
]
Table(
    ("Dataset", "Its names", "Images with one of them", "Images in an epoch"),
    [(name, ", ".join(names), *counts) for name, names, *counts in rows],
)

# %%
# A copy of the first file, with COCO's names and ids, stands for COCO's where the two are compared, so
# that the same photographs are in both:
import json

file = checkout.root / "data/my_dataset/annotations/train.json"
content = json.loads(file.read_text())
ids = {each["name"]: each["id"] for each in checkout.annotations("val")["categories"]}
renamed = dict(
    zip((each["id"] for each in content["categories"]), ("cat", "cup"), strict=True)
)
alike = content | {
    "categories": [{"id": ids[name], "name": name} for name in renamed.values()],
    "annotations": [
        each | {"category_id": ids[renamed[each["category_id"]]]}
        for each in content["annotations"]
    ],
}
file.with_name("alike.json").write_text(json.dumps(alike))

# %%
import matplotlib.pyplot as plt
from howto.figures.show import draw_annotated

# {% if mmdet2 %}
same = dict(
    data__train__datasets__1__ann_file="data/my_dataset/annotations/alike.json",
    data__train__datasets__1__img_prefix="data/my_dataset/train/",
)
# {% else %}
same = dict(
    train_dataloader__dataset__datasets__1__data_root="data/my_dataset/",
    train_dataloader__dataset__datasets__1__ann_file="annotations/alike.json",
    train_dataloader__dataset__datasets__1__data_prefix__img="train/",
)
# {% endif %}
twin = checkout.dataset(checkout.config(config, **same)).datasets[1]

# %%
figure, axes = plt.subplots(1, 4, figsize=(9, 2))
for data, names, folder, title, pair in [
    (own, api().classes(own), "my_dataset/train", "own", axes[:2]),
    (twin, api().classes(coco), "my_dataset/train", "COCO", axes[2:]),
]:
    photographs = list(api().annotated(data).items())[:: len(data) - 1]
    for (name, objects), axis in zip(photographs, pair, strict=True):
        path = checkout.root / "data" / folder / name
        draw_annotated(axis, path, objects, names, title)

# %%
# In Mosaic, too
# ~~~~~~~~~~~~~~
# ``MultiImageMixDataset`` takes the joined dataset as its own, and a mosaic then mixes images of both.
# Tried with YOLOX:
import copy

from howto.figures.mosaic import read
from howto.project.quiet import quiet

# {% if mmdet2 %}
mixed = checkout.config("yolox/yolox_tiny_8x8_300e_coco.py")
# {% else %}
mixed = checkout.config("yolox/yolox_tiny_8xb8-300e_coco.py")
# {% endif %}
joined = copy.deepcopy(train)
# {% if mmdet2 %}
for each in (joined.datasets[0].dataset, joined.datasets[1]):
    each.pipeline = mixed.data.train.dataset.pipeline
mixed.data.train.dataset = joined
# {% else %}
for each in (joined.datasets[0].dataset, joined.datasets[1]):
    each.pipeline = mixed.train_dataloader.dataset.dataset.pipeline
mixed.train_dataloader.dataset.dataset = joined
# {% endif %}
with checkout.inside():
    items = [numbers for _, numbers in read(mixed, checkout.dataset(mixed))[0]]
here = [{number < dataset.cumulative_sizes[0] for number in item} for item in items]
checkout.check("Mosaics that mix both", {True, False} in here, True)

# %%
# Your log should say
# -------------------
# Each dataset is evaluated with its own file. For this run the second one has one image. The names of
# the metrics are what ``save_best`` wants:
from howto.checkout.coco import subset

content = checkout.annotations("val")
(cup,) = [each["id"] for each in content["categories"] if each["name"] == "cup"]
boxes = content["annotations"]
images = [each["image_id"] for each in boxes if each["category_id"] == cup]
(checkout.root / "data/cups.json").write_text(json.dumps(subset(content, images[:1])))

# %%
small = dict(model__test_cfg__rcnn__score_thr=0.0, **fit.RESNET18)
# {% if mmdet2 %}
files = dict(data__val__datasets__1__ann_file="data/cups.json")
# {% else %}
files = dict(
    val_dataloader__dataset__datasets__1__ann_file="../cups.json",
    val_evaluator__metrics__1__ann_file="data/cups.json",
)
# {% endif %}
run = checkout.train(config, keep_images=True, **small, **files)
# {% if mmdet2 %}
lines = [line for line in run.log.splitlines() if line.startswith("Evaluating data/")]
print(*lines, *run.logged("Epoch(val)"), sep="\n")
# {% else %}
print(*run.logged("Epoch(val)")[-1:])
# {% endif %}
names = [key for key in run.metrics if key.endswith("bbox_mAP")]
# {% if mmdet2 %}
checkout.check("Names of the metrics", names, ["0_bbox_mAP", "1_bbox_mAP"])
# {% else %}
expected = ["own/coco/bbox_mAP", "public/coco/bbox_mAP"]
checkout.check("Names of the metrics", names, expected)
# {% endif %}

# %%
# Pitfalls
# --------

# %%
# One dataset's classes are swapped: its file has another order
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Nothing is reported. A label is the place that a category has in its file, whatever the order of the
# names in the config. Where two files differ, the same label means two things. These are the labels of
# photographs that are in both datasets:
content = json.loads(file.read_text())
content["categories"].reverse()
file.with_name("other.json").write_text(json.dumps(content))
path = "data/my_dataset/annotations/"
key = "train__datasets__0__dataset__ann_file"


def labels(cfg):
    """Labels of a photograph in the first dataset and in the second, each pair once."""
    first, second = checkout.dataset(cfg).datasets
    known = [api().annotated(each) for each in (first.dataset, second)]
    pairs = [
        [{label for label, *_ in each[name]} for each in known] for name in known[0]
    ]
    return [pair for n, pair in enumerate(pairs) if pair not in pairs[:n]]


# %%
checkout.check(
    "As the config is",
    labels(checkout.config(config, **same)),
    [[{0}, {0}], [{1}, {1}]],
)
# {% if mmdet2 %}
swapped = labels(checkout.config(config, **same, **{key: f"{path}other.json"}))
# {% else %}
swapped = labels(checkout.config(config, **same, **{key: "annotations/other.json"}))
# {% endif %}
checkout.check("Swapped", swapped, [[{1}, {0}], [{0}, {1}]])

# %%
script = "configs/several_datasets/order_categories.py"
files = f"{path}other.json {path}ordered.json"
checkout.shell(f"python {script} {files} kitten mug")
# {% if mmdet2 %}
mended = labels(checkout.config(config, **same, **{key: f"{path}ordered.json"}))
# {% else %}
mended = labels(checkout.config(config, **same, **{key: "annotations/ordered.json"}))
# {% endif %}
checkout.check("Mended", mended, [[{0}, {0}], [{1}, {1}]])

# %%
# {% if mmdet2 %}
# No image of the second: one list of names for two files
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# A list of files is short for joined datasets, but all of them get the same names. The second file has
# other ones, and nothing is reported:
listed = dict(own_config := train.datasets[0].dataset, _delete_=True)
for key in "ann_file", "img_prefix":
    listed[key] = [own_config[key], train.datasets[1][key]]
both = checkout.dataset(checkout.config(config, data__train=listed))
checkout.check("Images of each", [len(each) for each in both.datasets], [len(own), 0])
# {% else %}
# ``AttributeError: 'list' object has no attribute 'get'``: the names differ
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Training and plain testing do not mind that the datasets have different names. ``init_detector`` asks the
# test dataset for its colours, which are then a list. Name a palette, and it does not ask. For
# ``--show-dir``, ``DetInferencer`` and ``NumClassCheckHook`` write a config that inherits this one and
# tests a single dataset, with its metric.
from mmdet.apis import init_detector


def load(run, **keys):
    """The names that the detector of a run's checkpoint knows."""
    with checkout.inside(run.cfg), quiet():
        model = init_detector(run.cfg, str(run.checkpoint), device="cpu", **keys)
    return model.dataset_meta["classes"]


failure = checkout.fails(load, run)
reason = "AttributeError: 'list' object has no attribute 'get'"
checkout.check("It says", failure.message, reason)
checkout.check("With a palette", load(run, palette="random"), ("kitten", "mug"))
# {% endif %}

# %%
# {% if mmdet2 %}
# ``NotImplementedError: Evaluating concatenated CocoDataset as a whole``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# There is no single AP over both, as there is no single file to compare with. Write one file with all
# images if you need it.
whole = checkout.config(config, data__val=dict(separate_eval=False))
failure = checkout.fails(checkout.dataset, whole, "val")
reason = "NotImplementedError: Evaluating concatenated CocoDataset as a whole"
checkout.check(f"It says: {reason}", reason in failure.message, True)
# {% else %}
# ``AttributeError: 'list' object has no attribute 'items'``: no ``ignore_keys``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The checkpoint stores the names of the joined dataset. Without ``ignore_keys`` they are a list of
# lists, and no tool that draws its results can read them:
line = "        ignore_keys=['classes', 'palette'],\n"
note = "        # The first one's names are those of the checkpoint.\n"
unlike = checkout.train(
    checkout.edit(config, {note + line: ""}), evaluate=False, **small
)
failure = checkout.fails(load, unlike, palette="random")
reason = "AttributeError: 'list' object has no attribute 'items'"
checkout.check("It says", failure.message, reason)
# {% endif %}

# %%
# {% if mmdet2 %}
# Half of the images are tested: ``test_mode`` is left out
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# ``tools/test.py`` sets ``test_mode`` for the dataset that it is given, which is the joined one. Those
# that are joined leave out images without an object, as they do in training, and the AP is that of the
# others.
images = [len(each) for each in checkout.dataset(cfg, "test").datasets]
contents = [json.loads(file.with_name("val.json").read_text())]
contents.append(checkout.annotations("val"))
everything = [len(each["images"]) for each in contents]
checkout.check("Images that are tested", images, everything)
trains = copy.deepcopy(cfg)
for each in trains.data.test.datasets:
    del each["test_mode"]
fewer = [len(each) for each in checkout.dataset(trains, "test").datasets]
checkout.check("Without it fewer, those with an object", fewer < images, True)
# {% else %}
# ``TypeError: list indices must be integers or slices, not str``: one metric for both
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# A ``CocoMetric`` compares with one file. It is asked after the first epoch:
metric = dict(cfg.val_evaluator.metrics[0], _delete_=True)
single = dict(small, model__test_cfg__rcnn__score_thr=0.0, val_evaluator=metric)
failure = checkout.fails(checkout.train, config, **single)
reason = "TypeError: list indices must be integers or slices, not str"
checkout.check("It says", failure.message, reason)
# {% endif %}

# %%
# Proof
# -----

# %%
# The labels of both mean the same
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Each object is in both files, under another name and id:
equal = api().annotated(own) == api().annotated(twin)
checkout.check("Boxes and labels of the photographs in both", equal, True)
checkout.check("Names of the first", api().classes(own), ("kitten", "mug"))
checkout.check("And of the second", api().classes(coco), ("cat", "cup"))
# {% if mmdet2 %}
checkout.check("Those of the checkpoint", run.model.CLASSES, own.CLASSES)
named = [each.CLASSES for each in checkout.dataset(cfg, "val").datasets]
checkout.check("Of the datasets that are tested", named, [own.CLASSES, coco.CLASSES])
outputs = run.model.roi_head.bbox_head.num_classes
checkout.check("Outputs of the head, for as many names", outputs, len(own.CLASSES))
# {% else %}
checkout.check(
    "Those of the checkpoint", load(run, palette="random"), ("kitten", "mug")
)
# {% endif %}

# %%
# How often a dataset is seen
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Counted in the images that the detector saw:
paths = [path for path, _ in run.epochs[0].images]
# {% if mmdet2 %}
folders = ["data/my_dataset/train/", "data/coco/train2017/"]
often = [sum(path.startswith(folder) for path in paths) for folder in folders]
# {% else %}
folders = ["my_dataset/train", "coco/train2017"]
often = [sum(folder in path for path in paths) for folder in folders]
# {% endif %}
checkout.check("Images of an epoch, by dataset", often, [3 * len(own), len(coco)])

# %%
# Each is evaluated by itself
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The second dataset was evaluated in a run of its own, too, from the same seed:
# {% if mmdet2 %}
alone = dict(run.cfg.data.val.datasets[1], _delete_=True)
with quiet():
    apart = checkout.train(config, data__val=alone, **small).metrics["bbox_mAP"]
checkout.check("The second, joined and alone", run.metrics["1_bbox_mAP"], apart)
first, second = (run.metrics[f"{number}_bbox_mAP"] for number in range(2))
# {% else %}
alone = dict(
    val_dataloader__dataset=dict(
        run.cfg.val_dataloader.dataset.datasets[1], _delete_=True
    ),
    val_evaluator=dict(run.cfg.val_evaluator.metrics[1], _delete_=True),
)
with quiet():
    apart = checkout.train(config, **alone, **small).metrics["bbox_mAP"]
first, second = (run.metrics[name] for name in names)
checkout.check("The second, joined and alone", second, apart)
# {% endif %}
checkout.check("The first has another", first != second, True)
# %%
# {% if mmdet2 %}
files = [each.ann_file for each in cfg.data.val.datasets]
own_file, coco_file = f"{path}val.json", "data/coco/annotations/instances_val2017.json"
checkout.check("Their files", files, [own_file, coco_file])
checkout.check("Tested as validated", cfg.data.test == cfg.data.val, True)
keys = sorted({*cfg.data.train, *cfg.data.val})
checkout.check(
    "Nothing of the standard config is left in them",
    keys,
    ["datasets", "pipeline", "type"],
)
# {% else %}
files = [
    f"{each.data_root}{each.ann_file}" for each in cfg.val_dataloader.dataset.datasets
]
metrics = [each.ann_file for each in cfg.val_evaluator.metrics]
checkout.check("Metrics and datasets have the same files", metrics, files)
same = (cfg.test_dataloader, cfg.test_evaluator) == (
    cfg.val_dataloader,
    cfg.val_evaluator,
)
checkout.check("Tested as validated", same, True)
# {% endif %}

# %%
# {% if mmdet2 %}
# Its detector can be used
# ~~~~~~~~~~~~~~~~~~~~~~~~
# ``inference_detector`` asks the test data for a pipeline, and a joined dataset has none of its own.
from mmdet.apis import inference_detector, init_detector

# {% else %}
tested = checkout.dataset(cfg, "val").datasets
modes = [each.test_mode for each in tested]
checkout.check("No image of them is left out: test_mode", modes, [True, True])
named = [each.metainfo["classes"] for each in tested]
checkout.check("Their names", named, [("kitten", "mug"), ("cat", "cup")])
outputs = run.model.roi_head.bbox_head.num_classes
checkout.check("Outputs of the head, for as many names", outputs, 2)
# {% endif %}

# {% if mmdet2 %}
photograph = next(checkout.root.glob("data/my_dataset/val/*.jpg"))
with checkout.inside(run.cfg), quiet():
    detector = init_detector(run.cfg, str(run.checkpoint), device=checkout.device)
    found = inference_detector(detector, str(photograph))
checkout.check("Arrays of boxes, one for each class", len(found), 2)
# {% else %}
# %%
standard = checkout.config("faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py")
usual = standard.train_dataloader.dataset
repeated, second = cfg.train_dataloader.dataset.datasets
for each in repeated.dataset, second:
    same = (each.pipeline, each.filter_cfg) == (usual.pipeline, usual.filter_cfg)
    checkout.check(f"{each.data_root} is read as in the standard config", same, True)
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
# - Accuracy, and which weight is best.
# - Datasets in other formats than COCO's.
# - Datasets that annotate only some of the classes: what one of them leaves out is background to the
#   detector, though it is an object.
