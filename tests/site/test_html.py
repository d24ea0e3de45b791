"""The pages are whole: titles, pictures, links, downloads, and no trace of the machine that built them."""

import importlib.util
import itertools
import json
import re
import tempfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup

from howto.project import files, howtos, stacks
from howto.project.howtos import HowTo
from howto.project.stacks import ROOT

FAMILY = stacks.current().family
TOPICS = files.topics(FAMILY)
EXECUTED = [howto.topic for howto in howtos.runnable(stacks.current())]
NOT_WRITTEN = ("404.html", "search.html")  # pages that Sphinx makes by itself


@pytest.fixture(scope="session")
def articles(site, pages):
    """What the pages say, without navigation, by path below the site; not Sphinx's own search and index."""
    found = {
        str(path.relative_to(site)): page.select_one("article[role=main], [role=main]") for path, page in pages.items()
    }
    return {name: article for name, article in found.items() if name not in NOT_WRITTEN}


def test_every_page_has_a_title_of_its_own_an_icon_and_says_its_language_and_which_mmdetection_it_is_for(site, pages):
    stack, titles = stacks.current(), set()
    for path, page in pages.items():
        title, icon, label = (
            page.title.get_text().strip(),
            page.select_one("link[rel~=icon]"),
            page.select_one(".howto-stack"),
        )
        assert title and title not in titles, path.relative_to(site)
        titles.add(title)
        assert page.html["lang"] == "en" and page.select_one("meta[name=viewport]"), path.relative_to(site)
        folder = path.parents[1] if icon["href"].startswith("/") else path.parent
        assert (folder / icon["href"].partition("?")[0].lstrip("/")).is_file()
        assert label.strong.get_text() == stack.audience and stack.audience in title, path.relative_to(site)
        assert all(tag["checked"] == "" for tag in page.select("input[checked]"))  # a tab, as HTML has it


def test_every_page_has_one_heading_on_top_and_leaves_out_no_level_and_that_of_a_how_to_is_a_question(articles):
    for name, article in articles.items():
        headings = article.find_all(re.compile("^h[1-6]$"))
        levels = [int(heading.name[1]) for heading in headings]
        assert levels[0] == 1 and levels.count(1) == 1, name
        assert [b for a, b in itertools.pairwise(levels) if b > a + 1] == [], name
        title = headings[0].get_text().rstrip("¶# ")
        assert len(title) > 4 and (title.endswith("?") or "plot_" not in name), name


def test_every_how_to_has_a_page_and_those_before_and_after_it_are_called_as_in_the_navigation(pages, site):
    assert [path.stem for path in sorted(site.glob("how-to/plot_*.html"))] == [f"plot_{topic}" for topic in TOPICS]
    for topic in TOPICS:
        page = pages[site / f"how-to/plot_{topic}.html"]
        called = {link["href"]: link.get_text() for link in page.select(".sidebar-tree a[href*='plot_']")}
        beside = {link["href"]: link.select_one(".title").get_text() for link in page.select(".prev-page, .next-page")}
        assert beside, topic
        assert {there: called.get(there, name) for there, name in beside.items()} == beside, topic
    index = pages[site / "index.html"]
    listed = [link["href"] for link in index.select(".sidebar-tree a[href*='plot_']")]
    assert [card.a["href"] for card in index.select(".howto-cards li")] == listed


def test_no_directive_is_left_among_the_words(articles):
    """As one whose line follows a sentence without an empty line between them."""
    left = {}
    for name, article in articles.items():
        words = [text for text in article.find_all(string=True) if not text.find_parent(["code", "pre"])]
        left[name] = re.findall(r"\.\. [\w-]+::", "".join(words))
    assert {name: found for name, found in left.items() if found} == {}


def test_every_picture_says_what_it_shows(articles):
    pictures = [
        (name, picture["src"], picture.get("alt") or "") for name, page in articles.items() for picture in page("img")
    ]
    assert pictures
    is_file_name = re.compile(r"\.(png|svg)$|^(sphx|plot)[ _]", re.IGNORECASE)
    assert [each for each in pictures if len(each[2]) < 10 or is_file_name.search(each[2])] == []


def test_no_page_shows_what_a_line_of_its_code_happened_to_return(articles):
    stray = re.compile(r"^(?:<[\w.]+ object at 0x[0-9a-f]+>|\[?Text\(\d)", re.MULTILINE)  # an error may name an object
    shown = {name: stray.findall(page.get_text()) for name, page in articles.items()}
    for name, page in articles.items():
        shown[name] += [block.get_text() for block in page("pre") if block.get_text().strip().isdigit()]
    assert {name: found for name, found in shown.items() if found} == {}


def test_each_box_that_trains_a_config_says_where_its_data_lies(articles):
    boxes = {name: article.select_one(".howto-run") for name, article in articles.items()}
    words = {name: " ".join(paragraph.get_text() for paragraph in box("p")) for name, box in boxes.items() if box}
    said = {name: re.findall(r"data/\w+/", text) for name, text in words.items()}
    own = [said.pop(f"how-to/plot_{each}.html") for each in ("custom_classes", "finetune", "class_imbalance")]
    assert own == [["data/my_dataset/"]] * 3
    assert said.pop("how-to/plot_several_datasets.html") == ["data/my_dataset/", "data/coco/"]
    assert said
    assert all(found == ["data/coco/"] for found in said.values())


def test_the_code_that_made_a_page_is_folded_and_what_readers_copy_is_not(articles):
    for topic in EXECUTED:
        page = articles[f"how-to/plot_{topic}.html"]
        cells = [block for block in page.select(".highlight-Python") if not block.find_parent(class_="howto-snippet")]
        assert cells and all(cell.find_parent("details", class_="howto-code") for cell in cells), topic
        folded = [snippet.find_parent("details") for snippet in page.select(".howto-snippet")]
        assert not folded[0] or topic == "check_config", topic  # its files are unpacked from a zip
        others = [
            each for each in folded if each and each.h3 and "howto-pitfall" not in each["class"]
        ]  # its script is in the pitfall
        assert {each.h3.get_text() for each in others} <= {"In pure Python¶"}, topic


def test_every_check_of_a_record_is_in_a_list_with_an_anchor_and_none_is_left_in_an_output(articles):
    for topic in EXECUTED:
        page = articles[f"how-to/plot_{topic}.html"]
        record = json.loads((files.records(stacks.current()) / f"{topic}.json").read_text("utf-8"))
        items = page.select("ul.howto-checks > li[id^=check-]")
        names = [item.get_text(" ", strip=True) for item in items]
        assert len(names) == len(record["checks"]), topic
        starts = [name.startswith(check["name"].split()[0]) for name, check in zip(names, record["checks"])]
        assert all(starts), topic
        assert not any("✓" in block.get_text() for block in page("pre")), topic


def test_a_difference_leads_from_a_variant_to_the_file_that_readers_copy(articles):
    for topic in EXECUTED:
        page = articles[f"how-to/plot_{topic}.html"]
        for difference in page.select(".howto-diff"):
            assert re.fullmatch(r"(?!.*_variant)[\w-]+\.py", difference.p.code.get_text()), topic
            signs = {line[:1] for line in difference.pre.get_text().splitlines()}
            assert signs & {"-", "+"} and "@" not in signs, topic


def targets(path, page):
    """Every address on a page that lies in the site, resolved: (address, file, anchor)."""
    for tag in page.find_all(["a", "img", "link", "script"]):
        for address in (tag.get("href") or tag.get("src"), *re.findall(r"(\S+) \d+w", tag.get("srcset", ""))):
            parts = urlsplit(address or "")
            if address and not parts.scheme and not parts.netloc:
                folder = path.parents[1] if parts.path.startswith("/") else path.parent  # 404.html has absolute ones
                target = (folder / unquote(parts.path).lstrip("/")).resolve() if parts.path else path
                yield address, target, unquote(parts.fragment)


def test_every_link_inside_the_site_leads_somewhere(site, pages):
    ids = {path: {tag["id"] for tag in page.find_all(id=True)} for path, page in pages.items()}
    dead = [
        (str(path.relative_to(site)), address)
        for path, page in pages.items()
        for address, target, anchor in targets(path, page)
        if not target.is_file() or (anchor and target in ids and anchor not in ids[target])
    ]
    assert dead == []


def test_every_anchor_is_there_once(site, pages):
    for path, page in pages.items():
        ids = [tag["id"] for tag in page.find_all(id=True)]
        assert {name for name in ids if ids.count(name) > 1} == set(), path.relative_to(site)


def test_every_file_of_the_site_is_one_that_a_page_leads_to(site, pages):
    used = {target for path, page in pages.items() for _, target, _ in targets(path, page)}
    lying = [path for folder in ("_downloads", "_images") for path in (site / folder).rglob("*") if path.is_file()]
    assert [str(path.relative_to(site)) for path in lying if path.resolve() not in used] == []


def test_every_page_is_reached_from_the_first(site, pages):
    seen, found = set(), {site / "index.html"}
    while found - seen:
        path = (found - seen).pop()
        seen.add(path)
        found |= {target for _, target, _ in targets(path, pages[path]) if target in pages}
    assert set(pages) - seen == {site / "404.html", site / "search.html"}  # a server shows it; a form leads there


def test_what_the_page_above_the_stacks_loads_and_leads_to_is_there_and_every_card_has_an_answer(site):
    front = BeautifulSoup((site.parent / "index.html").read_text("utf-8"), "html.parser")
    named = {tag[key] for key in ("href", "src", "action") for tag in front.select(f"[{key}]")}
    named = {name.partition("#")[0].partition("?")[0] for name in named if not urlsplit(name).scheme}
    assert [name for name in sorted(named) if name and not (site.parent / name).exists()] == []
    assert front.h1.get_text() == front.title.get_text() == "MMDetection how-to"
    cards = {card.a["href"].rpartition("/")[2]: card for card in front.select(".howto-cards li")}
    assert set(cards) == {path.name for path in site.parent.glob("*/how-to/plot_*.html")}
    assert all(len(card("p")[1].get_text().split()) > 6 for card in cards.values())


def test_no_page_of_3_speaks_of_2_as_its_own(articles):
    """What it says of 2.x is said of "MMDetection 2", as of something else."""
    if FAMILY == "mmdet2":
        other = re.compile(r"mmengine|mmpretrain", re.IGNORECASE)
    else:
        other = re.compile(r"2\.x|mmcv-full|mmcls\.TIMM")
    how_tos = {name: page.get_text() for name, page in articles.items() if name.startswith(("how-to/", "index"))}
    for name in how_tos:  # code that both families share may name both, and a pitfall what is wrong
        for code in articles[name].select(".howto-code, .howto-pitfall, .howto-evidence table"):
            how_tos[name] = how_tos[name].replace(code.get_text(), "")
    assert {name: found for name, text in how_tos.items() if (found := other.findall(text))} == {}


@pytest.mark.parametrize("topic", TOPICS)
def test_the_script_to_download_is_the_one_that_ran_and_the_notebook_is_one_without_markup(site, pages, topic):
    path = site / f"how-to/plot_{topic}.html"
    offered = {file.name: file for _, file, _ in targets(path, pages[path])}
    assert offered[f"plot_{topic}.py"].read_bytes() == HowTo(stacks.current(), topic).script.read_bytes()
    notebook = json.loads(offered[f"plot_{topic}.ipynb"].read_text("utf-8"))
    assert notebook["nbformat"] == 4
    assert {cell["cell_type"] for cell in notebook["cells"]} == {"code", "markdown"}
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        assert source.strip()
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            compile(re.sub(r"^%.*$", "", source, flags=re.MULTILINE), f"{topic}.ipynb", "exec")
        else:
            assert re.findall(r"^ *\.\. \S.*$", source, re.MULTILINE) == []
    first = "".join(notebook["cells"][0]["source"])  # says how to install
    assert "tox -e wheels" in first and f".tox/stack-{stacks.current().name}/bin/python" in first


def test_no_page_shows_a_warning(articles):
    noise = re.compile(r"\b\w*Warning\b|No CUDA runtime|Traceback \(most recent call last\)|\bdeprecated\b")
    assert {name: found for name, page in articles.items() if (found := noise.findall(page.get_text()))} == {}


def test_no_file_of_the_site_holds_a_path_of_the_machine_that_built_it(site):
    kinds = {".html", ".js", ".json", ".ipynb", ".py", ".txt", ".inv"}
    ours = [path for path in site.rglob("*") if path.suffix in kinds and "_static" not in path.parts]
    paths = (
        str(ROOT),
        str(Path.home()),
        str(Path(tempfile.gettempdir(), "howto-")),
        "site-packages/",
        "dist-packages/",
    )
    assert ours
    assert [
        (str(file.relative_to(site)), path)
        for file in ours
        for path in paths
        if path in file.read_text("utf-8", errors="replace")
    ] == []


def test_the_first_mention_of_a_class_leads_to_where_it_is_defined_and_that_of_a_key_to_what_it_does(site, pages):
    article = pages[site / "how-to/plot_mosaic.html"].select_one("article")
    links = {link.get_text(): link["href"] for link in article.select("a.howto-source")}
    assert links["_delete_"] == "../keys.html#term-_delete_"
    assert len(links) == len(article.select("a.howto-source")) > 2  # each once
    if stacks.current().name == "onedl":
        return  # nobody knows what its versions are called there
    base, _, line = links["CocoDataset"].partition("#L")
    path = base.partition(f"/blob/v{stacks.current().versions['mmdet']}/")[2]
    packages = Path(importlib.util.find_spec("mmdet").origin).parents[1]
    assert (packages / path).read_text("utf-8").splitlines()[int(line) - 1].startswith("class CocoDataset(")
