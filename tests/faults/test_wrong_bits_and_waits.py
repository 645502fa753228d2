"""Flipped bits are found, named and repaired or stopped at; a rank that stands still does not hold the others for ever."""

import json
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the helpers beside the other tests

from example import lawful, steps, write_config, write_set
from launching import Running, distmlp, found_mpis

INJECT = Path(__file__).with_name("inject.py")
CONFIG = {"run.directory": "run", "run.checkpoint_every": "5 steps", "run.check_every": 3, "optimizer.momentum": 0.5}


@pytest.fixture
def openmpi():
    found = found_mpis()["openmpi"]
    if isinstance(found, str):
        pytest.skip(found)
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    place = tmp_path_factory.mktemp("undisturbed")
    write_set(place / "set.h5")
    assert distmlp("train", write_config(place / "config.toml", CONFIG), timeout=60).status == 0
    return lawful(place / "run")


@contextmanager
def running(mpi, place, ranks, faults, changes={}, ulfm=False):
    write_set(place / "set.h5")
    config = write_config(place / "config.toml", {**CONFIG, **changes})
    (place / "plan.json").write_text(json.dumps({"faults": faults}))
    how = ["--with-ft", "ulfm", "--mca", "pml", "ob1"] if ulfm else []
    words = ["--oversubscribe", *how, "-n", ranks, mpi.python, INJECT, place / "plan.json", "train", config]
    with tempfile.TemporaryDirectory(prefix="ranks-", ignore_cleanup_errors=True) as scratch:
        run = Running([mpi.bin / "mpirun", *words], None, place, Path(scratch))
        try:
            yield run
        finally:
            run.kill()


def ended(mpi, place, ranks, faults, changes={}, ulfm=False):
    with running(mpi, place, ranks, faults, changes, ulfm) as run:
        return run.wait(60)


@pytest.mark.parametrize("what", ["flip v", "flip optimizer"])
@pytest.mark.parametrize("rank", [0, 2])
def test_a_flipped_bit_is_named_and_repaired(openmpi, undisturbed, tmp_path, what, rank):
    done = ended(openmpi, tmp_path, 3, [{"rank": rank, "moment": "computing", "step": 13, "do": what}])
    assert done.status == 0, done.err
    (words,) = [line for line in done.said if "a bit has flipped" in line]
    assert words.startswith(f"distmlp: rank {rank} on ") and "all go back to step" in words
    assert lawful(tmp_path / "run") == undisturbed


@pytest.mark.parametrize("ranks, changes", [(2, {}), (3, {"run.on_corruption": "stop"})])
def test_a_flipped_bit_stops_where_there_is_no_majority_or_the_config_says_so(openmpi, tmp_path, ranks, changes):
    done = ended(openmpi, tmp_path, ranks, [{"rank": 1, "moment": "computing", "step": 13, "do": "flip v"}], changes)
    assert done.status == 1
    assert any("differ" in line or "a bit has flipped" in line for line in done.said), done.err
    assert max(steps(tmp_path / "run")) <= 13


@pytest.mark.parametrize("ranks", [2, 3])
def test_an_audit_finds_a_flipped_bit_in_a_gradient(openmpi, undisturbed, tmp_path, ranks):
    victim = 12 % ranks  # the rank whose turn it is to be audited
    fault = {"rank": victim, "moment": "computed", "step": 12, "do": "flip gradient"}
    done = ended(openmpi, tmp_path, ranks, [fault], {"run.audit_every": 1})
    assert done.status == 0, done.err
    (words,) = [line for line in done.said if "another gradient" in line]
    assert f"rank {victim} on " in words and "the step is done again" in words
    assert lawful(tmp_path / "run") == undisturbed


@pytest.mark.parametrize("ulfm", [True, False])
def test_a_rank_that_stands_still_is_named_and_left_or_ends_the_job(openmpi, undisturbed, tmp_path, ulfm):
    fault = {"rank": 1, "moment": "computing", "step": 12, "do": "stop"}
    done = ended(openmpi, tmp_path, 3, [fault], {"run.stall_timeout": "2 seconds"}, ulfm)
    assert any("no progress for 2 s" in line and "rank 1 on " in line for line in done.said), done.err
    assert done.seconds < 20
    if ulfm:
        assert done.status == 0, done.err
        assert lawful(tmp_path / "run") == undisturbed
    else:
        assert done.status not in (0, 2, 3, 75)


def test_a_second_run_in_one_directory_is_refused_and_a_dead_ones_lock_is_taken_over(openmpi, tmp_path):
    with running(openmpi, tmp_path, 1, [], {"training.epochs": 10**6}) as first:
        first.until(lambda: steps(tmp_path / "run"))
        (holder,) = first.ranks()
        second = distmlp("train", tmp_path / "config.toml", timeout=30)
        assert second.status == 2
        assert f"in use by another run (process {holder} on " in second.err
    done = distmlp("train", tmp_path / "config.toml", "--set", "training.epochs=1", "--resume", "never", timeout=30)
    assert done.status == 0, done.err


def test_a_time_limit_stops_with_a_checkpoint(openmpi, undisturbed, tmp_path):
    done = ended(openmpi, tmp_path, 2, [{"rank": 0, "moment": "computing", "step": 9, "do": "delay", "seconds": 3}], {"run.time_limit": "2 seconds"})
    assert done.status == 75, done.err
    assert len(steps(tmp_path / "run")) > 0
    assert ended(openmpi, tmp_path, 2, []).status == 0
    assert lawful(tmp_path / "run") == undisturbed
