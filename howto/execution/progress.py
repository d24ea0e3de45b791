"""Say how far a build has come: on a terminal by a bar, elsewhere by a line for each page that begins or ends."""

import functools
import threading
import time
from typing import TextIO

from howto.execution.state import PageState
from howto.project.howtos import HowTo


class Progress:
    """Follows the pages of a build, whichever process executes them, until it is stopped.

    Args:
        pages: Those that are executed.
        workers: Number of processes that execute them.
        stream: Where it is said.
    """

    def __init__(self, pages: list[HowTo], workers: int, stream: TextIO) -> None:
        self._pages, self._workers, self._stream = pages, workers, stream
        self._costs = {
            howto.topic: howto.cost for howto in pages
        }  # before a page's new cost takes the place of its old
        self._begun: dict[str, float] = {}
        self._took: dict[str, float] = {}
        self._say = functools.partial(print, file=stream, flush=True)
        self._bar = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def start(self) -> None:
        """Begin to look, if there is a page to follow."""
        if not self._pages:
            return
        if self._stream.isatty():
            self._bar = _bar(self._stream)
            self._bar.start()
            self._task = self._bar.add_task("", total=len(self._pages), left="")
        self._thread.start()

    def stop(self) -> None:
        """Look once more, and take the bar away."""
        self._stopped.set()
        if self._thread.ident:
            self._thread.join()
        if self._bar:
            self._bar.stop()

    def _follow(self) -> None:
        while not self._stopped.wait(0.5):
            self._look()
        self._look()

    def _look(self) -> None:
        now = time.monotonic()
        for howto in self._pages:
            topic, state = howto.topic, PageState.of(howto).state
            if state in ("running", "passed", "failed") and topic not in self._begun:
                self._begun[topic] = now
                if not self._bar:
                    self._say(f"{topic}: executing")
            if state in ("passed", "failed") and topic not in self._took:
                self._took[topic] = now - self._begun[topic]
                if not self._bar:
                    what = f"{self._took[topic]:.0f} s" if state == "passed" else "failed"
                    self._say(f"{topic}: {what}; {len(self._took)} of {len(self._pages)} pages, {self._left(now)}")
        if self._bar:
            running = ", ".join(topic for topic in self._begun if topic not in self._took)
            self._bar.update(self._task, completed=len(self._took), description=running, left=self._left(now))

    def _left(self, now: float) -> str:
        """How long the rest will take, by what the pages took last and how much faster or slower today's are."""
        before = sum(self._costs[topic] for topic in self._took)
        pace = sum(self._took.values()) / before if before else 1.0
        rest = 0.0
        for topic, cost in self._costs.items():
            if topic not in self._took:
                rest += max(0.0, cost * pace - (now - self._begun.get(topic, now)))
        seconds = rest / self._workers
        return f"about {seconds:.0f} s left" if seconds < 90 else f"about {seconds / 60:.0f} min left"


def _bar(stream: TextIO):
    from rich.console import Console  # not at the top: most commands show none
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[left]}"), TextColumn("{task.description}"))
    # What a page prints belongs to the page.
    return Bar(*columns, console=Console(file=stream), transient=True, redirect_stdout=False, redirect_stderr=False)
