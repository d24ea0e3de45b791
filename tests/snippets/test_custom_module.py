"""The config with a loss of its own, from its zip, and heads that call the loss otherwise than RetinaNet's."""

import pytest
import torch

from howto.checkout import fit
from howto.figures import gradients

LOSS = dict(_delete_=True, type="LogCoshLoss", loss_weight=1.0)


def test_a_two_stage_detector_trains_both_of_its_stages_with_it(checkout):
    run = checkout.train(
        "faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py",
        evaluate=False,
        custom_imports=dict(imports=["configs.custom_module.log_cosh_loss"]),
        model__rpn_head__loss_bbox=LOSS,
        model__roi_head__bbox_head__loss_bbox=LOSS,
        **fit.RESNET18,
    )
    kinds = {type(head.loss_bbox).__name__ for head in (run.model.rpn_head, run.model.roi_head.bbox_head)}
    assert kinds == {"LogCoshLoss"}
    assert run.trains("rpn_head") == run.trains("roi_head") == [True]


def test_a_gradient_is_the_same_each_time_and_leaves_the_random_numbers_as_they_were(checkout):
    before = torch.random.get_rng_state()
    first, again = (gradients.of(checkout, checkout.own, "bbox_head.retina_reg.bias", **fit.RESNET18) for _ in range(2))
    assert torch.equal(first, again) and float(first.norm()) > 0
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("weight", [None, torch.zeros(6, 4)])
def test_boxes_that_are_right_or_do_not_count_cost_nothing(checkout, weight):
    cfg = checkout.config()
    loss = checkout.build(cfg).bbox_head.loss_bbox
    boxes = torch.arange(24.0).reshape(6, 4)
    other = boxes if weight is None else boxes + 1
    assert float(loss(boxes, other, weight, avg_factor=3)) == pytest.approx(0, abs=1e-6)
