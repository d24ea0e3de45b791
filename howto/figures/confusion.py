"""Make boxes that are wrong in a known way, and draw what was taken for what."""

import csv
import dataclasses
import io
import json
from collections import Counter
from collections.abc import Callable, Sequence

from howto.project.quiet import quiet

MISSED, NOTHING = "missed", "no object"  # a column and a row beside those of the classes
CAT, CUP = 3, 1  # ids of the categories of CASES


def at(category: int, x: float = 0, width: float = 100, **more) -> dict:
    """An object or a box of one image, 100 pixels high, in COCO's layout."""
    return {"image_id": 4, "category_id": category, "bbox": [x, 0, width, 100], "score": 0.9, **more}


# What is told of it, objects, boxes, and what each object was taken for from a score of 0.3 on.
CASES = (
    ("A right box counts, though one of another class is surer",
     [at(CAT)], [at(CUP), at(CAT, score=0.4)], {("cat", "cat"): 1, (NOTHING, "cup"): 1}),
    ("A second box is one on no object",
     [at(CAT)], [at(CAT), at(CAT, x=5)], {("cat", "cat"): 1, (NOTHING, "cat"): 1}),
    ("The surest box chooses first",
     [at(CAT), at(CUP, x=40)], [at(CAT, x=20, score=0.5), at(CAT, x=-20)], {("cat", "cat"): 1, ("cup", "cat"): 1}),
    ("A box takes the object below it",
     [at(CAT, x=33), at(CAT)], [at(CAT), at(CAT, x=33)], {("cat", "cat"): 2}),
    ("An overlap of a half is enough",
     [at(CAT)], [at(CAT, width=50)], {("cat", "cat"): 1}),
    ("A part of an object is not",
     [at(CAT)], [at(CAT, width=49)], {("cat", MISSED): 1, (NOTHING, "cat"): 1}),
    ("The threshold itself counts, less does not",
     [at(CAT), at(CUP, x=300)], [at(CAT, score=0.3), at(CUP, x=300, score=0.29)],
     {("cat", "cat"): 1, ("cup", MISSED): 1}),
    ("A box on a crowd of its own class does not count",
     [at(CAT, width=900, iscrowd=1), at(CUP)], [at(CAT)], {("cup", MISSED): 1}),
    ("On a crowd of another class it does",
     [at(CAT, width=900, iscrowd=1)], [at(CUP, x=300)], {(NOTHING, "cup"): 1}),
    ("Another image's box is no help",
     [at(CAT)], [at(CAT, image_id=5)], {("cat", MISSED): 1, (NOTHING, "cat"): 1}),
)  # fmt: skip


@dataclasses.dataclass
class Made:
    """Boxes for all objects of a COCO file, in COCO's layout of results.

    Attributes:
        boxes: Dicts of ``image_id``, ``category_id``, ``bbox`` (x, y, width, height in pixels) and ``score``.
        counts: How often an object of one name has a box of another: pairs of names, with `MISSED` and `NOTHING`.
    """

    boxes: list[dict]
    counts: Counter


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
    result = Made([], Counter())

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


def counted(checkout, objects: list[dict], boxes: list[dict]) -> Counter:
    """What a how-to's ``confused.py`` counts of a case, in a checkout, from a score of 0.3 on."""
    categories = [{"id": CAT, "name": "cat"}, {"id": CUP, "name": "cup"}]
    content = {"images": [{"id": 4}, {"id": 5}], "categories": categories, "annotations": objects}
    (checkout.root / "case.json").write_text(json.dumps(content))
    (checkout.root / "case.bbox.json").write_text(json.dumps(boxes))
    with quiet():
        return read(checkout.shell("python configs/per_class_results/confused.py case.json case.bbox.json 0.3"))


def sums(counts: Counter) -> tuple[int, int, int, int]:
    """How many objects have a box of their own class, of another, and none, and how many boxes lie on no object."""
    own = sum(number for (name, other), number in counts.items() if name == other)
    missed = sum(number for (_, other), number in counts.items() if other == MISSED)
    surplus = sum(number for (name, _), number in counts.items() if name == NOTHING)
    return own, counts.total() - own - missed - surplus, missed, surplus


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


def percentages(plot: Callable, matrix) -> tuple[list[str], tuple[int, int]]:
    """What MMDetection's tool writes into its squares, and how large its picture is.

    Args:
        plot: The tool's ``plot_confusion_matrix``.
        matrix: Counts of a cat, a cup and the background (3, 3).

    Returns:
        The texts, row by row, and width and height in pixels.
    """
    import matplotlib.pyplot as plt

    # The pages' own layout is one that the tool's last step does not go with.
    with quiet(), plt.rc_context({"figure.constrained_layout.use": False}):
        plot(matrix, ("cat", "cup", "background"), show=False)
    figure = plt.gcf()
    plt.close(figure)
    texts = [text.get_text() for text in figure.axes[0].texts]
    return texts, tuple(int(side) for side in figure.get_size_inches() * figure.dpi)


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
