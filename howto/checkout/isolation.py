"""Put back what a how-to may leave behind in the process, so that no page sees another."""

import contextlib
import gc
import os
import random
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from howto.checkout.family import api, base

# A notebook's kernel forces colours on whatever is printed, some CIs do, and MMEngine then writes them into every line.
PLAIN = {"NO_COLOR": "1"}


@contextlib.contextmanager
def isolated(root: Path) -> Iterator[None]:
    """Work inside `root`, with `root` importable, and put everything back afterwards.

    :func:`process_state_restored` says what; beside it the modules that were imported from `root` go, so that each
    snippet is imported again, as in a new process.
    """
    with process_state_restored(root), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations in libraries, of which a reader of a page can mend none
        os.chdir(root)
        os.environ |= PLAIN
        sys.path.insert(0, str(root))
        yield


@contextlib.contextmanager
def process_state_restored(root: Path | None = None) -> Iterator[None]:
    """Put back the working directory, environment, ``sys.path``, random states, torch's settings and mmcv's registries.

    OpenMMLab's loggers and, if there is a `root`, the modules that come from there are forgotten.
    """
    cwd, environ, path = Path.cwd(), dict(os.environ), list(sys.path)
    registered = {registry: dict(registry._module_dict) for registry in _registries()}
    try:
        with _same_state():
            yield
    finally:
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(environ)
        sys.path[:] = path
        for registry in _registries():
            for name, module in list(registry._module_dict.items()):
                # A module whose import failed is in sys.modules no more; a page's own classes and observers count too.
                place = module.__module__
                gone = place not in sys.modules or place == "__main__" or place.startswith("howto.")
                if gone or (root and _comes_from(place, root)):
                    del registry._module_dict[name]
            registry._module_dict.update(registered.get(registry, {}))
        for name in [name for name in sys.modules if root and _comes_from(name, root)]:
            del sys.modules[name]
        if "mmcv" in sys.modules:
            api().forget()


@contextlib.contextmanager
def _same_state() -> Iterator[None]:
    """Put back the random states and what torch can be told for the whole process."""
    import numpy
    import torch

    python, arrays, tensors = random.getstate(), numpy.random.get_state(), torch.get_rng_state()
    kind, gradients, threads = torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads()
    try:
        yield
    finally:
        random.setstate(python)
        numpy.random.set_state(arrays)
        torch.set_rng_state(tensors)
        torch.set_default_dtype(kind)
        torch.set_grad_enabled(gradients)
        torch.set_num_threads(threads)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside, the same random numbers are drawn for the same `seed`; afterwards the draw goes on as before."""
    import numpy
    import torch

    with _same_state():
        random.seed(seed)
        numpy.random.seed(seed)
        torch.manual_seed(seed)
        yield


def reset_seeds() -> None:
    """Start a page as if it were the first: the same seeds, and the memory that others held on the GPU given back."""
    import numpy
    import torch

    random.seed(0)
    numpy.random.seed(0)
    torch.manual_seed(0)
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    with contextlib.suppress(OSError):  # no Linux
        Path("/proc/self/clear_refs").write_text("5", "utf-8")  # the process's peak of resident memory starts anew


def no_naps() -> contextlib.AbstractContextManager:
    """Leave out the 2 s for which the EpochBasedRunner of MMCV 1.x sleeps at the start of each epoch."""
    try:
        from mmcv.runner import epoch_based_runner
    except ImportError:  # there is none in 2.x
        return contextlib.nullcontext()
    return mock.patch.object(epoch_based_runner, "time", mock.Mock(wraps=time, sleep=lambda seconds: None))


@contextlib.contextmanager
def formatted_once() -> Iterator[None]:
    """Have yapf format each text once: a run asks it for the same config up to five times, some 0.5 s each."""
    from yapf.yapflib import yapf_api

    kept, original = {}, yapf_api.FormatCode

    def once(text: str, **keys):
        if text not in kept:
            kept[text] = original(text, **keys)
        return kept[text]

    with contextlib.ExitStack() as stack:
        for name in ("yapf.yapflib.yapf_api", "mmcv.utils.config", "mmengine.config.config"):
            if hasattr(sys.modules.get(name), "FormatCode"):  # OneDL's mmengine imports it when it needs it
                stack.enter_context(mock.patch.object(sys.modules[name], "FormatCode", once))
        yield


def _registries() -> set:
    if "mmcv" not in sys.modules:
        return set()
    registry, names = base().Registry, api().LIBRARIES
    libraries = [module for name, module in sys.modules.items() if name.startswith(names)]
    return {value for module in libraries for value in vars(module).values() if isinstance(value, registry)}


def _comes_from(module: str, root: Path) -> bool:
    found = getattr(sys.modules.get(module), "__dict__", {})  # torch.classes has an attribute of any name
    places = [found.get("__file__"), *(found.get("__path__") or [])]
    # As Path.is_relative_to, which takes 0.1 s for the modules of OpenMMLab, and a page asks 60 times.
    return any(place and f"{place}{os.sep}".startswith(f"{root}{os.sep}") for place in places)
