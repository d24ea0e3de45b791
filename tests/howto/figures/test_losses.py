"""What is shown of losses: a curve and its slope, and how strongly a proposal pulls."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from mmdet.models import build_loss

from howto.figures import losses


def test_the_second_curve_is_the_slope_of_the_first():
    figure, axes = plt.subplots(1, 2)
    losses.draw(axes, {"smooth": build_loss(dict(type="SmoothL1Loss", beta=2.0))})
    (curve,), (slope,) = axes[0].lines, axes[1].lines
    plt.close(figure)
    x, y = curve.get_data()
    assert x[0] == -3 and y[0] == pytest.approx(2)  # |x| - beta / 2
    assert np.gradient(y, x)[1:-1] == pytest.approx(slope.get_ydata()[1:-1], abs=0.02)


def test_a_proposal_pulls_its_class_up_and_the_others_down_in_equal_parts():
    pull = losses.pull(build_loss(dict(type="CrossEntropyLoss")), label=2, outputs=4)
    assert pull.tolist() == pytest.approx([0.25, 0.25, -0.75, 0.25])
