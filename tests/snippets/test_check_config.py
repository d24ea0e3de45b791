"""What the check says of annotation files as exporters write them, of bad input, and of this site's own configs."""

import filecmp
import json
import runpy
import shutil

import pytest

from howto import Workspace
from howto.checkout.family import api
from howto.commands import stock
from howto.commands.edits import is_config
from howto.figures.mistakes import Mistakes
from howto.project import files, howtos, stacks

STACK = stacks.current()
FOLDER = files.snippet_folder(STACK.family) / "check_config"
COMMAND = "python configs/check_config/check_config.py"
SHARED = ("check_annotations.py", "check_config.py", "check_model.py")  # the same text for both families
CONFIGS = [
    (howto.topic, path.name)
    for howto in howtos.runnable(STACK)
    for path in howto.snippets
    if is_config(path.read_text("utf-8"))
]


def coco() -> dict:
    """A right file: a fox on one image, a lamp on the other."""
    sizes = {"width": 200, "height": 150}
    objects = [{"id": n, "image_id": n, "category_id": n, "bbox": [20, 10, 50, 40]} for n in (1, 2)]
    return {
        "images": [{"id": n, "file_name": f"{n}.jpg", **sizes} for n in (1, 2)],
        "annotations": [{**each, "area": 2000, "iscrowd": 0} for each in objects],
        "categories": [{"id": 1, "name": "fox"}, {"id": 2, "name": "lamp"}],
    }


def changed(kind, number=None, drop=(), **keys) -> dict:
    """The file with keys of one row, or of all rows, changed or left out."""
    content = coco()
    rows = content[kind] if number is None else [content[kind][number]]
    for row in rows:
        row.update(keys)
        for key in drop:
            del row[key]
    return content


def with_row(kind, **row) -> dict:
    """The file with one row more, which comes first."""
    content = coco()
    content[kind].insert(0, row)
    return content


WRONG = {
    "annotation ids start from 0": changed("annotations", 0, id=0),
    "the category lamp stands there twice": with_row("categories", id=0, name="lamp"),
    "ids twice in categories": with_row("categories", id=1, name="fox"),
    "file_name with a backslash": changed("images", 0, file_name="a\\1.jpg"),
    "iscrowd is 1 everywhere": changed("annotations", iscrowd=1),
    "objects have no iscrowd": changed("annotations", drop=["iscrowd"]),
    "every image is smaller than 32 pixels": changed("images", width=30, height=30),
    "objects have no area": changed("annotations", drop=["area"]),
    "every area is 0": changed("annotations", area=0),
    "ids twice in images": changed("images", id=1),
    "ids twice in annotations": changed("annotations", id=1),
    "images have no width and height": changed("images", drop=["width", "height"]),
    "category_id of 2 objects is no id in categories": changed("annotations", category_id="1"),
    "image_id of 2 objects is no id in images": changed("annotations", image_id="1"),
    "it has no categories": coco() | {"categories": []},
    "it has no images, annotations, categories": [],
    "rows of images are no objects in braces": coco() | {"images": [None]},
    "boxes are not four numbers": changed("annotations", 0, bbox=[]),
    "1 boxes are not four numbers": changed("annotations", 0, bbox=["20", "10", "50", "40"]),
    "all could be two corners": changed("annotations", bbox=[120, 90, 190, 140]),
    "reach outside their images": changed("annotations", bbox=[180, 100, 90, 90]),
    "every box is relative": changed("annotations", bbox=[0.1, 0.1, 0.4, 0.4]),
    "less than a pixel": changed("annotations", 0, bbox=[20, 10, 0, 0]),
}
RIGHT = {
    "as it is": coco(),
    "ids are floats": changed("annotations", 0, id=1.0, image_id=1.0),
    "an image shows nothing": with_row("images", id=3, file_name="3.jpg", width=200, height=150),
    "the first category is a project, and no class": with_row("categories", id=0, name="project"),
    "a box ends a pixel outside": changed("annotations", bbox=[0, 0, 201, 151]),
    "one object of two is a crowd": changed("annotations", 0, iscrowd=1),
}


@pytest.fixture(scope="module")
def faults():
    """The function of the script that needs nothing but Python."""
    return runpy.run_path(str(FOLDER / "check_annotations.py"))["faults"]


@pytest.mark.parametrize("said", WRONG)
def test_a_habit_of_an_exporter_is_named(faults, said):
    found = [what for what, _ in faults(WRONG[said])]
    assert [what for what in found if said in what], found


@pytest.mark.parametrize("habit", RIGHT)
def test_a_habit_that_trains_is_none(faults, habit):
    assert list(faults(RIGHT[habit])) == []


def test_a_first_category_without_objects_is_named_if_it_is_a_class_and_its_siblings_have_some(faults):
    content = with_row("categories", id=0, name="project")
    names = ("project", "fox", "lamp")
    assert ["no object has the first category" in what for what, _ in faults(content, names)] == [True]
    assert list(faults(content, (*names, "cup"))) == []  # a small file of many classes


def test_what_is_read_only_to_train_may_lack_iscrowd_and_count_from_0(faults):
    content = changed("annotations", 0, drop=["iscrowd"], id=0)
    assert list(faults(content, evaluated=False)) == []


@pytest.mark.parametrize("name", SHARED)
def test_what_does_not_depend_on_the_version_is_the_same_text(name):
    folders = {files.snippet_folder(stack.family) / "check_config" / name for stack in stacks.STACKS.values()}
    first, second = folders
    assert filecmp.cmp(first, second, shallow=False)


@pytest.fixture(scope="module")
def mistakes(checkout) -> Mistakes:
    return Mistakes(checkout)


def asked(checkout, text: str, options: str = "") -> str:
    """What the script prints of a config with this text, which it must not pass."""
    (checkout.root / "configs/check_config/asked.py").write_text(text, "utf-8")
    return checkout.shell(f"{COMMAND} configs/check_config/asked.py {options}", succeeds=False)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("model = dict(", "SyntaxError"),
        ("_base_ = './nothing.py'\n", "nothing.py"),
        ("_base_ = '../cascade_rcnn/{}'\nmodel = dict(roi_head=dict(bbox_head=dict(num_classes=2)))\n", "whole list"),
    ],
)
def test_a_config_that_cannot_be_read_is_one_clear_line(checkout, text, told):
    name = "cascade_rcnn_r50_fpn_1x_coco.py" if STACK.family == "mmdet2" else "cascade-rcnn_r50_fpn_1x_coco.py"
    printed = asked(checkout, text.replace("{}", name))
    assert "✗ config: configs/check_config/asked.py cannot be read" in printed
    assert told in printed
    assert "Traceback" not in printed


def test_a_config_that_ends_python_cannot_be_read(checkout, mistakes, capsys):
    (checkout.root / "configs/check_config/ends.py").write_text("raise SystemExit(3)\n", "utf-8")
    with checkout.inside():
        assert mistakes.script.main(["configs/check_config/ends.py"]) == 2
    assert "SystemExit: 3" in capsys.readouterr().out


def test_a_config_that_is_not_there_is_one_clear_line(checkout):
    printed = checkout.shell(f"{COMMAND} configs/nothing.py", succeeds=False)
    assert "cannot be read" in printed
    assert "Traceback" not in printed


def test_without_data_the_rest_is_still_checked(checkout, mistakes):
    missing = "data/nowhere/annotations.json"
    cfg = checkout.config("good.py", train__ann_file=missing, val__ann_file=missing, test__ann_file=missing)
    with checkout.inside():
        report = dict(mistakes.script.check(cfg, gpus=1, skip=("levels", "sizes", "weights", "step")))
    marks = {name: [each.mark for each in found] for name, found in report.items()}
    for name in ("files", "annotations", "images", "items"):
        assert marks[name] == ["?"], name
    assert marks["num_classes"] == marks["pipelines"] == marks["schedule"] == []


def test_an_image_that_does_not_open_is_named(checkout, mistakes):
    path = checkout.root / "data/my_dataset/train"
    linked = path.resolve()
    path.unlink()
    shutil.copytree(linked, path)
    first = sorted(path.iterdir())[0]
    first.write_bytes(b"no image")
    found = dict(mistakes.found(checkout.config("good.py")))
    shutil.rmtree(path)
    path.symlink_to(linked)
    assert first.name in found["images"].what


def test_a_check_that_crashes_is_a_question_and_the_others_go_on(checkout, mistakes, monkeypatch):
    def broken(subject):
        raise RuntimeError("no idea")

    monkeypatch.setattr(mistakes.script, "CHECKS", (broken, *mistakes.script.CHECKS))
    with checkout.inside():
        cfg = checkout.config("good.py")
        (_, (found,)), *rest = mistakes.script.check(cfg, gpus=1, skip=("levels", "sizes", "weights", "step"))
    assert (found.mark, found.what) == ("?", "RuntimeError: no idea")
    assert not [each for _, others in rest for each in others]


@pytest.mark.parametrize("config", CONFIGS, ids="/".join)
def test_every_config_of_this_site_passes(config, mistakes):
    topic, name = config
    checkout = Workspace(topic)
    cfg = checkout.config(name)
    cfg.merge_from_dict(api().warmed_up(cfg))  # the small COCO has fewer iterations than a warm-up
    with checkout.inside(cfg):
        report = mistakes.script.check(cfg, gpus=8, skip=("step",))
        found = [(check, each.what) for check, several in report for each in several if each.mark == "✗"]
    assert found == []


def test_of_the_stock_configs_at_most_one_in_a_hundred_has_a_false_alarm():
    found = json.loads(stock.RESULTS.read_text("utf-8"))[STACK.name]  # by tox -e check-stock, for each stack
    alarms = {each["config"] for each in found["findings"] if not each["fault"]}
    assert found["configs"] > 600
    assert len(alarms) <= stock.FALSE_ALARMS * found["configs"]
