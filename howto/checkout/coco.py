"""Give every run a dataset in COCO 2017's layout, which needs no download."""

import hashlib
import itertools
import json
from collections.abc import Sequence
from pathlib import Path

from howto.project.errors import HowtoError
from howto.project.locking import locked
from howto.project.record import write_json

SPLITS = ("train2017", "val2017")
LONGEST_SIDE = 640  # pixels, as in COCO's own images
SAMPLE = {"train2017": 16, "val2017": 8}  # images of a real COCO that a run sees, one of each without objects
OWN = {"cat": {"id": 12, "name": "kitten"}, "cup": {"id": 3, "name": "mug"}}  # categories of make_own_dataset
LEAST_VISIBLE = 1 / 3  # of an object's area; where a crop leaves less, the object is dropped

_DATA = Path(__file__).with_name("mini_coco.json")
_JPEG_QUALITY = 90


def make_mini_coco(root: Path, every: int = 1) -> Path:
    """Write mini-COCO: ``annotations/instances_{train,val}2017.json``, ``train2017/*.jpg`` and ``val2017/*.jpg``.

    Five photographs of scikit-image's wheel, each as it is, mirrored or cropped; no variant is in both splits. One
    photograph, the rocket, shows no object of COCO's 80 categories: it is the empty image of both splits. Objects
    were outlined by hand; `mini_coco.json` beside this module holds the outlines, the licences as scikit-image's
    docstrings state them, and COCO's category ids, 1 to 90 with ten left out. Boxes are the outlines' bounds,
    ``[x, y, width, height]`` in pixels, areas are the outlines' in square pixels. Two runs write the same bytes.

    Args:
        root: Folder to write below; it is made where it is missing.
        every: 1 for all images, 2 for every second one of a split.

    Returns:
        `root`.
    """
    from PIL import ImageOps

    data = json.loads(_DATA.read_text(encoding="utf-8")) | {"categories": _categories()}
    photographs = {name: _photograph(name) for name in data["photographs"]}
    category_ids = {category["name"]: category["id"] for category in data["categories"]}
    annotation_ids = itertools.count(1)  # one count for both splits, as in COCO
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        (root / split).mkdir(exist_ok=True)
        coco = {key: data[key] for key in ("info", "licenses", "categories")} | {"images": [], "annotations": []}
        for variant in [image for image in data["images"] if image["split"] == split][::every]:
            photograph, source = photographs[variant["photograph"]], data["photographs"][variant["photograph"]]
            crop = variant["crop"] or [0, 0, *photograph.size]
            image = {"id": variant["id"], "file_name": f"{variant['id']:012}.jpg", "license": source["license"]}
            image |= {"width": crop[2] - crop[0], "height": crop[3] - crop[1]}
            pixels = photograph.crop(crop)
            pixels = ImageOps.mirror(pixels) if variant["mirror"] else pixels
            pixels.save(root / split / image["file_name"], quality=_JPEG_QUALITY)
            coco["images"].append(image)
            for drawn in source["objects"]:
                if outline := _visible(drawn["polygon"], crop):
                    outline = [(image["width"] - x if variant["mirror"] else x, y) for x, y in outline]
                    ids = {"id": next(annotation_ids), "image_id": image["id"]}
                    ids["category_id"] = category_ids[drawn["category"]]
                    coco["annotations"].append(ids | {"iscrowd": 0} | _measured(outline))
        (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(coco), encoding="utf-8")
    return root


def make_own_dataset(root: Path, mini: Path) -> Path:
    """Write a data set as a reader may have one: ``annotations/{train,val}.json``, ``train/`` and ``val/``.

    Images and outlines are those of `mini`, which is linked. There are two classes, neither of them one of COCO's:
    cats are kittens, cups are mugs, and nothing else is annotated. Their ids are 12 and 3, in this order.

    Args:
        root: Folder to write below; it is made where it is missing.
        mini: A mini-COCO, see :func:`make_mini_coco`.

    Returns:
        `root`.
    """
    (root / "annotations").mkdir(parents=True)
    for split in SPLITS:
        name = split.removesuffix("2017")
        (root / name).symlink_to(mini / split)
        content = json.loads((mini / f"annotations/instances_{split}.json").read_text("utf-8"))
        ids = {each["id"]: OWN[each["name"]]["id"] for each in content["categories"] if each["name"] in OWN}
        kept = [each for each in content["annotations"] if each["category_id"] in ids]
        content["annotations"] = [each | {"category_id": ids[each["category_id"]]} for each in kept]
        content["categories"] = list(OWN.values())
        (root / f"annotations/{name}.json").write_text(json.dumps(content), "utf-8")
    return root


def subset(content: dict, ids: Sequence[int]) -> dict:
    """The images `ids` of a COCO file's `content` and what is annotated on them, both numbered anew from 1.

    An id that is named twice is two images, of one file.
    """
    images = {image["id"]: image for image in content["images"]}
    kept = {"images": [], "annotations": [], "categories": content["categories"]}
    for number, image in enumerate(ids, 1):
        kept["images"].append(images[image] | {"id": number})
        for each in content["annotations"]:
            if each["image_id"] == image:
                kept["annotations"].append(each | {"id": len(kept["annotations"]) + 1, "image_id": number})
    return kept


def check_coco(root: Path) -> Path:
    """Make sure that `root` is a COCO 2017 folder before a run finds out halfway.

    The val annotations are parsed; of the train annotations, 450 MB in COCO, only the first bytes are read.

    Args:
        root: Folder with ``annotations/``, ``train2017/`` and ``val2017/``, laid out as on https://cocodataset.org.

    Returns:
        `root`.

    Raises:
        HowtoError: If something is missing in `root`, or isn't what COCO 2017 has there.
    """
    if fault := _fault(root):
        raise HowtoError(
            f"HOWTO_COCO={root} is not COCO 2017: {fault}; point HOWTO_COCO at the folder that holds annotations/, "
            "train2017/ and val2017/, or unset it to use the bundled mini-COCO"
        )
    return root


def sample_coco(real: Path, root: Path, cache: Path) -> Path:
    """Lay out the first images of a real COCO, by id, one of each split without objects.

    Args:
        real: A COCO 2017 folder; its images are linked, not copied.
        root: Folder to write below.
        cache: Folder that keeps the sampled annotations, since reading the train split's takes some 20 s and 3 GB.

    Returns:
        `root`.

    Raises:
        HowtoError: If `real` is not COCO 2017; see :func:`check_coco`.
    """
    check_coco(real)
    (root / "annotations").mkdir(parents=True)
    for split, count in SAMPLE.items():
        name = f"instances_{split}.json"
        source = real / "annotations" / name
        key = hashlib.sha256(f"{source.resolve()} {source.stat().st_mtime_ns} {count}".encode()).hexdigest()[:12]
        kept = cache / f"{key}_{name}"
        with locked(kept.with_suffix(".lock"), f"another page that reads {source.name}"):
            if not kept.exists():
                write_json(kept, _first(json.loads(source.read_text(encoding="utf-8")), count))
        (root / "annotations" / name).symlink_to(kept)
        (root / split).symlink_to(real / split)
    return root


def _first(coco: dict, count: int) -> dict:
    """The first `count` images of parsed annotations; the last of them has no objects, if any image has none."""
    images = sorted(coco["images"], key=lambda image: image["id"])
    shown = {annotation["image_id"] for annotation in coco["annotations"]}
    empty = [image for image in images if image["id"] not in shown][:1]
    images = [image for image in images if image["id"] in shown][: count - len(empty)] + empty
    ids = {image["id"] for image in images}
    kept = [annotation for annotation in coco["annotations"] if annotation["image_id"] in ids]
    return {**coco, "images": images, "annotations": kept}


def _categories() -> list[dict]:
    """COCO's 80 categories, as its annotation files have them."""
    groups = json.loads(_DATA.read_text(encoding="utf-8"))["categories"].items()
    return [
        {"supercategory": group, "id": number, "name": name}
        for group, names in groups
        for name, number in names.items()
    ]


def _photograph(name: str):
    """The Pillow image that scikit-image has under `name`, read from its wheel, never from the network."""
    import skimage.data  # here, because whoever brings a COCO of their own needs no photographs
    from PIL import Image

    pixels = getattr(skimage.data, name)()
    photograph = Image.fromarray(pixels[0] if isinstance(pixels, tuple) else pixels)  # of a stereo pair the left one
    photograph.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    return photograph


def _visible(polygon: list[float], crop: list[int]) -> list[list[float]]:
    """What a crop shows of a polygon, in the crop's own pixels; nothing if that is too little to count."""
    import numpy as np
    from matplotlib.path import Path as Outline
    from matplotlib.transforms import Bbox

    whole = np.reshape(polygon, (-1, 2))
    shown = Outline([*whole, whole[0]]).clip_to_bbox(Bbox.from_extents(*crop)).vertices[:-1]
    return (shown - crop[:2]).tolist() if _area(shown) >= LEAST_VISIBLE * _area(whole) else []


def _area(polygon: Sequence[Sequence[float]]) -> float:
    """The shoelace formula, in square pixels."""
    return abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in itertools.pairwise([*polygon, *polygon[:1]]))) / 2


def _measured(polygon: list[tuple[float, float]]) -> dict:
    """Segmentation, area and box, to the two decimals that COCO has."""
    import numpy as np

    points = np.round(polygon, 2)
    low, high = points.min(axis=0), points.max(axis=0)
    box = np.round([*low, *(high - low)], 2).tolist()
    return {"bbox": box, "area": round(_area(points.tolist()), 4), "segmentation": [points.ravel().tolist()]}


def _fault(root: Path) -> str | None:
    """The first thing that keeps `root` from being COCO 2017."""
    for split in SPLITS:
        annotations = root / "annotations" / f"instances_{split}.json"
        if not annotations.is_file():
            return f"annotations/{annotations.name} is missing"
        with annotations.open("rb") as file:
            if not file.read(64).lstrip().startswith(b"{"):
                return f"annotations/{annotations.name} is not a JSON object"
        if not any((root / split).glob("*.jpg")):
            return f"{split}/ holds no .jpg"
    try:
        coco = json.loads(annotations.read_text(encoding="utf-8"))
        categories = {(each["id"], each["name"]) for each in coco["categories"]}
        named, _ = {image["file_name"] for image in coco["images"]}, coco["annotations"]
    except (ValueError, KeyError, TypeError) as error:
        return f"annotations/{annotations.name} is not laid out as COCO's ({error!r})"
    if categories != {(each["id"], each["name"]) for each in _categories()}:
        return f"annotations/{annotations.name} has other categories than COCO's 80"
    absent = sorted(named - {path.name for path in (root / split).iterdir()})
    return f"{split}/ lacks {len(absent)} of {len(named)} images, {absent[0]} the first" if absent else None
