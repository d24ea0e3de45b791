"""The pages in a browser: copying, searching, every width, and nothing fetched from elsewhere."""

import dataclasses
from urllib.parse import urlencode

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from howto.project import files, howtos, stacks

FAMILY, STACK = stacks.current().family, stacks.current().name
SNIPPETS = [(howto.topic, path) for howto in howtos.of(stacks.current()) for path in howto.snippets]
WIDTHS = (320, 768, 1280, 3840)
BLANK = "Array.from(document.images).filter(i => i.complete && !i.naturalWidth).map(i => i.src)"
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
HEIGHT = "document.documentElement.scrollHeight"
LISTED = ".sidebar-tree a[href*='plot_']:visible, .sidebar-tree .current-page > a[href='#']"
# What axe finds depends on what a stack's pages hold, and on the theme's colours, which are the same on all.
VIEWS = [("dark", 1280)] if STACK != "mmdet2" else [("light", 390), ("dark", 1280)]
# Pages that differ in kind: cards, search, long tables, pictures to slide, pitfalls.
KINDS = ("index", "search", "404", "install", "verified", "migrating", "drift", "plot_backbone_channels", "plot_mosaic")
# axe leaves out target sizes unless it is asked, Lighthouse does not; and it takes twice as long to list what is right.
ASKED = {"rules": {"target-size": {"enabled": True}}, "resultTypes": ["violations"]}


@dataclasses.dataclass
class Visit:
    """What a browser saw of one page while it was read to its end.

    Attributes:
        wrong: What was asked of another host, was not there, or was complained of.
        wider: For each width of the window, by how many pixels the page scrolls sideways.
        blank: Pictures without pixels.
        listed: How many how-tos are in sight beside the page.
        fetched: Bytes of all that it asked for, without compression.
        height: Pixels from its top to its end in a window 1280 wide, as it comes: with everything folded.
    """

    wrong: list[str]
    wider: dict[int, int]
    blank: list[str]
    listed: int
    fetched: int
    height: int


@pytest.fixture(scope="module")
def visits(new_page, addresses) -> dict[str, Visit]:
    """Each page by its address, visited once."""
    found = {}
    with new_page() as page:
        sizes = []
        page.on("response", lambda reply: sizes.append(int(reply.headers.get("content-length", 0))))
        for address in addresses:
            sizes.clear()
            page.wrong.clear()
            page.set_viewport_size({"width": 1280, "height": 800})
            page.goto(address, wait_until="load")
            listed = page.locator(LISTED).count()
            page.evaluate("for (let y = 0; y < document.body.scrollHeight; y += 400) scrollTo(0, y)")
            page.evaluate("for (const image of document.images) if (image.checkVisibility()) image.loading = 'eager'")
            page.wait_for_load_state("networkidle")
            blank, fetched, height, wider = page.evaluate(BLANK), sum(sizes), page.evaluate(HEIGHT), {}
            for width in WIDTHS:
                page.set_viewport_size({"width": width, "height": 800})
                wider[width] = page.evaluate(WIDER)
            found[address] = Visit(list(page.wrong), wider, blank, listed, fetched, height)
    return found


def test_no_page_asks_another_host_for_anything_or_complains(visits):
    assert {address: visit.wrong for address, visit in visits.items() if visit.wrong} == {}


def test_no_page_scrolls_sideways(visits):
    assert {address: visit.wider for address, visit in visits.items() if any(visit.wider.values())} == {}


def test_every_how_to_is_in_sight_beside_every_page(visits):
    number = len(files.topics(FAMILY))
    assert {address: visit.listed for address, visit in visits.items() if visit.listed < number} == {}


def test_every_picture_has_pixels(visits):
    assert {address: visit.blank for address, visit in visits.items() if visit.blank} == {}


def test_no_page_is_heavy(visits):
    """All that a how-to fetches while it is read to its end, without compression."""
    read = {address: visit.fetched for address, visit in visits.items() if "plot_" in address}
    assert read and min(read.values()) > 30_000  # its HTML alone
    assert {address: fetched for address, fetched in read.items() if fetched > 310_000} == {}


def test_no_how_to_is_long(visits):
    heights = {address: visit.height for address, visit in visits.items() if "plot_" in address}
    assert heights and min(heights.values()) > 1_000
    assert {address: height for address, height in heights.items() if height > 5_700} == {}


@pytest.mark.parametrize(("topic", "path"), SNIPPETS, ids=[path.name for _, path in SNIPPETS])
def test_the_one_copy_button_copies_the_file_byte_for_byte(page, topic, path):
    page.goto(f"/{STACK}/how-to/plot_{topic}.html")
    page.evaluate("navigator.clipboard.writeText('')")
    snippet = page.locator(".howto-snippet").filter(has_text=f"configs/{topic}/{path.name}")
    if not snippet.is_visible():
        page.locator("details", has=snippet).locator("> summary").click()
    assert snippet.locator("button").count() == 1
    snippet.get_by_role("button", name="Copy").click()
    snippet.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()").encode() == path.read_bytes()


def test_the_first_page_that_a_search_finds_is_the_right_one(page):
    registry = "hook registry" if FAMILY == "mmdet2" else "mmdet::hook registry"
    asked = {
        "unfreeze": "unfreeze_backbone",
        "unfreeze backbone": "unfreeze_backbone",
        "mix_results": "mosaic",
        f"is not in the {registry}": "unfreeze_backbone",
        "channels of a backbone": "backbone_channels",
        "EfficientNet": "timm_backbone",
        "frozen_stages": "unfreeze_backbone",
        "timm": "timm_backbone",
        "mosaic": "mosaic",
        "num_classes": "custom_classes",
        "load_from": "finetune",
        "gradient accumulation": "accumulate_gradients",
        "larger batch": "accumulate_gradients",
        "lr_mult": "freeze",
        "save_best": "best_checkpoint",
        "early stopping": "best_checkpoint",
        "mixup": "mosaic_off",
        "custom_imports": "custom_module",
        "several datasets": "several_datasets",
        "ConcatDataset": "several_datasets",
        "class_weight": "class_imbalance",
        "rare classes": "class_imbalance",
        "small objects": "small_objects",
        "classwise": "per_class_results",
        "confusion matrix": "per_class_results",
    }
    found = {}
    for words in asked:
        page.goto(f"/{STACK}/search.html?{urlencode({'q': words})}")
        page.locator("#search-summary, .search-summary").filter(has_text="finished").wait_for()
        first = page.locator("#search-results li a").first.get_attribute("href")
        found[words] = first.partition("/plot_")[2].partition(".html")[0]
    assert found == asked


def test_every_snippet_is_on_the_paper(page):
    page.emulate_media(media="print")
    for topic in files.topics(FAMILY):
        page.goto(f"/{STACK}/how-to/plot_{topic}.html")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")  # which a printer would
        assert page.locator(".howto-snippet").count() == page.locator(".howto-snippet:visible").count() > 0


def test_the_text_of_an_error_finds_its_pitfall(page):
    page.goto(f"/{STACK}/search.html?q=assert+'mix_results'+in+results")
    page.locator(".search-summary").filter(has_text="finished").wait_for()
    page.locator("#search-results li a[href*='#']").first.click()
    page.wait_for_url("**/plot_mosaic.html*#assert-mix-results**")
    expect(page.locator(".howto-pitfall[open] h3", has_text="mix_results")).to_be_in_viewport()


@pytest.mark.parametrize("whole", [False, True])
def test_the_text_of_an_error_finds_its_heading_whether_all_of_it_is_pasted_or_a_part(page, whole):
    registry = "hook registry" if FAMILY == "mmdet2" else "mmdet::hook registry"
    error = f"is not in the {registry}"
    if whole:
        error = f"KeyError: 'UnfreezeBackboneEpochBasedHook {error}. Please check it'"
    page.goto(f"/{STACK}/search.html?{urlencode({'q': error})}")
    page.locator(".search-summary").filter(has_text="finished").wait_for()
    first = page.locator("#search-results li a").first.get_attribute("href")
    assert "plot_unfreeze_backbone.html#unfreezebackboneepochbasedhook-is-not-in" in first


@pytest.mark.parametrize(("scheme", "width"), VIEWS)
def test_axe_finds_nothing_that_keeps_people_out(browser, server, addresses, scheme, width):
    view = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme, "reduced_motion": "reduce"}
    context, axe, wrong = browser.new_context(base_url=server, **view), Axe(), []
    page = context.new_page()
    different = [address for address in addresses if address.rpartition("/")[2].removesuffix(".html") in KINDS]
    for address in [*different, "/index.html#choose"]:
        page.goto(address, wait_until="load")
        found = axe.run(page, options=ASKED).response["violations"]
        wrong += [(address, violation["id"], node["html"]) for violation in found for node in violation["nodes"]]
    context.close()
    assert wrong == []


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_every_page_has_its_picture_taken(browser, server, addresses, scheme, width):
    """They are kept in ``docs/_build/screenshots``, for people to look at."""
    context = browser.new_context(base_url=server, viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    for address in addresses:
        page.goto(address, wait_until="load")
        page.evaluate("for (const image of document.images) image.loading = 'eager'")
        page.wait_for_load_state("networkidle")
        shot = files.BUILD / "screenshots" / f"{address.strip('/').replace('/', '-')}-{scheme}-{width}.png"
        page.screenshot(path=shot, full_page=True)
        assert shot.stat().st_size > 10_000, address
    context.close()
