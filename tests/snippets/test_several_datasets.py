"""The config with two datasets, from its zip, the script that orders categories, and what is told of a dataset."""

import json
import os
import subprocess
import sys

import pytest

from howto.checkout.family import api

SCRIPT = "configs/several_datasets/order_categories.py"


def ordered(checkout, change, *names, succeeds=True):
    """What the script makes of the file of one's own data as `change` leaves it, and what it prints."""
    path = checkout.root / "data/my_dataset/annotations/train.json"
    content = json.loads(path.read_text("utf-8"))
    change(content)
    path.with_name("mine.json").write_text(json.dumps(content), "utf-8-sig")
    path.with_name("out.json").unlink(missing_ok=True)
    files = f"{path.with_name('mine.json')} {path.with_name('out.json')}"
    printed = checkout.shell(f"python {SCRIPT} {files} {' '.join(names)}", succeeds=succeeds)
    assert path.with_name("out.json").exists() == succeeds
    assert "Traceback" not in printed
    return json.loads(path.with_name("out.json").read_text("utf-8")) if succeeds else {}, printed, content


def test_categories_are_ordered_and_the_rest_of_the_file_stays(checkout):
    after, _, before = ordered(checkout, lambda content: None, "mug", "kitten")
    assert after.pop("categories") == before.pop("categories")[::-1]
    assert after == before


def test_categories_that_are_not_named_come_last_and_are_told(checkout):
    after, printed, _ = ordered(checkout, lambda content: None, "mug")
    assert [each["name"] for each in after["categories"]] == ["mug", "kitten"]
    assert "not named, so last: kitten" in printed


@pytest.mark.parametrize("row", [{"id": 12, "name": "kitten"}, {"id": 0, "name": "kitten"}], ids=["same", "unused"])
@pytest.mark.parametrize("place", [0, 2])
def test_of_rows_with_one_name_that_with_objects_stays(checkout, row, place):
    after, printed, _ = ordered(checkout, lambda content: content["categories"].insert(place, row), "mug", "kitten")
    assert [(each["id"], each["name"]) for each in after["categories"]] == [(3, "mug"), (12, "kitten")]
    assert "left out: 1" in printed


def test_two_categories_of_one_name_that_both_have_objects_are_refused(checkout):
    def rename(content):
        content["categories"][1]["name"] = "kitten"

    _, printed, _ = ordered(checkout, rename, "kitten", succeeds=False)
    assert "two categories called kitten, 12 and 3" in printed


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content: None, "has no cat, cup; it has kitten, mug"),
        (lambda content: content.pop("categories"), "KeyError: 'categories'"),
        (lambda content: content["annotations"][0].pop("category_id"), "KeyError: 'category_id'"),
    ],
)
def test_what_the_file_lacks_is_named(checkout, change, said):
    _, printed, _ = ordered(checkout, change, "cat", "cup", succeeds=False)
    assert said in printed


def test_names_that_a_terminal_cannot_show_are_written_all_the_same(checkout):
    """As on Windows, where the output goes into a file: Python's own process alone takes the variable."""
    path = checkout.root / "named.json"
    categories = [{"id": 1, "name": "茶碗"}, {"id": 2, "name": "Kätzchen"}]
    path.write_text(json.dumps({"images": [], "annotations": [], "categories": categories}), "utf-8")
    command = [sys.executable, SCRIPT, str(path), "ordered.json", "Kätzchen"]
    environment = os.environ | {"PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}
    done = subprocess.run(command, cwd=checkout.root, env=environment, capture_output=True, check=True)
    assert done.stderr == b""
    assert b"not named, so last: \\u8336\\u7897" in done.stdout


def test_no_file_is_written_over(checkout):
    path = "data/my_dataset/annotations/train.json"
    before = (checkout.root / path).read_bytes()
    assert "FileExistsError" in checkout.shell(f"python {SCRIPT} {path} {path} mug kitten", succeeds=False)
    assert (checkout.root / path).read_bytes() == before


@pytest.mark.parametrize("split", ["train", "val"])
def test_what_is_annotated_is_what_the_file_says(checkout, split):
    """The joined datasets are those of the config; the objects are told apart from mmdet, by the file alone."""
    data = checkout.dataset(checkout.config(), split).datasets[0]
    data = getattr(data, "dataset", data)
    content = json.loads((checkout.root / f"data/my_dataset/annotations/{split}.json").read_text("utf-8"))
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
