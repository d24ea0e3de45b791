"""Read what the environment sets: every ``HOWTO_*`` variable has its place, its check and its words here."""

import contextlib
import dataclasses
import datetime
import difflib
import math
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from howto.project.errors import HowtoError


def _device(variable: str, text: str) -> str:
    if text not in ("auto", "cpu", "cuda"):
        raise HowtoError(f"{variable}={text} is unknown; set it to auto, cpu or cuda")
    return text


def _count(variable: str, text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise HowtoError(f"{variable}={text} is no number of processes; set it to 1 or more, or unset it")
    return int(text)


def _number(variable: str, text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise HowtoError(f"{variable}={text} is no number above 0; set it to one, or unset it")


def _part(variable: str, text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise HowtoError(f"{variable}={text} is no part of the pages; set it to 1/8, 2/8, … or 8/8, or unset it")
    return int(found[1]), int(found[2])


def _age(variable: str, text: str) -> datetime.timedelta:
    found = re.fullmatch(r"(\d+)([dh])", text)
    if not found:
        raise HowtoError(f"{variable}={text} is no age; set it to days or hours, 30d or 12h")
    return datetime.timedelta(**{{"d": "days", "h": "hours"}[found[2]]: int(found[1])})


READ: dict[str, Callable[[str, str], object]] = {  # what is no text as it is
    "device": _device,
    "coco": lambda variable, text: Path(text),
    "workers": _count,
    "shard": _part,
    "max_age": _age,
    "time_limit": _number,
    "memory": _number,
    "records": lambda variable, text: Path(text),
    "snippets": lambda variable, text: Path(text),
}
MEANING = {  # of those that are for users, in Markdown, and what holds where it is not set
    "stack": ("The stack, for whatever is run without tox, whose environments name one", "`mmdet2`"),
    "device": ("`cpu`, `cuda`, or `auto`: CUDA if it is usable", "`auto`"),
    "coco": ("A COCO 2017 folder; pages use its first 16 train and 8 val images", "a small COCO of 15 photographs"),
    "workers": ("How many pages run at once, each in its own process", "one per GPU, or per core that has 4 GiB"),
    "shard": ("`2/8`: execute an eighth of the pages, see [Publish it](publish.md#spread-it-over-machines)", "all"),
    "max_age": ("`30d` or `12h`: a build fails if it would show a page that was executed longer ago", "any age"),
    "time_limit": ("Seconds that a page may run", "900"),
    "memory": ("GiB that a page may take, on Linux", "what is free"),
    "python": ("The Python of a new environment: a version, or a path", "3.11"),
    "wheels": ("`compile`, or the address of a host that has its wheels as OpenMMLab's has", "OpenMMLab's host"),
    "base_url": ("Where the site will be; see [Publish it](publish.md)", "not known"),
    "repository_url": ("Where its sources are, for edit links", "not known"),
    "analytics_url": ("A script that every page loads", "none"),
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is set for a build and for all else that this project does, each by ``HOWTO_`` and its name in capitals.

    Attributes:
        stack: Name of the stack; no name is the default one.
        device: ``auto``, ``cpu`` or ``cuda``.
        coco: Folder of a real COCO 2017.
        workers: How many pages run at once, from 1 on.
        shard: Which part of the pages is executed here: (2, 8) is the second eighth.
        max_age: How long ago a page may have been executed.
        time_limit: Seconds that a page may run.
        memory: GiB that a page may take.
        python: Version or path of the Python of a new environment.
        wheels: The host that is asked for ready wheels, without a slash at its end, or ``compile``.
        base_url: Where the site will be, likewise.
        repository_url: Where its sources are, likewise.
        analytics_url: A script that every page loads.
        records: Folder for the records of the pages that run. This and the next two our own processes tell each other.
        snippets: Folder that stands in for ``snippets/``.
        build_process: The process that builds, for those that it started.
    """

    stack: str = ""
    device: str = "auto"
    coco: Path | None = None
    workers: int | None = None
    shard: tuple[int, int] | None = None
    max_age: datetime.timedelta | None = None
    time_limit: float = 900.0
    memory: float | None = None
    python: str = ""
    wheels: str = ""
    base_url: str = ""
    repository_url: str = ""
    analytics_url: str = ""
    records: Path | None = None
    snippets: Path | None = None
    build_process: str = ""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> "Settings":
        """What `environ` sets; a variable that is empty sets nothing.

        Raises:
            HowtoError: A variable is set to what it cannot be.
        """
        found = {}
        for variable, name in _variables().items():
            if text := environ.get(variable, ""):
                found[name] = READ[name](variable, text) if name in READ else text.rstrip("/")
        return cls(**found)


def require_known(environ: Mapping[str, str] = os.environ) -> None:
    """Stop at a variable that is spelled nearly as one of ours: what it was to set is not set.

    Raises:
        HowtoError: There is one.
    """
    ours = _variables()
    for name in sorted(set(environ) - set(ours)):
        if name.startswith("HOWTO_") and (meant := difflib.get_close_matches(name, ours, 1, 0.85)):
            raise HowtoError(f"{name} sets nothing; {meant[0]} is meant, perhaps: unset the one, and set the other")


def described() -> list[tuple[str, str, str]]:
    """Each variable that is for users, what it means, and what holds where it is not set, in Markdown."""
    return [(variable, *MEANING[name]) for variable, name in _variables().items() if name in MEANING]


def _variables() -> dict[str, str]:
    return {f"HOWTO_{field.name.upper()}": field.name for field in dataclasses.fields(Settings)}
