"""What programs read: Markdown twins, llms.txt, descriptions, and what depends on where the site will be."""

import re
from xml.etree import ElementTree

import pytest

from howto.project import files, stacks
from howto.project.howtos import HowTo

FAMILY = stacks.current().family
TOPICS = files.topics(FAMILY)
BASE = "https://example.org/docs"
NOT_WRITTEN = ("404", "search")  # pages that Sphinx makes by itself


def test_every_page_names_its_twin(site, pages):
    named = {
        path.parent / link["href"] for path, page in pages.items() for link in page.select("[type='text/markdown']")
    }
    assert named == {path for path in site.rglob("*.md") if "_static" not in path.parts}
    assert {path.with_suffix(".html") for path in named} == {path for path in pages if path.stem not in NOT_WRITTEN}


def test_a_twin_has_no_markup_left(site):
    for path in site.rglob("*.md"):
        prose = re.sub(r"```.*?```|`[^`\n]*`", "", path.read_text("utf-8"), flags=re.DOTALL)
        prose = re.sub(r"^\|.*", lambda row: row[0].replace("<br>", " "), prose, flags=re.MULTILINE)
        assert re.findall(r"</?[a-z]+[^>]*>", prose) == [], path.name


def test_a_config_in_a_table_of_a_twin_keeps_its_lines(site, pages):
    name = "how-to/plot_backbone_channels"
    configs = [block.get_text().splitlines() for block in pages[site / f"{name}.html"].select("td pre")]
    rows = [line for line in (site / f"{name}.md").read_text("utf-8").splitlines() if line.startswith("|")]
    cells = [re.findall("`([^`]+)`", cell) for row in rows for cell in row.split(" | ") if "_base_ = " in cell]
    assert len(configs) > 25
    assert cells == [[line for line in config if line] for config in configs]


def test_what_llms_txt_lists_is_there_and_llms_full_txt_is_every_twin(site):
    text = (site / "llms.txt").read_text("utf-8")
    targets = re.findall(r"^- \[.+?\]\((.+?)\): .{20}", text, re.MULTILINE)
    assert {f"how-to/plot_{topic}.md" for topic in TOPICS} < set(targets)
    assert [target for target in targets if not (site / target).is_file()] == []
    assert text.startswith("# MMDetection how-to\n\n> ")
    full = (site / "llms-full.txt").read_text("utf-8")
    assert all(path.read_text("utf-8") in full for path in site.rglob("*.md"))


def test_a_twin_has_every_snippet_whole(site):
    for topic in TOPICS:
        twin = (site / f"how-to/plot_{topic}.md").read_text("utf-8").replace("```text\n", "```python\n")
        snippets = HowTo(stacks.current(), topic).snippets
        shown = [f"`configs/{topic}/{path.name}`\n\n```python\n{path.read_text('utf-8')}```\n" for path in snippets]
        assert [each for each in shown if each not in twin] == []


def test_every_page_describes_itself(pages):
    found = [page.select_one("meta[name=description]") for path, page in pages.items() if path.stem not in NOT_WRITTEN]
    texts = [tag["content"] for tag in found]
    assert len(set(texts)) == len(texts)
    assert min(map(len, texts)) > 50


def test_what_needs_an_address_is_left_out_while_there_is_none(site, pages):
    assert not (site / "sitemap.xml").exists()
    needs = "[rel=canonical], [property^='og:'], [rel=edit]"
    assert [path.name for path, page in pages.items() if page.select(needs)] == []


@pytest.fixture(scope="module")
def published(tiny_project, tmp_path_factory):
    """The site of the tiny project, built as for a host."""
    project = tiny_project.copy(tmp_path_factory.mktemp("published") / "project")
    done = project.howto("build", HOWTO_BASE_URL=f"{BASE}/", HOWTO_REPOSITORY_URL="https://example.org/repository")
    assert done.returncode == 0, done.stderr
    return project.site


def test_the_sitemap_has_every_page(published):
    urls = [item.text for item in ElementTree.parse(published / "sitemap.xml").iter() if item.text]
    pages = [path for path in published.rglob("*.html") if path.stem not in NOT_WRITTEN]
    assert sorted(urls) == sorted(f"{BASE}/mmdet2/{path.relative_to(published)}" for path in pages)


def test_a_page_says_where_it_is_what_it_looks_like_and_where_it_is_edited(published):
    text = (published / "how-to/plot_tiny.html").read_text("utf-8")
    assert '<meta property="og:description" content="Two.' in text
    assert f'<link rel="canonical" href="{BASE}/mmdet2/how-to/plot_tiny.html">' in text
    card = re.search(rf'property="og:image" content="{BASE}/mmdet2/(_images/[^"]+\.png)"', text)
    assert (published / card[1]).is_file()
    assert 'href="https://example.org/repository/edit/HEAD/gallery/plot_tiny.py"' in text
    assert (
        f'href="{BASE.removeprefix("https://example.org")}/mmdet2/index.html"' in (published / "404.html").read_text()
    )
