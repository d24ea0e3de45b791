"""Name the locked sets of packages that the snippets are verified on."""

import os
import re
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from howto.errors import HowtoError

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Stack:
    """One locked set of packages, in a virtual environment of its own.

    Attributes:
        name: What ``HOWTO_STACK`` and the tox environments call it.
        family: The folder of ``snippets/`` and ``gallery/`` that it runs.
        title: What a page calls it.
        audience: Whom its pages are for, in the words of their titles.
        prints: What ``mmdet.__version__`` is for them.
        compiled: The one package of the lock that has to be compiled against this stack's torch.
        sources: Packages of the lock that come as source only, without anything to compile.
    """

    name: str
    family: str
    title: str
    audience: str
    prints: str
    compiled: str
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
        lines = (line.partition(";")[0].strip() for line in self.lock.read_text("utf-8").splitlines())
        return dict(line.split("==") for line in lines if "==" in line)

    @property
    def requirement(self) -> str:
        """The compiled package with its version, as the lock has it."""
        return f"{self.compiled}=={self.versions[self.compiled]}"


STACKS = {
    stack.name: stack
    for stack in [
        Stack(
            "mmdet2",
            family="mmdet2",
            title="MMDetection 2.28 on mmcv-full 1.7",
            audience="MMDetection 2.x",
            prints="2.28.2, or any other 2.x",
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


def current() -> Stack:
    """The stack that ``HOWTO_STACK`` names, or else the default one."""
    return named(os.environ.get("HOWTO_STACK") or "mmdet2")


def named(name: str) -> Stack:
    """The stack of that name.

    Raises:
        HowtoError: There is none.
    """
    if name not in STACKS:
        raise HowtoError(f"no stack is called {name!r}; set HOWTO_STACK to one of: {', '.join(STACKS)}")
    return STACKS[name]
