"""Mosaic keeps every box on its object, has the canvas that ``img_scale`` says, and takes images without objects."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest

from howto.checkout.family import api
from howto.checkout.isolation import seeded
from howto.figures.mosaic import distance, images_shown, mixed, painted_boxes
from howto.project import stacks

FAMILY = stacks.current().family

only_in_3 = pytest.mark.skipif(FAMILY == "mmdet2", reason="MMDetection 2 has nothing of the kind")


@pytest.fixture(scope="module")
def dataset(checkout):
    return checkout.dataset(checkout.config())


def matched(result: dict, paints: list[tuple]) -> tuple[list, list, dict]:
    """Match boxes with paint, in their order: paint that has no box, boxes that have no paint, and the image."""
    boxes = list(zip(result["gt_labels"], result["gt_bboxes"]))
    without_box, without_paint = [], []
    for label, paint in paints:
        for number, (other, box) in enumerate(boxes):
            if other == label and distance(box, paint, result["img"]) <= 2:
                without_paint += boxes[:number]
                del boxes[: number + 1]
                break
        else:
            without_box.append((label, paint))
    return without_box, without_paint + boxes, result["img"]


def taken(item: dict) -> tuple:
    """Boxes, labels, and height and width of the image, of what the pipeline returns."""
    if FAMILY == "mmdet2":
        return item["gt_bboxes"].data.numpy(), item["gt_labels"].data.numpy(), api().shape(item)
    objects = item["data_samples"].gt_instances
    assert tuple(item["inputs"].shape[1:]) == api().shape(item)
    return objects.bboxes.numpy(), objects.labels.numpy(), api().shape(item)


@pytest.fixture(scope="module")
def empty(checkout) -> dict:
    """What to change in the config so that only images without any object train."""
    content = checkout.annotations("train")
    shown = {annotation["image_id"] for annotation in content["annotations"]}
    images = [image for image in content["images"] if image["id"] not in shown]
    ann_file = api().split(checkout.config(), "train").dataset.ann_file.replace("train", "empty")
    path = checkout.root / "data/coco/annotations" / Path(ann_file).name
    path.write_text(json.dumps(content | dict(images=images, annotations=[])), "utf-8")
    return dict(train__dataset__ann_file=ann_file)


def test_the_validation_data_are_those_of_the_stock_config(checkout):
    stock = checkout.config("faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py")
    assert api().split(checkout.config(), "val") == api().split(stock, "val")


@pytest.mark.parametrize("seed", range(5))
def test_whatever_is_drawn_each_object_that_shows_has_its_box_and_a_box_without_one_is_cut_by_the_border(
    checkout, dataset, seed
):
    """The page has a draw in which every object shows."""
    index = seed % len(dataset)
    with checkout.inside():
        steps = zip(mixed(dataset, index, seed), painted_boxes(dataset, index, seed), strict=True)
        for without_box, without_paint, image in itertools.starmap(matched, steps):
            height, width = image.shape[:2]
            assert without_box == []
            assert all(x1 <= 0 or y1 <= 0 or x2 >= width or y2 >= height for _, (x1, y1, x2, y2) in without_paint)
        assert images_shown(dataset, index, seed) == 4
        with seeded(seed):
            boxes, labels, (height, width) = taken(dataset[index])
    assert len(boxes) == len(labels)
    assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] <= (width, height)).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()


def test_an_odd_scale_is_a_pixel_less_after_its_canvas_of_twice_the_size(checkout):
    own = tuple(checkout.config().img_scale)
    odd = (77, 129) if FAMILY == "mmdet2" else (129, 77)
    name = checkout.edit(checkout.own, {f"img_scale = {own}": f"img_scale = {odd}"})
    with checkout.inside():
        sizes = [result["img"].shape[:2] for result in mixed(checkout.dataset(checkout.config(name)), 0, seed=0)]
    assert sizes == [(154, 258), (76, 128)]


def test_four_images_without_objects_become_one_without_boxes(checkout, empty):
    dataset = checkout.dataset(checkout.config(**empty))
    with checkout.inside(), seeded(0):
        boxes, labels, _ = taken(dataset[0])
        canvas, _ = mixed(dataset, 0, seed=0)
    assert (boxes.shape, labels.shape) == ((0, 4), (0,))
    assert np.mean(canvas["img"] == 114) < 0.9


def test_trains_on_images_without_objects_alone(checkout, empty, resnet18):
    run = checkout.train(evaluate=False, **empty, **resnet18)
    assert all(map(math.isfinite, run.losses))


@only_in_3
def test_cached_mixup_keeps_masks_on_their_boxes(checkout):
    train = api().split(cfg := checkout.config("rtmdet/rtmdet-ins_l_8xb32-300e_coco.py"), "train")
    names = [step.type for step in train.pipeline]
    train.pipeline = train.pipeline[: names.index("CachedMixUp") + 1]
    dataset, worst = checkout.dataset(cfg), []
    with checkout.inside(), seeded(0):
        for number in range(60):
            item = dataset[number % len(dataset)]
            boxes, masks = item["gt_bboxes"].numpy(), item["gt_masks"].get_bboxes("hbox").numpy()
            worst += [distance(*pair, item["img"]) for pair in zip(boxes, masks, strict=True)]
    assert len(worst) > 100
    assert max(worst) <= 3
