"""What every process does that this project starts beside another."""

import ctypes
import signal
import sys


def end_with_parent() -> None:
    """Have the kernel kill this process when the one that it was forked from ends. On Linux alone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
