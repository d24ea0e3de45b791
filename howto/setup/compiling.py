"""Compile the one package of a stack that has no wheel, against the stack's own torch."""

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
from pathlib import Path

from howto.project import budget, stacks
from howto.project.errors import HowtoError
from howto.project.stacks import Stack
from howto.setup import grouping
from howto.setup.interpreter import Interpreter, toolkit

# g++ 12 takes up to 2.7 GiB for a group of a dozen files.
GIB_PER_COMPILER = 3


def compile_wheel(stack: Stack, interpreter: Interpreter, place: Path, archs: str = "") -> Path:
    """The wheel of `stack.requirement`, compiled into the folder `place`; the log stays beside it.

    The sources are compiled in groups, and in the package's own layout if that fails.

    Args:
        stack: The stack.
        interpreter: Its Python, which already has torch and what the compilation needs.
        place: Where the wheel is put.
        archs: The GPUs to compile for, as ``TORCH_CUDA_ARCH_LIST`` has it; empty for ops for the CPU alone.

    Raises:
        HowtoError: The package cannot be downloaded or compiled; says why.
    """
    require_compiler(stack.compiled, interpreter.headers)
    environment = _environment(interpreter, archs)
    if archs:
        _require_cuda_headers(stack, environment)
    log = place / "build.log"
    log.unlink(missing_ok=True)
    print(
        f"{stack.requirement} has no wheel for this machine; compiling it once, {environment['MAX_JOBS']} compilers "
        f"at a time ({'10 min' if archs else '2 to 4 min'} on 2 cores; log: {log})",
        flush=True,
    )
    with tempfile.TemporaryDirectory(dir=place) as folder:
        command = [str(interpreter.python), "-m", "pip"]
        sources = _sources(stack, command, Path(folder), environment, log)
        grouping.group(sources / "mmcv" / "ops" / "csrc", count=3 * int(environment["MAX_JOBS"]))
        try:
            wheel = _wheel(stack, command, sources, environment, log)
        except HowtoError as error:
            kept = log.replace(place / "groups.log")
            print(f"compiling file by file, as in groups it failed: {error} ({kept})", flush=True)
            shutil.rmtree(sources)
            sources = _sources(stack, command, Path(folder), environment, log)
            wheel = _wheel(stack, command, sources, environment, log)
        return wheel.replace(place / wheel.name)


def jobs() -> int:
    """How many compilers to run at a time: one for each usable core, if each can have 3 GiB of memory."""
    if os.environ.get("MAX_JOBS"):
        return int(os.environ["MAX_JOBS"])
    return max(1, min(budget.cores(), int(min(budget.memory(), 2**20) // GIB_PER_COMPILER)))


def require_compiler(package: str, headers: str | None = None) -> str:
    """The compiler that torch will call; stops if there is none, or if Python's headers are missing.

    Args:
        package: What has to be compiled.
        headers: The folder of ``Python.h``; that of the running Python, if it is left out.

    Raises:
        HowtoError: They are; says how to install them.
    """
    compiler = shlex.split(os.environ.get("CXX") or "c++")[0]
    if not shutil.which(compiler):
        raise HowtoError(
            f"{package} has to be compiled, and there is no C++ compiler ({compiler}); run `apt-get install g++`"
        )
    header = Path(headers or sysconfig.get_path("include"), "Python.h")
    if not header.exists():
        raise HowtoError(f"{package} has to be compiled, and {header} is missing; run `apt-get install python3-dev`")
    return compiler


def failed(stack: Stack, place: Path, what: str) -> HowtoError:
    """That something became nothing, with the log in `place`."""
    return HowtoError(f"{stack.requirement} {what}; the whole log is {place / 'build.log'}")


def _environment(interpreter: Interpreter, archs: str) -> dict[str, str]:
    path = os.pathsep.join([str(interpreter.python.parent), os.environ.get("PATH", "")])  # where ninja is
    environment = {**os.environ, "MMCV_WITH_OPS": "1", "MAX_JOBS": str(jobs()), "PATH": path}
    if not archs:
        return environment | {"FORCE_CUDA": "0", "CUDA_VISIBLE_DEVICES": ""}  # else a GPU in sight means CUDA ops
    # torch includes headers of cuSPARSE and more, which a small CUDA toolkit lacks and torch's own packages have.
    found = [str(each) for each in sorted(Path(interpreter.packages, "nvidia").glob("*/include"))]
    found += filter(None, [os.environ.get("CPATH")])
    if cuda := toolkit():
        environment["CUDA_HOME"] = str(cuda.home)
        found.insert(0, str(cuda.headers))
    return environment | {"FORCE_CUDA": "1", "TORCH_CUDA_ARCH_LIST": archs, "CPATH": os.pathsep.join(found)}


def _require_cuda_headers(stack: Stack, environment: dict[str, str]) -> None:
    """Try in a second what would otherwise fail after ten minutes.

    Raises:
        HowtoError: The toolkit's headers do not compile.
    """
    command = [*shlex.split(os.environ.get("CXX") or "c++"), "-x", "c++", "-fsyntax-only", "-"]
    tried = subprocess.run(
        command, input="#include <cuda_runtime_api.h>\n", env=environment, capture_output=True, text=True
    )
    if tried.returncode:
        reason = next((line for line in tried.stderr.splitlines() if "error:" in line), tried.stderr.strip())
        home = environment.get("CUDA_HOME", "no toolkit")
        raise HowtoError(
            f"{stack.requirement} cannot be compiled for CUDA, the headers of {home} do not compile: {reason}; "
            "install the whole CUDA toolkit and put its nvcc on the path, or set HOWTO_DEVICE=cpu"
        )


def _sources(stack: Stack, pip: list[str], folder: Path, environment: dict[str, str], log: Path) -> Path:
    """The unpacked source distribution, which has to have the hash that requirements/sdists.inc keeps."""
    known = (stacks.ROOT / "requirements" / "sdists.inc").read_text("utf-8").splitlines()
    line = next((line for line in known if line.split(" ")[0] == stack.requirement), stack.requirement)
    wanted = folder / "wanted.txt"
    wanted.write_text(line, "utf-8")
    # The package's setup names another package, without ops, unless it sees torch.
    options = ["--no-build-isolation", "--no-deps", "--no-cache-dir", "--no-binary", stack.compiled]
    command = [*pip, "download", *options, "--dest", str(folder), "--requirement", str(wanted)]
    status = watch(command, environment, log, f"downloading {stack.requirement}")
    archives = list(folder.glob("*.tar.gz"))
    if status or not archives:
        raise failed(stack, log.parent, f"could not be downloaded: {_complaint(log)}")
    with tarfile.open(archives[0]) as packed:
        packed.extractall(folder)
    return folder / archives[0].name.removesuffix(".tar.gz")


def _wheel(stack: Stack, pip: list[str], sources: Path, environment: dict[str, str], log: Path) -> Path:
    """The wheel that the package's own setup makes of `sources`, beside them."""
    # pip's cache knows a wheel by its version alone, and would hand out one that was compiled against another torch.
    options = ["--no-build-isolation", "--no-deps", "--no-cache-dir", "--wheel-dir", str(sources.parent)]
    status = watch([*pip, "wheel", "-v", *options, str(sources)], environment, log, f"compiling {stack.requirement}")
    wheels = list(sources.parent.glob("*.whl"))
    if status or not wheels:
        raise failed(stack, log.parent, f"did not compile: {_complaint(log)}")
    return wheels[0]


def watch(command: list[str], environment: dict[str, str], log: Path, title: str) -> int:
    """Run `command`, add its output to `log`, and show how many files ninja says are compiled; its exit status."""
    on_terminal = sys.stdout.isatty()
    start = shown = time.monotonic()
    with log.open("ab") as output, log.open("rb") as written:
        written.seek(0, os.SEEK_END)
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
        try:
            files = "preparing"
            while process.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.5)
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
