"""Bad input on several ranks: all end with the same exit status, and one of them says why, once."""

import os

import pytest
from bad_cases import SECONDS
from example import lawful, write_config, write_set
from launching import distmlp, run_ranks

# More ranks than there is work for


def test_more_ranks_than_micro_batches(tmp_path, mpi):
    """A warning that says how many idle and what would help; the bits are those of one rank."""
    write_set(tmp_path / "set.h5")
    changes = {"training.micro_batch_size": 25}
    done = distmlp(
        "train",
        write_config(tmp_path / "a.toml", {**changes, "run.directory": "a"}),
        mpi=mpi,
        ranks=3,
    )
    assert done.status == 0, done.err
    (warning,) = [line for line in done.said if "idle" in line]
    assert (
        "3 ranks" in warning
        and "2 micro-batches" in warning
        and "1 rank" in warning
        and "training.micro_batch_size" in warning
    )
    assert (
        distmlp(
            "train", write_config(tmp_path / "b.toml", {**changes, "run.directory": "b"})
        ).status
        == 0
    )
    assert lawful(tmp_path / "a") == lawful(tmp_path / "b")


# One rank alone


ONE_RANK_RAISES = """
import os, sys
from distmlp.cli import main as cli
from distmlp.training import evaluation, preparation
rank = os.environ.get("OMPI_COMM_WORLD_RANK", os.environ.get("PMI_RANK"))
room, name, whose = sys.argv[1:4]
if rank == whose:
    holder = getattr(preparation, room, None) or getattr(evaluation, room)
    real = getattr(holder, name)
    calls = []
    def faulty(*arguments, **more):
        calls.append(1)
        if len(calls) == 5:
            raise MemoryError("injected into rank " + rank)
        return real(*arguments, **more)
    setattr(holder, name, faulty)
sys.exit(cli.main(sys.argv[4:]))
"""


@pytest.mark.parametrize(
    "room, name, whose",
    [
        ("Step", "gradient", "1"),
        ("Step", "update", "2"),
        ("Feed", "step", "0"),
        ("checkpoint", "v_sha256", "1"),
    ],
)
def test_an_exception_on_one_rank_ends_all(room, name, whose, mpi, tmp_path):
    write_set(tmp_path / "set.h5")
    config = write_config(tmp_path / "config.toml", {"training.epochs": 10**6})
    done = run_ranks(
        mpi, 3, ["-c", ONE_RANK_RAISES, room, name, whose, "train", config], timeout=SECONDS
    )
    assert done.status == 1, done.err
    (sentence,) = [line for line in done.said if "fault tolerance" not in line]
    assert sentence.startswith(f"distmlp: rank {whose} of 3 on ")
    assert f"MemoryError: injected into rank {whose}" in done.err


def test_data_that_one_rank_cannot_open_ends_all(mpi, tmp_path):
    write_set(tmp_path / "set.h5")
    config = write_config(tmp_path / "config.toml")
    program = ONE_RANK_RAISES.replace("len(calls) == 5", "True").replace(
        "MemoryError", "preparation.InputError"
    )
    done = run_ranks(
        mpi, 3, ["-c", program, "DataSet", "__init__", "2", "train", config], timeout=SECONDS
    )
    assert done.status == 2, done.err
    assert done.said == [
        f"distmlp: rank 2 of 3 on {os.uname().nodename}: rank 0 could open the data, but this rank cannot: injected into rank 2"
    ]
    assert not (tmp_path / "run").exists()
