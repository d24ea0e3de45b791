"""Look ahead: check a copy of this project on the newest releases of a stack's packages, and say what changed."""

import os
import re
import shutil
import subprocess
import sys

from howto.project import files
from howto.project.errors import HowtoError
from howto.project.files import BUILD
from howto.project.stacks import ROOT, Stack
from howto.setup.install import uv

BOUND = ("torch", "torchvision")  # the compiled ops are bound to them


def latest(stack: Stack, lock_options: list[str]) -> int:
    """Resolve, install and verify the newest releases; leaves ``docs/_build/latest/<stack>.md``.

    Newest are those of the same major version, and of whatever the stack's own packages allow beside them.

    Args:
        stack: The stack to look ahead for.
        lock_options: How ``tox -e lock`` calls uv.

    Returns:
        0 if every check passed on them, or nothing is newer, else 1.

    Raises:
        HowtoError: They cannot be resolved.
    """
    place = BUILD / "latest" / stack.name
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(ROOT, place, ignore=files.NO_SOURCES, symlinks=True)
    wanted, lock = place / "requirements" / f"{stack.name}.in", place / "requirements" / stack.lock.name
    wanted.write_text(loosened(wanted.read_text("utf-8")), "utf-8")
    uv("pip", "compile", *lock_options, "--upgrade", str(wanted), "-o", str(lock))
    newer = changes(stack.lock.read_text("utf-8"), lock.read_text("utf-8"))
    report = [f"# The newest releases for {stack.title}", "", *(newer or ["Nothing is newer than the lock."])]
    environment, code = {**os.environ, "HOWTO_STACK": stack.name}, 0
    python = place / ".tox" / f"stack-{stack.name}" / "bin" / "python"
    for command, runs in (("install", sys.executable), ("verify", python)):
        if newer and not code:
            words = [runs, "-m", "howto", command]
            done = subprocess.run(words, cwd=place, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            report += ["", f"`python -m howto {command}` ended with exit code {done.returncode}:", ""]
            report += [f"    {line}" for line in done.stdout.decode().splitlines()[-40:]]
            code = int(done.returncode != 0)
    text = "\n".join(report) + "\n"
    place.with_suffix(".md").write_text(text, "utf-8")
    print(text, end="")
    return code


def loosened(wanted: str) -> str:
    """Requirements that allow newer releases of the same major version of all that is pinned, but for torch."""

    def loosen(match: re.Match) -> str:
        name, version = match.groups()
        below = int(version.split(".")[0]) + 1
        return match[0] if name in BOUND else f"{name}>={version},<{below}"

    return re.sub(r"^([\w-]+)==([\d.]+)$", loosen, wanted, flags=re.MULTILINE)


def changes(before: str, after: str) -> list[str]:
    """A line for each package that differs between two locks, sorted."""
    locks = [dict(re.findall(r"^([\w.-]+)==([^\s;]+)", text, re.MULTILINE)) for text in (before, after)]
    if not all(locks):
        raise HowtoError("a lock is empty; run `tox -e lock`")
    return [
        f"- {name}: {locks[0].get(name, 'none')} → {locks[1].get(name, 'none')}"
        for name in sorted(locks[0].keys() | locks[1].keys())
        if locks[0].get(name) != locks[1].get(name)
    ]
