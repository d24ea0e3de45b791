"""Mosaic keeps every box on its object, has the canvas that ``img_scale`` says, and takes images without objects."""

import json
import math
from pathlib import Path

import mmdet
import numpy as np
import pytest
import torch

from howto.figures.mosaic import distance, images_shown, mixed, painted_boxes, partners, read, seeded

CONFIG = "faster-rcnn_r50_fpn_mosaic_1x_coco.py"
STEPS = ("Mosaic", "RandomAffine")
EMPTY = "data/coco/annotations/instances_empty2017.json"

every_seed = pytest.mark.parametrize("seed", range(10))


@pytest.fixture(scope="module")
def dataset(checkout):
    return checkout.dataset(checkout.config(CONFIG))


@pytest.fixture(scope="module")
def followed(checkout, dataset):
    """For a seed and a step: the result, and of each box that shows a white pixel where that paint lies."""
    known = {}

    def follow(seed: int, step: str):
        if seed not in known:
            index = seed % len(dataset)
            with checkout.inside():
                pairs = zip(mixed(dataset, index, seed), painted_boxes(dataset, index, seed))
                known[seed] = {name: matched(*pair) for name, pair in zip(STEPS, pairs)}
        return known[seed][step]

    return follow


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


@pytest.fixture(scope="module")
def empty(checkout):
    """The config, of the images without any object alone."""
    content = checkout.annotations("train")
    shown = {annotation["image_id"] for annotation in content["annotations"]}
    images = [image for image in content["images"] if image["id"] not in shown]
    (checkout.root / EMPTY).write_text(json.dumps(content | dict(images=images, annotations=[])))
    cfg = checkout.config(CONFIG)
    cfg.train_dataloader.dataset.dataset.ann_file = EMPTY.removeprefix("data/coco/")
    return cfg


def test_every_image_of_the_dataset_takes_part(checkout, dataset):
    assert len(dataset) == len(checkout.annotations("train")["images"])


def test_images_without_objects_are_left_out_when_filter_empty_gt_is_true(checkout):
    variant = checkout.edit(CONFIG, {"filter_empty_gt=False": "filter_empty_gt=True"})
    shown = {annotation["image_id"] for annotation in checkout.annotations("train")["annotations"]}
    assert len(checkout.dataset(checkout.config(variant))) == len(shown)


def test_images_without_objects_take_part_when_nothing_is_said(checkout):
    variant = checkout.edit(CONFIG, {"        filter_cfg=dict(filter_empty_gt=False, min_size=32),\n": ""})
    assert len(checkout.dataset(checkout.config(variant))) == len(checkout.annotations("train")["images"])


def test_the_validation_data_are_those_of_the_stock_config(checkout):
    stock = checkout.config("faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py")
    assert checkout.config(CONFIG).val_dataloader == stock.val_dataloader


@every_seed
@pytest.mark.parametrize("step", STEPS)
class TestAfter:
    def test_every_object_that_shows_has_its_box(self, followed, seed, step):
        without_box, _, _ = followed(seed, step)
        assert without_box == []

    def test_a_box_without_its_object_is_cut_by_the_border(self, followed, seed, step):
        _, without_paint, image = followed(seed, step)
        height, width = image.shape[:2]
        assert all(x1 <= 0 or y1 <= 0 or x2 >= width or y2 >= height for _, (x1, y1, x2, y2) in without_paint)


@every_seed
def test_all_four_images_are_in_the_canvas(checkout, dataset, seed):
    with checkout.inside():
        assert images_shown(dataset, seed % len(dataset), seed) == 4


@pytest.mark.parametrize("scale", [(1333, 800), (800, 1333), (640, 640), (333, 251)])
class TestOfAnyScale:
    def test_the_canvas_is_twice_as_high_and_twice_as_wide(self, checkout, scale):
        canvas, _ = results(checkout, scale)
        assert canvas == (2 * scale[1], 2 * scale[0])

    def test_the_image_is_as_high_and_wide_as_the_scale_less_a_pixel_if_that_is_odd(self, checkout, scale):
        _, image = results(checkout, scale)
        assert image == (scale[1] // 2 * 2, scale[0] // 2 * 2)


def results(checkout, scale: tuple[int, int]) -> list[tuple[int, int]]:
    """Height and width after Mosaic and after RandomAffine, when the snippet's ``img_scale`` reads otherwise."""
    old = "img_scale = (1333, 800)"
    name = CONFIG if scale == (1333, 800) else checkout.edit(CONFIG, {old: f"img_scale = {scale}"})
    with checkout.inside():
        return [result["img"].shape[:2] for result in mixed(checkout.dataset(checkout.config(name)), 0, seed=0)]


@every_seed
def test_the_pipeline_leaves_every_box_a_label_and_inside_the_image(checkout, dataset, seed):
    with checkout.inside(), seeded(seed):
        result = dataset[seed % len(dataset)]
    assert set(result) == {"inputs", "data_samples"}
    boxes, labels = result["data_samples"].gt_instances.bboxes.numpy(), result["data_samples"].gt_instances.labels
    height, width = result["inputs"].shape[1:]
    assert (height, width) == result["data_samples"].img_shape
    assert len(boxes) == len(labels)
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= (width, height)).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()


def test_the_detector_pads_to_a_multiple_of_32_and_normalises(checkout, dataset):
    preprocessor = checkout.build(checkout.config(CONFIG)).data_preprocessor
    with checkout.inside(), seeded(0):
        inputs = dataset[0]["inputs"]
    batch = preprocessor(dict(inputs=[inputs], data_samples=None))["inputs"]
    assert (inputs.dtype, tuple(batch.shape)) == (torch.uint8, (1, 3, 800, 1344))
    assert preprocessor.mean.flatten().tolist() == pytest.approx([123.675, 116.28, 103.53])


def test_four_images_without_objects_become_one_without_boxes(checkout, empty):
    dataset = checkout.dataset(empty)
    with checkout.inside(), seeded(0):
        found = dataset[0]["data_samples"].gt_instances
    assert (found.bboxes.numpy().shape, tuple(found.labels.shape)) == ((0, 4), (0,))


def test_four_images_without_objects_are_in_the_canvas(checkout, empty):
    dataset = checkout.dataset(empty)
    with checkout.inside():
        canvas, _ = mixed(dataset, 0, seed=0)
    assert np.mean(canvas["img"] == 114) < 0.9


def test_trains_on_images_without_objects_alone(checkout, empty, resnet18):
    run = checkout.train(
        CONFIG,
        evaluate=False,
        train_dataloader__dataset__dataset__ann_file=EMPTY.removeprefix("data/coco/"),
        **resnet18,
    )
    assert all(map(math.isfinite, run.losses))


@pytest.fixture(scope="module")
def epochs(checkout, dataset):
    """What the worker processes read, in two epochs."""
    with checkout.inside():
        return read(checkout.config(CONFIG), dataset)


class TestWorkers:
    def test_read_four_images_for_each(self, epochs):
        assert {len(numbers) for epoch in epochs for _, numbers in epoch} == {4}

    def test_are_two_and_mix_in_different_images(self, epochs):
        assert partners(epochs[0], worker=0)
        assert partners(epochs[0], worker=1)
        assert partners(epochs[0], worker=0) != partners(epochs[0], worker=1)

    def test_mix_in_other_images_in_the_next_epoch(self, epochs):
        assert partners(epochs[0]) != partners(epochs[1])

    def test_mix_in_the_same_images_in_each_epoch_if_they_end_with_it(self, checkout, dataset):
        variant = checkout.config(
            checkout.edit(
                CONFIG, {"dict(dataset=train_dataset": "dict(persistent_workers=False, dataset=train_dataset"}
            )
        )
        with checkout.inside():
            first, second = read(variant, dataset)
        assert partners(first) == partners(second)

    def test_train_where_the_dataset_has_them(self, checkout, resnet18):
        run = checkout.train(
            CONFIG,
            evaluate=False,
            train_dataloader__num_workers=2,
            train_dataloader__persistent_workers=True,
            **resnet18,
        )
        assert all(map(math.isfinite, run.losses))


def test_no_installed_package_has_a_base_of_faster_rcnn_that_python_can_import():
    package = Path(mmdet.__file__).parent
    assert not (package / "configs").exists()
    bases = [path.stem for path in package.glob(".mim/configs/_base_/models/faster*rcnn_r50_fpn.py")]
    assert bases == ["faster-rcnn_r50_fpn"]
