"""Compare a handful of mmcv's compiled ops with values that are known from elsewhere."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

from howto.project.errors import HowtoError
from howto.project.stacks import ROOT


def require(python: Path, mend: str) -> None:
    """Have `python` compare the ops of its mmcv.

    Raises:
        HowtoError: They are not right, or do not load; `mend` says what to run.
    """
    compared = subprocess.run([python, "-m", "howto.setup.ops"], cwd=ROOT, capture_output=True, text=True)
    if compared.returncode:
        raise HowtoError(f"mmcv's ops are not right: {compared.stderr.strip().rpartition(chr(10))[2]}; {mend}")


def problems() -> list[str]:
    """What mmcv's ops compute otherwise than torchvision's ops and torch's convolution do; empty if nothing.

    On the CPU, and on the GPU where there is one that they were compiled for.
    """
    import torch  # not at the top: a build with nothing to do imports no torch
    from mmcv.ops import get_compiling_cuda_version

    cuda = torch.cuda.is_available() and get_compiling_cuda_version() != "not available"
    found = []
    for device in ("cpu", "cuda") if cuda else ("cpu",):
        torch.manual_seed(0)
        with torch.device(device):
            found += [f"{name} ({device})" for name, agrees in _compared() if not agrees]
    return found


def _compared() -> Iterator[tuple[str, bool]]:
    """A statement that would be wrong, and whether it is. Boxes are (n, 4): x1, y1, x2, y2, in pixels."""
    import mmcv.ops
    import torch
    import torchvision.ops

    boxes = 100 * torch.rand(60, 4)
    boxes[:, 2:] += boxes[:, :2] + 1
    scores = torch.rand(60)
    kept = mmcv.ops.nms(boxes, scores, 0.5)[1]
    yield "nms is not torchvision's", torch.equal(kept, torchvision.ops.nms(boxes, scores, 0.5))

    rotated = torch.cat([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2], torch.zeros(60, 1)], dim=1)
    overlaps = mmcv.ops.box_iou_rotated(rotated, rotated)
    yield (
        "box_iou_rotated at angle 0 is not torchvision's box_iou",
        torch.allclose(overlaps, torchvision.ops.box_iou(boxes, boxes), atol=1e-4),
    )

    features = torch.rand(1, 8, 32, 32)
    rois = torch.cat([torch.zeros(60, 1), boxes], dim=1)
    aligned = mmcv.ops.roi_align(features, rois, (7, 7), 0.25, 2, "avg", True)
    expected = torchvision.ops.roi_align(features, rois, (7, 7), 0.25, 2, aligned=True)
    yield "roi_align is not torchvision's", torch.allclose(aligned, expected, atol=1e-5)

    weight = torch.rand(4, 8, 3, 3)
    convolved = torch.conv2d(features, weight, padding=1)
    still = torch.zeros(1, 18, 32, 32)
    deformed = mmcv.ops.deform_conv2d(features, still, weight, 1, 1)
    yield "deform_conv2d with offsets of 0 is no convolution", torch.allclose(deformed, convolved, atol=1e-4)
    everywhere = torch.ones(1, 9, 32, 32)
    modulated = mmcv.ops.modulated_deform_conv2d(features, still, everywhere, weight, None, 1, 1, 1, 1, 1)
    yield "modulated_deform_conv2d with a mask of 1 is no convolution", torch.allclose(modulated, convolved, atol=1e-4)


if __name__ == "__main__":
    raise SystemExit("; ".join(problems()) or 0)
