"""The config for small objects, from its zip, and the script that tells how well anchors cover objects."""

import json

import pytest

from howto.checkout.family import api
from howto.figures import anchors

SCRIPT = "python configs/small_objects/coverage.py"


@pytest.mark.parametrize("images", [1, 500])
def test_it_reads_as_many_images_as_it_is_told(checkout, images):
    """The config is RetinaNet's, whose anchors are its head's own."""
    path = "retinanet/retinanet_r50_fpn_1x_coco.py"
    rows = anchors.read(checkout.shell(f"{SCRIPT} configs/{path} {images}"))
    objects = list(api().annotated(checkout.dataset(checkout.config(path))).values())[:images]
    assert sum(row[1] for row in rows) == sum(map(len, objects))
    assert all(0.5 < row[2] <= 1 and row[3] > 1 for row in rows)


def test_objects_of_a_known_size_are_told(checkout):
    """Squares of 20 pixels, once their photograph is enlarged to 800 by 800, lie inside of the smallest anchor."""
    content = checkout.annotations("train")
    image = next(each for each in content["images"] if each["width"] == each["height"])
    side = 20 * image["width"] / 800
    first = content["annotations"][0]
    objects = [
        first | {"id": n, "image_id": image["id"], "bbox": [100 + 60 * n, 100, side, side], "area": side**2}
        for n in range(3)
    ]
    path = checkout.root / "data/my_dataset/annotations/square.json"
    path.write_text(json.dumps(content | {"images": [image], "annotations": objects}))
    family = checkout.source.parent.name
    folder = "faster_rcnn/faster_rcnn_r50" if family == "mmdet2" else "faster_rcnn/faster-rcnn_r50"
    key = "data = dict(train=dict(" if family == "mmdet2" else "train_dataloader = dict(dataset=dict("
    config = checkout.root / "configs/small_objects/square.py"
    config.write_text(f"_base_ = '../{folder}_fpn_1x_coco.py'\n{key}ann_file='{path}'))\n")
    ((name, number, iou, _),) = anchors.read(checkout.shell(f"{SCRIPT} configs/small_objects/square.py 500"))
    assert (name, number) == ("16 to 32", 3)
    assert iou == pytest.approx(20**2 / 32**2, abs=0.011)  # inside of the smallest square anchor
