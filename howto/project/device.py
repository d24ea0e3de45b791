"""Say which device is asked for, without importing what could tell whether it can be had."""

import functools
import importlib.util
import os
from pathlib import Path

from howto.project.errors import HowtoError

DRIVERS = Path("/proc/driver/nvidia/version"), Path("/dev/dxg")  # the latter in WSL


def requested() -> str:
    """What ``HOWTO_DEVICE`` asks for: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        HowtoError: If it is anything else.
    """
    device = os.environ.get("HOWTO_DEVICE") or "auto"
    if device not in ("auto", "cpu", "cuda"):
        raise HowtoError(f"HOWTO_DEVICE={device} is unknown; set it to auto, cpu or cuda")
    return device


def kind() -> str:
    """``cpu`` or ``cuda``, from files of the driver and of mmcv's ops: quick, and nothing is imported."""
    device = requested()
    if device == "auto":
        return "cuda" if any(path.exists() for path in DRIVERS) and _has_cuda_ops() else "cpu"
    return device


@functools.cache
def _has_cuda_ops() -> bool:
    """Whether the installed mmcv's ops are linked to CUDA's runtime, or there is no mmcv yet."""
    found = importlib.util.find_spec("mmcv")
    files = sorted(Path(found.origin).parent.glob("_ext*")) if found else []
    return not files or any(b"libcudart" in file.read_bytes() for file in files)
