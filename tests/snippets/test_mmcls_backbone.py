"""MobileNetV3 replaces the whole ResNet, and its levels fit the neck at any image size."""

import pytest
import torch

from howto.checkout.family import api
from howto.project import stacks
from tests.snippets.levels import padded, shapes

FAMILY = stacks.current().family
STOCK = "retinanet/retinanet_r50_fpn_1x_coco.py"
PURE = "retinanet_mobilenet_v3_small_fpn_1x_coco.py"  # on 3.x it is in pure Python
CONFIGS = dict(mmdet2=[PURE], mmdet3=["retinanet_mobilenet-v3-small_fpn_1x_coco.py", PURE])[FAMILY]
LEVELS = ((24, 8), (48, 16), (96, 32))  # channels and stride of each


@pytest.fixture(scope="module", params=CONFIGS)
def config(request):
    return request.param


@pytest.fixture(scope="module")
def model(checkout, config):
    return checkout.build(checkout.config(config))


def test_no_key_of_the_resnets_init_cfg_is_left(checkout, config):
    init_cfg = dict(checkout.config(config).model.backbone.init_cfg)
    assert init_cfg.pop("checkpoint").endswith("/mobilenet_v3_small-8427ecf0.pth")
    assert init_cfg == dict(type="Pretrained", prefix="backbone.")


def test_the_stock_detector_is_changed_in_its_backbone_and_neck_alone(checkout, config):
    own, stock = checkout.config(config).model, checkout.config(STOCK).model
    assert {key for key in own | stock if own.get(key) != stock.get(key)} == {"backbone", "neck"}


def test_the_optimizer_is_that_of_the_stock_retinanet(checkout, config):
    own, stock = (api().optimizer(checkout.config(name)) for name in (config, STOCK))
    assert own == stock


def test_the_batch_norms_keep_their_statistics_and_everything_trains(checkout, config):
    backbone = checkout.build(checkout.config(config)).train().backbone
    norms = [module for module in backbone.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert {norm.training for norm in norms} == {False}
    assert {parameter.requires_grad for parameter in backbone.parameters()} == {True}


@pytest.mark.parametrize(
    ("size", "padded_to"), [((250, 333), (256, 352)), ((31, 33), (32, 64)), ((800, 1333), (800, 1344))]
)
def test_the_levels_of_a_padded_image_have_the_shapes_that_the_neck_expects(checkout, config, model, size, padded_to):
    height, width = padded_to
    expected = [(2, channels, height // stride, width // stride) for channels, stride in LEVELS]
    assert shapes(model.backbone, padded(model, checkout.config(config), *size)) == expected


@pytest.mark.parametrize(("height", "width"), [(250, 333), (31, 33), (1, 1)])
def test_the_levels_of_an_image_that_is_not_padded_are_rounded_up(checkout, model, height, width):
    levels = shapes(model.backbone, torch.rand(1, 3, height, width, device=checkout.device))
    assert levels == [(1, channels, -(-height // stride), -(-width // stride)) for channels, stride in LEVELS]
