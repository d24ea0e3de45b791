"""Draw the rooms of ``howto`` and the doors between them, from the code's own imports."""

import ast
import collections
import tomllib

import grimp
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from howto.project.stacks import ROOT

WIDTH, HEIGHT, GAP, DOORS = 600, 44, 14, 140  # pixels: a room, the space below it, and the space for doors beside it


def rooms() -> list[str]:
    """The rooms from the top down, as the contract of import-linter has them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    (layers,) = (each for each in settings["tool"]["importlinter"]["contracts"] if each["type"] == "layers")
    return [name for name in layers["layers"] if (ROOT / "howto" / name).is_dir()]


def doors() -> dict[tuple[str, str], int]:
    """For each pair of rooms, the first of which imports from the second, by how many modules' imports."""
    graph = grimp.build_graph("howto", cache_dir=None)
    found = collections.Counter()
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            pair = tuple(name.partition(".")[2].partition(".")[0] for name in (module, imported))
            if pair[0] != pair[1] and set(pair) <= set(rooms()):
                found[pair] += 1
    return dict(found)


def purpose(room: str) -> str:
    """The first sentence of a room's docstring."""
    text = ast.get_docstring(ast.parse((ROOT / "howto" / room / "__init__.py").read_text("utf-8")))
    return f"{text.partition('. ')[0].rstrip('.')}."


class Rooms(SphinxDirective):
    """``.. rooms::``: the rooms as a picture, each with what it is for, and a line for each door, thick where used."""

    def run(self) -> list[nodes.Node]:
        """The picture, and in a sentence what it counts."""
        names, found = rooms(), doors()
        place = {name: index * (HEIGHT + GAP) for index, name in enumerate(names)}
        parts = []
        for (above, below), number in sorted(found.items()):
            start, end = place[above] + HEIGHT * 0.65, place[below] + HEIGHT * 0.35
            bulge = WIDTH + DOORS * (names.index(below) - names.index(above)) / (len(names) - 1)
            parts.append(
                f'<path d="M{WIDTH} {start:.0f}C{bulge:.0f} {start:.0f} {bulge:.0f} {end:.0f} {WIDTH + 7} {end:.0f}" '
                f'fill="none" stroke="currentColor" stroke-opacity="0.55" stroke-width="{0.7 + number / 12:.1f}" '
                f'marker-end="url(#door)"><title>{above} imports from {below}: {number}</title></path>'
            )
        for name, top in place.items():
            parts.append(
                f'<rect x="0.5" y="{top + 0.5}" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="6" fill="none" '
                f'stroke="#0072b2"/><text x="12" y="{top + 18}" font-weight="600">howto/{name}/</text>'
                f'<text x="12" y="{top + 35}" font-size="12">{purpose(name)}</text>'
            )
        height = len(names) * (HEIGHT + GAP) - GAP
        said = (
            f"{len(names)} rooms, {len(found)} doors, each leading down; {sum(found.values())} imports go through them."
        )
        marker = (
            '<defs><marker id="door" viewBox="0 0 6 6" refX="5" refY="3" markerWidth="7" markerHeight="7" '
            'markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0L6 3L0 6z" fill="currentColor"/></marker></defs>'
        )
        drawn = (
            f'<svg class="howto-rooms" viewBox="0 0 {WIDTH + DOORS} {height}" font-size="14" fill="currentColor" '
            f'role="img" aria-label="{said}">{marker}{"".join(parts)}</svg>'
        )
        return [nodes.raw("", drawn, format="html"), nodes.paragraph("", said)]
