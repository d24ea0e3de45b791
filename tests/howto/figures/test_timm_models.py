"""timm's models are measured, and their configs have what a detector and their checkpoints need."""

import pytest

from howto import Workspace
from howto.figures import timm_models
from howto.project import stacks
from howto.project.howtos import HowTo

FAMILY = stacks.current().family


@pytest.fixture(scope="module")
def table():
    with pytest.MonkeyPatch.context() as patch, Workspace("timm_backbone").inside():
        names = ["mobilenetv3_small_100", "convnext_atto", "dla34", "hrnet_w18_small", "tf_efficientnet_lite0"]
        patch.setattr(timm_models, "MODELS", names)
        return {row.name: row for row in timm_models.rows()}


def test_a_config_has_a_name_of_its_own_and_says_what_its_model_needs(table):
    assert sorted(set(timm_models.MODELS)) == sorted(timm_models.MODELS)
    snippets = HowTo(stacks.current(), "timm_backbone").snippets
    assert not {row.file for row in table.values()} & {path.name for path in snippets}
    hook = ["custom_hooks"] if FAMILY == "mmdet2" else []  # the hook that HRNet stops is in no config of 3.x
    assert {name: row.needs for name, row in table.items()} == {
        "mobilenetv3_small_100": [],
        "convnext_atto": ["AdamW"],
        "dla34": [],
        "hrnet_w18_small": ["find_unused_parameters", *hook],
        "tf_efficientnet_lite0": ["pixels"],
    }
