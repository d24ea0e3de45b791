"""Find where the number of classes stands in a detector, and what depends on it."""

import re
from collections.abc import Iterator, Sequence

from howto.checkout.family import api, stock
from howto.figures import gradients
from howto.figures.show import COLOURS

# Standard configs that tables show, one of each kind of head; * stands for what differs between MMDetection 2 and 3.
STANDARD = {
    "RetinaNet": "retinanet/retinanet_r50_fpn_1x_coco.py",
    "Faster R-CNN": "faster_rcnn/faster?rcnn_r50_fpn_1x_coco.py",
    "Mask R-CNN": "mask_rcnn/mask?rcnn_r50_fpn_1x_coco.py",
    "Cascade R-CNN": "cascade_rcnn/cascade?rcnn_r50_fpn_1x_coco.py",
    "FCOS": "fcos/fcos_r50?caffe_fpn_gn-head_1x_coco.py",
    "Deformable DETR": "deformable_detr/deformable_detr_r50_16x2_50e_coco.py",
    "DINO": "dino/dino-4scale_r50_8xb2-12e_coco.py",
    "SSD": "ssd/ssd300_coco.py",
    "YOLOX": "yolox/yolox_s_*.py",
    "RTMDet": "rtmdet/rtmdet_s_*.py",
}


def standard() -> dict[str, str]:
    """By the detector's name the path below ``configs/`` of its standard config."""
    return stock(STANDARD)


def numbers(model: dict) -> dict[str, int]:
    """Each ``num_classes`` in a config's ``model``, by its dotted key."""
    return dict(_numbers(model, "model"))


def _numbers(node: dict | list, key: str) -> Iterator[tuple[str, int]]:
    for name, each in enumerate(node) if isinstance(node, list) else node.items():
        if name == "num_classes":
            yield key, each
        elif isinstance(each, dict | list):
            yield from _numbers(each, f"{key}.{name}")


def dependent(checkout, path: str) -> list[str]:
    """Names of a detector's parameters and buffers whose shape another number of classes changes.

    Args:
        checkout: A :class:`howto.Workspace`.
        path: The detector's config, below ``configs/``.
    """
    usual, mine = checkout.config(path), checkout.config(path)
    mine.merge_from_dict({f"{key}.num_classes": 2 for key in numbers(mine.model)})
    with checkout.inside():
        before, after = _shapes(usual), _shapes(mine)
    return [name for name in before if before[name] != after[name]]


def _shapes(cfg) -> dict[str, tuple[int, ...]]:
    """The shape of each parameter and buffer of the detector of `cfg`, by name.

    It is built on PyTorch's ``meta`` device, where tensors have a shape and no content.
    """
    import torch

    _, build = api().detectors()
    with torch.device("meta"):
        return {name: tuple(value.shape) for name, value in build(cfg).state_dict().items()}


def layers(names: Sequence[str]) -> list[str]:
    """The layers that parameters belong to, each once; ``*`` stands for the numbers of those that are repeated."""
    return list(dict.fromkeys(re.sub(r"\.\d+(?=\.|$)", ".*", name.rpartition(".")[0]) for name in names))


def origins(state: dict, source: dict, layer: str, each: int = 1) -> list[int | None]:
    """For each output of a linear layer, the first output of the same layer in `source` with equal weights and bias.

    Args:
        state: State dict of a detector.
        source: State dict that it may have been made from.
        layer: Name of the layer in both.
        each: How many numbers one output has: 1 for a score, 4 for a box.
    """
    import torch

    mine, theirs = (
        torch.cat([of[f"{layer}.weight"], of[f"{layer}.bias"][:, None]], 1).cpu().unflatten(0, (-1, each)).flatten(1)
        for of in (state, source)
    )
    return [next((number for number, one in enumerate(theirs) if torch.equal(row, one)), None) for row in mine]


def draw_origins(axes, outputs: Sequence[str], numbers: Sequence[int], names: Sequence[str]) -> None:
    """Show which outputs of a checkpoint become those of a detector.

    Args:
        axes: A matplotlib axes.
        outputs: What the detector's outputs stand for.
        numbers: For each of them the number of the checkpoint's output, as :func:`origins` finds it.
        names: What the checkpoint's outputs stand for.
    """
    axes.plot(range(len(names)), [1] * len(names), "|", color="0.6", markersize=14)
    places = [len(names) * (2 * n + 1) / (2 * len(outputs)) for n in range(len(outputs))]
    for output, place, number, colour in zip(outputs, places, numbers, COLOURS, strict=False):
        axes.plot([number, place], [1, 0], color=colour, linewidth=2.5, marker="o")
        side = "right" if number > 0.9 * len(names) else "center"
        axes.text(number, 1.2, f"{number} {names[number]}", ha=side, size=11)
        axes.text(place, -0.18, output, ha="center", va="top", size=11, weight="bold")
    axes.set_title(f"Of {len(names)} outputs these are kept")
    axes.set_ylim(-0.65, 1.6)
    axes.set_axis_off()


def raised(checkout, config: str, number: int, names: Sequence[str], **changes) -> list[str]:
    """The outputs of a two-stage detector's box head that a step down the gradient of one image's loss raises.

    Args:
        checkout: A :class:`howto.Workspace`.
        config: A config, of whose boxes only those on objects are sampled.
        number: Which image of its training data.
        names: The data's classes.
        **changes: What to change in the config, with ``__`` for the dot.
    """
    sampler = "model__train_cfg__rcnn__sampler"
    changes |= {f"{sampler}__pos_fraction": 1.0, f"{sampler}__neg_pos_ub": 0}
    gradient = gradients.of(checkout, config, "roi_head.bbox_head.fc_cls.bias", number, **changes)
    outputs = [*names[: len(gradient) - 1], "background"]
    return [output for output, value in zip(outputs, gradient, strict=True) if value < 0]
