"""Make the page above the stacks' sites: the first page of one of them, and the choice which of them it leads to."""

import posixpath
from pathlib import Path
from urllib.parse import urlsplit

from howto.project.files import DOCS
from howto.project.stacks import Stack

# What is about the one stack alone.
OWN = (
    "link[rel=next], link[rel=prev], link[rel=canonical], link[rel=alternate], "
    ".announcement, .related-pages, .back-to-top, "
    "#search-results, script[src*=search], script[src*=howto-sections]"  # its form leads to the chosen stack's search
)
ABOUT = (
    "Answers to what MMDetection's users ask most, for 2.x, 3.x and onedl-mmdetection. Every file to copy was executed."
)


def front(html: Path, stacks: list[Stack]) -> str:
    """The page, from the first pages of `stacks`, of which the first is used and lends its looks.

    It has a card for every how-to of any of them. Without scripts the cards lead to the first stack that has the
    how-to, and the choice to each stack's own first page; ``howto.js`` has them lead to the one that a reader chooses.
    """
    from bs4 import BeautifulSoup  # not at the top: `python -m howto site` runs without any stack's packages
    from jinja2 import Environment

    pages = [BeautifulSoup((html / stack.name / "index.html").read_text("utf-8"), "html.parser") for stack in stacks]
    for stack, page in zip(stacks, pages, strict=True):
        _lead_into(page, stack.name)
    first = pages[0]
    for tag in first.select(OWN):
        tag.decompose()
    name = "MMDetection how-to"
    for tag in first.select("title, .sidebar-brand-text, .header-center .brand, h1"):
        tag.string = name
    for tag in first.select("meta[name=description]"):
        tag["content"] = ABOUT
    first.html["data-content_root"] = f"{stacks[0].name}/"
    template = Environment(autoescape=True).from_string((DOCS / "_templates" / "choice.html").read_text("utf-8"))
    choice = BeautifulSoup(template.render(stacks=stacks), "html.parser")
    for tag in first.select("#which-mmdetection-is-this-for"):
        tag.decompose()
    first.h1.find_next("p").insert_after(choice)
    first.head.append(first.new_tag("script", src="stacks.js"))  # was in the announcement
    for other in pages[1:]:
        _add_cards(first, other)
    return str(first)


def _lead_into(page, name: str) -> None:
    """Have every address of a page lead into the folder `name`."""
    for key in ("href", "src", "action"):
        for tag in page.select(f"[{key}]"):
            address = tag[key]
            if not urlsplit(address).scheme and not address.startswith("#"):
                tag[key] = posixpath.normpath(posixpath.join(name, address))


def _add_cards(page, other) -> None:
    """Add the cards of `other` that `page` does not have, each to the group of its name, or to the last group."""
    there = {link["href"].rpartition("/")[2] for link in page.select(".howto-cards a")}
    for card in other.select(".howto-cards li"):
        if card.a["href"].rpartition("/")[2] not in there:
            group = card.find_parent("section")["id"]
            places = page.select(f"section#{group} .howto-cards ul") or page.select(".howto-cards ul")
            places[-1].append(card)
