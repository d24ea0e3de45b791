"""What is said of a step of the optimizer: how far two of them are apart, and what is drawn of it."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from howto.figures import updates


def test_a_difference_is_a_share_of_the_length_of_the_other_over_all_weights():
    other = {"a": torch.tensor([3.0]), "b": torch.tensor([4.0])}
    assert updates.difference(other, other) == 0
    assert updates.difference({"a": torch.tensor([3.0]), "b": torch.tensor([0.0])}, other) == pytest.approx(4 / 5)


def test_arrows_are_as_long_and_as_far_apart_as_the_updates():
    figure, axes = plt.subplots()
    first, other = {"a": torch.tensor([2.0, 0.0]), "b": torch.tensor([0.0])}, {"a": torch.zeros(2), "b": torch.ones(1)}
    arrows = updates.draw(axes, [first, first, other])
    tips = [arrow.get_xy()[:-1].astype(float) for arrow in arrows]
    reach = [points[np.linalg.norm(points, axis=1).argmax()] for points in tips]
    plt.close(figure)
    assert reach[0] == pytest.approx([1, 0], abs=1e-9) and reach[1] == pytest.approx([1, 0], abs=1e-9)
    assert reach[2] == pytest.approx([0, 0.5], abs=1e-9)
