"""Have sphinx-gallery execute the pages that are not fresh, each as if it were alone, and keep what they leave."""

import contextlib
import dataclasses
import json
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

from sphinx.application import Sphinx

from howto.execution import limits, page, replay, shards, workers
from howto.execution.fingerprint import changed, fingerprint, prose, weights_kind
from howto.execution.progress import Progress
from howto.execution.state import PageState
from howto.project import files, howtos, stacks
from howto.project.howtos import HowTo
from howto.project.record import write_json
from howto.project.shown import show
from howto.site import downloads


class Pages:
    """What a process has of the page that it executes.

    Attributes:
        left: What to put back after it.
        leftovers: Lists what it has left open or running.
        progress: Follows all pages, in the process that has the others started.
    """

    def __init__(self) -> None:
        self.left = contextlib.ExitStack()
        self.leftovers: Callable[[], list[str]] = list
        self.progress: Progress | None = None

    def close(self) -> None:
        """Put everything back, as Ctrl-C leaves a page open."""
        self.left.close()
        if self.progress:
            self.progress.stop()


pages = Pages()


def around_page(gallery_conf: dict, script: str, when: str) -> None:
    """sphinx-gallery's ``reset_modules``: a page gets a fresh state and limits, and may leave nothing behind."""
    howto, source = _howto(script), Path(gallery_conf["src_dir"])
    shown = source / files.GALLERY / f"plot_{howto.topic}.rst"
    replay.install()
    if replay.reused_outputs(howto):
        if when == "after":
            limits.truncate(shown)
            downloads.finish_notebook(howto, shown.with_suffix(".ipynb"))
            dataclasses.replace(PageState.of(howto), prose=replay.prose_digest(howto)).keep(howto)
    elif when == "before":
        page.prepare()
        dataclasses.replace(PageState.of(howto), state="running").keep(howto)
        pages.left.enter_context(show.collecting())
        pages.leftovers = pages.left.enter_context(page.executing(Path(script).name))
    else:
        pages.left.close()
        problems = pages.leftovers() + limits.truncate(shown)
        if _mark(source, howto).exists() and not howto.record.exists():
            problems.append("checks nothing, so nothing of it is verified; give it a checkout.check(…)")
        if problems:
            _mark(source, howto).unlink(missing_ok=True)
        downloads.finish_notebook(howto, shown.with_suffix(".ipynb"))
        keep_result(source, howto, problems)


@dataclasses.dataclass
class Plan:
    """What a build is to do.

    Attributes:
        pages: The pages that this machine executes, fresh ones among them.
        stale: Those that would come out otherwise today, of this machine and of others.
        replay: Those whose words alone have changed: what their code put out stays.
    """

    pages: list[HowTo]
    stale: list[HowTo]
    replay: list[HowTo]

    @property
    def execute(self) -> list[HowTo]:
        """What this machine has to execute."""
        return [howto for howto in self.stale if howto in self.pages]


def plan(stack: stacks.Stack, srcdir: Path) -> Plan:
    """Look at all pages of a stack, and change nothing."""
    here, stale, replayed = shards.of_this_machine(stack), [], []
    for howto in howtos.every(stack):
        if changed(howto):
            stale.append(howto)
        # Words that changed, or that another builder set without any output.
        elif PageState.of(howto).prose != prose(howto) or not _mark(srcdir, howto).exists():
            (replayed if replay.load_outputs(howto) else stale).append(howto)
    return Plan(here, stale, replayed)


def forget_stale(app: Sphinx) -> None:
    """Drop sphinx-gallery's mark of a page that ran, where the page would come out otherwise today."""
    replay.install()
    stack, conf, srcdir = stacks.current(), app.config.sphinx_gallery_conf, Path(app.srcdir)
    planned = plan(stack, srcdir)
    executed = "|".join(rf"/plot_{howto.topic}\.py$" for howto in planned.pages)
    conf["filename_pattern"] = executed or "(?!)"  # an empty one fits any
    for howto in planned.replay:
        _mark(srcdir, howto).unlink(missing_ok=True)
    for howto in planned.stale:  # another builder writes such a page without its output, so it has to run for the site
        _mark(srcdir, howto).unlink(missing_ok=True)  # even if it is put back as it was
        state = PageState()
        if conf["plot_gallery"]:
            howto.record.unlink(missing_ok=True)
            # Taken before the page runs: what is edited while it runs makes it stale.
            state = PageState("begun", fingerprint(howto), prose(howto))
        state.keep(howto)
    replay.mark_for_reuse({howto.topic: prose(howto) for howto in planned.replay})
    cost = sum(howto.cost for howto in planned.execute)
    needed = workers.start(len(planned.execute), cost) if conf["plot_gallery"] else 1
    conf["parallel"] = needed if needed > 1 else False
    if conf["plot_gallery"]:
        pages.progress = Progress(planned.execute, needed, sys.__stderr__)
        pages.progress.start()


def collect_problems(app: Sphinx) -> None:
    """Make a failure of what a page left behind; it may have run in another process. All have run by now."""
    if pages.progress:
        pages.progress.stop()
    failing = app.config.sphinx_gallery_conf["failing_examples"]
    for howto in howtos.every(stacks.current()):
        if problems := PageState.of(howto).problems:
            failing.setdefault(str(howto.script), "\n".join(f"the page {problem}" for problem in problems))


def finish_what_did_not_run(app: Sphinx) -> None:
    """Complete the notebooks of how-tos that lack a package, which sphinx-gallery writes in every build."""
    stack = stacks.current()
    for howto in set(howtos.every(stack)) - set(howtos.runnable(stack)):
        downloads.finish_notebook(howto, Path(app.srcdir, files.GALLERY, f"plot_{howto.topic}.ipynb"))


def keep_result(srcdir: Path, howto: HowTo, problems: list[str]) -> None:
    """Close the record of a page that has just run, if it passed."""
    state = PageState.of(howto)
    if _mark(srcdir, howto).exists() and howto.record.exists() and state.state == "running":
        record = json.loads(howto.record.read_text("utf-8"))
        now = time.strftime("%Y-%m-%d %H:%M", time.gmtime())
        write_json(howto.record, {**record, "status": "passed", "executed": now})
        # Only the checkpoints that a page needs are known after it ran.
        depends = {**state.depends, "weights": weights_kind(howto)}
        dataclasses.replace(state, state="passed", depends=depends).keep(howto)
    elif state.state == "running":
        dataclasses.replace(state, state="failed", problems=tuple(problems)).keep(howto)


def note_failures(app: Sphinx, error: Exception | None) -> None:
    """Say in a line each which pages failed, and in which snippet if one raised the error."""
    failed = getattr(app.config, "sphinx_gallery_conf", {}).get("failing_examples", {})
    snippets = files.snippet_folder(stacks.current().family)
    found = []
    for script, text in sorted(failed.items()):
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        at = re.findall(rf'File "{re.escape(script)}", line (\d+)', text)[-1:]
        at = [_howto(script).at(int(line)) for line in at]
        at += [line for line in lines if line.startswith(f'File "{snippets}{os.sep}')][-1:]
        found.append(f"{Path(script).name}: {' | '.join([*at, *lines[-2:]])}")
    write_json(files.records(stacks.current()).with_suffix(".failures.json"), found)


def _howto(script: str) -> HowTo:
    """The how-to of a gallery script's path or name."""
    return HowTo(stacks.current(), Path(script).stem.removeprefix("plot_"))


def _mark(srcdir: Path, howto: HowTo) -> Path:
    """sphinx-gallery writes this file when a script has run without an error."""
    return srcdir / files.GALLERY / f"plot_{howto.topic}.py.md5"
