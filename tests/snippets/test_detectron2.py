"""The config describes Detectron2's own RetinaNet, and says what is missing where Detectron2 is not installed.

What needs Detectron2 itself is checked by the page, where it is installed.
"""

import pytest
from mmdet.models.detectors import d2_wrapper
from mmdet.registry import MODELS

CONFIG = "d2-retinanet_r50_fpn_1x_coco.py"
STOCK = "retinanet/retinanet_r50_fpn_1x_coco.py"
# Detectron2's Base-RetinaNet.yaml and COCO-Detection/retinanet_R_50_FPN_1x.yaml, where its defaults say otherwise.
KEYS = {
    "MODEL.META_ARCHITECTURE": "RetinaNet",
    "MODEL.WEIGHTS": "detectron2://ImageNetPretrained/MSRA/R-50.pkl",
    "MODEL.BACKBONE.NAME": "build_retinanet_resnet_fpn_backbone",
    "MODEL.RESNETS.DEPTH": 50,
    "MODEL.RESNETS.OUT_FEATURES": ["res3", "res4", "res5"],
    "MODEL.FPN.IN_FEATURES": ["res3", "res4", "res5"],
    "MODEL.ANCHOR_GENERATOR.SIZES": [
        [size * 2 ** (third / 3) for third in range(3)] for size in (32, 64, 128, 256, 512)
    ],
    "MODEL.RETINANET.SMOOTH_L1_LOSS_BETA": 0.0,
}


def test_the_keys_are_those_of_detectron2s_own_config(checkout):
    keys, _ = d2_wrapper._to_cfgnode_list(checkout.config(CONFIG).model.detector, [])
    assert dict(zip(keys[::2], keys[1::2], strict=True)) == KEYS


def test_the_stock_detector_is_replaced_and_nothing_else(checkout):
    own, stock = (checkout.config(name).to_dict() for name in (CONFIG, STOCK))
    assert own.pop("model")["type"] == "Detectron2Wrapper"
    assert {key: value for key, value in stock.items() if key in own} == own


def test_its_learning_rate_is_the_stock_retinanets_and_scales_with_the_images(checkout):
    own, stock = checkout.config(CONFIG), checkout.config(STOCK)
    assert own.optim_wrapper == stock.optim_wrapper
    assert own.optim_wrapper.optimizer.lr == 0.01
    assert own.auto_scale_lr.base_batch_size == 8 * own.train_dataloader.batch_size == 16


def test_it_says_what_to_install_where_detectron2_is_not(checkout, monkeypatch):
    monkeypatch.setattr(d2_wrapper, "detectron2", None)
    with checkout.inside(), pytest.raises(ImportError, match="Please install Detectron2 first"):
        MODELS.build(checkout.config(CONFIG).model)
