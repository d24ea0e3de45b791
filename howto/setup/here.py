"""Add to a Python that has a torch of its own what a stack needs beside it."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock

from howto.project.errors import HowtoError
from howto.project.stacks import Stack, installed
from howto.setup import interpreter, ops, wheelhouse
from howto.setup.wheelhouse import COMPILE

# Distributions that bring the same module as one of a lock; two of them in one place break each other.
SAME = {"opencv-python-headless": {"opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless"}}


def is_own(stack: Stack) -> bool:
    """Whether the running Python is the user's own, and the stack has no environment made from its lock."""
    return not stack.python.exists() and "torch" in installed()


def missing(stack: Stack) -> list[str]:
    """The packages that a build needs and that this Python lacks."""
    found = installed()
    markers = {each.name: each.marker for each in stack.locked}
    return [
        name for name in stack.needed() if not found.keys() & {name, *SAME.get(name, ())} and applies(markers[name])
    ]


def applies(marker: str) -> bool:
    """Whether an environment marker of a lock is true here."""
    try:
        from packaging.markers import Marker  # not at the top: a bare Python has none, and gets it by `install --here`
    except ImportError:
        from pip._vendor.packaging.markers import Marker
    return not marker or Marker(marker).evaluate()


def install_here(stack: Stack, wheels: Path | None = None, offline: bool = False, only_list: bool = False) -> None:
    """Install what is missing into the running Python; what is there stays as it is, torch above all.

    Args:
        stack: The stack.
        wheels: A folder to take packages from, too.
        offline: Whether to take them from nowhere else.
        only_list: Print what is missing, as a requirements file, instead.

    Raises:
        HowtoError: There is no torch, one without a torchvision that belongs to another, or pip fails.
    """
    if "{}.{}".format(*sys.version_info[:2]) not in stack.pythons:
        raise HowtoError(f"{stack.name} needs Python {' or '.join(stack.pythons)}, this is {sys.version.split()[0]}")
    if "torch" not in installed():
        raise HowtoError("there is no torch here, and it is never touched; install one, or run `tox -e wheels`")
    lacking, there = missing(stack), installed()["torch"].partition("+")[0]
    if "torchvision" in lacking and there != stack.versions["torch"]:
        raise HowtoError(
            f"there is no torchvision here, and the lock's belongs to torch {stack.versions['torch']}; "
            f"install the one that belongs to torch {there}"
        )
    lines = [f"{name}=={stack.versions[name]}" for name in lacking]
    if only_list:
        print("\n".join(lines))
        return
    # As variables, pip's options hold for what compiles, too.
    options = {"PIP_FIND_LINKS": str(wheels.resolve())} if wheels else {}
    options |= {"PIP_NO_INDEX": "1", "HOWTO_WHEELS": COMPILE} if offline else {}
    before = installed()
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, options):
        sources = [line for line in lines if line.partition("==")[0] in stack.sources]
        ready_made = [line for line in lines if line not in (*sources, stack.requirement)]
        for group in (ready_made, sources):  # the latter are made into wheels by what is among the former
            if group:
                wanted = Path(folder, "wanted.txt")
                wanted.write_text("\n".join(group), "utf-8")
                _run("install", "--no-deps", "--no-build-isolation", "--requirement", str(wanted))
        if stack.compiled in lacking:
            from howto.setup.install import cuda_ops

            python = interpreter.ask(Path(sys.executable), "mend that torch")
            place = wheelhouse.provide(stack, python, *cuda_ops(python))
            _run("install", "--no-deps", "--no-index", "--find-links", str(place), stack.requirement)
    kept = wheelhouse.folder() / stack.requirement.replace("==", "-")
    again = f"python -m pip uninstall {stack.compiled} && HOWTO_WHEELS={COMPILE} python -m howto install --here"
    ops.require(Path(sys.executable), f"run `rm -rf {kept}-* && {again}`")
    print(f"{stack.name} runs on {sys.executable}: {len(lines)} packages added, {len(before)} left as they were")


def _run(*arguments: str) -> None:
    if subprocess.run([sys.executable, "-m", "pip", *arguments, "--quiet"], stdin=subprocess.DEVNULL).returncode:
        raise HowtoError(f"pip {arguments[0]} failed, as it says above; mend that and run the same again")
