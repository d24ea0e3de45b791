import pytest
import torch

from howto.figures.diagram import Box, Diagram, draw_detector

MEANINGS = {"new": "<new>", "frozen": "still"}


@pytest.fixture
def diagram():
    return Diagram([[Box("ResNet"), Box("stem", "frozen")], [Box("FPN", "new"), Box("a < b")]], MEANINGS)


def test_the_drawing_has_a_box_for_each_part_and_mark_and_says_in_words_what_it_shows(diagram):
    assert repr(diagram) == "ResNet: stem (still) → FPN (<new>): a < b"
    assert 'aria-label="ResNet: stem (still) → FPN (&lt;new&gt;): a &lt; b"' in diagram._repr_html_()


def built(frozen_stages):
    from mmcv import Config
    from mmdet.models import build_detector

    backbone = dict(type="ResNet", depth=18, frozen_stages=frozen_stages)
    neck = dict(type="FPN", in_channels=[64, 128, 256, 512], out_channels=8, num_outs=5)
    head = dict(type="RetinaHead", num_classes=2, in_channels=8, anchor_generator=dict(
        type="AnchorGenerator", scales=[8], ratios=[1.0], strides=[8, 16, 32, 64, 128]))  # fmt: skip
    cfg = Config(dict(model=dict(type="RetinaNet", backbone=backbone, neck=neck, bbox_head=head)))
    with torch.no_grad():
        return build_detector(cfg.model), cfg


def test_what_does_not_train_is_marked():
    model, cfg = built(frozen_stages=1)
    assert repr(draw_detector(model, cfg, cfg, frozen="still")) == (
        "ResNet: stem (still); layer1: 64 channels (still); layer2: 128 channels; layer3: 256 channels; "
        "layer4: 512 channels → FPN: takes 64 channels; takes 128 channels; takes 256 channels; takes 512 channels; "
        "gives 5 × 8 → RetinaNet: RetinaHead"
    )


def test_what_the_stock_config_does_not_have_is_marked():
    model, cfg = built(frozen_stages=-1)
    stock = built(frozen_stages=1)[1]
    told = repr(draw_detector(model, cfg, stock))
    assert told.startswith("ResNet (other than in the stock config): stem (other than in the stock config)")
    assert "FPN: takes 64 channels;" in told
