"""Change one thing in a snippet, run its how-to's checks, and see whether they notice."""

import ast
import contextlib
import dataclasses
import itertools
import multiprocessing
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

from howto import doctor, files, fingerprint
from howto.isolation import quiet
from howto.record import write_json
from howto.stacks import Stack

TIME_LIMIT = 150  # seconds; a mutation that makes the checks hang is noticed too
OPERATORS = (  # of cosmic-ray, for Python that is no config
    "core/AddNot",
    "core/NumberReplacer",
    "core/RemoveDecorator",
    "core/ReplaceBinaryOperator_Add_Sub",
    "core/ReplaceComparisonOperator_GtE_Gt",
    "core/ReplaceComparisonOperator_Lt_Eq",
    "core/ReplaceComparisonOperator_Lt_LtE",
    "core/ReplaceOrWithAnd",
    "core/ReplaceTrueWithFalse",
    "core/ReplaceUnaryOperator_Delete_Not",
    "core/ReplaceUnaryOperator_Delete_USub",
    "core/ZeroIterationForLoop",
)
EQUIVALENT = {  # what no check can notice, as a pattern of the edit, and why
    r"allow_failed_imports=False.* → .*imports=\['[^x]*'\](, allow_failed_imports=True)?\)": (
        "matters only where the import fails"
    ),
    r"^(dropped|changed), .*(_hook'\],|allow_failed_imports=False\)) → .*(_hook'\]\)|allow_failed_imports=True\))$": (
        "matters only where the import fails"
    ),
    r"frozen_stages=1\)\) .* → (model = dict\(\)|pass)": "the stock Faster R-CNN has frozen_stages=1 too",
    r"^swapped, .*out_indices=": "the backbone puts its levels out in its own order",
}


@dataclasses.dataclass(frozen=True)
class Mutation:
    """One edit of one snippet.

    Attributes:
        topic: The how-to.
        file: Name of the snippet.
        edit: What was changed, with the line.
        source: The file's text after the edit.
    """

    topic: str
    file: str
    edit: str
    source: str


def mutate(stack: Stack, names: list[str]) -> int:
    """Try every mutation of the how-tos `names`, or of all; print the survivors and write the report.

    Returns:
        0 if the checks noticed every mutation that can matter, else 1.
    """
    from rich.console import Console
    from rich.progress import track

    doctor.require(stack)
    topics = [files.check_topic(stack.family, name) for name in names] or files.topics(stack.family)
    found = [mutation for topic in topics for mutation in mutations(stack.family, topic)]
    with quiet():
        import mmdet.apis  # noqa: F401  before forking, so that each child finds torch and mmdet imported
        import torch

    torch.set_num_threads(1)
    os.environ["MPLBACKEND"] = "agg"
    os.environ.pop("HOWTO_RECORDS", None)
    console = Console(stderr=True)
    results = []
    with multiprocessing.get_context("fork").Pool(len(os.sched_getaffinity(0)), maxtasksperchild=1) as pool:
        tried = pool.imap(_try, [(stack.family, mutation) for mutation in found])
        for mutation, noticed in track(zip(found, tried), "mutations", len(found), console=console):
            reason = next(
                (why for pattern, why in EQUIVALENT.items() if re.search(pattern, mutation.edit)),
                "",
            )
            result = "killed" if noticed else "equivalent" if reason else "survived"
            results.append({"topic": mutation.topic, "file": mutation.file, "edit": mutation.edit, "result": result})
            results[-1] |= {"why": noticed or reason, "of": fingerprint.sources(stack, mutation.topic)}
            if result == "survived":
                console.print(f"survived: {mutation.topic}/{mutation.file}: {mutation.edit}", markup=False)
    write_json(files.mutations(stack), results)
    counts = {
        result: sum(item["result"] == result for item in results) for result in ("killed", "survived", "equivalent")
    }
    print(f"{len(results)} mutations: " + ", ".join(f"{count} {result}" for result, count in counts.items()))
    return int(counts["survived"] > 0 or counts["equivalent"] > 0.05 * len(results))


def mutations(family: str, topic: str) -> Iterator[Mutation]:
    """Every single edit of every snippet of a how-to that leaves valid Python."""
    for path in files.snippet_files(family, topic):
        source, seen = path.read_text(), {path.read_text()}
        is_config = "_base_ = " in source
        for edit, changed in _config_edits(source) if is_config else _code_edits(source):
            with contextlib.suppress(SyntaxError):
                compile(changed, path.name, "exec")
                if changed not in seen:
                    seen.add(changed)
                    yield Mutation(topic, path.name, edit, changed)


def _code_edits(source: str) -> Iterator[tuple[str, str]]:
    """Edits of a hook or script: cosmic-ray's operators, and each statement left out."""
    from cosmic_ray.mutating import mutate_code  # not at the top: only this command needs it
    from cosmic_ray.plugins import get_operator

    for name in OPERATORS:
        operator = get_operator(name)()
        for occurrence in range(1000):
            changed = mutate_code(source, operator, occurrence)
            if changed is None:
                break
            yield _described(name.removeprefix("core/"), source, changed), changed
    yield from _dropped_statements(source)


def _config_edits(source: str) -> Iterator[tuple[str, str]]:
    """Edits of a config: values changed, keys, items and statements left out, neighbours swapped, signs flipped."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant):
            yield from _replaced(source, node, _other_values(node.value))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            yield from _replaced(source, node, [ast.unparse(node.operand)])
        if isinstance(node, ast.Call):
            for keyword in node.keywords:
                yield from _without(source, keyword)
        if isinstance(node, (ast.List, ast.Tuple)):
            for item in node.elts:
                yield from _without(source, item)
            if not all(isinstance(item, ast.Constant) and isinstance(item.value, str) for item in node.elts):
                for one, other in itertools.pairwise(node.elts):  # names in any order, `_base_` say, come to the same
                    yield from _swapped(source, one, other)
    yield from _dropped_statements(source)


def _other_values(value: object) -> list[str]:
    """What to write in the place of a config's value."""
    if isinstance(value, bool) or value is None:
        return [repr(not value)]
    if isinstance(value, (int, float)):
        return [repr(value * 2 if value else 1)]
    *scope, name = value.split(".", 1) if re.match(r"mm\w+\.[A-Z]", value) else [value]
    return [repr(name)] if scope else [repr(f"{value}x")]


def _replaced(source: str, node: ast.AST, texts: list[str]) -> Iterator[tuple[str, str]]:
    start, end = _span(source, node)
    for text in texts:
        changed = source[:start] + text + source[end:]
        yield _described("changed", source, changed), changed


def _without(source: str, node: ast.AST) -> Iterator[tuple[str, str]]:
    """Leave out a keyword or an item, with the comma behind it, else with the one before."""
    start, end = _span(source, node)
    after = re.match(r"\s*,[ ]*", source[end:])
    before = re.search(r",\s*$", source[:start])
    end, start = (end + after.end(), start) if after else (end, before.start() if before else start)
    changed = source[:start] + source[end:]
    yield _described("dropped", source, changed), changed


def _swapped(source: str, one: ast.AST, other: ast.AST) -> Iterator[tuple[str, str]]:
    (a, b), (c, d) = _span(source, one), _span(source, other)
    changed = source[:a] + source[c:d] + source[b:c] + source[a:b] + source[d:]
    yield _described("swapped", source, changed), changed


def _dropped_statements(source: str) -> Iterator[tuple[str, str]]:
    """Leave out each statement that is no definition, import or docstring; `pass` keeps a block whole."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Assign, ast.Return, ast.Expr, ast.Raise, ast.If)):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                continue
            start, end = _span(source, node)
            changed = source[:start] + "pass" + source[end:]
            yield _described("dropped", source, changed), changed


def _span(source: str, node: ast.AST) -> tuple[int, int]:
    lines = [0]
    for line in source.splitlines(keepends=True):
        lines.append(lines[-1] + len(line))
    return lines[node.lineno - 1] + node.col_offset, lines[node.end_lineno - 1] + node.end_col_offset


def _described(name: str, before: str, after: str) -> str:
    """An edit in words: its name, its line, and the first line that it changes, before and after."""
    pairs = enumerate(zip(before.splitlines(), after.splitlines()), 1)
    number, (old, new) = next((number, pair) for number, pair in pairs if pair[0] != pair[1])
    return f"{name}, line {number}: {old.strip()} → {new.strip()}"


def _try(job: tuple[str, Mutation]) -> str:
    """In a process of its own: what the how-to's script says to the mutated snippet, or nothing if it passes."""
    from howto.verify import execute

    family, mutation = job
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(files.snippet_folder(family), Path(folder, family))
        Path(folder, family, mutation.topic, mutation.file).write_text(mutation.source)
        os.environ["HOWTO_SNIPPETS"] = folder
        signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(TimeoutError(f"no end after {TIME_LIMIT} s")))
        signal.alarm(TIME_LIMIT)
        problem = execute(files.script(family, mutation.topic)).partition("\n")[0]
        signal.alarm(0)
    # A pitfall that no longer finds the words that it changes is no check of what they do.
    return "" if re.search(r"occurs \d+ times, not once", problem) else problem
