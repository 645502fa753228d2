"""Ranks that were given different things, and ranks that stop before the first step: named, by all, soon."""

import os

import numpy as np
import pytest
from bad_cases import SECONDS, is_one_sentence
from example import rows, write_config, write_set
from launching import run_ranks
from preparing import config_in

from distmlp.errors import InputError
from distmlp.parallel.communicator import SingleProcess
from distmlp.training.loop import train

HOST = os.uname().nodename

#: Rank 1 gets its own words, where there are some; `PLACE` stops it there for ever.
PROGRAM = """
import os, sys, time
from distmlp.cli import main as cli
rank = os.environ.get("OMPI_COMM_WORLD_RANK", os.environ.get("PMI_RANK"))
own, place, *words = sys.argv[1:]
if rank == "1":
    if own:
        words[1] = own
    if place:
        from distmlp.training import preparation
        def stopped(*_, **__):
            time.sleep(1000)
        setattr(preparation, place, stopped)
sys.exit(cli.main(words))
"""


def told(mpi, place, words, own="", stopped="", timeout=SECONDS):
    done = run_ranks(mpi, 3, ["-c", PROGRAM, own, stopped, *words], timeout=timeout, cwd=place)
    return done, [line for line in done.said if "fault tolerance" not in line]


def test_a_config_that_one_rank_cannot_read(mpi, tmp_path):
    write_set(tmp_path / "set.h5")
    write_config(tmp_path / "config.toml")
    done, said = told(mpi, tmp_path, ["train", "config.toml"], "missing.toml")
    assert done.status == 2
    assert said == [f"distmlp: rank 1 of 3 on {HOST}: missing.toml: no such config file"]


DIFFERENT = {
    "activation": ({"network.activation": "relu"}, ["network.activation", "'relu'", "'tanh'"]),
    "batch": ({"training.batch_size": 49}, ["training.batch_size = 49", "has 50"]),
    "data": ({"data.train": "stale.h5:/train"}, ["set.h5:/train", "checksum of some rows"]),
    "rows": ({"data.validation": "stale.h5:/test"}, ["set.h5:/test", "rows = 300", "has 301"]),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_ranks_that_were_given_different_things(name, openmpi, tmp_path):
    changes, parts = DIFFERENT[name]
    write_set(tmp_path / "set.h5")
    x, y = rows(1009)
    x[0] += np.float32(0.125)
    write_set(tmp_path / "stale.h5", train=(x, y), test=rows(300, seed=1))
    write_config(tmp_path / "config.toml")
    write_config(tmp_path / "own.toml", {"run.directory": "run", **changes})
    done, said = told(openmpi, tmp_path, ["train", "config.toml"], "own.toml")
    assert done.status == 2
    is_one_sentence("\n".join(said), [f"rank 1 on {HOST} has", *parts])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("row", [255, 600])
def test_copies_that_differ_in_a_row_that_no_sample_shows(row, openmpi, tmp_path):
    """Rank 1 reads a file of its own.  Copies of the same rows are as good as one file."""
    write_set(tmp_path / "set.h5")
    write_config(tmp_path / "config.toml")
    write_config(tmp_path / "own.toml", {"run.directory": "run", "data.train": "copy.h5:/train"})
    x, y = rows(1009)
    write_set(tmp_path / "copy.h5", train=(x, y))
    done, _ = told(openmpi, tmp_path, ["train", "config.toml"], "own.toml")
    assert done.status == 0, done.err
    x[row, 3] += np.float32(0.125)
    write_set(tmp_path / "copy.h5", train=(x, y))
    words = ["train", "config.toml", "--resume", "never"]
    done, said = told(openmpi, tmp_path, words, "own.toml")
    assert done.status == 2
    is_one_sentence(
        "\n".join(said), [f"rank 1 on {HOST} has rows with the digest nh:", "set.h5:/train"]
    )


@pytest.mark.parametrize("place", ["scan_all", "check_arithmetic"])
def test_a_rank_that_stops_before_the_first_step(place, mpi, tmp_path):
    write_set(tmp_path / "set.h5")
    write_config(tmp_path / "config.toml", {"run.stall_timeout": "4 seconds"})
    done, said = told(mpi, tmp_path, ["train", "config.toml"], stopped=place)
    assert done.status not in (0, 2, 3, 75)
    assert any(
        "no progress for 4 s in the preparation; waiting for rank 1 on" in line for line in said
    )


TARGETS = {
    "too large for a cost": (np.full((60, 5), 0.0), (41, 3), 1e30, {"network.output": "identity"}),
    "too large for float32": (
        np.full((60, 5), 0.0),
        (17, 0),
        1e300,
        {"network.output": "identity"},
    ),
}


@pytest.mark.parametrize("name", TARGETS)
def test_targets_that_cannot_be_trained_are_found_with_their_row(name, tmp_path):
    y, place, value, changes = TARGETS[name]
    y = y.copy()
    y[place] = value
    x, _ = rows(60)
    write_set(tmp_path / "set.h5", train=(x, y), test=(x, y))
    config = config_in(tmp_path, {"network.cost": "mse", "data.validation": None, **changes})
    with pytest.raises(InputError, match=rf"row {place[0]}: its targets are too large"):
        train(config, SingleProcess())


def test_integers_that_the_scale_makes_infinite_are_found_with_their_row(tmp_path):
    x, y = rows(60)
    whole = np.zeros(x.shape, np.int64)
    whole[33, 2] = 10**6
    write_set(tmp_path / "set.h5", train=(whole, y), test=(whole, y))
    with pytest.raises(
        InputError, match="row 33: its inputs hold a NaN or an infinity, or become one"
    ):
        train(config_in(tmp_path, {"data.scale": 1e34}), SingleProcess())


def test_large_inputs_after_zeros_are_no_divergence(tmp_path):
    """The unit that zeros leave is so fine that finite gradients overflow in it."""
    x, y = np.zeros((200, 20), np.float32), rows(200)[1]
    x[57] = 1e22
    write_set(tmp_path / "set.h5", train=(x, y), test=(x, y))
    changes = {
        "network.layers": [20, 5],
        "optimizer.name": "adam",
        "optimizer.learning_rate": 0.01,
        "data.validation": None,
    }
    for reduction in ("exact", "float"):
        run = {"reduction": reduction, "run.directory": str(tmp_path / reduction)}
        assert train(config_in(tmp_path, {**changes, **run}), SingleProcess()).complete
