"""Training with lbfgs: the same bits wherever it is stopped, on any ranks and in numpy; the notes' gradient descent is far behind."""

import json

import numpy as np
import pytest
from example import lawful, rows, write_config, write_set
from launching import distmlp
from preparing import Quiet, config_in
from simulated import on_ranks

from distmlp.errors import InputError
from distmlp.parallel.communicator import SingleProcess
from distmlp.training.loop import train

SEARCHES = {
    "dtype": "float64",
    "network.layers": [20, 4, 5],
    "training.batch_size": "all",
    "training.micro_batch_size": 101,
    "training.epochs": 25,
    "optimizer.name": "lbfgs",
    "optimizer.learning_rate": 4.0,  # too long a first step, so that line searches have several
    "optimizer.memory": 4,
    "regularization.l2": 0.01,
}


def run(place, name, size=1, changes={}, **more):
    config = config_in(place, {**SEARCHES, **changes, "run.directory": str(place / name)})
    found = on_ranks(
        size,
        lambda comm: train(config, comm, report=Quiet() if comm.rank == 0 else None, **more),
    )
    assert not [outcome for outcome in found if isinstance(outcome, Exception)], found
    return found[0]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A directory with the set, and a run that nothing disturbed."""
    place = tmp_path_factory.mktemp("lbfgs")
    run(place, "alone")
    return place


@pytest.mark.slow
def test_the_same_bits_stopped_at_every_evaluation(place):
    """Another rank count goes on after each; half of the places are in the middle of a line search."""
    for step in range(1, 26):
        result = run(place, "cut", 1 + step % 3, until=step)
    assert result.reason == "epochs"
    assert lawful(place / "cut") == lawful(place / "alone")
    digests = [record["v_sha256"] for record in lawful(place / "alone")]
    assert len(digests) == 25
    assert 10 < len(set(digests)) < 25


@pytest.mark.slow
def test_in_numpy_it_has_the_same_bits(place):
    config = write_config(
        place / "numpy.toml", {**SEARCHES, "run.directory": "numpy", "training.epochs": 5}
    )
    done = distmlp("train", config, env={"DISTMLP_COMPILED": "0"})
    assert done.status == 0, done.err
    assert lawful(place / "numpy") == lawful(place / "alone")[:5]


@pytest.mark.slow
def test_it_ends_where_it_has_converged_and_says_so(tmp_path):
    changes = {**SEARCHES, "training.epochs": 1000, "optimizer.tolerance": 1e-3}
    write_set(tmp_path / "set.h5")
    config = write_config(tmp_path / "config.toml", changes)
    done = distmlp("train", config)
    assert done.status == 0, done.err
    assert "no entry of the gradient is above optimizer.tolerance" in done.out
    finished = json.loads((tmp_path / "run" / "finished.json").read_text())
    assert finished["reason"] == "converged"
    assert finished["step"] < 300
    again = distmlp("train", config)
    assert again.status == 0, again.err
    assert json.loads((tmp_path / "run" / "finished.json").read_text())["step"] == finished["step"]


@pytest.mark.slow
def test_it_does_in_tens_of_evaluations_what_gradient_descent_does_not(tmp_path):
    x, _ = rows(1009)
    test, _ = rows(301, seed=1)
    y, y_test = (np.sin(part[:, :1]) * part[:, 1:2] for part in (x, test))
    write_set(tmp_path / "set.h5", train=(x[:, :2], y), test=(test[:, :2], y_test))
    shape = {
        "network.layers": [2, 12, 1],
        "network.output": "identity",
        "network.cost": "mse",
        "regularization.l2": 0.0,
        "training.epochs": 100,
        "optimizer.learning_rate": None,
    }
    searched = run(tmp_path, "lbfgs", 1, shape)
    descent = {"optimizer.name": "sgd", "optimizer.learning_rate": 0.3, "optimizer.memory": None}
    plain = run(tmp_path, "sgd", 1, {**shape, **descent})
    assert searched.record["cost"] < 0.05 * plain.record["cost"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_frozen_layers_stay(tmp_path, dtype):

    few = {"dtype": dtype, "training.frozen": [1], "training.epochs": 4}
    found = run(tmp_path, "frozen", 2, few)
    from distmlp.mathematics.initializers import initialize
    from distmlp.mathematics.layout import Layout

    layout = Layout((20, 4, 5))
    start = initialize(layout, "scaled-normal", 7, dtype)
    same = [(found.v[part] == start[part]).all() for part in layout.slices]
    assert same == [True, False, True, False]


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"training.batch_size": 500}, 'training.batch_size is 500: expected "all"'),
        ({"regularization.dropout": 0.1}, "regularization.dropout is 0.1"),
        ({"regularization.input_dropout": 0.1}, "regularization.input_dropout is 0.1"),
        ({"regularization.l1": 0.1}, "regularization.l1 is 0.1"),
        ({"regularization.weight_decay": 0.1}, "regularization.weight_decay is 0.1"),
        ({"regularization.clip_norm": 1.0}, "regularization.clip_norm is 1.0"),
        ({"regularization.clip_value": 1.0}, "regularization.clip_value is 1.0"),
        ({"regularization.average": 0.9}, "regularization.average is 0.9"),
        ({"optimizer.schedule": "linear"}, 'optimizer.schedule is "linear"'),
        ({"optimizer.warmup": "3 steps"}, 'optimizer.warmup is "3 steps"'),
        ({"optimizer.momentum": 0.9}, 'it belongs to "sgd"'),
        ({"training.epsilon": 0.1}, "optimizer.tolerance says when it ends"),
        (
            {"optimizer.name": "adam", "optimizer.learning_rate": 0.1},
            'optimizer.memory is set, but optimizer.name is "adam"',
        ),
    ],
)
def test_what_does_not_go_with_it_is_refused(tmp_path, changes, words):
    with pytest.raises(InputError) as error:
        config_in(tmp_path, {**SEARCHES, **changes})
    assert words in str(error.value)


def test_the_table_at_the_start_speaks_of_evaluations(tmp_path):
    from distmlp.training.reporting import Silent

    class Heard(Silent):
        def begin(self, rows):
            self.rows = dict(rows)

    heard, config = Heard(), config_in(tmp_path, {**SEARCHES, "training.epochs": 1})
    train(config, SingleProcess(), report=heard)
    assert (
        heard.rows["training"]
        == "1 epoch of lbfgs, an evaluation each, until no entry of the gradient is above 1e-05"
    )
