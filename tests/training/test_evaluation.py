"""Metrics and predictions: the same for any number of ranks, and those of a plain network."""

import h5py
import numpy as np
import pytest
from example import COLUMNS, rows, write_set
from preparing import config_in, prepared
from simulated import on_ranks

from distmlp.data.transform import Transform, transform_of
from distmlp.mathematics.metrics import count_hits
from distmlp.mathematics.network import Workspace, forward
from distmlp.parallel.communicator import SingleProcess
from distmlp.training.evaluation import BLOCK, epoch_record, evaluate, predict
from distmlp.training.resuming import new_state
from distmlp.training.set_metrics import OF_CLASSES, Scores


def outputs(run, v, x):
    """The network's outputs for all rows at once."""
    p = Workspace(run.network.layers, v.dtype).view(1, len(x), x[None])
    forward(run.network, *run.network.layout.views(v), p)
    return p.a[-1][0]


def metrics_on(comm, place):
    with prepared(place, comm=comm) as run:
        v = new_state(run).v
        return evaluate(run.network, v, run.data, transform_of(run.config.data), run.comm)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("evaluation")
    config_in(place)
    return place


@pytest.fixture(scope="module")
def alone(place):
    (found,) = on_ranks(1, lambda comm: metrics_on(comm, place))
    return found


@pytest.mark.parametrize("size", [2, 3, 5, 7])
def test_metrics_are_the_same_for_any_number_of_ranks(size, place, alone):
    assert on_ranks(size, lambda comm: metrics_on(comm, place)) == [alone] * size


def test_metrics_are_those_of_all_rows_at_once(place, alone):
    with prepared(place) as run:
        v = new_state(run).v
        x, y = run.data.read([(0, run.data.rows)])
        a = outputs(run, v, x)
    assert alone.samples == len(x) == 1009
    assert alone.accuracy == count_hits(a, y) / 1009
    mean = -np.mean(np.log(a[np.arange(len(y)), y].astype(np.float64)))
    assert alone.cost == pytest.approx(mean, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_predictions_come_once_for_each_row_and_in_pieces(size, place):
    found = []

    def on(comm):
        with prepared(place, comm=comm) as run:
            v = new_state(run).v
            predict(
                run.network, v, run.data, Transform(), comm, lambda row, a: found.append((row, a))
            )
            return outputs(run, v, run.data.read([(0, run.data.rows)])[0])

    expected = on_ranks(size, on)[0]
    found.sort(key=lambda piece: piece[0])
    assert [row for row, _ in found] == list(range(0, 1009, BLOCK))
    assert np.concatenate([a for _, a in found]) == pytest.approx(expected, rel=1e-5)


def test_the_record_of_an_epoch(place):
    with prepared(place, {"optimizer.schedule": "linear"}) as run:
        state = new_state(run)
        state.step = 21
        state.totals[:2] = 1009, 504
        record = epoch_record(run, state, steps=7, seconds=2.0)
        state.step = 42
        second = epoch_record(run, state, steps=21, seconds=2.0)
    assert list(record) == [
        "epoch",
        "step",
        "cost",
        "validation_cost",
        "accuracy",
        "accuracy_of",
        "training_accuracy",
        "learning_rate",
        "samples_per_second",
        "ranks",
        "seconds",
        "v_sha256",
    ]
    assert (record["epoch"], second["epoch"]) == (1, 2)
    assert (record["learning_rate"], second["learning_rate"]) == (0.3, 0.15)
    assert record["samples_per_second"] == pytest.approx(1009 / 3 / 2)
    assert record["training_accuracy"] == 504 / 1009
    assert record["accuracy_of"] == "validation"


def test_without_a_validation_set_the_accuracy_is_the_trainings(place):
    with prepared(place, {"data.validation": None}) as run:
        state = new_state(run)
        state.step = 21
        state.totals[:2] = 1009, 504
        record = epoch_record(run, state, steps=21, seconds=1.0)
    assert record["validation_cost"] is None
    assert (record["accuracy"], record["accuracy_of"]) == (504 / 1009, "training")


NAMES = [*OF_CLASSES, "top_2"]


def scored(comm, place, changes={}):
    """The metrics with all scores of the first v, and the record of an epoch."""
    with prepared(place, {"training.metrics": NAMES, **changes}, comm=comm) as run:
        state = new_state(run)
        state.step = 21
        state.totals[:2] = 1009, 504
        data = run.data
        scores = Scores(run.network, data)
        transform = transform_of(run.config.data)
        found = evaluate(run.network, state.v, data, transform, run.comm, scores)
        return found, epoch_record(run, state, steps=21, seconds=1.0)


def test_scores_and_the_records_metrics_are_the_same_for_any_number_of_ranks(place):
    (expected,) = on_ranks(1, lambda comm: scored(comm, place))
    metrics, record = expected
    assert set(NAMES) <= set(record) and None not in [record[name] for name in NAMES]
    assert metrics.scores["log_loss"] == pytest.approx(metrics.cost, rel=1e-6)
    for size in (2, 3, 7):
        for found, again in on_ranks(size, lambda comm: scored(comm, place)):
            assert found == metrics
            assert [again[name] for name in NAMES] == [record[name] for name in NAMES]


def test_scores_of_numbers(tmp_path):
    x, _ = rows(301)
    y = np.stack([x[:, 0] + 2 * x[:, 1], x[:, 2] - 1], axis=1).astype(np.float64)
    write_set(tmp_path / "set.h5", train=(x, y), test=(x[:50], y[:50]))
    with h5py.File(tmp_path / "set.h5", "a") as file:
        file["train/y"].attrs["columns"] = ["drag", "lift"]
    changes = {
        "network.layers": [COLUMNS, 13, 2],
        "network.output": "identity",
        "network.cost": "mse",
        "training.metrics": ["r2", "rmse"],
    }
    found = [scored(comm, tmp_path, changes) for comm in (SingleProcess(),)]
    found += on_ranks(3, lambda comm: scored(comm, tmp_path, changes))
    assert [metrics for metrics, _ in found] == [found[0][0]] * 4
    metrics, record = found[0]
    outputs = metrics.scores["by_output"]
    assert [row["output"] for row in outputs] == ["drag", "lift"]
    # the cost is half of the sum of squares over both outputs
    assert sum(row["rmse"] ** 2 for row in outputs) / 2 == pytest.approx(metrics.cost, rel=1e-6)
    assert record["rmse"] > 0 and record["r2"] < 1
