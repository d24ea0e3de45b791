"""Measure a detector: what it costs, and what levels its backbone puts out."""

import statistics
import time

from howto.family import api


def cost(model, size: int) -> tuple[float, float, float, float]:
    """Parameters of a detector and of its backbone, multiply-adds and time of one pass over a square image.

    Args:
        model: A detector in evaluation mode.
        size: Side of the image, in pixels.

    Returns:
        Parameters in millions, the backbone's in millions, 10^9 multiply-adds (as OpenMMLab's
        ``get_model_complexity_info`` counts them and calls them FLOPs), and the median time of five passes in
        milliseconds, after one more to warm up; on CUDA the clock waits for the kernels.
    """
    import torch

    device = next(model.parameters()).device
    image = torch.rand(1, 3, size, size, device=device)
    flops, forward = api().cost(model, image)
    times = []
    with torch.no_grad():
        for _ in range(6):
            started = time.perf_counter()
            forward(image)
            if device.type == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - started)
    return millions(model), millions(model.backbone), flops / 1e9, statistics.median(times[1:]) * 1e3


def levels(backbone, size: int) -> tuple[list[int], list[int]]:
    """Channels and strides (pixels) of a backbone's levels, measured on a square image of `size` pixels a side."""
    import torch

    backbone.eval()
    device = next(backbone.parameters()).device
    with torch.no_grad():
        shapes = [level.shape for level in backbone(torch.rand(1, 3, size, size, device=device))]
    return [shape[1] for shape in shapes], [size // shape[2] for shape in shapes]


def millions(module) -> float:
    """Parameters of a module, in millions."""
    return sum(parameter.numel() for parameter in module.parameters()) / 1e6
