"""The config of which only the box head trains, from its zip, and the script that says what moved."""

import pytest
import torch

from howto.checkout import fit
from howto.project import stacks

FAMILY = stacks.current().family


@pytest.fixture(scope="module")
def config(checkout):
    with checkout.inside(checkout.config()):  # has its checkpoint
        pass
    return f"configs/freeze/{checkout.own}"


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


def test_it_compares_what_has_the_same_shape_and_names_the_rest(checkout, config):
    state = checkout.checkpoint("faster_rcnn")
    state["roi_head.bbox_head.fc_cls.bias"] = torch.zeros(3)
    state["extra.weight"] = torch.zeros(1)
    torch.save(state, checkout.root / "bare.pth")  # the weights alone, as some publish them
    said = checkout.shell(f"python configs/freeze/what_moved.py {config} bare.pth")
    assert "roi_head: 0 of 7 weights moved\n" in said
    rest = "Not compared, as load_from has none of this name and shape:\n"
    assert said.endswith(f"{rest}    roi_head.bbox_head.fc_cls.bias\n    extra.weight\n")


def test_a_run_that_averages_its_weights_is_read_alike(checkout, config):
    average = dict(custom_hooks=[dict(type="EMAHook", momentum=0.1, priority=49)])  # as YOLOX has it
    run = checkout.train(checkout.own, evaluate=False, warmed_up=True, **average)
    saved = run.checkpoint.relative_to(checkout.root)
    lines = checkout.shell(f"python configs/freeze/what_moved.py {config} {saved}").splitlines()
    assert [line for line in lines if line.endswith(" moved") and ": 0 of" not in line] == [
        "roi_head: 8 of 8 weights moved"
    ]
    assert "Not compared" not in "".join(lines)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("{config} other.pth", "other.pth is of another model than https://"),
        ("configs/faster_rcnn/{standard} other.pth", "has no load_from, so there is nothing to compare with"),
        ("{config}", "python configs/freeze/what_moved.py CONFIG CHECKPOINT"),
        ("{config} epoch_12.pth", "epoch_12.pth: FileNotFoundError: "),
        ("{config} broken.pth", "broken.pth: "),
        ("configs/freeze/mine.py other.pth", "configs/freeze/mine.py: FileNotFoundError: "),
    ],
)
def test_what_it_cannot_compare_is_one_clear_line(checkout, config, arguments, reason):
    torch.save({"state_dict": {"head.fc.weight": torch.zeros(1)}}, checkout.root / "other.pth")
    (checkout.root / "broken.pth").write_bytes(b"not what it says")
    standard = {"mmdet2": "faster_rcnn_r50_fpn_1x_coco.py", "mmdet3": "faster-rcnn_r50_fpn_1x_coco.py"}[FAMILY]
    arguments = arguments.format(config=config, standard=standard)
    said = checkout.shell(f"python configs/freeze/what_moved.py {arguments}", succeeds=False)
    assert reason in said and "Traceback" not in said


@pytest.mark.parametrize(("share", "moves"), [(False, True), (True, False)], ids=["least rate", "least share"])
def test_a_part_whose_rate_is_0_trains_under_a_schedule_with_a_least_rate(checkout, share, moves):
    if FAMILY == "mmdet2":
        least = {"min_lr_ratio": 0.1} if share else {"min_lr": 0.001}
        schedule = {"lr_config": dict(policy="CosineAnnealing", by_epoch=False, _delete_=True, **least)}
    else:
        least = {"eta_min_ratio": 0.1} if share else {"eta_min": 0.001}
        schedule = {"param_scheduler": [dict(type="CosineAnnealingLR", T_max=3, by_epoch=False, **least)]}
    run = checkout.train(checkout.own, evaluate=False, load_from=None, **fit.RESNET18, **schedule)
    assert (run.moved("neck")[0] > 0) == moves
    assert run.moved("roi_head")[0] > 0


@pytest.mark.parametrize("resumes", [False, True], ids=["first start", "to resume"])
def test_resuming_before_there_is_a_checkpoint_loads_nothing_on_3_x(checkout, config, resumes):
    option = {"mmdet2": "--auto-resume", "mmdet3": "--resume"}[FAMILY] if resumes else ""
    folder = f"work_dirs/{'resumed' if resumes else 'started'}"
    evaluate = "--no-validate" if FAMILY == "mmdet2" else ""
    checkout.shell(f"python tools/train.py {config} --work-dir {folder} {evaluate} {option} {{fit}}")
    (log,) = (checkout.root / folder).rglob("*.log")
    loads = FAMILY == "mmdet2" or not resumes
    assert ("load checkpoint from http" in log.read_text("utf-8").lower()) == loads
