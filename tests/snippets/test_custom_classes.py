"""The config of one's own classes, trained from its zip by the stock script, and the scripts beside it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from howto.checkout import fit
from howto.checkout.family import api
from howto.project import stacks
from howto.project.errors import HowtoError

FAMILY = stacks.current().family
NAMES = ["kitten", "mug"]
SCRIPTS = "configs/custom_classes"
FILE = "data/my_dataset/annotations/train.json"


def test_the_stock_script_evaluates_each_class_by_its_name(work_dir):
    (log,) = work_dir.rglob("*.log")
    rows = [line for line in log.read_text("utf-8").splitlines() if line.startswith("| ")]
    assert [name for name in NAMES if any(f"| {name} " in row for row in rows)] == NAMES


def test_what_it_saves_knows_the_names_and_has_an_output_for_each(work_dir):
    saved = torch.load(work_dir / "epoch_1.pth", map_location="cpu", weights_only=False)
    meta = saved["meta"]
    assert list(meta["CLASSES"] if "CLASSES" in meta else meta["dataset_meta"]["classes"]) == NAMES
    head = {name: tuple(value.shape) for name, value in saved["state_dict"].items() if "bbox_head.fc_" in name}
    assert head["roi_head.bbox_head.fc_cls.bias"] == (3,)  # and one for the background
    assert head["roi_head.bbox_head.fc_reg.bias"] == (8,)


@pytest.mark.skipif(FAMILY != "mmdet2", reason="on 3.x the dataset is an error in itself")
def test_on_several_gpus_names_that_no_file_has_save_an_untrained_checkpoint(checkout):
    variant = checkout.edit(checkout.own, {"('kitten', 'mug')": "('Kitten', 'Mug')"})
    saved = f"work_dirs/{Path(variant).stem}_two_processes*/epoch_1.pth"
    assert api().FIRST_EPOCH not in checkout.launch(variant, iterations=1, **fit.RESNET18)
    (path,) = checkout.root.glob(saved)
    path.unlink()
    with pytest.raises(HowtoError, match="IndexError: list index out of range"):
        checkout.train_in_two_processes([variant], evaluate=True, **fit.RESNET18)
    assert path.exists()


@pytest.mark.parametrize("key", ["area", "category_id"])
def test_what_a_file_lacks_is_named_in_one_line(checkout, key):
    path = checkout.root / FILE
    before = path.read_text("utf-8")
    content = json.loads(before)
    for each in content["annotations"]:
        del each[key]
    path.write_text(json.dumps(content), "utf-8")
    config = f"{SCRIPTS}/{checkout.own}"
    lines = checkout.shell(f"python {SCRIPTS}/count_objects.py {config}", succeeds=False).splitlines()
    path.write_text(before, "utf-8")
    assert "KeyError" in lines[-1]
    assert key in lines[-1]
    assert "train.json" in lines[-1]
    assert not any(line.startswith("Traceback") for line in lines)


def test_names_that_a_terminal_cannot_show_are_counted_all_the_same(checkout):
    """As on Windows, where the output goes into a file: Python's own process alone takes the variable."""
    names = ("茶碗", "mug")
    classes = {"train__classes": names} if FAMILY == "mmdet2" else {"train__metainfo": {"classes": names}}
    checkout.config(**classes).dump(str(checkout.root / SCRIPTS / "named.py"))
    command = [sys.executable, f"{SCRIPTS}/count_objects.py", f"{SCRIPTS}/named.py"]
    environment = os.environ | {"PYTHONIOENCODING": "cp1252", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, cwd=checkout.root, env=environment, capture_output=True, check=False)
    assert b"label 0, \\u8336\\u7897: " in done.stdout
    assert b"UnicodeEncodeError" not in done.stderr


def test_what_a_config_joins_and_wraps_is_counted(checkout):
    single = "python {0}/count_objects.py {0}/{1}"
    once = checkout.shell(single.format(SCRIPTS, checkout.own)).splitlines()[-4:]
    cfg = checkout.config()
    data = dict(api().split(cfg, "train"))
    joined = dict(type="ConcatDataset", datasets=[dict(type="RepeatDataset", times=2, dataset=data), data])
    del cfg._cfg_dict[api().KEYS["train"].split(".")[0]]
    cfg.merge_from_dict({api().KEYS["train"]: joined})
    cfg.dump(str(checkout.root / SCRIPTS / "joined.py"))
    assert checkout.shell(single.format(SCRIPTS, "joined.py")).splitlines().count(once[0]) == 2


def test_annotations_are_numbered_from_1_and_nothing_is_written_over(checkout):
    path = checkout.root / FILE
    content = json.loads(path.read_text("utf-8"))
    content["annotations"] = [each | {"id": 0} for each in content["annotations"]]
    path.with_name("mine.json").write_text(json.dumps(content), "utf-8-sig")
    files = [str(path.with_name(name)) for name in ("mine.json", "numbered.json")]
    script = f"python {SCRIPTS}/number_annotations.py"
    checkout.shell(f"{script} {' '.join(files)}")
    written = json.loads(path.with_name("numbered.json").read_text("utf-8"))
    assert [each["id"] for each in written["annotations"]] == list(range(1, len(content["annotations"]) + 1))
    content.pop("annotations"), written.pop("annotations")
    assert written == content
    for other in (files[0], files[1], "nowhere/mine.json"):
        printed = checkout.shell(f"{script} {files[0]} {other}", succeeds=False)
        assert "Error: " in printed.splitlines()[-1]
        assert "Traceback" not in printed
    assert path.with_name("mine.json").read_text("utf-8-sig").count('"id": 0')
