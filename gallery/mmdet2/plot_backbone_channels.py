"""
How do I get the channels of a backbone?
========================================

Look your backbone up in the table: its channels go into the neck's ``in_channels``, and its
row unfolds to a whole config. For any other backbone run the script below the table.
"""

# %%
# .. include:: ../../gallery/words/backbone_channels_table.rst
from howto import Workspace
from howto.figures.backbones import bare, lacking, listed, measured, origin

checkout = Workspace("backbone_channels")
stock = checkout.root / "configs"
backbones, origins, lacks = {}, {}, {}
with checkout.inside():
    for name, keys in listed().items():
        module = checkout.backbone(**bare(keys))
        backbones[name] = measured(keys, module)
        origins[name] = origin(name, stock)
        lacks[name] = lacking(keys, module)

# %%
files = {}
for name, each in backbones.items():
    texts = {"retinanet": each.retinanet(), "faster_rcnn": each.faster_rcnn()}
    for detector, text in texts.items():
        short = name.lower().replace(" ", "_").replace(".", "_")
        path = stock / f"backbone_channels/{detector}_{short}.py"
        path.write_text(text)
        files[name, detector] = path

# %%
from howto.figures.show import Link, Table, Unfolds


def config(name, detector):
    return Unfolds("config", files[name, detector].read_text())


def address(of):
    *_, file = of.split("/")
    return Link(file, of) if of.startswith("https:") else of


# %%
rows = [
    (
        name,
        each.channels,
        f"{each.strides[0]} to {each.strides[-1]}",
        *(config(name, detector) for detector in texts),
        address(each.checkpoint),
    )
    for name, each in backbones.items()
]
head = ("Backbone", "Channels", "Strides", "RetinaNet", "Faster R-CNN", "Checkpoint")
Table(head, rows)

# %%
# The script, with a ResNet-18, prints the shape of each level: batch, channels, height, width.
#
# .. snippet:: backbone_channels/get_channels.py
#
#    (1, 64, 8, 8)
#    (1, 128, 4, 4)
#    (1, 256, 2, 2)
#    (1, 512, 1, 1)
#
# .. code-block:: console
#
#    $ python configs/backbone_channels/get_channels.py
#
# The configs are for MMDetection 2.17 or newer, which has all of these backbones: MobileNetV2
# came with 2.13, YOLOX's CSPDarknet with 2.15.1, Swin with 2.16, PVT with 2.17, and those
# with a prefix can be built since 2.12. So says the changelog; this page ran on 2.28.

# %%
# Adapt it
# --------
# .. include:: ../../gallery/words/backbone_channels_adapt.rst
keys = {
    "import ResNet": "import MobileNetV2",
    "ResNet(depth=18)": "MobileNetV2(out_indices=(1, 2, 4, 6))",
}
other = checkout.edit("get_channels.py", keys)
printed = checkout.shell(f"python configs/backbone_channels/{other}")
channels = [int(line.split(", ")[1]) for line in printed.splitlines()]
expected = backbones["MobileNetV2"].channels
checkout.check("The script prints the table's MobileNetV2", channels, expected)

# %%
# .. include:: ../../gallery/words/backbone_channels_train.rst
#
# .. code-block:: console
#
#    $ python tools/train.py configs/backbone_channels/retinanet_resnet-18.py --auto-scale-lr
#
# .. include:: ../../gallery/words/learning_rate.rst
#
# .. include:: ../../gallery/words/backbone_channels_brings.rst
#
# A type that begins with ``mmcls.`` needs MMClassification, and ``TIMMBackbone`` needs timm, too:
#
# .. install:: mmcls timm
pvt = checkout.config("pvt/retinanet_pvtv2-b0_fpn_1x_coco.py")
adamw = pvt.optimizer.type, pvt.optimizer.lr
checkout.check("MMDetection's own PVT trains with", adamw, ("AdamW", 0.0001))

# %%
# What a detector takes from a backbone
# -------------------------------------
# .. include:: ../../gallery/words/backbone_channels_strides.rst
import cv2
import torch
from howto.figures.show import draw_levels

photograph = cv2.imread(str(checkout.photograph()))[..., ::-1][:256, :256]
image = torch.tensor(photograph.copy()).permute(2, 0, 1)[None] / 255
resnet = checkout.backbone(type="ResNet", depth=18)
figure = draw_levels(photograph, resnet(image), strides=(4, 8, 16, 32))

# %%
# .. include:: ../../gallery/words/backbone_channels_heads.rst
from howto.figures.diagram import draw_detector

small = files["ResNet-18", "retinanet"].name
cfg = checkout.config(small)
r50 = checkout.config("retinanet/retinanet_r50_fpn_1x_coco.py")
draw_detector(checkout.build(cfg), cfg, r50)

# %%
# .. include:: ../../gallery/words/backbone_channels_start.rst

# %%
# Your log should say
# -------------------
# .. include:: ../../gallery/words/backbone_channels_log.rst
run = checkout.train(
    small, epochs=4, evaluate=False, warmed_up=True, data__samples_per_gpu=8
)

# %%
said = [*run.logged("load model from"), *run.logged("Epoch [")[::2]]
print(*said, sep="\n")
loaded = "load model from: torchvision://resnet18"
checkout.check("It starts from the config's checkpoint", said[0], loaded)
unexpected = "unexpected key in source state_dict: fc.weight, fc.bias" in run.log
checkout.check("It warns that fc.weight and fc.bias are unexpected", unexpected, True)

# %%
# Pitfalls
# --------

# %%
# Half of the image is left out: the channels fit, the strides do not
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
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
checkout.check("Every loss is finite", all(map(math.isfinite, losses)), True)

# %%
# .. include:: ../../gallery/words/backbone_channels_half.rst
from howto.checkout.measure import anchor_reach, anchor_strides, roi_strides
from howto.checkout.measure import neck_strides as strides_of

right = [checkout.build(checkout.config(name)) for name in yolox]
one, two = [each.model for each in shifted]
checkout.check(
    "RetinaNet's neck gives strides", strides_of(one), [16, 32, 64, 128, 256]
)
checkout.check("RetinaNet's anchors lie on", anchor_strides(one), [8, 16, 32, 64, 128])
checkout.check("Faster R-CNN's neck gives", strides_of(two), [8, 16, 32, 64, 128])
checkout.check("Faster R-CNN's anchors lie on", anchor_strides(two), [4, 8, 16, 32, 64])
checkout.check("It cuts out boxes at strides", roi_strides(two), [4, 8, 16, 32])

# %%
# So far do the centres of the anchors reach, as a part of the image's width:
reached = [round(anchor_reach(model), 2) for model in (one, two, *right)]
checkout.check("RetinaNet's and Faster R-CNN's reach", reached[:2], [0.47, 0.48])
checkout.check("With the table's configs they reach", reached[2:], [0.97, 0.97])

# %%
# ``Expected to have finished reduction in the prior iteration``: no gradient
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/backbone_channels_unused.rst
needing = [name for name, each in backbones.items() if any(each.unused)]
expected = ["MobileNetV2", "MobileNetV3 small", "ShuffleNetV2", "EfficientNet-B0"]
expected += ["EfficientNet-B3", "Swin-T", "PoolFormer-S12", "ConvNeXt-T"]
checkout.check("Parameters may get no gradient in", needing, expected)
swin = backbones["Swin-T"]
without = swin.unused[swin.start_level]
checkout.check("In a Swin-T", without, ["norm0.weight", "norm0.bias"])

# %%
# .. include:: ../../gallery/words/backbone_channels_swin.rst
keys = listed()["Swin-T"] | dict(out_indices=(1, 2, 3))
three = measured(keys, checkout.backbone(**keys))
print(three.retinanet())
checkout.check(
    "With three levels each parameter has a gradient", three.unused == [[]], True
)

# %%
# ``ValueError: Expected more than 1 value per channel when training``: no ``self.eval()``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/backbone_channels_eval.rst
variant = checkout.edit("get_channels.py", {"self.eval()\n": ""})
output = checkout.shell(f"python configs/backbone_channels/{variant}", succeeds=False)
message = "ValueError: Expected more than 1 value per channel when training, got input size torch.Size([1, 512, 1, 1])"
checkout.check("Its last line", output.splitlines()[-1], message)

# %%
# ``AttributeError: 'NoneType' object has no attribute 'forward'``: ``ResNet(…).eval()``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/backbone_channels_self.rst
old = "self = ResNet(depth=18)\nself.eval()\n"
variant = checkout.edit("get_channels.py", {old: "self = ResNet(depth=18).eval()\n"})
output = checkout.shell(f"python configs/backbone_channels/{variant}", succeeds=False)
message = "AttributeError: 'NoneType' object has no attribute 'forward'"
checkout.check("Python ends with", output.splitlines()[-1], message)

# %%
# Proof
# -----

# %%
# The script, and MMDetection's own config
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The channels that the script prints stand in MMDetection's own config of a ResNet-18.
output = checkout.shell("python configs/backbone_channels/get_channels.py")
shapes = "(1, 64, 8, 8)\n(1, 128, 4, 4)\n(1, 256, 2, 2)\n(1, 512, 1, 1)\n"
checkout.check("The script prints", output, shapes)
r18 = checkout.config("retinanet/retinanet_r18_fpn_1x_coco.py")
channels = [int(line.split(", ")[1]) for line in output.splitlines()]
checkout.check(
    "MMDetection has in_channels", list(r18.model.neck.in_channels), channels
)
channels = backbones["ResNet-50"].channels
checkout.check("Channels of ResNet-50", channels, [256, 512, 1024, 2048])
last = [each.channels[-1] for name, each in backbones.items() if "MobileNetV2" in name]
checkout.check("Last channels of both MobileNetV2", last, [320, 1280])

# %%
# The strides of each config
# ~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/backbone_channels_fits.rst
from howto.figures.backbones import neck_strides

cfgs = {key: checkout.config(path.name) for key, path in files.items()}
with checkout.inside():
    given = {key: neck_strides(cfgs[key], backbones[key[0]]) for key in files}

# %%
apart = []
for (name, detector), each in cfgs.items():
    head = each.model.rpn_head if detector == "faster_rcnn" else each.model.bbox_head
    same = given[name, detector] == list(head.anchor_generator.strides)
    if detector == "faster_rcnn":
        boxes = list(each.model.roi_head.bbox_roi_extractor.featmap_strides)
        same = same and given[name, detector][: len(boxes)] == boxes
    apart += [] if same else [files[name, detector].name]
checkout.check("Configs of the table", len(cfgs), 56)
checkout.check("Those whose neck and heads have different strides", apart, [])

# %%
# All anchors have the sizes of the stock Faster R-CNN's, and boxes of 224 pixels and more the
# same strides.
sizes, strides = set(), set()
for (_, detector), each in cfgs.items():
    if detector == "faster_rcnn":
        anchors = each.model.rpn_head.anchor_generator
        sizes.add(tuple(anchors.scales[0] * stride for stride in anchors.strides))
        boxes = each.model.roi_head.bbox_roi_extractor
        finest = boxes.get("finest_scale", 56)
        strides |= {(finest * 2**n, s) for n, s in enumerate(boxes.featmap_strides)}

# %%
checkout.check("Sizes of the anchors in pixels", sizes, {(32, 64, 128, 256, 512)})
checkout.check(
    "Boxes from so many pixels on, and the stride at which they are cut out",
    sorted(strides),
    [(56, 4), (112, 8), (224, 16), (448, 32)],
)

# %%
# The checkpoints
# ~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/backbone_channels_checkpoints.rst
from howto.figures.backbones import differing, pixels

compared = {name: lack for name, lack in lacks.items() if lack is not None}
new = {name: lack for name, lack in compared.items() if lack}
norms = [f"norm{level}.{kind}" for level in (0, 2, 4) for kind in ("weight", "bias")]
checkout.check("Models of checkpoints that were compared", len(compared), 14)
checkout.check("Parameters that they lack", new, {"PoolFormer-S12": norms})

# %%
apart, named = [], {name: path for name, path in origins.items() if path}
for name, path in named.items():
    own, mine = checkout.config(path), cfgs[name, "retinanet"]
    apart += [f"{name}: pixels"] * (pixels(mine) != pixels(own))
    if path.is_relative_to(stock):  # a detector's, not a classifier's
        keys = differing(backbones[name].keys, own)
        apart += [f"{name}: {key}" for key in keys]

# %%
checkout.check("Configs of detectors and classifiers", len(named), 24)
checkout.check("Keys and pixels that differ from theirs", apart, [])
others = [each.checkpoint for name, each in backbones.items() if name not in named]
checkout.check("The others start from", others, ["timm's own"] * 2 + ["none"] * 2)

# %%
# A config of the table trains
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/backbone_channels_rate.rst
import statistics

checkout.check("MMDetection's own RetinaNet trains at", run.cfg.optimizer.lr, 0.01)
base = run.cfg.auto_scale_lr.base_batch_size
checkout.check("Images a step that it is for", base, 16)
checkout.check("Learning rates with 8 images a step", set(run.rates), {0.005})
half = len(run.losses) // 2
first, second = statistics.mean(run.losses[:half]), statistics.mean(run.losses[half:])
checkout.check("The loss falls: second half over first", second / first, at_most=0.99)

# %%
# What was not tried
# ~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/backbone_channels_not_tried.rst
