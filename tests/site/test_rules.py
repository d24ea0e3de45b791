"""The rules that the site keeps: what is code, what of it was executed, and where nothing is fetched from."""

import json
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from jsonschema import Draft202012Validator
from markdown_it.renderer import RendererHTML
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser
from sphinx_gallery.py_source_parser import split_code_and_text_blocks

from howto.project import files, howtos, stacks
from howto.project.howtos import HowTo
from howto.project.record import sha256
from howto.project.stacks import ROOT
from howto.site import drift

FAMILY = stacks.current().family
TOPICS = files.topics(FAMILY)
EXECUTED = [howto.topic for howto in howtos.runnable(stacks.current())]
SNIPPETS = [f"{howto.topic}/{path.name}" for howto in howtos.of(stacks.current()) for path in howto.snippets]
SOURCES = [howto.source for howto in howtos.of(stacks.current())]
SCHEMA = ROOT / "docs/_static/verified.schema.json"

NO_PYTHON = {"bash", "console", "diff", "json", "none", "pytb", "sh", "shell", "text"}  # languages a block may be in
LONGEST_CELL = 16  # lines
STRAIGHT = str.maketrans("\u2018\u2019\u201c\u201d", "''\"\"")  # Sphinx sets quotes as a printer would


@pytest.fixture(scope="session")
def verified(site):
    return json.loads((site / "verified.json").read_text("utf-8"))


def blocks_of_markdown(text):
    """Language or directive of each code block."""
    parser = create_md_parser(MdParserConfig(enable_extensions={"colon_fence"}), RendererHTML)
    for token in parser.parse(text):
        if token.type in ("fence", "colon_fence"):
            name = token.info.strip()
            if name == "{eval-rst}":
                yield from blocks_of_rst(token.content)
            elif re.match(r"\{(code|code-block|sourcecode|code-cell)\}", name):
                yield name.partition("}")[2].strip()
            elif not name.startswith("{"):
                yield name
        elif token.type == "code_block":
            yield "indented"


def blocks_of_rst(text):
    """Language of each code block; a block without one is Python to Sphinx."""
    yield from (
        found or "python" for found in re.findall(r"^ *\.\. (?:code|code-block|sourcecode):: *(\S*)$", text, re.M)
    )
    yield from ("doctest" for _ in re.findall(r"^ *>>> ", text, re.M))
    yield from ("python" for _ in re.findall(r"^(?! *\.\. ).*::$", text, re.M))


@pytest.mark.parametrize("text", ["```python\nx\n```", "```\nx\n```", "a\n\n    x\n", ":::{code-block} python\nx\n:::"])
def test_python_in_markdown_is_found(text):
    assert set(blocks_of_markdown(text)) - NO_PYTHON


@pytest.mark.parametrize("text", [".. code-block:: python\n\n   x", ".. code::\n\n   x", "So::\n\n   x", ">>> x"])
def test_python_in_restructured_text_is_found(text):
    assert set(blocks_of_rst(text)) - NO_PYTHON


@pytest.mark.parametrize("path", sorted((ROOT / "docs").glob("*.md")), ids=lambda path: path.name)
def test_no_page_has_python_code_of_its_own(path):
    assert set(blocks_of_markdown(path.read_text("utf-8"))) - NO_PYTHON == set()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_the_prose_of_a_how_to_has_no_python_code_of_its_own(path):
    _, blocks = split_code_and_text_blocks(str(path))
    prose = [block.content for block in blocks if block.type == "text"]
    assert set(blocks_of_rst("\n\n".join(prose))) - NO_PYTHON == set()


@pytest.mark.parametrize("howto", howtos.of(stacks.current()), ids=lambda howto: howto.topic)
def test_no_code_cell_is_long(howto, tmp_path):
    path = tmp_path / "script.py"
    path.write_text(howto.text)
    _, blocks = split_code_and_text_blocks(str(path))
    cells = {block.lineno: len(block.content.strip().splitlines()) for block in blocks if block.type == "code"}
    assert {line: length for line, length in cells.items() if length > LONGEST_CELL} == {}


def language(block):
    """What a highlighted block on a page is in; sphinx-gallery's cells are in ``Python``, snippets in ``python``."""
    return next(name.removeprefix("highlight-") for name in block["class"] if name.startswith("highlight-"))


def highlighted(page):
    return page.select("div[class*=highlight-]")


def test_every_python_block_of_the_site_is_a_snippet_or_a_cell_that_ran(site, pages):
    for path, page in pages.items():
        found = [block for block in highlighted(page) if language(block) not in NO_PYTHON]
        found = [block for block in found if not block.find_parent(class_="howto-snippet")]
        cells = []
        if path.stem.startswith("plot_"):
            script = HowTo(stacks.current(), path.stem.removeprefix("plot_")).script
            blocks = [block for block in split_code_and_text_blocks(str(script))[1] if block.type == "code"]
            cells = [re.sub(r"^# sphinx_gallery_.*$", "", block.content, flags=re.M).split() for block in blocks]
        assert [block.get_text().split() for block in found] == cells, path.relative_to(site)


def shown(pages):
    """Every snippet that a page shows: (page, caption, block)."""
    for path, page in pages.items():
        for block in page.select(".howto-snippet"):
            yield path, block.select_one(".caption-text").get_text(), block


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_a_snippet_is_shown_by_one_page_that_of_its_how_to(pages, snippet):
    (path,) = [path for path, caption, _ in shown(pages) if caption == f"configs/{snippet}"]
    assert path.stem == f"plot_{Path(snippet).parent}"


def test_nothing_else_is_shown_as_a_snippet(pages):
    assert sorted(caption for _, caption, _ in shown(pages)) == sorted(f"configs/{snippet}" for snippet in SNIPPETS)


@pytest.mark.parametrize("snippet", [snippet for snippet in SNIPPETS if snippet.partition("/")[0] in EXECUTED])
def test_a_snippet_was_executed_as_it_is(verified, snippet):
    records = [record for record in verified["records"] if record["topic"] in EXECUTED]
    digests = {path: digest for record in records for path, digest in record["snippets"].items()}
    assert digests[f"{FAMILY}/{snippet}"] == sha256(files.snippet_folder(FAMILY) / snippet)


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_a_snippet_is_rendered_byte_for_byte(pages, snippet):
    (block,) = [block for _, caption, block in shown(pages) if caption == f"configs/{snippet}"]
    (text,) = block.select("pre")
    assert text.get_text().encode() == (files.snippet_folder(FAMILY) / snippet).read_bytes()


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_a_snippet_is_downloaded_byte_for_byte(pages, snippet):
    ((path, block),) = [(path, block) for path, caption, block in shown(pages) if caption == f"configs/{snippet}"]
    (link,) = block.select("a.download")
    target = path.parent / unquote(link["href"])
    assert target.name == Path(snippet).name
    assert target.read_bytes() == (files.snippet_folder(FAMILY) / snippet).read_bytes()


def test_every_cell_of_the_drift_table_shows_a_check_that_this_stacks_records_hold(site, pages, verified):
    records = [record for record in verified["records"] if record["topic"] in EXECUTED]
    measured = {(record["topic"], c["name"], c["measured"]) for record in records for c in record["checks"]}
    found = list(drift.STATEMENTS[FAMILY].values())
    executed = [each for each in found if each.topic in EXECUTED]
    assert [each for each in executed if (each.topic, each.check, each.measured) not in measured] == []
    title = stacks.current().title
    (table,) = [
        each for each in pages[site / "drift.html"].select("[role=main] table") if title in each.thead.get_text()
    ]
    column = [cell.get_text() for cell in table.thead("th")].index(title)
    for each, row in zip(found, table.tbody("tr"), strict=True):
        cell = row("td")[column]
        if each not in executed:
            assert cell.get_text() == "not executed"
            continue
        assert cell.get_text().translate(STRAIGHT).startswith(f"{each.verdict}; {each.check}: {each.measured[:4]}")
        assert cell.a["href"] == f"how-to/plot_{each.topic}.html"


LOADED = {
    "audio": "src", "embed": "src", "iframe": "src", "img": "src", "input": "src", "link": "href", "object": "data",
    "script": "src", "source": "src", "track": "src", "video": "src", "form": "action",
}  # fmt: skip


@pytest.mark.parametrize("topic", EXECUTED)
def test_a_command_that_installs_names_the_versions_that_the_page_ran_with(site, pages, verified, topic):
    (versions,) = [record["versions"] for record in verified["records"] if record["topic"] == topic]
    shown = [block.get_text() for block in pages[site / f"how-to/plot_{topic}.html"].select("article pre")]
    for command in shown:
        if command.startswith("$ pip install "):
            pinned = dict(word.split("==") for word in command.removeprefix("$ pip install ").split())
            assert versions.items() >= pinned.items()


def test_no_page_loads_anything_from_another_host(site, pages):
    loaded = {
        (str(path.relative_to(site)), tag[LOADED[tag.name]])
        for path, page in pages.items()
        for tag in page.find_all(list(LOADED))
        if tag.get(LOADED[tag.name])
    }
    assert loaded
    assert {
        (page, url) for page, url in loaded if urlsplit(url).netloc or urlsplit(url).scheme not in ("", "data")
    } == set()


def test_no_style_sheet_loads_anything_from_another_host(site):
    for path in site.rglob("*.css"):
        assert re.findall(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//[^)'\"]*", path.read_text("utf-8")) == [], path.name


def test_the_schema_is_one():
    Draft202012Validator.check_schema(json.loads(SCHEMA.read_text("utf-8")))


def test_the_record_is_as_its_schema_says(verified):
    validator = Draft202012Validator(json.loads(SCHEMA.read_text("utf-8")))
    assert [f"{error.json_path}: {error.message}" for error in validator.iter_errors(verified)] == []


@pytest.mark.parametrize(
    "change", [{"status": "running"}, {"checks": []}, {"extra": 1}, {"seconds": 0}, {"snippets": {}}]
)
def test_the_schema_refuses_a_record_that_claims_too_much(verified, change):
    validator = Draft202012Validator(json.loads(SCHEMA.read_text("utf-8")))
    record = {**verified["records"][0], **change}
    assert not validator.is_valid({**verified, "records": [record]})


@pytest.mark.parametrize(
    ("change", "valid"), [({}, True), ({"checks": []}, False), ({"executed": "2026-11-23 15:00"}, False)]
)
def test_a_record_of_what_was_not_executed_claims_nothing_else(verified, change, valid):
    validator = Draft202012Validator(json.loads(SCHEMA.read_text("utf-8")))
    record = {"topic": "detectron2", "stack": "mmdet3", "status": "not executed", "needs": "detectron2", **change}
    assert validator.is_valid({**verified, "records": [record]}) is valid


def test_the_schema_is_part_of_the_site(site):
    assert (site / "_static" / SCHEMA.name).read_bytes() == SCHEMA.read_bytes()


def test_the_record_has_each_how_to_once(verified):
    assert [record["topic"] for record in verified["records"]] == TOPICS


@pytest.mark.parametrize("topic", sorted(set(TOPICS) - set(EXECUTED)))
def test_a_page_that_was_not_executed_says_so_at_its_top_and_in_the_record(site, pages, verified, topic):
    (record,) = [record for record in verified["records"] if record["topic"] == topic]
    assert record["status"] == "not executed"
    page = pages[site / f"how-to/plot_{topic}.html"]
    first = page.select_one(".admonition.warning, .howto-snippet, h2")
    assert first.get_text(" ", strip=True).startswith(f"Not executed in this build {record['needs']} was not installed")
    assert page.select_one(".howto-checks") is None
    assert page.select_one(".howto-verified") is None


@pytest.mark.parametrize("topic", TOPICS)
def test_a_page_has_its_parts_in_the_order_in_which_readers_ask_for_them(site, pages, topic):
    page = pages[site / f"how-to/plot_{topic}.html"]
    titles = [title.get_text().rstrip("¶") for title in page.select("article h2")]
    named = ("Adapt it", "Your log should say", "Pitfalls", "Proof", "Verified")
    assert [title for title in titles if title in named] == list(named)
    assert titles[-3:] == list(named[2:])
    assert len(page.select(".howto-pitfall")) >= 2
    assert page.select(".howto-proof h3")[-1].get_text().rstrip("¶") == "What was not tried"
    assert all(each.select_one("summary > h3") for each in page.select(".howto-fold"))


@pytest.mark.parametrize("topic", EXECUTED)
def test_a_pitfall_whose_title_is_an_error_was_seen_to_say_it(site, pages, topic):
    page = pages[site / f"how-to/plot_{topic}.html"]
    for pitfall in page.select(".howto-pitfall"):
        for text in pitfall.select("summary code"):
            if "Error" in text.get_text():
                assert text.get_text().partition(": ")[2] in pitfall.get_text().replace(text.get_text(), "", 1)


@pytest.mark.parametrize("topic", EXECUTED)
def test_a_page_shows_its_whole_record(site, pages, verified, topic):
    (record,) = [record for record in verified["records"] if record["topic"] == topic]
    text = pages[site / f"how-to/plot_{topic}.html"].select_one(".howto-verified").get_text()
    text = text.translate(STRAIGHT)
    facts = [record["device"], *record["versions"].values(), *record["weights"], *record["snippets"].values()]
    facts += [value for check in record["checks"] for value in (check["name"], check["expected"], check["measured"])]
    assert [fact for fact in facts if fact.translate(STRAIGHT) not in text] == []
