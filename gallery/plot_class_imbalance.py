"""
How do I weigh rare classes?
============================

Show their images more often with ``ClassBalancedDataset``, or weigh their loss with
``class_weight``. This config does both, and each works without the other.
"""

# %%
# .. index:: ! class_weight, ! ClassBalancedDataset, oversample_thr, class imbalance, alpha
#
# .. snippet:: faster_rcnn_r50_fpn_1x_rare_classes.py
#
# .. train:: faster_rcnn_r50_fpn_1x_rare_classes.py

# %%
# Adapt it
# --------

# %%
# How often an image comes
# {% if mmdet2 %}
# ~~~~~~~~~~~~~~~~~~~~~~~~
# Categories of the file count even if ``classes`` does not name them: take them out.
#
# The factor of a class is the root of ``oversample_thr`` over the share of images that have it, and at
# least 1. An image takes the largest factor of its classes. These are eight images, one with a mug:
# {% else %}
# ~~~~~~~~~~~~~~~~~~~~~~~~
# The factor of a class is the root of ``oversample_thr`` over the share of images that have it, and at
# least 1. An image takes the largest factor of its classes. These are eight images, one with a mug:
# {% endif %}
import json
import math

from howto import Workspace
from howto.checkout.family import api
from howto.checkout import fit
from howto.checkout.coco import subset
from howto.figures.show import Table

checkout = Workspace("class_imbalance")
config = "faster_rcnn_r50_fpn_1x_rare_classes.py"
cfg = checkout.config(config)
path = checkout.root / "data/my_dataset/annotations/train.json"
content = json.loads(path.read_text())
kitten, mug = [each["id"] for each in content["categories"]]

# %%
images = {
    category: [
        each["image_id"]
        for each in content["annotations"]
        if each["category_id"] == category
    ]
    for category in (kitten, mug)
}
rare = [*images[kitten] * 7, images[mug][0]][-8:]
path.with_name("rare.json").write_text(json.dumps(subset(content, rare)))
# {% if mmdet2 %}
few = {"data__train__dataset__ann_file": "data/my_dataset/annotations/rare.json"}
# {% else %}
few = {"train_dataloader__dataset__dataset__ann_file": "annotations/rare.json"}
# {% endif %}
balanced = checkout.dataset(checkout.config(config, **few))

# %%
rows = []
for name, share in ("kitten", 7 / 8), ("mug", 1 / 8):
    factor = max(1, math.sqrt(api().split(cfg, "train").oversample_thr / share))
    rows.append((name, f"{share:.1%}", f"{factor:.3f}", math.ceil(factor)))
Table(("Class", "Images that have it", "Factor", "Times that one comes"), rows)

# %%
counted = [balanced.repeat_indices.count(number) for number in range(8)]
checkout.check("Times that each of the eight comes", counted, [1] * 7 + [2])
checkout.check("Factor of the mug", rows[1][2], "1.549")

# %%
# The factor is rounded up, never down: a class just below the threshold comes twice, as does one at a
# quarter of it. So ``oversample_thr`` is no fine control:
rounded = {}
for threshold in 0.13, 0.3, 0.5, 0.51, 1.0:
    limit = dict(train__oversample_thr=threshold, **few)
    other = checkout.dataset(checkout.config(config, **limit))
    rounded[threshold] = other.repeat_indices.count(7)
Table(
    ("oversample_thr", "Factor of the mug", "Times that its image comes"),
    [(key, f"{math.sqrt(key * 8):.2f}", times) for key, times in rounded.items()],
)

# %%
checkout.check("Times", list(rounded.values()), [2, 2, 2, 3, 3])

# %%
# What the weight of a class does
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The loss of a proposal is multiplied by the weight of its class, so it pulls at all outputs as many
# times as hard. The gradient of one proposal of each class, the outputs being equal:
from howto.figures.losses import draw_pulls, pull

# {% if mmdet2 %}
from mmdet.models import build_loss

# {% else %}
from mmdet.registry import MODELS
# {% endif %}

head = cfg.model.roi_head.bbox_head
names = ("kitten", "mug", "background")
with checkout.inside():
    weighed = api().build_loss(head.loss_cls)
    even = api().build_loss(dict(head.loss_cls, class_weight=None))
before = [pull(even, label, 3) for label in range(3)]
after = [pull(weighed, label, 3) for label in range(3)]

# %%
ratios = [
    round(float(b.norm() / a.norm()), 4) for a, b in zip(before, after, strict=True)
]
checkout.check(
    "Kitten, mug, background: gradient, over that without", ratios, [1, 3, 1]
)

# %%
import matplotlib.pyplot as plt

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 2.4))
left.bar(["kitten", "mug"], [7, 1], color="#56b4e9", label="without")
left.bar(["kitten", "mug"], [0, 1], bottom=[7, 1], color="#e69f00", label="with")
left.set_title("Images of an epoch, ClassBalancedDataset")
left.legend(frameon=False, labelcolor="0.5")
draw_pulls(right, names, before, after)
right.set_title("Gradient of one proposal, class_weight")

# %%
# Detectors with a sigmoid
# ~~~~~~~~~~~~~~~~~~~~~~~~
# RetinaNet and others have a sigmoid for each class, and a focal loss, whose ``alpha`` is often taken for
# a weight of classes. It is one number for all: what is an object gains against what is none. This is
# what ``alpha=0.5``, in the place of 0.25, makes of the gradient:
stock = checkout.config("retinanet/retinanet_r50_fpn_1x_coco.py")
focal = stock.model.bbox_head.loss_cls
with checkout.inside():
    quarter, half = (
        api().build_loss(dict(focal, alpha=alpha)) for alpha in (0.25, 0.5)
    )
change = [pull(half, label, 2) / pull(quarter, label, 2) for label in range(3)]
checkout.check("The standard config's", focal.alpha, 0.25)
Table(
    ("A proposal of", "changes kitten's output by", "and mug's by"),
    [
        (name, *(f"{value:.2f}" for value in each))
        for name, each in zip(names, change, strict=True)
    ],
)

# %%
checkout.check(
    "For a kitten", [round(float(each), 3) for each in change[0]], [2.0, 0.667]
)
checkout.check(
    "For a mug, the same", [round(float(each), 3) for each in change[1]], [0.667, 2.0]
)

# %%
# Your log should say
# -------------------
# The log says nothing of the weights. An epoch has more images than the files: of these eight one comes
# twice, and nine take five iterations of two.
run = checkout.train(config, warmed_up=True, **few, **fit.RESNET18)
print(*run.logged(api().TRAINED)[-1:])
checkout.check("Iterations, of two images", len(run.losses), 5)

# %%
# Pitfalls
# --------

# %%
# ``RuntimeError: weight tensor should be defined``: there is none for the background
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The head has an output for the background, and the loss wants a weight for it. It says so in the first
# iteration.
short = checkout.edit(config, {"[1.0, 3.0, 1.0]": "[1.0, 3.0]"})
failure = checkout.fails(checkout.train, short, evaluate=False, **fit.RESNET18)
reason = "RuntimeError: weight tensor should be defined either for all 3 classes"
checkout.check(f"It says: {reason}", reason in failure.message, True)

# %%
# The background weighs more than the mugs: its weight comes first
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The weights are in the order of the categories in your file, and the background is the last. Elsewhere it
# is the first, as in TensorFlow's detectors and in old MMDetection; a list in another order is as long, and
# nothing is reported:
first = checkout.edit(config, {"[1.0, 3.0, 1.0]": "[1.0, 1.0, 3.0]"})
# {% if mmdet2 %}
with checkout.inside():
    loss = build_loss(checkout.config(first).model.roi_head.bbox_head.loss_cls)
# {% else %}
with checkout.inside():
    loss = MODELS.build(checkout.config(first).model.roi_head.bbox_head.loss_cls)
# {% endif %}
pulls = [pull(loss, label, 3).norm() for label in range(3)]
found = [
    round(float(each / other.norm()), 4)
    for each, other in zip(pulls, before, strict=True)
]
checkout.check("Kitten, mug, background", found, [1, 1, 3])

# %%
# ``unexpected keyword argument 'class_weight'``: a focal loss has no such key
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Rare classes of such detectors have ``ClassBalancedDataset``.
stock.model.bbox_head.loss_cls.class_weight = [1.0] * 80
failure = checkout.fails(checkout.build, stock)
reason = "unexpected keyword argument 'class_weight'"
checkout.check(f"It says: {reason}", reason in failure.message, True)

# %%
# ``object has no attribute 'get_cat_ids'``: it stands around Mosaic's wrapper
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Only a dataset with annotations can be balanced. Put it inside of ``MultiImageMixDataset``, and what
# Mosaic mixes in is drawn from the balanced images, too:
# {% if mmdet2 %}
yolox = checkout.config("yolox/yolox_tiny_8x8_300e_coco.py")
mixing = yolox.data.train
inner = dict(cfg.data.train.dataset, pipeline=mixing.dataset.pipeline)
inner["ann_file"] = "data/my_dataset/annotations/rare.json"
yolox.data.train = dict(cfg.data.train, dataset=dict(mixing, dataset=inner))
# {% else %}
yolox = checkout.config("yolox/yolox_tiny_8xb8-300e_coco.py")
balancing, mixing = cfg.train_dataloader.dataset, yolox.train_dataloader.dataset
inner = dict(balancing.dataset, pipeline=mixing.dataset.pipeline)
inner["ann_file"] = "annotations/rare.json"
around = dict(balancing, dataset=dict(mixing, dataset=inner))
yolox.train_dataloader.dataset = around
# {% endif %}
failure = checkout.fails(checkout.dataset, yolox)
reason = "object has no attribute 'get_cat_ids'"
checkout.check(f"It says: {reason}", reason in failure.message, True)

# %%
from howto.figures.mosaic import seeded

# {% if mmdet2 %}
yolox.data.train = dict(mixing, dataset=dict(cfg.data.train, dataset=inner))
# {% else %}
within = dict(mixing, dataset=dict(balancing, dataset=inner))
yolox.train_dataloader.dataset = within
# {% endif %}
inside = checkout.dataset(yolox)
checkout.check("Images of an epoch, inside the wrapper", len(inside), 9)
with seeded(0):
    drawn = [
        number
        for _ in range(300)
        for number in inside.pipeline[0].get_indexes(inside.dataset)
    ]
share = sum(number >= 7 for number in drawn) / len(drawn)
print(f"share of the mug's image: {share:.1%}; two of nine are {2 / 9:.1%}")
checkout.check("Difference", abs(share - 2 / 9), at_most=0.05)

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
# The detector weighs its own proposals so
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The gradient of its classification layer, with and without the weights, from the same start:
from howto.figures.gradients import of

weights = run.model.roi_head.bbox_head.loss_cls.class_weight
checkout.check("Weights of the head that trained", weights, [1, 3, 1])
small = {**few, **fit.RESNET18}
same = dict(small, model__roi_head__bbox_head__loss_cls__class_weight=[1.0] * 3)
row = "roi_head.bbox_head.fc_cls.weight"
for name, index, expected in ("kitten", 0, False), ("mug", 7, True):
    apart = of(checkout, config, row, index, **small) - of(
        checkout, config, row, index, **same
    )
    changes = bool(apart.norm() > 0)
    checkout.check(
        f"It changes the gradient of an image of a {name}", changes, expected
    )

# %%
# All else is as in the standard config
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# But for the two keys and the data:
standard = checkout.config("faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py")
usual = standard.model.roi_head.bbox_head
changed = sorted(key for key in head if head[key] != usual[key])
checkout.check("Keys of the head that differ", changed, ["loss_cls", "num_classes"])
checkout.check("Its outputs", head.num_classes, len(content["categories"]))
checkout.check("Names of the classes", api().classes(balanced), ("kitten", "mug"))
# {% if mmdet2 %}
train = cfg.data.train
checkout.check(
    "The pipeline", train.dataset.pipeline == standard.data.train.pipeline, True
)
checkout.check(
    "Keys of the dataset", sorted(train), ["dataset", "oversample_thr", "type"]
)

# %%
# {% else %}
theirs = standard.train_dataloader.dataset
for key in "pipeline", "filter_cfg":
    checkout.check(f"The {key}", balancing.dataset[key] == theirs[key], True)
# {% endif %}
checkout.check("It was evaluated, times", run.evaluations, 1)
file = "data/my_dataset/annotations/val.json"
# {% if mmdet2 %}
checkout.check("With", cfg.data.val.ann_file, file)
checkout.check("It is tested as it is validated", cfg.data.test == cfg.data.val, True)
# {% else %}
checkout.check("With", cfg.val_evaluator.ann_file, file)
same = cfg.test_dataloader == cfg.val_dataloader
same = same and cfg.test_evaluator == cfg.val_evaluator
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
# - Accuracy: whether rare classes gain more than others lose.
# - Both at once against each alone. They multiply: here a mug would count six times.
# - Losses made for long tails, such as Seesaw, which MMDetection has.
