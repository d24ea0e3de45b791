"""The config that weighs rare classes, from its zip, and a class that is too rare for anything to be evened out."""

import json
import math

import pytest

from howto.checkout.coco import subset

OVERSAMPLED = {
    "mmdet2": ("data__train__dataset__ann_file", "data__train__oversample_thr", "data/my_dataset/annotations/"),
    "mmdet3": (
        "train_dataloader__dataset__dataset__ann_file", "train_dataloader__dataset__oversample_thr", "annotations/"
    ),
}  # fmt: skip


@pytest.mark.parametrize("threshold", [0.001, 0.2, 0.9])
def test_images_come_as_often_as_the_formula_says_rounded_up(checkout, threshold):
    path = checkout.root / "data/my_dataset/annotations/train.json"
    content = json.loads(path.read_text())
    one, other = ({each["image_id"] for each in content["annotations"] if each["category_id"] == category["id"]}
                  for category in content["categories"])  # fmt: skip
    both = [*sorted(one) * 6, *sorted(other)[:1]]
    path.with_name("some.json").write_text(json.dumps(subset(content, both)))
    file, key, folder = OVERSAMPLED[checkout.source.parent.name]
    cfg = checkout.config(next(checkout.source.glob("*.py")).name, **{file: f"{folder}some.json", key: threshold})
    data = checkout.dataset(cfg)
    shares = [(len(both) - 1) / len(both)] * (len(both) - 1) + [1 / len(both)]
    expected = [math.ceil(max(1, math.sqrt(threshold / share))) for share in shares]
    assert [data.repeat_indices.count(number) for number in range(len(both))] == expected
