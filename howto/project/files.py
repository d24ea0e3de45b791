"""Say where the files of a how-to lie."""

import contextlib
import importlib.util
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from howto.project.errors import HowtoError
from howto.project.locking import locked
from howto.project.settings import Settings
from howto.project.stacks import ROOT, Stack

DOCS = ROOT / "docs"
BUILD = DOCS / "_build"
# What a copy of this project can do without.
NO_SOURCES = shutil.ignore_patterns(".git", ".tox", ".*_cache", "__pycache__", "*.egg-info", "_build", "how-to")
GALLERY = "how-to"  # below docs/: where sphinx-gallery puts the pages of the stack that is being built


def snippet_folder(family: str) -> Path:
    """Folder of the snippets of `family`; ``HOWTO_SNIPPETS`` has one look at a changed copy of them."""
    return (Settings.from_environ().snippets or ROOT / "snippets") / family


def snippet_files(family: str, topic: str) -> list[Path]:
    """The snippet files of a how-to, sorted by name."""
    return sorted((snippet_folder(family) / topic).glob("*.py"))


def script(family: str, topic: str) -> Path:
    """The gallery script of a how-to."""
    return ROOT / "gallery" / family / f"plot_{topic}.py"


def words(script: Path) -> list[Path]:
    """The files of prose that a gallery script includes, as the script of another family does too."""
    names = re.findall(r"^# \.\. include:: (\S+)$", script.read_text("utf-8"), re.MULTILINE)
    return [(DOCS / GALLERY / name).resolve() for name in names]


def topics(family: str) -> list[str]:
    """Names of the how-tos of `family`: the folders of its snippets, sorted."""
    return sorted(path.name for path in snippet_folder(family).iterdir() if snippet_files(family, path.name))


def question(family: str, topic: str) -> str:
    """The question that a how-to answers: the title of its script."""
    return re.search(r'"""\n(.+)\n=', script(family, topic).read_text("utf-8"))[1]


def answer(family: str, topic: str) -> str:
    """What a how-to answers, in one sentence: the first below the title of its script."""
    text = re.search(r'"""\n.+\n=+\n\n(.+?)(\n\n|""")', script(family, topic).read_text("utf-8"), re.DOTALL)[1]
    return re.match(r".+?(\.(?=\s)|$)", " ".join(text.replace("``", "").split()))[0]


def groups(family: str) -> dict[str, list[str]]:
    """The how-tos of `family` in the order of the navigation, as ``gallery/groups.json`` has them; others come last."""
    left = topics(family)
    found = {}
    for name, listed in json.loads((ROOT / "gallery" / "groups.json").read_text("utf-8")).items():
        found[name] = [topic for topic in listed if topic in left]
        left = [topic for topic in left if topic not in listed]
    return {name: members for name, members in {**found, "More": left}.items() if members}


def check_topic(family: str, topic: str) -> str:
    """Return `topic`.

    Raises:
        HowtoError: If there is no such how-to.
    """
    if topic not in topics(family):
        raise HowtoError(f"there is no how-to {topic!r}; there are: {', '.join(topics(family))}")
    return topic


def lacking(family: str, topic: str) -> str:
    """The package that a how-to needs, by ``.. needs:: detectron2``, and that is not installed; else nothing."""
    path = script(family, topic)
    names = re.findall(r"^\.\. needs:: (\w+)$", path.read_text("utf-8"), re.MULTILINE) if path.exists() else []
    return next((name for name in names if not importlib.util.find_spec(name)), "")


def runnable(family: str) -> list[str]:
    """The how-tos that can be executed with what is installed."""
    return [topic for topic in topics(family) if not lacking(family, topic)]


def chosen(family: str, names: list[str]) -> list[str]:
    """The how-tos `names`, or all that can be executed if none is named.

    Raises:
        HowtoError: There is no such how-to, or it needs a package that is not installed.
    """
    for topic in names:
        if package := lacking(family, check_topic(family, topic)):
            raise HowtoError(f"{topic} needs {package}, which is not installed; its page says how to install it")
    return names or runnable(family)


@contextlib.contextmanager
def building() -> Iterator[None]:
    """Let nobody else build in this checkout; waits for whoever does. A process that builds may ask again."""
    if building.process == os.getpid():
        yield
        return
    with locked(BUILD / "build.lock", "another build in this checkout"):
        building.process = os.getpid()
        try:
            yield
        finally:
            building.process = 0


building.process = 0  # which one has it: those that are forked from it do not


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


def fingerprint_file(topic: str) -> Path:
    """Where a how-to's page keeps what it depended on when it ran."""
    return DOCS / GALLERY / f"plot_{topic}.fingerprint.json"


def cost(topic: str) -> float:
    """Seconds that a page took when it last ran, as sphinx-gallery keeps it; else what gallery/costs.json says."""
    path = DOCS / GALLERY / f"plot_{topic}.cost.json"
    if path.exists():
        return float(json.loads(path.read_text("utf-8"))["time"])
    return float(json.loads((ROOT / "gallery" / "costs.json").read_text("utf-8")).get(topic, 30))


def records(stack: Stack) -> Path:
    """The folder that the pages of `stack` write their records into."""
    return BUILD / "records" / stack.name


def finished(stack: Stack) -> Path:
    """What the site of a stack was made of, and looked like, when it was last built."""
    return BUILD / "work" / f"{stack.name}.sha256"


def benchmarks() -> Path:
    """What ``tox -e bench`` measured last; kept in git, as it takes hours, so that no page of the site is empty."""
    return DOCS / "results" / "bench.json"


def mutations(stack: Stack) -> Path:
    """What ``tox -e mutate`` found last, by how-to; kept in git as well."""
    return DOCS / "results" / f"mutations-{stack.name}.json"
