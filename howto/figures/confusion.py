"""Make boxes that are wrong in a known way, and draw what was taken for what."""

import csv
import dataclasses
import io
from collections import Counter
from collections.abc import Sequence

from howto.project.quiet import quiet

MISSED, NOTHING = "missed", "no object"  # a column and a row beside those of the classes


@dataclasses.dataclass
class Made:
    """Boxes for all objects of a COCO file, in COCO's layout of results.

    Attributes:
        boxes: Dicts of ``image_id``, ``category_id``, ``bbox`` (x, y, width, height in pixels) and ``score``.
        counts: How often an object of one name has a box of another: pairs of names, with `MISSED` and `NOTHING`.
        doubled: How many objects have a second box, of a wrong class.
    """

    boxes: list[dict]
    counts: Counter
    doubled: int


def made(content: dict) -> Made:
    """Boxes that lie a twentieth of their width beside their object, some of them wrong.

    Every fourth object has a box of a wrong class alone, every tenth has none. Every second one of the others has a
    box of its own class, of score 0.9, and one of a wrong class, of 0.6. The first image without objects has a box.
    A wrong class is the next one of the file that has no object in it.

    Args:
        content: A COCO file's, whose crowds have no box.
    """
    ids = [each["id"] for each in content["categories"]]
    names = {each["id"]: each["name"] for each in content["categories"]}
    present = {each["category_id"] for each in content["annotations"]}
    result = Made([], Counter(), 0)

    def add(image: int, category: int, bbox: list, score: float) -> None:
        x, y, width, height = bbox
        moved = [x + width / 20, y, width, height]
        result.boxes.append({"image_id": image, "category_id": category, "bbox": moved, "score": score})

    for number, each in enumerate(each for each in content["annotations"] if not each["iscrowd"]):
        own = each["category_id"]
        after = ids.index(own)
        wrong = next(other for other in ids[after:] + ids[:after] if other not in present)
        where = each["image_id"], each["bbox"]
        if number % 10 == 9:
            result.counts[names[own], MISSED] += 1
        elif number % 4 == 3:
            add(where[0], wrong, where[1], 0.8)
            result.counts[names[own], names[wrong]] += 1
        else:
            add(where[0], own, where[1], 0.9)
            result.counts[names[own], names[own]] += 1
            if number % 2 == 0:
                add(where[0], wrong, where[1], 0.6)
                result.counts[NOTHING, names[wrong]] += 1
                result.doubled += 1
    shown = {each["image_id"] for each in content["annotations"]}
    empty = next((each["id"] for each in content["images"] if each["id"] not in shown), None)
    if empty is not None:
        add(empty, ids[0], [10, 10, 100, 100], 0.4)
        result.counts[NOTHING, names[ids[0]]] += 1
    return result


def read(text: str) -> Counter:
    """The counts of a table as ``confused.py`` prints it: pairs of names, those of 0 left out."""
    head, *rows = csv.reader(io.StringIO(text))
    return Counter(
        {(row[0], name): int(n) for row in rows for name, n in zip(head[1:], row[1:], strict=True) if int(n)}
    )


def average_precision(content: dict, boxes: list[dict], category: int | None = None) -> float:
    """The AP that pycocotools has, apart from MMDetection: of one category alone, or the mean of all.

    Args:
        content: A COCO file's.
        boxes: In COCO's layout of results.
        category: An id.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with quiet():
        truth = COCO()
        truth.dataset = content
        truth.createIndex()
        evaluated = COCOeval(truth, truth.loadRes([dict(each) for each in boxes]), "bbox")  # it writes into them
        if category is not None:
            evaluated.params.catIds = [category]
        evaluated.evaluate()
        evaluated.accumulate()
        evaluated.summarize()
    return float(evaluated.stats[0])


def named(matrix, classes: Sequence[str]) -> Counter:
    """The counts of a matrix (number of classes + 1, number of classes + 1), background last, as MMDetection's tool."""
    rows, columns = [*classes, NOTHING], [*classes, MISSED]
    return Counter({(rows[i], columns[j]): int(matrix[i, j]) for i, j in zip(*matrix.nonzero(), strict=True)})


def draw(axes, counts: Counter, like: Counter) -> None:
    """Draw counts as a table of squares, objects from top to bottom and boxes from left to right.

    Args:
        axes: A matplotlib axes.
        counts: Pairs of names.
        like: Counts whose names are shown, in their order.
    """
    names = dict.fromkeys(row for row, _ in like if row != NOTHING)
    rows = [*names, NOTHING]
    columns = [*names, *dict.fromkeys(name for _, name in like if name not in (*names, MISSED)), MISSED]
    values = [[counts[row, name] for name in columns] for row in rows]
    axes.imshow([[value or float("nan") for value in row] for row in values], cmap="YlOrBr", vmin=0, vmax=4)
    for i, row in enumerate(values):
        for j, value in enumerate(row):
            if value:
                axes.text(j, i, value, ha="center", va="center", color="black", fontsize=8)
    axes.set_xticks(range(len(columns)), columns, rotation=90, fontsize=8)
    axes.set_yticks(range(len(rows)), rows, fontsize=8)
    axes.set_xlabel("box")
    axes.set_ylabel("object")
