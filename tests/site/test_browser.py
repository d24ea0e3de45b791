"""The pages in a browser: copying, searching, every width, and nothing fetched from elsewhere."""

import dataclasses

import pytest
from axe_playwright_python.sync_playwright import Axe

from howto.project import files, stacks

FAMILY, STACK = stacks.current().family, stacks.current().name
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


def test_no_page_asks_another_host_for_anything_complains_or_scrolls_sideways_and_all_of_it_is_in_sight(visits):
    number = len(files.topics(FAMILY))
    assert {address: visit.wrong for address, visit in visits.items() if visit.wrong} == {}
    assert {address: visit.wider for address, visit in visits.items() if any(visit.wider.values())} == {}
    assert {address: visit.listed for address, visit in visits.items() if visit.listed < number} == {}
    assert {address: visit.blank for address, visit in visits.items() if visit.blank} == {}


def test_no_page_is_heavy(visits):
    """All that a how-to fetches while it is read to its end, without compression."""
    read = {address: visit.fetched for address, visit in visits.items() if "plot_" in address}
    assert read and min(read.values()) > 30_000  # its HTML alone
    assert {address: fetched for address, fetched in read.items() if fetched > 470_000} == {}


def test_no_how_to_is_long(visits):
    heights = {address: visit.height for address, visit in visits.items() if "plot_" in address}
    assert heights and min(heights.values()) > 1_000
    assert {address: height for address, height in heights.items() if height > 3_600} == {}


def test_every_snippet_is_on_the_paper_and_has_one_button_that_copies_it(page):
    page.emulate_media(media="print")
    for topic in files.topics(FAMILY):
        page.goto(f"/{STACK}/how-to/plot_{topic}.html")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")  # which a printer would
        assert page.locator(".howto-snippet").count() == page.locator(".howto-snippet:visible").count() > 0
        snippets = page.locator(".howto-snippet").all()
        buttons = [snippet.locator("button", has_text="Copy").count() for snippet in snippets]
        assert set(buttons) == {1}, topic
        cut = "pre => pre.scrollHeight > pre.clientHeight || getComputedStyle(pre).maskImage !== 'none'"
        assert not any(snippet.locator("pre").evaluate(cut) for snippet in snippets), topic


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
