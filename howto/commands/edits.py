"""Change one thing in a snippet, in every way that the operators know."""

import ast
import contextlib
import dataclasses
import itertools
import re
from collections.abc import Iterator

from howto.project.howtos import HowTo

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
EVERYWHERE = ("one more", "one less", "swapped", "rounded")  # edits that each value in a line gets


@dataclasses.dataclass(frozen=True)
class Mutation:
    """One edit of one snippet.

    Attributes:
        howto: The how-to.
        file: Name of the snippet.
        edit: What was changed, with the line.
        source: The file's text after the edit.
    """

    howto: HowTo
    file: str
    edit: str
    source: str


def mutations(howto: HowTo, every: bool = False) -> Iterator[Mutation]:
    """Single edits of every snippet of a how-to that leave valid Python.

    Args:
        howto: The how-to.
        every: Whether an operator changes every place of a line, one after the other, or the first alone; those that
            move an integer by one, swap neighbours or round the other way change every place anyway.
    """
    for path in howto.snippets:
        source, seen = path.read_text("utf-8"), {path.read_text("utf-8")}
        for edit, changed in _config_edits(source) if is_config(source) else _code_edits(source):
            with contextlib.suppress(SyntaxError):
                compile(changed, path.name, "exec")
                place = changed if every or edit.startswith(EVERYWHERE) else edit.partition(":")[0]
                if not {changed, place} & seen:
                    seen |= {changed, place}
                    yield Mutation(howto, path.name, edit, changed)


def is_config(source: str) -> bool:
    """Whether a snippet is a config, not a hook or a script."""
    return "_base_ = " in source or "read_base()" in source


def _code_edits(source: str) -> Iterator[tuple[str, str]]:
    """Edits of a hook or script: cosmic-ray's operators, divisions rounded, and each statement left out."""
    from cosmic_ray.mutating import mutate_code  # not at the top: only this command needs it
    from cosmic_ray.plugins import get_operator

    for name in OPERATORS:
        operator = get_operator(name)()
        for occurrence in range(1000):
            changed = mutate_code(source, operator, occurrence)
            if changed is None:
                break
            yield _described(name.removeprefix("core/"), source, changed), changed
    yield from _rounded(source)
    yield from _dropped_statements(source)


def _config_edits(source: str) -> Iterator[tuple[str, str]]:
    """Edits of a config.

    Values changed, keys, items and statements left out, neighbours swapped, signs flipped, divisions rounded.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant):
            for name, text in _other_values(node.value):
                yield from _replaced(name, source, node, text)
        if _is_negative(node):
            yield from _replaced("changed", source, node, ast.unparse(node.operand))
        if isinstance(node, ast.Call):
            for keyword in node.keywords:
                yield from _without(source, keyword)
            for one, other in itertools.pairwise(node.keywords):
                if _mixed_up(one, other):
                    yield from _swapped(source, one.value, other.value)
        if isinstance(node, (ast.List, ast.Tuple)):
            for item in node.elts:
                yield from _without(source, item)
            if not all(isinstance(item, ast.Constant) and isinstance(item.value, str) for item in node.elts):
                for one, other in itertools.pairwise(node.elts):  # names in any order, `_base_` say, come to the same
                    yield from _swapped(source, one, other)
    yield from _rounded(source)
    yield from _dropped_statements(source)


def _other_values(value: object) -> list[tuple[str, str]]:
    """What to write in the place of a config's value, each by what that is called."""
    if isinstance(value, bool) or value is None:
        return [("changed", repr(not value))]
    if isinstance(value, (int, float)):
        others = [("changed", value * 2 if value else 1)]
        if isinstance(value, int):
            others += [("one more", value + 1), ("one less", value - 1)]
        return [(name, repr(other)) for name, other in others]
    *scope, name = value.split(".", 1) if re.match(r"mm\w+\.[A-Z]", value) else [value]
    return [("changed", repr(name if scope else f"{value}x"))]


def _mixed_up(one: ast.keyword, other: ast.keyword) -> bool:
    """Whether somebody tired may give one key the other's value: both are numbers, switches, sequences or names."""
    kinds = ()
    for keyword in (one, other):
        value = keyword.value.value if isinstance(keyword.value, ast.Constant) else keyword.value
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        kinds += ("number" if number else "sequence" if isinstance(value, (ast.List, ast.Tuple)) else type(value),)
    return kinds[0] == kinds[1] and kinds[0] in ("number", "sequence", bool, ast.Name) and bool(one.arg and other.arg)


def _replaced(name: str, source: str, node: ast.AST, text: str) -> Iterator[tuple[str, str]]:
    start, end = _span(source, node)
    changed = source[:start] + text + source[end:]
    yield _described(name, source, changed), changed


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
    if changed != source:  # both may be the same
        yield _described("swapped", source, changed), changed


def _rounded(source: str) -> Iterator[tuple[str, str]]:
    """Round each whole division the other way: ``a // b`` up, and ``-(-a // b)``, which rounds up, down."""
    upwards = set()
    for node in ast.walk(ast.parse(source)):  # the outer node first
        if _is_negative(node) and _is_whole_division(node.operand) and _is_negative(node.operand.left):
            upwards.add(node.operand)
            down = ast.BinOp(node.operand.left.operand, ast.FloorDiv(), node.operand.right)
            yield from _replaced("rounded down", source, node, f"({ast.unparse(down)})")
        elif _is_whole_division(node) and node not in upwards:
            left = node.left.operand if _is_negative(node.left) else ast.UnaryOp(ast.USub(), node.left)
            up = ast.UnaryOp(ast.USub(), ast.BinOp(left, ast.FloorDiv(), node.right))
            yield from _replaced("rounded up", source, node, ast.unparse(up))


def _is_negative(node: ast.AST) -> bool:
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)


def _is_whole_division(node: ast.AST) -> bool:
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.FloorDiv)


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
    """Where a node begins and ends, in characters; `ast` counts the bytes of a line."""
    lines = source.split("\n")

    def at(line: int, column: int) -> int:
        before = lines[: line - 1]
        return sum(map(len, before)) + len(before) + len(lines[line - 1].encode()[:column].decode())

    return at(node.lineno, node.col_offset), at(node.end_lineno, node.end_col_offset)


def _described(name: str, before: str, after: str) -> str:
    """An edit in words: its name, its line, and the first line that it changes, before and after."""
    pairs = enumerate(zip(before.splitlines(), after.splitlines()), 1)
    number, (old, new) = next((number, pair) for number, pair in pairs if pair[0] != pair[1])
    return f"{name}, line {number}: {old.strip()} → {new.strip()}"
