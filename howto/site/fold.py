"""Turn a how-to's page round: the code that made it is folded, what it checked is a list, what it printed stays."""

import collections
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

from howto.site.parts import details, howto_of, read_record

LONGEST = 120  # characters of a value in the list; the whole of it is in the table of what was verified
OPTIONS = re.compile(r"^python tools/train\.py \S+ --cfg-options$")
STAND_IN = re.compile(r"^random weights in place of (\S+)$")
VARIANT = re.compile(r"_variant\d+\.\w+$")
HUNK = re.compile(r"^@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")
# Whose parts a reader opens, by their titles.
PITFALL = "howto-pitfall"
FOLDED = {"Adapt it": "howto-adapt", "Pitfalls": PITFALL, "Proof": "howto-proof"}
WITHOUT_ANSWER = ("Proof", "Verified")  # sections that say how a page is known to be right
OTHER_FORM = "In pure Python"  # says again what the page's first snippet says
SECTION = re.compile(r'<section class="(howto-fold [^"]*)" id="([^"]+)">\s*(<h3>.*?</h3>)(.*?)</section>', re.DOTALL)
LOGGED = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+|\d\d/\d\d \d\d:\d\d:\d\d) - ")  # MMDetection 2's, MMEngine's


def setup(app: Sphinx) -> dict:
    """Register the node, and the step before others that look for what a page shows."""
    passed = (lambda translator, node: None, lambda translator, node: None)
    app.add_node(details, html=(_open, _close), text=passed, latex=passed, man=passed, texinfo=passed)
    app.connect("doctree-read", fold, priority=300)
    app.connect("html-page-context", fold_sections)
    edited = zlib.crc32(Path(__file__).read_bytes())  # then Sphinx reads every page again
    return {"parallel_read_safe": True, "parallel_write_safe": True, "version": "1", "env_version": edited}


def fold(app: Sphinx, doctree: nodes.document) -> None:
    """Fold a how-to's code cells, and split what each cell printed into checks, differences, options and the rest."""
    howto = howto_of(app.env.docname)
    if not howto:
        return
    for note in [node for node in doctree.findall(nodes.Element) if "sphx-glr-download-link-note" in node["classes"]]:
        note.parent.remove(note)  # the downloads are at the end, where one looks for them
    record = read_record(howto, app.env) or {"checks": []}
    checks, anchors = iter(record["checks"]), collections.Counter()
    blocks = list(doctree.findall(nodes.literal_block))
    commands = [line for block in blocks if block.get("language") == "console" for line in block.astext().splitlines()]
    for block in blocks:
        if _is_output(block):
            lines = block.astext().splitlines()
            lines = [line for line in lines if not _is_above(line, commands)]
            block.parent.replace(block, list(_parts(lines, checks, anchors)))
        elif block.get("language") == "Python" and not block.get("testnodetype"):
            _fold_code(block)

    for section in doctree.findall(nodes.section):
        kind = FOLDED.get(section.parent[0].astext()) if isinstance(section.parent, nodes.section) else None
        snippets = (node for node in section.findall(nodes.Element) if "howto-snippet" in node.get("classes", ()))
        if any(snippets) and kind != PITFALL and section[0].astext() != OTHER_FORM:
            kind = None  # what a reader copies is not folded, unless it is for who has that problem
        if kind:
            section["classes"] += ["howto-fold", kind]
        if kind == PITFALL:
            for checks in section.findall(_is_checks):
                checks["classes"] += ["howto-mistakes"]


def fold_sections(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: nodes.document | None) -> None:
    """Make each way to adapt it, each pitfall and each part of the proof something that opens, under its title."""
    context["body"] = SECTION.sub(
        r'<details class="\1" id="\2"><summary>\3</summary>\4</details>', context.get("body", "")
    )


def _is_above(line: str, commands: list[str]) -> bool:
    """Whether a line of output repeats a command that the page has above it, to be copied."""
    return line.startswith("$ ") and any(command.startswith(line) for command in commands)


def _is_checks(node: nodes.Node) -> bool:
    return isinstance(node, nodes.bullet_list) and "howto-checks" in node["classes"]


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
    before["summary"] = f"Code, {_lines(sum(len(each.astext().splitlines()) for each in before))}"


def _lines(number: int) -> str:
    return "1 line" if number == 1 else f"{number} lines"


def _is_output(block: nodes.literal_block) -> bool:
    parents = (block, block.parent)
    return any("sphx-glr-script-out" in node.get("classes", ()) for node in parents)


def _parts(lines: list[str], checks: Iterator[dict], anchors: collections.Counter) -> Iterator[nodes.Node]:
    """The nodes that show what a cell printed, in its order."""
    while lines:
        if lines[0].startswith("✓ "):
            yield _checked(lines, checks, anchors)
        elif _is_difference(lines):
            yield _difference(lines)
        elif OPTIONS.match(lines[0]) or STAND_IN.match(lines[0]):
            yield from _fitted(lines)
        else:
            rest, logged = [], LOGGED.match(lines[0])
            while lines and not _begins(lines) and bool(LOGGED.match(lines[0])) == bool(logged):
                rest.append(lines.pop(0))
            text = "\n".join(rest)
            shown = nodes.literal_block(text, text, language="none", classes=["howto-printed"])
            if logged:
                said = f"MMDetection's log, {_lines(len(rest))}"
                yield details("", shown, summary=said, classes=["howto-fitted"])
            elif text.strip():
                yield shown


def _begins(lines: list[str]) -> bool:
    """Whether something other than plain output begins with the first of these lines."""
    marked = lines[0].startswith("✓ ") or OPTIONS.match(lines[0]) or STAND_IN.match(lines[0])
    return bool(marked) or _is_difference(lines)


def _is_difference(lines: list[str]) -> bool:
    return lines[0].startswith("--- ") and lines[1:] != [] and lines[1].startswith("+++ ")


def _checked(lines: list[str], checks: Iterator[dict], anchors: collections.Counter) -> nodes.bullet_list:
    """The checks that stand at the head of `lines`, each with an anchor and its value, long ones cut."""
    shown = nodes.bullet_list(classes=["howto-checks"], bullet="-")
    while lines and lines[0].startswith("✓ "):
        line, check = lines.pop(0)[2:], next(checks, None)
        name = check["name"] if check and line.startswith(f"{check['name']}: ") else line.partition(": ")[0]
        value = line.removeprefix(name).removeprefix(": ")
        short = f"{value[:LONGEST]} …" if len(value) > LONGEST else value
        text = nodes.paragraph("", "", nodes.Text(name))
        if value != "True":  # then its name is the whole of it
            text += [nodes.Text(": "), nodes.literal(short, short)]
        if check and check["expected"].startswith("at most "):
            text += nodes.Text(f", {check['expected']}")
        anchor = f"check-{nodes.make_id(name)}"
        anchors[anchor] += 1
        shown += nodes.list_item("", text, ids=[anchor if anchors[anchor] == 1 else f"{anchor}-{anchors[anchor]}"])
    return shown


def _difference(lines: list[str]) -> nodes.container:
    """The difference at the head of `lines`: of a variant and the page's own file, whichever of them comes first."""
    first, second = (lines.pop(0)[4:].strip() for _ in range(2))
    adapts = bool(VARIANT.search(second))  # the variant has a number that says nothing
    found = []
    while lines and (hunk := HUNK.match(lines[0])):
        found.append(" …")
        left = {"-": int(hunk[1] or 1), "+": int(hunk[2] or 1)}
        del lines[0]
        while lines and any(left.values()):
            for sign in "-+" if lines[0][:1] not in ("-", "+") else lines[0][0]:
                left[sign] -= 1
            found.append(lines.pop(0))
    text = "\n".join(found[1:])
    said = [nodes.Text("- "), nodes.literal(first, first), nodes.Text(", + adapted")]
    if not adapts:
        said = [nodes.Text("- the variant, + "), nodes.literal(second, second)]
    title = nodes.paragraph("", "", *said)
    block = nodes.literal_block(text, text, language="diff")
    return nodes.container("", title, block, classes=["howto-diff"])


def _fitted(lines: list[str]) -> Iterator[nodes.Node]:
    """What only fits a run to the machine that built the page, in one line that unfolds."""
    weights, options, command = [], [], ""
    while lines and (STAND_IN.match(lines[0]) or (not command and OPTIONS.match(lines[0]))):
        line = lines.pop(0)
        if found := STAND_IN.match(line):
            weights.append(found[1])
            continue
        command = line
        while lines and lines[0].startswith("    "):
            options.append(lines.pop(0).strip())
    said = [f"Fitted to this machine: {_options(options)}"] if command else []
    said += [f"random weights in place of {', '.join(weights)}"] if weights else []
    text = "\n".join([command, *(f"    {option}" for option in options)] if command else weights)
    summary = "; ".join(said)
    block = nodes.literal_block(text, text, language="none")
    yield details("", block, summary=summary[0].upper() + summary[1:], classes=["howto-fitted"])


def _options(options: list[str]) -> str:
    before = next((int(found[1]) for option in options if (found := re.match(r"and (\d+) options as", option))), 0)
    number = len(options) - bool(before) + before
    return "1 option" if number == 1 else f"{number} options"


def _open(translator: HTML5Translator, node: details) -> None:
    translator.body.append(translator.starttag(node, "details", ""))
    translator.body.append(f"<summary>{translator.encode(node['summary'])}</summary>\n")


def _close(translator: HTML5Translator, node: details) -> None:
    translator.body.append("</details>\n")
