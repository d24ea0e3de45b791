"""The config that tells classes apart, from its zip, and the script that counts what was taken for what."""

import csv
import io
import json

import pytest

BOX = [10, 10, 100, 100]
BESIDE = [30, 10, 100, 100]  # overlaps BOX by two thirds
FAR = [300, 300, 50, 50]


def test_the_stock_script_trains_it_and_tells_the_classes_apart(work_dir):
    written = "".join(path.read_text("utf-8") for path in work_dir.rglob("*.log"))
    assert "| category" in written and "| person" in written
    assert (work_dir / "epoch_1.pth").exists()


def counted(checkout, objects: list[dict], boxes: list[dict], threshold: float = 0.3) -> dict:
    """What ``confused.py`` counts in one image of cats (id 3) and cups (id 1)."""
    categories = [{"id": 3, "name": "cat"}, {"id": 1, "name": "cup"}]
    truth, results = checkout.root / "truth.json", checkout.root / "results.json"
    objects = [{"image_id": 4, "bbox": BOX} | each for each in objects]
    boxes = [{"image_id": 4, "bbox": BOX, "score": 0.9} | each for each in boxes]
    truth.write_text(json.dumps({"images": [{"id": 4}], "categories": categories, "annotations": objects}))
    results.write_text(json.dumps(boxes))
    printed = checkout.shell(f"python configs/per_class_results/confused.py truth.json results.json {threshold}")
    rows = list(csv.DictReader(io.StringIO(printed)))
    assert list(rows[0]) == ["", "cat", "cup", "missed"]
    return {(row[""], name): int(row[name]) for row in rows for name in ("cat", "cup", "missed") if row[name] != "0"}


CAT, CUP = {"category_id": 3}, {"category_id": 1}


@pytest.mark.parametrize(
    ("objects", "boxes", "expected"),
    [
        ([CAT], [CAT], {("cat", "cat"): 1}),
        ([CAT], [], {("cat", "missed"): 1}),
        ([], [CUP], {("no object", "cup"): 1}),
        ([CAT], [CUP], {("cat", "cup"): 1}),
        # The right box is weaker, and takes its object all the same.
        ([CAT], [CUP, CAT | {"score": 0.4}], {("cat", "cat"): 1, ("no object", "cup"): 1}),
        # Two boxes on one object: one is one too many.
        ([CAT], [CAT, CAT | {"score": 0.8}], {("cat", "cat"): 1, ("no object", "cat"): 1}),
        # Of two objects a box takes the one below it.
        ([CAT, CAT | {"bbox": BESIDE}], [CAT, CAT | {"bbox": BESIDE}], {("cat", "cat"): 2}),
        # The surest box chooses first, and the other one has what is left.
        ([CAT, CUP | {"bbox": BESIDE}], [CUP | {"bbox": BESIDE}, CUP], {("cup", "cup"): 1, ("cat", "cup"): 1}),
        ([CAT], [CAT | {"bbox": FAR}], {("cat", "missed"): 1, ("no object", "cat"): 1}),
        ([CAT], [CAT | {"score": 0.29}], {("cat", "missed"): 1}),
        ([CAT], [CAT | {"score": 0.3}], {("cat", "cat"): 1}),
        # A box on a crowd need not be there, and may.
        ([CAT | {"iscrowd": 1}], [CAT, CAT], {}),
        ([CAT | {"iscrowd": 1, "bbox": [0, 0, 640, 480]}], [CUP], {}),
        ([CAT | {"iscrowd": 1}], [], {}),
        ([CAT], [CAT | {"image_id": 5}], {("cat", "missed"): 1, ("no object", "cat"): 1}),
    ],
)  # fmt: skip
def test_objects_and_boxes_count_once(checkout, objects, boxes, expected):
    assert counted(checkout, objects, boxes) == expected
