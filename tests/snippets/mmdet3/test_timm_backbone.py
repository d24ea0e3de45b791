"""EfficientNet-B1 takes the place of ResNet whole, and its levels fit the neck at any image size."""

import pytest
import timm
import torch

from howto.checkout.measure import levels
from tests.snippets.mmdet3.levels import padded, shapes

CONFIG = "retinanet_timm-efficientnet-b1_fpn_1x_coco.py"
PURE = "retinanet_timm_efficientnet_b1_fpn_1x_coco.py"
STOCK = "retinanet/retinanet_r50_fpn_1x_coco.py"
LEVELS = ((24, 4), (40, 8), (112, 16), (320, 32))  # channels and stride of each


@pytest.fixture(scope="module", params=[CONFIG, PURE])
def model(checkout, request):
    return checkout.build(checkout.config(request.param))


@pytest.mark.parametrize("config", [CONFIG, PURE])
def test_the_stock_config_is_changed_in_its_backbone_and_the_necks_channels_alone(checkout, config):
    own, stock = (checkout.config(name).to_dict() for name in (config, STOCK))
    assert set(own["model"]["backbone"]) == {"type", "model_name", "features_only", "pretrained", "out_indices"}
    assert (own.pop("custom_imports", None) is None) == (config == PURE)
    del stock["tta_model"], stock["tta_pipeline"], stock["img_scales"]
    for cfg in (own, stock):
        del cfg["model"]["backbone"], cfg["model"]["neck"]["in_channels"]
    assert own == stock


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


@pytest.mark.parametrize(
    ("name", "out_indices"),
    [
        ("convnext_tiny", (0, 1, 2, 3)),
        *((name, (1, 2, 3, 4)) for name in ("resnet18", "regnety_008", "efficientnet_b3", "mobilenetv3_large_100")),
    ],
)
def test_every_parameter_of_another_timm_model_gets_a_gradient(checkout, name, out_indices):
    cfg = checkout.config(CONFIG)
    keys = dict(cfg.model.backbone, model_name=name, out_indices=out_indices, pretrained=False)
    cfg.model.backbone.update(keys)
    cfg.model.neck.in_channels = levels(checkout.backbone(**keys), size=64)[0]
    assert checkout.unused_parameters(cfg) == []


def test_a_file_of_the_readers_own_is_loaded_whole(checkout):
    cfg = checkout.config(CONFIG)
    own = {key: torch.randn_like(value) if value.is_floating_point() else value for key, value in fresh().items()}
    torch.save(own, checkout.root / "own.pth")
    cfg.model.backbone.pretrained_cfg = dict(file=str(checkout.root / "own.pth"))
    loaded = checkout.build(cfg).backbone.timm_model.state_dict()
    assert {key: torch.equal(value.cpu(), own[key]) for key, value in loaded.items()} == dict.fromkeys(loaded, True)


def fresh():
    return timm.create_model("efficientnet_b1").state_dict()
