"""What ``EarlyStoppingHook`` does if it is told to watch what nobody measures."""

import pytest
from mmengine.hooks import EarlyStoppingHook


@pytest.mark.parametrize("strict", [False, True])
def test_a_metric_with_a_wrong_name_is_only_warned_of_unless_it_is_strict(checkout, strict):
    known = dict(checkout.config("retinanet_r50_fpn_best_coco.py").custom_hooks[-1], monitor="bbox_mAP", strict=strict)
    assert known.pop("type") == "EarlyStoppingHook"
    hook = EarlyStoppingHook(**known)
    with pytest.raises(RuntimeError) if strict else pytest.warns(UserWarning, match="Skip early stopping process"):
        hook.after_val_epoch(None, {"coco/bbox_mAP": 0.1})
