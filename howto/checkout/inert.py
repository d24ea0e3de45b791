"""Unpickle tensors and arrays, and run nothing else: a ``pickle_module`` for torch.load."""

import pickle

# What tensors and arrays are made with. NumPy 2 has moved its own.
_MAKERS = {
    "builtins": {"bytearray", "complex", "dict", "float", "frozenset", "int", "list", "set", "slice", "str", "tuple"},
    "collections": {"OrderedDict"},
    "_codecs": {"encode"},
    "numpy": {"dtype", "ndarray"},
    "numpy.core.multiarray": {"_reconstruct", "scalar"},
    "numpy._core.multiarray": {"_reconstruct", "scalar"},
    "torch": {"Size", "device"},
    "torch._utils": {"_rebuild_parameter", "_rebuild_tensor", "_rebuild_tensor_v2"},
}
_MOVED = {"__builtin__": "builtins"}  # of a pickle that Python 2 wrote


class Inert:
    """What stands where something else than a tensor or an array was pickled: it takes whatever it is given."""

    def __init__(self, *args, **kwargs) -> None:
        pass

    __setstate__ = __setitem__ = append = extend = __init__  # each forgets what it is given


class Unpickler(pickle.Unpickler):
    """An unpickler whose objects are inert, but for tensors, arrays, and what holds them."""

    def find_class(self, module: str, name: str) -> object:
        """What a pickle names, if it makes tensors or arrays; else a class that does nothing."""
        import torch

        module = _MOVED.get(module, module)
        is_dtype = module == "torch" and isinstance(getattr(torch, name, None), torch.dtype)
        return super().find_class(module, name) if is_dtype or name in _MAKERS.get(module, ()) else Inert


class Strict(Unpickler):
    """An unpickler that takes nothing but tensors, arrays, and what holds them."""

    def find_class(self, module: str, name: str) -> object:
        """What a pickle names, if it makes tensors or arrays.

        Raises:
            pickle.UnpicklingError: It makes something else.
        """
        found = super().find_class(module, name)
        if found is Inert:
            raise pickle.UnpicklingError(f"{module}.{name} is no array")
        return found


def load(file, **options) -> object:
    """As ``pickle.load``."""
    return Unpickler(file, **options).load()
