"""Find what speaks to the MMDetection of the stack in use, and what OpenMMLab itself has alike for all of them."""

import importlib
from pathlib import Path
from types import ModuleType

from howto.project import stacks


def api() -> ModuleType:
    """:mod:`howto.checkout.mmdet2` or :mod:`howto.checkout.mmdet3`, which offer the same names.

    Nothing else knows the configs, registries or API of an MMDetection. A ``cfg`` is its ``Config``; an `observer` is a
    :class:`howto.checkout.run.Run`. Beside functions each has

    - ``LIBRARIES``: OpenMMLab's packages, by their loggers' names; the last one has the classifiers.
    - ``SCALES``: keys of a pipeline's steps that hold an image scale (width, height), in pixels.
    - ``KEYS``: where a config has what the families call differently, by the name that gallery scripts use.
    - ``TRAINED``: what each logged line of training begins with; ``FIRST_EPOCH``, those of the first epoch.
    """
    return importlib.import_module(f"howto.checkout.{stacks.current().family}")


def base() -> ModuleType:
    """What OpenMMLab has below MMDetection, with ``Config`` and ``Registry``: mmcv for 2.x, mmengine for 3.x."""
    return importlib.import_module(api().LIBRARIES[0])


def load(path: Path):
    """The config at `path`, a ``Config``, with what it is based on."""
    return base().Config.fromfile(str(path))
