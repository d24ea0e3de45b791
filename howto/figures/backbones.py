"""Put a backbone into MMDetection's RetinaNet and Faster R-CNN: the config that its levels need."""

import dataclasses
import textwrap
from collections.abc import Sequence

from howto.checkout import measure
from howto.checkout.family import api
from howto.project import stacks
from howto.project.errors import HowtoError

SIZE = 128  # pixels: side of the image on which levels are measured
LEVELS = 5  # what FPN gives out in both stock configs
ANCHOR = 32  # pixels: side of the smallest square anchor of the stock Faster R-CNN, 8 × its stride of 4
ROI = 14  # a level of stride s pools the boxes from 14 s on: `finest_scale` is 56 at the stock config's stride of 4


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A backbone, with what a detector has to know of it.

    Attributes:
        keys: Its keys in a config.
        channels: Of each level.
        strides: Of each level, in pixels, each twice the one before, beginning with 4 or 8.
        unused: For each number of first levels that a neck may leave out, the backbone's parameters that then train
            and get no gradient.
    """

    keys: dict
    channels: list[int]
    strides: list[int]
    unused: list[list[str]]

    @property
    def start_level(self) -> int:
        """The first level that RetinaNet's neck takes: that of stride 8."""
        return self.strides.index(8)

    def retinanet(self) -> str:
        """A config that trains RetinaNet on it, whose anchors lie on strides 8 to 128."""
        neck = dict(in_channels=self.channels, start_level=self.start_level)
        return self._config("retinanet/retinanet_r50_fpn_1x_coco.py", self.unused[self.start_level], neck=neck)

    def faster_rcnn(self) -> str:
        """A config that trains Faster R-CNN on it, with anchors of the stock sizes.

        Where the first level has stride 8, not 4, anchors and RoI extractor move up by one level: each level then
        has the anchors, and pools the boxes, that the level of that stride has in the stock config.
        """
        model, first = dict(neck=dict(in_channels=self.channels)), self.strides[0]
        if first != 4:
            anchors = dict(scales=[ANCHOR // first], strides=[first * 2**level for level in range(LEVELS)])
            model["rpn_head"] = dict(anchor_generator=anchors)
            model["roi_head"] = dict(bbox_roi_extractor=dict(featmap_strides=self.strides, finest_scale=ROI * first))
        stock = {"mmdet2": "faster_rcnn", "mmdet3": "faster-rcnn"}[stacks.current().family]
        return self._config(f"faster_rcnn/{stock}_r50_fpn_1x_coco.py", self.unused[0], **model)

    def _config(self, stock: str, unused: list[str], **model) -> str:
        lines = [f"_base_ = '../{stock}'"]
        scope, dot, _ = self.keys["type"].partition(".")
        if dot:
            imports = dict(imports=[f"{scope}.models"], allow_failed_imports=False)
            lines.append(_assigned("custom_imports", imports))
        if unused:
            lines.append("find_unused_parameters = True")
        backbone = dict(_delete_=True, **self.keys)
        return "\n".join([*lines, _assigned("model", dict(backbone=backbone, **model))]) + "\n"


def measured(keys: dict, module, size: int = SIZE) -> Backbone:
    """Measure the levels of a backbone.

    Args:
        keys: Its keys in a config.
        module: What they build.
        size: Side of the image of noise, in pixels.

    Raises:
        HowtoError: If FPN and the detectors' anchors cannot follow its levels: a stride is left out or occurs twice.
    """
    import torch

    module.eval()
    levels = module(torch.rand(1, 3, size, size))
    strides = [size // level.shape[-1] for level in levels]
    if strides not in ([4, 8, 16, 32], [8, 16, 32]):
        raise HowtoError(f"{keys}: the levels have strides {strides}, not 4 or 8 to 32; choose other out_indices")
    unused = []
    for first in range(strides.index(8) + 1):
        module.zero_grad(set_to_none=True)
        sum(level.sum() for level in levels[first:]).backward(retain_graph=True)
        unused.append(measure.without_gradient(module))
    return Backbone(keys, [level.shape[1] for level in levels], strides, unused)


def neck_strides(cfg, backbone: Backbone) -> list[int]:
    """Strides (pixels) of what the neck of `cfg` gives out, when it is fed with levels as this backbone's."""
    import torch

    neck = api().backbone(cfg.model.neck)  # one registry has both
    pairs = zip(backbone.channels, backbone.strides, strict=True)
    with torch.no_grad():
        levels = neck([torch.zeros(1, channels, SIZE // stride, SIZE // stride) for channels, stride in pairs])
    return [SIZE // level.shape[-1] for level in levels]


def _assigned(name: str, value: dict) -> str:
    """``name = dict(...)``, as OpenMMLab writes it: at most 79 columns, broken at the outermost brackets first."""
    return f"{name} = {_written(value, len(name) + 3, 0)}"


def _written(value: object, column: int, indent: int, behind: int = 0) -> str:
    """A value, `behind` characters before the end of its line."""
    if not isinstance(value, dict):
        return repr(value)
    whole = f"dict({', '.join(f'{key}={_written(item, 0, 0)}' for key, item in value.items())})"
    nested = sum(isinstance(item, dict) for item in value.values()) > 1
    if "\n" not in whole and not nested and column + len(whole) + behind <= 79:
        return whole
    inner, lines = indent + 4, []
    if not any(isinstance(item, dict) for item in value.values()):
        words = ", ".join(f"{key}={item!r}".replace(" ", "\0") for key, item in value.items())
        text = textwrap.fill(words, 79 - inner - behind - 1, break_long_words=False, break_on_hyphens=False)
        lines = textwrap.indent(text.replace("\0", " "), " " * inner)
    else:
        last = len(value) - 1
        lines = ",\n".join(
            f"{' ' * inner}{key}={_written(item, inner + len(key) + 1, inner, 1 if number < last else behind + 1)}"
            for number, (key, item) in enumerate(value.items())
        )
    return f"dict(\n{lines})"


def listed() -> dict[str, dict]:
    """The keys of each backbone of the site's table, by what people call it."""
    scope = api().LIBRARIES[-1]

    def resnet(depth: int) -> dict:
        weights = dict(type="Pretrained", checkpoint=f"torchvision://resnet{depth}")
        return dict(type="ResNet", depth=depth, frozen_stages=1, init_cfg=weights)

    def other(name: str, out_indices: Sequence[int], **keys) -> dict:
        return dict(type=f"{scope}.{name}", **keys, out_indices=out_indices)

    def timm(name: str) -> dict:
        return other("TIMMBackbone", (1, 2, 3, 4), model_name=name, features_only=True)

    four, norms = (0, 1, 2, 3), dict(norm_eval=False)  # without weights no batch norm has statistics to go by
    yolox = dict(type="CSPDarknet", out_indices=(2, 3, 4))
    backbones = {
        **{f"ResNet-{depth}": resnet(depth) for depth in (18, 34, 50)},
        "ResNeXt-50 32x4d": dict(type="ResNeXt", depth=50, groups=32, base_width=4, **norms),
        "RegNetX 400MF": dict(type="RegNet", arch="regnetx_400mf", **norms),
        "RegNetX 3.2GF": dict(type="RegNet", arch="regnetx_3.2gf", **norms),
        "Res2Net-50 26w 4s": dict(type="Res2Net", depth=50, scales=4, base_width=26, **norms),
        "MobileNetV2": dict(type="MobileNetV2", out_indices=(1, 2, 4, 6)),
        "MobileNetV2 with its last convolution": dict(type="MobileNetV2", out_indices=(1, 2, 4, 7)),
        "MobileNetV3 small": other("MobileNetV3", (3, 8, 11), arch="small"),
        "MobileNetV3 large": other("MobileNetV3", (3, 6, 12, 16), arch="large"),
        "ShuffleNetV2": other("ShuffleNetV2", (0, 1, 2)),
        "EfficientNet-B0": other("EfficientNet", (2, 3, 4, 5), arch="b0"),
        "EfficientNet-B1 of timm": timm("efficientnet_b1"),
        "RegNetY 800MF of timm": timm("regnety_008"),
        "RepVGG-A0": other("RepVGG", four, arch="A0"),
        "CSPDarknet of YOLOX-s": dict(**yolox, deepen_factor=0.33, widen_factor=0.5),
        "CSPDarknet of YOLOX-l": yolox,
        "Darknet-53": dict(type="Darknet", depth=53, norm_eval=False),
        "PVTv2-B0": dict(type="PyramidVisionTransformerV2", embed_dims=32, num_layers=[2, 2, 2, 2]),
        "Swin-T": dict(type="SwinTransformer"),
        "Twins-SVT small": other("SVT", four, arch="small"),
        "PoolFormer-S12": other("PoolFormer", (0, 2, 4, 6), arch="s12"),
        "VAN-tiny": other("VAN", four, arch="tiny"),
        "ConvNeXt-T": other("ConvNeXt", four, arch="tiny", gap_before_final_norm=False),
    }
    if scope == "mmpretrain":
        backbones["CSPNeXt of RTMDet-s"] = dict(**yolox | dict(type="CSPNeXt"), deepen_factor=0.33, widen_factor=0.5)
        backbones["MobileOne-s0"] = other("MobileOne", four, arch="s0")
    return backbones
