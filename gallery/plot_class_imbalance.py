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
# ~~~~~~~~~~~~~~~~~~~~~~~~
# {% if mmdet2 %}
# Take categories that ``classes`` does not name out of the file: they count here.
#
# {% endif %}
# The factor of a class is the root of ``oversample_thr`` over the share of images that have it, and at
# least 1. An image takes the largest factor of its classes. These are eight images, one with a mug:
import collections
import json
import math

from howto import Workspace
from howto.checkout.family import api
from howto.checkout import fit
from howto.checkout.coco import subset
from howto.figures.show import Table

checkout = Workspace("class_imbalance")
cfg = checkout.config()
balancing = api().split(cfg, "train")
path = checkout.root / "data/my_dataset/annotations/train.json"
content = json.loads(path.read_text("utf-8"))
kitten, mug = [each["id"] for each in content["categories"]]

# %%
checkout.ask_python()
images = collections.defaultdict(list)
for each in content["annotations"]:
    images[each["category_id"]].append(each["image_id"])
rare = [*images[kitten] * 7, images[mug][0]][-8:]
path.with_name("rare.json").write_text(json.dumps(subset(content, rare)), "utf-8")
few = {"train__dataset__ann_file": str(path.with_name("rare.json"))}
balanced = checkout.dataset(checkout.config(**few))

# %%
rows = []
for name, share in ("kitten", 7 / 8), ("mug", 1 / 8):
    factor = max(1, math.sqrt(balancing.oversample_thr / share))
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
    other = checkout.dataset(checkout.config(**limit))
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
# The loss of a proposal is multiplied by the weight of its class, so its gradient on every output grows by the same
# factor. This is the gradient of one proposal of each class, the outputs being equal:
from howto.figures.losses import draw_pulls, pull

head = cfg.model.roi_head.bbox_head
names = ("kitten", "mug", "background")
with checkout.inside():
    weighed = api().part(head.loss_cls)
    even = api().part(dict(head.loss_cls, class_weight=None))
before = [pull(even, label, 3) for label in range(3)]
after = [pull(weighed, label, 3) for label in range(3)]


# %%
def grown(after):
    """By how much each class's gradient is longer than without weights."""
    lengths = [float(b.norm() / a.norm()) for a, b in zip(before, after, strict=True)]
    return [round(length, 4) for length in lengths]


name = "Kitten, mug, background: gradient, over that without"
checkout.check(name, grown(after), [1, 3, 1])

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
# RetinaNet, FCOS and others have a sigmoid for each class, and a focal loss. Its ``alpha`` is no weight of classes:
# it is one number, which weighs objects against background. With ``alpha=0.5`` instead of 0.25 the gradient changes so:
stock = checkout.config("retinanet/retinanet_r50_fpn_1x_coco.py")
focal = stock.model.bbox_head.loss_cls
with checkout.inside():
    quarter, half = (api().part(dict(focal, alpha=alpha)) for alpha in (0.25, 0.5))
checkout.check("The standard config's", focal.alpha, 0.25)


def changes(one, other):
    """By what factor an object of each class changes each output more with one loss."""
    ratios = [pull(one, label, 2) / pull(other, label, 2) for label in range(3)]
    return [[round(float(each), 3) for each in ratio] for ratio in ratios]


# %%
change = changes(half, quarter)
head_row = ("A proposal of", "changes kitten's output by", "and mug's by")
Table(head_row, [(name, *each) for name, each in zip(names, change, strict=True)])

# %%
checkout.check("For a kitten", change[0], [2.0, 0.667])
checkout.check("For a mug, the same", change[1], [0.667, 2.0])

# %%
# YOLOX has a sigmoid without a focal loss, and takes ``class_weight``: one for each class, none for the background.
# It multiplies the gradient of the class's own objects alone. Give the whole ``loss_cls``, which the config leaves to
# the head:
(tiny,) = checkout.root.glob("configs/yolox/yolox_tiny_*_coco.py")
loss = dict(type="CrossEntropyLoss", use_sigmoid=True, reduction="sum")
loss["class_weight"] = [1.0, 3.0]
own, stock_loss = (
    checkout.build(checkout.config(tiny, **keys)).bbox_head.loss_cls
    for keys in ({"model__bbox_head__loss_cls": loss}, {})
)
change = changes(own, stock_loss)
expected = [[1, 1], [1, 3], [1, 1]]
checkout.check("YOLOX: kitten, mug, background change them", change, expected)

# %%
# Your log should say
# -------------------
# The log says nothing of the weights. An epoch has more images than the files: of these eight one comes
# twice, and nine take five iterations of two.
run = checkout.train(warmed_up=True, **few, **fit.RESNET18)
print(*run.logged(api().TRAINED)[-1:])
checkout.check("Iterations, of two images", len(run.losses), 5)

# %%
# Pitfalls
# --------

# %%
# ``RuntimeError: weight tensor should be defined``: there is none for the background
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Add a weight for the background, the last. The head has an output for it, and the first iteration fails without.
short = checkout.edit(checkout.own, {"[1.0, 3.0, 1.0]": "[1.0, 3.0]"})
failure = checkout.fails(checkout.train, short, evaluate=False, **fit.RESNET18)
reason = "RuntimeError: weight tensor should be defined either for all 3 classes"
checkout.check(f"It says: {reason}", reason in failure.message, True)

# %%
# The background weighs more than the mugs: its weight comes first
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Write the weights in the order of ``classes``, and the background's last. It is the first in TensorFlow's detectors
# and in old MMDetection; a list in that order is as long, so nothing reports it:
first = checkout.edit(checkout.own, {"[1.0, 3.0, 1.0]": "[1.0, 1.0, 3.0]"})
with checkout.inside():
    keys = checkout.config(first).model.roi_head.bbox_head.loss_cls
    loss = api().part(keys)
found = grown([pull(loss, label, 3) for label in range(3)])
checkout.check("Kitten, mug, background", found, [1, 1, 3])

# %%
# ``unexpected keyword argument 'class_weight'``: a focal loss has no such key
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# With a focal loss use ``ClassBalancedDataset`` instead.
stock.model.bbox_head.loss_cls.class_weight = [1.0] * 80
failure = checkout.fails(checkout.build, stock)
reason = "unexpected keyword argument 'class_weight'"
checkout.check(f"It says: {reason}", reason in failure.message, True)

# %%
# ``Expected class_weight to have type float``: DETR takes no list
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# With DETR use ``ClassBalancedDataset`` instead. Its ``class_weight`` is one number for all classes, and
# ``bg_cls_weight`` that of the background.
(detr,) = checkout.root.glob("configs/detr/detr_r50_8x*150e_coco.py")
listed = {"model__bbox_head__loss_cls__class_weight": [1.0] * 81}
failure = checkout.fails(checkout.build, checkout.config(detr, **listed))
reason = "Expected class_weight to have type float"
checkout.check(f"It says: {reason}", reason in failure.message, True)

# %%
# ``object has no attribute 'get_cat_ids'``: it stands around Mosaic's wrapper
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Put ``ClassBalancedDataset`` inside of ``MultiImageMixDataset``: only a dataset with annotations can be balanced.
# What Mosaic mixes in is then drawn from the balanced images, too:
mixing = api().split(checkout.config(tiny), "train")
inner = dict(balancing.dataset, pipeline=mixing.dataset.pipeline)
inner["ann_file"] = few["train__dataset__ann_file"]
around = dict(balancing, dataset=dict(mixing, dataset=inner), _delete_=True)
failure = checkout.fails(checkout.dataset, checkout.config(tiny, train=around))
reason = "object has no attribute 'get_cat_ids'"
checkout.check(f"It says: {reason}", reason in failure.message, True)

# %%
from howto.checkout.isolation import seeded

within = dict(mixing, dataset=dict(balancing, dataset=inner), _delete_=True)
inside = checkout.dataset(checkout.config(tiny, train=within))
checkout.check("Images of an epoch, inside the wrapper", len(inside), 9)
with seeded(0):
    mosaics = [inside.pipeline[0].get_indexes(inside.dataset) for _ in range(300)]
drawn = [number for mosaic in mosaics for number in mosaic]
share = sum(number >= 7 for number in drawn) / len(drawn)
print(f"share of the mug's image: {share:.1%}; two of nine are {2 / 9:.1%}")
checkout.check("Difference", abs(share - 2 / 9), at_most=0.05)

# %%
# It hardly learns: the training ends within its warm-up
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# {% if mmdet2 %}
# Shorten the warm-up: ``lr_config = dict(warmup_iters=100)``. And log more often, with ``log_config =
# dict(interval=10)``: an epoch of fewer than 50 iterations logs no loss.
warm_up = cfg.lr_config.warmup_iters
# {% else %}
# Shorten the warm-up: ``param_scheduler = _base_.param_scheduler`` and ``param_scheduler[0].update(end=100)``,
# if that one is a ``LinearLR``.
warm_up = cfg.param_scheduler[0].end
# {% endif %}
# It takes 500 iterations, however small your data. 600 images × 12 epochs at 16 images a step are 456, so
# training ends before the full learning rate. YOLOX's warm-up counts epochs, and DETR has no warm-up: change
# nothing for them.
many = path.with_name("many.json")
many.write_text(json.dumps(subset(content, images[kitten][:1] * 600)), "utf-8")
keys = {
    "batch_size": 16,
    "train__oversample_thr": 0.001,
    **dict.fromkeys(few, str(many)),
}
long = checkout.config(**keys)
with checkout.inside():
    iterations = 12 * len(api().loader(long, checkout.dataset(long)))
checkout.check("Iterations of warm-up", warm_up, 500)
checkout.check("Of twelve epochs, 600 images, 16 a step", iterations, 456)

# %%
yolox = checkout.config("yolox/yolox_s_8x8_300e_coco.py")
detr = checkout.config("detr/detr_r50_8x2_150e_coco.py")
# {% if mmdet2 %}
by_epoch = yolox.lr_config.warmup_by_epoch, "warmup" in detr.lr_config
# {% else %}
by_epoch = yolox.param_scheduler[0].by_epoch, "LinearLR" in str(detr.param_scheduler)
# {% endif %}
checkout.check("YOLOX by epoch, DETR warms up", by_epoch, (True, False))

# %%
# Evidence
# --------

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
    one, other = (
        of(checkout, checkout.own, row, index, **keys) for keys in (small, same)
    )
    said = f"It changes the gradient of an image of a {name}"
    checkout.check(said, bool((one - other).norm() > 0), expected)

# %%
# Everything else is as in the standard config
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Only the two keys and the data differ:
standard = checkout.config("faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py")
usual = standard.model.roi_head.bbox_head
changed = sorted(key for key in head if head[key] != usual[key])
checkout.check("Keys of the head that differ", changed, ["loss_cls", "num_classes"])
checkout.check("Its outputs", head.num_classes, len(content["categories"]))
checkout.check("Names of the classes", api().classes(balanced), ("kitten", "mug"))
wrapper = ["dataset", "oversample_thr", "type"]
checkout.check("Keys of the dataset", sorted(balancing), wrapper)
theirs = api().split(standard, "train")
for key in sorted({"pipeline", "filter_cfg"} & {*theirs}):
    checkout.check(f"The {key}", balancing.dataset[key] == theirs[key], True)

# %%
checkout.check("It was evaluated, times", run.evaluations, 1)
val, test = (api().split(cfg, name) for name in ("val", "test"))
evaluator, tester = (cfg.get(f"{name}_evaluator", val) for name in ("val", "test"))
file = "data/my_dataset/annotations/val.json"
checkout.check("With", evaluator.ann_file, file)
same = (test, tester) == (val, evaluator)
checkout.check("It is tested as it is validated", same, True)

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
# - Accuracy: whether rare classes gain more than others lose.
# - Both at once against each alone. They multiply: here a mug would count six times.
# - Losses made for long tails, such as Seesaw, which MMDetection has.
