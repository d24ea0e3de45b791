"""
How do I add MixUp, and switch Mosaic off for the last epochs?
==============================================================

# {% if mmdet2 %}
MixUp is one more step after Mosaic, and a hook skips both in the last epochs. This config trains
ten epochs on mixed images and two on plain ones, and its hook goes with any detector.
# {% else %}
MixUp is one more step after Mosaic, and ``PipelineSwitchHook`` takes both away in the last epochs.
This config trains ten epochs on mixed images and two on plain ones, with any detector.
# {% endif %}
"""

# %%
# {% if mmdet2 %}
# .. index:: ! MixUp, Mosaic; last epochs, ! YOLOXModeSwitchHook, skip_type_keys, persistent_workers
# {% else %}
# .. index:: ! MixUp, Mosaic; last epochs, ! PipelineSwitchHook, ! YOLOXModeSwitchHook
# {% endif %}
#
# .. snippet:: faster_rcnn_r50_fpn_mosaic_off_1x_coco.py
#
# .. train:: faster_rcnn_r50_fpn_mosaic_off_1x_coco.py
# {% if mmdet2 %}
#
# .. snippet:: mosaic_off_hook.py
# {% endif %}

# %%
# Adapt it
# {% if mmdet2 %}
# --------
# - **More epochs**: change ``num_last_epochs``. The hook counts from the end of the schedule, and from
#   whatever ``runner.max_epochs`` you set. YOLOX takes 15 of 300. Move the drops of the rate, too, for 24
#   epochs with ``lr_config = dict(step=[16, 22])``.
# - **Another scale**: change ``img_scale``. Tests stay at (1333, 800): set their scale as
#   for :doc:`small objects <plot_small_objects>`.
# - **Another detector**: change ``_base_``; it must learn boxes alone. Copy its ``img_norm_cfg``, with
#   which it is tested: configs with ``caffe`` in their name have another one.
# - **Your own data**: change ``data_root``, ``ann_file`` and ``img_prefix`` here, and add ``classes``, see
#   :doc:`your own classes <plot_custom_classes>`.
# - **MixUp alone, or Mosaic alone**: leave the other step out. ``RandomAffine`` belongs to Mosaic. A name
#   in ``skip_type_keys`` that the pipeline does not have skips nothing.
# {% else %}
# --------
# - **More epochs**: change ``max_epochs`` and ``num_last_epochs``. YOLOX takes 15 of 300. Move the
#   drops of the rate, too, for 24 epochs with ``param_scheduler = _base_.param_scheduler`` and
#   ``param_scheduler[1].update(end=24, milestones=[16, 22])``.
# - **Another scale**: change ``img_scale``. Tests stay at (1333, 800): set their scale
#   as for :doc:`small objects <plot_small_objects>`.
# - **Another detector**: change ``_base_``; it must learn boxes alone.
# - **Your own data**: change ``data_root``, ``ann_file`` and ``data_prefix`` here, and add ``metainfo``, see
#   :doc:`your own classes <plot_custom_classes>`. Without it objects with names of your own are left out,
#   and nothing is reported.
# - **MixUp alone, or Mosaic alone**: leave the other step out. ``RandomAffine`` belongs to Mosaic.
# {% endif %}

# %%
# YOLOX has a hook of its own
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~
# YOLOX mixes by itself. Its ``YOLOXModeSwitchHook`` switches a loss on, too: the L1 distance of the
# boxes. Told to leave ``num_last_epochs=2`` of six without Mosaic, it leaves three. Measured on the
# images that a small YOLOX-tiny saw, and on its log:
import json

from howto import Workspace
from howto.checkout.family import api
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
# {% if mmdet2 %}
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
# {% else %}
tiny = "yolox/yolox_tiny_8xb8-300e_coco.py"
pipeline = {
    "0__img_scale": (64, 64),
    "1__border": (-32, -32),
    "2": dict(hue_delta=0, saturation_delta=0, value_delta=0),
    "4__scale": (64, 64),
    "5": dict(pad_to_square=False, size_divisor=1),
}
step = "train_dataloader__dataset__pipeline__"
quick = dict(
    {step + key: value for key, value in pipeline.items()},
    train_dataloader__dataset__dataset__ann_file="../four.json",
    train_dataloader__batch_size=4,
    custom_hooks__0__num_last_epochs=2,
    default_hooks__checkpoint__interval=1,
)

# %%
# {% endif %}
yolox = checkout.train(tiny, epochs=6, evaluate=False, keep_images=True, **quick)


# %%
plain = mosaic.plain_epochs(checkout, yolox)
# {% if mmdet2 %}
l1 = [
    number
    for number in range(1, 7)
    if all("loss_l1" in line for line in yolox.logged(f"Epoch [{number}]"))
]
# {% else %}
l1 = [
    number
    for number in range(1, 7)
    if all("loss_l1" in line for line in yolox.logged(f"Epoch(train) [{number}]"))
]
# {% endif %}
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
# {% if mmdet2 %}
# -------------------
# One line, before the first epoch of plain images. The config trained all of its twelve epochs here,
# on four images, with two worker processes:
workers = dict(
    data__train__dataset__ann_file="data/four.json",
    data__workers_per_gpu=cfg.data.workers_per_gpu,
    data__persistent_workers=cfg.data.persistent_workers,
    checkpoint_config__interval=11,
)
# {% else %}
# -------------------
# One line, before the first epoch of plain images; it does not say which pipeline is the new one.
# The config trained all of its twelve epochs here, on four images, with two worker processes:
loader = cfg.train_dataloader
workers = dict(
    train_dataloader__dataset__dataset__ann_file="../four.json",
    train_dataloader__num_workers=loader.num_workers,
    train_dataloader__persistent_workers=loader.persistent_workers,
    default_hooks__checkpoint__interval=11,
)
# {% endif %}
small = {**fit.RESNET18, **workers}
run = checkout.train(config, 12, evaluate=False, keep_images=True, **small)
# {% if mmdet2 %}
said = run.logged("any more")
# {% else %}
said = run.logged("Switch pipeline now!")
# {% endif %}
print(*said)
# {% if mmdet2 %}
expected = "epoch 11: no Mosaic, RandomAffine, MixUp any more"
checkout.check("It says", said, [expected])
# {% else %}
checkout.check("Times that it says so", len(said), 1)
# {% endif %}

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
# After the switch it turns on the L1 loss of the ``bbox_head``. A two-stage detector has its box head in
# ``roi_head``, and the training ends with the first of the last epochs, hours after its start.
# {% if mmdet2 %}
theirs = checkout.edit(config, {"type='MosaicOffHook'": "type='YOLOXModeSwitchHook'"})
# {% else %}
hook = """type='PipelineSwitchHook',
        switch_epoch=max_epochs - num_last_epochs,
        switch_pipeline=plain_pipeline)"""
yolox_hook = "type='YOLOXModeSwitchHook', num_last_epochs=num_last_epochs)"
theirs = checkout.edit(config, {hook: yolox_hook})
# {% endif %}
failure = checkout.fails(checkout.train, theirs, 3, evaluate=False, **small)
reason = "AttributeError: 'FasterRCNN' object has no attribute 'bbox_head'"
checkout.check("It says", failure.message, reason)

# %%
# One epoch more is without Mosaic: YOLOX's hook is early
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# It switches when the next epoch is the first of the last ones, so one more is plain than its
# ``num_last_epochs`` says: 16 of YOLOX's own 300, not 15. Give it one less if the number matters.
checkout.check("Plain epochs of 6, for num_last_epochs=2", plain, [4, 5, 6])
checkout.check("Epochs with the L1 loss", l1, [4, 5, 6])

# %%
# {% if mmdet2 %}
# Mosaic is back after resuming: YOLOX's hook waits for one epoch
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# It acts before one epoch alone. A training that is resumed after that epoch goes on with Mosaic to its
# end, without the L1 loss, and no line says so:
fifth = yolox.checkpoint.with_name("epoch_5.pth")
more = dict(resume_from=fifth, evaluate=False, keep_images=True)
resumed = checkout.train(tiny, epochs=6, **more, **quick)
checkout.check("Epochs that ran", [each + 1 for each in resumed.epochs], [6])
checkout.check("Plain ones of them", mosaic.plain_epochs(checkout, resumed), [])
checkout.check("The L1 loss is in the log", "loss_l1" in resumed.log, False)
# {% else %}
# Half of the epochs are plain: ``max_epochs`` was raised elsewhere
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# ``switch_epoch`` is a number, computed when this file is read. A config that inherits from it, or
# ``--cfg-options``, sets ``max_epochs`` later:
longer = checkout.config(config, train_cfg__max_epochs=24)
(hook,) = longer.custom_hooks
checkout.check("Plain epochs of 24", 24 - hook.switch_epoch, 14)
# {% endif %}

# %%
# {% if mmdet2 %}
# ``'RepeatDataset' object has no attribute 'update_skip_type_keys'``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The hook asks the outermost dataset, and ``RepeatDataset`` passes nothing on. Put it inside the wrapper:
# {% else %}
# Mosaic to the end, though the log says otherwise: the dataset is repeated
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The hook changes the outermost dataset, and ``RepeatDataset`` uses no pipeline. Put it inside the
# wrapper:
# {% endif %}
outer = "type='RepeatDataset',\n        times=2,\n        dataset=dict("
# {% if mmdet2 %}
mix, end = "type='MultiImageMixDataset',", "pipeline=train_pipeline))"
# {% else %}
mix, end = "type='MultiImageMixDataset',", "mix_pipeline + plain_pipeline))"
# {% endif %}
around = checkout.edit(config, {mix: outer + mix, end: end + ")"})
# {% if mmdet2 %}
annotations = dict(data__train__dataset__dataset__ann_file="data/four.json")
failure = checkout.fails(checkout.train, around, 2, **annotations, **fit.RESNET18)
reason = "'RepeatDataset' object has no attribute 'update_skip_type_keys'"
checkout.check(f"It says: {reason}", reason in failure.message, True)
# {% else %}
annotations = dict(train_dataloader__dataset__dataset__dataset__ann_file="../four.json")
switch = dict(custom_hooks__0__switch_epoch=1, evaluate=False, keep_images=True)
repeated = checkout.train(around, 2, **switch, **annotations, **fit.RESNET18)
checkout.check("It says", repeated.logged("Switch pipeline"), ["Switch pipeline now!"])
checkout.check("Plain epochs", mosaic.plain_epochs(checkout, repeated), [])
# {% endif %}

# %%
# {% if mmdet2 %}
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
# {% else %}
inner = "dataset=dict(type='RepeatDataset', times=2, dataset=dict("
loads = "pipeline=load_pipeline)"
within = checkout.edit(
    config,
    {
        "dataset=dict(\n            type='CocoDataset',": f"{inner}\n            type='CocoDataset',",
        loads: loads + ")",
    },
    adapts=True,
)
repeated = checkout.train(within, 2, **switch, **annotations, **fit.RESNET18)
checkout.check("Plain epochs", mosaic.plain_epochs(checkout, repeated), [2])
# {% endif %}

# %%
# Images of all sizes: there is no ``Resize``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The mixed images have the right size, so nothing is amiss until the last epochs. Then each image is as
# large as its file, which may be too much for the GPU's memory.
# {% if mmdet2 %}
line = "    dict(type='Resize', img_scale=img_scale[::-1], keep_ratio=True),\n"
large = checkout.dataset(checkout.config(checkout.edit(config, {line: ""})))
large.update_skip_type_keys(["Mosaic", "RandomAffine", "MixUp"])
with checkout.inside():
    item, file = large[0]["img_metas"].data, large.dataset[0]["img"]
checkout.check("Height and width", item["img_shape"][:2], file.shape[:2])
# {% else %}
line = "    dict(type='Resize', scale=img_scale, keep_ratio=True),\n"
missing = checkout.edit(config, {line: ""})
large = checkout.dataset(checkout.config(missing))
large.pipeline = large.pipeline[3:]
large.pipeline_types = large.pipeline_types[3:]
with checkout.inside():
    item, file = large[0]["data_samples"], large.dataset[0]["img"]
checkout.check("Height and width", item.img_shape, file.shape[:2])
# {% endif %}

# %%
# Proof
# -----

# %%
# Its last two epochs see plain images
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Every image that the detector saw was compared with its file, scaled and mirrored: those of the last
# two epochs are the photographs, and none before them is. Workers that live on from epoch to epoch keep
# the dataset that they began with, so the hook has to start others.
# {% if mmdet2 %}
checkout.check("Worker processes", cfg.data.workers_per_gpu, 2)
checkout.check("They live on", cfg.data.persistent_workers, True)
# {% else %}
checkout.check("Worker processes", loader.num_workers, 2)
checkout.check("They live on", loader.persistent_workers, True)
# {% endif %}
checkout.check("Plain epochs of 12", mosaic.plain_epochs(checkout, run), [11, 12])

# %%
# They come as the standard config would show them:
# {% if mmdet2 %}
stock = checkout.config("faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py").data.train
train = cfg.data.train
same = train.pipeline[3:] == stock.pipeline[2:]
# {% else %}
stock = checkout.config("faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py")
stock = stock.train_dataloader.dataset
train, (hook,) = loader.dataset, cfg.custom_hooks
same = train.pipeline[3:] == hook.switch_pipeline == stock.pipeline[2:]
# {% endif %}
checkout.check("What follows the mixing is the standard config's", same, True)
# {% if mmdet2 %}
same = train.dataset.pipeline == stock.pipeline[:2]
checkout.check("So is loading", same, True)
# {% else %}
loading = stock.pipeline[:2]
for step in loading:
    step.pop("backend_args", None)
checkout.check("So is loading", train.dataset.pipeline == loading, True)
smallest = train.dataset.filter_cfg.min_size
checkout.check("Smallest image, as there", smallest, stock.filter_cfg.min_size)
# {% endif %}

# %%
# The mixing is YOLOX's
# ~~~~~~~~~~~~~~~~~~~~~
# But for the scale, which is that of the standard Faster R-CNN:
# {% if mmdet2 %}
yolox_s = checkout.config("yolox/yolox_s_8x8_300e_coco.py").data.train
# {% else %}
yolox_s = checkout.config("yolox/yolox_s_8xb8-300e_coco.py").train_dataset
# {% endif %}
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
dataset = checkout.dataset(cfg)
with checkout.inside():
    seed = mosaic.first_seed(dataset, index=0)
    steps = mosaic.mixed(dataset, index=0, seed=seed, steps=3)

# %%
from howto.figures.show import draw_boxes

figure, axes = plt.subplots(1, 2, figsize=(9, 3))
draw_boxes(axes[0], steps[1], api().classes(dataset), "after RandomAffine")
draw_boxes(axes[1], steps[2], api().classes(dataset), "after MixUp")
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
# {% if mmdet2 %}
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Each image takes five to be read, and so loading takes five times as long. ``persistent_workers``
# matters: workers that are started for each epoch draw the same images again, see
# :doc:`plot_mosaic`.
# {% else %}
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Each image takes six to be read, or more: MixUp reads one to see whether it has boxes, and reads it again.
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
last = checkout.train(config, 12, **more, **small)
checkout.check("Epochs that ran", [each + 1 for each in last.epochs], [12])
checkout.check("Plain ones of them", mosaic.plain_epochs(checkout, last), [12])

# %%
# It trains on several GPUs
# ~~~~~~~~~~~~~~~~~~~~~~~~~
# Two processes average their gradients, started by the command that you would use:
printed = checkout.launch(config, iterations=2, **fit.RESNET18)
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
# - Instance segmentation: Mosaic and MixUp carry no masks along.
