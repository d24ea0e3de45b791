"""The config that starts from COCO's checkpoint, trained from its zip by the stock script."""

import re

import pytest
import torch

from howto.project import stacks
from howto.project.errors import HowtoError

LAYERS = [f"roi_head.bbox_head.fc_{of}.{kind}" for of in ("cls", "reg") for kind in ("weight", "bias")]


def test_the_stock_script_leaves_out_what_depends_on_the_classes_and_nothing_else(work_dir):
    (log,) = work_dir.rglob("*.log")
    said = log.read_text("utf-8")
    logged = LAYERS if stacks.current().family == "mmdet2" else []  # MMEngine prints it, past its log
    assert re.findall(r"size mismatch for (\S+):", said) == logged
    assert "unexpected key" not in said and "missing keys" not in said


def test_what_it_saves_has_an_output_for_each_class(work_dir):
    state = torch.load(work_dir / "epoch_1.pth", map_location="cpu", weights_only=False)["state_dict"]
    assert [len(state[name]) for name in LAYERS] == [3, 3, 8, 8]  # scores have one for the background


def test_a_class_may_be_kept_twice_and_the_order_is_that_of_the_names(checkout):
    (config,) = (path.name for path in checkout.source.glob("*finetune*.py"))
    script = f"python configs/finetune/keep_classes.py configs/finetune/{config}"
    checkout.shell(f"{script} kept.pth cup cat cup")
    kept = torch.load(checkout.root / "kept.pth")["state_dict"]
    coco = checkout.checkpoint("faster_rcnn")
    scores, boxes = "roi_head.bbox_head.fc_cls.bias", "roi_head.bbox_head.fc_reg.bias"
    assert torch.equal(kept[scores], coco[scores][[41, 15, 41, 80]])
    assert torch.equal(kept[boxes], torch.cat([coco[boxes][4 * n : 4 * n + 4] for n in (41, 15, 41)]))
    assert {name for name in coco if not torch.equal(kept[name], coco[name])} == set(LAYERS)


def test_a_name_that_is_not_one_of_cocos_is_an_error(checkout):
    (config,) = (path.name for path in checkout.source.glob("*finetune*.py"))
    with pytest.raises(HowtoError, match=r"ValueError: (.* is not in list|tuple.index)"):
        checkout.shell(f"python configs/finetune/keep_classes.py configs/finetune/{config} kept.pth kitten")
