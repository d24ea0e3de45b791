"""The rules that the site keeps: what is code, and what of it was executed."""

import json
import re
from urllib.parse import unquote

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
from howto.site.parts import in_words

FAMILY = stacks.current().family
TOPICS = files.topics(FAMILY)
EXECUTED = [howto.topic for howto in howtos.runnable(stacks.current())]
SCHEMA = ROOT / "docs/_static/verified.schema.json"

NO_PYTHON = {"bash", "console", "diff", "json", "none", "pytb", "sh", "shell", "text"}  # languages a block may be in
LONGEST_CELL = 16  # lines
STRAIGHT = str.maketrans("\u2018\u2019\u201c\u201d", "''\"\"")  # Sphinx sets quotes as a printer would


@pytest.fixture(scope="session")
def verified(site):
    return json.loads((site / "verified.json").read_text("utf-8"))


@pytest.fixture(scope="session")
def records(verified):
    """The record of each how-to by its topic."""
    return {record["topic"]: record for record in verified["records"]}


@pytest.fixture(scope="session")
def how_tos(site, pages):
    """The page of each how-to by its topic."""
    return {topic: pages[site / f"how-to/plot_{topic}.html"] for topic in TOPICS}


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


def test_python_is_found_in_markdown_and_in_restructured_text():
    for text in ("```python\nx\n```", "```\nx\n```", "a\n\n    x\n", ":::{code-block} python\nx\n:::"):
        assert set(blocks_of_markdown(text)) - NO_PYTHON, text
    for text in (".. code-block:: python\n\n   x", ".. code::\n\n   x", "So::\n\n   x", ">>> x"):
        assert set(blocks_of_rst(text)) - NO_PYTHON, text


def test_no_page_has_python_code_of_its_own_and_no_cell_is_long(tmp_path):
    for path in (ROOT / "docs").glob("*.md"):
        assert set(blocks_of_markdown(path.read_text("utf-8"))) - NO_PYTHON == set(), path.name
    script, long = tmp_path / "script.py", {}
    for howto in howtos.every(stacks.current()):
        script.write_text(howto.text)
        _, blocks = split_code_and_text_blocks(str(script))
        prose = "\n\n".join(block.content for block in blocks if block.type == "text")
        assert set(blocks_of_rst(prose)) - NO_PYTHON == set(), howto.topic
        cells = [block for block in blocks if block.type == "code"]
        long |= {(howto.topic, each.lineno): each for each in cells if each.content.strip().count("\n") >= LONGEST_CELL}
    assert list(long) == []


def language(block):
    """What a highlighted block on a page is in; sphinx-gallery's cells are in ``Python``, snippets in ``python``."""
    return next(name.removeprefix("highlight-") for name in block["class"] if name.startswith("highlight-"))


def highlighted(page):
    return page.select("div[class*=highlight-]")


def test_every_python_block_of_the_site_is_a_snippet_or_a_cell_that_ran(site, pages):
    for path, page in pages.items():
        found = [block for block in highlighted(page) if language(block) not in NO_PYTHON]
        found = [block for block in found if not block.find_parent(class_=["howto-snippet", "howto-ask"])]
        cells = []
        if path.stem.startswith("plot_"):
            script = HowTo(stacks.current(), path.stem.removeprefix("plot_")).script
            blocks = [block for block in split_code_and_text_blocks(str(script))[1] if block.type == "code"]
            cells = [re.sub(r"^# sphinx_gallery_.*$", "", block.content, flags=re.M).split() for block in blocks]
        assert [block.get_text().split() for block in found] == cells, path.relative_to(site)


def test_what_a_page_says_to_ask_python_was_asked_in_its_checkout(how_tos):
    trained = [howto for howto in howtos.every(stacks.current()) if "\n# .. train::" in howto.text]
    assert len(trained) > 10
    for howto in trained:
        assert "\ncheckout.ask_python()\n" in howto.text, howto.topic
        shown = [block.get_text() for block in how_tos[howto.topic].select(".howto-ask pre")]
        assert shown == [howto.examples.read_text("utf-8")], howto.topic


def test_each_snippet_is_shown_and_downloaded_as_it_was_executed_by_the_page_of_its_how_to_and_no_other(
    how_tos, pages, records, site
):
    shown = [block for page in pages.values() for block in page.select(".howto-snippet")]
    assert len(shown) == sum(len(howto.snippets) for howto in howtos.every(stacks.current()))
    for howto in howtos.every(stacks.current()):
        blocks = {
            block.select_one(".caption-text").get_text(): block
            for block in how_tos[howto.topic].select(".howto-snippet")
        }
        for path in howto.snippets:
            block, name = blocks.pop(f"configs/{howto.topic}/{path.name}"), f"{FAMILY}/{howto.topic}/{path.name}"
            (text,), (link,) = block.select("pre"), block.select("a.download")
            assert text.get_text().encode() == path.read_bytes(), name
            target = site / "how-to" / unquote(link["href"])
            assert (target.name, target.read_bytes()) == (path.name, path.read_bytes())
            if howto.topic in EXECUTED:
                assert records[howto.topic]["snippets"][name] == sha256(path)
        assert blocks == {}


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
        assert cell.get_text().translate(
            STRAIGHT
        ) == f"{each.verdict} ({each.check}: {in_words(each.measured)})".translate(STRAIGHT)
        assert cell.a["href"] == f"how-to/plot_{each.topic}.html"


def test_a_command_that_installs_names_the_versions_that_the_page_ran_with(how_tos, records):
    for topic in EXECUTED:
        for command in [block.get_text() for block in how_tos[topic].select("article pre")]:
            if command.startswith("$ pip install "):
                pinned = dict(word.split("==") for word in command.removeprefix("$ pip install ").split())
                assert records[topic]["versions"].items() >= pinned.items(), topic


def test_the_record_has_each_how_to_once_as_its_schema_says_which_is_part_of_the_site(site, verified):
    assert [record["topic"] for record in verified["records"]] == TOPICS
    schema = json.loads(SCHEMA.read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    errors = Draft202012Validator(schema).iter_errors(verified)
    assert [f"{error.json_path}: {error.message}" for error in errors] == []
    assert (site / "_static" / SCHEMA.name).read_bytes() == SCHEMA.read_bytes()


def test_the_schema_refuses_a_record_that_claims_too_much(verified, records):
    validator = Draft202012Validator(json.loads(SCHEMA.read_text("utf-8")))
    is_valid = lambda record, **change: validator.is_valid({**verified, "records": [{**record, **change}]})  # noqa: E731
    executed = records[EXECUTED[0]]
    for change in ({"status": "running"}, {"checks": []}, {"extra": 1}, {"seconds": 0}, {"snippets": {}}):
        assert not is_valid(executed, **change), change
    record = {"topic": "detectron2", "stack": "mmdet3", "status": "not executed", "needs": "detectron2"}
    assert is_valid(record)
    assert not is_valid(record, checks=[]) and not is_valid(record, executed="2026-11-23 15:00")


def test_a_page_that_was_not_executed_says_so_at_its_top_and_in_the_record(how_tos, records):
    for topic in set(TOPICS) - set(EXECUTED):
        assert records[topic]["status"] == "not executed"
        first = how_tos[topic].select_one(".admonition.warning, .howto-snippet, h2").get_text(" ", strip=True)
        assert first.startswith(f"Not executed in this build {records[topic]['needs']} was not installed")
        assert how_tos[topic].select(".howto-checks, .howto-verified") == []


def test_a_page_has_its_parts_in_the_order_in_which_readers_ask_for_them(how_tos):
    named = ["Adapt it", "Your log should say", "Pitfalls", "Evidence", "See also"]
    for topic, page in how_tos.items():
        titles = [title.get_text().rstrip("¶") for title in page.select("article h2")]
        assert [title for title in titles if title in named] == named, topic
        assert titles[-3:] == named[2:], topic
        assert len(page.select(".howto-pitfall")) >= 2, topic
        assert page.select(".howto-evidence h3")[-2].get_text().rstrip("¶") == "What was not tried", topic
        assert all(each.select_one("summary > :is(h2, h3)") for each in page.select(".howto-fold")), topic


def test_a_pitfall_whose_title_is_an_error_was_seen_to_say_it(how_tos):
    for topic in EXECUTED:
        for pitfall in how_tos[topic].select(".howto-pitfall"):
            for title in [text.get_text() for text in pitfall.select("summary code")]:
                if "Error" in title:
                    assert title.partition(": ")[2] in pitfall.get_text().replace(title, "", 1), topic


def test_a_pitfall_begins_with_what_to_do(how_tos):
    """Its first sentence is an instruction, and begins with its verb, or with what it is for."""
    words = (
        "Add Assign Build Call Change Choose Compare Copy Correct Count Draw End Give Install Join Keep Leave Let List "
        "Look Make Move Name Number Put Raise Read Remove Resume Run Set Shorten Sort Spell Start Stop Take Train Turn "
        "Use Wrap Write For With"
    )
    verbs, seen = set(words.split()), 0
    for topic, page in how_tos.items():
        for pitfall in page.select(".howto-pitfall"):
            first = next(text for text in pitfall.find_all("p") if not text.find_parent(class_="howto-diff"))
            assert first.get_text().split()[0] in verbs, (topic, first.get_text())
            seen += 1
    assert seen > 90


def test_a_page_shows_its_whole_record(how_tos, records):
    for topic in EXECUTED:
        record = records[topic]
        text = how_tos[topic].select_one(".howto-verified").get_text().translate(STRAIGHT)
        facts = [record["device"], *record["versions"].values(), *record["weights"], *record["snippets"].values()]
        facts += [in_words(check[key]) for check in record["checks"] for key in ("name", "expected", "measured")]
        facts += ["its kernels and their rounding, memory, NCCL, speed"] if record["simulated_gpus"] else []
        assert [fact for fact in facts if fact.translate(STRAIGHT) not in text] == [], topic


def test_each_machine_that_a_train_box_has_a_command_for_was_simulated_or_there(records):
    trained = {topic for topic in EXECUTED if "\n# .. train:: " in HowTo(stacks.current(), topic).text}
    assert len(trained) >= 14
    unseen = {
        topic for topic in trained if records[topic]["device"] == "CPU" and records[topic]["simulated_gpus"] != [1, 2]
    }
    assert unseen == set()
