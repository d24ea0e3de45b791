"""How many cores and how much memory this process may use: what its machine has, or what its container is given."""

import contextlib
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

SYSTEM = Path("/")
FULL = 2**60  # bytes; a control group without a limit of its own may say the largest number that it can


def cores() -> int:
    """Cores that this process may use, at least 1; a container's share of 1.5 cores counts as 1."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for folder in _groups("cpu"):
        with contextlib.suppress(OSError, ValueError):
            if (folder / "cpu.max").exists():
                quota, period = _words(folder / "cpu.max")
            else:
                (quota,), (period,) = _words(folder / "cpu.cfs_quota_us"), _words(folder / "cpu.cfs_period_us")
            if int(quota) > 0:
                usable = min(usable, int(quota) // int(period))
    return max(usable, 1)


def memory() -> float:
    """GiB that this process can still have; where nobody says, as before psutil is installed on a Mac, infinity."""
    free = _free()
    for folder in _groups("memory"):
        with contextlib.suppress(OSError, ValueError):
            new = (folder / "memory.max").exists()
            (limit,) = _words(folder / ("memory.max" if new else "memory.limit_in_bytes"))
            (used,) = _words(folder / ("memory.current" if new else "memory.usage_in_bytes"))
            if int(limit) < FULL:
                stat = (folder / "memory.stat").read_text("utf-8")
                cached = re.search(rf"^{'' if new else 'total_'}inactive_file (\d+)$", stat, re.MULTILINE)
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


def _groups(controller: str) -> Iterator[Path]:
    """The folders of this process's control group and of those around it, of version 2 and of version 1."""
    try:
        lines = (SYSTEM / "proc/self/cgroup").read_text("utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = SYSTEM / "sys/fs/cgroup" / controllers
        inner = Path(path.lstrip("/"))
        yield from (root / each for each in (inner, *inner.parents))


def _words(file: Path) -> list[str]:
    return file.read_text("utf-8").split()
