"""
How do I train on several datasets at once?
===========================================

Join them with ``ConcatDataset``, and list in each dataset its own class names, in the order of
the head's outputs. Here a small set of kittens and mugs, shown three times, is joined with COCO's cats and cups.
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
# - **Only one evaluation**: replace the joined dataset by one of them, with its metric.
from howto import Workspace
from howto.checkout.family import api
from howto.checkout import fit
from howto.figures.show import Table

checkout = Workspace("several_datasets")
checkout.ask_python()
cfg = checkout.config()
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
content = json.loads(file.read_text("utf-8"))
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
file.with_name("alike.json").write_text(json.dumps(alike), "utf-8")

# %%
import cv2
import matplotlib.pyplot as plt
from howto.figures.show import draw_boxes

prefix = "img_prefix" if "img_prefix" in train.datasets[1] else "data_prefix__img"
same = {
    "train__datasets__1__ann_file": str(file.with_name("alike.json")),
    f"train__datasets__1__{prefix}": str(file.parents[1] / "train"),
}
twin = checkout.dataset(checkout.config(**same)).datasets[1]

# %%
figure, axes = plt.subplots(1, 4, figsize=(9, 2))
for data, names, folder, title, pair in [
    (own, api().classes(own), "my_dataset/train", "own", axes[:2]),
    (twin, api().classes(coco), "my_dataset/train", "COCO", axes[2:]),
]:
    photographs = list(api().annotated(data).items())[:: len(data) - 1]
    for (name, objects), axis in zip(photographs, pair, strict=True):
        path = checkout.root / "data" / folder / name
        boxes, labels = [each[1:] for each in objects], [each[0] for each in objects]
        photograph = dict(img=cv2.imread(str(path)), gt_bboxes=boxes, gt_labels=labels)
        draw_boxes(axis, photograph, names, title)

# %%
# In Mosaic, too
# ~~~~~~~~~~~~~~
# ``MultiImageMixDataset`` takes the joined dataset as its own, and a mosaic then mixes images of both.
# Tried with YOLOX:
import copy

from howto.figures import classes
from howto.figures.mosaic import read
from howto.project.quiet import quiet

mixed = checkout.config(classes.standard()["YOLOX"])
wrapper, joined = api().split(mixed, "train"), copy.deepcopy(train)
for each in (joined.datasets[0].dataset, joined.datasets[1]):
    each.pipeline = wrapper.dataset.pipeline
wrapper.dataset = joined
wrapper.pipeline = [dict(wrapper.pipeline[0], img_scale=(64, 64))]  # quicker
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
one = json.dumps(subset(content, images[:1]))
(checkout.root / "data/cups.json").write_text(one, "utf-8")

# %%
small = dict(batch_size=8, model__test_cfg__rcnn__score_thr=0.0, **fit.RESNET18)
# {% if mmdet2 %}
files = dict(val__datasets__1__ann_file="data/cups.json")
expected = ["0_bbox_mAP", "1_bbox_mAP"]
# {% else %}
files = dict(val__datasets__1__ann_file="../cups.json")
files["val_evaluator__metrics__1__ann_file"] = "data/cups.json"
expected = ["own/coco/bbox_mAP", "public/coco/bbox_mAP"]
# {% endif %}
run = checkout.train(keep_images=True, **small, **files)
lines = [line for line in run.log.splitlines() if line.startswith("Evaluating data/")]
print(*lines, *run.logged("Epoch(val)")[-1:], sep="\n")
names = [key for key in run.metrics if key.endswith("bbox_mAP")]
checkout.check("Names of the metrics", names, expected)

# %%
# Pitfalls
# --------

# %%
# One dataset's classes are swapped: its file has another order
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Give both files the same order with ``order_categories.py``. A label is the place that a category has in
# its file, whatever the order of the names in the config. Where two files differ, the same label means two
# things, and there is no error. These are the labels of photographs that are in both datasets:
content = json.loads(file.read_text("utf-8"))
content["categories"] = [*content["categories"][::-1], {"id": 7, "name": "saucer"}]
file.with_name("other.json").write_text(json.dumps(content), "utf-8")


def labels(name):
    """Labels of a photograph in the first dataset, of that file, and in the second, each pair once."""
    changes = {"train__datasets__0__dataset__ann_file": str(file.with_name(name))}
    first, second = checkout.dataset(checkout.config(**same, **changes)).datasets
    known = [api().annotated(each) for each in (first.dataset, second)]
    pairs = [
        [{label for label, *_ in each[name]} for each in known] for name in known[0]
    ]
    return [pair for n, pair in enumerate(pairs) if pair not in pairs[:n]]


# %%
right, wrong = [[{0}, {0}], [{1}, {1}]], [[{1}, {0}], [{0}, {1}]]
checkout.check("As the config is", labels("train.json"), right)
checkout.check("Swapped", labels("other.json"), wrong)

# %%
# A category that you do not name comes last, where it disturbs no label. Rows of a name that was there
# already are left out:
script = "configs/several_datasets/order_categories.py"
folder = "data/my_dataset/annotations"
files = f"{folder}/other.json {folder}/ordered.json"
printed = checkout.shell(f"python {script} {files} kitten mug").splitlines()
checkout.check("The script says", printed[1], "not named, so last: saucer")
checkout.check("Ordered", labels("ordered.json"), right)

# %%
# {% if mmdet2 %}
# No image of the second: one list of names for two files
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Join the datasets with ``ConcatDataset``, as here. A list of annotation files joins datasets, too, but all
# of them get the same names. The second file has other ones, so no image of it is left, without an error:
listed = dict(own_config := train.datasets[0].dataset, _delete_=True)
for key in "ann_file", "img_prefix":
    listed[key] = [own_config[key], train.datasets[1][key]]
both = checkout.dataset(checkout.config(data__train=listed))
checkout.check("Images of each", [len(each) for each in both.datasets], [len(own), 0])
# {% else %}
# ``AttributeError: 'list' object has no attribute 'get'``: the names differ
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Name a palette: ``init_detector(…, palette='random')``. Without one it asks the test dataset for its colours,
# which are a list here, as the datasets have different names. For ``--show-dir``, ``DetInferencer`` and
# ``NumClassCheckHook`` write a config that inherits this one and tests a single dataset, with its metric.
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
# Leave ``separate_eval`` out. If you need a single AP over both, write one file with all images: MMDetection
# compares with a single file.
whole = checkout.config(data__val=dict(separate_eval=False))
failure = checkout.fails(checkout.dataset, whole, "val")
reason = "NotImplementedError: Evaluating concatenated CocoDataset as a whole"
checkout.check(f"It says: {reason}", reason in failure.message, True)
# {% else %}
# ``AttributeError: 'list' object has no attribute 'items'``: no ``ignore_keys``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Keep ``ignore_keys``. The checkpoint stores the names of the joined dataset, which are a list of lists
# without it, and no tool that draws results can read them:
line = "        ignore_keys=['classes', 'palette'],\n"
note = "        # The first one's names are those of the checkpoint.\n"
variant = checkout.edit(checkout.own, {note + line: ""})
places = "train__datasets__0__dataset", "train__datasets__1"
few = {f"{place}__indices": 2 for place in places}
unlike = checkout.train(variant, evaluate=False, **small, **few)
failure = checkout.fails(load, unlike, palette="random")
reason = "AttributeError: 'list' object has no attribute 'items'"
checkout.check("It says", failure.message, reason)
# {% endif %}

# %%
# {% if mmdet2 %}
# Half of the images are tested: ``test_mode`` is left out
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Set ``test_mode=True`` in each dataset of ``val`` and ``test``. ``tools/test.py`` sets it for the joined
# dataset alone. Without it the others leave out images without an object, as in training, and the AP is
# that of the remaining images.
images = [len(each) for each in checkout.dataset(cfg, "test").datasets]
mine = json.loads(file.with_name("val.json").read_text("utf-8"))
everything = [len(each["images"]) for each in (mine, checkout.annotations("val"))]
checkout.check("Images that are tested", images, everything)
trains = copy.deepcopy(cfg)
for each in trains.data.test.datasets:
    del each["test_mode"]
fewer = [len(each) for each in checkout.dataset(trains, "test").datasets]
checkout.check("Without it fewer, those with an object", fewer < images, True)
# {% else %}
# ``TypeError: list indices must be integers or slices, not str``: one metric for both
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Give each dataset a metric of its own, in ``MultiDatasetsEvaluator``. A ``CocoMetric`` compares with one
# file. It is asked after the first epoch:
metric = dict(cfg.val_evaluator.metrics[0], _delete_=True)
few |= {f"val__datasets__{number}__indices": 1 for number in (0, 1)}
failure = checkout.fails(checkout.train, val_evaluator=metric, **small, **few)
reason = "TypeError: list indices must be integers or slices, not str"
checkout.check("It says", failure.message, reason)
# {% endif %}

# %%
# Evidence
# --------

# %%
# The labels of both mean the same
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Each object is in both files, under another name and id:
equal = api().annotated(own) == api().annotated(twin)
checkout.check("Boxes and labels of the photographs in both", equal, True)
expected = ("kitten", "mug"), ("cat", "cup")
named = api().classes(own), api().classes(coco)
checkout.check("Names of the datasets", named, expected)
tested = checkout.dataset(cfg, "val").datasets
named = tuple(api().classes(each) for each in tested)
checkout.check("Of those that are tested", named, expected)
# {% if mmdet2 %}
known = run.model.CLASSES
# {% else %}
known = load(run, palette="random")
# {% endif %}
checkout.check("Those of the checkpoint", known, expected[0])
outputs = run.model.roi_head.bbox_head.num_classes
checkout.check("Outputs of the head, for as many names", outputs, 2)

# %%
# How often a dataset is seen
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Counted in the images that the detector saw:
paths = [path for path, _ in run.epochs[0].images]
folders = ["my_dataset/train", "coco/train2017"]
often = [sum(folder in path for path in paths) for folder in folders]
checkout.check("Images of an epoch, by dataset", often, [3 * len(own), len(coco)])

# %%
# Each is evaluated by itself
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The second dataset was evaluated in a run of its own, too, from the same seed:
alone = dict(val=dict(api().split(run.cfg, "val").datasets[1], _delete_=True))
# {% if mmdet3 %}
alone["val_evaluator"] = dict(run.cfg.val_evaluator.metrics[1], _delete_=True)
# {% endif %}
with quiet():
    apart = checkout.train(**alone, **small).metrics["bbox_mAP"]
first, second = (run.metrics[name] for name in names)
checkout.check("The second, joined and alone", second, apart)
checkout.check("The first has another", first != second, True)

# %%
val, test = (api().split(cfg, name) for name in ("val", "test"))
checkout.check("Tested as validated", test == val, True)
modes = [each.test_mode for each in tested]
checkout.check("No image of them is left out: test_mode", modes, [True, True])
expected = [f"{folder}/val.json", "data/coco/annotations/instances_val2017.json"]
# {% if mmdet2 %}
checkout.check("Their files", [each.ann_file for each in val.datasets], expected)
keys = sorted({*cfg.data.train, *cfg.data.val})
left = ["datasets", "pipeline", "type"]
checkout.check("Nothing of the standard config is left in them", keys, left)
# {% else %}
files = [f"{each.data_root}{each.ann_file}" for each in val.datasets]
checkout.check("Their files", files, expected)
metrics = [each.ann_file for each in cfg.val_evaluator.metrics]
checkout.check("Metrics have the same files", metrics, expected)
same = cfg.test_evaluator == cfg.val_evaluator
checkout.check("The test's evaluator is the same", same, True)
# {% endif %}

# %%
# {% if mmdet2 %}
# Its detector can be used
# ~~~~~~~~~~~~~~~~~~~~~~~~
# ``inference_detector`` asks the test data for a pipeline, and a joined dataset has none of its own.
from mmdet.apis import inference_detector, init_detector

photograph = next(checkout.root.glob("data/my_dataset/val/*.jpg"))
with checkout.inside(run.cfg), quiet():
    detector = init_detector(run.cfg, str(run.checkpoint), device=checkout.device)
    found = inference_detector(detector, str(photograph))
checkout.check("Arrays of boxes, one for each class", len(found), 2)
# {% else %}
usual = checkout.config("faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py")
usual = usual.train_dataloader.dataset
for each in train.datasets[0].dataset, train.datasets[1]:
    same = (each.pipeline, each.filter_cfg) == (usual.pipeline, usual.filter_cfg)
    checkout.check(f"{each.data_root} is read as in the standard config", same, True)
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
# - Accuracy, and which weight is best. Evaluation on several GPUs.
# - Datasets in other formats than COCO's.
# - Datasets that annotate only some of the classes: what one of them leaves out is background to the
#   detector, though it is an object.
