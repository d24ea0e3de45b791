"""How well anchors cover objects, computed from a config's numbers alone, apart from MMDetection."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

SIDES = (8, 12, 16, 24, 32, 64, 128, 256, 384)  # roots of areas, in pixels of a photograph of COCO's size
SAMPLES = 6  # objects of each


def laid_out(shape: tuple[int, int], strides: Sequence[int], scales: Sequence[float], ratios: Sequence[float]):
    """All anchors of an image.

    Args:
        shape: Height and width of the network's input in pixels, before it is padded to a multiple of 32.
        strides: Of the levels, in pixels.
        scales: Roots of the anchors' areas, in strides.
        ratios: Heights over widths.

    Returns:
        An array (n, 4), x1, y1, x2, y2 in pixels. An anchor's centre is the upper left corner of its place.
    """
    height, width = (-(-side // 32) * 32 for side in shape)
    higher = np.sqrt(np.array(ratios, dtype="float32"))
    found = []
    for stride in strides:
        x, y = np.meshgrid(np.arange(0, width, stride), np.arange(0, height, stride))
        centres = np.stack([x, y, x, y], axis=-1).reshape(-1, 1, 4)
        for each in higher:
            for scale in scales:
                size = np.array([stride * (1 / each) * scale, stride * each * scale], dtype="float32")
                found.append((centres + np.concatenate([-size / 2, size / 2])).astype("float32").reshape(-1, 4))
    return np.concatenate(found)


def overlaps(boxes, anchors):
    """Intersection over union of boxes (n, 4) with anchors (m, 4): an array (n, m)."""
    low, high = np.maximum(boxes[:, None, :2], anchors[:, :2]), np.minimum(boxes[:, None, 2:], anchors[:, 2:])
    both = np.clip(high - low, 0, None).prod(axis=-1)
    areas = [(each[:, 2:] - each[:, :2]).prod(axis=-1) for each in (boxes, anchors)]
    return both / (areas[0][:, None] + areas[1] - both)


def positives(ious, positive: float, least: float) -> list[int]:
    """How many anchors train on each object.

    An anchor trains on the object that it overlaps most, from `positive` on. The anchors that overlap an object most
    train on it in any case, from `least` on, as mmdet's MaxIoUAssigner has it.

    Args:
        ious: Of objects with anchors (n, m).
        positive: ``pos_iou_thr``.
        least: ``min_pos_iou``.
    """
    taken = np.where(ious.max(axis=0) >= positive, ious.argmax(axis=0), -1)
    for number, each in enumerate(ious):
        if each.max() >= least:
            taken[each == each.max()] = number
    return [int((taken == number).sum()) for number in range(len(ious))]


def medians(sizes: Sequence[float], ious: Sequence[float], taken: Sequence[int]) -> list[tuple]:
    """The table of ``coverage.py``, if no positive is left out.

    For each octave of sizes its name, number of objects, median IoU, median positives, and objects without any.
    """
    rows, values = [], np.array([sizes, ious, taken])
    for low, high in [(0, 16), *((16 * 2**n, 32 * 2**n) for n in range(7)), (2048, np.inf)]:
        row = values[:, (values[0] > low) & (values[0] <= high)]
        if row.size:
            rows.append((f"{low} to {high}", row.shape[1], *np.median(row[1:], axis=1), int((row[2] == 0).sum())))
    return rows


def path(checkout, name: str) -> str:
    """The path of a config of a checkout, as a command in it has it."""
    return str(Path(checkout.config(name).filename).relative_to(checkout.root))


def told(checkout, name: str, images: int, succeeds: bool = True) -> str:
    """Run ``coverage.py`` on a config of a checkout, print what it says, and return it.

    Args:
        checkout: A :class:`howto.Workspace`.
        name: The config.
        images: How many it reads.
        succeeds: Whether it must succeed or must fail; if it fails, its last line is what it says.
    """
    command = f"python configs/small_objects/coverage.py {path(checkout, name)} {images}"
    said = checkout.shell(command, succeeds)
    said = said.split("index created!\n")[-1] if succeeds else said.splitlines()[-1]  # pycocotools prints before
    print(said)
    return said


def read(text: str) -> list[tuple]:
    """The rows that ``coverage.py`` printed, as of :func:`medians`."""
    lines = [line.split() for line in text.splitlines() if " to " in line]
    return [(" ".join(line[:3]), int(line[3]), float(line[4]), float(line[5]), int(line[6])) for line in lines]


def coverage(scale: tuple[int, int], scales: Sequence[float], strides: Sequence[int], ratios: Sequence[float]):
    """The mean IoU of objects with their best anchor, for each of `SIDES`.

    An object is up to half an octave larger or smaller, up to twice as high as wide or as wide as high, and lies
    anywhere; those of one side are those of another, enlarged.

    Args:
        scale: That a photograph of 640 x 480 pixels is resized to, its ratio kept: largest long and short side.
        scales: See :func:`laid_out`.
        strides: See :func:`laid_out`.
        ratios: See :func:`laid_out`.
    """
    factor = min(max(scale) / 640, min(scale) / 480)
    shape = round(480 * factor), round(640 * factor)
    random = np.random.default_rng(0)
    larger, higher = 2 ** random.uniform(-0.5, 0.5, (SAMPLES, 1)), 2 ** random.uniform(-0.5, 0.5, (SAMPLES, 1))
    places = random.uniform(0, 1, (SAMPLES, 2))
    means = []
    for side in SIDES:
        sizes = np.minimum(side * np.concatenate([larger / higher, larger * higher], axis=1), [640, 480])
        corners = places * ([640, 480] - sizes)
        boxes = np.concatenate([corners, corners + sizes], axis=1) * factor
        means.append(float(_best(boxes, shape, strides, scales, ratios).mean()))
    return means


def _best(boxes, shape: tuple[int, int], strides: Sequence[int], scales: Sequence[float], ratios: Sequence[float]):
    """The IoU of each box with its best anchor: of anchors of one size, the nearest is the best."""
    places = np.array([-(-side // 32) * 32 for side in shape[::-1]])
    found = []
    for stride in strides:
        centres = np.clip(np.round((boxes[:, :2] + boxes[:, 2:]) / 2 / stride), 0, -(-places // stride) - 1) * stride
        for higher in np.sqrt(ratios):
            for scale in scales:
                half = np.array([1 / higher, higher]) * stride * scale / 2
                found.append(overlaps(boxes, np.concatenate([centres - half, centres + half], axis=1)).diagonal())
    return np.max(found, axis=0)


def draw(axes, curves: dict[str, Sequence[float]], positive: float, least: float) -> None:
    """Draw what :func:`coverage` returns, by what a legend calls it, and the thresholds of :func:`positives`."""
    for (name, means), style in zip(curves.items(), ("-", "--", ":", "-."), strict=False):
        axes.plot(SIDES, means, style, label=name)
    for threshold in positive, least:
        axes.axhline(threshold, color="0.5", linewidth=0.8)
    axes.set_xscale("log", base=2)
    axes.set_xticks(SIDES, SIDES)
    axes.set_ylim(0, 1)
    axes.set_xlabel("root of an object's area, pixels of the photograph")
    axes.legend(loc="upper center", ncols=4, frameon=False, labelcolor="0.5")
