"""The config of one's own classes, trained from its zip by the stock script: the names are those of the file."""

import torch

NAMES = ["kitten", "mug"]


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


def test_labels_follow_the_order_of_the_file_whatever_the_order_of_the_names(checkout):
    (path,) = checkout.source.glob("*.py")
    variant = checkout.edit(path.name, {"('kitten', 'mug')": "('mug', 'kitten')"})
    for name in (path.name, variant):
        assert checkout.dataset(checkout.config(name)).cat2label == {12: 0, 3: 1}
