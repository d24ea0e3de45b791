"""The config with two datasets, from its zip, the script that orders categories, and what is told of a dataset."""

import json

import pytest

from howto.checkout.family import api

SCRIPT = "configs/several_datasets/order_categories.py"


def test_the_stock_script_trains_it_and_evaluates_both(work_dir):
    written = "".join(path.read_text("utf-8") for path in work_dir.rglob("*.log"))
    assert "1_bbox_mAP" in written or "public/coco/bbox_mAP" in written
    assert (work_dir / "epoch_1.pth").exists()


def test_categories_are_ordered_and_all_else_stays(checkout):
    path = checkout.root / "data/my_dataset/annotations/train.json"
    before = json.loads(path.read_text())
    names = [each["name"] for each in before["categories"]]
    checkout.shell(f"python {SCRIPT} {path} {path.with_name('out.json')} {' '.join(reversed(names))}")
    after = json.loads(path.with_name("out.json").read_text())
    assert after.pop("categories") == before.pop("categories")[::-1]
    assert after == before


def test_a_name_that_was_forgotten_is_said(checkout):
    path = "data/my_dataset/annotations/train.json"
    printed = checkout.shell(f"python {SCRIPT} {path} {path}.out kitten", succeeds=False)
    assert "'mug' is not in list" in printed
    assert not (checkout.root / f"{path}.out").exists()


@pytest.mark.parametrize("split", ["train", "val"])
def test_what_is_annotated_is_what_the_file_says(checkout, split):
    """The joined datasets are those of the config; the objects are told apart from mmdet, by the file alone."""
    data = checkout.dataset(checkout.config(next(checkout.source.glob("faster*")).name), split).datasets[0]
    data = getattr(data, "dataset", data)
    content = json.loads((checkout.root / f"data/my_dataset/annotations/{split}.json").read_text())
    ids = [each["id"] for each in content["categories"]]
    files = {each["id"]: each["file_name"] for each in content["images"]}
    expected = {}
    for each in content["annotations"]:
        x, y, width, height = each["bbox"]
        box = (round(x, 1), round(y, 1), round(x + width, 1), round(y + height, 1))
        expected.setdefault(files[each["image_id"]], []).append((ids.index(each["category_id"]), *box))
    found = {name: objects for name, objects in api().annotated(data).items() if objects}
    assert {name: [each[0] for each in objects] for name, objects in found.items()} == {
        name: [each[0] for each in sorted(objects)] for name, objects in expected.items()
    }
    for name, objects in found.items():
        for one, other in zip(objects, sorted(expected[name]), strict=True):
            assert one == pytest.approx(other, abs=0.11)
