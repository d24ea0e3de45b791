"""Build the site of a stack beside the last good one, and put it in its place once it is whole."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from howto import doctor, files, fingerprint, join
from howto.errors import HowtoError
from howto.files import BUILD, DOCS
from howto.stacks import ROOT, Stack
from howto.wheelhouse import locked


def build(stack: Stack) -> int:
    """Build the site into ``docs/_build/html/<stack>``, executing the pages that are not fresh.

    Raises:
        HowtoError: If the machine lacks something, or the site could not be built; the last good one stays.
    """
    started = time.monotonic()
    with locked(BUILD / "build.lock", "another build in this checkout"):
        files.take_gallery(stack)
        stale = [topic for topic in files.topics(stack.family) if fingerprint.changed(stack, topic)]
        doctor.require(stack, executes=bool(stale))
        if stale:  # else pictures and downloads that no page shows any more would stay on the site
            shutil.rmtree(BUILD / "work" / stack.name, ignore_errors=True)
        code = _sphinx(stack, "html", BUILD / "work" / stack.name)
        if code:
            shutil.rmtree(BUILD / "doctrees" / f"{stack.name}-html", ignore_errors=True)  # or warnings come only once
            failures = files.records(stack).with_suffix(".failures.json")
            found = json.loads(failures.read_text()) if failures.exists() else []
            raise HowtoError("\n  ".join(["the site was not built, the last good one stays; see above", *found]))
        site = _publish(BUILD / "work" / stack.name, BUILD / "html" / stack.name)
    _summary(stack, stale, site, time.monotonic() - started)
    return 0


def doctest(stack: Stack) -> int:
    """Run what the pages' code blocks print, by Sphinx's doctest builder, and the snippets' and howto's docstrings."""
    with locked(BUILD / "build.lock", "another build in this checkout"):
        code = _sphinx(stack, "doctest", BUILD / "doctest" / stack.name)
    sources = [ROOT / "howto", files.snippet_folder(stack.family)]
    # In a process of its own, because Sphinx's doctest builder leaves its display hook behind.
    command = [sys.executable, "-m", "pytest", "-q", "--doctest-modules", "-W", "ignore", *sources]
    return code or subprocess.run(command, cwd=ROOT).returncode


def _sphinx(stack: Stack, builder: str, out: Path) -> int:
    from sphinx.cmd.build import main

    doctrees = BUILD / "doctrees" / f"{stack.name}-{builder}"
    options = ["-n", "-W", "--keep-going", "-b", builder, "-d", doctrees, "-c", ROOT]
    options += ["-q"] if builder == "html" else ["-D", "plot_gallery=0"]  # what is not for the site executes no page
    interrupted = []

    def interrupt(number, frame):
        interrupted.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        code = main([str(option) for option in (*options, DOCS, out)])
    finally:
        signal.signal(signal.SIGINT, before)
    if interrupted:  # Sphinx makes an ordinary failure of it
        raise KeyboardInterrupt
    return code


def _publish(work: Path, site: Path) -> Path:
    """Copy a finished site to its place; there is a whole one at every moment but the instant between two renames."""
    new, old = site.with_name(f".{site.name}.new"), site.with_name(f".{site.name}.old")
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    shutil.copytree(work, new, ignore=shutil.ignore_patterns(".buildinfo*", ".doctrees"))
    if site.exists():
        site.rename(old)
    new.rename(site)
    shutil.rmtree(old, ignore_errors=True)
    return join.join(site.parent)


def _summary(stack: Stack, executed: list[str], index: Path, seconds: float) -> None:
    records = [json.loads(path.read_text()) for path in sorted(files.records(stack).glob("*.json"))]
    snippets = sum(len(record["snippets"]) for record in records)
    devices = ", ".join(sorted({record["device"] for record in records}))
    ran = sum(len(record["snippets"]) for record in records if record["topic"] in executed)
    print(
        f"The site is at {index.relative_to(Path.cwd()) if index.is_relative_to(Path.cwd()) else index}\n"
        f"{snippets} snippets on {len(records)} pages, {ran} executed now, on {devices}; {seconds:.0f} s",
        file=sys.stdout,
    )
