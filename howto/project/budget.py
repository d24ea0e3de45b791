"""How many cores and how much memory this process may use: what its machine has, or what its container is given."""

import contextlib
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

SYSTEM = Path("/")


def cores() -> int:
    """Cores that this process may use, at least 1; a container's share of 1.5 cores counts as 1."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for folder in _groups():
        with contextlib.suppress(OSError, ValueError):
            quota, period = _words(folder / "cpu.max")
            usable = min(usable, int(quota) // int(period))  # "max" is no number
    return max(usable, 1)


def memory() -> float:
    """GiB that this process can still have; where nobody says, as before psutil is installed on a Mac, infinity."""
    free = _free()
    for folder in _groups():
        with contextlib.suppress(OSError, ValueError):
            (limit,), (used,) = _words(folder / "memory.max"), _words(folder / "memory.current")
            stat = (folder / "memory.stat").read_text("utf-8")
            cached = re.search(r"^inactive_file (\d+)$", stat, re.MULTILINE)
            free = min(free, int(limit) - int(used) + int(cached[1] if cached else 0))
    return free / 2**30


def _free() -> float:
    with contextlib.suppress(OSError):
        kib = re.search(r"MemAvailable: *(\d+)", (SYSTEM / "proc/meminfo").read_text("utf-8"))[1]
        return int(kib) * 1024
    with contextlib.suppress(ImportError):
        import psutil

        return psutil.virtual_memory().available
    return math.inf


def _groups() -> Iterator[Path]:
    """The folders of this process's control group and of those around it; of version 2, the only one in use."""
    with contextlib.suppress(OSError):
        path = re.search(r"^0::/(.*)$", (SYSTEM / "proc/self/cgroup").read_text("utf-8"), re.MULTILINE)
        if path:
            yield from (SYSTEM / "sys/fs/cgroup" / each for each in (Path(path[1]), *Path(path[1]).parents))


def _words(file: Path) -> list[str]:
    return file.read_text("utf-8").split()
