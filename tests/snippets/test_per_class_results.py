"""The config that tells classes apart, from its zip, and the script that counts what was taken for what."""

import json

import pytest

from howto.figures import confusion


def test_the_stock_script_trains_it_and_tells_the_classes_apart(work_dir):
    written = "".join(path.read_text("utf-8") for path in work_dir.rglob("*.log"))
    assert "| category" in written and "| person" in written
    assert (work_dir / "epoch_1.pth").exists()


@pytest.mark.parametrize("threshold", ["0.5", "0.95"])
def test_a_higher_threshold_leaves_boxes_out_and_misses_objects(checkout, threshold):
    boxes = [confusion.at(confusion.CAT), confusion.at(confusion.CUP, score=0.4)]
    assert confusion.counted(checkout, [confusion.at(confusion.CAT)], boxes) == {
        ("cat", "cat"): 1, ("no object", "cup"): 1,
    }  # fmt: skip
    printed = checkout.shell(f"python configs/per_class_results/confused.py case.json case.bbox.json {threshold}")
    assert confusion.read(printed) == ({("cat", "cat"): 1} if threshold == "0.5" else {("cat", "missed"): 1})


def test_a_file_of_ones_own_names_its_classes_in_its_own_order(checkout):
    path = checkout.root / "data/my_dataset/annotations/val.json"
    content = json.loads(path.read_text())
    (checkout.root / "none.json").write_text("[]")
    printed = checkout.shell(f"python configs/per_class_results/confused.py {path} none.json 0.3")
    names = [each["name"] for each in content["categories"]]
    assert printed.splitlines()[0] == ",".join(["", *names, "missed"])
    assert confusion.read(printed).total() == len(content["annotations"])
