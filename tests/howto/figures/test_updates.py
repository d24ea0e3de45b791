"""What is said of a step of the optimizer: what it added, how far two are apart, whose loss other GPUs change."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from howto import Workspace
from howto.checkout import fit, weights
from howto.figures import updates

BEFORE = {"weight": torch.tensor([1.0, 2.0]), "bn.running_mean": torch.tensor([5.0]), "count": torch.tensor(3)}


def test_a_difference_is_a_share_of_the_length_of_the_other_over_all_weights():
    other = {"a": torch.tensor([3.0]), "b": torch.tensor([4.0])}
    assert updates.difference(other, other) == 0
    assert updates.difference({"a": torch.tensor([3.0]), "b": torch.tensor([0.0])}, other) == pytest.approx(4 / 5)


@pytest.mark.parametrize(
    ("path", "expected"),
    [("faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py", False), ("fcos/fcos_r50_caffe_fpn_gn-head_1x_coco.py", True)],
)
def test_gpus_of_detectors_whose_heads_say_so_exchange_what_the_loss_is_divided_by(path, expected):
    assert updates.exchanges(Workspace("accumulate_gradients"), path) == expected


def test_arrows_are_as_long_and_as_far_apart_as_the_updates():
    figure, axes = plt.subplots()
    first, other = {"a": torch.tensor([2.0, 0.0]), "b": torch.tensor([0.0])}, {"a": torch.zeros(2), "b": torch.ones(1)}
    arrows = updates.draw(axes, [first, first, other])
    tips = [arrow.get_xy()[:-1].astype(float) for arrow in arrows]
    reach = [points[np.linalg.norm(points, axis=1).argmax()] for points in tips]
    plt.close(figure)
    assert reach[0] == pytest.approx([1, 0], abs=1e-9) and reach[1] == pytest.approx([1, 0], abs=1e-9)
    assert reach[2] == pytest.approx([0, 0.5], abs=1e-9)


def test_a_training_starts_from_the_weights_that_it_is_said_to_and_processes_are_compared_with_them():
    checkout = Workspace("accumulate_gradients")
    path = "retinanet/retinanet_r50_fpn_1x_coco.py"
    name, start = updates.starting(checkout, "known", path, **fit.RESNET18)
    saved = weights.load(checkout.root / checkout.config(name).load_from)
    assert all(torch.equal(saved[key], start[key]) for key in start)
    done = checkout.root / "work_dirs/known_two_processes0/epoch_1.pth"
    done.parent.mkdir(parents=True)
    torch.save({"state_dict": start | {"bbox_head.retina_cls.bias": start["bbox_head.retina_cls.bias"] + 1}}, done)
    added = updates.of_processes(checkout, name, start)
    assert {key: float(value.mean()) for key, value in added.items() if value.any()} == {
        "bbox_head.retina_cls.bias": pytest.approx(1)
    }
