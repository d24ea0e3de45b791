"""What a how-to is made of, and which there are."""

import importlib.util
import json

import pytest

from howto.project import files, howtos
from howto.project.errors import HowtoError
from howto.project.howtos import HowTo
from howto.project.stacks import STACKS, named

MMDET2 = named("mmdet2")
MOSAIC = HowTo(MMDET2, "mosaic")


@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)
def test_each_has_snippets_and_a_script_and_asks_and_answers(stack):
    for howto in howtos.every(stack):
        assert howto.snippets and all(path.parent.name == howto.topic for path in howto.snippets)
        assert howto.source.is_file()
        assert howto.question.startswith("How do I ") and howto.question.endswith("?")
        assert howto.answer.endswith(".") and "\n" not in howto.answer


@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)
def test_each_is_in_one_group_of_the_navigation(stack):
    grouped = [howto for members in howtos.groups(stack).values() for howto in members]
    assert sorted(howto.topic for howto in grouped) == files.topics(stack.family)
    assert "More" not in howtos.groups(stack)  # where those stand that gallery/groups.json leaves out


def test_a_record_is_of_a_stack_and_a_page_is_of_whichever_is_built():
    other = HowTo(named("mmdet3"), "mosaic")
    assert MOSAIC.record != other.record and MOSAIC.record.name == other.record.name == "mosaic.json"
    assert MOSAIC.state == other.state


def test_of_two_files_that_differ_in_spelling_alone_each_is_found_by_its_own():
    howto = HowTo(named("mmdet3"), "timm_backbone")
    names = ["retinanet_timm-efficientnet-b1_fpn_1x_coco.py", "retinanet_timm_efficientnet_b1_fpn_1x_coco.py"]
    assert [howto.snippet(name).name for name in names] == names
    assert HowTo(MMDET2, "timm_backbone").snippet(names[0]).name == names[1]


@pytest.mark.parametrize(
    ("newer", "older"),
    [
        ("faster-rcnn_r50_fpn_1x_coco.py", "faster_rcnn_r50_fpn_1x_coco.py"),
        ("yolox_s_8xb8-300e_coco.py", "yolox_s_8x8_300e_coco.py"),
    ],
)
def test_a_stock_config_has_one_spelling_in_both_families(newer, older):
    assert howtos.one_spelling(newer) == howtos.one_spelling(older) == older


def test_one_that_is_not_there_is_refused_with_those_that_are():
    assert {MOSAIC, HowTo(MMDET2, "mosaic")} == {howtos.by_topic(MMDET2, "mosaic")}  # two of the same name are one
    with pytest.raises(HowtoError, match=r"there is no how-to 'mosaics'; there are: .*mosaic, "):
        howtos.by_topic(MMDET2, "mosaics")


def test_all_are_chosen_that_can_run_or_those_that_are_named(monkeypatch):
    onedl = named("onedl")
    assert howtos.select(onedl, ["mosaic"]) == [HowTo(onedl, "mosaic")]
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "detectron2" else found(name))
    assert HowTo(onedl, "detectron2").lacking == "detectron2"
    assert set(howtos.every(onedl)) - set(howtos.select(onedl, [])) == {HowTo(onedl, "detectron2")}
    with pytest.raises(HowtoError, match="detectron2 needs detectron2, which is not installed"):
        howtos.select(onedl, ["mosaic", "detectron2"])


def test_a_cost_is_what_the_page_took_else_what_is_kept_else_a_guess(monkeypatch, tmp_path):
    monkeypatch.setattr(files, "DOCS", tmp_path)
    assert MOSAIC.cost == json.loads(files.COSTS.read_text())["mosaic"]
    assert HowTo(MMDET2, "new_one").cost == 30
    (tmp_path / files.GALLERY).mkdir()
    (tmp_path / files.GALLERY / "plot_mosaic.cost.json").write_text('{"time": 12.5}')
    assert MOSAIC.cost == 12.5
