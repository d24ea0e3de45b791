"""Anchors laid out from a config's numbers, what they cover, and what is drawn of it."""

import numpy as np
import pytest
import torch
from mmdet.core import build_prior_generator

from howto.figures import anchors

STRIDES, RATIOS = [4, 8, 16, 32, 64], [0.5, 1.0, 2.0]


def test_they_are_those_of_mmdet():
    generator = build_prior_generator(dict(type="AnchorGenerator", scales=[4, 8], ratios=RATIOS, strides=STRIDES))
    maps = [(-(-96 // each), -(-160 // each)) for each in STRIDES]
    theirs = torch.cat(generator.grid_priors(maps, device="cpu")).numpy()
    ours = anchors.laid_out((90, 130), STRIDES, [4, 8], RATIOS)
    assert ours.shape == theirs.shape
    ours, theirs = (each[np.lexsort(each.T)] for each in (ours, theirs))
    assert (ours == theirs).all()  # to the last bit: of anchors inside an object that are equally good, all train


def test_an_overlap_is_what_both_have_of_what_one_of_them_has():
    boxes = np.array([[0, 0, 10, 10], [20, 0, 30, 10]], dtype="float32")
    ious = anchors.overlaps(boxes, np.array([[0, 0, 10, 5], [5, 0, 15, 10], [100, 100, 110, 110]], dtype="float32"))
    assert ious.tolist() == [[0.5, pytest.approx(1 / 3), 0], [0, 0, 0]]


@pytest.mark.parametrize(
    ("ious", "expected"),
    [
        ([[0.8, 0.75, 0.1]], [2]),
        ([[0.5, 0.4, 0.1]], [1]),  # its best one, though it is no good one
        ([[0.29, 0.2, 0.1]], [0]),
        ([[0.8, 0.75], [0.72, 0.9]], [1, 1]),
        ([[0.5, 0.5, 0.1]], [2]),
        ([[0.9, 0.1], [0.4, 0.35]], [0, 1]),  # an object keeps its best anchor, even if another overlaps it more
    ],
)
def test_an_anchor_trains_on_its_object(ious, expected):
    assert anchors.positives(np.array(ious), 0.7, 0.3) == expected


def test_a_table_has_a_row_for_each_octave_with_objects_and_is_read_as_it_is_printed():
    rows = anchors.medians([16, 16.1, 20, 32, 1500, 3000], [0.1, 0.2, 0.4, 0.9, 0.5, 0.6], [0, 1, 3, 8, 9, 2])
    assert rows == [
        ("0 to 16", 1, 0.1, 0, 1),
        ("16 to 32", 3, 0.4, 3, 0),
        ("1024 to 2048", 1, 0.5, 9, 0),
        ("2048 to inf", 1, 0.6, 2, 0),
    ]
    lines = ["size objects IoU positives untrained"]
    lines += [f"  {name}  {n}  {iou:.2f}  {taken:.0f}  {none}" for name, n, iou, taken, none in rows]
    assert anchors.read("\n".join(lines)) == rows


def test_what_is_enlarged_is_covered_as_by_smaller_anchors():
    """But for the edges, a photograph twice as large with anchors of 8 strides is one with anchors of 4."""
    larger = anchors.coverage((1280, 960), [8], [8, 16, 32], RATIOS)
    smaller = anchors.coverage((640, 480), [8], [4, 8, 16], RATIOS)
    assert larger[:5] == pytest.approx(smaller[:5], abs=0.01)
    assert larger[0] < larger[2] < 0.9
