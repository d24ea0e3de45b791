"""mini-COCO is what a COCO reader expects, and check_coco says what a folder lacks."""

import concurrent.futures
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from howto.checkout import coco
from howto.checkout.coco import LONGEST_SIDE, SPLITS, check_coco, make_mini_coco, make_own_dataset
from howto.project.errors import HowtoError

REPOSITORY = Path(__file__).parents[3]
DATA = json.loads((REPOSITORY / "howto" / "checkout" / "mini_coco.json").read_text(encoding="utf-8"))

MAKE_OFFLINE = """
import sys
from pathlib import Path

def refuse(event, arguments):
    if event.startswith("socket."):
        raise OSError(f"{event} is not allowed here")

sys.addaudithook(refuse)
from howto.checkout.coco import check_coco, make_mini_coco

check_coco(make_mini_coco(Path(sys.argv[1])))
print(*sorted({"torch", "mmcv", "mmdet"} & set(sys.modules)))
"""


@pytest.fixture(scope="module")
def mini(tmp_path_factory) -> Path:
    return make_mini_coco(tmp_path_factory.mktemp("coco"))


@pytest.fixture(scope="module", params=SPLITS)
def split(request, mini) -> tuple[Path, COCO]:
    return mini / request.param, COCO(mini / "annotations" / f"instances_{request.param}.json")


@pytest.fixture
def copy(mini, tmp_path) -> Path:
    """A mini-COCO that a test may break."""
    return Path(shutil.copytree(mini, tmp_path / "coco"))


def test_images_are_named_and_sized_as_the_annotations_say(split):
    folder, coco = split
    assert len(coco.getImgIds()) >= {"train2017": 8, "val2017": 4}[folder.name]
    assert [image for image in coco.getImgIds() if not coco.getAnnIds(image)]  # one shows nothing
    assert {image["file_name"] for image in coco.dataset["images"]} == {path.name for path in folder.iterdir()}
    for image in coco.dataset["images"]:
        assert image["file_name"] == f"{image['id']:012}.jpg"
        with Image.open(folder / image["file_name"]) as file:
            assert (file.width, file.height, file.mode) == (image["width"], image["height"], "RGB")
        assert max(image["width"], image["height"]) <= LONGEST_SIDE
        assert image["license"] in {licence["id"] for licence in coco.dataset["licenses"]}


def test_annotations_are_as_in_coco_with_boxes_tight_around_polygons_and_the_areas_of_masks(split):
    _, coco = split
    keys = {"id", "image_id", "category_id", "bbox", "area", "iscrowd", "segmentation"}
    for annotation in coco.dataset["annotations"]:
        image = coco.imgs[annotation["image_id"]]
        (polygon,) = annotation["segmentation"]
        x, y, width, height = annotation["bbox"]
        assert (annotation.keys(), annotation["iscrowd"]) == (keys, 0)
        assert all(isinstance(number, float) for number in annotation["bbox"] + polygon)
        assert 0 <= x < x + width <= image["width"] and 0 <= y < y + height <= image["height"]
        assert [x, y] == [min(polygon[::2]), min(polygon[1::2])]
        assert [x + width, y + height] == pytest.approx([max(polygon[::2]), max(polygon[1::2])])
        assert annotation["area"] == pytest.approx(coco.annToMask(annotation).sum(), rel=0.03)


def test_categories_are_cocos_eighty_with_its_own_ids_and_both_splits_show_the_same(split):
    _, coco = split
    names = {category["id"]: category["name"] for category in coco.dataset["categories"]}
    assert list(names) == sorted(set(range(1, 91)) - {12, 26, 29, 30, 45, 66, 68, 69, 71, 83})
    anchors = {1: "person", 13: "stop sign", 27: "backpack", 46: "wine glass", 67: "dining table", 70: "toilet"}
    assert names.items() >= (anchors | {11: "fire hydrant", 31: "handbag", 72: "tv", 84: "book"}).items()
    assert names[90] == "toothbrush" and len(set(names.values())) == 80
    assert len({category["supercategory"] for category in coco.dataset["categories"]}) == 12
    objects = {"person", "cat", "cup", "spoon", "dining table", "motorcycle", "bench", "bicycle", "bottle"}
    assert {names[annotation["category_id"]] for annotation in coco.dataset["annotations"]} == objects


def test_no_variant_is_in_both_splits():
    variants = [(image["photograph"], image["mirror"], image["crop"]) for image in DATA["images"]]
    assert all(variants.count(variant) == 1 for variant in variants)


@pytest.mark.parametrize("variant", DATA["images"], ids=lambda variant: str(variant["id"]))
def test_an_image_is_its_photograph_cropped_or_mirrored_and_so_are_the_boxes_of_what_it_shows(mini, variant):
    content = COCO(mini / "annotations" / f"instances_{variant['split']}.json")
    names = {category["id"]: category["name"] for category in content.dataset["categories"]}
    image = np.asarray(Image.open(mini / variant["split"] / content.imgs[variant["id"]]["file_name"])).astype(int)
    image = image[:, ::-1] if variant["mirror"] else image
    left, top, *_ = variant["crop"] or (0, 0)
    source = np.asarray(coco._photograph(variant["photograph"]))[top:, left:][: image.shape[0], : image.shape[1]]
    assert np.abs(image - source).mean() < 6
    assert image.shape == source.shape
    found = []
    for each in content.imgToAnns[variant["id"]]:
        x, y, width, height = each["bbox"]
        x = image.shape[1] - x - width if variant["mirror"] else x
        found.append((names[each["category_id"]], *map(round, (x + left, y + top, x + left + width, y + top + height))))
    drawn = DATA["photographs"][variant["photograph"]]["objects"]
    if variant["crop"] is None:
        outlines = [(each["category"], np.reshape(each["polygon"], (-1, 2))) for each in drawn]
        assert found == [(name, *points.min(axis=0), *points.max(axis=0)) for name, points in outlines]
    if variant["id"] == 8:  # of the bench this crop shows a post, of the bicycle nothing
        assert [name for name, *_ in found] == ["motorcycle", "bottle", "bottle"]


def test_making_it_needs_no_network_no_torch_and_gives_the_same_bytes(mini, tmp_path):
    environment = os.environ | {"SKIMAGE_DATADIR": str(tmp_path / "no-cache"), "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", MAKE_OFFLINE, tmp_path / "again"]
    heavy = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    assert heavy.strip() == ""
    files = sorted(path.relative_to(mini) for path in mini.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(tmp_path / "again") for path in (tmp_path / "again").rglob("*.j*"))
    assert all((mini / file).read_bytes() == (tmp_path / "again" / file).read_bytes() for file in files)


NONE = '{"images": [], "annotations": [], "categories": '


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("instances_train2017", None, "is missing"),
        ("instances_val2017", None, "is missing"),
        ("instances_train2017", "<html>", "is not a JSON object"),
        ("instances_val2017", "", "is not a JSON object"),
        ("instances_val2017", '{"images": [', r"is not laid out as COCO's \(JSONDecodeError"),
        ("instances_val2017", '{"images": []}', r"is not laid out as COCO's \(KeyError\('categories'"),
        ("instances_val2017", f"{NONE}[3]}}", "is not laid out as COCO's"),
        ("instances_val2017", f'{NONE}[{{"id": 0, "name": "cat"}}]}}', "has other categories than COCO's 80"),
    ],
)
def test_annotations_that_are_not_cocos_are_refused_in_one_line(copy, name, text, fault):
    path = copy / f"annotations/{name}.json"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(HowtoError, match=f"annotations/{name}.json {fault}.*; point HOWTO_COCO") as caught:
        check_coco(copy)
    assert "\n" not in str(caught.value)


def test_images_that_are_not_there_are_named(copy):
    (copy / "annotations/instances_train2017.json").write_text('{"info": cut off')  # too large to be parsed
    assert check_coco(copy) == copy
    first, second, *others = sorted((copy / "val2017").iterdir())
    first.unlink()
    second.unlink()
    with pytest.raises(HowtoError, match=f"val2017/ lacks 2 of 5 images, {first.name} the first"):
        check_coco(copy)
    for path in others:
        path.unlink()
    with pytest.raises(HowtoError, match=r"val2017/ holds no \.jpg"):
        check_coco(copy)
    shutil.rmtree(copy)
    with pytest.raises(HowtoError) as caught:
        check_coco(copy)
    mend = "point HOWTO_COCO at the folder that holds annotations/, train2017/ and val2017/, or unset it to use the "
    fault = f"HOWTO_COCO={copy} is not COCO 2017: annotations/instances_train2017.json is missing"
    assert str(caught.value) == f"{fault}; {mend}bundled mini-COCO"


def test_pages_that_begin_together_parse_a_real_coco_once(mini, tmp_path, monkeypatch):
    parsed, first = [], coco._first

    def slow(content, count):
        parsed.append(count)
        time.sleep(0.3)
        return first(content, count)

    monkeypatch.setattr(coco, "_first", slow)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        roots = [tmp_path / name for name in ("one", "two")]
        list(pool.map(lambda root: coco.sample_coco(mini, root, tmp_path / "cache"), roots))
    assert sorted(parsed) == sorted(coco.SAMPLE.values())
    assert all((root / "annotations/instances_train2017.json").exists() for root in roots)


@pytest.mark.parametrize("split", SPLITS)
def test_a_data_set_of_ones_own_has_the_boxes_of_mini_coco_under_other_names_and_ids(mini, tmp_path, split):
    own = make_own_dataset(tmp_path / "own", mini)
    name = split.removesuffix("2017")
    content = COCO(own / f"annotations/{name}.json")
    official = COCO(mini / f"annotations/instances_{split}.json")
    assert [(each["id"], each["name"]) for each in content.dataset["categories"]] == [(12, "kitten"), (3, "mug")]
    assert all((own / name / image["file_name"]).exists() for image in content.imgs.values())
    for theirs, mine in (("cat", 12), ("cup", 3)):
        (number,) = official.getCatIds([theirs])
        expected = [each | {"category_id": mine} for each in official.loadAnns(official.getAnnIds(catIds=[number]))]
        assert content.loadAnns(content.getAnnIds(catIds=[mine])) == expected != []
    assert {each["category_id"] for each in content.anns.values()} == {12, 3}
    assert not {"kitten", "mug"} & {each["name"] for each in official.dataset["categories"]}  # no class of COCO


def test_a_subset_has_the_images_that_are_named_and_an_image_twice_as_two(mini):
    content = json.loads((mini / "annotations/instances_train2017.json").read_text("utf-8"))
    before = json.dumps(content)
    boxes = [each["bbox"] for each in content["annotations"] if each["image_id"] == 7]
    kept = coco.subset(content, [7, 1, 7])
    assert [image["id"] for image in kept["images"]] == [1, 2, 3]
    assert [image["file_name"] for image in kept["images"]] == [f"{n:012}.jpg" for n in (7, 1, 7)]
    assert [[each["bbox"] for each in kept["annotations"] if each["image_id"] == n] for n in (1, 3)] == [boxes, boxes]
    assert [each["id"] for each in kept["annotations"]] == list(range(1, len(kept["annotations"]) + 1))
    assert json.dumps(content) == before
