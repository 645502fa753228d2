"""The best epoch so far: what counts as better, and what a checkpoint keeps of it."""

import json

import pytest

from distmlp.training.best_epoch import Progress, Tracked, progress_of


def tracked(values, least=0.0, higher=False):
    found = Tracked()
    for epoch, value in enumerate(values, 1):
        found = found.after(value, 10 * epoch, least, higher)
    return found


def test_the_first_of_equal_values_is_the_best():
    assert tracked([3.0, 1.0, 2.0, 1.0]) == Tracked(1.0, 20, 2)
    assert tracked([3.0, 1.0, 2.0, 3.0, 0.5], higher=True) == Tracked(3.0, 10, 4)


def test_an_improvement_may_have_to_be_of_some_size():
    assert tracked([1.0, 0.95, 0.8], least=0.1) == Tracked(0.8, 30, 0)
    assert tracked([1.0, 0.95, 0.91], least=0.1) == Tracked(1.0, 10, 2)


def test_what_is_not_a_number_is_never_better():
    nan = float("nan")
    assert tracked([nan, nan]) == Tracked(None, 0, 2)
    assert tracked([nan, 2.0, nan]) == Tracked(2.0, 20, 1)


@pytest.mark.parametrize(
    "metric, best", [("cost", 1.0), ("rmse", 1.0), ("accuracy", 2.0), ("r2", 2.0)]
)
def test_more_is_better_of_some_metrics(metric, best):
    found = Progress(metric)
    for step, value in ((1, 1.0), (2, 2.0)):
        found = found.after({"step": step, metric: value}, 0.0)
    assert found.best.value == best


def test_a_metric_without_a_meaning_is_never_better():
    found = Progress("roc_auc")
    for step, value in ((1, None), (2, 0.6), (3, None)):
        found = found.after({"step": step, "roc_auc": value}, 0.0)
    assert found.best == Tracked(0.6, 2, 1)


def test_nothing_is_watched_without_a_metric():
    assert Progress().after({"step": 1, "cost": 1.0}, 0.0) == Progress()


def test_a_checkpoint_keeps_it_for_the_same_metric():
    found = Progress("cost")
    for step, cost in enumerate([1.0, 0.9, 0.95]):
        found = found.after({"step": step, "cost": cost}, 0.5)
    facts = json.loads(json.dumps(found.facts()))
    assert progress_of(facts, "cost") == found
    assert progress_of(facts, "accuracy") == Progress("accuracy")
    assert progress_of(None, "cost") == Progress("cost")


def test_the_longest_wait_before_the_last_epoch():
    found, waits = Progress("cost"), []
    for step, cost in enumerate([3.0, 4.0, 4.0, 2.0, 5.0]):
        found = found.after({"step": step, "cost": cost}, 0.0)
        waits.append((found.patience.waited, found.longest))
    assert waits == [(0, 0), (1, 0), (2, 1), (0, 2), (1, 2)]
    facts = found.facts()
    del facts["longest"]  # as before it was kept
    assert progress_of(facts, "cost").longest == 0
