"""What the directives share: records, tables, and what a document depends on."""

import ast
import json
import os
import re
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective

from howto.project import files, stacks
from howto.project.errors import HowtoError
from howto.project.howtos import HowTo

LACKING = "howto-lacking"


class details(nodes.container):
    """What a reader opens: ``summary`` in a line, and the rest below it. Only HTML folds it."""


def howto_of(docname: str) -> HowTo | None:
    """The how-to that a page shows, if it shows one."""
    if not docname.startswith(f"{files.GALLERY}/plot_"):
        return None
    return HowTo(stacks.current(), docname.rpartition("plot_")[2])


def find_snippet(directive: SphinxDirective, name: str) -> Path:
    """The file of the page's how-to that a directive names, by its name in either family.

    Raises:
        DirectiveError: The how-to has no such file.
    """
    try:
        return howto_of(directive.env.docname).snippet(name)
    except HowtoError as error:
        raise directive.error(str(error)) from error


def short_title(howto: HowTo) -> str:
    """What its question asks, in short: "Train with Mosaic" for "How do I train with Mosaic?"."""
    question = howto.question.removeprefix("How do I ").rstrip("?")
    return question[0].upper() + question[1:]


def ran_on(record: dict) -> str:
    """What a how-to was executed on, in words."""
    counts = [{1: "one GPU", 2: "two GPUs"}[each] for each in record["simulated_gpus"]]
    return f"the simulated path of {' and of '.join(counts)}, computed on the CPU" if counts else record["device"]


def read_record(howto: HowTo, env) -> dict | None:
    """The record of a how-to that passed, or None. The document being read is read again when it changes."""
    if env.current_document.docname:
        note(env, howto.record)
    record = json.loads(howto.record.read_text("utf-8")) if howto.record.exists() else {}
    return record if record.get("status") == "passed" else None


def note(env: BuildEnvironment, path: Path) -> None:
    """Have the document that is being read be read again when a file changes, goes or comes."""
    if path.exists():
        env.note_dependency(str(path))
    else:  # Sphinx would read a document that depends on it again and again
        env.metadata[env.docname].setdefault(LACKING, []).append(str(path))


def find_what_has_come(app: Sphinx, env: BuildEnvironment, *_: set) -> list[str]:
    """The documents that would show a file which was not there when they were read."""
    return [name for name, data in env.metadata.items() if any(map(os.path.exists, data.get(LACKING, ())))]


def in_words(value: str) -> str:
    """A measured value, which a record has as Python writes it, as a reader would: ``['neck', 0.02]`` is neck, 0.02."""
    try:
        return _words(ast.literal_eval(value))
    except (ValueError, SyntaxError):  # of a class of its own, or words already
        return re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", value)


def _words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{_words(key)}: {_words(each)}" for key, each in value.items()) or "none"
    if isinstance(value, (list, tuple, set)):
        value = sorted(value, key=str) if isinstance(value, set) else value
        inner = (f"({_words(each)})" if isinstance(each, (list, tuple, set, dict)) else _words(each) for each in value)
        return ", ".join(inner) or "none"
    if value is None or isinstance(value, bool):
        return {True: "yes", False: "no", None: "none"}[value]
    return str(value) or "nothing"


def table(head: tuple[str, ...], rows: list[tuple]) -> nodes.table:
    """A table that scrolls by itself. A cell is text, a node, or a list of one text that is code."""
    group = nodes.tgroup("", *[nodes.colspec(colwidth=1) for _ in head], cols=len(head))
    for part, lines in ((nodes.thead(), [head]), (nodes.tbody(), rows)):
        for line in lines:
            part += nodes.row("", *[nodes.entry("", nodes.paragraph("", "", *_cell(cell))) for cell in line])
        group += part
    return nodes.table("", group, classes=["colwidths-auto"])


def _cell(content: str | list[str] | nodes.Node) -> list[nodes.Node]:
    if isinstance(content, nodes.Node):
        return [content]
    return [nodes.Text(content)] if isinstance(content, str) else [nodes.literal("", content[0])]
