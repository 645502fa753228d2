"""Holds launch/train: a run comes to its end, and to the undisturbed bits, through crashes, signals and lost ranks."""

import os
import signal
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the helpers beside the other tests

from example import lawful, steps, write_config, write_set
from launching import ROOT, Running, distmlp, found_mpis

EPOCHS = {"training.epochs": 40, "run.directory": "run", "run.checkpoint_every": "5 steps"}


@pytest.fixture(params=["openmpi", "mpich"])
def mpi(request):
    found = found_mpis()[request.param]
    if isinstance(found, str):
        pytest.skip(found)
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    place = tmp_path_factory.mktemp("undisturbed")
    write_set(place / "set.h5")
    assert distmlp("train", write_config(place / "config.toml", EPOCHS), timeout=60).status == 0
    return lawful(place / "run")


@contextmanager
def launched(mpi, place, *words):
    write_set(place / "set.h5")
    config = write_config(place / "config.toml", EPOCHS)
    with tempfile.TemporaryDirectory(prefix="ranks-", ignore_cleanup_errors=True) as scratch:
        run = Running([sys.executable, ROOT / "launch/train", "-n", 3, "--python", mpi.python, *words, config], None, place, Path(scratch))
        try:
            yield run
        finally:
            run.kill()


def ranks(run):
    """The ids of the run's processes that train, without launch/train itself."""
    return [pid for pid in run.ranks() if pid != run.process.pid]


def test_a_run_whose_ranks_are_all_killed_is_started_again(mpi, undisturbed, tmp_path):
    with launched(mpi, tmp_path) as run:
        run.until(lambda: len(steps(tmp_path / "run")) > 1 and len(ranks(run)) == 3)
        for pid in ranks(run):
            os.kill(pid, signal.SIGKILL)
        done = run.wait(60)
    assert done.status == 0, done.out + done.err
    assert lawful(tmp_path / "run") == undisturbed
    assert "complete after 2 starts" in done.out + done.err


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_with_a_checkpoint_and_the_same_command_goes_on(number, mpi, undisturbed, tmp_path):
    with launched(mpi, tmp_path) as run:
        run.until(lambda: len(steps(tmp_path / "run")) > 1)
        run.process.send_signal(number)
        assert run.wait(30).status == 75
    with launched(mpi, tmp_path) as run:
        done = run.wait(60)
    assert done.status == 0, done.err
    assert lawful(tmp_path / "run") == undisturbed


def test_bad_input_is_not_tried_again(mpi, tmp_path):
    with launched(mpi, tmp_path, "--restarts", 3) as run:
        (tmp_path / "set.h5").unlink()
        done = run.wait(30)
    assert done.status == 2, done.out + done.err
    assert len([line for line in done.err.splitlines() if "no such file" in line]) == 1
