"""Execute a page as if it were the first: what it looks like, what it may take and what it may not leave behind.

Any change of this module makes every page stale.
"""

import contextlib
import os
from collections.abc import Callable, Iterator

from howto.checkout import standby
from howto.checkout.isolation import process_state_restored, reset_seeds
from howto.execution import limits, workers

DENSITIES = ["2x"]  # beside the plain one, as sphinx-gallery's image_srcset has it
FIGURES = {
    "figure.dpi": 110,
    "savefig.bbox": "tight",
    "savefig.transparent": True,
    "figure.constrained_layout.use": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 9,
    "text.color": "#7d7d7d",  # legible on furo's light and dark background
    "axes.labelcolor": "#7d7d7d",
    "axes.edgecolor": "#7d7d7d",
    "xtick.color": "#7d7d7d",
    "ytick.color": "#7d7d7d",
    "image.cmap": "cividis",
}


def prepare() -> None:
    """Import what every page needs, once in a process, and have a copy of it stand by."""
    import howto.execution.preloaded  # noqa: F401

    workers.settle()
    standby.keep()


@contextlib.contextmanager
def executing(name: str) -> Iterator[Callable[[], list[str]]]:
    """Execute the page `name`; what it changes in the process is put back.

    Yields:
        What lists afterwards, in words, whatever the page has left open or running.
    """
    import matplotlib

    with process_state_restored():
        os.environ.pop("MPLBACKEND", None)
        matplotlib.rcParams.update(FIGURES)
        reset_seeds()
        leftovers = limits.leftovers()
        with limits.limited(name):
            yield leftovers
