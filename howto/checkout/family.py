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


def split(cfg, name: str) -> dict:
    """The config of the dataset for ``train``, ``val`` or ``test``, wrappers included."""
    return _value(cfg, name)


def optimizer(cfg) -> dict:
    """The config of the optimizer."""
    return _value(cfg, "optimizer")


def rate(cfg) -> float:
    """The learning rate that a config names."""
    return optimizer(cfg).lr


def epochs(cfg) -> int:
    """The number of epochs that a config trains for."""
    return _value(cfg, "epochs")


def accumulated(cfg) -> int:
    """Number of iterations whose gradients are added up before each step of the optimizer."""
    return _value(cfg, "accumulate", 1)


def detector(cfg):
    """The detector of `cfg` with its initial weights, as ``tools/train.py`` builds it."""
    _, build = api().detectors()
    model = build(cfg)
    model.init_weights()
    return model


def stock(patterns: dict[str, str]) -> dict[str, str]:
    """By its name the stock config that fits a pattern, as its path below ``configs/``, if this family has one."""
    configs = api().detectors()[0] / "configs"
    found = {name: [*configs.glob(pattern)] for name, pattern in patterns.items()}
    return {name: str(paths[0].relative_to(configs)) for name, paths in found.items() if paths}


def _value(cfg, name: str, default: object = None):
    """What a config has at one of ``KEYS``."""
    *place, last = api().KEYS[name].split(".")
    for part in place:
        cfg = cfg[part]
    return cfg.get(last, default)
