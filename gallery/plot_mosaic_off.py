"""
How do I add MixUp, and switch Mosaic off for the last epochs?
==============================================================

MixUp is one more step after Mosaic, and a hook takes both away in the last epochs. This config trains
ten epochs on mixed images and two on plain ones, with any detector that learns boxes alone.
"""

# %%
# .. index:: ! MixUp, Mosaic; last epochs, close mosaic, ! YOLOXModeSwitchHook, ! PipelineSwitchHook, skip_type_keys
#
# .. snippet:: faster_rcnn_r50_fpn_mosaic_off_1x_coco.py
# {% if mmdet2 %}
#
# .. snippet:: mosaic_off_hook.py
# {% endif %}
#
# .. train:: faster_rcnn_r50_fpn_mosaic_off_1x_coco.py

# %%
# Adapt it
# --------
# {% if mmdet2 %}
# - **More epochs**: change ``num_last_epochs``. The hook counts from the end of the schedule, from whatever
#   ``runner.max_epochs`` you set. YOLOX takes 15 of 300. Move the drops of the rate, too, for 24 epochs
#   with ``lr_config = dict(step=[16, 22])``.
# - **Another detector**: change ``_base_``, and copy the ``img_norm_cfg`` of its config: those with ``caffe``
#   in their name use other values. List the ``custom_hooks`` of that config before ``MosaicOffHook``, and
#   its ``custom_imports`` before this one: a list replaces that of the base.
# - **Your own data**: change ``data_root``, ``ann_file`` and ``img_prefix`` here, and add ``classes``, see
#   :doc:`your own classes <plot_custom_classes>`.
# - **Other steps**: set ``skip_type_keys`` of the hook. A name that the pipeline does not have skips nothing.
# {% else %}
# - **More epochs**: change ``max_epochs`` and ``num_last_epochs``. YOLOX takes 15 of 300. Move the
#   drops of the rate, too, for 24 epochs with ``param_scheduler = _base_.param_scheduler`` and
#   ``param_scheduler[1].update(end=24, milestones=[16, 22])``.
# - **Another detector**: change ``_base_``. The ``custom_hooks`` of that config stay: this one adds its own.
# - **Your own data**: change ``data_root``, ``ann_file`` and ``data_prefix`` here, and add ``metainfo``, see
#   :doc:`your own classes <plot_custom_classes>`. Without it objects with names of your own are left out,
#   and the log does not say so.
# {% endif %}
# - **Another scale**: change ``img_scale``. Tests stay at (1333, 800): set their scale as
#   for :doc:`small objects <plot_small_objects>`.
# - **MixUp alone, or Mosaic alone**: leave the other step out. ``RandomAffine`` belongs to Mosaic.
# - **Masks**: see :doc:`plot_mosaic`, under *Pitfalls*.
import json
import os
from pathlib import Path

from howto import Workspace
from howto.checkout import coco, fit
from howto.checkout.family import api
from howto.figures import mosaic
from howto.figures.show import Table, draw_boxes

checkout = Workspace("mosaic_off")
checkout.ask_python()
cfg = checkout.config()
standard = checkout.config("faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py")
train, stock = api().split(cfg, "train"), api().split(standard, "train")

# %%
# SSD has two hooks. With them, this is the config for SSD:
ssd = {f"faster_rcnn/{Path(standard.filename).name}": "ssd/ssd300_coco.py"}
# {% if mmdet2 %}
theirs = "    dict(type='CheckInvalidLossHook', interval=50, priority='VERY_LOW'),\n"
ours = "    dict(type='MosaicOffHook'"
ssd[ours] = theirs + ours
# {% endif %}
other = checkout.config(checkout.edit(checkout.own, ssd, adapts=True))
kept = checkout.config("ssd/ssd300_coco.py").custom_hooks
checkout.check("The hooks of SSD stay", other.custom_hooks[:-1] == kept, True)
checkout.check("Hooks", len(other.custom_hooks), 3)

# %%
# YOLOX has a hook of its own
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~
# YOLOX mixes by itself, and so does RTMDet. YOLOX's ``YOLOXModeSwitchHook`` also switches a loss on: the L1
# distance of the boxes. Told to leave ``num_last_epochs=2`` of six without Mosaic, it leaves three. Measured
# on the images that a small YOLOX-tiny saw, and on its log:
content = checkout.annotations("train")
shown = list(dict.fromkeys(each["image_id"] for each in content["annotations"]))
path = checkout.root / "data/four.json"
path.write_text(json.dumps(coco.subset(content, shown[:4])), "utf-8")
four = os.path.relpath(path, checkout.root / train.dataset.get("data_root", ""))

# %%
quick = dict(
    train__dataset__ann_file=four,
    train__pipeline__0__img_scale=(64, 64),
    train__pipeline__1__border=(-32, -32),
    train__pipeline__2=dict(hue_delta=0, saturation_delta=0, value_delta=0),
    batch_size=4,
    custom_hooks__0__num_last_epochs=2,
    train__pipeline__4={api().SCALES[0]: (64, 64)},
    checkpoint_interval=1,
)
# {% if mmdet3 %}
quick["train__pipeline__5"] = dict(pad_to_square=False, size_divisor=1)
# {% endif %}

# %%
tiny, numbers = "yolox/yolox_tiny_8x8_300e_coco.py", range(1, 7)
yolox = checkout.train(tiny, epochs=6, evaluate=False, keep_images=True, **quick)
plain = mosaic.plain_epochs(checkout, yolox)
lines = [yolox.logged(api().FIRST_EPOCH.replace("1", str(each))) for each in numbers]
l1 = [n for n in numbers if all("loss_l1" in line for line in lines[n - 1])]
on = {False: "no", True: "yes"}
rows = [(f"{n} of 6", on[n in plain], on[n in l1]) for n in numbers]
Table(("Epoch", "Plain images", "L1 loss"), rows)

# %%
# Your log should say
# -------------------
# One line, before the first epoch of plain images. The config trained all of its twelve epochs here,
# on four images, with two worker processes:
dataset = checkout.dataset(cfg)
with checkout.inside():
    loader = api().loader(cfg, dataset)
workers = dict(workers=loader.num_workers, persistent_workers=loader.persistent_workers)
few = dict(train__dataset__ann_file=four, **fit.RESNET18)
small = dict(few, checkpoint_interval=11, **workers)
run = checkout.train(epochs=12, evaluate=False, keep_images=True, **small)

# %%
# {% if mmdet2 %}
line = "epoch 11: no Mosaic, RandomAffine, MixUp any more"
# {% else %}
line = "Switch pipeline now!"
# {% endif %}
said = run.logged(line)
checkout.check("Times that it says so", len(said), 1)
print(*said)

# %%
# The first image that the detector saw in four of these epochs:
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
# Take the hook of this page. YOLOX's turns on the L1 loss of the ``bbox_head`` after the switch. A two-stage
# detector has its box head in ``roi_head``, so training fails when the last epochs begin, hours after its start.
# {% if mmdet2 %}
theirs = {"type='MosaicOffHook'": "type='YOLOXModeSwitchHook'"}
# {% else %}
hook = """type='PipelineSwitchHook',
        switch_epoch=max_epochs - num_last_epochs,
        switch_pipeline=plain_pipeline)"""
theirs = {hook: "type='YOLOXModeSwitchHook', num_last_epochs=num_last_epochs)"}
# {% endif %}
variant = checkout.edit(checkout.own, theirs)
failure = checkout.fails(checkout.train, variant, 3, evaluate=False, **small)
reason = "AttributeError: 'FasterRCNN' object has no attribute 'bbox_head'"
checkout.check("It says", failure.message, reason)

# %%
# One epoch more is without Mosaic: YOLOX's hook is early
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Give it one less if the number matters. It switches when the next epoch is the first of the last ones, so one
# more is plain than its ``num_last_epochs`` says: 16 of YOLOX's own 300, not 15.
theirs = checkout.config(tiny)
hook = {hook.type: hook for hook in theirs.custom_hooks}["YOLOXModeSwitchHook"]
both = hook.num_last_epochs, api().epochs(theirs)
checkout.check("num_last_epochs of YOLOX, and its epochs", both, (15, 300))
checkout.check("Plain epochs of 6, for num_last_epochs=2", plain, [4, 5, 6])
checkout.check("Epochs with the L1 loss", l1, [4, 5, 6])

# %%
# {% if mmdet2 %}
# Mosaic is back after resuming: YOLOX's hook waits for one epoch
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Resume from a checkpoint of an earlier epoch, or use the hook of this page, which leaves the L1 loss off. YOLOX's
# hook acts before one epoch alone. A training that is resumed after that epoch goes on with Mosaic to its end,
# without the L1 loss, and the log does not say so:
fifth = yolox.checkpoint.with_name("epoch_5.pth")
more = dict(resume_from=fifth, evaluate=False, keep_images=True)
resumed = checkout.train(tiny, epochs=6, **more, **quick)
checkout.check("Epochs that ran", [each + 1 for each in resumed.epochs], [6])
checkout.check("Plain ones of them", mosaic.plain_epochs(checkout, resumed), [])
checkout.check("The L1 loss is in the log", "loss_l1" in resumed.log, False)
# {% else %}
# Half of the epochs are plain: ``max_epochs`` was raised elsewhere
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Raise it in this file. ``switch_epoch`` is a number, computed when this file is read. A config that inherits
# from it, or ``--cfg-options``, sets ``max_epochs`` later:
longer = checkout.config(train_cfg__max_epochs=24)
hook = longer.custom_hooks[-1]
checkout.check("Plain epochs of 24", 24 - hook.switch_epoch, 14)
# {% endif %}

# %%
# {% if mmdet2 %}
# ``TypeError: IterBasedRunner has no epochs to count``: the run counts iterations
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Train by epochs. In an ``IterBasedRunner`` no epoch begins, so Mosaic would stay on to the end. The hook
# stops such a run before its first iteration.
by_iteration = dict(_delete_=True, type="IterBasedRunner", max_iters=4)
failure = checkout.fails(checkout.train, runner=by_iteration, **few)
message = "TypeError: IterBasedRunner has no epochs to count"
checkout.check(f"It says: {message}", failure.message.startswith(message), True)
# {% else %}
# Mosaic to the end: the run counts iterations
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Train by epochs. An ``IterBasedTrainLoop`` stays in epoch 0, so ``PipelineSwitchHook`` never acts, and
# training goes on with Mosaic to its end. The only sign is that the log lacks ``Switch pipeline now!``.
# Here are as many iterations as three epochs have, and a hook that is to switch after one:
switch = dict(custom_hooks__0__switch_epoch=1, evaluate=False, keep_images=True)
loop = dict(_delete_=True, type="IterBasedTrainLoop", max_iters=6)
counted = checkout.train(train_cfg=loop, **switch, **few)
checkout.check("Iterations", len(counted.losses), 6)
checkout.check("Lines of the switch", len(counted.logged("Switch pipeline")), 0)
checkout.check("Plain epochs", mosaic.plain_epochs(checkout, counted), [])
# {% endif %}

# %%
# {% if mmdet2 %}
# ``'RepeatDataset' object has no attribute 'update_skip_type_keys'``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Put ``RepeatDataset`` inside the wrapper. The hook asks the outermost dataset, and ``RepeatDataset`` passes
# nothing on. The hook asks before the first epoch, so no training is lost.
# {% else %}
# Mosaic to the end, though the log says otherwise: the dataset is repeated
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Put ``RepeatDataset`` inside the wrapper. The hook changes the outermost dataset, and ``RepeatDataset``
# uses no pipeline.
# {% endif %}
text = checkout.root.joinpath("configs/mosaic_off", checkout.own).read_text("utf-8")
mix, end = "type='MultiImageMixDataset',", text.splitlines()[-1]
outer = f"type='RepeatDataset',\n        times=2,\n        dataset=dict({mix}"
around = checkout.edit(checkout.own, {mix: outer, end: end + ")"})
deeper = dict(train__dataset__dataset__ann_file=four, **fit.RESNET18)

# %%
# {% if mmdet2 %}
failure = checkout.fails(checkout.train, around, 3, checkpoint_interval=1, **deeper)
reason = "'RepeatDataset' object has no attribute 'update_skip_type_keys'"
checkout.check(f"It says: {reason}", reason in failure.message, True)
saved = checkout.root.glob(f"work_dirs/{Path(around).stem}/epoch_*.pth")
checkout.check("Epochs trained until then", len(list(saved)), 0)
# {% else %}
repeated = checkout.train(around, 2, **switch, **deeper)
checkout.check("It says", repeated.logged("Switch pipeline"), ["Switch pipeline now!"])
checkout.check("Plain epochs", mosaic.plain_epochs(checkout, repeated), [])
# {% endif %}

# %%
inner = "dataset=dict(\n            type='CocoDataset',"
repeats = inner.replace("dict(", "dict(type='RepeatDataset', times=2, dataset=dict(")
# {% if mmdet2 %}
end = "filter_empty_gt=False)"
switch = dict(custom_hooks__1__num_last_epochs=1, evaluate=False, keep_images=True)
# {% else %}
end = "pipeline=load_pipeline)"
# {% endif %}
within = checkout.edit(checkout.own, {inner: repeats, end: end + ")"}, adapts=True)
repeated = checkout.train(within, 2, **switch, **deeper)
checkout.check("Plain epochs of 2", mosaic.plain_epochs(checkout, repeated), [2])

# %%
# Images of all sizes: there is no ``Resize``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Keep ``Resize`` after the mixing. Mixed images have the right size without it, but in the last epochs each
# image is as large as its file, which may be too much for the GPU's memory.
(line,) = [line for line in text.splitlines(keepends=True) if "type='Resize'" in line]
large = checkout.dataset(checkout.config(checkout.edit(checkout.own, {line: ""})))
large.update_skip_type_keys(["Mosaic", "RandomAffine", "MixUp"])
with checkout.inside():
    item, file = large[0], large.dataset[0]["img"]
checkout.check("Height and width", api().shape(item), file.shape[:2])

# %%
# Evidence
# --------

# %%
# Its last two epochs see plain images
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Every image that the detector saw was compared with its file, scaled and mirrored: those of the last
# two epochs are the photographs, and those before them are not. Workers that live on from epoch to epoch keep
# the dataset that they began with, so the hook has to start others.
checkout.check("Worker processes", loader.num_workers, 2)
checkout.check("They live on", loader.persistent_workers, True)
checkout.check("Plain epochs of 12", mosaic.plain_epochs(checkout, run), [11, 12])

# %%
# They come as the standard config would show them:
for step in stock.pipeline[:2]:
    step.pop("backend_args", None)
same = train.pipeline[3:] == stock.pipeline[2:]
checkout.check("What follows the mixing is the standard config's", same, True)
same = train.dataset.pipeline == stock.pipeline[:2]
checkout.check("So is loading", same, True)
# {% if mmdet3 %}
later = cfg.custom_hooks[-1].switch_pipeline
checkout.check("So is what the hook sets", later == stock.pipeline[2:], True)
smallest = train.dataset.filter_cfg.min_size
checkout.check("Smallest image, as there", smallest, stock.filter_cfg.min_size)
# {% endif %}

# %%
# The mixing is YOLOX's
# ~~~~~~~~~~~~~~~~~~~~~
# The scale differs: here it is that of the standard Faster R-CNN.
yolox_s = api().split(checkout.config("yolox/yolox_s_8x8_300e_coco.py"), "train")
for mine, other in zip(train.pipeline[:3], yolox_s.pipeline[:3], strict=True):
    differs = [key for key in {**other, **mine} if mine.get(key) != other.get(key)]
    size = "border" if mine.type == "RandomAffine" else "img_scale"
    checkout.check(f"{mine.type} differs in", differs, [size])
sizes = [step.get("img_scale") for step in train.pipeline[:3:2]]
# {% if mmdet2 %}
checkout.check("Images of both are as large as", sizes, [(800, 1333), (800, 1333)])
# {% else %}
checkout.check("Images of both are as large as", sizes, [(1333, 800), (1333, 800)])
# {% endif %}

# %%
# MixUp lays a second photograph over the image that Mosaic made, each at half its brightness, and keeps
# the boxes of both. It is scaled by 0.8 to 1.6 before, at random.
with checkout.inside():
    seed = mosaic.first_seed(dataset, index=0)
    steps = mosaic.mixed(dataset, index=0, seed=seed, steps=3)
figure, axes = plt.subplots(1, 2, figsize=(9, 3))
draw_boxes(axes[0], steps[1], api().classes(dataset), "after RandomAffine")
draw_boxes(axes[1], steps[2], api().classes(dataset), "after MixUp")

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
# {% if mmdet2 %}
# For each image five are read, so loading takes five times as long. ``persistent_workers`` matters: workers
# that are started for each epoch draw the same images again, see :doc:`plot_mosaic`.
# {% else %}
# For each image six are read, or more: MixUp reads one to see whether it has boxes, and reads it again.
# {% endif %}
with checkout.inside():
    first, second = mosaic.read(cfg, dataset)
differ = mosaic.partners(first) != mosaic.partners(second)
checkout.check("The second epoch mixes in others than the first", differ, True)
# {% if mmdet2 %}
checkout.check("Images read for one", {len(read) for _, read in first}, {5})
# {% else %}
fewest = min(len(read) for _, read in first)
checkout.check("Images read for one, at least", fewest, 6)
# {% endif %}
everything = len(checkout.annotations("train")["images"])
checkout.check("All images take part", len(dataset), everything)

# %%
# Resumed, it stays off
# ~~~~~~~~~~~~~~~~~~~~~
# From the checkpoint of epoch 11, the last epoch is plain as it would have been:
eleventh = run.checkpoint.with_name("epoch_11.pth")
more = dict(resume_from=eleventh, evaluate=False, keep_images=True)
last = checkout.train(epochs=12, **more, **small)
checkout.check("Epochs that ran", [each + 1 for each in last.epochs], [12])
checkout.check("Plain ones of them", mosaic.plain_epochs(checkout, last), [12])

# %%
# It trains on several GPUs
# ~~~~~~~~~~~~~~~~~~~~~~~~~
# Two processes average their gradients, as this command has them do:
printed = checkout.launch(iterations=2, **fit.RESNET18)
checkout.check("Two processes trained", api().FIRST_EPOCH in printed, True)
# {% if mmdet2 %}
expected = "epoch 1: no Mosaic, RandomAffine, MixUp any more"
checkout.check("The first one says it", printed.count(expected), 1)
# {% endif %}
unused = checkout.unused_parameters(cfg)
checkout.check("Parameters without a gradient", unused, [])

# %%
# What was not tried
# ~~~~~~~~~~~~~~~~~~
# - Accuracy: four images cannot tell whether Mosaic helps, or for how long.
# - Twelve epochs on COCO, and more than two GPUs. At full scale one image was mixed, none trained on.
