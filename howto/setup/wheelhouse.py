"""Keep the one package that has to be compiled, once per machine, for every later clone to install in seconds."""

import contextlib
import os
import re
import subprocess
import zipfile
from pathlib import Path

from howto.project.locking import locked
from howto.project.settings import Settings
from howto.project.stacks import Stack
from howto.setup import compiling
from howto.setup.interpreter import Interpreter

CPU = "cpu"
HOST = "https://download.openmmlab.com/mmcv/dist"
COMPILE = "compile"  # what HOWTO_WHEELS says where nothing is to be downloaded


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
        if _usable(candidate):
            return candidate
    place.mkdir(parents=True, exist_ok=True)
    with locked(place / "lock", f"another installation that compiles {stack.compiled}"):
        if not _usable(place):
            _download(stack, interpreter, place, cuda=bool(archs))
        if not _usable(place):
            for useless in place.glob("*.whl"):
                useless.unlink()
            made = compiling.compile_wheel(stack, interpreter, place, archs)
            if not has_ops(made):
                made.unlink()
                raise compiling.failed(stack, place, f"was built without its ops, {made.name}")
    return place


def _usable(place: Path) -> bool:
    return any(has_ops(wheel) for wheel in place.glob("*.whl"))


def address(interpreter: Interpreter, cuda: bool) -> str:
    """The page that lists the wheels which OpenMMLab compiled for this torch; empty if nobody is to be asked."""
    host = Settings.from_environ().wheels or HOST
    device = f"cu{interpreter.cuda.replace('.', '')}" if cuda else CPU
    minor = ".".join(interpreter.torch.split(".")[:2])
    return "" if host == COMPILE else f"{host}/{device}/torch{minor}/index.html"


def _download(stack: Stack, interpreter: Interpreter, place: Path, cuda: bool) -> None:
    """Have pip put a ready wheel into `place`, if the host answers within 5 s and has one for this Python."""
    if page := address(interpreter, cuda):
        print(f"looking for a wheel of {stack.requirement} at {page}", flush=True)
        only = ["--no-index", "--find-links", page, "--no-deps", "--only-binary", ":all:", "--no-cache-dir"]
        impatient = ["--quiet", "--timeout", "5", "--retries", "0", "--dest", str(place)]
        command = [interpreter.python, "-m", "pip", "download", *only, *impatient, stack.requirement]
        subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def has_ops(wheel: Path) -> bool:
    """Whether this wheel holds compiled ops; built without torch in sight, it does not, and nothing says so."""
    with contextlib.suppress(zipfile.BadZipFile), zipfile.ZipFile(wheel) as archive:
        return any(re.fullmatch(r"mmcv/_ext\..*so", name) for name in archive.namelist())
    return False
