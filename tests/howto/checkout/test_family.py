import inspect

from howto.checkout import mmdet2, mmdet3


def offered(module) -> dict[str, list]:
    """The functions of a family's module, by name, with their parameters, and the types of its constants."""
    public = {name: value for name, value in vars(module).items() if name[0] != "_" and name != "load"}
    functions = {name: value for name, value in public.items() if inspect.isfunction(value)}
    constants = {name: type(value) for name, value in public.items() if name.isupper()}
    return constants | {name: [*inspect.signature(value).parameters.values()] for name, value in functions.items()}


def test_both_families_offer_the_same():
    assert offered(mmdet2) == offered(mmdet3)
