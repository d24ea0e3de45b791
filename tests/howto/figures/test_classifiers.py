"""The model index yields backbones whose configs a reader can copy."""

import pytest

from howto import Workspace
from howto.checkout.family import api
from howto.figures import classifiers


@pytest.fixture(scope="module")
def checkout() -> Workspace:
    return Workspace("mmcls_backbone")


@pytest.fixture(scope="module")
def rows(checkout):
    listed = [entry for entry in classifiers.LISTED if entry[0].startswith(("mobilenet", "poolformer", "swin-tiny"))]
    with pytest.MonkeyPatch.context() as patch, checkout.inside():
        patch.setattr(classifiers, "LISTED", listed)
        return classifiers.rows.__wrapped__()  # nobody else finds these few measured


def test_each_has_a_name_and_a_file_of_its_own(rows):
    assert len({row.name for row in rows}) == len({row.file for row in rows}) == len(rows) == 5


def test_a_default_is_left_out_unless_it_names_the_backbone(rows):
    small = next(row.backbone.keys for row in rows if row.name == "MobileNetV3, arch='small'")
    scope = api().LIBRARIES[-1]
    assert small.pop("init_cfg")["prefix"] == "backbone."
    assert small == dict(type=f"{scope}.MobileNetV3", arch="small", out_indices=(3, 8, 11), norm_eval=True)


def test_a_transformer_needs_what_its_classifier_does_not(rows):
    swin = next(row for row in rows if row.name.startswith("Swin"))
    assert swin.needs == ["pad_small_map", "find_unused_parameters", "AdamW"]
    assert swin.text.count("AdamW") == 1


def test_the_config_is_loaded_as_it_is_shown(checkout, rows):
    with checkout.inside():
        for row in rows:
            cfg = row.write(checkout.root / "configs/mmcls_backbone")
            assert cfg.model.neck.in_channels == row.backbone.channels
