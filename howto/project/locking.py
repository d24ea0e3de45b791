"""Let one process at a time do what two would spoil for each other."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def locked(path: Path, holder: str) -> Iterator[None]:
    """Hold the lock file `path`; wait for `holder` if it is taken."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for {holder} …", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
