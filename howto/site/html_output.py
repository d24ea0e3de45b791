"""Dress the pages: what a reader copies, sees and finds beside what a how-to says."""

import base64
import hashlib
import html
import re
import zlib
from pathlib import Path

from docutils import nodes
from PIL import Image
from sphinx.application import Sphinx

from howto.project import files, stacks
from howto.project.howtos import HowTo
from howto.site.parts import howto_of, read_record, short_title

# sphinx-gallery's and Sphinx's, for what no page here has: notebooks to launch, data frames, tags, its search's marks.
NOT_NEEDED = {
    "sg_gallery-binder.css",
    "sg_gallery-dataframe.css",
    "sg_gallery-rendered-html.css",
    "sg-tags.js",
    "sphinx_highlight.js",
}


WIDE = 600  # pixels of a picture whose words nobody could read at the width of a phone, where it is scrolled


def setup(app: Sphinx) -> dict:
    """Register the steps that change a page once it has been read, and once it is HTML."""
    app.connect("doctree-read", add_cost, priority=400)
    app.connect("html-page-context", set_pictures)
    app.connect("html-page-context", lighten)
    app.connect("html-page-context", describe)
    app.connect("html-page-context", link_source)
    app.connect("html-page-context", shorten)
    app.connect("build-finished", drop_originals, priority=900)
    edited = zlib.crc32(Path(__file__).read_bytes())  # then Sphinx reads every page again
    return {"parallel_read_safe": True, "parallel_write_safe": True, "version": "1", "env_version": edited}


def add_cost(app: Sphinx, doctree: nodes.document) -> None:
    """Say under a how-to's title what was checked on what, with a link to the evidence, and offer its Markdown."""
    howto = howto_of(app.env.docname)
    if not howto:
        return
    said = []
    if record := read_record(howto, app.env):
        ran = "simulated GPU path" if record["simulated_gpus"] else record["device"]
        facts = (f"{len(record['checks'])} checks", stacks.current().title, ran, record["executed"][:10])
        said.append(f'<a class="howto-badge" href="#evidence">{" · ".join(facts)}</a>')
    title = next(doctree.findall(nodes.title))
    said.append(f'<a class="howto-twin" href="plot_{howto.topic}.md">as Markdown</a>')
    text = f'<p class="howto-cost">{" ".join(said)}</p>'
    title.parent.insert(title.parent.index(title) + 1, nodes.raw("", text, format="html"))  # no words to search for


def set_pictures(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: nodes.document | None) -> None:
    """Make a page's pictures WebP files, in two sizes where there are two; none is above the fold, so all load late."""
    if app.builder.name != "html":
        return

    def picture(tag: re.Match) -> str:
        folder, name = re.search(r' src="([^"]*_images/)([^"]+)\.png"', tag[0]).groups()
        names = [name, f"{name}_2_00x"] if f"{name}_2_00x.png" in tag[0] else [name]
        widths = {name: _to_webp(app, name) for name in names}
        attributes = {"src": f"{folder}{name}.webp", "width": widths[name][0], "height": widths[name][1]}
        if len(names) > 1:
            attributes["srcset"] = ", ".join(f"{folder}{each}.webp {size[0]}w" for each, size in widths.items())
            attributes["sizes"] = "(min-width: 46em) 46em, 100vw"
        attributes["loading"] = "lazy"
        attributes |= re.findall(r'(alt|class)\s*=\s*"([^"]*)"', tag[0])
        shown = "<img " + " ".join(f'{key}="{value}"' for key, value in attributes.items()) + ">"
        return f'<div class="howto-picture">{shown}</div>' if widths[name][0] >= WIDE else shown

    def file(data: re.Match) -> str:
        content = base64.b64decode(data[1])
        target = Path(app.outdir, "_images", f"{hashlib.sha256(content).hexdigest()[:16]}.webp")
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(content)
        return f'src="{context["pathto"](f"_images/{target.name}", resource=True)}" loading="lazy"'

    body = re.sub(r'src="data:image/webp;base64,([^"]+)"', file, context.get("body", ""))
    context["body"] = re.sub(r"<img [^>]*_images/[^>]*\.png[^>]*>", picture, body)


def shorten(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: nodes.document | None) -> None:
    """Name the how-tos before and after a page as the navigation does."""
    for side in ("prev", "next"):
        if there := re.search(r"plot_(\w+)\.html", (context.get(side) or {}).get("link", "")):
            context[side] = {**context[side], "title": short_title(HowTo(stacks.current(), there[1]))}


def drop_originals(app: Sphinx, error: Exception | None) -> None:
    """Leave out of the site what no page shows: the PNG files behind WebP ones."""
    for path in Path(app.outdir, "_images").glob("*.webp"):
        path.with_suffix(".png").unlink(missing_ok=True)


def lighten(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: nodes.document | None) -> None:
    """Leave out style sheets and scripts that no page needs, and load the others late."""
    body = context.get("body", "")
    needless = NOT_NEEDED if 'class="tab-set' in body else {*NOT_NEEDED, "tabs.css", "tabs.js"}
    for kind in ("css_files", "script_files"):
        context[kind] = [file for file in context[kind] if Path(str(file.filename)).name not in needless]
    context["script_files"] = [
        type(file)(file.filename, **{**file.attributes, "defer": "defer"}) for file in context["script_files"]
    ]
    context["body"] = body.replace('<input checked="True"', "<input checked")  # sphinx-inline-tabs' is none of HTML's


def describe(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: nodes.document | None) -> None:
    """Tell search engines what a page is about."""
    if doctree is not None:
        about = html.escape(_first_paragraph(doctree))
        context["metatags"] += f'<meta name="description" content="{about}">\n'


def link_source(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: nodes.document | None) -> None:
    """Have a how-to's edit link lead to its script, and another page's to its own file."""
    if repository := app.config.html_theme_options.get("source_edit_link"):
        howto = howto_of(pagename)
        source = howto.source.relative_to(stacks.ROOT).as_posix() if howto else f"docs/{pagename}.md"
        if (stacks.ROOT / source).exists():
            context["theme_source_edit_link"] = f"{repository}/edit/HEAD/{source}"
        else:
            context["theme_source_edit_link"] = ""


def _first_paragraph(doctree: nodes.document) -> str:
    """The answer in short."""
    found = (node for node in doctree.findall(nodes.paragraph) if isinstance(node.parent, nodes.section))
    return " ".join(next(found, nodes.paragraph()).astext().split())


def _to_webp(app: Sphinx, name: str) -> tuple[int, int]:
    """Write ``_images/<name>.webp``, unless it is there and new; return its size in pixels."""
    source = next(Path(app.srcdir, files.GALLERY, "images").rglob(f"{name}.png"), None)
    if source is None:  # a picture of another page
        source = next(Path(app.srcdir, path) for path, file in app.builder.images.items() if file == f"{name}.png")
    target = Path(app.outdir, "_images", f"{name}.webp")
    with Image.open(source) as image:
        if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
            target.parent.mkdir(exist_ok=True)
            image.save(target, quality=55, method=5)  # the next one takes 20 times as long for 2 % less
        return image.size
