"""What readers press, type and choose in a browser; the same on every stack, so tested on one."""

import pytest
from playwright.sync_api import expect

from howto.project import howtos, stacks
from howto.project.howtos import HowTo

FAMILY, STACK = stacks.current().family, stacks.current().name
EXECUTED = [howto.topic for howto in howtos.runnable(stacks.current())]
TOPIC = "unfreeze_backbone"
SNIPPET = HowTo(stacks.current(), TOPIC).snippets[0]


def test_a_snippet_is_copied_byte_for_byte_by_the_keyboard_and_a_command_without_its_prompt(page):
    page.goto(f"/{STACK}/how-to/plot_{TOPIC}.html")
    page.evaluate("navigator.clipboard.writeText('')")
    page.locator(".howto-snippet").first.get_by_role("button", name="Copy").focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()").encode() == SNIPPET.read_bytes()
    page.reload()
    page.locator(".howto-run").get_by_role("button", name="Copy").click()
    page.get_by_role("button", name="Copied").wait_for()
    command = page.evaluate("navigator.clipboard.readText()")
    assert command.startswith("PYTHONPATH=. python tools/train.py configs/unfreeze_backbone/faster_rcnn")


def test_what_to_ask_python_is_copied_without_prompts_and_answers(page):
    page.goto(f"/{STACK}/how-to/plot_{TOPIC}.html")
    asked = page.locator(".howto-ask")
    asked.locator("summary").click()
    asked.get_by_role("button", name="Copy").click()
    asked.get_by_role("button", name="Copied").wait_for()
    lines = page.evaluate("navigator.clipboard.readText()").splitlines()
    shown = HowTo(stacks.current(), TOPIC).examples.read_text("utf-8").splitlines()
    assert lines == [line[4:] for line in shown if line[:3] in (">>>", "...")]


def test_a_long_file_is_shown_whole_when_asked(page):
    page.goto(f"/{STACK}/how-to/plot_mosaic.html")
    snippet = page.locator(".howto-snippet").first
    hidden = "pre => pre.scrollHeight - pre.clientHeight"
    assert snippet.locator("pre").evaluate(hidden) > 0
    lines = len(HowTo(stacks.current(), "mosaic").snippets[0].read_text("utf-8").splitlines())
    snippet.get_by_role("button", name=f"Show all {lines} lines").click()
    assert snippet.locator("pre").evaluate(hidden) == 0
    assert snippet.get_by_role("button").all_inner_texts() == ["Copy"]


def test_the_tabs_are_changed_by_the_keyboard(page):
    page.goto(f"/{STACK}/how-to/plot_mmcls_backbone.html")
    shown = page.locator(".howto-run pre:visible").first
    one = shown.inner_text()
    assert "python tools/train.py" in one
    page.locator(".tab-input").first.focus()
    page.keyboard.press("ArrowRight")
    assert shown.inner_text() != one
    assert (
        page.locator(".tab-input:focus-visible + label").evaluate("label => getComputedStyle(label).outlineStyle")
        == "solid"
    )


def test_a_snippet_is_copied_where_there_is_no_https(browser, server):
    """From a machine in the next room, a browser has no ``navigator.clipboard``."""
    page = browser.new_page()
    page.goto(f"{server.replace('127.0.0.1', 'next-room.test')}/{STACK}/how-to/plot_{TOPIC}.html")
    assert not page.evaluate("isSecureContext")
    page.locator(".howto-snippet").first.get_by_role("button", name="Copy").click()
    page.get_by_role("button", name="Copied").wait_for()
    page.evaluate("document.body.prepend(document.createElement('textarea'))")
    page.locator("textarea").press("Control+v")
    assert page.locator("textarea").input_value().encode() == SNIPPET.read_bytes()
    page.close()


def test_a_page_is_copied_as_markdown_and_a_button_says_so_when_nothing_was_copied(page, site):
    page.goto(f"/{STACK}/how-to/plot_mosaic.html")
    page.context.set_offline(True)  # the page's twin is asked for when the button is pressed
    page.get_by_role("button", name="Copy page").click()
    page.get_by_role("button", name="Not copied").wait_for()
    page.context.set_offline(False)
    page.reload()
    page.get_by_role("button", name="Copy page").click()
    page.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == (site / "how-to/plot_mosaic.md").read_text("utf-8")


def test_pictures_are_stepped_through_and_slid_by_the_keyboard_and_the_divider_stands_where_the_thumb_does(page):
    page.goto(f"/{STACK}/how-to/plot_mosaic.html")
    pairs = page.locator("howto-pairs")
    assert pairs.locator("output").inner_text() == "seed 0"
    pairs.get_by_role("button", name="Next").press("Enter")
    assert pairs.locator("output").inner_text() == "seed 1"
    assert pairs.locator("figure:visible").count() == 1
    slider = pairs.get_by_role("slider")
    slider.press("Home")
    clip = "document.querySelector('figure.howto-shown img + img').computedStyleMap().get('clip-path').toString()"
    assert page.evaluate(clip) == "inset(0px 0px 0px 0%)"  # the second picture, whole: the divider is on the left
    slider.fill("30")
    assert page.evaluate(clip) == "inset(0px 0px 0px 30%)"
    divider = "getComputedStyle(document.querySelector('figure.howto-shown'), '::after').left"
    width = "document.querySelector('figure.howto-shown').clientWidth"
    assert float(page.evaluate(divider).removesuffix("px")) == pytest.approx(0.3 * page.evaluate(width), abs=1)


def test_the_code_that_made_a_page_is_hidden_and_one_switch_that_is_remembered_shows_all_of_it(page):
    page.goto(f"/{STACK}/how-to/plot_mosaic.html")
    code = page.locator(".howto-code pre")
    assert code.count() > 10 and not page.locator(".howto-apparatus").first.is_visible()
    page.get_by_role("button", name="Show code and checks").press("Enter")
    assert all(each.is_visible() for each in page.locator(".howto-code:not(.howto-evidence *) pre").all())
    page.goto(f"/{STACK}/how-to/plot_unfreeze_backbone.html")
    assert page.locator(".howto-code pre").first.is_visible()
    page.get_by_role("button", name="Hide code and checks").click()
    assert not page.locator(".howto-apparatus").first.is_visible()
    assert page.wrong == []


def test_what_made_the_pages_takes_at_most_eight_of_a_hundred_words_that_are_seen_before_anything_is_opened(page):
    words = (
        "selector => [...document.querySelectorAll(selector)].filter(each => each.checkVisibility())"
        ".flatMap(each => each.innerText.split(/\\s+/)).filter(word => /\\w/.test(word)).length"
    )
    apparatus = (
        ".howto-cost, :is(.howto-code, .howto-fitted) > summary, .howto-checks, .howto-evidence, .sphx-glr-footer"
    )
    counts = []
    for topic in EXECUTED:
        page.goto(f"/{STACK}/how-to/plot_{topic}.html")
        counts.append([page.evaluate(words, selector) for selector in (apparatus, "article")])
    about, every = map(sum, zip(*counts, strict=True))
    assert 0 < about <= 0.08 * every


def test_a_long_table_is_filtered_by_words_and_numbers(page):
    page.goto(f"/{STACK}/how-to/plot_backbone_channels.html")
    rows = page.locator(".howto-filter + output + .table-wrapper tbody tr:visible")
    every = rows.count()
    assert every >= 25
    field = page.get_by_role("searchbox", name=f"Filter {every} rows")
    field.fill("mobilenetv3 48")
    assert [row.locator("td").first.inner_text() for row in rows.all()] == ["MobileNetV3 small"]
    assert page.locator(".howto-filter + output").inner_text() == f"1 of {every}"
    field.fill("")
    assert rows.count() == every
    assert page.wrong == []


def test_a_config_in_a_table_opens_below_its_row_with_its_button_in_view_on_a_phone_too(browser, server):
    context = browser.new_context(base_url=server, viewport={"width": 390, "height": 800}, has_touch=True)
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=server)
    page = context.new_page()
    page.goto(f"/{STACK}/how-to/plot_backbone_channels.html")
    page.locator("td details summary").first.tap()
    panel = page.locator("tr:has(td details) + tr.howto-panel")
    expect(panel).to_have_count(1)
    button = panel.get_by_role("button", name="Copy")
    expect(button).to_be_in_viewport(ratio=1)
    button.tap()
    panel.get_by_role("button", name="Copied").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("_base_ = ") and copied == panel.locator("pre").inner_text()
    page.locator("td details summary").first.tap()
    expect(panel).to_have_count(0)


def test_a_pitfall_is_folded_under_its_symptom_and_a_link_to_it_or_into_it_opens_it(page):
    page.goto(f"/{STACK}/how-to/plot_mosaic.html")
    pitfall = page.locator(".howto-pitfall", has_text="mix_results").first
    expect(pitfall.locator("summary h3")).to_be_visible()
    expect(pitfall.locator(".howto-checks").first).not_to_be_visible()
    page.goto(f"/{STACK}/how-to/plot_mosaic.html#{pitfall.get_attribute('id')}")
    expect(pitfall.locator(".howto-checks").first).to_be_visible()
    inside = page.locator(".howto-proof .howto-checks li").first
    page.goto(f"/{STACK}/how-to/plot_mosaic.html#{inside.get_attribute('id')}")
    expect(inside).to_be_in_viewport()
    assert page.wrong == []


def test_each_way_to_adapt_a_how_to_is_folded_under_its_title_and_the_badge_opens_the_evidence(page):
    page.goto(f"/{STACK}/how-to/plot_unfreeze_backbone.html")
    ways = page.locator(".howto-adapt")
    assert ways.count() >= 3
    for way in ways.all():
        expect(way.locator("summary h3")).to_be_visible()
        expect(way.locator("p").first).not_to_be_visible()
        way.locator("summary").first.click()
        expect(way.locator("p").first).to_be_visible()
    page.locator(".howto-badge").click()
    expect(page.locator("h2", has_text="Evidence")).to_be_in_viewport()
    expect(page.locator(".howto-proof summary").first).to_be_visible()


@pytest.mark.parametrize(("keys", "width"), [("Control+k", 390), ("Meta+k", 1280), ("/", 1280)])
def test_a_key_opens_the_search(page, keys, width):
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"/{STACK}/how-to/plot_mosaic.html")
    page.keyboard.press(keys)
    page.keyboard.type("mix_results")
    field = page.locator("input.sidebar-search")
    assert field.input_value() == "mix_results"
    expect(field).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=mix_results*")


def test_the_pages_work_without_a_server(browser, site):
    page = browser.new_context().new_page()
    wrong = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("requestfailed", lambda request: wrong.append(request.url))
    page.goto(f"{site.as_uri()}/how-to/plot_mosaic.html")
    page.locator(".howto-snippet").get_by_role("button", name="Copy").wait_for()
    assert wrong == []
    page.keyboard.press("Control+k")
    page.keyboard.type("mix_results")
    page.keyboard.press("Enter")
    page.locator("#search-results a[href*='plot_mosaic.html']").first.wait_for()


def test_a_page_is_read_without_scripts(browser, server):
    page = browser.new_context(base_url=server, java_script_enabled=False).new_page()
    page.goto(f"/{STACK}/how-to/plot_mosaic.html")
    assert page.locator(".howto-snippet pre").first.is_visible()
    assert page.locator(".howto-snippet a.download").first.is_visible()
    assert page.locator(".howto-diagram").is_visible()
    cell = page.locator("details.howto-code").first
    assert not cell.locator("pre").first.is_visible()
    cell.locator("summary").click()
    assert cell.locator("pre").first.is_visible()


def test_what_is_chosen_on_the_page_above_the_stacks_is_remembered_and_where_its_cards_lead(page, other_server):
    other = next(name for name in stacks.STACKS if name != STACK)
    page.goto(f"{other_server}/index.html#choose")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=other_server)
    page.locator("#choose").get_by_role("button", name="Copy").click()
    page.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == 'python -c "import mmdet; print(mmdet.__version__)"'
    cards = page.locator(".howto-cards a")
    leads = "links => links.map(link => link.getAttribute('href').split('/'))"
    for chosen in (other, STACK):
        page.locator(f".howto-choice a[data-stack={chosen}]").click()
        for _ in range(2):  # as chosen, and as remembered
            lead = {name: stack for stack, _, name in cards.evaluate_all(leads)}
            assert lead.pop("plot_timm_backbone.html") == STACK  # the other has none
            assert set(lead.values()) == {chosen}
            assert page.locator(".sidebar-search-container").get_attribute("action") == f"{chosen}/search.html"
            page.reload()
    page.locator("[role=main] a[href*='plot_mosaic.html']").first.click()
    page.wait_for_url(f"{other_server}/{STACK}/how-to/plot_mosaic.html")
    page.locator(".howto-stack a").click()  # who switches is led there the next time
    page.wait_for_url(f"{other_server}/{other}/how-to/plot_mosaic.html")
    page.goto(f"{other_server}/index.html")
    assert page.locator(".howto-choice a[aria-current=true]").get_attribute("data-stack") == other


def test_every_page_leads_to_the_same_page_for_another_mmdetection(page, other_server):
    for name in ("index.html", "install.html", "how-to/plot_mosaic.html", "how-to/plot_timm_backbone.html"):
        page.goto(f"{other_server}/{STACK}/{name}")
        (target,) = page.locator(".howto-stack a").evaluate_all("links => links.map(link => link.href)")
        same = "index.html" if name == "how-to/plot_timm_backbone.html" else name
        other = next(other for other in stacks.STACKS if other != STACK)
        assert target == f"{other_server}/{other}/{same}"
        said = page.locator(".howto-stack a").inner_text()
        assert said.endswith("(has none, to its first page)") == (same != name)
