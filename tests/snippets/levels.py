"""Measure the levels of a detector's backbone and neck for an image that the config itself pads."""

import torch

from howto.project import stacks


def padded(model, cfg, height: int, width: int) -> torch.Tensor:
    """A batch of two black images of this size, padded as the config says, on the model's device."""
    image = torch.zeros(3, height, width, dtype=torch.uint8)
    pad = _by_a_step if stacks.current().family == "mmdet2" else _by_the_model
    return pad(model, cfg, image).to(next(model.parameters()).device)


@torch.no_grad()
def shapes(module, images: torch.Tensor) -> list[tuple[int, ...]]:
    """Shape of each level that a module puts out."""
    return [tuple(level.shape) for level in module(images)]


def _by_a_step(model, cfg, image: torch.Tensor) -> torch.Tensor:
    from mmcv.utils import build_from_cfg
    from mmdet.datasets import PIPELINES

    (pad,) = (step for step in cfg.data.train.pipeline if step["type"] == "Pad")
    result = build_from_cfg(pad, PIPELINES)(dict(img=image.permute(1, 2, 0).float().numpy(), img_fields=["img"]))
    return torch.from_numpy(result["img"]).permute(2, 0, 1).expand(2, -1, -1, -1)


def _by_the_model(model, cfg, image: torch.Tensor) -> torch.Tensor:
    return model.data_preprocessor(dict(inputs=[image] * 2, data_samples=None))["inputs"]
