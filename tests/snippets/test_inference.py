"""The script that detects objects in a folder, with what its page does not try: masks, and a folder without images."""

import json
import shutil

import pytest
import torch

from howto.checkout.family import api
from howto.project import stacks

MASK_RCNN = {
    "mmdet2": "mask_rcnn/mask_rcnn_r50_fpn_1x_coco.py",
    "mmdet3": "mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py",
}[stacks.current().family]


@pytest.fixture(scope="module")
def detected(checkout, resnet18):
    """What the script writes about a folder, with a Mask R-CNN of random weights that knows 80 classes."""
    cfg = checkout.config(MASK_RCNN, **resnet18)
    _, test = list(api().datasets(cfg).values())[1:]
    _, resize, *_ = test.pipeline
    resize[api().SCALES[0]] = (128, 77)
    test_cfg = cfg.model.test_cfg
    test_cfg.rcnn.score_thr, test_cfg.rcnn.max_per_img, test_cfg.rpn.max_per_img = 0.0, 5, 20
    cfg.dump(str(checkout.root / "configs/inference/masks.py"))
    model = checkout.build(cfg)
    torch.save({"state_dict": model.state_dict()}, checkout.root / "masks.pth")
    low = checkout.edit("detect_folder.py", {"SCORE = 0.3": "SCORE = 0.001"})

    def run(folder):
        checkout.shell(f"python configs/inference/{low} configs/inference/masks.py masks.pth {folder} found-{folder}")
        return json.loads((checkout.root / f"found-{folder}/detections.json").read_text("utf-8"))

    return run


def test_of_a_detector_of_masks_the_boxes_are_kept(checkout, detected):
    (checkout.root / "photos").mkdir()
    shutil.copy(checkout.photograph(), checkout.root / "photos")
    found = detected("photos")
    assert len(found["categories"]) == 80
    assert [image["file_name"] for image in found["images"]] == [checkout.photograph().name]
    (image,) = found["images"]
    assert 0 < len(found["annotations"]) <= 5
    for each in found["annotations"]:
        x, y, width, height = each["bbox"]
        assert x >= 0 and y >= 0 and x + width <= image["width"] + 0.01 and y + height <= image["height"] + 0.01


def test_of_a_folder_without_images_the_file_is_empty(checkout, detected):
    (checkout.root / "nothing").mkdir()
    found = detected("nothing")
    assert found["images"] == [] and found["annotations"] == []
