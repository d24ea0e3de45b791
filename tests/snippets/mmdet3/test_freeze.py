"""What ``--resume`` does to a config that starts from a checkpoint."""

import pytest

CONFIG = "faster-rcnn_r50_fpn_box-head-only_coco"


@pytest.mark.parametrize(("options", "loaded"), [("started", True), ("resumed --resume", False)])
def test_resuming_before_there_is_a_checkpoint_loads_nothing(checkout, options, loaded):
    checkout.shell(f"python tools/train.py configs/freeze/{CONFIG}.py --work-dir {options} {{fit}}")
    (log,) = (checkout.root / options.split()[0]).glob("*/*.log")
    written = log.read_text("utf-8")
    assert ("Load checkpoint from http" in written) == loaded
    assert ("Auto resumed from the latest checkpoint None." in written) != loaded
