"""Compile a package against a stack's torch once per machine, for every later clone to install in seconds."""

import contextlib
import fcntl
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

from howto.errors import HowtoError
from howto.stacks import Stack

CPU = "cpu"


def folder() -> Path:
    """The wheelhouse, below the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "howto-wheels"


def key(stack: Stack, ops: str = CPU) -> str:
    """All that a compiled wheel depends on: its version, torch, Python, what its ops run on, and the platform."""
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    return f"{stack.requirement.replace('==', '-')}-torch{stack.versions['torch']}-{python}-{ops}-{platform}"


def provide(stack: Stack, ops: str = CPU, archs: str = "") -> Path:
    """The folder with the wheel of the stack's compiled package; compiles it if there is none yet.

    Args:
        stack: The stack; its environment already holds torch and what the compilation needs.
        ops: What the ops are compiled for: ``cpu``, or a name for the CUDA version and GPUs. Ops for CUDA run on the
            CPU too, so that any wheel will do where ``cpu`` is asked for.
        archs: The GPUs to compile for, as ``TORCH_CUDA_ARCH_LIST`` has it; empty for ``cpu``.

    Raises:
        HowtoError: The package could not be compiled.
    """
    place = folder() / key(stack, ops)
    candidates = sorted(folder().glob(key(stack, "*"))) if ops == CPU else [place]
    for candidate in candidates:
        if any(has_ops(wheel) for wheel in candidate.glob("*.whl")):
            return candidate
    place.mkdir(parents=True, exist_ok=True)
    with locked(place / "lock", f"another installation that compiles {stack.compiled}"):
        if not any(has_ops(wheel) for wheel in place.glob("*.whl")):
            _compile(stack, place, archs)
    return place


def has_ops(wheel: Path) -> bool:
    """Whether this wheel holds compiled ops; built without torch in sight, it does not, and nothing says so."""
    with contextlib.suppress(zipfile.BadZipFile), zipfile.ZipFile(wheel) as archive:
        return any(re.fullmatch(r"mmcv/_ext\..*so", name) for name in archive.namelist())
    return False


@contextlib.contextmanager
def locked(path: Path, holder: str) -> Iterator[None]:
    """Hold the lock file `path`; wait for `holder` if it is taken."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for {holder} …", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def jobs() -> int:
    """How many compilers to run at a time: one for each usable core, if each can have 2 GiB of memory."""
    if os.environ.get("MAX_JOBS"):
        return int(os.environ["MAX_JOBS"])
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError):
        available_kib = int(re.search(r"MemAvailable: *(\d+)", Path("/proc/meminfo").read_text())[1])
        cores = min(cores, available_kib // 2**21)
    return max(cores, 1)


def _compile(stack: Stack, place: Path, archs: str) -> None:
    require_compiler(stack.compiled)
    # The build must see the stack's torch and setuptools. pip's cache knows a wheel by its version alone, and would
    # hand out one that was compiled against another torch, or without ops.
    options = ["--no-build-isolation", "--no-deps", "--no-cache-dir", "--no-binary", stack.compiled]
    path = os.pathsep.join([str(stack.python.parent), os.environ.get("PATH", "")])  # where ninja is
    environment = {**os.environ, "MMCV_WITH_OPS": "1", "MAX_JOBS": str(jobs()), "PATH": path}
    if archs:
        # torch includes headers of cuSPARSE and more, which a small CUDA toolkit lacks and torch's own packages have.
        headers = (stack.environment / "lib").glob("python3*/site-packages/nvidia/*/include")
        found = [*map(str, sorted(headers)), *filter(None, [os.environ.get("CPATH")])]
        environment |= {"FORCE_CUDA": "1", "TORCH_CUDA_ARCH_LIST": archs, "CPATH": os.pathsep.join(found)}
    else:
        environment |= {"FORCE_CUDA": "0", "CUDA_VISIBLE_DEVICES": ""}  # else a GPU in sight means CUDA ops
    log = place / "build.log"
    print(
        f"{stack.requirement} has no wheel for this machine; compiling it once, {jobs()} files at a time "
        f"(9 min on 2 cores; log: {log})"
    )
    with tempfile.TemporaryDirectory(dir=place) as built:
        command = [stack.python, "-m", "pip", "wheel", "-v", *options, "--wheel-dir", built, stack.requirement]
        status = _watch([str(word) for word in command], environment, log, f"compiling {stack.requirement}")
        wheels = list(Path(built).glob("*.whl"))
        if status or not wheels:
            raise HowtoError(f"{stack.requirement} did not compile: {_complaint(log)}; the whole log is {log}")
        if not has_ops(wheels[0]):
            raise HowtoError(f"{stack.requirement} was built without its ops, {wheels[0].name}; the log is {log}")
        wheels[0].replace(place / wheels[0].name)


def require_compiler(package: str) -> str:
    """The compiler that torch will call; stops if there is none, or if Python's headers are missing.

    Raises:
        HowtoError: They are; says how to install them.
    """
    compiler = shlex.split(os.environ.get("CXX") or "c++")[0]
    if not shutil.which(compiler):
        mend = "xcode-select --install" if sys.platform == "darwin" else "apt-get install g++"
        raise HowtoError(f"{package} has to be compiled, and there is no C++ compiler ({compiler}); run `{mend}`")
    header = Path(sysconfig.get_path("include"), "Python.h")
    if not header.exists():
        raise HowtoError(f"{package} has to be compiled, and {header} is missing; run `apt-get install python3-dev`")
    return compiler


def _watch(command: list[str], environment: dict[str, str], log: Path, title: str) -> int:
    """Run `command` with its output in `log`, and show how many files ninja says are compiled; its exit status."""
    on_terminal = sys.stdout.isatty()
    start = shown = time.monotonic()
    with log.open("wb") as output, log.open("rb") as written:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
        try:
            files = "preparing"
            while process.poll() is None:
                time.sleep(0.5)
                counts = re.findall(rb"^ *\[(\d+)/(\d+)\] ", written.read(), re.MULTILINE)
                files = "{} of {} files".format(*map(int, counts[-1])) if counts else files
                if on_terminal or time.monotonic() - shown >= 30:
                    shown = time.monotonic()
                    minutes, seconds = divmod(round(shown - start), 60)
                    line = f"{title}: {files}, {minutes} min {seconds:02} s"
                    print(f"\r\033[K{line}" if on_terminal else line, end="" if on_terminal else "\n", flush=True)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
            if on_terminal:
                print()
    return process.returncode


def _complaint(log: Path) -> str:
    """What went wrong, from a build log: the last lines that speak of an error, or else its last lines."""
    lines = [line.strip() for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    if any(re.search(r"\bKilled\b|cannot allocate memory", line) for line in lines):
        return "memory ran out; run `MAX_JOBS=1 tox -e wheels`"
    told = [line for line in lines if re.search(r"\berror: (?!subprocess|metadata)|No space left|Error: ", line)]
    return " | ".join((told or lines)[-3:])
