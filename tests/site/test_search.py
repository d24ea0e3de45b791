"""The search in a browser: by words, by an error as it was printed, and by one with the names of a reader's own."""

import json
import re

import pytest
from playwright.sync_api import expect

from howto.project import files, stacks

FAMILY, STACK = stacks.current().family, stacks.current().name
HOOKS, MODELS = ("hook", "models") if FAMILY == "mmdet2" else ("mmdet::hook", "mmdet::model")
WORDS = {
    "accumulate_gradients": ["gradient accumulation", "larger batch"],
    "backbone_channels": ["channels of a backbone", "in_channels swin-t RetinaNet"],
    "best_checkpoint": [
        "save_best",
        "early stopping",
        "eary stopping",  # codespell:ignore eary
        "keep best model and stop training early",
    ],
    "class_imbalance": ["class_weight", "class weight", "rare classes"],
    "custom_classes": ["num_classes", "custom dataset", "How do I train with 3 classes?"],
    "custom_module": ["custom_imports", "custom loss"],
    "finetune": ["load_from", "fine-tune", "transfer learning"],
    "freeze": ["lr_mult", "freeze layers"],
    "inference": ["visualize"],
    "mosaic": ["mosaic", "mix_results"],
    "mosaic_off": ["mixup", "close mosaic"],
    "per_class_results": ["classwise", "confusion matrix"],
    "several_datasets": ["several datasets", "ConcatDataset"],
    "small_objects": ["small objects"],
    "timm_backbone": ["timm", "EfficientNet"],
    "unfreeze_backbone": ["unfreeze", "unfrezze", "frozen_stages", "resume after unfreeze"],
}
# Errors as people report them, with their own classes, numbers and files, and the how-to whose pitfall mends each.
OWN = [
    (
        "custom_classes",
        "AssertionError: The `num_classes` (80) in RetinaHead of MMDataParallel does not matches the length "
        "of `CLASSES` 3) in CocoDataset",
    ),
    ("custom_classes", '"ValueError: need at least one array to concatenate"'),
    (
        "custom_classes",
        'File "tools/train.py", line 242, in <module> main() ValueError: need at least one array to concatenate',
    ),
    ("custom_module", f"KeyError: 'FocalEIoULoss is not in the {MODELS} registry'"),
    ("custom_module", "KeyError: 'MyHead is already registered in models'"),
    ("custom_module", "ModuleNotFoundError: No module named 'my_hook'"),
    (
        "unfreeze_backbone",
        f'"MyHook is not in the {HOOKS} registry. Please check whether the value of `MyHook` is correct"',
    ),
    (
        "unfreeze_backbone",
        "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB (GPU 0; 11.17 GiB",
    ),
    ("freeze", "AttributeError: 'ResNet' object has no attribute 'layer6'"),
    (
        "freeze",
        "RuntimeError: Expected to have finished reduction in the prior iteration before starting a new one. This "
        "error indicates that your module has parameters that were not used in producing loss. You can enable unused",
    ),
    (
        "mmcls_backbone",
        "RuntimeError: Given groups=1, weight of size [256, 512, 1, 1], expected input[2, 384, 100, 152] to "
        "have 512 channels, but got 384 channels instead",
    ),
    ("mosaic_off", "AttributeError: 'MaskRCNN' object has no attribute 'bbox_head'"),
    ("mosaic", "TypeError: MultiImageMixDataset.__init__() got an unexpected keyword argument 'data_root'"),
]


@pytest.fixture(scope="module")
def ask(new_page):
    """Puts a question into the field of the search; gives what it finds, and whether as pitfalls of an error."""
    with new_page() as page:
        page.goto(f"/{STACK}/search.html")

        def asked(text):
            page.locator("article input[name=q]").fill(text)
            links = [link.get_attribute("href") for link in page.locator("#search-results .search a").all()]
            return links, "pitfall" in page.locator(".search-summary").inner_text()

        yield asked
        assert page.wrong == []


def test_words_find_their_how_to_first_also_with_a_wrong_letter_or_in_other_words(ask):
    found = {words: ask(words)[0][:1] for each in WORDS.values() for words in each}
    wrong = {
        words: found[words]
        for topic, each in WORDS.items()
        for words in each
        if f"plot_{topic}.html" not in "".join(found[words])
    }
    assert wrong == {}


@pytest.mark.parametrize(
    "around", ["{}", 'Traceback (most recent call last): File "/home/me/a.py", line 7, in main {}']
)
def test_every_error_that_a_pitfall_shows_leads_to_it(ask, site, around):
    text = (site / "howto-sections.js").read_text("utf-8")
    pages = json.loads(text[text.index("{") : text.rindex(";")])
    printed = re.compile(r"^[\w.]*(?:Error|Exception): .*? ")
    wrong, count = {}, 0
    for page, sections in pages.items():
        for section in sections:
            for error in filter(printed.match, section.get("errors", ())):
                links, is_error = ask(around.format(error))
                count += 1
                if not is_error or not any(link.endswith(f"{page}.html#{section['id']}") for link in links[:3]):
                    wrong[error] = links[:3]
    assert count >= 40 and wrong == {}


def test_an_error_with_names_of_ones_own_leads_to_a_pitfall_too(ask):
    wrong = {}
    for topic, error in OWN:
        links, is_error = ask(error)
        if not is_error or not any(f"plot_{topic}.html#" in link for link in links[:4]):
            wrong[error] = links[:4]
    assert wrong == {}


def test_what_a_key_means_to_one_constructor_is_not_offered_for_another_keys_error(ask):
    links, _ = ask("TypeError: MultiImageMixDataset.__init__() got an unexpected keyword argument 'data_root'")
    assert [link for link in links if "accumulate_gradients" in link or "class_imbalance" in link] == []


def test_a_pasted_error_opens_its_pitfall_from_the_first_page(page):
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(f"/{STACK}/index.html")
    page.get_by_role("searchbox", name="Paste an error, or ask").fill("assert 'mix_results' in results")
    page.locator("#search-results .search a").first.click()
    page.wait_for_url("**/plot_mosaic.html#assert-mix-results**")
    expect(page.locator(".howto-pitfall[open] h3", has_text="mix_results")).to_be_in_viewport()
    assert page.wrong == []


def test_an_excerpt_is_what_a_section_says_and_the_arrows_walk_through_what_is_found(page):
    page.goto(f"/{STACK}/search.html?q=mosaic")
    excerpt = page.locator("#search-results li .context").first
    expect(excerpt).to_contain_text("Mosaic combines four images")
    assert "checks ·" not in excerpt.inner_text()
    links = page.locator("#search-results .search a")
    page.keyboard.press("ArrowDown")
    expect(links.nth(0)).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    page.wait_for_url("**/how-to/plot_*")


def test_where_nothing_is_found_there_is_every_how_to_and_the_other_versions_search(page, other_server):
    page.goto(f"{other_server}/{STACK}/404.html")  # which offers a search
    page.locator("article input[name=q]").fill("xyzzy")
    page.locator("article").get_by_role("button", name="Search").click()
    page.wait_for_url(f"**/{STACK}/search.html?q=xyzzy*")
    instead = page.locator(".howto-instead")
    expect(instead.locator("a[href*='how-to/plot_']")).to_have_count(len(files.topics(FAMILY)))
    other = next(name for name in stacks.STACKS if name != STACK)
    instead.locator(f"a[href*='{other}/search.html']").click()
    page.wait_for_url(f"{other_server}/{other}/search.html?q=xyzzy*")


TASKS = [  # what somebody with a phone asks, and what is on the screen once the first result was tapped
    (
        "Expected to have finished reduction",
        "details.howto-pitfall[open] summary",
        "Expected to have finished reduction",
    ),
    ("need at least one array", "details.howto-pitfall[open] summary", "need at least one array"),
    ("train on 3 classes", "h1", "How do I train on my own classes?"),
    ("in_channels swin-t RetinaNet", ".output_html tbody tr:visible td", "Swin"),
    ("resume after unfreeze", "details[open] summary", "Resume an interrupted training"),
    ("OOM when I unfreeze", "details.howto-pitfall[open] summary", "out of memory"),
    ("keep the best model and stop early", "h1", "How do I keep the best checkpoint, and stop early?"),
    ("does mosaic work with masks", "details.howto-pitfall[open] summary", "a detector with masks"),
]


@pytest.mark.parametrize(("query", "place", "words"), TASKS, ids=[query for query, *_ in TASKS])
def test_what_somebody_asks_on_a_phone_is_on_the_screen_after_two_taps(page, query, place, words):
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"/{STACK}/index.html")
    field = page.get_by_role("searchbox", name="Paste an error, or ask")
    field.click()
    field.fill(query)
    page.locator("#search-results .search a").first.click()
    page.wait_for_url("**/how-to/plot_*")
    expect(page.locator(place).filter(has_text=words).first).to_be_in_viewport()
    assert page.wrong == []


def test_a_version_leads_to_its_own_pages(page, other_server):
    other = next(name for name in stacks.STACKS if name != STACK)
    page.goto(f"{other_server}/{STACK}/search.html?q=MMDetection%203.3")
    page.locator(f".howto-instead a[href*='{other}/index.html']").click()
    page.wait_for_url(f"{other_server}/{other}/index.html")
