"""Measure the levels of a detector's backbone and neck for an image that the config's own pipeline pads."""

import numpy as np
import torch
from mmcv.utils import build_from_cfg
from mmdet.datasets import PIPELINES


def padded(cfg, height: int, width: int, device: str) -> torch.Tensor:
    """A batch of two black images, padded as the config's training pipeline pads an image of this size."""
    (pad,) = (step for step in cfg.data.train.pipeline if step["type"] == "Pad")
    image = np.zeros((height, width, 3), dtype=np.float32)
    image = build_from_cfg(pad, PIPELINES)(dict(img=image, img_fields=["img"]))["img"]
    return torch.from_numpy(image).permute(2, 0, 1).expand(2, -1, -1, -1).to(device)


@torch.no_grad()
def shapes(module, images: torch.Tensor) -> list[tuple[int, ...]]:
    """Shape of each level that a module puts out."""
    return [tuple(level.shape) for level in module(images)]
