"""Find the module that speaks to the MMDetection of the stack in use."""

import importlib
from types import ModuleType

from howto import stacks


def api() -> ModuleType:
    """:mod:`howto.mmdet2` or :mod:`howto.mmdet3`, which offer the same functions."""
    return importlib.import_module(f"howto.{stacks.current().family}")
