"""MobileNetV3 takes the place of ResNet whole, and its levels fit the neck at any image size."""

import pytest
import torch

from tests.snippets.mmdet2.levels import padded, shapes

CONFIG = "retinanet_mobilenet_v3_small_fpn_1x_coco.py"
STOCK = "retinanet/retinanet_r50_fpn_1x_coco.py"
LEVELS = ((24, 8), (48, 16), (96, 32))  # channels and stride of each


@pytest.fixture(scope="module")
def model(checkout):
    return checkout.build(checkout.config(CONFIG))


def test_no_key_of_the_resnet_is_left(checkout):
    resnet = checkout.config(STOCK).model.backbone
    assert set(checkout.config(CONFIG).model.backbone) & set(resnet) == {"type", "out_indices", "init_cfg", "norm_eval"}


def test_no_key_of_the_resnets_init_cfg_is_left(checkout):
    init_cfg = dict(checkout.config(CONFIG).model.backbone.init_cfg)
    assert init_cfg.pop("checkpoint").endswith("/mobilenet_v3_small-8427ecf0.pth")
    assert init_cfg == dict(type="Pretrained", prefix="backbone.")


def test_the_levels_are_its_own(checkout):
    assert checkout.config(CONFIG).model.backbone.out_indices == (3, 8, 11)


def test_the_stock_detector_is_changed_in_its_backbone_and_neck_alone(checkout):
    own, stock = checkout.config(CONFIG).model, checkout.config(STOCK).model
    assert {key for key in own | stock if own.get(key) != stock.get(key)} == {"backbone", "neck"}


def test_the_optimizer_is_that_of_the_stock_retinanet(checkout):
    assert checkout.config(CONFIG).optimizer == checkout.config(STOCK).optimizer


def test_the_batch_norms_keep_their_statistics_and_everything_trains(checkout):
    backbone = checkout.build(checkout.config(CONFIG)).train().backbone
    norms = [module for module in backbone.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert {norm.training for norm in norms} == {False}
    assert {parameter.requires_grad for parameter in backbone.parameters()} == {True}


@pytest.mark.parametrize(
    ("size", "padded_to"), [((250, 333), (256, 352)), ((31, 33), (32, 64)), ((800, 1333), (800, 1344))]
)
def test_the_levels_of_a_padded_image_have_the_shapes_that_the_neck_expects(checkout, model, size, padded_to):
    height, width = padded_to
    expected = [(2, channels, height // stride, width // stride) for channels, stride in LEVELS]
    assert shapes(model.backbone, padded(checkout.config(CONFIG), *size, checkout.device)) == expected


@pytest.mark.parametrize(("height", "width"), [(250, 333), (31, 33), (1, 1)])
def test_the_levels_of_an_image_that_is_not_padded_are_rounded_up(checkout, model, height, width):
    levels = shapes(model.backbone, torch.rand(1, 3, height, width, device=checkout.device))
    assert levels == [(1, channels, -(-height // stride), -(-width // stride)) for channels, stride in LEVELS]


def test_the_strides_of_the_necks_levels_are_those_of_the_anchors(checkout, model):
    levels = shapes(model.extract_feat, torch.rand(1, 3, 256, 384, device=checkout.device))
    strides = [(384 // width, 256 // height) for _, _, height, width in levels]
    assert strides == model.bbox_head.prior_generator.strides
