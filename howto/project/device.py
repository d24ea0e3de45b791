"""Say which kind of device a build runs on, without importing what could tell for certain."""

import functools
import importlib.util
from pathlib import Path

from howto.project.settings import Settings

DRIVERS = Path("/proc/driver/nvidia/version"), Path("/dev/dxg")  # the latter in WSL


def kind() -> str:
    """``cpu`` or ``cuda``, from files of the driver and of mmcv's ops: quick, and nothing is imported."""
    device = Settings.from_environ().device
    if device == "auto":
        return "cuda" if any(path.exists() for path in DRIVERS) and _has_cuda_ops() else "cpu"
    return device


@functools.cache
def _has_cuda_ops() -> bool:
    """Whether the installed mmcv's ops are linked to CUDA's runtime, or there is no mmcv yet."""
    found = importlib.util.find_spec("mmcv")
    files = sorted(Path(found.origin).parent.glob("_ext*")) if found else []
    return not files or any(b"libcudart" in file.read_bytes() for file in files)
