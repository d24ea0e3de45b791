"""Say where the files of the project lie; those of a how-to are in :mod:`howto.project.howtos`."""

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from howto.project.locking import locked
from howto.project.settings import Settings
from howto.project.stacks import ROOT, Stack

DOCS = ROOT / "docs"
BUILD = DOCS / "_build"
# What a copy of this project can do without.
NO_SOURCES = shutil.ignore_patterns(".git", ".tox", ".*_cache", "__pycache__", "*.egg-info", "_build", "how-to")
COSTS = DOCS / "results" / "costs.json"  # seconds that each page once took, before it has run here
GALLERY = "how-to"  # below docs/: where sphinx-gallery puts the pages of the stack that is being built


def snippet_folder(family: str) -> Path:
    """Folder of the snippets of `family`; ``HOWTO_SNIPPETS`` has one look at a changed copy of them."""
    return (Settings.from_environ().snippets or ROOT / "snippets") / family


def topics(family: str) -> list[str]:
    """Names of the how-tos of `family`: the folders of its snippets, sorted."""
    return sorted(path.name for path in snippet_folder(family).iterdir() if any(path.glob("*.py")))


class BuildLock:
    """Lets one process build in this checkout.

    Attributes:
        process: The process that has it, if it is this one; those that are forked from it do not.
    """

    def __init__(self) -> None:
        self.process = 0

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Let nobody else build; waits for whoever does. A process that builds may ask again."""
        if self.process == os.getpid():
            yield
            return
        with locked(BUILD / "build.lock", "another build in this checkout"):
            self.process = os.getpid()
            try:
                yield
            finally:
                self.process = 0


build_lock = BuildLock()
building = build_lock.held


def take_gallery(stack: Stack) -> Path:
    """Make ``docs/how-to`` the folder of `stack`'s pages, so that they have the same address in the site of each stack.

    The pages of the stack that was there before are set aside, with the marks of what has run, and come back with it.
    """
    folder = DOCS / GALLERY
    owner = folder / "stack"
    if owner.exists() and owner.read_text("utf-8") != stack.name:
        aside = BUILD / "gallery" / owner.read_text("utf-8")
        aside.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(aside)
    if not owner.exists():
        aside = BUILD / "gallery" / stack.name
        if aside.exists():
            aside.rename(folder)
        folder.mkdir(exist_ok=True)
        owner.write_text(stack.name, "utf-8")
    _forget_removed(stack)
    return folder


def _forget_removed(stack: Stack) -> None:
    """Delete what how-tos left that there are no more; sphinx-gallery would go on showing them."""
    here = set(topics(stack.family))
    made = [*(DOCS / GALLERY).glob("plot_*"), *(DOCS / GALLERY).glob("images/**/sphx_glr_plot_*")]
    for path in [*made, *records(stack).glob("*.json")]:
        name = path.name.partition(".")[0]
        if name.startswith("sphx_glr_"):  # a picture
            name = re.sub(r"_(\d+(_\d_\d\dx)?|thumb)$", "", name.removeprefix("sphx_glr_"))
        if name.removeprefix("plot_") not in here:
            path.unlink()
            shutil.rmtree(BUILD / "work" / stack.name, ignore_errors=True)


def scripts(stack: Stack) -> Path:
    """The folder of the gallery scripts of `stack`, rendered for its family."""
    return BUILD / "scripts" / stack.name


def records(stack: Stack) -> Path:
    """The folder that the pages of `stack` write their records into."""
    return BUILD / "records" / stack.name


def benchmarks() -> Path:
    """What ``tox -e bench`` measured last; kept in git, as it takes hours."""
    return DOCS / "results" / "bench.json"


def mutations(stack: Stack) -> Path:
    """What ``tox -e mutate`` found last, by how-to; kept in git as well."""
    return DOCS / "results" / f"mutations-{stack.name}.json"
