"""What anchors cover by a config's numbers alone; the page compares the rest with MMDetection's."""

import pytest

from howto.figures import anchors

RATIOS = [0.5, 1.0, 2.0]


def test_what_is_enlarged_is_covered_as_by_smaller_anchors():
    """But for the edges, a photograph twice as large with anchors of 8 strides is one with anchors of 4."""
    larger = anchors.coverage((1280, 960), [8], [8, 16, 32], RATIOS)
    smaller = anchors.coverage((640, 480), [8], [4, 8, 16], RATIOS)
    assert larger[:5] == pytest.approx(smaller[:5], abs=0.01)
    assert larger[0] < larger[2] < 0.9
