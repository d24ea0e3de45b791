import json

import pytest
from bs4 import BeautifulSoup

from howto.join import join
from howto.stacks import STACKS


@pytest.fixture
def html(tmp_path):
    """Two small sites, of which the second has one how-to less."""
    for name, topics in (("mmdet2", ("mosaic", "timm")), ("mmdet3", ("mosaic",))):
        (tmp_path / name / "how-to").mkdir(parents=True)
        for page in ("index", *(f"how-to/{topic}" for topic in topics)):
            (tmp_path / name / f"{page}.html").write_text("<p>")
        (tmp_path / name / "verified.json").write_text(json.dumps({"stack": name, "records": []}))
    return tmp_path


def test_the_first_page_has_an_answer_for_each_site_that_is_there(html):
    page = BeautifulSoup(join(html).read_text("utf-8"), "html.parser")
    assert [link["href"] for link in page.select("a[data-stack]")] == ["mmdet2/index.html", "mmdet3/index.html"]


def test_each_answer_says_what_mmdetection_prints(html):
    text = BeautifulSoup(join(html).read_text("utf-8"), "html.parser").get_text()
    assert STACKS["mmdet2"].prints in text
    assert STACKS["mmdet3"].prints in text
    assert STACKS["onedl"].prints not in text


def test_the_switch_knows_which_pages_each_site_has(html):
    join(html)
    _, _, listed = (html / "stacks.js").read_text().rstrip(";\n").partition(" = ")
    pages = {entry["name"]: entry["pages"] for entry in json.loads(listed)}
    assert pages == {"mmdet2": ["how-to/mosaic", "how-to/timm", "index"], "mmdet3": ["how-to/mosaic", "index"]}


def test_the_records_of_all_stand_in_one_file(html):
    join(html)
    assert [entry["stack"] for entry in json.loads((html / "verified.json").read_text())] == ["mmdet2", "mmdet3"]


def test_a_site_that_comes_later_joins(html):
    join(html)
    (html / "onedl").mkdir()
    (html / "onedl" / "index.html").write_text("<p>")
    (html / "onedl" / "verified.json").write_text("{}")
    assert 'href="onedl/index.html"' in join(html).read_text("utf-8")
