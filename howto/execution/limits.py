"""Hold a page to a time and an amount of memory, and say what it left behind."""

import contextlib
import faulthandler
import gc
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from howto.project import budget
from howto.project.settings import Settings

OUTPUT = 2**20  # bytes of a page's source; the longest of ours has a hundredth of it
GRACE = 5.0  # seconds that a thread may take to end after its page


@contextlib.contextmanager
def limited(script: str = "") -> Iterator[None]:
    """Let what runs inside take ``HOWTO_TIME_LIMIT`` seconds, and ``HOWTO_MEMORY`` GiB beyond what is in use.

    Without them that is a quarter of an hour, and all memory that is available. Memory that cannot be had is a
    MemoryError, or what torch makes of it; the processes that are started inside are held to the same amount.

    Args:
        script: Name of the one file whose code may be stopped; without it, any.

    Raises:
        TimeoutError: It took longer; the traceback shows where it was. Code that never returns to the interpreter ends
            the process, after the stack of each thread was printed.
    """
    seconds = Settings.from_environ().time_limit

    def on_timeout(number, frame):
        files = (Path(outer.f_code.co_filename).name for outer, _ in traceback.walk_stack(frame))
        if script and script not in files:
            return  # sphinx-gallery is writing the page
        raise TimeoutError(f"still running after {seconds:.0f} s; HOWTO_TIME_LIMIT=SECONDS allows more")

    before = signal.signal(signal.SIGALRM, on_timeout)
    signal.setitimer(signal.ITIMER_REAL, seconds, GRACE)  # again and again, as code may catch it and go on
    faulthandler.dump_traceback_later(seconds + 12 * GRACE, exit=True, file=sys.__stderr__)
    try:
        with _memory():
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, before)


def leftovers() -> Callable[[], list[str]]:
    """Ask before a page runs; what is returned says, once it has run, which threads and files it left behind."""
    import psutil

    process = psutil.Process()
    threads, files = set(threading.enumerate()), {file.path for file in process.open_files()}

    def report_leftovers() -> list[str]:
        gc.collect()
        until = time.monotonic() + GRACE
        left = set(threading.enumerate()) - threads
        for thread in left:
            thread.join(max(0, until - time.monotonic()))
        running = sorted(thread.name for thread in left if thread.is_alive())
        still_open = sorted({file.path for file in process.open_files()} - files)
        still_open = [path for path in still_open if not path.endswith(".ttf")]  # matplotlib keeps its fonts open
        return [f"left the thread {name} running; join it" for name in running] + [
            f"left {path} open; close it" for path in still_open
        ]

    return report_leftovers


def truncate(page: Path) -> list[str]:
    """Shorten the source of a page that printed so much that no browser would show it, and say so."""
    size = page.stat().st_size
    if size <= OUTPUT:
        return []
    with page.open(encoding="utf-8") as file:
        lines = [line[:1000].rstrip("\n") for line, _ in zip(file, range(1000))]
    page.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [f"printed too much: the page would have {size:,} bytes, {OUTPUT:,} are allowed; print less"]


@contextlib.contextmanager
def _memory() -> Iterator[None]:
    if sys.platform != "linux":  # elsewhere nobody enforces it
        yield
        return
    import resource

    import psutil

    spare = Settings.from_environ().memory or budget.memory()
    before = resource.getrlimit(resource.RLIMIT_DATA)
    limit = psutil.Process().memory_info().data + int(spare * 2**30)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
