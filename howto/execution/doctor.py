"""Say what this machine has for a build, with what mends each thing that it lacks."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from howto.execution.machine import PROBES, reinstall_hint
from howto.project.errors import HowtoError
from howto.project.quiet import quiet
from howto.project.stacks import ROOT, Stack


@dataclass(frozen=True)
class Check:
    """One line of the table.

    Attributes:
        name: What was looked at.
        ok: True if it is fine, False if a build cannot do without it, None if it can.
        found: What is there.
        mend: The command, or the step, that mends it; empty if it is fine.
    """

    name: str
    ok: bool | None
    found: str
    mend: str


def doctor(stack: Stack) -> int:
    """Print the table; 1 if a build would stop, else 0. Looks from the stack's environment, if there is one."""
    if stack.python.exists() and Path(sys.prefix).resolve() != stack.environment.resolve():
        environment = {**os.environ, "HOWTO_STACK": stack.name}
        return subprocess.run([stack.python, "-m", "howto", "doctor"], cwd=ROOT, env=environment).returncode
    found = checks(stack)
    _show(stack, found)
    return int(any(check.ok is False for check in found))


def checks(stack: Stack) -> list[Check]:
    """Look at everything. Never raises."""
    return [_look(name, stack) for name in PROBES]


def require(stack: Stack, executes: bool = True) -> None:
    """Stop unless this machine has what a build needs.

    Args:
        stack: The stack to build with.
        executes: Whether snippets will be executed; if not, torch is not even imported.

    Raises:
        HowtoError: Something is missing; says what mends it.
    """
    for name in ("Python", "packages", "disk", *(("torch", "mmcv", "HOWTO_DEVICE", "COCO") if executes else ())):
        check = _look(name, stack)
        if check.ok is False:
            raise HowtoError(f"{name}: {check.found}; {check.mend}")


def _look(name: str, stack: Stack) -> Check:
    try:
        with quiet():
            return Check(name, *PROBES[name](stack))
    except HowtoError as error:
        found, _, mend = str(error).partition("; ")
        return Check(name, False, found, mend)
    except Exception as error:  # whatever a broken installation leads an import to; the table must come all the same
        return Check(name, False, f"{type(error).__name__}: {error}".partition("\n")[0], reinstall_hint(stack))


def _show(stack: Stack, found: list[Check]) -> None:
    marks = {True: ("ok", "green"), False: ("stop", "red"), None: ("-", "yellow")}
    try:
        from rich.console import Console  # not at the top: a bare Python has none
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        for check in found:
            print(f"{marks[check.ok][0]:5}{check.name:14}{check.found}{check.mend and f' → {check.mend}'}")
        return
    table = Table("", "what", "found", "what mends it", title=f"{stack.name}: {stack.title}", title_justify="left")
    for check in found:
        table.add_row(Text(*marks[check.ok]), check.name, check.found, check.mend)
    Console(width=None if sys.stdout.isatty() else 140, markup=False).print(table)
