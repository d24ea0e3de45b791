"""Keep to itself what importing torch and OpenMMLab writes."""

import contextlib
import io
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drop what importing torch and OpenMMLab writes to the terminal: deprecations, "No CUDA runtime is found"."""
    with (
        contextlib.redirect_stdout(_Nowhere()),
        contextlib.redirect_stderr(_Nowhere()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


class _Nowhere(io.TextIOBase):
    """Not os.devnull: mmcv's ProgressBar keeps, as a default argument, the stdout of when it was imported."""

    def write(self, text: str) -> int:
        return len(text)
