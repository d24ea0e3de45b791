"""The config that keeps the best checkpoint, from its zip, and one whose evaluations are not of every epoch."""

from howto.checkout import fit
from howto.checkout.family import api


def test_the_stock_script_trains_it_with_the_hook(work_dir):
    (log,) = work_dir.rglob("*.log")
    assert "EarlyStoppingHook" in log.read_text("utf-8")
    assert (work_dir / "epoch_1.pth").exists()


def test_epochs_without_an_evaluation_count_for_nothing(checkout):
    """Of four epochs the last alone is evaluated: none has been waited for."""
    every = {"mmdet2": dict(evaluation__interval=4), "mmdet3": dict(train_cfg__val_interval=4)}
    small = dict(model__test_cfg__score_thr=0.0, **fit.RESNET18)
    cfg = checkout.config("retinanet_r50_fpn_best_coco.py")
    half = {"mmdet2": "data__samples_per_gpu", "mmdet3": "train_dataloader__batch_size"}
    family = checkout.source.parent.name
    changes = every[family] | small | {half[family]: 2 * api().images(cfg)}
    run = checkout.train("retinanet_r50_fpn_best_coco.py", epochs=4, **changes)
    assert (len(run.epochs), run.evaluations) == (4, 1)
