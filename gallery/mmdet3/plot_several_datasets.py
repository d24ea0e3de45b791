"""
How do I train on several datasets at once?
===========================================

Join them with ``ConcatDataset``, and give each the names that its own file has for the head's
outputs. Here a small set of kittens and mugs, shown three times, is joined with COCO's cats and cups.
"""

# %%
# .. index:: ! ConcatDataset, ! RepeatDataset, several datasets
#
# .. snippet:: several_datasets/faster-rcnn_r50_fpn_1x_two-datasets.py
#
# .. train:: several_datasets/faster-rcnn_r50_fpn_1x_two-datasets.py
#
# .. snippet:: several_datasets/order_categories.py

# %%
# Adapt it
# --------
# .. include:: ../../gallery/words/several_datasets_adapt.rst
from howto import Workspace
from howto.checkout import fit
from howto.checkout.family import api
from howto.figures.show import Table

checkout = Workspace("several_datasets")
config = "faster-rcnn_r50_fpn_1x_two-datasets.py"
cfg = checkout.config(config)
train = cfg.train_dataloader.dataset
dataset = checkout.dataset(cfg)
own, coco = dataset.datasets[0].dataset, dataset.datasets[1]

# %%
rows = [
    ("my_dataset", own.metainfo["classes"], len(own), len(dataset.datasets[0])),
    ("COCO", coco.metainfo["classes"], len(coco), len(coco)),
]
Table(
    ("Dataset", "Its names", "Images with one of them", "Images in an epoch"),
    [(name, ", ".join(names), *counts) for name, names, *counts in rows],
)

# %%
# .. include:: ../../gallery/words/several_datasets_drawn.rst
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

same = dict(
    train_dataloader__dataset__datasets__1__data_root="data/my_dataset/",
    train_dataloader__dataset__datasets__1__ann_file="annotations/alike.json",
    train_dataloader__dataset__datasets__1__data_prefix__img="train/",
)
twin = checkout.dataset(checkout.config(config, **same)).datasets[1]

# %%
figure, axes = plt.subplots(1, 4, figsize=(9, 2))
for data, names, folder, title, pair in [
    (own, own.metainfo["classes"], "my_dataset/train", "own", axes[:2]),
    (twin, coco.metainfo["classes"], "my_dataset/train", "COCO", axes[2:]),
]:
    photographs = list(api().annotated(data).items())[:: len(data) - 1]
    for (name, objects), axis in zip(photographs, pair, strict=True):
        path = checkout.root / "data" / folder / name
        draw_annotated(axis, path, objects, names, title)

# %%
# In Mosaic, too
# ~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/several_datasets_mosaic.rst
import copy

from howto.figures.mosaic import read
from howto.project.quiet import quiet

mixed = checkout.config("yolox/yolox_tiny_8xb8-300e_coco.py")
joined = copy.deepcopy(train)
for each in (joined.datasets[0].dataset, joined.datasets[1]):
    each.pipeline = mixed.train_dataloader.dataset.dataset.pipeline
mixed.train_dataloader.dataset.dataset = joined
with checkout.inside():
    items = [numbers for _, numbers in read(mixed, checkout.dataset(mixed))[0]]
here = [{number < dataset.cumulative_sizes[0] for number in item} for item in items]
checkout.check("Mosaics that mix both", {True, False} in here, True)

# %%
# Your log should say
# -------------------
# .. include:: ../../gallery/words/several_datasets_log.rst
from howto.checkout.coco import subset

content = checkout.annotations("val")
(cup,) = [each["id"] for each in content["categories"] if each["name"] == "cup"]
boxes = content["annotations"]
images = [each["image_id"] for each in boxes if each["category_id"] == cup]
(checkout.root / "data/cups.json").write_text(json.dumps(subset(content, images[:1])))

# %%
small = dict(model__test_cfg__rcnn__score_thr=0.0, **fit.RESNET18)
files = dict(
    val_dataloader__dataset__datasets__1__ann_file="../cups.json",
    val_evaluator__metrics__1__ann_file="data/cups.json",
)
run = checkout.train(config, keep_images=True, **small, **files)
print(*run.logged("Epoch(val)")[-1:])
names = [key for key in run.metrics if key.endswith("bbox_mAP")]
expected = ["own/coco/bbox_mAP", "public/coco/bbox_mAP"]
checkout.check("Names of the metrics", names, expected)

# %%
# Pitfalls
# --------

# %%
# One dataset's classes are swapped: its file has another order
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/several_datasets_order.rst
content = json.loads(file.read_text())
content["categories"].reverse()
file.with_name("other.json").write_text(json.dumps(content))
path = "data/my_dataset/annotations/"
key = "train_dataloader__dataset__datasets__0__dataset__ann_file"


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
swapped = labels(checkout.config(config, **same, **{key: "annotations/other.json"}))
checkout.check("Swapped", swapped, [[{1}, {0}], [{0}, {1}]])

# %%
script = "configs/several_datasets/order_categories.py"
files = f"{path}other.json {path}ordered.json"
checkout.shell(f"python {script} {files} kitten mug")
mended = labels(checkout.config(config, **same, **{key: "annotations/ordered.json"}))
checkout.check("Mended", mended, [[{0}, {0}], [{1}, {1}]])

# %%
# ``AttributeError: 'list' object has no attribute 'get'``: the names differ
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/several_datasets_list.rst
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

# %%
# ``AttributeError: 'list' object has no attribute 'items'``: no ``ignore_keys``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/several_datasets_names.rst
line = "        ignore_keys=['classes', 'palette'],\n"
note = "        # The first one's names are those of the checkpoint.\n"
unlike = checkout.train(
    checkout.edit(config, {note + line: ""}), evaluate=False, **small
)
failure = checkout.fails(load, unlike, palette="random")
reason = "AttributeError: 'list' object has no attribute 'items'"
checkout.check("It says", failure.message, reason)

# %%
# ``TypeError: list indices must be integers or slices, not str``: one metric for both
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/several_datasets_metric.rst
metric = dict(cfg.val_evaluator.metrics[0], _delete_=True)
single = dict(small, model__test_cfg__rcnn__score_thr=0.0, val_evaluator=metric)
failure = checkout.fails(checkout.train, config, **single)
reason = "TypeError: list indices must be integers or slices, not str"
checkout.check("It says", failure.message, reason)

# %%
# Proof
# -----

# %%
# The labels of both mean the same
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/several_datasets_labels.rst
equal = api().annotated(own) == api().annotated(twin)
checkout.check("Boxes and labels of the photographs in both", equal, True)
checkout.check("Names of the first", own.metainfo["classes"], ("kitten", "mug"))
checkout.check("And of the second", coco.metainfo["classes"], ("cat", "cup"))
checkout.check(
    "Those of the checkpoint", load(run, palette="random"), ("kitten", "mug")
)

# %%
# How often a dataset is seen
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/several_datasets_often.rst
paths = [path for path, _ in run.epochs[0].images]
folders = ["my_dataset/train", "coco/train2017"]
often = [sum(folder in path for path in paths) for folder in folders]
checkout.check("Images of an epoch, by dataset", often, [3 * len(own), len(coco)])

# %%
# Each is evaluated by itself
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/several_datasets_apart.rst
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
checkout.check("The first has another", first != second, True)
# %%
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

# %%
tested = checkout.dataset(cfg, "val").datasets
modes = [each.test_mode for each in tested]
checkout.check("No image of them is left out: test_mode", modes, [True, True])
named = [each.metainfo["classes"] for each in tested]
checkout.check("Their names", named, [("kitten", "mug"), ("cat", "cup")])
outputs = run.model.roi_head.bbox_head.num_classes
checkout.check("Outputs of the head, for as many names", outputs, 2)

# %%
standard = checkout.config("faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py")
usual = standard.train_dataloader.dataset
repeated, second = cfg.train_dataloader.dataset.datasets
for each in repeated.dataset, second:
    same = (each.pipeline, each.filter_cfg) == (usual.pipeline, usual.filter_cfg)
    checkout.check(f"{each.data_root} is read as in the standard config", same, True)

# %%
# It trains on several GPUs
# ~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/custom_classes_gpus.rst
printed = checkout.launch(config, iterations=2, **fit.RESNET18)
checkout.check("Two processes trained", "Epoch(train) [1]" in printed, True)
checkout.check("Parameters without a gradient", checkout.unused_parameters(cfg), [])

# %%
# What was not tried
# ~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/several_datasets_not_tried.rst
