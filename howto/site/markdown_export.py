"""Write what programs read of the site: a Markdown twin of each page, llms.txt and a sitemap."""

import contextlib
import functools
import html
import posixpath
import re
import subprocess
from pathlib import Path

from bs4 import BeautifulSoup
from docutils import nodes
from markdownify import MarkdownConverter
from sphinx.application import Sphinx

from howto.project import files, stacks
from howto.project.howtos import HowTo
from howto.project.record import write_text

NOT_IN_TWIN = ".headerlink, .howto-apparatus, .howto-evidence, .howto-cost, .sphx-glr-footer, script, style"


def setup(app: Sphinx) -> dict:
    """Register the steps after a page is HTML and after the site is written."""
    app.connect("html-page-context", write_twin, priority=900)
    app.connect("build-finished", write_lists)
    return {"parallel_read_safe": True, "parallel_write_safe": True, "version": "1"}


def write_twin(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: nodes.document | None) -> None:
    """Write a page's ``.md`` beside its ``.html``, with the snippets and all output in it, and name it in the head."""
    if app.builder.name == "html" and doctree is not None:
        write_text(Path(app.outdir, f"{pagename}.md"), markdown(context["body"]))
        twin = f"{posixpath.basename(pagename)}.md"
        context["metatags"] += f'<link rel="alternate" type="text/markdown" href="{twin}">\n'


class Converter(MarkdownConverter):
    """Keeps the lines of a block of code apart in a table, whose rows are one line each."""

    def convert_pre(self, el, text: str, parent_tags: set[str]) -> str:
        """A block of code as Markdown."""
        if "td" in parent_tags:
            return "<br>".join(f"`{line}`" for line in text.replace("|", r"\|").splitlines() if line)
        return super().convert_pre(el, text, parent_tags)


def markdown(body: str) -> str:
    """The HTML of an article as Markdown; links to pages lead to their twins."""
    article = BeautifulSoup(body, "html.parser")
    for tag in article.select(NOT_IN_TWIN):
        tag.decompose()
    for tag in article.select("[role=img]"):
        tag.replace_with(tag.get("aria-label") or "")
    for tag in article.select("a[href]"):
        if ":" not in tag["href"]:
            tag["href"] = re.sub(r"\.html(?=#|$)", ".md", tag["href"])
    for tag in article.select(".caption-text"):
        tag.name = "code"
    for tag in article.select(".howto-run :is(ol, li)"):  # what is indented in a list would be so when copied
        tag.name = "div"
    options = dict(
        autolinks=False, bullets="-", code_language_callback=_language, escape_underscores=False, heading_style="ATX"
    )
    parts = re.split(r"(^```.*?^```$)", Converter(**options).convert_soup(article), flags=re.M | re.S)
    parts[::2] = [re.sub(r"\s*\n\s*\n\s*", "\n\n", part) for part in parts[::2]]  # between the blocks of code
    return "".join(parts).strip() + "\n"


def write_lists(app: Sphinx, error: Exception | None) -> None:
    """Write ``llms.txt`` and ``llms-full.txt`` and, where the site's address is known, ``sitemap.xml``."""
    if error is not None or app.builder.name != "html":
        return
    out, base = Path(app.outdir), app.config.html_baseurl
    twins = {name: (out / f"{name}.md").read_text("utf-8") for name in _in_order(app)}
    lines = [f"# {app.config.project}", "", f"> Verified on {stacks.current().title}. {about(twins['index'])}"]
    for title, is_howto in (("How-tos", True), ("About the site", False)):
        lines += ["", f"## {title}", ""]
        for name, text in twins.items():
            if name.startswith(f"{files.GALLERY}/plot_") is is_howto:
                lines.append(f"- [{text.partition(chr(10))[0].lstrip('# ')}]({base}{name}.md): {about(text)}")
    write_text(out / "llms.txt", "\n".join(lines) + "\n")
    write_text(out / "llms-full.txt", "\n---\n\n".join(twins.values()))
    (out / "sitemap.xml").unlink(missing_ok=True)  # of a build that knew the address
    if base:
        addresses = [html.escape(base + app.builder.get_target_uri(name)) for name in twins]
        urls = "".join(f"<url><loc>{address}</loc></url>" for address in addresses)
        text = f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{urls}</urlset>'
        write_text(out / "sitemap.xml", f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n')


def _language(block) -> str:
    """Language of a highlighted ``pre``, as Sphinx's class names it."""
    outer = block.find_parent(class_=re.compile("^highlight-"))
    name = next((name for name in outer["class"] if name.startswith("highlight-")), "") if outer else ""
    return name.removeprefix("highlight-").lower().replace("none", "")


def _in_order(app: Sphinx) -> list[str]:
    """Every page, the first one first and the rest as the navigation has them."""
    relations = app.env.collect_relations()
    found, name = [], app.config.root_doc
    while name and name not in found:
        found.append(name)
        name = relations[name][2]
    return found


def about(text: str) -> str:
    """The first paragraph of a twin that is prose, in one line."""
    paragraphs = text.split("\n\n")[1:]
    return " ".join(paragraphs[0].split()) if paragraphs else ""


@functools.cache
def changed(howto: HowTo) -> str:
    """The day of the last commit that changed a how-to's script or snippets; empty outside a git checkout."""
    command = ["git", "log", "-n", "1", "--format=%as", "--", howto.source, *howto.snippets]
    with contextlib.suppress(OSError):  # git is not installed
        return subprocess.run(command, cwd=stacks.ROOT, capture_output=True, text=True).stdout.strip()
    return ""
