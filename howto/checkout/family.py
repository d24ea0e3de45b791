"""Find the module that speaks to the MMDetection of the stack in use."""

import importlib
from types import ModuleType

from howto.project import stacks


def api() -> ModuleType:
    """:mod:`howto.checkout.mmdet2` or :mod:`howto.checkout.mmdet3`, which offer the same functions."""
    return importlib.import_module(f"howto.checkout.{stacks.current().family}")
