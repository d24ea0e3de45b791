"""Spread pages over processes, each with a core of its own, or a GPU."""

import fcntl
import functools
import multiprocessing.forkserver
import os
import signal
import sys
import warnings
from pathlib import Path

from howto.project import budget, device, files, stacks
from howto.project.files import BUILD
from howto.project.processes import end_with_parent
from howto.project.settings import Settings

QUICK = 4.0  # seconds; a second process costs one, and saves half of them
MEMORY = 4.0  # GiB that a page takes at most, with what it imports; the largest of ours has 3.7


def number(pages: int) -> int:
    """How many processes execute so many pages: ``HOWTO_WORKERS``, else one per GPU, or per core that has memory."""
    if wanted := Settings.from_environ().workers:
        return min(pages, wanted)
    if device.kind() == "cuda":
        return max(1, min(pages, len(_gpus())))
    return max(1, min(pages, budget.cores(), int(budget.memory() / MEMORY)))


def quick(seconds: float) -> bool:
    """Whether pages that took so long last are not worth a second process."""
    return seconds < QUICK and not Settings.from_environ().workers


def start(pages: int, seconds: float) -> int:
    """Make ready the processes that execute so many pages, which last took so long in all; how many that are."""
    os.environ["HOWTO_RECORDS"] = str(files.records(stacks.current()))
    needed = 1 if pages < 2 or quick(seconds) else number(pages)
    if needed > 1:
        begin(needed)
        fork(needed)
    return needed


def begin(number: int) -> None:
    """Tell the processes that the build starts that they are its workers, and how much memory is the share of each."""
    os.environ["HOWTO_BUILD_PROCESS"] = str(os.getpid())
    os.environ.setdefault("HOWTO_MEMORY", str(budget.memory() / number))


def fork(number: int) -> None:
    """Fork so many workers from a process that has imported torch and mmdet, but has no thread and no GPU."""
    if sys.platform == "linux" and device.kind() == "cpu":
        from joblib.externals.loky.backend.context import set_start_method

        for library in ("OMP", "OPENBLAS", "MKL"):  # joblib tells it to processes that it starts anew only
            os.environ.setdefault(f"{library}_NUM_THREADS", str(max(1, budget.cores() // number)))
        set_start_method("forkserver", force=True)
        # loky replaces a worker whose page left it with 300 MB more than the page before, which is as well.
        warnings.filterwarnings("ignore", "A worker stopped while some jobs were given to the executor")
        multiprocessing.set_forkserver_preload(["howto.execution.preloaded"])
        multiprocessing.forkserver.ensure_running()


def settle() -> bool:
    """Have a worker, or the process that it is forked from, end with the build alone, and take a GPU of its own.

    Returns:
        Whether this is such a process.
    """
    return _settle(os.getpid())


@functools.cache  # a process does it once
def _settle(process: int) -> bool:
    if Settings.from_environ().build_process in ("", str(process)):
        return False
    import psutil

    end_with_parent()  # else it would write into the next build's pages
    if not psutil.pid_exists(int(Settings.from_environ().build_process)):
        os._exit(1)  # it was killed before this process could ask to be told
    # Ctrl-C reaches the build as well, which says so. What this process starts does not inherit a function, and ends.
    signal.signal(signal.SIGINT, lambda number, frame: None)
    multiprocessing.set_start_method(None, force=True)  # a page's own processes start as anywhere else
    if device.kind() == "cuda" and _gpus():
        os.environ["CUDA_VISIBLE_DEVICES"] = _free(_gpus())
    return True


def _gpus() -> list[str]:
    """The GPUs that this build may use, as ``CUDA_VISIBLE_DEVICES`` names them, found without importing torch."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip()]
    return [str(number) for number, _ in enumerate(sorted(Path("/proc/driver/nvidia/gpus").glob("*")))]


def _free(gpus: list[str]) -> str:
    """A GPU whose lock this process gets, and keeps until it ends; any, if there are more workers than GPUs."""
    BUILD.mkdir(parents=True, exist_ok=True)
    for gpu in gpus:
        lock = os.open(BUILD / f"gpu-{gpu}.lock", os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
        else:
            return gpu
    return gpus[os.getpid() % len(gpus)]
