"""Take a wheel that OpenMMLab has compiled, where its host has one for exactly this torch, Python and device."""

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from howto.project.settings import Settings
from howto.project.stacks import ROOT, Stack
from howto.setup.interpreter import Interpreter

HOST = "https://download.openmmlab.com/mmcv/dist"
SECONDS = 5  # in which the host has to answer
COMPILE = "compile"  # what HOWTO_WHEELS says where nothing is to be downloaded


def fetch(stack: Stack, interpreter: Interpreter, place: Path, cuda: bool = False) -> Path | None:
    """The wheel of `stack.requirement`, downloaded into `place` if there is a right one whose ops are right, too.

    Args:
        stack: The stack.
        interpreter: Its Python, which already has torch.
        place: Where the wheel is put.
        cuda: Whether its ops have to run on CUDA.
    """
    page = address(interpreter, cuda)
    if not page:
        return None
    print(f"looking for a wheel of {stack.requirement} at {page}", flush=True)
    with tempfile.TemporaryDirectory(dir=place) as folder:
        command = [interpreter.python, "-m", "pip", "download", "--no-index", "--find-links", page, "--no-deps"]
        options = ["--only-binary", ":all:", "--no-cache-dir", "--timeout", str(SECONDS), "--retries", "0"]
        quiet = [] if sys.stdout.isatty() else ["--quiet"]  # on a terminal pip shows how it comes along
        done = subprocess.run(
            [*command, *options, *quiet, "--dest", folder, stack.requirement],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        wheels = list(Path(folder).glob("*.whl"))
        if "No matching distribution" in done.stderr:  # the host has none, or does not answer
            return None
        problem = _problem(wheels[0], interpreter, Path(folder)) if wheels else f"pip ended with {done.returncode}"
        if problem:
            print(f"that wheel will not do: {problem}", flush=True)
            return None
        return wheels[0].replace(place / wheels[0].name)


def address(interpreter: Interpreter, cuda: bool) -> str:
    """The page that lists the wheels for this torch; empty if nobody is to be asked."""
    host = Settings.from_environ().wheels or HOST
    if host == COMPILE:
        return ""
    device = f"cu{interpreter.cuda.replace('.', '')}" if cuda else "cpu"
    minor = ".".join(interpreter.torch.split(".")[:2])
    return f"{host}/{device}/torch{minor}/index.html"


def _problem(wheel: Path, interpreter: Interpreter, folder: Path) -> str:
    """Why this wheel cannot be used; empty if it can: it is unpacked, and its ops are compared."""
    unpacked = folder / "unpacked"
    try:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(unpacked)
    except zipfile.BadZipFile:
        return "it is broken"
    environment = {**os.environ, "PYTHONPATH": f"{unpacked}{os.pathsep}{ROOT}"}
    compared = subprocess.run(
        [interpreter.python, "-m", "howto.setup.ops"], cwd=folder, env=environment, capture_output=True, text=True
    )
    return compared.stderr.strip().rpartition("\n")[2] if compared.returncode else ""
