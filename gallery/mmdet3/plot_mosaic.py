"""
How do I train with Mosaic?
===========================

Mosaic needs four images at once, so the dataset is wrapped in ``MultiImageMixDataset``,
which hands them to it. A config of your own on top of the stock one does it; no file of
MMDetection is edited.
"""

# %%
# .. snippet:: mosaic/faster-rcnn_r50_fpn_mosaic_1x_coco.py
#
# Put it at that place in your checkout and train it:
#
# .. code-block:: console
#
#    $ python tools/train.py configs/mosaic/faster-rcnn_r50_fpn_mosaic_1x_coco.py

# %%
# What happens to an image
# ------------------------
# A ``Workspace`` is an MMDetection checkout with a small COCO in it; the file above
# lies in it unchanged. The detector stays as it is.
from howto import Workspace
from howto.diagram import draw_pipelines

checkout = Workspace("mosaic")
config = "faster-rcnn_r50_fpn_mosaic_1x_coco.py"
cfg = checkout.config(config)
stock = checkout.config("faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py")
draw_pipelines(cfg, stock)

# %%
# Four images become one
# ----------------------
# .. include:: ../../gallery/words/mosaic_four.rst
import matplotlib.pyplot as plt
from howto.mosaic import first_seed, mixed, sources
from howto.show import draw_boxes

dataset = checkout.dataset(cfg)

with checkout.inside():
    seed = first_seed(dataset, index=0)
    four = sources(dataset, index=0, seed=seed)
    mosaic, affine = mixed(dataset, index=0, seed=seed)

# %%
classes = dataset.metainfo["classes"]
figure, axes = plt.subplots(1, 4, figsize=(9, 2.2))
places = ("top left", "top right", "bottom left", "bottom right")
for axis, image, place in zip(axes, four, places, strict=True):
    draw_boxes(axis, image, classes, place)

# %%
# They meet in a point drawn at random, each scaled to fit 1333 × 800 and cut at the
# border. The canvas is twice as wide and twice as high as ``img_scale``; grey is
# padding.
figure, axes = plt.subplots(1, 2, figsize=(9, 3))
draw_boxes(axes[0], mosaic, classes, "after Mosaic")
draw_boxes(axes[1], affine, classes, "after RandomAffine")
# sphinx_gallery_thumbnail_number = 2

# %%
checkout.check(
    "canvas after Mosaic: height, width", mosaic["img"].shape[:2], (1600, 2666)
)
checkout.check(
    "image after RandomAffine: height, width", affine["img"].shape[:2], (800, 1332)
)

# %%
# .. include:: ../../gallery/words/mosaic_draws.rst
from howto.pairs import Pairs

with checkout.inside():
    draws = {f"seed {n}": mixed(dataset, index=0, seed=n) for n in range(5)}
pictures = {name: [step["img"] for step in steps] for name, steps in draws.items()}
Pairs(pictures, names=("after Mosaic", "after RandomAffine"))


# %%
# The rest is MMDetection's own
# -----------------------------
# Loading and mixing are YOLOX's, but for the sizes; flipping and packing is the stock
# Faster R-CNN's, and so is the model, whose ``data_preprocessor`` normalises and pads.
def without(step, *keys):
    return {key: value for key, value in step.items() if key not in keys}


train = cfg.train_dataloader.dataset
yolox = checkout.config("yolox/yolox_s_8xb8-300e_coco.py").train_dataloader.dataset
loading = [without(step, "backend_args") for step in yolox.dataset.pipeline]
checkout.check("loading", list(map(dict, train.dataset.pipeline)), loading)
theirs = yolox.dataset.filter_cfg
checkout.check("what is left out", train.dataset.get("filter_cfg"), theirs)
for step, size in enumerate(("img_scale", "border")):
    mine, theirs = train.pipeline[step], yolox.pipeline[step]
    checkout.check(mine.type, without(mine, size), without(theirs, size))

# %%
theirs = stock.train_dataloader.dataset.pipeline
checkout.check("flipping and packing", train.pipeline[2:], theirs[3:])
checkout.check("the model is the stock config's", cfg.model == stock.model, True)

# %%
# Every box is still on its object
# --------------------------------
# .. include:: ../../gallery/words/mosaic_paint.rst
from howto.mosaic import distance, painted_boxes

with checkout.inside():
    tracked = painted_boxes(dataset, index=0, seed=seed)

# %%
steps = zip(("Mosaic", "RandomAffine"), (mosaic, affine), tracked, strict=True)
for name, result, paint in steps:
    image, boxes = result["img"], result["gt_bboxes"]
    labels = [label for label, edges in paint]
    checkout.check(f"labels after {name}", list(result["gt_labels"]), labels)
    pairs = zip(boxes, paint, strict=True)
    worst = max(distance(box, edges, image) for box, (_, edges) in pairs)
    checkout.check(f"pixels from box to paint after {name}", worst, at_most=3)
    size = image.shape[1], image.shape[0]
    inside = (boxes >= 0).all() and (boxes.reshape(-1, 2) <= size).all()
    checkout.check(f"boxes after {name} are inside", bool(inside), True)

# %%
# .. include:: ../../gallery/words/mosaic_empty.rst
from howto.mosaic import images_shown

with checkout.inside():
    checkout.check("images in the canvas", images_shown(dataset, index=0, seed=seed), 4)
checkout.check(
    "fewest boxes in one of them", min(len(image["gt_bboxes"]) for image in four), 0
)

# %%
# It trains
# ---------
# .. include:: ../../gallery/words/mosaic_trains.rst
import math

run = checkout.train(config, epochs=2)
images = checkout.annotations("train")["images"]
checkout.check("images that take part", len(dataset), len(images))
checkout.check("every loss is finite", all(map(math.isfinite, run.losses)), True)
checkout.check(
    "weights of the box head moved in each epoch", run.trains("roi_head"), [True, True]
)
checkout.check("evaluations", run.evaluations, 2)

# %%
# Pitfall: ``data = dict(train=…)``
# ---------------------------------
# So it was written for MMDetection 2, and so it stands in the published tutorial. No
# one reads it here: the config loads, the training runs to its end, without Mosaic.
variant = checkout.edit(
    config, {"train_dataloader = dict(dataset=": "data = dict(train="}
)
run = checkout.train(variant, evaluate=False)
checkout.check("every loss is finite", all(map(math.isfinite, run.losses)), True)
ignored = checkout.dataset(checkout.config(variant))
checkout.check("what it trained on", type(ignored).__name__, "CocoDataset")
steps = [type(step).__name__ for step in ignored.pipeline.transforms]
checkout.check("Mosaic is among its steps", "Mosaic" in steps, False)

# %%
# Pitfall: ``filter_empty_gt`` beside ``pipeline``
# ------------------------------------------------
# There it was in MMDetection 2. Now it belongs into ``filter_cfg``.
old = "filter_cfg=dict(filter_empty_gt=False, min_size=32)"
variant = checkout.edit(config, {old: "filter_empty_gt=False"})
failure = checkout.fails(checkout.train, variant)
reason = "got an unexpected keyword argument 'filter_empty_gt'"
checkout.check("what it says", reason in failure.message, True)

# %%
# Pitfall: ``img_scale`` the other way round
# ------------------------------------------
# Mosaic takes (width, height), as everything else does. In MMDetection 2 it took
# (height, width); a config brought over from there trains on portrait images.
variant = checkout.edit(config, {"img_scale = (1333, 800)": "img_scale = (800, 1333)"})
with checkout.inside():
    _, portrait = mixed(checkout.dataset(checkout.config(variant)), index=0, seed=seed)
checkout.check(
    "image after RandomAffine: height, width", portrait["img"].shape[:2], (1332, 800)
)

# %%
# Pitfall: Mosaic without the wrapper
# -----------------------------------
# In the pipeline of a plain ``CocoDataset`` there are no other images to mix. Mosaic
# stops with an assertion that gives no reason.
plain = "train_dataloader = dict(dataset=dict(pipeline=[*train_dataset['dataset']['pipeline'], *train_pipeline]))"
variant = checkout.edit(
    config, {"train_dataloader = dict(dataset=train_dataset)": plain}
)
failure = checkout.fails(checkout.train, variant)
checkout.check(
    "line that raised the error", failure.line, "assert 'mix_results' in results"
)

# %%
# Pitfall: no negative border
# ---------------------------
# RandomAffine then leaves the image as large as the canvas: four times the pixels to
# train on.
variant = checkout.edit(
    config, {"border=(-img_scale[0] // 2, -img_scale[1] // 2)": "border=(0, 0)"}
)
with checkout.inside():
    _, large = mixed(checkout.dataset(checkout.config(variant)), index=0, seed=seed)
checkout.check(
    "image after RandomAffine: height, width", large["img"].shape[:2], (1600, 2666)
)
