"""Make the virtual environment of a stack from its lock."""

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from howto.project.errors import HowtoError
from howto.project.locking import locked
from howto.project.settings import Settings
from howto.project.stacks import ROOT, Stack
from howto.setup import interpreter, ops, wheelhouse
from howto.setup.interpreter import Interpreter

STAMP = "howto.json"
# The inputs that the lock's packages depend on; the compiled one depends on all.
FOR_LOCK = ("root", "python", "lock", "project")


def install(stack: Stack) -> None:
    """Make or update the environment of `stack`; returns at once if nothing changed.

    Raises:
        HowtoError: Something is missing on this machine.
    """
    stamp = stack.environment / STAMP
    with locked(stack.environment.with_suffix(".lock"), f"another installation of {stack.name}"):
        before, now = read_stamp(stack), inputs(stack)
        if now.items() <= before.items() and stack.python.exists():
            return
        start = time.monotonic()
        synced = stack.python.exists() and all(before.get(name) == now[name] for name in FOR_LOCK)
        if not synced:
            stamp.unlink(missing_ok=True)
            _sync(stack, anew=before.get("root") != now["root"])
        python = interpreter.ask(stack.python, f"run `rm -rf {stack.environment} && tox -e wheels`")
        wheels = wheelhouse.provide(stack, python, *cuda_ops(python))
        if not synced or before["wheel"] != wheels.name:
            stamp.unlink(missing_ok=True)
            _add(stack, wheels)
        stamp.write_text(json.dumps({**now, "wheel": wheels.name}, indent=1), "utf-8")
        print(f"the environment of {stack.name} is ready: {stack.environment} ({time.monotonic() - start:.0f} s)")


def inputs(stack: Stack) -> dict[str, str]:
    """All that an environment depends on; found without torch, so that it takes no time to see that nothing changed."""
    return {
        "root": str(ROOT),
        "python": Settings.from_environ().python or stack.pythons[0],
        "lock": hashlib.sha256(stack.lock.read_bytes()).hexdigest(),
        "project": hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest(),
        "device": Settings.from_environ().device,
        "gpu": str(Path("/dev/nvidiactl").exists() or Path("/dev/dxg").exists()),
        "nvcc": str(shutil.which("nvcc")),
        "archs": os.environ.get("TORCH_CUDA_ARCH_LIST", ""),
    }


def read_stamp(stack: Stack) -> dict[str, str]:
    """What the environment was made from; empty if it was not finished."""
    try:
        return json.loads((stack.environment / STAMP).read_text("utf-8"))
    except (OSError, ValueError):
        return {}


def cuda_ops(python: Interpreter) -> tuple[str, str]:
    """What to compile ops for on this machine, as `wheelhouse.provide` takes it.

    Raises:
        HowtoError: ``HOWTO_DEVICE`` is ``cuda``, and CUDA ops cannot be compiled.
    """
    if Settings.from_environ().device == "cpu":
        return wheelhouse.CPU, ""
    # With the list given, ops for a GPU can be compiled where there is none: when an image is built, say.
    archs = os.environ.get("TORCH_CUDA_ARCH_LIST") or python.archs
    problem = ""
    if not (archs if Settings.from_environ().device == "cuda" else python.archs):
        problem = "torch finds no usable GPU; mend the NVIDIA driver (nvidia-smi must list one)"
    else:
        found = interpreter.toolkit()
        version = found.version if found else ""
        if version.split(".")[0] != python.cuda.split(".")[0]:
            problem = (
                f"CUDA ops need nvcc of CUDA {python.cuda}, and there is {version or 'none'}; "
                f"install the CUDA toolkit {python.cuda} and put its nvcc on the path"
            )
    if not problem:
        return f"cu{python.cuda.replace('.', '')}-sm{re.sub('[ ;]', '-', archs)}", archs
    if Settings.from_environ().device == "cuda":
        raise HowtoError(f"HOWTO_DEVICE=cuda, but {problem}; or set HOWTO_DEVICE=cpu")
    if python.archs:
        print(f"the GPU will not be used: {problem}")
    return wheelhouse.CPU, ""


def _sync(stack: Stack, anew: bool) -> None:
    """Install the lock, all but the package that needs the lock's torch to be compiled."""
    size = "a few GB to download, the first time"
    print(f"installing the {len(stack.versions)} locked packages of {stack.name} ({size}) …", flush=True)
    in_place = "--clear" if anew else "--allow-existing"
    python = Settings.from_environ().python or stack.pythons[0]  # uv downloads it, if this machine has none
    uv("venv", in_place, "--no-project", "--python", python, str(stack.environment))
    sources = [f"{name}=={stack.versions[name]}" for name in stack.sources]
    lines = stack.lock.read_text("utf-8").splitlines()
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as ready_made:
        ready_made.write("\n".join(line for line in lines if line not in (stack.requirement, *sources)))
        ready_made.flush()
        uv("pip", "sync", "--no-build", "--python", str(stack.python), ready_made.name)
    # howto itself, so that a downloaded script can import it, from wherever it lies.
    alone = ["--python", str(stack.python), "--no-deps", "--no-build-isolation"]
    uv("pip", "install", *alone, *sources, "--editable", str(ROOT))


def _add(stack: Stack, wheels: Path) -> None:
    """Install the compiled package, and see whether it loads."""
    found = ["--no-index", "--find-links", str(wheels), "--reinstall-package", stack.compiled]
    uv("pip", "install", "--python", str(stack.python), "--no-deps", *found, stack.requirement)
    again = f"HOWTO_WHEELS={wheelhouse.COMPILE} tox -e wheels"
    ops.require(stack.python, f"delete {wheels} and run `{again}`")


def uv(*arguments: str) -> None:
    """Run uv.

    Raises:
        HowtoError: It fails, or is not installed.
    """
    shown = "sync" in arguments and sys.stdout.isatty()  # there uv shows how the downloads come along
    quiet = [] if shown else ["--quiet"]
    if subprocess.run([*_uv(), *arguments, *quiet], cwd=ROOT).returncode:
        raise HowtoError(f"uv {' '.join(arguments[:2])} failed, as it says above; mend that and run the same again")


def _uv() -> list[str]:
    """uv: the one installed beside this Python, as in a tox environment, or else the one on the path."""
    beside = importlib.util.find_spec("uv")
    found = [sys.executable, "-m", "uv"] if beside else [shutil.which("uv")]
    if found == [None]:
        raise HowtoError("uv is not installed; run `python -m pip install uv`, or `tox -e wheels`, which brings it")
    return found
