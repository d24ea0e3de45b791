"""The model index yields backbones whose configs a reader can copy."""

import pytest

from howto import Workspace
from howto.checkout.family import api
from howto.figures import classifiers


@pytest.fixture(scope="module")
def rows():
    listed = [entry for entry in classifiers.LISTED if entry[0].startswith(("mobilenet", "poolformer", "swin-tiny"))]
    with pytest.MonkeyPatch.context() as patch, Workspace("mmcls_backbone").inside():
        patch.setattr(classifiers, "LISTED", listed)
        return classifiers.rows.__wrapped__()  # nobody else finds these few measured


def test_a_default_is_left_out_unless_it_names_the_backbone(rows):
    small = next(row.backbone.keys for row in rows if row.name == "MobileNetV3, arch='small'")
    scope = api().LIBRARIES[-1]
    assert small.pop("init_cfg")["prefix"] == "backbone."
    assert small == dict(type=f"{scope}.MobileNetV3", arch="small", out_indices=(3, 8, 11), norm_eval=True)
