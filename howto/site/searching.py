"""Write what the search looks through: the sections of the how-tos, and the errors that their pitfalls show.

Sphinx's own index is not made: it has whole pages, with the code that made them, and knows no error with other names.
"""

import json
import re
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from howto.project.record import write_text
from howto.site.fold import EVIDENCE, PITFALL
from howto.site.parts import details, howto_of

ERROR = re.compile(r"^[\w.]*(?:Error|Exception|Interrupt)\b.*", re.MULTILINE)
UNREAD = (nodes.section, details, nodes.raw, nodes.comment, addnodes.index, addnodes.download_reference)
NOT_SEARCHED = (
    "howto-run",
    "howto-verified",
    "howto-checks",
    "howto-also",
    "howto-printed",
    "howto-snippet",
    "howto-diff",
)
SEPARATE = re.compile(r"\W+")


def setup(app: Sphinx) -> dict:
    """Register the steps that read a how-to's sections, after its code is folded, and write them."""
    app.connect("builder-inited", replace_search)
    app.connect("doctree-read", read_sections, priority=700)
    app.connect("env-purge-doc", forget)
    app.connect("env-merge-info", merge)
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True, "version": "1", "env_version": 3}


def replace_search(app: Sphinx) -> None:
    """Leave out Sphinx's index; the page that it would fill is this site's own."""
    app.builder.search = False


def read_sections(app: Sphinx, doctree: nodes.document) -> None:
    """Keep what a how-to answers, section by section; of its evidence, its train box and its code nothing."""
    if not howto_of(app.env.docname):
        return
    entries = app.env.get_domain("index").entries.get(app.env.docname, ())
    topic = " ".join(value for _, value, _, main, _ in entries if main)  # what the author marked by "!"
    keywords = " ".join(value for _, value, _, main, _ in entries if not main)
    found = []
    for section in doctree.findall(nodes.section):
        above = [section]
        while isinstance(above[-1].parent, nodes.section):
            above.append(above[-1].parent)
        if any(each[0].astext() == EVIDENCE for each in above):
            continue
        entry = dict(id=section["ids"][0], title=section[0].astext(), text=_text(section))
        if len(above) == 1:
            entry |= {"id": "", "topic": topic, "keywords": keywords}
        if code := _words_of_snippets(section):
            entry["code"] = code
        if PITFALL in section["classes"]:
            entry["errors"] = _errors(section)
        if len(above) == 1 or entry["text"]:
            found.append(entry)
    _sections(app.env)[app.env.docname] = found


def forget(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    """Drop the sections of a page that is read again, or gone."""
    _sections(env).pop(docname, None)


def merge(app: Sphinx, env: BuildEnvironment, docnames: list[str], other: BuildEnvironment) -> None:
    """Take over what another process has read."""
    _sections(env).update({name: found for name, found in _sections(other).items() if name in docnames})


def write(app: Sphinx, error: Exception | None) -> None:
    """Write all sections as a script, which a page may load from a disk, too."""
    if error is None and app.builder.name == "html":
        found = dict(sorted(_sections(app.env).items()))
        text = json.dumps(found, ensure_ascii=False, separators=(",", ":"))
        write_text(Path(app.outdir, "howto-sections.js"), f"const HOWTO_SECTIONS = {text};\n")


def _sections(env: BuildEnvironment) -> dict[str, list[dict]]:
    if not hasattr(env, "howto_sections"):
        env.howto_sections = {}
    return env.howto_sections


def _text(section: nodes.section) -> str:
    """What a section says by itself, without what its parts say."""
    said, left = [], list(reversed(section.children[1:]))
    while left:
        node = left.pop()
        if isinstance(node, UNREAD) or set(NOT_SEARCHED) & set(getattr(node, "attributes", {}).get("classes", ())):
            continue
        if isinstance(node, nodes.TextElement):
            said.append(node.astext())
        else:
            left += reversed(node.children)
    return " ".join(" ".join(said).split())


def _words_of_snippets(section: nodes.section) -> str:
    """Each word of the files that a section shows, once; those of the sections in it are theirs."""
    shown = (node for node in section.children if "howto-snippet" in getattr(node, "attributes", {}).get("classes", ()))
    words = [word for node in shown for word in SEPARATE.split(node.astext()) if len(word) > 2]
    return " ".join(dict.fromkeys(words))


def _errors(section: nodes.section) -> list[str]:
    """The texts that somebody with this problem has before them: those of its title, and the errors that it printed."""
    title = section[0]
    found = [node.astext() for node in title.findall(nodes.literal)]
    before, colon, _ = title.astext().rpartition(": ")
    found += [before] if colon else [title.astext()]
    for block in section.findall(nodes.literal_block):
        if "howto-printed" in block["classes"]:
            found += ERROR.findall(block.astext())
    return list(dict.fromkeys(text[:300] for text in found))
