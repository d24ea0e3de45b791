"""
How do I use a backbone from MMClassification?
==============================================

Write its class with the prefix ``mmcls.``, drop the old backbone's keys with
``_delete_``, and give the neck the new channels. Nothing in MMDetection is edited. Here
RetinaNet gets a MobileNetV3 small in place of its ResNet-50.
"""

# %%
# .. snippet:: mmcls_backbone/retinanet_mobilenet_v3_small_fpn_1x_coco.py
#
# Install MMClassification, save the file at this path in your MMDetection folder, and train it:
#
# .. install:: mmcls
#
# .. code-block:: console
#
#    $ python tools/train.py configs/mmcls_backbone/retinanet_mobilenet_v3_small_fpn_1x_coco.py --auto-scale-lr
#
# On several GPUs, here eight:
#
# .. code-block:: console
#
#    $ torchrun --nproc_per_node=8 tools/train.py configs/mmcls_backbone/retinanet_mobilenet_v3_small_fpn_1x_coco.py --launcher pytorch --auto-scale-lr --no-validate
#
# .. include:: ../../gallery/words/learning_rate.rst
#
# .. include:: ../../gallery/words/several_gpus.rst
#
# The config is for MMDetection 2.14 or newer. One registry for all of OpenMMLab's backbones
# came with 2.12; but up to 2.13 RetinaNet hands ``pretrained`` to its backbone, which
# MobileNetV3 does not take. So the changelog and those versions say; this page ran on 2.28.

# %%
# What the config becomes
# -----------------------
# .. include:: ../../gallery/words/mmcls_backbone_delete.rst
from howto import Workspace

checkout = Workspace("mmcls_backbone")
config = "retinanet_mobilenet_v3_small_fpn_1x_coco.py"
cfg = checkout.config(config)
checkout.check(
    "keys of the backbone",
    sorted(cfg.model.backbone),
    ["arch", "init_cfg", "norm_eval", "out_indices", "type"],
)

# %%
# The prefix sends the registry to MMClassification, where the class is looked up.
model = checkout.build(cfg)
backbone = model.backbone
checkout.check(
    "module of the class",
    type(backbone).__module__,
    "mmcls.models.backbones.mobilenet_v3",
)

# %%
from howto.figures.diagram import draw_detector

stock = checkout.config("retinanet/retinanet_r50_fpn_1x_coco.py")
draw_detector(model, cfg, stock)

# %%
# The channels belong to the levels
# ---------------------------------
# .. include:: ../../gallery/words/mmcls_backbone_levels.rst
import cv2
import torch

photograph = cv2.imread(str(checkout.photograph()))[..., ::-1][:256, :256]
image = (
    torch.tensor(photograph.copy(), device=checkout.device).permute(2, 0, 1)[None] / 255
)
levels = backbone(image)

channels = [level.shape[1] for level in levels]
strides = [image.shape[-1] // level.shape[-1] for level in levels]
checkout.check("channels of the levels", channels, [24, 48, 96])
checkout.check(
    "channels that the neck expects", list(cfg.model.neck.in_channels), channels
)
checkout.check("strides of the levels, in pixels", strides, [8, 16, 32])

# %%
# Block after block, these are the last at their strides:
last, level = {}, image
for number, name in enumerate(backbone.layers[:-1]):  # the last layer is no block
    level = getattr(backbone, name)(level)
    last[image.shape[-1] // level.shape[-1]] = number
checkout.check(
    "last blocks at these strides",
    [last[stride] for stride in strides],
    list(cfg.model.backbone.out_indices),
)

# %%
from howto.figures.show import draw_levels

figure = draw_levels(photograph, levels, strides)

# %%
# The strides belong to the anchors
# ---------------------------------
# .. include:: ../../gallery/words/mmcls_backbone_strides.rst
from howto.checkout.measure import anchor_strides, neck_strides

anchors = anchor_strides(model)
checkout.check("strides of the anchors", anchors, [8, 16, 32, 64, 128])
checkout.check("strides of the levels that the head gets", neck_strides(model), anchors)

# %%
# Every weight is the checkpoint's
# --------------------------------
# .. include:: ../../gallery/words/mmcls_backbone_prefix.rst
checkpoint = checkout.checkpoint("mobilenet_v3_small-8427ecf0.pth")
expected = {
    key.removeprefix("backbone."): value
    for key, value in checkpoint.items()
    if key.startswith("backbone.")
}
loaded = backbone.state_dict()
checkout.check(
    "tensors that the checkpoint lacks", sorted(set(loaded) - set(expected)), []
)
equal = [
    key for key, value in loaded.items() if torch.equal(value.cpu(), expected[key])
]
checkout.check("tensors equal to the checkpoint's", len(equal), len(loaded))

# %%
# .. include:: ../../gallery/words/mmcls_backbone_stand_in.rst
from torchvision.models import mobilenet_v3_small

published = mobilenet_v3_small().features.state_dict()
same = [a.shape == b.shape for a, b in zip(loaded.values(), published.values())]
checkout.check(
    "tensors of torchvision's shape", (sum(same), len(published)), (len(loaded),) * 2
)

# %%
# It trains
# ---------
# .. include:: ../../gallery/words/mmcls_backbone_trains.rst
import math
import statistics

run = checkout.train(
    config,
    epochs=6,
    warmed_up=True,
    data__samples_per_gpu=8,
    evaluation__interval=6,
)

# %%
early, late = run.losses[: len(run.losses) // 2], run.losses[len(run.losses) // 2 :]
checkout.check(
    "mean loss of the second half over that of the first",
    statistics.mean(late) / statistics.mean(early),
    at_most=0.99,
)
checkout.check("learning rates", set(run.rates), {0.01 * run.images_per_step / 16})
checkout.check("evaluations", run.evaluations, 1)
moved = run.trains("backbone")
checkout.check("the backbone's weights moved in each epoch", all(moved), True)

# %%
# Batch norms keep their statistics
# ---------------------------------
# .. include:: ../../gallery/words/mmcls_backbone_norm_eval.rst
averaging = [epoch.norms_training["backbone"] for epoch in run.epochs.values()]
checkout.check("batch norms of the backbone average", any(averaging), False)

line = "        norm_eval=True,"
variant = checkout.edit(config, {line: f"{line}\n        frozen_stages=1,"})
partly = checkout.build(checkout.config(variant)).train().backbone
frozen = {
    name.partition(".")[0]
    for name, parameter in partly.named_parameters()
    if not parameter.requires_grad
}
checkout.check(
    "layers that frozen_stages=1 freezes", sorted(frozen), ["layer0", "layer1"]
)

# %%
# The trained detector answers with one array of boxes for each of COCO's 80 classes.
detections = checkout.detect(run.model, run.cfg, checkout.photograph())
checkout.check("classes in the answer", len(detections), 80)
checkout.check(
    "numbers for a box: x1, y1, x2, y2, score",
    {boxes.shape[1] for boxes in detections},
    {5},
)

# %%
# It trains on several GPUs
# -------------------------
# .. include:: ../../gallery/words/mmcls_backbone_unused.rst
unused = checkout.unused_parameters(cfg)
checkout.check(
    "parameters without a gradient",
    unused,
    [f"backbone.layer12.{name}" for name in ("conv.weight", "bn.weight", "bn.bias")],
)

# %%
# So it trains with MMDetection's own script, in fresh processes where nothing else has
# imported MMClassification.
output = checkout.launch(config, iterations=2, auto_scale_lr__enable=True)
folder = checkout.root / "work_dirs" / config.replace(".py", "_two_processes0")
saved = any(folder.glob("epoch_*.pth"))
checkout.check("the script saved a checkpoint", saved, True)

# %%
# Its log says which learning rate it took for two images in each process.
scaled = "LR has been automatically scaled from 0.01 to 0.0025"
checkout.check("learning rate of four images a step", scaled in output, True)
own, rate = stock.optimizer.lr, cfg.optimizer.lr
checkout.check("of MMDetection's own RetinaNet", own, rate)

# %%
# .. include:: ../../gallery/words/mmcls_backbone_layer12.rst
variant = checkout.edit(
    config, {"(3, 8, 11)": "(3, 8, 12)", "[24, 48, 96]": "[24, 48, 576]"}
)
wide = checkout.config(variant)
checkout.check("parameters without a gradient", checkout.unused_parameters(wide), [])

# %%
from howto.checkout.measure import millions

grown = millions(checkout.build(wide).neck) - millions(model.neck)
checkout.check(
    "the neck grows by more millions of parameters than the backbone has",
    grown > millions(backbone),
    True,
)

# %%
# What it saves
# -------------
# The same detector with its ResNet-50, both on a 320 × 320 image: parameters,
# multiply-adds as MMCV counts them, and the median time of five passes on the device
# that built this page.
from howto.checkout.measure import cost
from howto.figures.show import Table

resnet = checkout.build(stock)
rows = [
    ("ResNet-50", *cost(resnet, size=320)),
    ("MobileNetV3 small", *cost(model, size=320)),
]
Table(("Backbone", "Parameters (M)", "Backbone alone (M)", "GFLOPs", "Time (ms)"), rows)

# %%
checkout.check(
    "MobileNetV3 needs fewer multiply-adds than ResNet-50",
    rows[1][3] < rows[0][3],
    True,
)

# %%
# Pitfall: ``find_unused_parameters`` is left out
# -----------------------------------------------
# One GPU trains all the same. Several stop in the second iteration, and each names what
# had no gradient.
variant = checkout.edit(config, {"find_unused_parameters = True\n": ""})
output = checkout.launch(variant, iterations=2, succeeds=False)
message = "RuntimeError: Expected to have finished reduction in the prior iteration before starting a new one."
checkout.check(f"it says: {message}", message in output, True)
message = "did not receive grad for rank 0: 135 136 137"
checkout.check(f"it says: {message}", message in output, True)

# %%
# Pitfall: ``start_level=0`` is left out
# --------------------------------------
# .. include:: ../../gallery/words/mmcls_backbone_no_start.rst
variant = checkout.edit(config, {", start_level=0": ""})
shifted = checkout.build(checkout.config(variant))
checkout.check(
    "strides of the levels that the head gets",
    neck_strides(shifted),
    [2 * stride for stride in anchors],
)
checkout.check("strides of the anchors", anchor_strides(shifted), anchors)
silent = checkout.train(variant, evaluate=False)
checkout.check("every loss is finite", all(map(math.isfinite, silent.losses)), True)

# %%
# Pitfall: the learning rate of the schedule
# ------------------------------------------
# .. include:: ../../gallery/words/mmcls_backbone_rate.rst
variant = checkout.edit(
    config, {"optimizer = dict(lr=0.01)  # as MMDetection's own RetinaNet\n": ""}
)
faster = checkout.config("faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py")
checkout.check(
    "learning rate without the line", checkout.config(variant).optimizer.lr, 0.02
)
checkout.check("of Faster R-CNN", faster.optimizer.lr, 0.02)

# %%
# Pitfall: the prefix does not match
# ----------------------------------
# A prefix that occurs in no key stops the run.
variant = checkout.edit(config, {"prefix='backbone.'": "prefix='model.'"})
failure = checkout.fails(checkout.build, checkout.config(variant))
checkout.check(
    "error", failure.message, "AssertionError: model. is not in the pretrained model"
)

# %%
# No prefix at all is worse: the run goes on, and not one convolution is the
# checkpoint's.
variant = checkout.edit(config, {", prefix='backbone.'": ""})
untouched = checkout.build(checkout.config(variant)).backbone.state_dict()
convolutions = [key for key, value in untouched.items() if value.ndim == 4]
equal = [
    key for key in convolutions if torch.equal(untouched[key].cpu(), expected[key])
]
checkout.check("convolutions equal to the checkpoint's", len(equal), 0)

# %%
# Pitfall: the import fails
# -------------------------
# .. include:: ../../gallery/words/mmcls_import_fails.rst
variant = checkout.edit(config, {"imports=['mmcls.models']": "imports=['mmcls.model']"})
failure = checkout.fails(checkout.config, variant)
checkout.check("last line of the traceback", failure.message, "ImportError")

# %%
# Pitfall: ``custom_imports`` is left out
# ---------------------------------------
# Nobody imports MMClassification then, and no registry goes by the name ``mmcls``. MMCV's
# message doesn't mention the import.
line = "custom_imports = dict(imports=['mmcls.models'], allow_failed_imports=False)\n"
variant = checkout.edit(config, {line: ""})
output = checkout.shell(
    f"python tools/train.py configs/mmcls_backbone/{variant} {{fit}}", succeeds=False
)
message = "AttributeError: RetinaNet: 'NoneType' object has no attribute 'parent'"
checkout.check("last line that it prints", output.splitlines()[-1], message)

# %%
# Pitfall: ``in_channels`` do not match
# -------------------------------------
# The detector builds, and stops at the first image.
variant = checkout.edit(
    config, {"in_channels=[24, 48, 96]": "in_channels=[16, 24, 48]"}
)
failure = checkout.fails(checkout.train, variant)
reason = "to have 16 channels, but got 24 channels instead"
checkout.check(f"it says: {reason}", reason in failure.message, True)
