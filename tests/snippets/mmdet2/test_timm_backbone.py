"""EfficientNet-B1 takes the place of ResNet whole, and its levels fit the neck at any image size."""

import pytest
import timm
import torch

from howto.checkout.measure import levels
from tests.snippets.mmdet2.levels import padded, shapes

CONFIG = "retinanet_timm_efficientnet_b1_fpn_1x_coco.py"
STOCK = "retinanet/retinanet_r50_fpn_1x_coco.py"
LEVELS = ((24, 4), (40, 8), (112, 16), (320, 32))  # channels and stride of each


@pytest.fixture(scope="module")
def model(checkout):
    return checkout.build(checkout.config(CONFIG))


def test_no_key_of_the_resnet_is_left(checkout):
    resnet = checkout.config(STOCK).model.backbone
    assert set(checkout.config(CONFIG).model.backbone) & set(resnet) == {"type", "out_indices"}


def test_the_levels_are_its_own(checkout):
    assert checkout.config(CONFIG).model.backbone.out_indices == (1, 2, 3, 4)


def test_the_stock_config_is_changed_in_its_backbone_and_the_necks_channels_alone(checkout):
    own, stock = (checkout.config(name)._cfg_dict.to_dict() for name in (CONFIG, STOCK))
    del own["custom_imports"]
    for cfg in (own, stock):
        del cfg["model"]["backbone"], cfg["model"]["neck"]["in_channels"]
    assert own == stock


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
