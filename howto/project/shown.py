"""What a page shows beside what its code prints: checks, differences, and what fits a run to this machine.

Each is data with fields, which the site makes a list, a table or a fold of; people who run a page see its text.
"""

import contextlib
from collections.abc import Iterator


class Shown:
    """Prints what is shown, or collects it where a page is made of it."""

    def __init__(self) -> None:
        self._collected: list[dict] | None = None

    def __call__(self, kind: str, text: str, **fields: object) -> None:
        """Show something.

        Args:
            kind: ``check``, ``difference``, ``options`` or ``stand-in``.
            text: How people who run a page read it.
            **fields: What the site makes of it, JSON all of it.
        """
        if self._collected is None:
            print(text)
        else:
            self._collected.append({"kind": kind, **fields})

    @contextlib.contextmanager
    def collecting(self) -> Iterator[None]:
        """Collect inside what is shown."""
        self._collected = []
        try:
            yield
        finally:
            self._collected = None

    def take(self) -> list[dict]:
        """What was collected since this was called last."""
        taken, self._collected = self._collected or [], [] if self._collected is not None else None
        return taken


show = Shown()
