"""The config that keeps the best checkpoint, from its zip, and how long its hook waits for a better one."""

import importlib
import logging
from types import SimpleNamespace

import pytest

from howto.checkout import fit
from howto.checkout.family import api
from howto.project import stacks

FAMILY = stacks.current().family
METRIC = {"mmdet2": "bbox_mAP", "mmdet3": "coco/bbox_mAP"}[FAMILY]


@pytest.fixture(scope="module")
def hook(checkout):
    """What makes the hook of the config, with some of its keys changed."""
    keys = dict(checkout.config().custom_hooks[-1])
    assert keys.pop("type") == "EarlyStoppingHook"
    with checkout.inside():
        if FAMILY == "mmdet2":
            del keys["priority"]
            kind = importlib.import_module("configs.best_checkpoint.early_stopping").EarlyStoppingHook
        else:
            kind = api().hooks()[0].get("EarlyStoppingHook")
        yield lambda **changes: kind(**{**keys, **changes})


def epochs(hook, scores) -> int:
    """How many of the epochs with these scores run; one without a score is not evaluated."""
    loop = SimpleNamespace(stop_training=False)
    logger = logging.getLogger("test")
    runner = SimpleNamespace(epoch=0, _max_epochs=len(scores), logger=logger, train_loop=loop)
    for score in scores:
        if runner.epoch == runner._max_epochs or loop.stop_training:
            break
        results = {} if score is None else {METRIC: score, "eval_iter_num": 1}
        if FAMILY == "mmdet2":
            runner.log_buffer = SimpleNamespace(output=results)
            hook.after_train_epoch(runner)
        elif results:
            hook.after_val_epoch(runner, results)
        runner.epoch += 1
    return runner.epoch


def test_epochs_without_an_evaluation_count_for_nothing(checkout):
    """Of four epochs the last alone is evaluated: none has been waited for."""
    small = dict(val_interval=4, batch_size=2 * api().images(checkout.config()), model__test_cfg__score_thr=0.0)
    run = checkout.train(epochs=4, **small, **fit.RESNET18)
    assert (len(run.epochs), run.evaluations) == (4, 1)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([0.1, 0.2, 0.3, 0.4, 0.5], 5),
        ([0.4, 0.4, 0.4, 0.4, 0.5], 4),
        ([0.4, 0.3, 0.2, 0.5, 0.1, 0.1], 6),
        ([0.4, 0.3, 0.5, 0.4, 0.4, 0.4, 0.6], 6),
        ([0.0, 0.0, 0.0, 0.0, 0.1], 4),
        ([0.4, None, None, None, 0.3, None, 0.2, 0.1, 0.5], 8),
    ],
    ids=["rises", "as good", "better in time", "counts anew", "nothing found", "not evaluated"],
)
def test_it_ends_after_three_evaluations_without_a_better_one(hook, scores, expected):
    assert epochs(hook(), scores) == expected


def test_it_waits_as_long_as_it_is_told(hook):
    assert [epochs(hook(patience=patience), [0.5] * 9) for patience in (1, 2, 5)] == [2, 3, 6]


@pytest.mark.skipif(FAMILY != "mmdet2", reason="the hook is MMEngine's")
def test_it_says_that_an_evaluation_has_no_such_metric_and_goes_on(hook, caplog):
    assert epochs(hook(metric="mAP", patience=1), [0.5, 0.4, None]) == 3
    assert [record.message for record in caplog.records] == ["no mAP in this evaluation: it does not count"] * 2


@pytest.mark.skipif(FAMILY != "mmdet3", reason="the hook is the snippet's")
@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("metrics", [{"coco/bbox_mAR": 0.1}, {}], ids=["wrong name", "nothing found"])
def test_an_evaluation_without_the_metric_is_only_warned_of_unless_it_is_strict(hook, strict, metrics):
    with pytest.raises(RuntimeError) if strict else pytest.warns(UserWarning, match="Skip early stopping process"):
        hook(strict=strict).after_val_epoch(None, metrics)
