"""
How do I add MixUp, and switch Mosaic off for the last epochs?
==============================================================

MixUp is one more step after Mosaic, and ``PipelineSwitchHook`` takes both away in the last epochs.
This config trains ten epochs on mixed images and two on plain ones, with any detector.
"""

# %%
# .. index:: ! MixUp, Mosaic; last epochs, ! PipelineSwitchHook, ! YOLOXModeSwitchHook
#
# .. snippet:: mosaic_off/faster-rcnn_r50_fpn_mosaic-off_1x_coco.py
#
# .. train:: mosaic_off/faster-rcnn_r50_fpn_mosaic-off_1x_coco.py

# %%
# Adapt it
# --------
# .. include:: ../../gallery/words/mosaic_off_adapt3.rst

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
config = "faster-rcnn_r50_fpn_mosaic-off_1x_coco.py"
cfg = checkout.config(config)
content = checkout.annotations("train")
shown = list(dict.fromkeys(each["image_id"] for each in content["annotations"]))
path = checkout.root / "data/four.json"
path.write_text(json.dumps(coco.subset(content, shown[:4])))

# %%
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
yolox = checkout.train(tiny, epochs=6, evaluate=False, keep_images=True, **quick)


# %%
plain = mosaic.plain_epochs(checkout, yolox)
l1 = [
    number
    for number in range(1, 7)
    if all("loss_l1" in line for line in yolox.logged(f"Epoch(train) [{number}]"))
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
# .. include:: ../../gallery/words/mosaic_off_log3.rst
loader = cfg.train_dataloader
workers = dict(
    train_dataloader__dataset__dataset__ann_file="../four.json",
    train_dataloader__num_workers=loader.num_workers,
    train_dataloader__persistent_workers=loader.persistent_workers,
    default_hooks__checkpoint__interval=11,
)
small = {**fit.RESNET18, **workers}
run = checkout.train(config, 12, evaluate=False, keep_images=True, **small)
said = run.logged("Switch pipeline now!")
print(*said)
checkout.check("Times that it says so", len(said), 1)

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
hook = """type='PipelineSwitchHook',
        switch_epoch=max_epochs - num_last_epochs,
        switch_pipeline=plain_pipeline)"""
yolox_hook = "type='YOLOXModeSwitchHook', num_last_epochs=num_last_epochs)"
theirs = checkout.edit(config, {hook: yolox_hook})
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
# Half of the epochs are plain: ``max_epochs`` was raised elsewhere
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/mosaic_off_longer.rst
longer = checkout.config(config, train_cfg__max_epochs=24)
(hook,) = longer.custom_hooks
checkout.check("Plain epochs of 24", 24 - hook.switch_epoch, 14)

# %%
# Mosaic to the end, though the log says otherwise: the dataset is repeated
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/mosaic_off_repeated.rst
outer = "type='RepeatDataset',\n        times=2,\n        dataset=dict("
mix, end = "type='MultiImageMixDataset',", "mix_pipeline + plain_pipeline))"
around = checkout.edit(config, {mix: outer + mix, end: end + ")"})
annotations = dict(train_dataloader__dataset__dataset__dataset__ann_file="../four.json")
switch = dict(custom_hooks__0__switch_epoch=1, evaluate=False, keep_images=True)
repeated = checkout.train(around, 2, **switch, **annotations, **fit.RESNET18)
checkout.check("It says", repeated.logged("Switch pipeline"), ["Switch pipeline now!"])
checkout.check("Plain epochs", mosaic.plain_epochs(checkout, repeated), [])

# %%
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

# %%
# Images of all sizes: there is no ``Resize``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/mosaic_off_resize.rst
line = "    dict(type='Resize', scale=img_scale, keep_ratio=True),\n"
missing = checkout.edit(config, {line: ""})
large = checkout.dataset(checkout.config(missing))
large.pipeline = large.pipeline[3:]
large.pipeline_types = large.pipeline_types[3:]
with checkout.inside():
    item, file = large[0]["data_samples"], large.dataset[0]["img"]
checkout.check("Height and width", item.img_shape, file.shape[:2])

# %%
# Proof
# -----

# %%
# Its last two epochs see plain images
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/mosaic_off_plain.rst
checkout.check("Worker processes", loader.num_workers, 2)
checkout.check("They live on", loader.persistent_workers, True)
checkout.check("Plain epochs of 12", mosaic.plain_epochs(checkout, run), [11, 12])

# %%
# .. include:: ../../gallery/words/mosaic_off_same.rst
stock = checkout.config("faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py")
stock = stock.train_dataloader.dataset
train, (hook,) = loader.dataset, cfg.custom_hooks
same = train.pipeline[3:] == hook.switch_pipeline == stock.pipeline[2:]
checkout.check("What follows the mixing is the standard config's", same, True)
loading = stock.pipeline[:2]
for step in loading:
    step.pop("backend_args", None)
checkout.check("So is loading", train.dataset.pipeline == loading, True)
smallest = train.dataset.filter_cfg.min_size
checkout.check("Smallest image, as there", smallest, stock.filter_cfg.min_size)

# %%
# The mixing is YOLOX's
# ~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/mosaic_off_steps.rst
yolox_s = checkout.config("yolox/yolox_s_8xb8-300e_coco.py").train_dataset
for mine, other in zip(train.pipeline[:3], yolox_s.pipeline[:3], strict=True):
    differs = [key for key in {**other, **mine} if mine.get(key) != other.get(key)]
    size = "border" if mine.type == "RandomAffine" else "img_scale"
    checkout.check(f"{mine.type} differs in", differs, [size])
sizes = [step.get("img_scale") for step in train.pipeline[:3:2]]
checkout.check("Images of both are as large as", sizes, [(1333, 800), (1333, 800)])

# %%
# .. include:: ../../gallery/words/mosaic_off_mixed.rst
dataset = checkout.dataset(cfg)
with checkout.inside():
    seed = mosaic.first_seed(dataset, index=0)
    steps = mosaic.mixed(dataset, index=0, seed=seed, steps=3)

# %%
from howto.figures.show import draw_boxes

figure, axes = plt.subplots(1, 2, figsize=(9, 3))
draw_boxes(axes[0], steps[1], dataset.metainfo["classes"], "after RandomAffine")
draw_boxes(axes[1], steps[2], dataset.metainfo["classes"], "after MixUp")
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
# .. include:: ../../gallery/words/mosaic_off_workers3.rst
with checkout.inside():
    first, second = mosaic.read(cfg, dataset)
differ = mosaic.partners(first) != mosaic.partners(second)
checkout.check("The second epoch mixes in others than the first", differ, True)
fewest = min(len(read) for _, read in first)
checkout.check("Images read for one, at least", fewest, 6)
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
checkout.check("Two processes trained", "Epoch(train) [1]" in printed, True)
unused = checkout.unused_parameters(cfg)
checkout.check("Parameters without a gradient", unused, [])

# %%
# What was not tried
# ~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/mosaic_off_not_tried.rst
