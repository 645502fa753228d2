"""Hopeless runs are told, while they run and at their end, and good ones are not."""

import math

import h5py
import numpy as np
import pytest
from example import CLASSES, COLUMNS, ROWS, rows, write_set
from preparing import Heard, config_in
from simulated import on_ranks

from distmlp.data.dataset import DataSet
from distmlp.data.transform import Transform
from distmlp.errors import Diverged
from distmlp.mathematics.network import Network
from distmlp.parallel.communicator import SingleProcess
from distmlp.training import convergence_warnings as module
from distmlp.training.convergence_warnings import Doubts, constant_cost
from distmlp.training.loop import train


class Told(Heard):
    """Keeps events too."""

    def event(self, event):
        self.said.append(("event", event["event"], event.get("words")))

    @property
    def warnings(self):
        return [words for kind, *rest in self.said if kind == "warn" for words in rest]

    @property
    def doubts(self):
        return [event[2] for event in self.said if event[:2] == ("event", "doubt")]


def trained(place, changes={}, comm=None, resume="auto"):
    report = Told()
    train(config_in(place, changes), comm or SingleProcess(), report=report, resume=resume)
    return report


def record(epoch, cost, digest="", alpha=0.5):
    return {
        "epoch": epoch,
        "step": 21 * epoch,
        "cost": cost,
        "learning_rate": alpha,
        "v_sha256": digest or str(epoch),
    }


def test_a_run_that_learns_has_no_doubts(tmp_path):
    assert trained(tmp_path).warnings == []


def test_a_cost_that_grows(tmp_path):
    report = trained(tmp_path, {"optimizer.learning_rate": 1e4, "training.epochs": 3})
    (growth,) = report.doubts
    assert "more than 100 times that of a constant prediction" in growth
    assert "a smaller optimizer.learning_rate than 1e+04" in growth
    assert (
        report.warnings[-1].startswith("complete, but doubtful: ") and growth in report.warnings[-1]
    )


@pytest.mark.parametrize("size", [1, 3])
def test_a_rate_that_does_nothing_on_every_rank_alike(tmp_path, size):
    changes = {"optimizer.learning_rate": 1e-30, "training.epochs": 6}
    changes["network.initializer"] = "normal"  # whose b are not 0, and so do not move either
    config_in(tmp_path)
    reports = [Told() for _ in range(size)]

    def on(comm):
        train(config_in(tmp_path, changes), comm, report=reports[comm.rank])

    assert on_ranks(size, on) == [None] * size
    nothing, stuck = reports[0].doubts[-2:]
    assert "epoch 2 has not changed one bit of v" in nothing
    assert "hardly changed in 5 epochs" in stuck and "mostly a larger one" in stuck
    assert "is no better than that of a constant prediction" in reports[0].warnings[-1]
    assert all(report.warnings == [] for report in reports[1:])  # rank 0 says it, once


@pytest.mark.parametrize(
    ("activation", "factor", "words"),
    [
        ("tanh", 255.0, ["saturated", '"tanh"', "data.scale = 0.0039"]),
        ("sigmoid", 255.0, ["saturated", '"sigmoid"', "data.scale = 0.0039"]),
        ("relu", 255.0, ["too large", "data.scale = 0.0039"]),
        ("tanh", 1e-5, ["too small", "data.scale = 1e+05"]),
    ],
)
def test_inputs_of_an_unfit_scale_are_told_with_the_key_that_mends_it(
    tmp_path, activation, factor, words
):
    x, y = rows(ROWS)
    write_set(tmp_path / "set.h5", train=(x * np.float32(factor), y))
    changes = {"network.activation": activation, "training.epochs": 1}
    changes |= {"optimizer.learning_rate": 1e-9, "data.validation": None}
    (told,) = trained(tmp_path, changes).doubts[:1]
    assert all(word in told for word in words), told
    mended = {**changes, "data.scale": 1 / factor, "run.directory": str(tmp_path / "mended")}
    assert not any("data.scale" in doubt for doubt in trained(tmp_path, mended).doubts)


def test_a_run_that_goes_on_remembers_its_epochs(tmp_path):
    """Inputs are looked at before the first step only; a cost is compared with those of all epochs."""
    trained(tmp_path, {"training.epochs": 1})
    later = trained(tmp_path, {"training.epochs": 2, "data.scale": 1.0})
    assert later.doubts == []
    doubts = Doubts(1.6)
    assert doubts.epoch(record(1, 0.5)) == []
    (told,) = doubts.epoch(record(2, 51.0))
    assert "from 0.5 to 51 in epoch 2" in told
    assert doubts.epoch(record(3, 500.0)) == []  # once
    assert told in doubts.end(record(3, 0.1))


def test_a_cost_that_is_no_number_has_grown():
    doubts = Doubts(None)
    doubts.epoch(record(1, 0.5))
    assert len(doubts.epoch(record(2, math.inf))) == 1


def test_epochs_that_are_made_again_are_not_compared_with_themselves():
    doubts = Doubts(1.0)
    doubts.epoch(record(1, 0.5, "a"))
    doubts.epoch(record(2, 0.4, "b"))
    assert doubts.epoch(record(1, 0.5, "a")) == []
    assert doubts.epoch(record(2, 0.4, "b")) == []
    assert doubts.epoch(record(3, 0.4, "b"))[0].startswith("epoch 3 has not changed one bit")


def test_a_cost_below_the_constants_is_no_cause_for_doubt_however_slowly_it_falls():
    doubts = Doubts(1.0)
    for epoch in range(1, 10):
        assert doubts.epoch(record(epoch, 0.5 - 1e-9 * epoch)) == []
    assert doubts.end(record(10, 0.5)) is None
    assert doubts.end(None) is None
    hardly = doubts.end(record(10, 0.995))
    assert "hardly better than that of a constant prediction, 1:" in hardly
    assert "learned next to nothing" in hardly
    at_all = Doubts(1.0).end(record(10, 1.0))
    assert "no better than that of a constant prediction, 1:" in at_all
    assert "learned nothing" in at_all


def test_a_divergence_names_the_inputs_where_they_are_the_cause(tmp_path):
    """A smaller rate would not mend it, for no rate suits inputs of that size."""
    x, y = rows(ROWS)
    write_set(tmp_path / "set.h5", train=(x * np.float32(1e6), y))
    changes = {"network.activation": "relu", "network.output": "identity", "network.cost": "mse"}
    changes |= {"optimizer.learning_rate": 0.1, "data.validation": None}
    with pytest.raises(Diverged) as diverged:
        trained(tmp_path, changes)
    assert 'data.scale_inputs = "standardise" mends it' in str(diverged.value)
    assert "a smaller optimizer.learning_rate" not in str(diverged.value)


def test_the_best_constant_of_classes_is_their_entropy_and_of_numbers_half_their_variance(tmp_path):
    x, y = rows(ROWS)
    numbers = x[:, :2].astype(np.float64)
    write_set(tmp_path / "set.h5", train=(x, y), test=(x, numbers))
    share = np.bincount(y) / len(y)
    with DataSet(f"{tmp_path}/set.h5:/train") as data:
        network = Network((COLUMNS, 3, CLASSES), output="softmax", cost="cross-entropy")
        found = constant_cost(network, data, Transform(), y)
        binary = Network((COLUMNS, 3, CLASSES), output="sigmoid", cost="cross-entropy")
        each = constant_cost(binary, data, Transform(), y)
    assert found == pytest.approx(-np.sum(share * np.log(share)))
    assert each == pytest.approx(
        -np.sum(share * np.log(share) + (1 - share) * np.log(1 - share)), rel=1e-9
    )
    with DataSet(f"{tmp_path}/set.h5:/test") as data:
        network = Network((COLUMNS, 3, 2), output="identity", cost="mse")
        assert constant_cost(network, data, Transform(), numbers) == pytest.approx(
            numbers.var(axis=0).sum() / 2
        )


def test_rows_are_looked_at_all_over_a_large_set(tmp_path):
    with h5py.File(tmp_path / "large.h5", "w") as file:
        file["x"], file["y"] = np.arange(20000.0)[:, None], np.zeros(20000)
    with DataSet(f"{tmp_path}/large.h5:/") as data:
        x, _ = data.read(module._sampled(data))
    assert len(x) == 4096 and (x[0, 0], x[-1, 0]) == (0, 19999)
