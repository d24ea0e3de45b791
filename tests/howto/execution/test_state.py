import json

import pytest

from howto.execution.state import PageState
from howto.project import files
from howto.project.howtos import HowTo
from howto.project.stacks import named


@pytest.fixture
def howto(monkeypatch, tmp_path):
    monkeypatch.setattr(files, "DOCS", tmp_path)
    (tmp_path / files.GALLERY).mkdir()
    return HowTo(named("mmdet2"), "mosaic")


def test_what_is_kept_is_found_again(howto):
    state = PageState("failed", {"script": "1"}, "2", ("checks nothing",))
    state.keep(howto)
    found = PageState.of(howto)
    assert (found.state, found.depends, found.prose, list(found.problems)) == (
        "failed",
        {"script": "1"},
        "2",
        ["checks nothing"],
    )


def test_a_stale_page_has_no_file(howto):
    PageState("begun").keep(howto)
    PageState().keep(howto)
    assert not howto.state.exists()
    assert PageState.of(howto) == PageState()


@pytest.mark.parametrize("content", ["", "[1]", json.dumps({"script": "what an older version kept"})])
def test_what_cannot_be_read_is_stale(howto, content):
    howto.state.write_text(content)
    assert PageState.of(howto) == PageState()
