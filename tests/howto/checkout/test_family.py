import importlib
import inspect

import pytest

from howto.checkout import family
from howto.project import stacks

FAMILIES = sorted({stack.family for stack in stacks.STACKS.values()})
WANTED = {name: value for name, value in vars(family.Family).items() if inspect.isfunction(value) and name[0] != "_"}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_offers_what_is_written_down_and_nothing_else(name):
    module = importlib.import_module(f"howto.checkout.{name}")
    own = {
        key: value
        for key, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and key[0] != "_"
    }
    assert own.keys() == WANTED.keys()
    for key, value in own.items():
        _, *parameters = inspect.signature(WANTED[key]).parameters.values()
        assert list(inspect.signature(value).parameters.values()) == parameters, key
    for key in family.Family.__annotations__:
        assert all(isinstance(each, str) for each in getattr(module, key)) and getattr(module, key), key
