"""Turn a how-to's page round: what a reader asked stays in view, and what shows that it is right waits for a click."""

import collections
import itertools
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.writers.html5 import HTML5Translator

from howto.project.shown import show
from howto.site.parts import details, howto_of, in_words

TRUE = re.compile(r"True|\[True(, True)*\]")
LONGEST = 120  # characters of a value in the list; the whole of it is in the table of what was verified
# Whose parts a reader opens, by their titles.
PITFALL = "howto-pitfall"
EVIDENCE = "Evidence"  # the section that says how a page is known to be right
FOLDED = {"Adapt it": "howto-adapt", "Pitfalls": PITFALL, EVIDENCE: "howto-proof"}
OTHER_FORM = "In pure Python"  # says again what the page's first snippet says
LOGGED = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+|\d\d/\d\d \d\d:\d\d:\d\d) - ")  # MMDetection 2's, MMEngine's


def setup(app: Sphinx) -> dict:
    """Register the node, and the step before others that look for what a page shows."""
    passed = (lambda translator, node: None, lambda translator, node: None)
    app.add_node(details, html=(_open, _close), text=passed, latex=passed, man=passed, texinfo=passed)
    app.add_node(nodes.section, override=True, html=(_open_section, _close_section))
    app.add_node(nodes.title, override=True, html=(_open_title, _close_title))
    app.add_directive("shown-events", ShownEvents)
    app.connect("doctree-read", fold, priority=300)
    edited = zlib.crc32(Path(__file__).read_bytes())  # then Sphinx reads every page again
    return {"parallel_read_safe": True, "parallel_write_safe": True, "version": "1", "env_version": edited}


def fold(app: Sphinx, doctree: nodes.document) -> None:
    """Fold a how-to's code cells, put what each showed around what it printed, and fold the parts that a reader opens.

    What made the page and what it checked bears the class ``howto-apparatus`` outside of the evidence and, as far as it
    is checks, of the pitfalls: a switch shows it there.
    """
    howto = howto_of(app.env.docname)
    if not howto:
        return
    for note in [node for node in doctree.findall(nodes.Element) if "sphx-glr-download-link-note" in node["classes"]]:
        note.parent.remove(note)  # the downloads are at the end, where one looks for them
    anchors = collections.Counter()
    for place in [node for node in doctree.findall(nodes.container) if "events" in node]:
        _arrange(place, anchors)
    blocks = list(doctree.findall(nodes.literal_block))
    commands = [line for block in blocks if block.get("language") == "console" for line in block.astext().splitlines()]
    for block in blocks:
        if _is_output(block):
            lines = block.astext().splitlines()
            block.parent.replace(block, list(_printed([line for line in lines if not _is_above(line, commands)])))
        elif block.get("language") == "Python" and not block.get("testnodetype"):
            _fold_code(block)

    for section in doctree.findall(nodes.section):
        kind = FOLDED.get(section.parent[0].astext()) if isinstance(section.parent, nodes.section) else None
        snippets = (node for node in section.findall(nodes.Element) if "howto-snippet" in node.get("classes", ()))
        if any(snippets) and kind != PITFALL and section[0].astext() != OTHER_FORM:
            kind = None  # what a reader copies is not folded, unless it is for who has that problem
        if section[0].astext() == EVIDENCE:
            kind = "howto-evidence"
        if kind:
            section["classes"] += ["howto-fold", kind]
        if kind == PITFALL:
            for checks in section.findall(_is_checks):
                checks["classes"] += ["howto-mistakes"]
    for node in doctree.findall(_is_apparatus):
        node["classes"] += ["howto-apparatus"]


class ShownEvents(SphinxDirective):
    """``.. shown-events::``: what the cell above it showed beside what it printed, as JSON, an event a line."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """A place that :func:`fold` fills."""
        return [nodes.container("", events=[json.loads(line) for line in self.content])]


def scrape(block: tuple, variables: dict, configuration: dict) -> str:
    """sphinx-gallery's way to take what is not printed of a cell that has run: the directive with its events."""
    lines = [f"   {json.dumps(event, ensure_ascii=False)}" for event in show.take()]
    return "\n".join(["", ".. shown-events::", "", *lines, "", ""]) if lines else ""


def _arrange(place: nodes.container, anchors: collections.Counter) -> None:
    """Put a cell's differences before what it printed, and behind that what fits it to this machine, and its checks."""
    events = collections.defaultdict(list)
    for event in place["events"]:
        events["fitted" if event["kind"] in ("options", "stand-in") else event["kind"]].append(event)
    parent, at = place.parent, place.parent.index(place)
    following = parent[at + 1] if at + 1 < len(parent) else None
    after = at + 2 if following is not None and _has_output(following) else at + 1
    parent.insert(after, [*_fitted(events["fitted"]), *_checks(events["check"], anchors)])
    parent[at : at + 1] = [_difference(event) for event in events["difference"]]


def _has_output(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Element) and any(map(_is_output, node.findall(nodes.literal_block)))


def _is_above(line: str, commands: list[str]) -> bool:
    """Whether a line of output repeats a command that the page has above it, to be copied."""
    return line.startswith("$ ") and any(command.startswith(line) for command in commands)


def _is_checks(node: nodes.Node) -> bool:
    return isinstance(node, nodes.bullet_list) and "howto-checks" in node["classes"]


def _is_apparatus(node: nodes.Node) -> bool:
    classes = node["classes"] if isinstance(node, nodes.Element) else ()
    if not {"howto-code", "howto-fitted", "howto-checks"} & set(classes) or "howto-mistakes" in classes:
        return False
    while node := node.parent:
        if "howto-evidence" in node["classes"]:
            return False
    return True


def _fold_code(block: nodes.literal_block) -> None:
    """Fold a cell, together with the one before it if that put nothing out."""
    parent, at = block.parent, block.parent.index(block) - 1
    while at >= 0 and isinstance(parent[at], nodes.comment):
        at -= 1
    before = parent[at] if at >= 0 else None
    if isinstance(before, details) and "howto-code" in before["classes"]:
        parent.remove(block)
        before += block
    else:
        before = details("", classes=["howto-code"])
        block.replace_self(before)
        before += block
    before["summary"] = f"Code, {_count(sum(len(each.astext().splitlines()) for each in before), 'line')}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _is_output(block: nodes.literal_block) -> bool:
    parents = (block, block.parent)
    return any("sphx-glr-script-out" in node.get("classes", ()) for node in parents)


def _printed(lines: list[str]) -> Iterator[nodes.Node]:
    """What a cell printed, in its order; the lines of MMDetection's log are folded."""
    for logged, group in itertools.groupby(lines, lambda line: bool(LOGGED.match(line))):
        text = "\n".join(group)
        shown = nodes.literal_block(text, text, language="none", classes=["howto-printed"])
        if logged:
            summary = f"MMDetection's log, {_count(text.count(chr(10)) + 1, 'line')}"
            yield details("", shown, summary=summary, classes=["howto-fitted"])
        elif text.strip():
            yield shown


def _checks(events: list[dict], anchors: collections.Counter) -> Iterator[nodes.bullet_list]:
    """A list of checks, each with an anchor and its value, long ones cut."""
    checks = nodes.bullet_list(classes=["howto-checks"], bullet="-")
    for check in events:
        name, value = check["name"], in_words(check["measured"])
        short = f"{value[:LONGEST]} …" if len(value) > LONGEST else value
        text = nodes.paragraph("", "", nodes.Text(name))
        if not TRUE.fullmatch(check["measured"]):  # then its name is the whole of it
            text += nodes.Text(f": {short}")
        if check["expected"].startswith("at most "):
            text += nodes.Text(f", {check['expected']}")
        anchor = f"check-{nodes.make_id(name)}"
        anchors[anchor] += 1
        checks += nodes.list_item("", text, ids=[anchor if anchors[anchor] == 1 else f"{anchor}-{anchors[anchor]}"])
    if events:
        yield checks


def _difference(event: dict) -> nodes.container:
    """A mistake and what is right, or a file as it is here and as the reader may want it."""
    file = nodes.literal(event["file"], event["file"])
    if event["adapts"]:
        words = [nodes.Text("Your change of "), file, nodes.Text(": - as it is here, + yours")]
    else:
        words = [nodes.Text("A mistake in "), file, nodes.Text(": - wrong, + right")]
    text = "\n".join(event["lines"])
    block = nodes.literal_block(text, text, language="diff")
    return nodes.container("", nodes.paragraph("", "", *words), block, classes=["howto-diff"])


def _fitted(events: list[dict]) -> Iterator[details]:
    """What only fits runs to the machine that built the page, in a line for each that unfolds."""
    weights = [event["file"] for event in events if event["kind"] == "stand-in"]
    runs = [event for event in events if event["kind"] == "options"]
    said = f"random weights in place of {', '.join(weights)}" if weights else ""
    for run in runs or ([None] if weights else []):
        text, summary = "\n".join(weights), said
        if run:
            text = "\n    ".join([run["command"], *run["options"]])
            summary = f"Fitted to this machine: {_count(run['number'], 'option')}{f'; {said}' if said else ''}"
        block = nodes.literal_block(text, text, language="none")
        yield details("", block, summary=summary[0].upper() + summary[1:], classes=["howto-fitted"])
        said = ""


def _open(translator: HTML5Translator, node: details) -> None:
    translator.body.append(translator.starttag(node, "details", ""))
    translator.body.append(f"<summary>{translator.encode(node['summary'])}</summary>\n")


def _close(translator: HTML5Translator, node: details) -> None:
    translator.body.append("</details>\n")


def _open_section(translator: HTML5Translator, node: nodes.section) -> None:
    if "howto-fold" in node["classes"]:
        translator.section_level += 1
        translator.body.append(translator.starttag(node, "details"))
    else:
        HTML5Translator.visit_section(translator, node)


def _close_section(translator: HTML5Translator, node: nodes.section) -> None:
    HTML5Translator.depart_section(translator, node)
    if "howto-fold" in node["classes"]:
        translator.body[-1] = "</details>\n"


def _open_title(translator: HTML5Translator, node: nodes.title) -> None:
    if "howto-fold" in node.parent["classes"]:
        translator.body.append("<summary>")
    HTML5Translator.visit_title(translator, node)


def _close_title(translator: HTML5Translator, node: nodes.title) -> None:
    HTML5Translator.depart_title(translator, node)
    if "howto-fold" in node.parent["classes"]:
        translator.body.append("</summary>\n")
