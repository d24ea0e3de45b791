"""EfficientNet-B1 takes the place of ResNet whole, and its levels fit the neck at any image size."""

import pytest
import torch

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


def test_the_copied_file_trains_with_the_command_that_the_page_gives(work_dir):
    assert (work_dir / "epoch_1.pth").exists()
