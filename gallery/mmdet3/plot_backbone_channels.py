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
from howto.show import draw_levels

photograph = cv2.imread(str(checkout.photograph()))[..., ::-1][:256, :256]
image = torch.tensor(photograph.copy()).permute(2, 0, 1)[None] / 255
resnet = checkout.backbone(type="ResNet", depth=18)
figure = draw_levels(photograph, resnet(image), strides=(4, 8, 16, 32))

# %%
# The same for other backbones
# ----------------------------
# Channels and strides, measured on a 256 × 256 image; the last column is what to paste
# into the config. What stands in MMPreTrain has the prefix
# ``mmpretrain.``.
from howto.measure import levels
from howto.show import Table

backbones = [
    dict(type="ResNet", depth=18),
    dict(type="ResNet", depth=50),
    dict(type="ResNeXt", depth=50, groups=32, base_width=4),
    dict(type="RegNet", arch="regnetx_3.2gf"),
    dict(type="Res2Net", depth=50, scales=4, base_width=26),
    dict(type="MobileNetV2", out_indices=(1, 2, 4, 6)),
    dict(type="PyramidVisionTransformerV2", embed_dims=32),
    dict(type="SwinTransformer"),
    dict(type="CSPDarknet", out_indices=(2, 3, 4)),
]

# %%
timm = dict(
    type="mmpretrain.TIMMBackbone", features_only=True, out_indices=(1, 2, 3, 4)
)
convnext = dict(type="mmpretrain.ConvNeXt", arch="tiny", out_indices=(0, 1, 2, 3))
backbones += [
    dict(type="mmpretrain.MobileNetV3", arch="small", out_indices=(3, 8, 11)),
    dict(**convnext, gap_before_final_norm=False),
    dict(**timm, model_name="efficientnet_b1"),
]

# %%
rows = []
for keys in backbones:
    channels, strides = levels(checkout.backbone(**keys), size=256)
    name = ", ".join(f"{key}={value!r}" for key, value in keys.items()).removeprefix(
        "type="
    )
    rows.append((name, strides, f"neck=dict(in_channels={channels})"))
Table(("Backbone", "Strides (pixels)", "For the config"), rows)

# %%
measured = {row[0]: row[2] for row in rows}
checkout.check(
    "ResNet-50",
    measured["'ResNet', depth=50"],
    "neck=dict(in_channels=[256, 512, 1024, 2048])",
)
checkout.check(
    "each stride is twice the one before",
    all(b == 2 * a for row in rows for a, b in zip(row[1], row[1][1:])),
    True,
)

# %%
# They go into ``in_channels``
# ----------------------------
# MMDetection's own config for RetinaNet on a ResNet-18 has the channels that the script
# printed. It trains with them.
import math

stock = "retinanet/retinanet_r18_fpn_1x_coco.py"
channels = [int(line.split(", ")[1]) for line in output.splitlines()]
checkout.check(
    "in_channels of the stock config",
    list(checkout.config(stock).model.neck.in_channels),
    channels,
)

# %%
from howto.diagram import draw_detector

cfg = checkout.config(stock)
r50 = checkout.config("retinanet/retinanet_r50_fpn_1x_coco.py")
draw_detector(checkout.build(cfg), cfg, r50)

# %%
run = checkout.train(stock, epochs=1)
checkout.check("every loss is finite", all(map(math.isfinite, run.losses)), True)
checkout.check("evaluations", run.evaluations, 1)

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
