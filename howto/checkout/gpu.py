"""Choose the device that a build runs on, and say clearly when it cannot be had."""

import contextlib
import re
import resource
from pathlib import Path

from howto.project.errors import HowtoError
from howto.project.quiet import quiet
from howto.project.settings import Settings


def choose() -> str:
    """The device to run on, ``cpu`` or ``cuda``: CUDA if it is usable, unless ``HOWTO_DEVICE`` says otherwise.

    Raises:
        HowtoError: If ``HOWTO_DEVICE`` is ``cuda`` and CUDA is not usable, or is unknown.
    """
    device = Settings.from_environ().device
    if device == "cpu":
        return "cpu"
    problem = cuda_problem()
    if problem and device == "cuda":
        raise HowtoError(f"HOWTO_DEVICE=cuda, but {problem}")
    return "cpu" if problem else "cuda"


def cuda_problem() -> str:
    """Why CUDA cannot be used here, and what mends it; empty if it can."""
    with quiet():
        import torch  # not at the top: a build with nothing to do imports no torch
        from mmcv.ops import get_compiling_cuda_version

        compiled_with = get_compiling_cuda_version()
    if not torch.cuda.is_available():
        return "torch finds no usable GPU; mend the NVIDIA driver (nvidia-smi must list one), or set HOWTO_DEVICE=cpu"
    if compiled_with == "not available":
        return (
            "the installed mmcv was compiled without CUDA ops; "
            "run `HOWTO_DEVICE=cuda tox -e wheels` on this machine, or set HOWTO_DEVICE=cpu"
        )
    return ""


def describe(device: str) -> str:
    """The device in words, as a page names it: ``CPU`` or the GPU's product name."""
    if device == "cpu":
        return "CPU"
    import torch

    return f"GPU ({torch.cuda.get_device_name()})"


def peak_memory(device: str) -> int:
    """The most memory since the page began, in MiB: resident memory of the process, or what torch took on the GPU."""
    if device == "cuda":
        import torch

        torch.cuda.synchronize()  # so that the time taken next is that of the kernels, too
        return torch.cuda.max_memory_allocated() // 2**20
    with contextlib.suppress(OSError, TypeError):
        return int(re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text("utf-8"))[1]) // 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 2**20  # macOS counts bytes, and never anew
