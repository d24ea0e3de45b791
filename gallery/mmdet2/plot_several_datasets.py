"""
How do I train on several datasets at once?
===========================================

Join them with ``ConcatDataset``, and give each the names that its own file has for the head's
outputs. Here a small set of kittens and mugs, shown three times, is joined with COCO's cats and cups.
"""

# %%
# .. index:: ! ConcatDataset, ! RepeatDataset, several datasets
#
# .. snippet:: several_datasets/faster_rcnn_r50_fpn_1x_two_datasets.py
#
# .. train:: several_datasets/faster_rcnn_r50_fpn_1x_two_datasets.py
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
config = "faster_rcnn_r50_fpn_1x_two_datasets.py"
cfg = checkout.config(config)
train = cfg.data.train
dataset = checkout.dataset(cfg)
own, coco = dataset.datasets[0].dataset, dataset.datasets[1]

# %%
rows = [
    ("my_dataset", own.CLASSES, len(own), len(dataset.datasets[0])),
    ("COCO", coco.CLASSES, len(coco), len(coco)),
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
    data__train__datasets__1__ann_file="data/my_dataset/annotations/alike.json",
    data__train__datasets__1__img_prefix="data/my_dataset/train/",
)
twin = checkout.dataset(checkout.config(config, **same)).datasets[1]

# %%
figure, axes = plt.subplots(1, 4, figsize=(9, 2))
for data, names, folder, title, pair in [
    (own, own.CLASSES, "my_dataset/train", "own", axes[:2]),
    (twin, coco.CLASSES, "my_dataset/train", "COCO", axes[2:]),
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

mixed = checkout.config("yolox/yolox_tiny_8x8_300e_coco.py")
joined = copy.deepcopy(train)
for each in (joined.datasets[0].dataset, joined.datasets[1]):
    each.pipeline = mixed.data.train.dataset.pipeline
mixed.data.train.dataset = joined
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
files = dict(data__val__datasets__1__ann_file="data/cups.json")
run = checkout.train(config, keep_images=True, **small, **files)
lines = [line for line in run.log.splitlines() if line.startswith("Evaluating data/")]
print(*lines, *run.logged("Epoch(val)"), sep="\n")
names = [key for key in run.metrics if key.endswith("bbox_mAP")]
checkout.check("Names of the metrics", names, ["0_bbox_mAP", "1_bbox_mAP"])

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
key = "data__train__datasets__0__dataset__ann_file"


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
swapped = labels(checkout.config(config, **same, **{key: f"{path}other.json"}))
checkout.check("Swapped", swapped, [[{1}, {0}], [{0}, {1}]])

# %%
script = "configs/several_datasets/order_categories.py"
files = f"{path}other.json {path}ordered.json"
checkout.shell(f"python {script} {files} kitten mug")
mended = labels(checkout.config(config, **same, **{key: f"{path}ordered.json"}))
checkout.check("Mended", mended, [[{0}, {0}], [{1}, {1}]])

# %%
# No image of the second: one list of names for two files
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/several_datasets_files.rst
listed = dict(own_config := train.datasets[0].dataset, _delete_=True)
for key in "ann_file", "img_prefix":
    listed[key] = [own_config[key], train.datasets[1][key]]
both = checkout.dataset(checkout.config(config, data__train=listed))
checkout.check("Images of each", [len(each) for each in both.datasets], [len(own), 0])

# %%
# ``NotImplementedError: Evaluating concatenated CocoDataset as a whole``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/several_datasets_whole.rst
whole = checkout.config(config, data__val=dict(separate_eval=False))
failure = checkout.fails(checkout.dataset, whole, "val")
reason = "NotImplementedError: Evaluating concatenated CocoDataset as a whole"
checkout.check(f"It says: {reason}", reason in failure.message, True)

# %%
# Half of the images are tested: ``test_mode`` is left out
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/several_datasets_test_mode.rst
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

# %%
# Proof
# -----

# %%
# The labels of both mean the same
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/several_datasets_labels.rst
equal = api().annotated(own) == api().annotated(twin)
checkout.check("Boxes and labels of the photographs in both", equal, True)
checkout.check("Names of the first", own.CLASSES, ("kitten", "mug"))
checkout.check("And of the second", coco.CLASSES, ("cat", "cup"))
checkout.check("Those of the checkpoint", run.model.CLASSES, own.CLASSES)
named = [each.CLASSES for each in checkout.dataset(cfg, "val").datasets]
checkout.check("Of the datasets that are tested", named, [own.CLASSES, coco.CLASSES])
outputs = run.model.roi_head.bbox_head.num_classes
checkout.check("Outputs of the head, for as many names", outputs, len(own.CLASSES))

# %%
# How often a dataset is seen
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/several_datasets_often.rst
paths = [path for path, _ in run.epochs[0].images]
folders = ["data/my_dataset/train/", "data/coco/train2017/"]
often = [sum(path.startswith(folder) for path in paths) for folder in folders]
checkout.check("Images of an epoch, by dataset", often, [3 * len(own), len(coco)])

# %%
# Each is evaluated by itself
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/several_datasets_apart.rst
alone = dict(run.cfg.data.val.datasets[1], _delete_=True)
with quiet():
    apart = checkout.train(config, data__val=alone, **small).metrics["bbox_mAP"]
checkout.check("The second, joined and alone", run.metrics["1_bbox_mAP"], apart)
first, second = (run.metrics[f"{number}_bbox_mAP"] for number in range(2))
checkout.check("The first has another", first != second, True)
# %%
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

# %%
# Its detector can be used
# ~~~~~~~~~~~~~~~~~~~~~~~~
# ``inference_detector`` asks the test data for a pipeline, and a joined dataset has none of its own.
from mmdet.apis import inference_detector, init_detector

photograph = next(checkout.root.glob("data/my_dataset/val/*.jpg"))
with checkout.inside(run.cfg), quiet():
    detector = init_detector(run.cfg, str(run.checkpoint), device=checkout.device)
    found = inference_detector(detector, str(photograph))
checkout.check("Arrays of boxes, one for each class", len(found), 2)

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
# .. include:: ../../gallery/words/several_datasets_not_tried.rst
