"""
How do I get the channels of a backbone?
========================================

Build the backbone alone, pass an image of noise through it, and read the shapes: batch,
channels, height, width. The channels go into the neck's ``in_channels``.
"""

# %%
# .. snippet:: backbone_channels/get_channels.py
#
#    (1, 64, 8, 8)
#    (1, 128, 4, 4)
#    (1, 256, 2, 2)
#    (1, 512, 1, 1)
#
# It runs from any folder. Put your own backbone in the place of ``ResNet(depth=18)``.
# The configs below are for MMDetection 2.17 or newer, which has all of these backbones: MobileNetV2
# came with 2.13, YOLOX's CSPDarknet with 2.15.1, Swin with 2.16, PVT with 2.17, and those
# with a prefix can be built since 2.12. So says the changelog; this page ran on 2.28.

# %%
# What it prints
# --------------
# A ``Workspace`` is an MMDetection checkout with a small COCO in it; the file above
# lies in it unchanged.
from howto import Workspace

checkout = Workspace("backbone_channels")
output = checkout.shell("python configs/backbone_channels/get_channels.py")
print(output)
shapes = "(1, 64, 8, 8)\n(1, 128, 4, 4)\n(1, 256, 2, 2)\n(1, 512, 1, 1)\n"
checkout.check("what the script prints", output, shapes)

# %%
# On a photograph the levels look like this, here with random weights: the
# deeper the level, the more channels and the fewer places.
import cv2
import torch
from howto.figures.show import draw_levels

photograph = cv2.imread(str(checkout.photograph()))[..., ::-1][:256, :256]
image = torch.tensor(photograph.copy()).permute(2, 0, 1)[None] / 255
resnet = checkout.backbone(type="ResNet", depth=18)
figure = draw_levels(photograph, resnet(image), strides=(4, 8, 16, 32))

# %%
# The config for your backbone
# ----------------------------
# .. include:: ../../gallery/words/backbone_channels_table.rst
from howto.figures.backbones import listed, measured

backbones, files = {}, {}
for name, keys in listed().items():
    backbones[name] = found = measured(keys, checkout.backbone(**keys))
    texts = {"retinanet": found.retinanet(), "faster_rcnn": found.faster_rcnn()}
    for detector, text in texts.items():
        short = name.lower().replace(" ", "_").replace(".", "_")
        path = checkout.root / f"configs/backbone_channels/{detector}_{short}.py"
        path.write_text(text)
        files[name, detector] = path

# %%
from howto.figures.show import Table, Unfolds


def cell(path):
    text = path.read_text()
    needs = "config, find_unused_parameters" if "find_unused" in text else "config"
    return Unfolds(needs, text)


rows = [
    (name, each.channels, each.strides, *(cell(files[name, kind]) for kind in texts))
    for name, each in backbones.items()
]
Table(("Backbone", "Channels", "Strides (pixels)", "RetinaNet", "Faster R-CNN"), rows)

# %%
# .. include:: ../../gallery/words/backbone_channels_weights.rst
pvt = checkout.config("pvt/retinanet_pvtv2-b0_fpn_1x_coco.py")
optimizer = pvt.optimizer
checkout.check(
    "the optimizer of MMDetection's own PVT",
    (optimizer.type, optimizer.lr),
    ("AdamW", 0.0001),
)

# %%
checkout.check(
    "the channels of ResNet-50",
    backbones["ResNet-50"].channels,
    [256, 512, 1024, 2048],
)
checkout.check(
    "the channels of MobileNetV2, without and with its last convolution",
    [each.channels[-1] for name, each in backbones.items() if "MobileNetV2" in name],
    [320, 1280],
)

# %%
# What relies on the strides
# --------------------------
# .. include:: ../../gallery/words/backbone_channels_strides.rst
from howto.figures.backbones import neck_strides

apart, cfgs = [], {}
for (name, detector), path in files.items():
    cfgs[name, detector] = cfg = checkout.config(path.name)
    with checkout.inside():
        strides = neck_strides(cfg, backbones[name])
    head = cfg.model.rpn_head if detector == "faster_rcnn" else cfg.model.bbox_head
    same = strides == list(head.anchor_generator.strides)
    if detector == "faster_rcnn":
        boxes = cfg.model.roi_head.bbox_roi_extractor.featmap_strides
        same = same and strides[: len(boxes)] == list(boxes)
    apart += [] if same else [path.name]
checkout.check("configs of the table", len(cfgs), 50)
checkout.check("those whose strides differ from the neck's", apart, [])

# %%
# All anchors have the sizes of the stock Faster R-CNN's, and boxes of 224 pixels and more the
# same strides.
sizes, strides = set(), set()
for (_, detector), cfg in cfgs.items():
    if detector == "faster_rcnn":
        anchors = cfg.model.rpn_head.anchor_generator
        sizes.add(tuple(anchors.scales[0] * stride for stride in anchors.strides))
        boxes = cfg.model.roi_head.bbox_roi_extractor
        finest = boxes.get("finest_scale", 56)
        strides |= {(finest * 2**n, s) for n, s in enumerate(boxes.featmap_strides)}
checkout.check("sizes of the anchors", sizes, {(32, 64, 128, 256, 512)})
checkout.check(
    "boxes of that size on, and the stride at which they are cut out",
    sorted(strides),
    [(56, 4), (112, 8), (224, 16), (448, 32)],
)

# %%
# .. include:: ../../gallery/words/backbone_channels_unused.rst
needing = [name for name, each in backbones.items() if any(each.unused)]
checkout.check(
    "backbones with parameters that may get no gradient",
    needing,
    [
        "MobileNetV2",
        "MobileNetV3 small",
        "ShuffleNetV2",
        "EfficientNet-B0",
        "Swin-T",
        "PoolFormer-S12",
        "ConvNeXt-T",
    ],
)

# %%
swin = backbones["Swin-T"]
checkout.check(
    "those of a Swin under RetinaNet",
    swin.unused[swin.start_level],
    ["norm0.weight", "norm0.bias"],
)

# %%
# .. include:: ../../gallery/words/backbone_channels_swin.rst
keys = dict(type="SwinTransformer", out_indices=(1, 2, 3))
three = measured(keys, checkout.backbone(**keys))
print(three.retinanet())
checkout.check("its parameters without a gradient", three.unused, [[]])

# %%
# They go into ``in_channels``
# ----------------------------
# MMDetection's own config for RetinaNet on a ResNet-18 has the channels that the script
# printed:
#
# .. code-block:: console
#
#    $ python tools/train.py configs/retinanet/retinanet_r18_fpn_1x_coco.py --auto-scale-lr
#
# .. include:: ../../gallery/words/learning_rate.rst
stock = "retinanet/retinanet_r18_fpn_1x_coco.py"
channels = [int(line.split(", ")[1]) for line in output.splitlines()]
checkout.check(
    "in_channels of the stock config",
    list(checkout.config(stock).model.neck.in_channels),
    channels,
)

# %%
from howto.figures.diagram import draw_detector

cfg = checkout.config(stock)
r50 = checkout.config("retinanet/retinanet_r50_fpn_1x_coco.py")
draw_detector(checkout.build(cfg), cfg, r50)

# %%
# .. include:: ../../gallery/words/backbone_channels_rate.rst
import statistics

# %%
run = checkout.train(
    stock, epochs=4, evaluate=False, warmed_up=True, data__samples_per_gpu=8
)
checkout.check(
    "learning rate of MMDetection's own RetinaNet", run.cfg.optimizer.lr, 0.01
)
base = run.cfg.auto_scale_lr.base_batch_size
checkout.check("images a step that it is for", base, 16)
checkout.check("learning rates, with 8 images a step", set(run.rates), {0.005})
half = len(run.losses) // 2
checkout.check(
    "mean loss of the second half over that of the first",
    statistics.mean(run.losses[half:]) / statistics.mean(run.losses[:half]),
    at_most=0.99,
)

# %%
# Pitfall: the channels fit, the strides do not
# ---------------------------------------------
# .. include:: ../../gallery/words/backbone_channels_shifted.rst
yolox = [files["CSPDarknet of YOLOX-s", detector].name for detector in texts]
retinanet = checkout.edit(yolox[0], {", start_level=0": ""})
faster_rcnn = checkout.edit(
    yolox[1],
    {
        """,
    rpn_head=dict(
        anchor_generator=dict(scales=[4], strides=[8, 16, 32, 64, 128])),
    roi_head=dict(
        bbox_roi_extractor=dict(
            featmap_strides=[8, 16, 32], finest_scale=112))""": ""
    },
)

# %%
import math

shifted = [checkout.train(name, evaluate=False) for name in (retinanet, faster_rcnn)]
losses = shifted[0].losses + shifted[1].losses
checkout.check("every loss is finite", all(map(math.isfinite, losses)), True)

# %%
# .. include:: ../../gallery/words/backbone_channels_half.rst
from howto.checkout.measure import anchor_reach, anchor_strides, roi_strides
from howto.checkout.measure import neck_strides as strides_of

right = [checkout.build(checkout.config(name)) for name in yolox]
one, two = [run.model for run in shifted]
checkout.check("RetinaNet's neck", strides_of(one), [16, 32, 64, 128, 256])
checkout.check("its anchors", anchor_strides(one), [8, 16, 32, 64, 128])
checkout.check("Faster R-CNN's neck", strides_of(two), [8, 16, 32, 64, 128])
checkout.check("its anchors", anchor_strides(two), [4, 8, 16, 32, 64])
checkout.check("its RoI extractor", roi_strides(two), [4, 8, 16, 32])

# %%
# How far the anchors' centres reach, as a part of the width:
reached = [round(anchor_reach(model), 2) for model in (one, two, *right)]
checkout.check(
    "with these strides, RetinaNet and Faster R-CNN", reached[:2], [0.47, 0.48]
)
checkout.check("with those of the table", reached[2:], [0.97, 0.97])

# %%
# Pitfall: ``self.eval()`` is left out
# ------------------------------------
# .. include:: ../../gallery/words/backbone_channels_eval.rst
variant = checkout.edit("get_channels.py", {"self.eval()\n": ""})
output = checkout.shell(f"python configs/backbone_channels/{variant}", succeeds=False)
message = "ValueError: Expected more than 1 value per channel when training, got input size torch.Size([1, 512, 1, 1])"
checkout.check("last line that it prints", output.splitlines()[-1], message)

# %%
# Pitfall: ``self = ResNet(depth=18).eval()``
# -------------------------------------------
# .. include:: ../../gallery/words/backbone_channels_self.rst
old = "self = ResNet(depth=18)\nself.eval()\n"
variant = checkout.edit("get_channels.py", {old: "self = ResNet(depth=18).eval()\n"})
output = checkout.shell(f"python configs/backbone_channels/{variant}", succeeds=False)
message = "AttributeError: 'NoneType' object has no attribute 'forward'"
checkout.check("last line that it prints", output.splitlines()[-1], message)
