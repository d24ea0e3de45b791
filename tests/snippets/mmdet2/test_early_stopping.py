"""The hook that ends training waits as long as it is told, for what is better and not for what is as good."""

import importlib
import logging
from types import SimpleNamespace

import pytest

from howto import Workspace


@pytest.fixture(scope="module")
def hook():
    with Workspace("best_checkpoint").inside():
        yield importlib.import_module("configs.best_checkpoint.early_stopping").EarlyStoppingHook


def epochs(hook, scores):
    """How many of the epochs with these scores run."""
    runner = SimpleNamespace(epoch=0, _max_epochs=len(scores), logger=logging.getLogger("test"))
    for score in scores:
        if runner.epoch == runner._max_epochs:
            break
        runner.log_buffer = SimpleNamespace(output={} if score is None else {"bbox_mAP": score})
        hook.after_train_epoch(runner)
        runner.epoch += 1
    return runner.epoch


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
    assert epochs(hook("bbox_mAP", 3), scores) == expected


def test_it_waits_as_long_as_it_is_told(hook):
    assert [epochs(hook("bbox_mAP", patience), [0.5] * 9) for patience in (1, 2, 5)] == [2, 3, 6]


def test_it_watches_the_metric_that_it_is_told(hook):
    assert epochs(hook("segm_mAP", 1), [0.5] * 4) == 4
