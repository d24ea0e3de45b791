"""EfficientNet-B1 replaces the whole ResNet, and its levels fit the neck at any image size."""

import pytest
import timm
import torch
from mmdet.apis import init_detector

from howto.checkout.measure import levels
from howto.project import stacks
from tests.snippets.levels import padded, shapes

FAMILY = stacks.current().family
STOCK = "retinanet/retinanet_r50_fpn_1x_coco.py"
PURE = "retinanet_timm_efficientnet_b1_fpn_1x_coco.py"  # on 3.x it is in pure Python
CONFIGS = dict(mmdet2=[PURE], mmdet3=["retinanet_timm-efficientnet-b1_fpn_1x_coco.py", PURE])[FAMILY]
LEVELS = ((24, 4), (40, 8), (112, 16), (320, 32))  # channels and stride of each
TEST_TIME = ("tta_model", "tta_pipeline", "img_scales")  # of the stock config on 3.x


@pytest.fixture(scope="module", params=CONFIGS)
def config(request):
    return request.param


@pytest.fixture(scope="module")
def model(checkout, config):
    return checkout.build(checkout.config(config))


def test_the_stock_config_is_changed_in_its_backbone_and_the_necks_channels_alone(checkout, config):
    own, stock = (checkout.config(name).to_dict() for name in (config, STOCK))
    own.pop("custom_imports", None)
    for key in TEST_TIME:
        stock.pop(key, None)
    for cfg in (own, stock):
        del cfg["model"]["backbone"], cfg["model"]["neck"]["in_channels"]
    assert own == stock


@pytest.mark.parametrize(
    ("size", "padded_to"), [((250, 333), (256, 352)), ((31, 33), (32, 64)), ((800, 1333), (800, 1344))]
)
def test_the_levels_of_a_padded_image_have_the_shapes_that_the_neck_expects(checkout, config, model, size, padded_to):
    height, width = padded_to
    expected = [(2, channels, height // stride, width // stride) for channels, stride in LEVELS]
    assert shapes(model.backbone, padded(model, checkout.config(config), *size)) == expected


@pytest.mark.parametrize(("height", "width"), [(250, 333), (31, 33), (1, 1)])
def test_the_levels_of_an_image_that_is_not_padded_are_rounded_up(checkout, model, height, width):
    found = shapes(model.backbone, torch.rand(1, 3, height, width, device=checkout.device))
    assert found == [(1, channels, -(-height // stride), -(-width // stride)) for channels, stride in LEVELS]


@pytest.mark.parametrize(
    ("name", "out_indices"),
    [
        ("convnext_tiny", (0, 1, 2, 3)),
        *((name, (1, 2, 3, 4)) for name in ("resnet18", "regnety_008", "efficientnet_b3", "mobilenetv3_large_100")),
    ],
)
def test_every_parameter_of_another_timm_model_gets_a_gradient(checkout, name, out_indices):
    cfg = checkout.config()
    keys = dict(cfg.model.backbone, model_name=name, out_indices=out_indices, pretrained=False)
    cfg.model.backbone.update(keys)
    cfg.model.neck.in_channels = levels(checkout.backbone(**keys), size=64)[0]
    assert checkout.unused_parameters(cfg) == []


def test_a_file_of_the_readers_own_is_loaded_whole(checkout):
    cfg = checkout.config()
    own = {key: torch.randn_like(value) if value.is_floating_point() else value for key, value in fresh().items()}
    torch.save(own, checkout.root / "own.pth")
    cfg.model.backbone.pretrained_cfg = dict(file=str(checkout.root / "own.pth"))
    loaded = checkout.build(cfg).backbone.timm_model.state_dict()
    assert {key: torch.equal(value.cpu(), own[key]) for key, value in loaded.items()} == dict.fromkeys(loaded, True)


def fresh():
    return timm.create_model("efficientnet_b1").state_dict()


@pytest.fixture
def downloads(monkeypatch):
    """The names of the models whose checkpoints timm was to load; none is loaded."""
    found = []
    builder = timm.models._builder if hasattr(timm.models, "_builder") else timm.models.helpers
    monkeypatch.setattr(builder, "load_pretrained", lambda model, *_, **__: found.append(type(model).__name__))
    return found


@pytest.mark.parametrize(("options", "asked"), [({}, 1), ({"model.backbone.pretrained": False}, 0)])
def test_a_detector_from_a_checkpoint_has_timm_load_its_own_unless_pretrained_is_false(
    checkout, downloads, options, asked
):
    path = str(checkout.root / "configs/timm_backbone" / checkout.own)
    with checkout.inside():
        init_detector(path, device="cpu", cfg_options=options)
    assert len(downloads) == asked


def test_a_config_that_inherits_and_sets_pretrained_to_false_loads_nothing_either(checkout, downloads):
    folder = checkout.root / "configs/timm_backbone"
    child = folder / "for_testing.py"
    child.write_text(f"_base_ = './{checkout.own}'\nmodel = dict(backbone=dict(pretrained=False))\n", "utf-8")
    with checkout.inside():
        init_detector(str(child), device="cpu")
    assert downloads == []
