"""What a detector's parts say of its levels, and which of its parameters go unused."""

import pytest
import torch
from torch import nn

from howto import Workspace
from howto.checkout import measure

RETINANET = "retinanet/retinanet_r50_fpn_1x_coco.py"
FASTER_RCNN = "faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py"
CASCADE = "cascade_rcnn/cascade_rcnn_r50_fpn_1x_coco.py"


@pytest.fixture(scope="module")
def checkout() -> Workspace:
    return Workspace("mmcls_backbone")


def small(checkout, name: str):
    """A stock config with a ResNet-18 that has random weights."""
    cfg = checkout.config(name)
    cfg.model.backbone.update(depth=18, init_cfg=None)
    cfg.model.neck.in_channels = [64, 128, 256, 512]
    return cfg


@pytest.mark.parametrize(
    ("name", "levels", "boxes"),
    [
        (RETINANET, [8, 16, 32, 64, 128], []),
        (FASTER_RCNN, [4, 8, 16, 32, 64], [4, 8, 16, 32]),
        (CASCADE, [4, 8, 16, 32, 64], [4, 8, 16, 32]),
    ],
)
def test_the_strides_of_a_stock_detector_belong_together(checkout, name, levels, boxes):
    model = checkout.build(small(checkout, name))
    assert measure.neck_strides(model) == measure.anchor_strides(model) == levels
    assert measure.roi_strides(model) == boxes


@pytest.mark.parametrize("keys", [dict(type="MobileNetV2"), dict(type="ResNet", depth=18, frozen_stages=1)])
def test_what_no_level_was_computed_from_is_what_a_backward_pass_leaves_without_a_gradient(checkout, keys):
    backbone = checkout.backbone(**keys, out_indices=(1, 2))
    levels = backbone(torch.rand(2, 3, 64, 64))
    unreached = measure.unreached(backbone, levels)
    sum(level.sum() for level in levels).backward()
    assert unreached == measure.without_gradient(backbone) != []


def test_a_stage_whose_output_nobody_reads_is_named(checkout):
    cfg = small(checkout, RETINANET)
    cfg.model.backbone.out_indices = (0, 1, 2)
    cfg.model.neck.update(in_channels=[64, 128, 256], start_level=0)
    layer4 = [name for name, _ in checkout.build(cfg).named_parameters() if name.startswith("backbone.layer4.")]
    assert checkout.unused_parameters(cfg) == layer4 != []


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_what_a_pass_keeps_for_the_backward_pass_counts_each_tensor_once_and_nothing_frozen(device):
    image, mapped = 3 * 64 * 64, 8 * 64 * 64
    layers = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1)).to(device)
    # The image for the first layer; the second's result for itself and for the third.
    assert measure.kept_for_backward(layers, 64, 64) == pytest.approx((image + mapped) * 4 / 2**20)
    assert measure.kept_for_backward(nn.Conv2d(3, 8, 3).to(device).requires_grad_(False), 64, 64) == 0
