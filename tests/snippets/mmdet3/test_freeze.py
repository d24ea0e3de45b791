"""What ``--resume`` does to a config that starts from a checkpoint."""

import pytest

CONFIG = "faster-rcnn_r50_fpn_box-head-only_coco"


@pytest.mark.parametrize(("option", "loaded"), [("", True), (" --resume", False)])
def test_resuming_before_there_is_a_checkpoint_loads_nothing(checkout, option, loaded):
    checkout.shell(f"python tools/train.py configs/freeze/{CONFIG}.py --work-dir tried{option} {{fit}}")
    (log,) = (checkout.root / "tried").glob("*/*.log")
    written = log.read_text("utf-8")
    log.unlink()
    for saved in ("epoch_1.pth", "last_checkpoint"):
        (checkout.root / "tried" / saved).unlink()
    assert ("Load checkpoint from http" in written) == loaded
    assert ("Auto resumed from the latest checkpoint None." in written) != loaded
