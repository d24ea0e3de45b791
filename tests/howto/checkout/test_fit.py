from pathlib import Path

import mmdet
import pytest
from mmcv import Config

from howto.checkout.fit import FEWER_BOXES, LONG_SIDE, overrides

STOCK = Path(mmdet.__file__).parent / ".mim" / "configs"


def stock(name):
    return Config.fromfile(STOCK / name)


@pytest.fixture(scope="module")
def faster_rcnn():
    return stock("faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py")


def test_cuda_changes_the_number_of_epochs_and_what_is_logged_alone(faster_rcnn):
    changes = {"runner.max_epochs": 3, "checkpoint_config.interval": 3, "log_config.interval": 1}
    assert overrides(faster_rcnn, "cuda", 3) == changes


def scales(node):
    """Every image scale below `node`, however it is nested."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "img_scale":
                yield from value if isinstance(value, list) else [value]
            else:
                yield from scales(value)
    elif isinstance(node, (list, tuple)):
        for item in node:
            yield from scales(item)


@pytest.mark.parametrize(
    "name",
    [
        "faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py",
        "faster_rcnn/faster_rcnn_r50_fpn_mstrain_3x_coco.py",  # a list of scales, inside RepeatDataset
        "detr/detr_r50_8x2_150e_coco.py",  # lists of scales inside AutoAugment
        "yolox/yolox_s_8x8_300e_coco.py",  # inside MultiImageMixDataset
    ],
)
def test_every_image_scale_shrinks_on_the_cpu(name):
    cfg = stock(name)
    before = list(scales(cfg.data))
    cfg.merge_from_dict(overrides(cfg, "cpu", 1))
    after = list(scales(cfg.data))
    assert len(after) == len(before) > 0
    assert [new for old, new in zip(before, after, strict=True) if max(new) > max(old) / 1333 * LONG_SIDE + 1] == []


def test_scales_keep_their_ratio_and_what_fits_already_stays_as_it_is(faster_rcnn):
    before, cfg = faster_rcnn.pretty_text, Config(faster_rcnn._cfg_dict.to_dict())
    changes = overrides(faster_rcnn, "cpu", 1)
    assert faster_rcnn.pretty_text == before
    assert {key: changes[key] for key in FEWER_BOXES} == FEWER_BOXES  # of a two-stage detector
    assert changes["data.train.pipeline.2.img_scale"] == (LONG_SIDE, round(800 / 1333 * LONG_SIDE))
    cfg.merge_from_dict(changes)
    before = cfg.pretty_text
    cfg.merge_from_dict(overrides(cfg, "cpu", 1))
    assert cfg.pretty_text == before


def test_a_negative_border_still_takes_back_what_mosaic_added():
    size = (800, 1333)
    affine = dict(type="RandomAffine", border=(-400, -667))
    data = dict(pipeline=[dict(type="Mosaic", img_scale=size), affine])
    cfg = Config(dict(model={}, data=dict(train=data, val={}, test={})))
    cfg.merge_from_dict(overrides(cfg, "cpu", 1))
    mosaic, affine = cfg.data.train.pipeline
    assert [round(side + 2 * border) for side, border in zip((2 * s for s in mosaic.img_scale), affine.border)] == [
        pytest.approx(side, abs=1) for side in mosaic.img_scale
    ]


def test_a_one_stage_detector_gets_no_keys_that_it_does_not_have():
    changes = overrides(stock("retinanet/retinanet_r50_fpn_1x_coco.py"), "cpu", 1)
    assert [key for key in changes if key.startswith("model.")] == []
