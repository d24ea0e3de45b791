"""
How do I add MixUp, and switch Mosaic off for the last epochs?
==============================================================

MixUp is one more step after Mosaic, and a hook skips both in the last epochs. This config trains
ten epochs on mixed images and two on plain ones, and its hook goes with any detector.
"""

# %%
# .. index:: ! MixUp, Mosaic; last epochs, ! YOLOXModeSwitchHook, skip_type_keys, persistent_workers
#
# .. snippet:: mosaic_off/faster_rcnn_r50_fpn_mosaic_off_1x_coco.py
#
# .. train:: mosaic_off/faster_rcnn_r50_fpn_mosaic_off_1x_coco.py
#
# .. snippet:: mosaic_off/mosaic_off_hook.py

# %%
# Adapt it
# --------
# .. include:: ../../gallery/words/mosaic_off_adapt2.rst

# %%
# YOLOX has a hook of its own
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/mosaic_off_yolox.rst
import json

from howto import Workspace
from howto.checkout import coco, fit
from howto.figures import mosaic
from howto.figures.show import Table

checkout = Workspace("mosaic_off")
config = "faster_rcnn_r50_fpn_mosaic_off_1x_coco.py"
cfg = checkout.config(config)
content = checkout.annotations("train")
shown = list(dict.fromkeys(each["image_id"] for each in content["annotations"]))
path = checkout.root / "data/four.json"
path.write_text(json.dumps(coco.subset(content, shown[:4])))

# %%
tiny = "yolox/yolox_tiny_8x8_300e_coco.py"
quick = dict(
    data__train__dataset__ann_file="data/four.json",
    data__train__pipeline__0__img_scale=(64, 64),
    data__train__pipeline__1__border=(-32, -32),
    data__train__pipeline__2=dict(hue_delta=0, saturation_delta=0, value_delta=0),
    data__train__pipeline__4__img_scale=(64, 64),
    data__samples_per_gpu=4,
    custom_hooks__0__num_last_epochs=2,
    checkpoint_config__interval=1,
)
yolox = checkout.train(tiny, epochs=6, evaluate=False, keep_images=True, **quick)


# %%
plain = mosaic.plain_epochs(checkout, yolox)
l1 = [
    number
    for number in range(1, 7)
    if all("loss_l1" in line for line in yolox.logged(f"Epoch [{number}]"))
]
on = {False: "no", True: "yes"}
Table(
    ("Epoch", "Plain images", "L1 loss"),
    [
        (f"{number} of 6", on[number in plain], on[number in l1])
        for number in range(1, 7)
    ],
)

# %%
# Your log should say
# -------------------
# .. include:: ../../gallery/words/mosaic_off_log2.rst
workers = dict(
    data__train__dataset__ann_file="data/four.json",
    data__workers_per_gpu=cfg.data.workers_per_gpu,
    data__persistent_workers=cfg.data.persistent_workers,
    checkpoint_config__interval=11,
)
small = {**fit.RESNET18, **workers}
run = checkout.train(config, 12, evaluate=False, keep_images=True, **small)
said = run.logged("any more")
print(*said)
expected = "epoch 11: no Mosaic, RandomAffine, MixUp any more"
checkout.check("It says", said, [expected])

# %%
# .. include:: ../../gallery/words/mosaic_off_seen.rst
import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 4, figsize=(9, 1.9))
for axis, number in zip(axes, (1, 10, 11, 12), strict=True):
    _, image = run.epochs[number - 1].images[0]
    axis.imshow(image[..., ::-1])
    axis.set_title(f"epoch {number} of 12")
    axis.set_axis_off()

# %%
# Pitfalls
# --------

# %%
# ``'FasterRCNN' object has no attribute 'bbox_head'``: YOLOX's hook
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/mosaic_off_two_stages.rst
theirs = checkout.edit(config, {"type='MosaicOffHook'": "type='YOLOXModeSwitchHook'"})
failure = checkout.fails(checkout.train, theirs, 3, evaluate=False, **small)
reason = "AttributeError: 'FasterRCNN' object has no attribute 'bbox_head'"
checkout.check("It says", failure.message, reason)

# %%
# One epoch more is without Mosaic: YOLOX's hook is early
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/mosaic_off_early.rst
checkout.check("Plain epochs of 6, for num_last_epochs=2", plain, [4, 5, 6])
checkout.check("Epochs with the L1 loss", l1, [4, 5, 6])

# %%
# Mosaic is back after resuming: YOLOX's hook waits for one epoch
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/mosaic_off_back.rst
fifth = yolox.checkpoint.with_name("epoch_5.pth")
more = dict(resume_from=fifth, evaluate=False, keep_images=True)
resumed = checkout.train(tiny, epochs=6, **more, **quick)
checkout.check("Epochs that ran", [each + 1 for each in resumed.epochs], [6])
checkout.check("Plain ones of them", mosaic.plain_epochs(checkout, resumed), [])
checkout.check("The L1 loss is in the log", "loss_l1" in resumed.log, False)

# %%
# ``'RepeatDataset' object has no attribute 'update_skip_type_keys'``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/mosaic_off_repeated2.rst
outer = "type='RepeatDataset',\n        times=2,\n        dataset=dict("
mix, end = "type='MultiImageMixDataset',", "pipeline=train_pipeline))"
around = checkout.edit(config, {mix: outer + mix, end: end + ")"})
annotations = dict(data__train__dataset__dataset__ann_file="data/four.json")
failure = checkout.fails(checkout.train, around, 2, **annotations, **fit.RESNET18)
reason = "'RepeatDataset' object has no attribute 'update_skip_type_keys'"
checkout.check(f"It says: {reason}", reason in failure.message, True)

# %%
coco_dataset = "dataset=dict(\n            type='CocoDataset',"
repeats = coco_dataset.replace(
    "dict(", "dict(\n            type='RepeatDataset', times=2, dataset=dict("
)
within = checkout.edit(
    config,
    {coco_dataset: repeats, "filter_empty_gt=False)": "filter_empty_gt=False))"},
    adapts=True,
)
last = dict(custom_hooks__1__num_last_epochs=1, evaluate=False, keep_images=True)
repeated = checkout.train(within, 2, **last, **annotations, **fit.RESNET18)
checkout.check("Plain epochs of 2", mosaic.plain_epochs(checkout, repeated), [2])

# %%
# Images of all sizes: there is no ``Resize``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/mosaic_off_resize.rst
line = "    dict(type='Resize', img_scale=img_scale[::-1], keep_ratio=True),\n"
large = checkout.dataset(checkout.config(checkout.edit(config, {line: ""})))
large.update_skip_type_keys(["Mosaic", "RandomAffine", "MixUp"])
with checkout.inside():
    item, file = large[0]["img_metas"].data, large.dataset[0]["img"]
checkout.check("Height and width", item["img_shape"][:2], file.shape[:2])

# %%
# Proof
# -----

# %%
# Its last two epochs see plain images
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/mosaic_off_plain.rst
checkout.check("Worker processes", cfg.data.workers_per_gpu, 2)
checkout.check("They live on", cfg.data.persistent_workers, True)
checkout.check("Plain epochs of 12", mosaic.plain_epochs(checkout, run), [11, 12])

# %%
# .. include:: ../../gallery/words/mosaic_off_same.rst
stock = checkout.config("faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py").data.train
train = cfg.data.train
same = train.pipeline[3:] == stock.pipeline[2:]
checkout.check("What follows the mixing is the standard config's", same, True)
same = train.dataset.pipeline == stock.pipeline[:2]
checkout.check("So is loading", same, True)

# %%
# The mixing is YOLOX's
# ~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/mosaic_off_steps.rst
yolox_s = checkout.config("yolox/yolox_s_8x8_300e_coco.py").data.train
for mine, other in zip(train.pipeline[:3], yolox_s.pipeline[:3], strict=True):
    differs = [key for key in {**other, **mine} if mine.get(key) != other.get(key)]
    size = "border" if mine.type == "RandomAffine" else "img_scale"
    checkout.check(f"{mine.type} differs in", differs, [size])
sizes = [step.get("img_scale") for step in train.pipeline[:3:2]]
checkout.check("Images of both are as large as", sizes, [(800, 1333), (800, 1333)])

# %%
# .. include:: ../../gallery/words/mosaic_off_mixed.rst
dataset = checkout.dataset(cfg)
with checkout.inside():
    seed = mosaic.first_seed(dataset, index=0)
    steps = mosaic.mixed(dataset, index=0, seed=seed, steps=3)

# %%
from howto.figures.show import draw_boxes

figure, axes = plt.subplots(1, 2, figsize=(9, 3))
draw_boxes(axes[0], steps[1], dataset.CLASSES, "after RandomAffine")
draw_boxes(axes[1], steps[2], dataset.CLASSES, "after MixUp")
# sphinx_gallery_thumbnail_number = 2

# %%
before, after = steps[1:]
size = before["img"].shape[:2]
checkout.check("RandomAffine restores the size: height, width", size, (800, 1332))
kept = len(before["gt_labels"])
same = (after["gt_bboxes"][:kept] == before["gt_bboxes"]).all()
checkout.check("Boxes that were there stay as they are", bool(same), True)
added = len(after["gt_labels"]) > kept
checkout.check("MixUp adds the other image's", added, True)
other = 2.0 * after["img"] - before["img"]  # what is left of it is a whole image
checkout.check("Its darkest value, of 0 to 255", float(-other.min()), at_most=1)
checkout.check("Its brightest value", float(other.max()), at_most=255)

# %%
# Each epoch draws other mosaics
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/mosaic_off_workers2.rst
with checkout.inside():
    first, second = mosaic.read(cfg, dataset)
differ = mosaic.partners(first) != mosaic.partners(second)
checkout.check("The second epoch mixes in others than the first", differ, True)
checkout.check("Images read for one", {len(read) for _, read in first}, {5})
everything = len(checkout.annotations("train")["images"])
checkout.check("All images take part", len(dataset), everything)

# %%
# Resumed, it stays off
# ~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/mosaic_off_resumed.rst
eleventh = run.checkpoint.with_name("epoch_11.pth")
more = dict(resume_from=eleventh, evaluate=False, keep_images=True)
last = checkout.train(config, 12, **more, **small)
checkout.check("Epochs that ran", [each + 1 for each in last.epochs], [12])
checkout.check("Plain ones of them", mosaic.plain_epochs(checkout, last), [12])

# %%
# It trains on several GPUs
# ~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/custom_classes_gpus.rst
printed = checkout.launch(config, iterations=2, **fit.RESNET18)
checkout.check("Two processes trained", "Epoch [1]" in printed, True)
expected = "epoch 1: no Mosaic, RandomAffine, MixUp any more"
checkout.check("The first one says it", printed.count(expected), 1)
unused = checkout.unused_parameters(cfg)
checkout.check("Parameters without a gradient", unused, [])

# %%
# What was not tried
# ~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/mosaic_off_not_tried.rst
