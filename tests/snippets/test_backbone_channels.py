"""The script prints a backbone's channels wherever it is run, and every config of the table trains."""

import os
import re
import subprocess
import sys

import pytest

from howto.figures.backbones import Backbone, bare, listed, measured, origin
from howto.project import stacks
from howto.project.errors import HowtoError
from howto.project.files import snippet_folder

FAMILY = stacks.current().family
SCRIPT = snippet_folder(FAMILY) / "backbone_channels/get_channels.py"


def test_prints_the_shapes_in_a_folder_without_a_checkout():
    variables = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-W", "ignore", SCRIPT]
    done = subprocess.run(command, cwd="/", env=variables, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["(1, 64, 8, 8)", "(1, 128, 4, 4)", "(1, 256, 2, 2)", "(1, 512, 1, 1)"]


@pytest.fixture(scope="module")
def fitted(checkout) -> dict[str, Backbone]:
    """The backbones of the page's table, with their configs in the checkout."""
    found = {name: measured(keys, checkout.backbone(**bare(keys))) for name, keys in listed().items()}
    for name, backbone in found.items():
        for kind, text in (("retinanet", backbone.retinanet()), ("faster_rcnn", backbone.faster_rcnn())):
            (checkout.root / "configs/backbone_channels" / file(name, kind)).write_text(text)
    return found


def file(name: str, kind: str) -> str:
    return f"{kind}_{re.sub(r'[^a-z0-9]', '_', name.lower())}.py"


# One image for each process, and no checkpoint. Nor is one loaded.
QUICK = dict(model__backbone__init_cfg=None) | dict(
    mmdet2=dict(data__samples_per_gpu=1, checkpoint_config__interval=9, checkpoint_config__save_last=False),
    mmdet3=dict(
        train_dataloader__batch_size=1, default_hooks__checkpoint__interval=9,
        default_hooks__checkpoint__save_last=False,
    ),
)[FAMILY]  # fmt: skip


def test_one_config_of_each_kind_in_the_table_trains_in_two_processes(checkout, fitted):
    """The page compares the strides of each config, and says which parameters may get no gradient."""
    kinds = {}
    for name, each in fitted.items():
        kinds.setdefault(("retinanet", each.start_level, bool(each.unused[each.start_level])), name)
        kinds.setdefault(("faster_rcnn", each.strides[0], bool(each.unused[0])), name)
    assert {needs for *_, needs in kinds} == {False, True}
    names = [file(name, kind) for (kind, *_), name in kinds.items()]
    apart = checkout.train_in_two_processes(names, epochs=1, **QUICK)
    assert [max(each.values()) for each in apart] == [0.0] * len(names)


def test_levels_that_no_detector_can_follow_are_refused(checkout):
    keys = dict(type="MobileNetV2", out_indices=(2, 6))
    with pytest.raises(HowtoError, match=r"strides \[8, 32\], not 4 or 8 to 32; choose other out_indices"):
        measured(keys, checkout.backbone(**keys))


def test_a_config_of_the_table_is_at_most_79_columns_wide(fitted):
    texts = [text for each in fitted.values() for text in (each.retinanet(), each.faster_rcnn())]
    lines = [line for text in texts for line in text.splitlines()]
    assert max(len(line) for line in lines if not line.endswith("# noqa: E501")) <= 79
    assert {line.split()[0] for line in lines if line.endswith("# noqa: E501")} == {"checkpoint"}


def test_a_checkpoint_that_no_classifier_has_is_refused(checkout, monkeypatch):
    address = "https://download.openmmlab.com/mmclassification/v0/none.pth"
    keys = dict(type="MobileNetV3", init_cfg=dict(type="Pretrained", checkpoint=address))
    monkeypatch.setattr("howto.figures.backbones.listed", lambda: {"mine": keys})
    with pytest.raises(HowtoError, match=r"none\.pth is in no metafile"):
        origin("mine", checkout.root / "configs")
