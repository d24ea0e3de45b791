"""Show what ``tox -e bench`` measured."""

import json
import statistics

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from howto.project import files
from howto.site.parts import note, table

OWN = "this project"
KINDS = {
    "light": "{} light pages, each of which builds a ResNet",
    "real": "The {} how-tos of this site",
    "cheap": "{} pages that add 1 and 1",
    "themes": "The {} how-tos under other themes",
}
CASES = (
    "clean build",
    "nothing changed",
    "one snippet edited",
    "one page's text edited",
    "a module of howto edited",
    "installed mmdet edited",
)
WIDTH = 160  # pixels of the longest bar


class BenchTables(SphinxDirective):
    """``.. bench-tables::``: for each kind of pages and each case, the time of each tool beside this project's."""

    def run(self) -> list[nodes.Node]:
        """The tables, or that nothing was measured."""
        path = files.benchmarks()
        note(self.env, path)
        if not path.exists():
            return [nodes.paragraph("", "It was not measured where this site was built; tox -e bench measures it.")]
        shown = []
        for found in json.loads(path.read_text("utf-8")):
            title = KINDS[found["kind"]].format(found["pages"])
            section = nodes.section("", nodes.title("", title), ids=[nodes.make_id(title)])
            rounds = "one round" if found["rounds"] == 1 else f"{found['rounds']} rounds"
            of = "the pages" if found["kind"] == "themes" else rounds
            section += nodes.paragraph("", f"Medians of {of}, on {found['machine']}, {found['date']}.")
            if found["kind"] == "themes":
                section += self.themes(found["themes"])
            for case in sorted(found.get("cases", ()), key=CASES.index):
                tools = found["cases"][case]
                head = (case.capitalize(), "Time", "× this project", "Seconds", "MiB", "Stale pages")
                columns = zip(head, *self.rows(tools), strict=True)
                head, *rows = zip(*[column for column in columns if any(column[1:])], strict=True)
                section += table(head, rows)
            shown.append(section)
        return shown

    def themes(self, found: list[dict]) -> nodes.Node:
        """A row for each theme: what a page loads before it is scrolled, and how fast Lighthouse's phone shows it."""
        own = found[0]["bytes"]
        rows = [
            (item["theme"], f"{item['bytes'] / 1000:.0f} kB", f"{item['bytes'] / own:.2f}", f"{item['requests']:.0f}")
            + (("not measured",) if item["performance"] is None else (f"{item['performance']:.0f} of 100",))
            for item in found
        ]
        return table(("Theme", "A page", "× this site", "Requests", "Lighthouse, speed"), rows)

    def rows(self, tools: dict[str, dict]) -> list[tuple]:
        """A row for each tool: bar, ratio, median and spread, and if they are known, its memory and stale pages."""
        middles = {name: statistics.median(item["seconds"]) for name, item in tools.items()}
        rows = []
        for name, item in sorted(tools.items(), key=lambda entry: middles[entry[0]]):
            ratio = middles[name] / middles[OWN]
            width = max(1, round(WIDTH * middles[name] / max(middles.values())))
            color = "#0072b2" if name.startswith(OWN) else "#8a8a8a"
            bar = (
                f'<svg class="howto-bar" width="{WIDTH}" height="10" role="img" aria-label="{ratio:.2f} times">'
                f'<rect width="{width}" height="10" rx="2" fill="{color}"/></svg>'
            )
            seconds = f"{middles[name]:.1f} ({min(item['seconds']):.1f} to {max(item['seconds']):.1f})"
            stale = "" if item["stale"] is None else str(item["stale"])
            cells = (f"{ratio:.2f}", seconds, str(max(item["mib"], default="")), stale)
            rows.append((name, nodes.raw("", bar, format="html"), *cells))
        return rows
