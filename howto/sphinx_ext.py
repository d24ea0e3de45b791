"""Show snippets and records on the site, and have sphinx-gallery execute the pages that are not fresh."""

import contextlib
import functools
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from jinja2 import Template
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.directives.code import LiteralInclude
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective

from howto import downloads, files, limits, replay, shards, stacks, standby, workers
from howto.bench import BenchTables
from howto.drift import DriftTable
from howto.fingerprint import changed, fingerprint, mutations, package_sources, prose, weights_kind
from howto.isolation import fresh, put_back
from howto.migrate import Migrations, Renamed
from howto.record import write_json

LACKING = "howto-lacking"


class Snippet(LiteralInclude):
    """``.. snippet:: TOPIC/FILE``: a snippet file, whole, named by its place in a checkout, to copy or download.

    Content is what the file prints; it is shown below it, and Sphinx's doctest builder compares.
    """

    has_content = True
    option_spec = {"caption": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        path = files.snippet_folder(stacks.current().family) / self.arguments[0]
        if not path.is_file():
            raise self.error(f"there is no snippet {path}; name a file below {path.parents[1]}")
        self.options |= {"language": "python", "caption": f"configs/{self.arguments[0]}"}
        self.arguments = [f"/{os.path.relpath(path, self.env.srcdir)}"]
        (block,) = super().run()
        download = addnodes.download_reference("", "Download", reftarget=self.arguments[0], refdoc=self.env.docname)
        shown = nodes.container("", block, nodes.paragraph("", "", download), classes=["howto-snippet"])
        if not self.content:
            return [shown]
        code = next(block.findall(nodes.literal_block))
        code["testnodetype"], code["groups"] = "testcode", [path.stem]
        text = "\n".join(self.content)
        output = nodes.literal_block(
            text, text, testnodetype="testoutput", groups=[path.stem], options={}, language="none"
        )
        self.set_source_info(output)
        return [shown, nodes.caption("", "It prints"), output]


class Needs(SphinxDirective):
    """``.. needs:: PACKAGE``: the how-to is executed only where that package is installed; elsewhere it says so."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        if read_record(self.env.docname.rpartition("plot_")[2], self.env):
            return []
        said = nodes.paragraph("", "", nodes.literal("", self.arguments[0]))
        said += nodes.Text(" was not installed where this page was built. What the code prints was not seen.")
        return [nodes.admonition("", nodes.title("", "Not executed in this build"), said, classes=["warning"])]


class Install(SphinxDirective):
    """``.. install:: PACKAGE …``: installs what a how-to needs, in the versions of this stack."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        stack = stacks.current()
        self.env.note_dependency(str(stack.lock))
        command = f"$ {stack.install(self.arguments[0].split())}"
        return [nodes.literal_block(command, command, language="console")]


class VerifiedPanel(SphinxDirective):
    """``.. verified-panel::``: what this page's record says."""

    def run(self) -> list[nodes.Node]:
        topic = self.env.docname.rpartition("plot_")[2]
        record = read_record(topic, self.env)
        if record is None:
            return [nodes.paragraph("", f"This page was {_not_executed(topic)}.")]
        weights = ", ".join(f"{kind} weights ({name})" for name, kind in record["weights"].items()) or "none loaded"
        facts = [
            ("Executed on", f"{record['device']}, {record['seconds']:.0f} s, up to {record['peak_memory_mib']} MiB"),
            ("With", _named(record["versions"])),
            ("Photographs", record["data"]),
            ("Weights", weights),
        ]
        facts += [([f"snippets/{path}"], [f"sha256 {digest}"]) for path, digest in record["snippets"].items()]
        checks = [(check["name"], [check["expected"]], [check["measured"]]) for check in record["checks"]]
        section = nodes.section("", nodes.title("", "Verified"), ids=["verified"], classes=["howto-verified"])
        section += table(("Fact", "When this page was built"), facts)
        section += table(("Check", "Expected", "Measured"), checks)
        return [section]


def _named(versions: dict[str, str]) -> str:
    """The versions that ran, each that is not the lock's with the one that is."""
    others = stacks.differing(versions, stacks.current())
    return ", ".join(
        f"{name} {version}" + (f" (the lock has {others[name]})" if name in others else "")
        for name, version in versions.items()
    )


class VerifiedTable(SphinxDirective):
    """``.. verified-table::``: the records of all how-tos, a line each, and what they cost together."""

    def run(self) -> list[nodes.Node]:
        stack = stacks.current()
        rows, seconds, memory = [], 0.0, 0
        for topic in files.topics(stack.family):
            record = read_record(topic, self.env)
            target = dict(refdomain="std", reftype="doc", reftarget=f"/{files.GALLERY}/plot_{topic}", refexplicit=True)
            link = addnodes.pending_xref("", nodes.inline("", topic), refdoc=self.env.docname, refwarn=True, **target)
            if record is None:
                rows.append((link, _not_executed(topic), "", "", "", ""))
                continue
            seconds, memory = seconds + record["seconds"], max(memory, record["peak_memory_mib"])
            kinds = ", ".join(sorted(set(record["weights"].values()))) or "none"
            cost = f"{record['seconds']:.0f} s, {record['peak_memory_mib']} MiB"
            rows.append((link, f"{len(record['checks'])} passed", record["device"], kinds, cost, record["executed"]))
        total = f"All pages together: {seconds:.0f} s, at most {memory} MiB."
        head = ("How-to", "Checks", "Device", "Weights", "Time, memory", "Executed (UTC)")
        return [table(head, rows), nodes.paragraph("", total)]


def _not_executed(topic: str) -> str:
    package = files.lacking(stacks.current().family, topic)
    return "not executed in this build" + (f": {package} is not installed" if package else "")


class MutationTable(SphinxDirective):
    """``.. mutation-table::``: what ``tox -e mutate`` found last, counts by how-to and whatever was not noticed."""

    def run(self) -> list[nodes.Node]:
        stack = stacks.current()
        for topic in files.topics(stack.family):  # which make a report out of date
            for path in (files.script(stack.family, topic), *files.snippet_files(stack.family, topic)):
                self.env.note_dependency(str(path))
        note(self.env, files.mutations(stack))
        found = mutations(stack)
        if not found:
            return [nodes.paragraph("", "The mutations were not run on these snippets; tox -e mutate runs them.")]
        results = ("killed", "survived", "equivalent")
        rows = []
        for topic in sorted({item["topic"] for item in found}):
            own = [item["result"] for item in found if item["topic"] == topic]
            rows.append((topic, *(str(own.count(result)) for result in results)))
        shown = [table(("How-to", "Noticed", "Survived", "Cannot matter"), rows)]
        left = [
            (item["topic"], [item["edit"]], item["why"] or "survived") for item in found if item["result"] != "killed"
        ]
        if left:
            shown.append(table(("How-to", "Edit", "Why it was not noticed"), left))
        for topic, *_ in rows:
            killed = [item for item in found if (item["topic"], item["result"]) == (topic, "killed")]
            opened = f"<details><summary>{topic}: {len(killed)} that were noticed</summary>"
            noticed = table(("Edit", "What the checks said"), [([item["edit"]], [item["why"]]) for item in killed])
            shown += [nodes.raw("", opened, format="html"), noticed, nodes.raw("", "</details>", format="html")]
        return shown


def setup(app: Sphinx) -> dict:
    """Register the directives and the steps around sphinx-gallery's own, which runs at builder-inited, priority 500."""
    app.add_directive("snippet", Snippet)
    app.add_directive("needs", Needs)
    app.add_directive("install", Install)
    app.add_directive("verified-panel", VerifiedPanel)
    app.add_directive("verified-table", VerifiedTable)
    app.add_directive("mutation-table", MutationTable)
    app.add_directive("drift-table", DriftTable)
    app.add_directive("bench-tables", BenchTables)
    app.add_directive("migrations", Migrations)
    app.add_directive("renamed", Renamed)
    app.connect("builder-inited", forget_stale, priority=100)
    app.connect("builder-inited", collect_problems, priority=900)
    app.connect("builder-inited", finish_what_did_not_run, priority=900)
    app.connect("env-get-outdated", find_what_has_come)
    app.connect("source-read", add_panel)
    app.connect("env-updated", write_what_is_indexed)
    app.connect("build-finished", note_failures, priority=100)
    app.connect("build-finished", publish_records)
    # Pages are read again, not executed, when a directive would write them otherwise.
    return {"parallel_read_safe": True, "version": "1", "env_version": package_sources()}


def around_page(gallery_conf: dict, script: str, when: str) -> None:
    """sphinx-gallery's ``reset_modules``: a page gets a fresh state and limits, and may leave nothing behind."""
    topic, source = Path(script).stem.removeprefix("plot_"), Path(gallery_conf["src_dir"])
    replay.install()
    if replay.chosen(topic):
        if when == "after":
            page = source / files.GALLERY / f"plot_{topic}.rst"
            limits.cut(page)
            downloads.finish_notebook(stacks.current().family, page.with_suffix(".ipynb"))
            keep_words(topic)
    elif when == "before":
        import matplotlib

        import howto.preloaded  # noqa: F401

        workers.settle()
        standby.keep()
        around_page.page = contextlib.ExitStack()
        around_page.page.enter_context(_ticking(topic, sys.__stderr__))
        around_page.page.enter_context(put_back())
        os.environ.pop("MPLBACKEND", None)
        matplotlib.rcParams.update(FIGURES)
        fresh()
        around_page.leftovers = limits.leftovers()
        around_page.page.enter_context(limits.limited(Path(script).name))
    else:
        around_page.page.close()
        page = source / files.GALLERY / f"plot_{topic}.rst"
        problems = around_page.leftovers() + limits.cut(page)
        record = files.records(stacks.current()) / f"{topic}.json"
        if _mark(source, topic).exists() and not record.exists():
            problems.append("checks nothing, so nothing of it is verified; give it a checkout.check(…)")
        if problems:
            write_json(_problems() / f"{topic}.json", problems)
            _mark(source, topic).unlink(missing_ok=True)
        downloads.finish_notebook(stacks.current().family, page.with_suffix(".ipynb"))
        keep_passed(source, topic)


around_page.page = contextlib.ExitStack()


FIGURES = {
    "figure.dpi": 110,
    "savefig.bbox": "tight",
    "savefig.transparent": True,
    "figure.constrained_layout.use": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 9,
    "text.color": "#7d7d7d",  # legible on furo's light and dark background
    "axes.labelcolor": "#7d7d7d",
    "axes.edgecolor": "#7d7d7d",
    "xtick.color": "#7d7d7d",
    "ytick.color": "#7d7d7d",
    "image.cmap": "cividis",
}


def forget_stale(app: Sphinx) -> None:
    """Drop sphinx-gallery's mark of a page that ran, where the page would come out otherwise today."""
    replay.install()
    stack, conf = stacks.current(), app.config.sphinx_gallery_conf
    shutil.rmtree(_problems(), ignore_errors=True)
    mine = shards.mine(stack)
    conf["filename_pattern"] = "|".join(rf"/plot_{topic}\.py$" for topic in mine) or "(?!)"  # an empty one fits any
    stale, replayed = [], []
    for topic in files.topics(stack.family):
        parts = changed(stack, topic)
        # Words that changed, or that another builder set without any output.
        if not parts and (kept_words(topic) != prose(stack, topic) or not _mark(Path(app.srcdir), topic).exists()):
            if replay.kept(topic):
                replayed.append(topic)
                _mark(Path(app.srcdir), topic).unlink(missing_ok=True)
            else:
                parts = ["words"]  # and nothing to set beside them
        stale += [topic] if parts and topic in mine else []
        if parts:  # another builder writes such a page without its output, so it has to run for the site even if it
            _mark(Path(app.srcdir), topic).unlink(missing_ok=True)  # is put back as it was
            files.fingerprint_file(topic).unlink(missing_ok=True)
        if parts and conf["plot_gallery"]:
            (files.records(stack) / f"{topic}.json").unlink(missing_ok=True)
            # Taken before the page runs: what is edited while it runs makes it stale.
            write_json(_pending(topic), fingerprint(stack, topic))
    replay.choose(replayed)
    needed = workers.start(len(stale), sum(map(files.cost, stale))) if conf["plot_gallery"] else 1
    conf["parallel"] = needed if needed > 1 else False


def write_what_is_indexed(app: Sphinx, env) -> list[str]:
    """The pages with an ``index`` directive: search knows its words only of pages that the build at hand writes."""
    return sorted(name for name, entries in env.get_domain("index").entries.items() if entries)


def collect_problems(app: Sphinx) -> None:
    """Make a failure of what a page left behind; it may have run in another process."""
    failing = app.config.sphinx_gallery_conf["failing_examples"]
    for path in sorted(_problems().glob("*.json")):
        text = "\n".join(f"the page {problem}" for problem in json.loads(path.read_text("utf-8")))
        failing.setdefault(str(files.script(stacks.current().family, path.stem)), text)


def finish_what_did_not_run(app: Sphinx) -> None:
    """Complete the notebooks of how-tos that lack a package, which sphinx-gallery writes in every build."""
    family = stacks.current().family
    for topic in set(files.topics(family)) - set(files.runnable(family)):
        downloads.finish_notebook(family, Path(app.srcdir, files.GALLERY, f"plot_{topic}.ipynb"))


def keep_passed(srcdir: Path, topic: str) -> None:
    """Close the record of a page that has just run and passed, and store what it depended on when it began."""
    path = files.records(stacks.current()) / f"{topic}.json"
    if _mark(srcdir, topic).exists() and path.exists() and _pending(topic).exists():
        record = json.loads(path.read_text("utf-8"))
        now = time.strftime("%Y-%m-%d %H:%M", time.gmtime())
        write_json(path, {**record, "status": "passed", "executed": now})
        # Only the checkpoints that a page needs are known after it ran.
        weights = weights_kind(stacks.current(), topic)
        write_json(
            files.fingerprint_file(topic), {**json.loads(_pending(topic).read_text("utf-8")), "weights": weights}
        )
        _pending(topic).unlink()
        keep_words(topic)


def kept_words(topic: str) -> str:
    """What :func:`keep_words` stored; empty for nothing."""
    return json.loads(files.fingerprint_file(topic).read_text("utf-8")).get("prose", "")


def keep_words(topic: str) -> None:
    """Store which words stand beside the outputs of a page that was not executed again."""
    path = files.fingerprint_file(topic)
    found = json.loads(path.read_text("utf-8"))
    write_json(path, {**found, "prose": prose(stacks.current(), topic)})


def add_panel(app: Sphinx, docname: str, source: list[str]) -> None:
    """Each how-to ends with its verified panel; nobody has to write it there. Other pages may speak of `stack`."""
    if docname.startswith(f"{files.GALLERY}/plot_"):
        source[0] += "\n\n.. verified-panel::\n"
    elif not docname.startswith(files.GALLERY):
        source[0] = Template(source[0]).render(stack=stacks.current())


def note_failures(app: Sphinx, error: Exception | None) -> None:
    """Say in a line each which pages failed, and in which snippet if one raised the error."""
    failed = getattr(app.config, "sphinx_gallery_conf", {}).get("failing_examples", {})
    snippets = files.snippet_folder(stacks.current().family)
    found = []
    for script, text in sorted(failed.items()):
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        at = [line for line in lines if line.startswith(f'File "{script}"')][-1:]
        at += [line for line in lines if line.startswith(f'File "{snippets}{os.sep}')][-1:]
        found.append(f"{Path(script).name}: {' | '.join([*at, *lines[-2:]])}")
    write_json(files.records(stacks.current()).with_suffix(".failures.json"), found)


def publish_records(app: Sphinx, error: Exception | None) -> None:
    """Write ``verified.json`` beside the pages."""
    if error is None and app.builder.name == "html":
        stack = stacks.current()
        found = [read_record(topic, app.env) or unexecuted(stack, topic) for topic in files.topics(stack.family)]
        write_json(
            Path(app.outdir, "verified.json"), {"stack": stack.name, "records": [item for item in found if item]}
        )


def unexecuted(stack: stacks.Stack, topic: str) -> dict | None:
    """What ``verified.json`` says of a how-to that needs what is not installed; nothing of others."""
    package = files.lacking(stack.family, topic)
    return {"topic": topic, "stack": stack.name, "status": "not executed", "needs": package} if package else None


def read_record(topic: str, env) -> dict | None:
    """The record of a how-to that passed, or None. The document being read is read again when it changes."""
    path = files.records(stacks.current()) / f"{topic}.json"
    if env.current_document.docname:
        note(env, path)
    record = json.loads(path.read_text("utf-8")) if path.exists() else {}
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


def _mark(srcdir: Path, topic: str) -> Path:
    """sphinx-gallery writes this file when a script has run without an error."""
    return srcdir / files.GALLERY / f"plot_{topic}.py.md5"


def _problems() -> Path:
    return files.records(stacks.current()).with_suffix(".problems")


def _pending(topic: str) -> Path:
    return files.fingerprint_file(topic).with_suffix(".pending")


@contextlib.contextmanager
def _ticking(topic: str, stream) -> Iterator[None]:
    """Say which page runs, and for how long it has."""
    stop = threading.Event()
    ticker = threading.Thread(target=_tick, args=(topic, stop, stream), daemon=True)
    ticker.start()
    try:
        yield
    finally:
        stop.set()
        ticker.join()  # so that the next page's line does not begin in the middle of this one's


def _tick(topic: str, stop: threading.Event, stream, every: float = 10.0) -> None:
    started = time.monotonic()
    say = functools.partial(print, file=stream, flush=True)
    say(f"{topic}: executing")
    while not stop.wait(every):
        say(f"{topic}: executing, {time.monotonic() - started:.0f} s so far")
    say(f"{topic}: {time.monotonic() - started:.0f} s")
