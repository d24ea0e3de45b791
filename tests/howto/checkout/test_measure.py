"""What a pass over an image keeps in memory."""

import pytest
from torch import nn

from howto.checkout import measure


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_what_a_pass_keeps_for_the_backward_pass_counts_each_tensor_once_and_nothing_frozen(device):
    image, mapped = 3 * 64 * 64, 8 * 64 * 64
    layers = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1)).to(device)
    # The image for the first layer; the second's result for itself and for the third.
    assert measure.kept_for_backward(layers, 64, 64) == pytest.approx((image + mapped) * 4 / 2**20)
    assert measure.kept_for_backward(nn.Conv2d(3, 8, 3).to(device).requires_grad_(False), 64, 64) == 0
