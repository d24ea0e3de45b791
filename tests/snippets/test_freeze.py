"""The config of which only the box head trains, from its zip, and the script that says what moved."""

import pytest
import torch

from howto.checkout import fit, weights
from howto.project import stacks
from howto.project.errors import HowtoError

FAMILY = stacks.current().family


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


@pytest.mark.parametrize(("share", "moves"), [(False, True), (True, False)], ids=["least rate", "least share"])
def test_a_part_whose_rate_is_0_trains_under_a_schedule_with_a_least_rate(checkout, config, share, moves):
    if FAMILY == "mmdet2":
        least = {"min_lr_ratio": 0.1} if share else {"min_lr": 0.001}
        schedule = {"lr_config": dict(policy="CosineAnnealing", by_epoch=False, _delete_=True, **least)}
    else:
        least = {"eta_min_ratio": 0.1} if share else {"eta_min": 0.001}
        schedule = {"param_scheduler": [dict(type="CosineAnnealingLR", T_max=3, by_epoch=False, **least)]}
    name = config.rpartition("/")[2]
    run = checkout.train(name, evaluate=False, load_from=None, **fit.RESNET18, **schedule)
    assert (run.moved("neck")[0] > 0) == moves
    assert run.moved("roi_head")[0] > 0


@pytest.mark.skipif(FAMILY != "mmdet3", reason="--resume is of MMDetection 3")
@pytest.mark.parametrize(("options", "loaded"), [("started", True), ("resumed --resume", False)])
def test_resuming_before_there_is_a_checkpoint_loads_nothing(checkout, config, options, loaded):
    checkout.shell(f"python tools/train.py {config} --work-dir {options} {{fit}}")
    (log,) = (checkout.root / options.split()[0]).glob("*/*.log")
    written = log.read_text("utf-8")
    assert ("Load checkpoint from http" in written) == loaded
    assert ("Auto resumed from the latest checkpoint None." in written) != loaded
