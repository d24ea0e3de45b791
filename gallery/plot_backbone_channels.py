"""
How do I get the channels of a backbone?
========================================

Look your backbone up in the table: its channels go into the neck's ``in_channels``, and its
row unfolds to a whole config. For any other backbone run the script below the table.
"""

# %%
# Channels and strides are measured. Unfold the config of your detector and copy it: it is a whole
# file, and apart from the backbone, and what the backbone needs, it is MMDetection's own.
from howto import Workspace
from howto.checkout.family import api
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
# The configs are for MMDetection 2.17 or newer, which has all of these backbones: MobileNetV2
# came with 2.13, YOLOX's CSPDarknet with 2.15.1, Swin with 2.16, PVT with 2.17, and those
# with a prefix can be built since 2.12. So says the changelog; this page ran on 2.28.
# {% else %}
# The configs are for MMDetection 3.0 or newer; on MMDetection 2, MMPreTrain is
# MMClassification, and its prefix ``mmcls.``
# {% endif %}

# %%
# Adapt it
# --------
# **Your own backbone.** Put it in the place of ``ResNet(depth=18)``, with the keys that your config
# has for it. ``out_indices`` says which levels it gives out, so the channels depend on it.
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
# **A config of the table.** Save it in ``configs/backbone_channels/`` under any name that ends in
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
# Each config sets what its backbone needs: the checkpoint that MMDetection's own config starts
# from, or that of the classifier; the colours and scale of the pixels, where that checkpoint was
# trained on others (RegNet, Darknet, VAN); AdamW at 0.0001, with which MMDetection trains its PVT,
# for transformers and for what is built like them. YOLOX has no checkpoint of its backbone alone, so
# CSPDarknet starts from random weights. ``prefix='backbone.'`` beside the address of a whole YOLOX takes
# its part; its pixels are in BGR and not normalised.
#
# {% if mmdet2 %}
# A type that begins with ``mmcls.`` needs MMClassification, and ``TIMMBackbone`` needs timm, too:
# {% else %}
# A type that begins with ``mmpretrain.`` needs MMPreTrain, and ``TIMMBackbone`` needs timm, too:
# {% endif %}
#
# {% if mmdet2 %}
# .. install:: mmcls timm
# {% else %}
# .. install:: mmpretrain timm
# {% endif %}
pvt = checkout.config("pvt/retinanet_pvtv2-b0_fpn_1x_coco.py")
# {% if mmdet2 %}
adamw = pvt.optimizer.type, pvt.optimizer.lr
# {% else %}
optimizer = pvt.optim_wrapper.optimizer
adamw = optimizer.type, optimizer.lr
# {% endif %}
checkout.check("MMDetection's own PVT trains with", adamw, ("AdamW", 0.0001))

# %%
# What a detector takes from a backbone
# -------------------------------------
# Each level has more channels and fewer places than the one before. Its stride is the number of
# pixels from one place to the next. Here are the levels of a ResNet-18 with random weights:
import cv2
import torch
from howto.figures.show import draw_levels

photograph = cv2.imread(str(checkout.photograph()))[..., ::-1][:256, :256]
image = torch.tensor(photograph.copy()).permute(2, 0, 1)[None] / 255
resnet = checkout.backbone(type="ResNet", depth=18)
figure = draw_levels(photograph, resnet(image), strides=(4, 8, 16, 32))

# %%
# A neck takes the channels from ``in_channels``. FPN does not look at strides: it resizes each level
# to the size of the next. But the heads rely on them. They lay anchors at the strides that the config
# names, and Faster R-CNN divides boxes by them to cut them out of a level.
from howto.figures.diagram import draw_detector

small = files["ResNet-18", "retinanet"].name
cfg = checkout.config(small)
r50 = checkout.config("retinanet/retinanet_r50_fpn_1x_coco.py")
draw_detector(checkout.build(cfg), cfg, r50)

# %%
# RetinaNet's anchors begin at stride 8, which ``start_level`` selects: 1 for a backbone whose first
# level has stride 4, 0 where that is 8. Faster R-CNN's begin at 4. A backbone without such a level
# gets anchors from stride 8 on. They keep their sizes because of ``scales=[4]``: with the stock
# ``[8]`` the smallest would measure 64 pixels, not 32. ``finest_scale=112`` keeps each box at the
# stride that it has in the stock config, those of stride 4 at 8.

# %%
# Your log should say
# -------------------
# The script prints the four lines above. With a config of the table the log says which checkpoint is
# loaded. The warning that ``fc.weight`` and ``fc.bias`` are unexpected is harmless: they classify
# whole images. Then comes a loss for each iteration, and on average it falls. This is the ResNet-18
# under RetinaNet, with eight images a step and without the warm-up, in which a run this short would
# end.
# {% if mmdet2 %}
run = checkout.train(
    small, epochs=4, evaluate=False, warmed_up=True, data__samples_per_gpu=8
)
# {% else %}
run = checkout.train(
    small, epochs=8, evaluate=False, warmed_up=True, train_dataloader__batch_size=8
)
# {% endif %}

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
# YOLOX's CSPDarknet has three levels, and the first has stride 8. If you set ``in_channels`` alone,
# both detectors train, and every loss is finite.
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
# But RetinaNet still skips the first level, so its neck gives out strides 16 to 256, and its anchors
# lie on 8 to 128. In Faster R-CNN it is 8 to 128 against 4 to 64, and boxes are cut out at 4 to 32.
# The centres of the anchors reach only half of the width and height, and nothing is looked for in the
# rest. The configs of the table set the strides, too.
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
# On several GPUs a parameter without a gradient stops the run in its second iteration. MobileNetV2
# always builds its last convolution, and RetinaNet does not use the norm of a Swin's first level. The
# configs of such backbones say ``find_unused_parameters = True``. Where every parameter has a gradient
# leave the line out, because it costs time.
needing = [name for name, each in backbones.items() if any(each.unused)]
expected = ["MobileNetV2", "MobileNetV3 small", "ShuffleNetV2", "EfficientNet-B0"]
expected += ["EfficientNet-B3", "Swin-T", "PoolFormer-S12", "ConvNeXt-T"]
checkout.check("Parameters may get no gradient in", needing, expected)
swin = backbones["Swin-T"]
without = swin.unused[swin.start_level]
checkout.check("In a Swin-T", without, ["norm0.weight", "norm0.bias"])

# %%
# A backbone that gives out no more levels than RetinaNet takes does not need the line. MMDetection's
# own Swin config does it in that way, with ``out_indices=(1, 2, 3)``.
keys = listed()["Swin-T"] | dict(out_indices=(1, 2, 3))
three = measured(keys, checkout.backbone(**keys))
print(three.retinanet())
checkout.check(
    "With three levels each parameter has a gradient", three.unused == [[]], True
)

# %%
# ``ValueError: Expected more than 1 value per channel when training``: no ``self.eval()``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# A batch norm that trains needs more than one value for each channel, and the last level of a 32 × 32
# image has one. Call ``self.eval()`` first.
variant = checkout.edit("get_channels.py", {"self.eval()\n": ""})
output = checkout.shell(f"python configs/backbone_channels/{variant}", succeeds=False)
message = "ValueError: Expected more than 1 value per channel when training, got input size torch.Size([1, 512, 1, 1])"
checkout.check("Its last line", output.splitlines()[-1], message)

# %%
# ``AttributeError: 'NoneType' object has no attribute 'forward'``: ``ResNet(…).eval()``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# MMDetection's ``ResNet.train()`` returns nothing, and ``eval()`` returns what ``train()`` does. Keep
# the call on a line of its own.
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
# The strides of what a neck gives out have to be those of the anchors and of the RoI extractor. Each
# config of the table was loaded, and its neck was given levels like the backbone's.
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
# {% if mmdet2 %}
checkout.check("Configs of the table", len(cfgs), 56)
# {% else %}
checkout.check("Configs of the table", len(cfgs), 60)
# {% endif %}
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
# A checkpoint fits if the model that it was saved from has each parameter of the backbone, in the same
# shape. Of torchvision's models and of the classifiers that was compared; PoolFormer's norms of the
# levels are new in a detector, and start as they come. For the others MMDetection's own config was
# compared: it names the same checkpoint for the same backbone.
from howto.figures.backbones import differing, pixels

compared = {name: lack for name, lack in lacks.items() if lack is not None}
new = {name: lack for name, lack in compared.items() if lack}
norms = [f"norm{level}.{kind}" for level in (0, 2, 4) for kind in ("weight", "bias")]
# {% if mmdet2 %}
checkout.check("Models of checkpoints that were compared", len(compared), 14)
# {% else %}
checkout.check("Models of checkpoints that were compared", len(compared), 15)
# {% endif %}
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
# {% if mmdet2 %}
checkout.check("Configs of detectors and classifiers", len(named), 24)
# {% else %}
checkout.check("Configs of detectors and classifiers", len(named), 26)
# {% endif %}
checkout.check("Keys and pixels that differ from theirs", apart, [])
others = [each.checkpoint for name, each in backbones.items() if name not in named]
checkout.check("The others start from", others, ["timm's own"] * 2 + ["none"] * 2)

# %%
# A config of the table trains
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The run of *Your log should say* had the learning rate to which ``--auto-scale-lr`` leads.
import statistics

# {% if mmdet2 %}
checkout.check("MMDetection's own RetinaNet trains at", run.cfg.optimizer.lr, 0.01)
# {% else %}
checkout.check(
    "MMDetection's own RetinaNet trains at", run.cfg.optim_wrapper.optimizer.lr, 0.01
)
# {% endif %}
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
#   same names and shapes stood in for them.
# - Each config of the table was loaded, and its strides were compared. Here ResNet-18 and CSPDarknet
#   were trained; a test of this project trains the RetinaNets in two processes, without checkpoints.
# - Necks other than FPN, and heads other than RetinaNet's and Faster R-CNN's.
