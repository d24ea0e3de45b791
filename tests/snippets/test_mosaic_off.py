"""The config that switches Mosaic and MixUp off, from its zip; what tells plain images; a schedule that is short."""

import itertools

import pytest

from howto.checkout import fit
from howto.figures import mosaic
from howto.project import stacks
from howto.project.errors import HowtoError

STANDARD = "faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py"
LAST_EPOCHS = {"mmdet2": dict(custom_hooks__1__num_last_epochs=3), "mmdet3": dict(custom_hooks__0__switch_epoch=-1)}


def test_the_standard_config_shows_plain_images_and_their_paths(checkout):
    run = checkout.train(STANDARD, evaluate=False, keep_images=True, **fit.RESNET18)
    seen = run.epochs[0].images
    assert len(seen) == len(run.losses) * run.images_per_step
    assert all(mosaic.plain(checkout, image, path) for path, image in seen)
    (_, first), (other, _) = next(pair for pair in itertools.pairwise(seen) if pair[0][0] != pair[1][0])
    assert not mosaic.plain(checkout, first, other)
    assert not mosaic.plain(checkout, first // 2, seen[0][0])


def test_a_schedule_that_is_no_longer_than_its_last_epochs_is_plain_from_the_start(checkout):
    short = LAST_EPOCHS[stacks.current().family]
    run = checkout.train(epochs=2, evaluate=False, keep_images=True, **short, **fit.RESNET18)
    assert mosaic.plain_epochs(checkout, run) == [1, 2]
    run.epochs[1].images[0] = (run.epochs[1].images[0][0], run.epochs[1].images[0][1] // 2)
    with pytest.raises(HowtoError, match=r"epochs \[2\] saw photographs and others"):
        mosaic.plain_epochs(checkout, run)
