"""Keep what was executed and measured, so that a page claims nothing else."""

import dataclasses
import hashlib
import importlib.metadata
import json
import os
from pathlib import Path

from howto.project.errors import HowtoError
from howto.project.settings import Settings
from howto.project.shown import show

PACKAGES = (
    *("torch", "torchvision", "timm"),
    *("mmcv-full", "mmdet", "mmcls"),
    *("mmcv", "mmengine", "mmpretrain"),
    *("onedl-mmcv", "onedl-mmengine", "onedl-mmdetection", "onedl-mmpretrain"),
    "detectron2",
)


class CheckFailed(HowtoError):
    """A check of a how-to measured something else than it expects."""


@dataclasses.dataclass(frozen=True)
class Check:
    """One statement of a page, with the value expected and the value measured, both as text."""

    name: str
    expected: str
    measured: str
    passed: bool


@dataclasses.dataclass
class Record:
    """What one how-to executed, on what, and what it measured.

    Attributes:
        topic: Name of the how-to.
        stack: Name of the stack it ran on.
        snippets: sha256 of each snippet file, by its path below ``snippets/``.
        data: Where the photographs come from.
        device: ``CPU`` or the GPU's name.
        simulated_gpus: How many GPUs were simulated, for each number that was, see
            :mod:`howto.checkout.simulated_gpu`; none on a GPU, and where nothing asks for one.
        versions: Installed version of each package of the stack.
        weights: For each checkpoint file ``real`` or ``stand-in``.
        hosts: For each stand-in the host that would have had the real file.
        overrides: What the harness changed in each config it ran, as ``--cfg-options`` takes it.
        checks: The checks, in the order in which they ran.
        seconds: Time that the page's code ran, in seconds.
        peak_memory_mib: Largest resident set of the process since the page began, or GPU memory on CUDA, in MiB.
        status: ``running`` until the page's last statement, then ``passed``.
    """

    topic: str
    stack: str
    snippets: dict[str, str]
    data: str = ""
    device: str = ""
    simulated_gpus: list[int] = dataclasses.field(default_factory=list)
    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    weights: dict[str, str] = dataclasses.field(default_factory=dict)
    hosts: dict[str, str] = dataclasses.field(default_factory=dict)
    overrides: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)
    checks: list[Check] = dataclasses.field(default_factory=list)
    seconds: float = 0.0
    peak_memory_mib: int = 0
    status: str = "running"

    def simulates(self, gpus: int) -> None:
        """Note that something ran on so many simulated GPUs."""
        self.simulated_gpus = sorted({*self.simulated_gpus, gpus})

    def check(self, name: str, measured: object, expected: object = None, *, at_most: float | None = None) -> None:
        """Record that `measured` equals `expected`, or is no larger than `at_most`, and print it.

        Raises:
            CheckFailed: If it does not.
        """
        passed = bool(measured == expected if at_most is None else measured <= at_most)
        wanted = repr(expected) if at_most is None else f"at most {at_most}"
        self.checks.append(Check(name, wanted, _text(measured), passed))
        self.save()
        if not passed:
            raise CheckFailed(f"{self.topic}: {name}: expected {wanted}, measured {_text(measured)}")
        show("check", f"✓ {name}: {_text(measured)}", **dataclasses.asdict(self.checks[-1]))

    def save(self) -> None:
        """Write the record into the folder ``HOWTO_RECORDS``, if there is one."""
        if folder := Settings.from_environ().records:
            write_json(folder / f"{self.topic}.json", dataclasses.asdict(self))


def _text(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else repr(value)


def write_json(path: Path, content: object) -> None:
    """Write `content` as JSON, the same bytes for the same content; see :func:`write_text`."""
    write_text(path, json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all: a reader, or a kill, never meets half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.{os.getpid()}.half")
    half.write_text(text, "utf-8")
    half.replace(path)


def sha256(path: Path) -> str:
    """Hexadecimal sha256 of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def installed_versions() -> dict[str, str]:
    """Version of each package of :data:`PACKAGES` that is installed here."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
