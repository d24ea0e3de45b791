import json

import pytest

from howto.project.record import PACKAGES, CheckFailed, Record, installed_versions, write_json, write_text
from howto.project.stacks import current


@pytest.fixture
def record(tmp_path, monkeypatch):
    monkeypatch.setenv("HOWTO_RECORDS", str(tmp_path))
    return Record("mosaic", "mmdet2", {})


def saved(folder):
    return json.loads((folder / "mosaic.json").read_text())


def test_a_check_that_passes_is_printed_and_recorded(record, tmp_path, capsys):
    record.check("channels", [24, 48], [24, 48])
    assert capsys.readouterr().out == "✓ channels: [24, 48]\n"
    check = {"name": "channels", "expected": "[24, 48]", "measured": "[24, 48]", "passed": True}
    assert saved(tmp_path)["checks"] == [check]
    assert saved(tmp_path)["status"] == "running"  # a page has not passed before its last statement


@pytest.mark.parametrize("measured", [[48], None])
def test_a_check_that_fails_stops_says_what_it_expected_and_is_recorded(record, tmp_path, capsys, measured):
    with pytest.raises(CheckFailed) as error:
        record.check("channels", measured, [24])
    assert str(error.value) == f"mosaic: channels: expected [24], measured {measured}"
    assert capsys.readouterr().out == ""
    assert [check["passed"] for check in saved(tmp_path)["checks"]] == [False]


@pytest.mark.parametrize(("measured", "passes"), [(2.9, True), (3, True), (3.1, False), (float("nan"), False)])
def test_at_most_takes_the_limit_and_no_more(record, measured, passes):
    try:
        record.check("pixels", measured, at_most=3)
    except CheckFailed as error:
        assert "expected at most 3" in str(error)
    assert [check.passed for check in record.checks] == [passes]


def test_nothing_is_written_where_no_folder_is_named(monkeypatch, tmp_path):
    monkeypatch.delenv("HOWTO_RECORDS")
    monkeypatch.chdir(tmp_path)
    Record("mosaic", "mmdet2", {}).save()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(autouse=True)
def records(monkeypatch):
    monkeypatch.setenv("HOWTO_RECORDS", "")


def test_the_same_content_gives_the_same_bytes(tmp_path):
    write_json(tmp_path / "a", {"b": 1, "a": "é"})
    write_json(tmp_path / "b", {"a": "é", "b": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_file_that_cannot_be_finished_leaves_the_old_one(tmp_path):
    write_text(tmp_path / "a", "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "a", "new \ud800")
    assert (tmp_path / "a").read_text() == "old"


def test_every_package_of_the_stack_has_its_version():
    assert list(installed_versions()) == [package for package in PACKAGES if package in current().versions]
