"""What a pass keeps for the backward pass is counted in MiB."""

import pytest


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_counts_what_needs_a_gradient_and_each_tensor_once(device):
    from torch import nn

    from howto.checkout.measure import kept_for_backward

    image, mapped = 3 * 64 * 64, 8 * 64 * 64
    layers = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1)).to(device)
    # The image for the first layer; the second's result for itself and for the third.
    assert kept_for_backward(layers, 64, 64) == pytest.approx((image + mapped) * 4 / 2**20)


def test_counts_nothing_of_what_is_frozen():
    from torch import nn

    from howto.checkout.measure import kept_for_backward

    assert kept_for_backward(nn.Conv2d(3, 8, 3).requires_grad_(False), 64, 64) == 0
