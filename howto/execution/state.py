"""What is known of a page from one build to the next."""

import dataclasses
import json
from typing import Literal

from howto.project.howtos import HowTo
from howto.project.record import write_json


@dataclasses.dataclass(frozen=True)
class PageState:
    """How far a page has come.

    Attributes:
        state: ``stale`` if nothing is known of it, ``begun`` from when a build decides to execute it, then
            ``running``, and ``passed`` or ``failed``: its code raised an error, or it has `problems`.
        depends: The fingerprint of what it was, or is to be, executed from.
        prose: sha256 of the words that it was written with.
        problems: What is wrong with a page whose code raised nothing.
    """

    state: Literal["stale", "begun", "running", "passed", "failed"] = "stale"
    depends: dict[str, str] = dataclasses.field(default_factory=dict)
    prose: str = ""
    problems: tuple[str, ...] = ()

    @classmethod
    def of(cls, howto: HowTo) -> "PageState":
        """That of a how-to's page: ``stale`` if it has none that can be read."""
        try:
            return cls(**json.loads(howto.state.read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return cls()

    def keep(self, howto: HowTo) -> None:
        """Write it beside the page; a stale page has none."""
        if self.state == "stale":
            howto.state.unlink(missing_ok=True)
        else:
            write_json(howto.state, dataclasses.asdict(self))
