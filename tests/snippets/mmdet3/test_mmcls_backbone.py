"""MobileNetV3 takes the place of ResNet whole, and its levels fit the neck at any image size."""

import pytest
import torch

from tests.snippets.mmdet3.levels import padded, shapes

CONFIG = "retinanet_mobilenet-v3-small_fpn_1x_coco.py"
PURE = "retinanet_mobilenet_v3_small_fpn_1x_coco.py"
STOCK = "retinanet/retinanet_r50_fpn_1x_coco.py"
LEVELS = ((24, 8), (48, 16), (96, 32))  # channels and stride of each


@pytest.fixture(scope="module", params=[CONFIG, PURE])
def model(checkout, request):
    return checkout.build(checkout.config(request.param))


@pytest.mark.parametrize("config", [CONFIG, PURE])
def test_no_key_of_the_resnet_is_left(checkout, config):
    backbone = dict(checkout.config(config).model.backbone)
    assert set(backbone) == {"type", "arch", "out_indices", "init_cfg", "norm_eval"}
    assert backbone["init_cfg"].pop("checkpoint").endswith("/mobilenet_v3_small-8427ecf0.pth")
    assert backbone["init_cfg"] == dict(type="Pretrained", prefix="backbone.")


@pytest.mark.parametrize("config", [CONFIG, PURE])
def test_the_stock_detector_is_changed_in_its_backbone_and_neck_alone(checkout, config):
    own, stock = checkout.config(config).model, checkout.config(STOCK).model
    assert {key for key in own | stock if own.get(key) != stock.get(key)} == {"backbone", "neck"}


@pytest.mark.parametrize("config", [CONFIG, PURE])
def test_the_optimizer_is_that_of_the_stock_retinanet(checkout, config):
    assert checkout.config(config).optim_wrapper == checkout.config(STOCK).optim_wrapper


@pytest.mark.parametrize("config", [CONFIG, PURE])
def test_the_batch_norms_keep_their_statistics_and_everything_trains(checkout, config):
    backbone = checkout.build(checkout.config(config)).train().backbone
    norms = [module for module in backbone.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert {norm.training for norm in norms} == {False}
    assert {parameter.requires_grad for parameter in backbone.parameters()} == {True}


@pytest.mark.parametrize(
    ("size", "batch"), [((250, 333), (256, 352)), ((31, 33), (32, 64)), ((800, 1333), (800, 1344))]
)
def test_the_levels_of_a_padded_image_have_the_shapes_that_the_neck_expects(model, size, batch):
    expected = [(2, channels, batch[0] // stride, batch[1] // stride) for channels, stride in LEVELS]
    assert shapes(model.backbone, padded(model, *size)) == expected


def test_the_strides_of_the_necks_levels_are_those_of_the_anchors(checkout, model):
    levels = shapes(model.extract_feat, torch.rand(1, 3, 256, 384, device=checkout.device))
    strides = [(384 // width, 256 // height) for _, _, height, width in levels]
    assert strides == model.bbox_head.prior_generator.strides


def test_both_forms_train_with_the_same_keys(checkout):
    forms = [checkout.config(name).to_dict() for name in (CONFIG, PURE)]
    types = [form["model"]["backbone"].pop("type") for form in forms]
    assert types == ["mmpretrain.MobileNetV3", "mmpretrain.models.MobileNetV3"]
    del forms[0]["custom_imports"]
    assert forms[0] == forms[1]
