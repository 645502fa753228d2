"""`distmlp train`: what a run leaves and says, and how it ends where the training diverges."""

import numpy as np
import pytest
from example import CLASSES, ROWS, checkpoint, log, rows, steps, v_in, write_set
from launching import distmlp

LOG_KEYS = {
    "epoch",
    "step",
    "cost",
    "validation_cost",
    "accuracy",
    "learning_rate",
    "samples_per_second",
    "ranks",
    "seconds",
    "v_sha256",
}
STEPS = 21  # an epoch of the example


def test_log(home):
    first, second = log(home / "run")
    assert LOG_KEYS <= set(first) and set(first) == set(second)
    assert (first["epoch"], first["step"], second["epoch"], second["step"]) == (
        1,
        STEPS,
        2,
        2 * STEPS,
    )
    assert first["ranks"] == 1 and first["learning_rate"] == 0.3
    assert 0 < first["seconds"] < 60 and first["samples_per_second"] == pytest.approx(
        ROWS / first["seconds"]
    )
    assert first["v_sha256"] != second["v_sha256"]


def test_v_sha256_is_that_of_the_bytes_of_v(home):
    assert v_in(checkpoint(home / "run", 2 * STEPS)) == log(home / "run")[1]["v_sha256"]
    assert v_in(checkpoint(home / "run", STEPS)) == log(home / "run")[0]["v_sha256"]
    assert log(home / "run")[1]["v_sha256"] in (home / "out").read_text()


@pytest.mark.slow
def test_without_a_validation_set_the_accuracy_is_the_training_sets(config, tmp_path):
    assert distmlp("train", config({"data.validation": None})).status == 0
    for record in log(tmp_path / "run"):
        assert record["validation_cost"] is None
        assert record["accuracy"] == record["training_accuracy"] > 0.3


@pytest.mark.slow
def test_numbers_as_targets_have_no_accuracy(config, tmp_path):
    x, classes = rows(100)
    write_set(tmp_path / "numbers.h5", train=(x, np.eye(CLASSES)[classes] * 0.5))
    changes = {
        "data.train": "numbers.h5:/train",
        "data.validation": None,
        "network.cost": "mse",
        "network.output": "sigmoid",
    }
    assert distmlp("train", config(changes)).status == 0
    assert log(tmp_path / "run")[-1]["accuracy"] is None


# Divergence; signals and other disturbances are in tests/faults


@pytest.mark.slow
@pytest.mark.parametrize("name, ranks", [("alone", 1), ("openmpi", 3), ("mpich", 2)])
def test_divergence(name, ranks, config, tmp_path, launcher):
    """Exit 3 on every rank, one sentence, and the last good checkpoint kept."""
    good = {"network.activation": "relu", "run.checkpoint_every": "10 steps", "run.keep": 100}
    done = distmlp(
        "train", config({**good, "optimizer.learning_rate": 1e30}), mpi=launcher(name), ranks=ranks
    )
    assert done.status == 3, done.err
    (sentence,) = [line for line in done.said if "fault tolerance" not in line]
    assert (
        "diverged at step 2" in sentence
        and "optimizer.learning_rate" in sentence
        and "1e+30" in sentence
    )
    assert "no checkpoint" in sentence
    assert steps(tmp_path / "run") == [] and log(tmp_path / "run") == []


@pytest.mark.slow
def test_divergence_keeps_the_last_good_checkpoint(config, tmp_path):
    """A rate that grows the weights until they overflow some epochs on."""
    changes = {
        "network.activation": "relu",
        "network.cost": "mse",
        "network.output": "identity",
        "optimizer.learning_rate": 0.9,
    }
    done = distmlp(
        "train",
        config(
            {**changes, "optimizer.momentum": 0.99, "run.checkpoint_every": "1 step", "run.keep": 1}
        ),
    )
    assert done.status == 3, done.out
    (kept,) = steps(tmp_path / "run")
    assert str(checkpoint(tmp_path / "run", kept)) in done.said[-1]
    assert distmlp("inspect", tmp_path / "run").status == 0
