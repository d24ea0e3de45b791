"""Put a backbone into MMDetection's RetinaNet and Faster R-CNN: the config that its levels need."""

import contextlib
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

from howto.checkout import measure, weights
from howto.checkout.family import api, load
from howto.project import stacks
from howto.project.errors import HowtoError
from howto.project.quiet import quiet

SIZE = 128  # pixels: side of the image on which levels are measured
LEVELS = 5  # what FPN gives out in both stock configs
ANCHOR = 32  # pixels: side of the smallest square anchor of the stock Faster R-CNN, 8 × its stride of 4
ROI = 14  # a level of stride s pools the boxes from 14 s on: `finest_scale` is 56 at the stock config's stride of 4
STOCK = ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375], True)  # mean, deviation and whether RGB, of the pixels
# By the class of a backbone, what its checkpoint was trained on, if on others than these.
CAFFE = ([103.53, 116.28, 123.675], [57.375, 57.12, 58.395], False)
PIXELS = {
    "RegNet": CAFFE,
    "CSPNeXt": CAFFE,
    "Darknet": ([0.0, 0.0, 0.0], [255.0, 255.0, 255.0], True),
    "VAN": ([127.5, 127.5, 127.5], [127.5, 127.5, 127.5], True),
}
# What MMDetection's own PVT trains with, and these are trained with, too.
ADAMW = dict(type="AdamW", lr=0.0001, weight_decay=0.0001)
TRAINED_BY_ADAMW = ("PyramidVisionTransformerV2", "SwinTransformer", "SVT", "PoolFormer", "VAN", "ConvNeXt")
STYLE = dict(based_on_style="pep8", split_before_expression_after_opening_paren=True)  # OpenMMLab's, for yapf
# Which config of MMDetection trains a backbone of the table from the same checkpoint, as a pattern below ``configs/``.
ORIGINS = {
    "ResNet-18": "retinanet/retinanet_r18_fpn_1x_coco.py",
    "ResNet-34": "ld/ld_r34*",
    "ResNet-50": "retinanet/retinanet_r50_fpn_1x_coco.py",
    "ResNet-101": "retinanet/retinanet_r101_fpn_1x_coco.py",
    "ResNeXt-101 32x4d": "retinanet/retinanet_x101?32x4d_fpn_1x_coco.py",
    "RegNetX 400MF": "regnet/faster*regnetx-400MF*",
    "RegNetX 3.2GF": "regnet/retinanet_regnetx-3.2GF_fpn_1x_coco.py",
    "Res2Net-101 26w 4s": "res2net/faster*101_fpn_2x_coco.py",
    "MobileNetV2": "yolo/yolov3_mobilenetv2*416*",
    "MobileNetV2 with its last convolution": "yolo/yolov3_mobilenetv2*416*",
    "EfficientNet-B3": "efficientnet/retinanet_effb3*",
    "Darknet-53": "yolo/yolov3_d53*608*",
    "PVTv2-B0": "pvt/retinanet_pvtv2-b0*",
    "Swin-T": "swin/retinanet_swin-t*",
    "ConvNeXt-T": "convnext/mask*convnext-t*",
    "CSPNeXt of RTMDet-s": "rtmdet/rtmdet_s_*",
}

FROZEN, STILL = dict(frozen_stages=1), dict(norm_eval=True)  # as the stock config's ResNet
FOUR, YOLOX = (0, 1, 2, 3), (2, 3, 4)  # out_indices
TIMM = dict(features_only=True, pretrained=True, out_indices=(1, 2, 3, 4))
RTMDET = "https://download.openmmlab.com/mmdetection/v3.0/rtmdet/cspnext_rsb_pretrain/cspnext-s_imagenet_600e.pth"
# What people call it, class, keys and checkpoint of each backbone of the table. {} is the library of classifiers, and
# a checkpoint without a colon is a classifier's, one for each library where they differ or only one has the class.
TABLE = (
    *((f"ResNet-{depth}", "ResNet", dict(depth=depth, **FROZEN), f"torchvision://resnet{depth}")
      for depth in (18, 34, 50, 101)),
    ("ResNeXt-50 32x4d", "ResNeXt", dict(depth=50, groups=32, base_width=4, **FROZEN),
     "resnext/resnext50_32x4d_b32x8_imagenet_20210429-56066e27"),
    ("ResNeXt-101 32x4d", "ResNeXt", dict(depth=101, groups=32, base_width=4, **FROZEN),
     "open-mmlab://resnext101_32x4d"),
    ("RegNetX 400MF", "RegNet", dict(arch="regnetx_400mf", **FROZEN), "open-mmlab://regnetx_400mf"),
    ("RegNetX 3.2GF", "RegNet", dict(arch="regnetx_3.2gf", **FROZEN), "open-mmlab://regnetx_3.2gf"),
    ("Res2Net-101 26w 4s", "Res2Net", dict(depth=101, scales=4, base_width=26, **FROZEN),
     "open-mmlab://res2net101_v1d_26w_4s"),
    ("MobileNetV2", "MobileNetV2", dict(out_indices=(1, 2, 4, 6), **STILL), "open-mmlab://mmdet/mobilenet_v2"),
    ("MobileNetV2 with its last convolution", "MobileNetV2", dict(out_indices=(1, 2, 4, 7), **STILL),
     "open-mmlab://mmdet/mobilenet_v2"),
    ("MobileNetV3 small", "{}.MobileNetV3", dict(arch="small", **STILL, out_indices=(3, 8, 11)),
     "mobilenet_v3/convert/mobilenet_v3_small-8427ecf0"),
    ("MobileNetV3 large", "{}.MobileNetV3", dict(arch="large", **STILL, out_indices=(3, 6, 12, 16)),
     "mobilenet_v3/convert/mobilenet_v3_large-3ea3c186"),
    ("ShuffleNetV2", "{}.ShuffleNetV2", dict(**STILL, out_indices=(0, 1, 2)),
     "shufflenet_v2/shufflenet_v2_batch1024_imagenet_20200812-5bf4721e"),
    ("EfficientNet-B0", "{}.EfficientNet", dict(arch="b0", **STILL, out_indices=(2, 3, 4, 5)),
     "efficientnet/efficientnet-b0_3rdparty_8xb32-aa_in1k_20220119-8d939117"),
    ("EfficientNet-B3", "{}.EfficientNet", dict(arch="b3", **STILL, out_indices=(2, 3, 4, 5)),
     "efficientnet/efficientnet-b3_3rdparty_8xb32-aa_in1k_20220119-5b4887a0"),
    ("EfficientNet-B1 of timm", "{}.TIMMBackbone", dict(model_name="efficientnet_b1", **TIMM), ""),
    ("RegNetY 800MF of timm", "{}.TIMMBackbone", dict(model_name="regnety_008", **TIMM), ""),
    ("RepVGG-A0", "{}.RepVGG", dict(arch="A0", **STILL, out_indices=FOUR),
     dict(mmcls="repvgg/repvgg-A0_3rdparty_4xb64-coslr-120e_in1k_20210909-883ab98c",
          mmpretrain="repvgg/repvgg-A0_8xb32_in1k_20221213-60ae8e23")),
    ("CSPDarknet of YOLOX-s", "CSPDarknet", dict(out_indices=YOLOX, deepen_factor=0.33, widen_factor=0.5), ""),
    ("CSPDarknet of YOLOX-l", "CSPDarknet", dict(out_indices=YOLOX), ""),
    ("Darknet-53", "Darknet", dict(depth=53), "open-mmlab://darknet53"),
    ("PVTv2-B0", "PyramidVisionTransformerV2", dict(embed_dims=32, num_layers=[2, 2, 2, 2], init_cfg=dict(
        checkpoint="https://github.com/whai362/PVT/releases/download/v2/pvt_v2_b0.pth")), ""),
    ("Swin-T", "SwinTransformer", dict(convert_weights=True),
     "https://github.com/SwinTransformer/storage/releases/download/v1.0.0/swin_tiny_patch4_window7_224.pth"),
    ("Twins-SVT small", "{}.SVT", dict(arch="small", out_indices=FOUR),
     "twins/twins-svt-small_3rdparty_8xb128_in1k_20220126-8fe5205b"),
    ("PoolFormer-S12", "{}.PoolFormer", dict(arch="s12", out_indices=(0, 2, 4, 6)),
     "poolformer/poolformer-s12_3rdparty_32xb128_in1k_20220414-f8d83051"),
    ("VAN-tiny", "{}.VAN", dict(arch="tiny", **STILL, out_indices=FOUR), "van/van-tiny_8xb128_in1k_20220501-385941af"),
    ("ConvNeXt-T", "{}.ConvNeXt", dict(arch="tiny", gap_before_final_norm=False, out_indices=FOUR),
     "convnext/downstream/convnext-tiny_3rdparty_32xb128-noema_in1k_20220301-795e9634"),
    ("CSPNeXt of RTMDet-s", "CSPNeXt", dict(out_indices=YOLOX, deepen_factor=0.33, widen_factor=0.5, **STILL,
     init_cfg=dict(type="Pretrained", checkpoint=RTMDET, prefix="backbone.")), dict(mmpretrain="")),
    ("MobileOne-s0", "{}.MobileOne", dict(arch="s0", **STILL, out_indices=FOUR),
     dict(mmpretrain="mobileone/mobileone-s0_8xb32_in1k_20221110-0bc94952")),
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A backbone, with what a detector has to know of it.

    Attributes:
        keys: Its keys in a config.
        channels: Of each level.
        strides: Of each level, in pixels, each twice the one before, beginning with 4 or 8.
        unused: For each number of first levels that a neck may leave out, the backbone's parameters that then train
            and get no gradient.
        pixels: Mean, deviation and whether RGB, of the pixels that its checkpoint was trained on, if on others than
            those of the stock configs and of its class.
        adamw: Whether it is to be trained by AdamW, as some classes always are.
    """

    keys: dict
    channels: list[int]
    strides: list[int]
    unused: list[list[str]]
    pixels: tuple[list[float], list[float], bool] | None = None
    adamw: bool = False

    @property
    def checkpoint(self) -> str:
        """Address of the checkpoint that it starts from, as a config names it, or words where it names none."""
        words = "timm's own" if self.keys.get("pretrained") else "none"
        return self.keys.get("init_cfg", {}).get("checkpoint", words)

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
        from yapf.yapflib.yapf_api import FormatCode

        lines, keys = [f"_base_ = '../{stock}'"], dict(self.keys)
        scope, dot, kind = keys["type"].rpartition(".")
        if dot:
            imports = dict(imports=[f"{scope}.models"], allow_failed_imports=False)
            lines.append(_assigned("custom_imports", imports))
        if unused:
            lines.append("find_unused_parameters = True")
        address = str(keys.get("init_cfg", {}).get("checkpoint", ""))
        if address.startswith("https:"):
            lines.append(f"checkpoint = {address!r}  # noqa: E501")
            keys["init_cfg"] = keys["init_cfg"] | dict(checkpoint=_Name("checkpoint"))
        before, behind = {}, []
        if said := self.pixels or PIXELS.get(kind):
            before, behind = _pixels(*said)
        model = dict(**before, backbone=dict(_delete_=True, **keys), **model)
        lines += [_assigned("model", model), *behind]
        if self.adamw or kind in TRAINED_BY_ADAMW:
            old = stacks.current().family == "mmdet2"
            adamw = dict(_delete_=True, **ADAMW)
            lines.append(_assigned("optimizer", adamw) if old else _assigned("optim_wrapper", dict(optimizer=adamw)))
        return FormatCode("\n".join(lines) + "\n", style_config=STYLE)[0]


@dataclasses.dataclass(frozen=True)
class Row:
    """A backbone of a how-to's table, whose config readers copy.

    Attributes:
        name: What its library calls it.
        backbone: What a detector's config says of it, and its levels.
        address: Of its checkpoint.
        pixels: Mean, deviation and whether RGB, of the pixels that its checkpoint was trained on.
    """

    name: str
    backbone: Backbone
    address: str
    pixels: tuple[list[float], list[float], bool]

    @property
    def file(self) -> str:
        """Name of its config; never that of a snippet."""
        return f"retinanet_{re.sub(r'[^a-z0-9]+', '_', self.name.lower()).strip('_')}_fpn_1x_coco.py"

    @property
    def text(self) -> str:
        """A config that trains RetinaNet on it."""
        return self.backbone.retinanet()

    def write(self, folder: Path):
        """Write its config into a folder below ``configs/``, and load it as MMDetection does."""
        (folder / self.file).write_text(self.text, "utf-8")
        return load(folder / self.file)


class _Name(str):
    """A name in a config, which is written without quotes."""

    __repr__ = str.__str__


def _pixels(mean: list[float], std: list[float], rgb: bool) -> tuple[dict, list[str]]:
    """What a config says of the pixels that its model gets: keys of the model, and lines below it."""
    if stacks.current().family != "mmdet2":
        return dict(data_preprocessor=dict(mean=mean, std=std, bgr_to_rgb=rgb)), []
    stock = load(api().detectors()[0] / "configs/_base_/datasets/coco_detection.py")  # 2.x normalises in its pipelines
    values = dict(img_norm_cfg=dict(mean=mean, std=std, to_rgb=rgb))
    values |= {name: _normalising(stock[name]) for name in ("train_pipeline", "test_pipeline")}
    values["data"] = {name: dict(pipeline=_Name("test_pipeline")) for name in ("train", "val", "test")}
    values["data"]["train"]["pipeline"] = _Name("train_pipeline")
    return {}, [_assigned(name, value) for name, value in values.items()]


def _normalising(steps: list[dict]) -> list:
    """The steps of a pipeline, those that normalise by ``img_norm_cfg``."""
    named = _Name("dict(type='Normalize', **img_norm_cfg)")
    inner = [
        dict(step, transforms=_normalising(step["transforms"])) if "transforms" in step else step for step in steps
    ]
    return [named if step["type"] == "Normalize" else step for step in inner]


@contextlib.contextmanager
def zeros() -> Iterator[None]:
    """Build modules whose weights are zeros, in a fraction of the time: of those only the shapes are asked for."""
    import torch
    from torch import Tensor
    from torch.overrides import TorchFunctionMode

    drawn = (Tensor.uniform_, Tensor.normal_, Tensor.erfinv_)

    class Zeros(TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            if function in drawn or getattr(function, "__module__", "") == "torch.nn.init":
                return (*args, *(kwargs or {}).values())[0]
            return (torch.zeros if function is torch.empty else function)(*args, **kwargs or {})

    with Zeros():
        yield


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
    unused = [measure.unreached(module, levels[first:]) for first in range(strides.index(8) + 1)]
    return Backbone(keys, [level.shape[1] for level in levels], strides, unused)


def neck_strides(cfg, backbone: Backbone) -> list[int]:
    """Strides (pixels) of what the neck of `cfg` gives out, when it is fed with levels as this backbone's."""
    import torch

    pairs = zip(backbone.channels, backbone.strides, strict=True)
    with torch.no_grad(), torch.device("meta"):  # whose tensors have a size and no content
        neck = api().part(cfg.model.neck)  # one registry has both
        levels = neck([torch.empty(1, channels, SIZE // stride, SIZE // stride) for channels, stride in pairs])
    return [SIZE // level.shape[-1] for level in levels]


def _assigned(name: str, value: dict) -> str:
    """``name = dict(...)``, on one line."""
    return f"{name} = {_written(value)}"


def _written(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_written, value))}]"
    if not isinstance(value, dict):
        return repr(value)
    return f"dict({', '.join(f'{key}={_written(item)}' for key, item in value.items())})"


def bare(keys: dict) -> dict:
    """The keys without what would load a checkpoint as soon as the backbone is built."""
    return {key: value for key, value in keys.items() if key != "pretrained"}


def origin(name: str, configs: Path) -> Path | None:
    """The config that a backbone of the table has its checkpoint from, if there is one.

    Args:
        name: What the table calls it.
        configs: MMDetection's own configs, where it is looked for first; a classifier's lies elsewhere.
    """
    if name in ORIGINS:
        return min(configs.glob(ORIGINS[name]))
    address = listed()[name].get("init_cfg", {}).get("checkpoint")
    return weights.classifier_config(address) if address else None


def pixels(cfg) -> tuple[list[float], list[float], bool]:
    """Mean and deviation by which a config of a detector or classifier normalises pixels, and whether they are RGB."""
    places = [cfg.get("data", {}).get("train"), cfg.model.get("data_preprocessor"), cfg.get("data_preprocessor")]
    for place in places:
        while isinstance(place, dict) and not place.get("mean"):
            steps = [step for step in place.get("pipeline", ()) if step["type"] == "Normalize"]
            place = steps[0] if steps else place.get("dataset")
        if place:
            return list(place["mean"]), list(place["std"]), place.get("to_rgb", place.get("bgr_to_rgb"))
    raise HowtoError("the config normalises nowhere")


def differing(keys: dict, cfg) -> list[str]:
    """A backbone's keys that are others in a detector's config with its checkpoint, but for levels and what trains.

    Of the library and of an address only the last part counts: others keep the same files.
    """
    apart, theirs = ("out_indices", "norm_eval", "frozen_stages", "init_cfg", "type"), cfg.model.backbone
    found = [key for key, value in keys.items() if key not in apart and theirs.get(key) != value]
    found += ["type"] * (keys["type"].rpartition(".")[2] != theirs["type"].rpartition(".")[2])
    files = {each["init_cfg"]["checkpoint"].rpartition("/")[2] for each in (keys, theirs)}
    return found + ["init_cfg"] * (len(files) > 1)


def lacking(keys: dict, module) -> list[str] | None:
    """Parameters of a backbone that the model of its checkpoint does not have, or has in another shape.

    Args:
        keys: Its keys in a config.
        module: What they build.

    Returns:
        None if no package has that model: only torchvision's and the classifiers are known.
    """
    found = [each.build for each in weights.wanted(keys.get("init_cfg")) if "/downstream/" not in each.address]
    if not found:
        return None
    with quiet(), zeros():
        model = found[0]()
    prefix = keys["init_cfg"].get("prefix", "")
    held = {name.removeprefix(prefix): value.shape for name, value in model.state_dict().items()}
    return [name for name, value in module.state_dict().items() if held.get(name) != value.shape]


def listed() -> dict[str, dict]:
    """The keys of each backbone of the site's table, by what people call it."""
    scope, found = api().LIBRARIES[-1], {}
    for name, kind, keys, checkpoint in TABLE:
        if isinstance(checkpoint, dict) and scope not in checkpoint:
            continue
        path = checkpoint[scope] if isinstance(checkpoint, dict) else checkpoint
        found[name] = dict(type=kind.format(scope), **keys)
        if ":" in path:
            found[name]["init_cfg"] = dict(type="Pretrained", checkpoint=path)
        elif path:
            address = f"https://download.openmmlab.com/mmclassification/v0/{path}.pth"
            found[name]["init_cfg"] = dict(type="Pretrained", checkpoint=address, prefix="backbone.")
    return found
