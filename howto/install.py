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

from howto import wheelhouse
from howto.device import requested
from howto.errors import HowtoError
from howto.stacks import ROOT, Stack

STAMP = "howto.json"
# The inputs that the lock's packages depend on; the compiled one depends on all.
FOR_LOCK = ("root", "python", "lock", "project")

# Asked in the stack's environment, since this module runs before there is a torch.
QUESTION = """
import json, torch
from torch.utils.cpp_extension import CUDA_HOME
gpus = range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
archs = sorted({'%d.%d' % torch.cuda.get_device_capability(gpu) for gpu in gpus})
print(json.dumps({'cuda': torch.version.cuda, 'home': CUDA_HOME, 'archs': ';'.join(archs)}))
"""


def install(stack: Stack) -> None:
    """Make or update the environment of `stack`; returns at once if nothing changed.

    Raises:
        HowtoError: Something is missing on this machine.
    """
    if sys.version_info[:2] != (3, 11):
        raise HowtoError(f"the locks are for Python 3.11, this is {sys.version.split()[0]}; run it with python3.11")
    stamp = stack.environment / STAMP
    with wheelhouse.locked(stack.environment.with_suffix(".lock"), f"another installation of {stack.name}"):
        before, now = read_stamp(stack), inputs(stack)
        if now.items() <= before.items() and stack.python.exists():
            return
        start = time.monotonic()
        synced = stack.python.exists() and all(before.get(name) == now[name] for name in FOR_LOCK)
        if not synced:
            stamp.unlink(missing_ok=True)
            _sync(stack, anew=before.get("root") != now["root"])
        wheels = wheelhouse.provide(stack, *_ask(stack))
        if not synced or before["wheel"] != wheels.name:
            stamp.unlink(missing_ok=True)
            _add(stack, wheels)
        stamp.write_text(json.dumps({**now, "wheel": wheels.name}, indent=1), "utf-8")
        print(f"the environment of {stack.name} is ready: {stack.environment} ({time.monotonic() - start:.0f} s)")


def inputs(stack: Stack) -> dict[str, str]:
    """All that an environment depends on; found without torch, so that it takes no time to see that nothing changed."""
    return {
        "root": str(ROOT),
        "python": f"{sys.version} {sys.base_prefix}",
        "lock": hashlib.sha256(stack.lock.read_bytes()).hexdigest(),
        "project": hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest(),
        "device": requested(),
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


def cuda_ops(answer: dict[str, str], nvcc_version: str) -> tuple[str, str]:
    """What to compile ops for, as `wheelhouse.provide` takes it, given the answer to `QUESTION` and nvcc's version.

    Raises:
        HowtoError: ``HOWTO_DEVICE`` is ``cuda``, and CUDA ops cannot be compiled.
    """
    if requested() == "cpu":
        return wheelhouse.CPU, ""
    # With the list given, ops for a GPU can be compiled where there is none: when an image is built, say.
    archs = os.environ.get("TORCH_CUDA_ARCH_LIST") or answer["archs"]
    problem = ""
    if not (archs if requested() == "cuda" else answer["archs"]):
        problem = "torch finds no usable GPU; mend the NVIDIA driver (nvidia-smi must list one)"
    elif nvcc_version.split(".")[0] != (answer["cuda"] or "").split(".")[0]:
        problem = (
            f"CUDA ops need nvcc of CUDA {answer['cuda']}, and there is {nvcc_version or 'none'}; "
            f"install the CUDA toolkit {answer['cuda']} and set CUDA_HOME to it"
        )
    if not problem:
        return f"cu{answer['cuda'].replace('.', '')}-sm{re.sub('[ ;]', '-', archs)}", archs
    if requested() == "cuda":
        raise HowtoError(f"HOWTO_DEVICE=cuda, but {problem}; or set HOWTO_DEVICE=cpu")
    if answer["archs"]:
        print(f"the GPU will not be used: {problem}")
    return wheelhouse.CPU, ""


def _sync(stack: Stack, anew: bool) -> None:
    """Install the lock, all but the package that needs the lock's torch to be compiled."""
    size = "a few GB to download, the first time"
    print(f"installing the {len(stack.versions)} locked packages of {stack.name} ({size}) …", flush=True)
    in_place = "--clear" if anew else "--allow-existing"
    uv("venv", in_place, "--no-project", "--python", sys.executable, str(stack.environment))
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
    loads = subprocess.run([stack.python, "-c", "import mmcv._ext"], capture_output=True, text=True)
    if loads.returncode:
        reason = loads.stderr.strip().rpartition("\n")[2]
        raise HowtoError(
            f"the ops of {stack.requirement} do not load: {reason}; delete {wheels} and run `tox -e wheels`"
        )


def _ask(stack: Stack) -> tuple[str, str]:
    asked = subprocess.run([stack.python, "-c", QUESTION], capture_output=True, text=True)
    if asked.returncode:
        reason = asked.stderr.strip().rpartition("\n")[2]
        raise HowtoError(f"torch does not load: {reason}; run `rm -rf {stack.environment} && tox -e wheels`")
    answer = json.loads(asked.stdout.strip().rpartition("\n")[2])
    nvcc = Path(answer["home"] or "", "bin", "nvcc")
    told = subprocess.run([nvcc, "--version"], capture_output=True, text=True).stdout if nvcc.is_file() else ""
    release = re.search(r"release ([\d.]+)", told)
    return cuda_ops(answer, release[1] if release else "")


def uv(*arguments: str) -> None:
    """Run uv: the one installed beside this Python, as in a tox environment, or else the one on the path."""
    beside = importlib.util.find_spec("uv")
    uv = [sys.executable, "-m", "uv"] if beside else [shutil.which("uv")]
    if uv == [None]:
        raise HowtoError("uv is not installed; run `python -m pip install uv`, or `tox -e wheels`, which brings it")
    shown = "sync" in arguments and sys.stdout.isatty()  # there uv shows how the downloads come along
    quiet = [] if shown else ["--quiet"]
    if subprocess.run([*uv, *arguments, *quiet], cwd=ROOT).returncode:
        raise HowtoError(f"uv {' '.join(arguments[:2])} failed, as it says above; mend that and run the same again")
