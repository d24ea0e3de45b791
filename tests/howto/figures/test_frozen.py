"""What freezes a backbone is found by trying, and what moved is drawn."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import pytest

from howto import Workspace
from howto.checkout.family import stock
from howto.figures import frozen


@pytest.fixture(scope="module")
def checkout():
    return Workspace("freeze")


@pytest.mark.parametrize(
    ("name", "number"),
    [("ResNet", 4), ("EfficientNet", 6), ("MobileNetV2", None), ("PVT", None)],
    ids=["four", "six", "a part of it stays", "no such key"],
)
def test_the_number_that_freezes_the_whole_is_found(checkout, name, number):
    assert frozen.whole(checkout, stock(frozen.BACKBONES)[name]) == number


def test_a_bar_is_as_long_as_the_stage_moved_and_nothing_is_a_nought():
    moved = dict.fromkeys(frozen.STAGES, 0.0) | {"neck": 0.5}
    figure, axes = plt.subplots()
    frozen.draw(axes, {"a run": SimpleNamespace(moved=lambda stage: [moved[stage]])})
    widths = [bar.get_width() for bar in axes.patches]
    noughts = [text.get_text().strip() for text in axes.texts]
    plt.close(figure)
    assert widths == list(moved.values())
    assert noughts == ["0"] * 7
