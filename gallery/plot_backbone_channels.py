"""
How do I get the channels of a backbone?
========================================

Look your backbone up in the table: its channels go into the neck's ``in_channels``, and its
row unfolds to a whole config. For any other backbone run the script below the table.
"""

# %%
# .. index:: ! in_channels, Swin, PVT, ConvNeXt, RegNet, ResNeXt, Res2Net, MobileNet, EfficientNet, RetinaNet, neck
#
# Channels and strides are measured. Unfold the config of your detector and copy the whole file. Only the
# backbone, and what the backbone needs, differ from MMDetection's own.
from howto import Workspace
from howto.checkout.family import api
from howto.figures.backbones import bare, lacking, listed, measured, origin, zeros

checkout = Workspace("backbone_channels")
stock = checkout.root / "configs"
backbones, origins, lacks = {}, {}, {}
with checkout.inside():
    for name, keys in listed().items():
        with zeros():  # quicker, and only shapes are measured
            module = checkout.backbone(**bare(keys))
        backbones[name] = measured(keys, module)
        origins[name] = origin(name, stock)
        lacks[name] = lacking(keys, module)

# %%
from howto.figures.show import Link, Table, Unfolds

files, rows, kinds = {}, [], ("retinanet", "faster_rcnn")
for name, each in backbones.items():
    texts = each.retinanet(), each.faster_rcnn()
    for detector, text in zip(kinds, texts):
        short = name.lower().replace(" ", "_").replace(".", "_")
        files[name, detector] = stock / f"backbone_channels/{detector}_{short}.py"
        files[name, detector].write_text(text, "utf-8")
    strides = f"{each.strides[0]} to {each.strides[-1]}"
    *_, file = (address := each.checkpoint).split("/")
    start = Link(file, address) if address.startswith("https:") else address
    configs = [Unfolds("config", text) for text in texts]
    rows.append((name, each.channels, strides, *configs, start))

# %%
head = ("Backbone", "Channels", "Strides", "RetinaNet", "Faster R-CNN", "Checkpoint")
Table(head, rows)

# %%
# The script, with a ResNet-18, prints the shape of each level: batch, channels, height, width.
#
# .. snippet:: get_channels.py
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
# {% if mmdet2 %}
# The configs are for MMDetection 2.17 or newer, by its changelog: PVT came with 2.17, Swin with
# 2.16, YOLOX's CSPDarknet with 2.15.1, MobileNetV2 with 2.13, and types with a prefix work since
# 2.12. This page ran on 2.28.
# {% else %}
# The configs are for MMDetection 3.0 or newer. On MMDetection 2, MMPreTrain is called
# MMClassification, and its prefix is ``mmcls.``
# {% endif %}

# %%
# Adapt it
# --------

# %%
# Your own backbone
# ~~~~~~~~~~~~~~~~~
# Replace ``ResNet(depth=18)`` by it, with the keys that your config has for it. The channels depend on
# ``out_indices``, which selects the levels.
keys = {
    "import ResNet": "import MobileNetV2",
    "ResNet(depth=18)": "MobileNetV2(out_indices=(1, 2, 4, 6))",
}
other = checkout.edit("get_channels.py", keys, adapts=True)
printed = checkout.shell(f"python configs/backbone_channels/{other}")
channels = [int(line.split(", ")[1]) for line in printed.splitlines()]
expected = backbones["MobileNetV2"].channels
checkout.check("The script prints the table's MobileNetV2", channels, expected)

# %%
# A config of the table
# ~~~~~~~~~~~~~~~~~~~~~
# Save it in ``configs/backbone_channels/`` under any name that ends in
# ``.py``, and train it:
#
# .. code-block:: console
#
#    $ python tools/train.py configs/backbone_channels/retinanet_resnet-18.py --auto-scale-lr
#
# The config's learning rate is for 16 images a step: eight GPUs with two images each. With
# ``--auto-scale-lr`` MMDetection multiplies it by your images a step over 16. Without the flag
# one GPU with two images trains at eight times the rate that it should.
#
# Each config sets what its backbone needs. The checkpoint is the one that MMDetection's own config
# starts from, or that of the classifier. Where it was trained on pixels of other colours or another
# scale, the config sets those (RegNet, Darknet, VAN). For transformers and ConvNeXt it uses AdamW with
# 0.0001, as MMDetection does for PVT. YOLOX has no checkpoint of its backbone alone, so CSPDarknet starts
# from random weights. To take the backbone of a whole YOLOX, write its address and
# ``prefix='backbone.'``; its pixels are in BGR and not normalised.
#
# {% if mmdet2 %}
# A type that begins with ``mmcls.`` needs MMClassification, and ``TIMMBackbone`` needs timm, too:
#
# .. install:: mmcls timm
# {% else %}
# A type that begins with ``mmpretrain.`` needs MMPreTrain, and ``TIMMBackbone`` needs timm, too:
#
# .. install:: mmpretrain timm
# {% endif %}
#
# If your config inherits from one of these and has ``custom_imports``, name the module of this one
# again: :doc:`the list is replaced <plot_mmcls_backbone>`. timm downloads its checkpoint
# :doc:`for testing, too <plot_timm_backbone>`.
pvt = api().optimizer(checkout.config("pvt/retinanet_pvtv2-b0_fpn_1x_coco.py"))
adamw = pvt.type, pvt.lr
checkout.check("MMDetection's own PVT trains with", adamw, ("AdamW", 0.0001))

# %%
# What a detector takes from a backbone
# -------------------------------------
# Each level has more channels and fewer places than the one before. Its stride is the number of
# pixels from one place to the next.
#
# ``in_channels`` tells the neck the channels. FPN does not look at strides: it resizes each level to the
# size of the next. But the heads depend on them. They lay anchors at the strides that the config names,
# and Faster R-CNN divides boxes by them to cut them out of a level.
from howto.figures.diagram import draw_detector

small = files["ResNet-18", "retinanet"].name
cfg = checkout.config(small)
r50 = checkout.config("retinanet/retinanet_r50_fpn_1x_coco.py")
draw_detector(checkout.build(cfg), cfg, r50)

# %%
# RetinaNet's anchors begin at stride 8, so ``start_level`` is the number of that level: 1 if the first
# level has stride 4, else 0. Faster R-CNN's begin at 4. For a backbone whose first level has stride 8
# the config moves them to 8. ``scales=[4]`` keeps their sizes: with the stock ``[8]`` the smallest would
# measure 64 pixels, not 32. ``finest_scale=112`` keeps each box at the stride that it has in the stock
# config, and moves those of stride 4 to 8.

# %%
# Your log should say
# -------------------
# The script prints the four lines above. With a config of the table the log says which checkpoint is
# loaded. The warning that ``fc.weight`` and ``fc.bias`` are unexpected is harmless: they classify
# whole images. Then comes a loss for each iteration, and on average it falls. This is the ResNet-18
# under RetinaNet, with eight images a step and without the warm-up, which would be longer than the run.
run = checkout.train(small, epochs=4, evaluate=False, warmed_up=True, batch_size=8)

# %%
said = [*run.logged("load model from"), *run.logged(api().TRAINED)[::2]]
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
# Set the strides, too, as the configs of the table do. YOLOX's CSPDarknet has three levels, and the first
# has stride 8. If you set ``in_channels`` alone, both detectors train, and every loss is finite.
yolox = [files["CSPDarknet of YOLOX-s", detector].name for detector in kinds]
retinanet = checkout.edit(yolox[0], {", start_level=0": ""})
moved = """,
    rpn_head=dict(
        anchor_generator=dict(scales=[4], strides=[8, 16, 32, 64, 128])),
    roi_head=dict(
        bbox_roi_extractor=dict(featmap_strides=[8, 16, 32],
                                finest_scale=112))"""
faster_rcnn = checkout.edit(yolox[1], {moved: ""})

# %%
import math

shifted = [checkout.train(name, evaluate=False) for name in (retinanet, faster_rcnn)]
losses = shifted[0].losses + shifted[1].losses
checkout.check("Every loss is finite", all(map(math.isfinite, losses)), True)

# %%
# But RetinaNet still skips the first level, so its neck's levels have strides 16 to 256, and its anchors
# lie on 8 to 128. In Faster R-CNN it is 8 to 128 against 4 to 64, and boxes are cut out at 4 to 32.
# The centres of the anchors reach only half of the width and height, so objects elsewhere are not found.
from howto.checkout.measure import anchor_reach, anchor_strides, roi_strides
from howto.checkout.measure import neck_strides as strides_of

right = [checkout.build(checkout.config(name)) for name in yolox]
one, two = [each.model for each in shifted]
given = strides_of(one)
checkout.check("RetinaNet's neck gives strides", given, [16, 32, 64, 128, 256])
checkout.check("RetinaNet's anchors lie on", anchor_strides(one), [8, 16, 32, 64, 128])
checkout.check("Faster R-CNN's neck gives", strides_of(two), [8, 16, 32, 64, 128])
checkout.check("Faster R-CNN's anchors lie on", anchor_strides(two), [4, 8, 16, 32, 64])
checkout.check("It cuts out boxes at strides", roi_strides(two), [4, 8, 16, 32])

# %%
# The centres of the anchors reach to these parts of the image's width:
reached = [round(anchor_reach(model), 2) for model in (one, two, *right)]
checkout.check("RetinaNet's and Faster R-CNN's reach", reached[:2], [0.47, 0.48])
checkout.check("With the table's configs they reach", reached[2:], [0.97, 0.97])

# %%
# ``Expected to have finished reduction in the prior iteration``: no gradient
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Set ``find_unused_parameters = True``, as the configs of such backbones do. On several GPUs a parameter
# without a gradient stops the run in its second iteration. MobileNetV2 always builds its last
# convolution, and RetinaNet does not use the norm of a Swin's first level. Where every parameter has a
# gradient leave the line out, because it costs time.
needing = [name for name, each in backbones.items() if any(each.unused)]
expected = ["MobileNetV2", "MobileNetV3 small", "ShuffleNetV2", "EfficientNet-B0"]
expected += ["EfficientNet-B3", "Swin-T", "PoolFormer-S12", "ConvNeXt-T"]
checkout.check("Parameters may get no gradient in", needing, expected)
swin = backbones["Swin-T"]
without = swin.unused[swin.start_level]
checkout.check("In a Swin-T", without, ["norm0.weight", "norm0.bias"])

# %%
# A backbone that has no more levels than RetinaNet uses does not need the line. MMDetection's own Swin
# config does so, with ``out_indices=(1, 2, 3)``.
keys = listed()["Swin-T"] | dict(out_indices=(1, 2, 3))
three = measured(keys, checkout.backbone(**keys))
print(three.retinanet())
name = "With three levels each parameter has a gradient"
checkout.check(name, three.unused == [[]], True)

# %%
# ``ValueError: Expected more than 1 value per channel when training``: no ``self.eval()``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Call ``self.eval()`` first. A batch norm that trains needs more than one value for each channel, and the
# last level of a 32 × 32 image has one.
variant = checkout.edit("get_channels.py", {"self.eval()\n": ""})
output = checkout.shell(f"python configs/backbone_channels/{variant}", succeeds=False)
message = "ValueError: Expected more than 1 value per channel when training, got input size torch.Size([1, 512, 1, 1])"
checkout.check("Its last line", output.splitlines()[-1], message)

# %%
# ``AttributeError: 'NoneType' object has no attribute 'forward'``: ``ResNet(…).eval()``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Keep ``self.eval()`` on a line of its own. It returns what ``train()`` returns, and MMDetection's
# ``ResNet.train()`` returns ``None``.
old = "self = ResNet(depth=18)\nself.eval()\n"
variant = checkout.edit("get_channels.py", {old: "self = ResNet(depth=18).eval()\n"})
output = checkout.shell(f"python configs/backbone_channels/{variant}", succeeds=False)
message = "AttributeError: 'NoneType' object has no attribute 'forward'"
checkout.check("Python ends with", output.splitlines()[-1], message)

# %%
# Evidence
# --------

# %%
# The script, and MMDetection's own config
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The channels that the script prints are in MMDetection's own config of a ResNet-18.
output = checkout.shell("python configs/backbone_channels/get_channels.py")
shapes = "(1, 64, 8, 8)\n(1, 128, 4, 4)\n(1, 256, 2, 2)\n(1, 512, 1, 1)\n"
checkout.check("The script prints", output, shapes)
r18 = checkout.config("retinanet/retinanet_r18_fpn_1x_coco.py")
channels = [int(line.split(", ")[1]) for line in output.splitlines()]
theirs = list(r18.model.neck.in_channels)
checkout.check("MMDetection has in_channels", theirs, channels)
channels = backbones["ResNet-50"].channels
checkout.check("Channels of ResNet-50", channels, [256, 512, 1024, 2048])
last = [each.channels[-1] for name, each in backbones.items() if "MobileNetV2" in name]
checkout.check("Last channels of both MobileNetV2", last, [320, 1280])

# %%
# The strides of each config
# ~~~~~~~~~~~~~~~~~~~~~~~~~~
# The strides of the neck's levels have to be those of the anchors and of the RoI extractor. Each config
# of the table was loaded, and its neck got levels like the backbone's.
from howto.figures.backbones import neck_strides

cfgs = {key: checkout.config(path.name) for key, path in files.items()}
with checkout.inside():
    given = {key: neck_strides(cfgs[key], backbones[key[0]]) for key in files}

# %%
apart, sizes, strides = [], set(), set()
for key, each in cfgs.items():
    if key[1] == "faster_rcnn":
        anchors = each.model.rpn_head.anchor_generator
        sizes.add(tuple(anchors.scales[0] * stride for stride in anchors.strides))
        boxes = each.model.roi_head.bbox_roi_extractor
        levels, finest = list(boxes.featmap_strides), boxes.get("finest_scale", 56)
        strides |= {(finest * 2**n, stride) for n, stride in enumerate(levels)}
    else:
        anchors, levels = each.model.bbox_head.anchor_generator, []
    neck = given[key], given[key][: len(levels)]
    apart += [files[key].name] * (neck != (list(anchors.strides), levels))

# %%
number = {"mmcls": 56, "mmpretrain": 60}[api().LIBRARIES[-1]]
checkout.check("Configs of the table", len(cfgs), number)
checkout.check("Those whose neck and heads have different strides", apart, [])

# %%
# All anchors have the sizes of the stock Faster R-CNN's, and boxes from 224 pixels on the same strides.
checkout.check("Sizes of the anchors in pixels", sizes, {(32, 64, 128, 256, 512)})
name = "Boxes from so many pixels on, and the stride at which they are cut out"
expected = [(56, 4), (112, 8), (224, 16), (448, 32)]
checkout.check(name, sorted(strides), expected)

# %%
# The checkpoints
# ~~~~~~~~~~~~~~~
# A checkpoint fits if the model that it was saved from has each parameter of the backbone, in the same
# shape. That was compared for torchvision's models and the classifiers. PoolFormer's norms of the levels
# are new in a detector, and start with their initial values. For the others MMDetection's own config was
# compared: it names the same checkpoint for the same backbone.
from howto.figures.backbones import differing, pixels

compared = {name: lack for name, lack in lacks.items() if lack is not None}
new = {name: lack for name, lack in compared.items() if lack}
norms = [f"norm{level}.{kind}" for level in (0, 2, 4) for kind in ("weight", "bias")]
number = {"mmcls": 14, "mmpretrain": 15}[api().LIBRARIES[-1]]
checkout.check("Models of checkpoints that were compared", len(compared), number)
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
number = {"mmcls": 24, "mmpretrain": 26}[api().LIBRARIES[-1]]
checkout.check("Configs of detectors and classifiers", len(named), number)
checkout.check("Keys and pixels that differ from theirs", apart, [])
others = [each.checkpoint for name, each in backbones.items() if name not in named]
checkout.check("The others start from", others, ["timm's own"] * 2 + ["none"] * 2)

# %%
# A config of the table trains
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The run of *Your log should say* had the learning rate to which ``--auto-scale-lr`` leads.
import statistics

rate = api().rate(run.cfg)
checkout.check("MMDetection's own RetinaNet trains at", rate, 0.01)
base = run.cfg.auto_scale_lr.base_batch_size
checkout.check("Images a step that it is for", base, 16)
checkout.check("Learning rates with 8 images a step", set(run.rates), {0.005})
half = len(run.losses) // 2
first, second = statistics.mean(run.losses[:half]), statistics.mean(run.losses[half:])
checkout.check("The loss falls: second half over first", second / first, at_most=0.99)

# %%
# What was not tried
# ~~~~~~~~~~~~~~~~~~
# - Accuracy, and the checkpoints themselves: where their hosts were out of reach, random weights of the
#   same names and shapes were used.
# - Each config of the table was loaded, and its strides were compared. Here ResNet-18 and CSPDarknet
#   were trained; a test of this project trains the RetinaNets in two processes, without checkpoints.
# - Necks other than FPN, and heads other than RetinaNet's and Faster R-CNN's.
