"""Build the site of a stack beside the last good one, and put it in its place once it is whole."""

import contextlib
import datetime
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

from howto.execution import doctor, fingerprint, shards, workers
from howto.project import files, howtos
from howto.project.errors import HowtoError
from howto.project.files import BUILD, DOCS
from howto.project.howtos import HowTo
from howto.project.settings import Settings
from howto.project.stacks import ROOT, Stack
from howto.publish import join


def build(stack: Stack) -> int:
    """Build the site into ``docs/_build/html/<stack>``, executing the pages that are not fresh.

    With ``HOWTO_SHARD`` only the pages of that shard are executed, and bundled for ``python -m howto merge``.

    Raises:
        HowtoError: If the machine lacks something, or the site could not be built; the last good one stays.
    """
    started, settings = time.monotonic(), Settings.from_environ()
    with files.building():
        doctor.require(stack, executes=False)
        files.take_gallery(stack)
        pages = shards.of_this_machine(stack)
        stale = [howto for howto in pages if fingerprint.changed(howto)]
        for howto in set(pages) - set(stale):
            _require_young(howto)
        workers.start(len(stale), sum(howto.cost for howto in stale))  # they import torch while this process does
        if stale:
            with _interruptible():
                doctor.require(stack)
        if stale:  # else pictures and downloads that no page shows any more would stay on the site
            shutil.rmtree(BUILD / "work" / stack.name, ignore_errors=True)
        code = _sphinx(stack, "dummy" if settings.shard else "html", BUILD / "work" / stack.name)
        if code:
            full = shutil.disk_usage(BUILD).free < 2**20
            shutil.rmtree(BUILD / "doctrees" / f"{stack.name}-html", ignore_errors=True)  # or warnings come only once
            failures = files.records(stack).with_suffix(".failures.json")
            found = json.loads(failures.read_text("utf-8")) if failures.exists() else []
            found += [f"no space left on the disk of {BUILD}; free some"] if full else []
            raise HowtoError("\n  ".join(["the site was not built, the last good one stays; see above", *found]))
        if settings.shard:
            names = ", ".join(howto.topic for howto in pages) or "no page"
            print(f"{names} in {os.path.relpath(shards.pack(stack, pages))}")
            return 0
        site = _publish(BUILD / "work" / stack.name, BUILD / "html" / stack.name)
    _summary(stack, stale, site, time.monotonic() - started)
    return 0


def _require_young(howto: HowTo) -> None:
    """Stop if the page that is not executed now was longer ago than ``HOWTO_MAX_AGE`` allows."""
    if not (allowed := Settings.from_environ().max_age):
        return
    executed = json.loads(howto.record.read_text("utf-8"))["executed"]
    if datetime.datetime.fromisoformat(f"{executed}+00:00") < datetime.datetime.now(datetime.UTC) - allowed:
        raise HowtoError(
            f"{howto.topic} was executed on {executed}, longer ago than HOWTO_MAX_AGE allows; "
            f"have it executed anew: rm {os.path.relpath(howto.state)}"
        )


def doctest(stack: Stack) -> int:
    """Run what the pages' code blocks print, by Sphinx's doctest builder, and the snippets' and howto's docstrings."""
    with files.building():
        code = _sphinx(stack, "doctest", BUILD / "doctest" / stack.name)
    snippets = files.snippet_folder(stack.family).rglob("*.py")  # a pure-Python config is imported by mmengine alone
    sources = [ROOT / "howto", *(path for path in sorted(snippets) if ">>> " in path.read_text("utf-8"))]
    # In a process of its own, because Sphinx's doctest builder leaves its display hook behind.
    command = [sys.executable, "-m", "pytest", "-q", "--doctest-modules", "-W", "ignore", *sources]
    return code or subprocess.run(command, cwd=ROOT).returncode


def _sphinx(stack: Stack, builder: str, out: Path) -> int:
    from sphinx.cmd.build import main

    from howto.site.gallery import pages  # with its own import of Sphinx

    doctrees = BUILD / "doctrees" / f"{stack.name}-{builder}"
    options = ["-n", "-W", "--keep-going", "-b", builder, "-d", doctrees, "-c", ROOT]
    # What is not for the site executes no page.
    options += ["-D", "plot_gallery=0"] if builder == "doctest" else ["-q"]
    try:
        with _interruptible():
            return main([str(option) for option in (*options, DOCS, out)])
    except SystemExit as error:  # sphinx-gallery lets it pass
        scripts = re.escape(str(files.scripts(stack)))
        text = "".join(traceback.format_exception(error))  # with the traceback of the process that executed the page
        at = re.findall(rf'File "{scripts}/plot_(\w+)\.py", line (\d+)', text)
        if not at:
            raise
        topic, line = at[-1]
        place = HowTo(stack, topic).at(int(line))
        raise HowtoError(f"{place} ended the build by sys.exit({error.code!r}); raise an exception instead") from error
    finally:
        pages.close()


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Have Ctrl-C end the build, though Sphinx makes an ordinary failure of it, and some package ignores it."""
    interrupted = []

    def interrupt(number, frame):
        interrupted.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if interrupted:
            raise KeyboardInterrupt


def _publish(work: Path, site: Path) -> Path:
    """Copy a finished site to its place; there is a whole one at every moment but the instant between two renames."""
    new, old = site.with_name(f".{site.name}.new"), site.with_name(f".{site.name}.old")
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        shutil.copytree(work, new, ignore=shutil.ignore_patterns(".buildinfo*", ".doctrees"))
    except shutil.Error as error:  # a list of all that failed
        *_, first = error.args[0][0]
        raise HowtoError(f"the site was not published, the last good one stays: {first}; free some space") from error
    if site.exists():
        site.rename(old)
    new.rename(site)
    shutil.rmtree(old, ignore_errors=True)
    return join.join(site.parent)


def _summary(stack: Stack, executed: list[HowTo], index: Path, seconds: float) -> None:
    records = [json.loads(path.read_text("utf-8")) for path in sorted(files.records(stack).glob("*.json"))]
    snippets = sum(len(record["snippets"]) for record in records)
    devices = ", ".join(sorted({record["device"] for record in records}))
    left = {howto.topic: howto.lacking for howto in howtos.every(stack)}
    ran = sum(len(record["snippets"]) for record in records if record["topic"] in {howto.topic for howto in executed})
    print(
        f"The site is at {index.relative_to(Path.cwd()) if index.is_relative_to(Path.cwd()) else index}\n"
        f"{snippets} snippets on {len(records)} pages, {ran} executed now, on {devices}; {seconds:.0f} s"
        + "".join(
            f"\nnot executed: {topic}, which needs the package {package}" for topic, package in left.items() if package
        ),
        file=sys.stdout,
    )
