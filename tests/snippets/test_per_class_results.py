"""The config that tells classes apart, from its zip, and the script that counts what was taken for what."""

import json

import pytest

from howto.figures import confusion
from howto.project.errors import HowtoError

CATEGORIES = [{"id": confusion.CAT, "name": "cat"}, {"id": confusion.CUP, "name": "cup"}]


@pytest.fixture
def table(checkout):
    """What the script prints of a file with one cat, whose keys may be given, and of these boxes."""

    def run(boxes, encoding="utf-8", **keys):
        content = {"images": [{"id": 4}], "categories": CATEGORIES, "annotations": [confusion.at(confusion.CAT)]}
        (checkout.root / "own.json").write_text(json.dumps(content | keys, ensure_ascii=False), encoding)
        (checkout.root / "own.bbox.json").write_text(json.dumps(boxes), "utf-8")
        return checkout.shell("python configs/per_class_results/confused.py own.json own.bbox.json 0.3")

    return run


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
    content = json.loads(path.read_text("utf-8"))
    (checkout.root / "none.json").write_text("[]")
    printed = checkout.shell(f"python configs/per_class_results/confused.py {path} none.json 0.3")
    names = [each["name"] for each in content["categories"]]
    assert printed.splitlines()[0] == ",".join(["", *names, "missed"])
    assert confusion.read(printed).total() == len(content["annotations"])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"image_id": 285}, "image_id 285"), ({"image_id": "4"}, "image_id '4'"), ({"category_id": 0}, "category_id 0")],
    ids=["image", "kind of id", "category"],
)
def test_boxes_of_another_data_set_are_refused_in_one_line(table, wrong, message):
    with pytest.raises(HowtoError, match=rf"own\.bbox\.json: {message} is not in own\.json: \[") as failure:
        table([confusion.at(confusion.CAT), {**confusion.at(confusion.CAT), **wrong}])
    assert "Traceback" not in str(failure.value)


@pytest.mark.parametrize("box", [[], ["0", "0", "9", "9"]], ids=["empty", "of strings"])
def test_a_box_that_is_not_four_numbers_is_named(table, box):
    with pytest.raises(HowtoError, match=r"own\.json: bbox must be four numbers: .*'id': 7"):
        table([], annotations=[{**confusion.at(confusion.CAT), "id": 7, "bbox": box}])


def test_files_in_the_wrong_order_are_refused(table):
    with pytest.raises(HowtoError, match="Name the annotations first"):
        table({})


def test_a_byte_order_mark_and_names_of_any_script_are_read_and_written(table):
    categories = [{"id": confusion.CAT, "name": "Kätzchen"}, {"id": confusion.CUP, "name": "茶碗"}]
    printed = table([confusion.at(confusion.CUP)], "utf-8-sig", categories=categories)
    assert confusion.read(printed) == {("Kätzchen", "茶碗"): 1}


def test_two_categories_of_one_name_are_told_apart(table):
    categories = [{"id": confusion.CAT, "name": "cat"}, {"id": confusion.CUP, "name": "cat"}]
    found = table([confusion.at(confusion.CUP)], categories=categories)
    assert confusion.read(found) == {(f"cat (id {confusion.CAT})", f"cat (id {confusion.CUP})"): 1}


def test_objects_of_images_that_are_not_listed_are_left_out(table):
    objects = [confusion.at(confusion.CAT), confusion.at(confusion.CUP, image_id="4")]
    assert confusion.read(table([], annotations=objects)) == {("cat", "missed"): 1}


NOT_COCO = {  # each is own.json without something
    name: f"{name}.json or own.bbox.json is not as COCO has it: {error}"
    for name, error in {
        "images": "TypeError(\"'NoneType' object is not iterable\")",
        "nameless": "KeyError('name')",
        "bbox": "KeyError('bbox')",
    }.items()
}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("own.json own.bbox.json high", "The threshold must be a number, as 0.3, not high"),
        ("missing.json own.bbox.json 0.3", "missing.json: [Errno 2] No such file or directory: 'missing.json'"),
        ("own.json empty.json 0.3", "empty.json: Expecting value: line 1 column 1 (char 0)"),
        ("half.json own.bbox.json 0.3", "half.json has no images"),
        ("own.json objects.json 0.3", "objects.json: a box without a score is not an evaluation's"),
        *[(f"{name}.json own.bbox.json 0.3", message) for name, message in NOT_COCO.items()],
        (
            "own.json list.json 0.3",
            "own.json or list.json is not as COCO has it: TypeError(\"unhashable type: 'list'\")",
        ),
    ],
)
def test_a_plain_mistake_is_told_in_one_line(checkout, table, arguments, message):
    table([])
    (checkout.root / "empty.json").write_text("")
    (checkout.root / "half.json").write_text("{}")
    (checkout.root / "objects.json").write_text('[{"image_id": 4}]')
    own = json.loads((checkout.root / "own.json").read_text("utf-8"))
    boxes = [{"image_id": [4], "score": 1}]
    without = [{key: each[key] for key in each if key != "bbox"} for each in own["annotations"]]
    files = {"images": own | {"images": None}, "nameless": own | {"categories": [{"id": 1}]}, "list": boxes}
    for name, content in (files | {"bbox": own | {"annotations": without}}).items():
        (checkout.root / f"{name}.json").write_text(json.dumps(content))
    with pytest.raises(HowtoError) as failure:
        checkout.shell(f"python configs/per_class_results/confused.py {arguments}")
    assert str(failure.value).splitlines()[-1] == message
    assert "Traceback" not in str(failure.value)
