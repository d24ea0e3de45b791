"""Find what freezes a backbone, and show how far the parts of a detector moved."""

import itertools

from howto.checkout.run import Run
from howto.figures.show import COLOURS

# Standard configs with a backbone of each kind, below configs/; * stands for what differs between MMDetection 2 and 3.
BACKBONES = {
    "ResNet": "retinanet/retinanet_r50_fpn_1x_coco.py",
    "Swin": "swin/retinanet_swin-t-p4-w7_fpn_1x_coco.py",
    "ConvNeXt": "convnext/mask*rcnn_convnext-t*_fpn_*.py",
    "MobileNetV2": "yolo/yolov3_mobilenetv2_*320*.py",
    "EfficientNet": "efficientnet/retinanet_effb3_fpn_*.py",
    "CSPDarknet": "yolox/yolox_s_*.py",
    "HRNet": "hrnet/faster*rcnn_hrnetv2p*w18*1x_coco.py",
    "PVT": "pvt/retinanet_pvt-t_fpn_1x_coco.py",
    "SSDVGG": "ssd/ssd300_coco.py",
}

# The parts of a two-stage detector, and of its ResNet, from the bottom of the network to its top.
STAGES = ("stem", "layer1", "layer2", "layer3", "layer4", "neck", "rpn_head", "roi_head")


def whole(checkout, path: str) -> int | None:
    """The least ``frozen_stages`` with which no parameter of a config's backbone trains, and no batch norm counts.

    Returns:
        The number, or nothing if the backbone knows no such key, or freezes a part of itself at most.
    """
    keys = checkout.config(path).model.backbone
    for number in itertools.count():
        try:
            backbone = checkout.backbone(**{**keys, "frozen_stages": number, "init_cfg": None})
            backbone.train()  # many freeze here, and return nothing
        except (TypeError, AttributeError, AssertionError, ValueError, LookupError):
            return None  # it knows no such key, or has no such stage
        if not any(value.requires_grad for value in backbone.parameters()) and not norms_training(backbone):
            return number


def norms_training(module) -> int:
    """How many batch norms of `module` take their statistics from the batch."""
    from torch.nn.modules.batchnorm import _BatchNorm

    return sum(isinstance(each, _BatchNorm) and each.training for each in module.modules())


def draw(axes, runs: dict[str, Run]) -> None:
    """Draw how far each of :data:`STAGES` moved in several runs: bars, on a logarithmic scale.

    Args:
        axes: A matplotlib axes.
        runs: Runs of one epoch, by what a legend calls them.
    """
    height = 0.8 / len(runs)
    for number, ((name, run), colour) in enumerate(zip(runs.items(), COLOURS, strict=False)):
        moved = [run.moved(stage)[0] for stage in STAGES]
        places = [place + (number - (len(runs) - 1) / 2) * height for place in range(len(STAGES))]
        axes.barh(places, moved, height, color=colour, label=name)
        for place, value in zip(places, moved, strict=True):
            if not value:
                axes.annotate(" 0", (0, place), xycoords=("axes fraction", "data"), va="center", color=colour)
    axes.set_xscale("log")
    axes.set_yticks(range(len(STAGES)), STAGES)
    axes.invert_yaxis()
    axes.set_xlabel("change, relative to the weights")
    axes.legend()
