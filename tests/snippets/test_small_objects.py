"""The config for small objects, from its zip, and the script that tells how well anchors cover objects."""

import inspect
import json

import pytest
from mmdet.models.dense_heads import DETRHead, FCOSHead, YOLOXHead

from howto.checkout.family import api
from howto.figures import anchors
from howto.project.errors import HowtoError

STANDARD = "faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py"


@pytest.fixture
def tell(checkout):
    """What ``coverage.py`` prints of a config, by default of one that trains on these boxes of a square photograph."""

    def tell(name=STANDARD, images=500, boxes=None, photograph=(), **changes):
        if boxes:
            content = checkout.annotations("train")
            image = next(each for each in content["images"] if each["width"] == each["height"]) | dict(photograph)
            first = content["annotations"][0] | {"image_id": image["id"]}
            objects = [
                first | {"id": n, "bbox": box, "area": box[2] * box[3]}
                for n, box in enumerate(boxes(image["width"]), 1)
            ]
            file = checkout.root / "data/coco/annotations/own.json"
            file.write_text(json.dumps(content | {"images": [image], "annotations": objects}), "utf-8")
            changes["train__ann_file"] = str(file)
        checkout.config(name, **changes).dump(str(checkout.root / "configs/small_objects/told.py"))
        return anchors.told(checkout, "told.py", images)

    return tell


@pytest.mark.parametrize("images", [1, 500])
def test_it_reads_as_many_images_as_it_is_told(checkout, tell, images):
    """The config is RetinaNet's, whose anchors are its head's own."""
    path = "retinanet/retinanet_r50_fpn_1x_coco.py"
    rows = anchors.read(tell(path, images))
    objects = list(api().annotated(checkout.dataset(checkout.config(path))).values())[:images]
    assert sum(row[1] for row in rows) == sum(map(len, objects))
    assert all(0.5 < row[2] <= 1 and row[3] > 1 and row[4] == 0 for row in rows)


def test_objects_of_a_known_size_are_told(tell):
    """Squares of 20 pixels, once their photograph is enlarged to 800 by 800, lie inside of the smallest anchor."""
    ((name, number, iou, *_),) = anchors.read(
        tell(boxes=lambda width: [[100 + 60 * n, 100, width / 40, width / 40] for n in range(3)])
    )
    assert (name, number) == ("16 to 32", 3)
    assert iou == pytest.approx(20**2 / 32**2, abs=0.011)  # inside of the smallest square anchor


def test_an_object_of_more_than_2048_pixels_has_a_row(checkout, tell):
    pipeline = api().split(checkout.config(STANDARD), "train").pipeline
    for step in pipeline:
        step.update({key: (2400, 2400) for key in api().SCALES if key in step})
    ((name, number, *_),) = anchors.read(tell(boxes=lambda width: [[0, 0, width, width]], train__pipeline=pipeline))
    assert (name, number) == ("2048 to inf", 1)


def test_it_says_so_if_no_image_is_left(tell):
    """On 3.x such a dataset cannot be built."""
    with pytest.raises(HowtoError, match="No object in 0 images"):
        tell(boxes=lambda width: [[0, 0, 20, 20]], photograph={"width": 31})


@pytest.mark.parametrize("name", ["ssd/ssd300_coco.py", "cascade_rcnn/cascade_rcnn_r50_fpn_1x_coco.py"])
def test_it_takes_the_strides_of_other_networks_as_they_are(tell, name):
    """SSD's last two are 100 and 300, of a map of 3 and one of 1 cells."""
    assert anchors.read(tell(name, 1))


@pytest.mark.parametrize("levels", [5, 3])
def test_it_stops_at_strides_that_the_feature_maps_do_not_have(tell, levels):
    changes = {"model__rpn_head__anchor_generator__strides": [2, 4, 8, 16, 32][:levels]}
    with pytest.raises(HowtoError, match=r"maps \[4, 8, 16, 32, 64\]. Set strides=\[4, 8, 16, 32, 64\]"):
        tell(images=1, **changes)


@pytest.mark.parametrize("name", ["atss/atss_r50_fpn_1x", "yolo/yolov3_d53_*608?273e", "fcos/fcos_r50*gn-head_1x"])
def test_it_stops_at_assigners_that_do_not_go_by_iou(checkout, tell, name):
    path = min(checkout.root.glob(f"configs/{name}_coco.py"))
    kind = path.stem.partition("_")[0].upper()
    with pytest.raises(HowtoError, match=f"MaxIoUAssigner assigns anchors, as .*, not for {kind}"):
        tell(str(path), 1)


def test_of_detectors_without_anchors_fcos_has_sizes_for_each_level():
    found = {head: "regress_ranges" in inspect.signature(head).parameters for head in (FCOSHead, YOLOXHead, DETRHead)}
    assert found == {FCOSHead: True, YOLOXHead: False, DETRHead: False}


def test_a_file_that_is_not_there_and_what_one_lacks_is_named_in_one_line(checkout, tell):
    content, file = checkout.annotations("train"), checkout.root / "bare.json"
    for each in content["annotations"]:
        del each["area"]
    file.write_text(json.dumps(content), "utf-8")
    for missing, run in (
        ("none.py", lambda: checkout.shell("python configs/small_objects/coverage.py none.py 1")),
        ("none.json", lambda: tell(images=1, train__ann_file="none.json")),
        ("KeyError: 'area'", lambda: tell(images=1, train__ann_file=str(file))),
    ):
        with pytest.raises(HowtoError, match=missing) as failure:
            run()
        assert "Traceback" not in str(failure.value)
