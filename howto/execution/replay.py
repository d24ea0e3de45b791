"""Let a page whose words alone have changed keep what its code printed and drew, and execute the longest pages first.

This is the one place that reaches into sphinx-gallery: two functions of its ``gen_rst`` are replaced, if it is the
version that they were written for. With any other, a changed word executes its page, and pages run by name.
"""

import ast
import functools
import hashlib
import json
import re
from pathlib import Path

from howto.project import files, stacks
from howto.project.howtos import HowTo
from howto.project.record import write_json

KNOWN = "0.22.1"
# A block of words as sphinx-gallery reads it: its mark, and the comment lines under it.
WORDS = re.compile(r"^(?:#{20,}.*|# ?%%.*)\n(?:#.*\n?)*", re.MULTILINE)


def known() -> bool:
    """Whether the installed sphinx-gallery is the version that this was written for."""
    return stacks.installed().get("sphinx-gallery") == KNOWN


def cells(script: str) -> list[str]:
    """The code of a gallery script, cell by cell, without its docstring and words."""
    docstring = ast.parse(script).body[0]
    code = "\n" * docstring.end_lineno + "".join(script.splitlines(keepends=True)[docstring.end_lineno :])
    return [cell.strip() for cell in WORDS.split(code) if cell.strip()]


def digest(text: str) -> str:
    """sha256 of what a script executes: its cells, or the whole of it where words cannot be told apart."""
    try:
        content = cells(text) if known() else text
    except SyntaxError:
        content = text
    return hashlib.sha256(repr(content).encode()).hexdigest()


def load_outputs(howto: HowTo) -> dict | None:
    """What the cells of a how-to put out when they last ran, if its script executes the same today.

    Its keys: ``outputs``, the reStructuredText of each code cell, and ``seconds``, what they took.
    """
    if not known() or not howto.outputs.exists():
        return None
    found = json.loads(howto.outputs.read_text("utf-8"))
    return found if found["script"] == digest(howto.text) else None


def mark_for_reuse(topics: dict[str, str]) -> None:
    """Say, to other processes too, beside which changed words this build sets outputs: their sha256 by how-to."""
    write_json(_chosen(), topics)


def reused_outputs(howto: HowTo) -> dict | None:
    """What :func:`load_outputs` found of a how-to that this build does not execute; None for one that it does."""
    return json.loads(howto.outputs.read_text("utf-8")) if prose_digest(howto) else None


def prose_digest(howto: HowTo) -> str:
    """sha256 of the words that this build sets beside a how-to's outputs; empty for one that it executes."""
    path = _chosen()
    return json.loads(path.read_text("utf-8")).get(howto.topic, "") if path.exists() else ""


def _chosen() -> Path:
    return files.records(stacks.current()).with_suffix(".replayed.json")


def _of(script: str) -> HowTo:
    return HowTo(stacks.current(), Path(script).stem.removeprefix("plot_"))


@functools.cache  # once in a process
def install() -> None:
    """Put the two functions in the place of sphinx-gallery's own, in this process."""
    if not known():
        return
    from sphinx_gallery import gen_rst

    execute, split = gen_rst.execute_script, gen_rst._split_parallel

    def execute_script(blocks, variables, *configurations):
        howto = _of(variables["src_file"])
        found = reused_outputs(howto) if variables["execute_script"] else None
        if not found:
            outputs, seconds = execute(blocks, variables, *configurations)
            if variables.get("passing"):
                code = [output for block, output in zip(blocks, outputs) if block.type == "code"]
                script = digest(Path(variables["src_file"]).read_text("utf-8"))
                write_json(howto.outputs, {"script": script, "outputs": code, "seconds": seconds})
            return outputs, seconds
        left = iter(found["outputs"])
        outputs = [next(left) if block.type == "code" else "" for block in blocks]
        target = variables["target_file"]
        Path(f"{target}.md5").write_text(gen_rst.get_md5sum(target, mode="t"), "utf-8")
        variables.update(memory_delta=0.0, example_globals={}, passing=True)
        return outputs, found["seconds"]

    def longest_first(*arguments):
        serial, parallel = split(*arguments)  # sphinx-gallery puts the results back into the order of the pages
        return serial, sorted(parallel, key=lambda name: -_of(name).cost)

    gen_rst.execute_script, gen_rst._split_parallel = execute_script, longest_first
