"""The config of which only the box head trains, from its zip, and the script that says what moved."""

import pytest
import torch

from howto.checkout import weights
from howto.project.errors import HowtoError


@pytest.fixture(scope="module")
def config(checkout):
    (config,) = (path.name for path in checkout.source.glob("*only*.py"))
    return f"configs/freeze/{config}"


def test_the_stock_script_trains_the_box_head_alone(checkout, work_dir):
    before, after = checkout.checkpoint("faster_rcnn"), weights.load(work_dir / "epoch_1.pth")
    moved = {name for name in after if not torch.equal(after[name], before[name])}
    assert moved == {name for name in after if name.startswith("roi_head.")} != set()


def test_the_script_tells_weights_from_statistics(checkout, config):
    state = checkout.checkpoint("faster_rcnn")
    for name in ("backbone.bn1.running_mean", "neck.lateral_convs.0.conv.bias", "neck.fpn_convs.0.conv.bias"):
        state[name] = state[name] + 1
    torch.save({"state_dict": state}, checkout.root / "moved.pth")
    lines = checkout.shell(f"python configs/freeze/what_moved.py {config} moved.pth").splitlines()
    assert [line for line in lines if line.endswith(" moved") and ": 0 of" not in line] == [
        "backbone: 1 of 106 statistics moved",
        "neck: 2 of 16 weights moved",
    ]


def test_a_checkpoint_of_another_model_is_an_error(checkout, config):
    torch.save({"state_dict": {"head.fc.weight": torch.zeros(1)}}, checkout.root / "other.pth")
    with pytest.raises(HowtoError, match=r"KeyError: 'head\.fc\.weight'"):
        checkout.shell(f"python configs/freeze/what_moved.py {config} other.pth")
