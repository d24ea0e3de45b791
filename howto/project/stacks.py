"""Name the locked sets of packages that the snippets are verified on."""

import re
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from howto.project.errors import HowtoError
from howto.project.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


class Locked(NamedTuple):
    """A line of a lock.

    Attributes:
        name: The package.
        version: Its exact version.
        marker: The environments that need it, as a marker; empty for all.
        asking: The packages, or the files below ``requirements/``, that ask for it.
    """

    name: str
    version: str
    marker: str
    asking: frozenset[str]


@dataclass(frozen=True)
class Stack:
    """One locked set of packages, in a virtual environment of its own.

    Attributes:
        name: What ``HOWTO_STACK`` and the tox environments call it.
        family: The folder of ``snippets/`` that it runs, and the name by which gallery scripts mark what is its own.
        title: What a page calls it.
        audience: Whom its pages are for, in the words of their titles.
        prints: What ``mmdet.__version__`` is for them.
        compiled: The one package of the lock that has to be compiled against this stack's torch.
        pythons: The Python versions that its torch has wheels for; the first is the one it is tested on most.
        sources: Packages of the lock that come as source only, without anything to compile.
    """

    name: str
    family: str
    title: str
    audience: str
    prints: str
    compiled: str
    pythons: tuple[str, ...] = ("3.11",)
    sources: tuple[str, ...] = ()

    @property
    def lock(self) -> Path:
        """The file with the exact version of every package."""
        return ROOT / "requirements" / f"{self.name}.txt"

    @property
    def environment(self) -> Path:
        """The virtual environment that every tox environment of this stack uses."""
        return ROOT / ".tox" / f"stack-{self.name}"

    @property
    def python(self) -> Path:
        """The interpreter of that environment."""
        return self.environment / "bin" / "python"

    @cached_property
    def versions(self) -> dict[str, str]:
        """Every locked package, with its version."""
        return {package.name: package.version for package in self.locked}

    @cached_property
    def locked(self) -> list[Locked]:
        """Every package of the lock."""
        text = self.lock.read_text("utf-8")
        found = re.findall(r"^([\w.-]+)==([^\s;]+)(?: ; (.+))?\n((?: +#.*\n)*)", text, re.MULTILINE)
        asks = re.compile(r"(?:via|#)\s+(?:-r )?([\w./-]+)$", re.MULTILINE)
        return [Locked(*package, frozenset(asks.findall(via)) - {"via"}) for *package, via in found]

    def needed(self) -> list[str]:
        """The locked packages that a build needs: all but those that only tests ask for, and torch with its own."""
        found, todo = [], {f"requirements/{self.name}.in", "requirements/site.inc"}
        while todo:
            new = [each.name for each in self.locked if each.asking & todo and each.name not in {*found, "torch"}]
            found += new
            todo = set(new)
        return sorted(found)

    @property
    def requirement(self) -> str:
        """The compiled package with its version, as the lock has it."""
        return f"{self.compiled}=={self.versions[self.compiled]}"

    def install(self, packages: list[str]) -> str:
        """The command that installs `packages` as the lock has them, perhaps by another name: ``onedl-mmpretrain``.

        Raises:
            HowtoError: The lock has none of that name.
        """
        pinned = []
        for package in packages:
            names = [name for name in (package, f"onedl-{package}") if name in self.versions]
            if not names:
                raise HowtoError(f"{self.lock.name} has no {package}; name one that it has")
            pinned.append(f"{names[0]}=={self.versions[names[0]]}")
        return f"pip install {' '.join(pinned)}"


STACKS = {
    stack.name: stack
    for stack in [
        Stack(
            "mmdet2",
            family="mmdet2",
            title="MMDetection 2.28 on mmcv-full 1.7",
            audience="MMDetection 2.x",
            prints="2.28.2, or an older 2.x",
            compiled="mmcv-full",
        ),
        Stack(
            "mmdet3",
            family="mmdet3",
            title="MMDetection 3.3 on mmcv 2.1",
            audience="MMDetection 3.x",
            prints="3.0 to 3.3",
            compiled="mmcv",
        ),
        Stack(
            "onedl",
            family="mmdet3",
            title="onedl-mmdetection 3.5 on onedl-mmcv 2.3",
            audience="onedl-mmdetection 3.x",
            prints="3.4 or more",
            compiled="onedl-mmcv",
            pythons=("3.11", "3.12", "3.13"),
            sources=("onedl-mmdetection", "onedl-mmpretrain"),
        ),
    ]
}


def installed() -> dict[str, str]:
    """The version of each package that can be imported here, by its name in a lock.

    From the names of the folders that installers leave: to read what stands in all of them takes a build with nothing
    to do as long as all else that it looks at.
    """
    found = {}
    for place in reversed(sys.path):  # the first one counts
        for folder in Path(place).glob("*.dist-info"):
            name, _, version = folder.stem.partition("-")
            found[re.sub("[-_.]+", "-", name).lower()] = version
    return found


def differing(versions: dict[str, str], stack: Stack) -> dict[str, str]:
    """Those of the installed `versions` that are not the lock's, with the lock's; ``+cu130`` and the like aside."""
    return {
        name: stack.versions[name]
        for name, version in versions.items()
        if name in stack.versions and version.partition("+")[0] != stack.versions[name]
    }


def current() -> Stack:
    """The stack that ``HOWTO_STACK`` names, or else the default one."""
    return named(Settings.from_environ().stack or "mmdet2")


def named(name: str) -> Stack:
    """The stack of that name.

    Raises:
        HowtoError: There is none.
    """
    if name not in STACKS:
        raise HowtoError(f"no stack is called {name!r}; set HOWTO_STACK to one of: {', '.join(STACKS)}")
    return STACKS[name]
