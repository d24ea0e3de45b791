import dataclasses
import json

import pytest
from bs4 import BeautifulSoup

from howto.project.errors import HowtoError
from howto.project.stacks import STACKS, Stack
from howto.publish import join as joining
from howto.publish.join import build_all, join
from howto.setup import install


def first(topics):
    """The first page of a small site."""
    cards = "".join(f'<li><a href="how-to/{each}.html"></a></li>' for each in topics)
    section = f'<section id="data"><div class="howto-cards"><ul>{cards}</ul></div></section>'
    return (
        '<!doctype html><html><head><meta charset="utf-8"><title>x</title><link href="a.css"></head>'
        f'<body><h1>x</h1><p>y</p>{section}<section id="which-mmdetection-is-this-for">2.x</section></body></html>'
    )


@pytest.fixture
def html(tmp_path):
    """Two small sites, of which the second has one how-to less."""
    for name, topics in (("mmdet2", ("mosaic", "timm")), ("mmdet3", ("mosaic",))):
        (tmp_path / name / "how-to").mkdir(parents=True)
        for page in ("index", *(f"how-to/{topic}" for topic in topics)):
            (tmp_path / name / f"{page}.html").write_text(first(topics) if page == "index" else "<p>")
        (tmp_path / name / "verified.json").write_text(json.dumps({"stack": name, "records": []}))
    return tmp_path


def test_the_first_page_has_an_answer_for_each_site_that_is_there_and_says_what_its_mmdetection_prints(html):
    page = BeautifulSoup(join(html).read_text("utf-8"), "html.parser")
    assert [link["href"] for link in page.select("a[data-stack]")] == ["mmdet2/index.html", "mmdet3/index.html"]
    said = {name: stack.prints in page.get_text() for name, stack in STACKS.items()}
    assert said == {"mmdet2": True, "mmdet3": True, "onedl": False}
    (html / "onedl").mkdir()
    (html / "onedl" / "index.html").write_text(first([]))
    (html / "onedl" / "verified.json").write_text("{}")
    assert 'href="onedl/index.html"' in join(html).read_text("utf-8")  # one that comes later joins


def test_the_switch_knows_which_pages_each_site_has_and_the_records_of_all_stand_in_one_file(html):
    join(html)
    _, _, listed = (html / "stacks.js").read_text().rstrip(";\n").partition(" = ")
    pages = {entry["name"]: entry["pages"] for entry in json.loads(listed)}
    assert pages == {"mmdet2": ["how-to/mosaic", "how-to/timm", "index"], "mmdet3": ["how-to/mosaic", "index"]}
    assert [entry["stack"] for entry in json.loads((html / "verified.json").read_text())] == ["mmdet2", "mmdet3"]


def test_every_how_to_of_any_has_one_card_that_leads_to_a_site_that_has_it(html):
    (html / "mmdet3" / "index.html").write_text(first(["mosaic", "detectron2"]))
    page = BeautifulSoup(join(html).read_text("utf-8"), "html.parser")
    links = [link["href"] for link in page.select(".howto-cards a")]
    assert links == ["mmdet2/how-to/mosaic.html", "mmdet2/how-to/timm.html", "mmdet3/how-to/detectron2.html"]
    assert page.select_one("link")["href"] == "mmdet2/a.css"
    assert page.select_one("#which-mmdetection-is-this-for") is None


@pytest.fixture
def stacks(tmp_path, monkeypatch):
    """A stack that is installed and builds, one that is installed and does not, one whose installation broke off."""

    class Fake(Stack):
        environment = property(lambda self: tmp_path / self.name)

    found = {}
    for name, code in (("builds", 0), ("fails", 1), ("half", 0)):
        found[name] = Fake(**dataclasses.asdict(STACKS["mmdet2"]) | {"name": name})
        found[name].python.parent.mkdir(parents=True)
        found[name].python.write_text(f"#!/bin/sh\necho $HOWTO_STACK >> {tmp_path / 'built'}\nexit {code}\n")
        found[name].python.chmod(0o755)
    for name in ("builds", "fails"):
        (found[name].environment / install.STAMP).write_text('{"root": "x"}')
    monkeypatch.setattr(joining, "STACKS", found)
    return found


def test_the_stacks_that_are_installed_are_built_and_a_failure_is_told(stacks, tmp_path, capsys, monkeypatch):
    assert build_all() == 1
    assert (tmp_path / "built").read_text().split() == [
        "builds",
        "fails",
        "builds",
    ]  # the first once more, for its page about drift
    assert "not installed, so not built now: half" in capsys.readouterr().out
    monkeypatch.setattr(joining, "STACKS", {"half": stacks["half"]})
    with pytest.raises(HowtoError, match="no stack is installed; run `tox -e wheels`"):
        build_all()
