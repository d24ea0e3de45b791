"""Measure the levels of a detector's backbone and neck for an image that its own data_preprocessor pads."""

import torch


def padded(model, height: int, width: int) -> torch.Tensor:
    """A batch of two black images of this size, as the detector's ``data_preprocessor`` makes it."""
    images = [torch.zeros(3, height, width, dtype=torch.uint8)] * 2
    return model.data_preprocessor(dict(inputs=images, data_samples=None))["inputs"]


@torch.no_grad()
def shapes(module, images: torch.Tensor) -> list[tuple[int, ...]]:
    """Shape of each level that a module puts out."""
    return [tuple(level.shape) for level in module(images)]
