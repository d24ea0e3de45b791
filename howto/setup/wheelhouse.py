"""Keep the one package that has to be compiled, once per machine, for every later clone to install in seconds."""

import contextlib
import os
import re
import zipfile
from pathlib import Path

from howto.project.locking import locked
from howto.project.stacks import Stack
from howto.setup import compiling, ready
from howto.setup.interpreter import Interpreter

CPU = "cpu"


def folder() -> Path:
    """The wheelhouse, below the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "howto-wheels"


def key(stack: Stack, interpreter: Interpreter, ops: str = CPU) -> str:
    """All that a compiled wheel depends on: its version, torch, Python, what its ops run on, and the platform."""
    package = stack.requirement.replace("==", "-")
    return f"{package}-torch{interpreter.torch}-{interpreter.tag}-{ops}-{interpreter.platform}"


def provide(stack: Stack, interpreter: Interpreter, ops: str = CPU, archs: str = "") -> Path:
    """The folder with the wheel of the stack's compiled package; has one made if there is none yet.

    Args:
        stack: The stack.
        interpreter: Its Python, which already has torch and what the compilation needs.
        ops: What the ops are compiled for: ``cpu``, or a name for the CUDA version and GPUs. Ops for CUDA run on the
            CPU too, so that any wheel will do where ``cpu`` is asked for.
        archs: The GPUs to compile for, as ``TORCH_CUDA_ARCH_LIST`` has it; empty for ``cpu``.

    Raises:
        HowtoError: The package could not be compiled.
    """
    place = folder() / key(stack, interpreter, ops)
    candidates = sorted(folder().glob(key(stack, interpreter, "*"))) if ops == CPU else [place]
    for candidate in candidates:
        if any(has_ops(wheel) for wheel in candidate.glob("*.whl")):
            return candidate
    place.mkdir(parents=True, exist_ok=True)
    with locked(place / "lock", f"another installation that compiles {stack.compiled}"):
        if not any(has_ops(wheel) for wheel in place.glob("*.whl")):
            made = ready.fetch(stack, interpreter, place, cuda=bool(archs))
            made = made or compiling.compile_wheel(stack, interpreter, place, archs)
            if not has_ops(made):
                made.unlink()
                raise compiling.failed(stack, place, f"was built without its ops, {made.name}")
    return place


def has_ops(wheel: Path) -> bool:
    """Whether this wheel holds compiled ops; built without torch in sight, it does not, and nothing says so."""
    with contextlib.suppress(zipfile.BadZipFile), zipfile.ZipFile(wheel) as archive:
        return any(re.fullmatch(r"mmcv/_ext\..*so", name) for name in archive.namelist())
    return False
