"""`distmlp train` again: checkpoints, which are kept, what goes on from them, and why a run ended."""

import itertools
import signal

import pytest
from example import checkpoint, lawful, steps, v_in
from launching import distmlp, started

from distmlp.runs import events

STEPS = 21  # an epoch of the example
EPOCHS = 100  # so many that several checkpoints are written meanwhile, on a busy machine too


# A checkpoint that is due while the one before is still being written is left out, so in runs as short as
# these only the first and the last are certain.


@pytest.mark.slow
@pytest.mark.parametrize(
    "every, due",
    [("1 epoch", 21), ("2 epochs", 42), ("50 steps", 50), ("1 step", 1), ("60 minutes", 10**9)],
)
def test_checkpoint_every(every, due, config, tmp_path):
    assert (
        distmlp(
            "train",
            config({"run.checkpoint_every": every, "training.epochs": EPOCHS, "run.keep": 10**4}),
        ).status
        == 0
    )
    *some, last = steps(tmp_path / "run")
    assert last == EPOCHS * STEPS
    assert all(step % due == 0 for step in some)
    assert (some[0] == due and len(some) > 1) if due < last else not some


@pytest.mark.slow
def test_checkpoint_every_part_of_a_minute(config, tmp_path):
    path = config(
        {"run.checkpoint_every": "0.002 minutes", "training.epochs": 10**6, "run.keep": 100}
    )
    with started(None, 1, ["-m", "distmlp", "train", path]) as run:
        run.until(lambda: len(steps(tmp_path / "run")) >= 3)


@pytest.mark.slow
@pytest.mark.parametrize("keep", [1, 2])
def test_keep(keep, config, tmp_path):
    assert distmlp("train", config({"run.keep": keep, "training.epochs": 10})).status == 0
    found = steps(tmp_path / "run")
    assert len(found) == keep and found[-1] == 10 * STEPS


@pytest.mark.slow
def test_a_complete_run_is_left_as_it_is(config, tmp_path):
    path = config()
    first = distmlp("train", path)
    before = lawful(tmp_path / "run")
    again = distmlp("train", path)
    assert again.status == 0
    assert first.out.splitlines()[-1] == again.out.splitlines()[-1]  # the same v
    assert lawful(tmp_path / "run") == before and "epoch 1/" not in again.out


def test_a_run_directory_has_one_run_at_a_time(config, tmp_path, mpich):
    path = config({"training.epochs": 10**6})
    with started(None, 1, ["-m", "distmlp", "train", path]) as running:
        running.until(lambda: steps(tmp_path / "run"))
        for mpi, ranks, resume in ((None, 1, "auto"), (mpich, 2, "never")):
            done = distmlp("train", path, "--resume", resume, mpi=mpi, ranks=ranks, timeout=20)
            assert done.status == 2
            assert (
                done.said
                == [line for line in done.said if f"process {running.process.pid}" in line]
                != []
            )
        assert running.is_running() and not (tmp_path / "run" / "earlier-1").exists()


@pytest.mark.slow
def test_more_epochs_go_on_from_there(config, tmp_path):
    assert distmlp("train", config()).status == 0
    assert distmlp("train", config({"training.epochs": 3})).status == 0
    here = lawful(tmp_path / "run")
    assert distmlp("train", config({"training.epochs": 3, "run.directory": "whole"})).status == 0
    assert here == lawful(tmp_path / "whole") and len(here) == 3


@pytest.mark.slow
def test_resume_never_sets_the_earlier_run_aside(config, tmp_path, home):
    assert distmlp("train", config()).status == 0
    assert distmlp("train", config({"seed": 8}), "--resume", "never").status == 0
    run = tmp_path / "run"
    assert lawful(run / "earlier-1") == lawful(home / "run") != lawful(run)
    assert v_in(checkpoint(run / "earlier-1", 2 * STEPS)) == v_in(
        checkpoint(home / "run", 2 * STEPS)
    )
    other = lawful(run)
    assert distmlp("train", config(), "--resume", "never").status == 0
    assert lawful(run / "earlier-2") == other
    assert lawful(run) == lawful(run / "earlier-1") == lawful(home / "run")


@pytest.mark.slow
def test_resume_from_a_named_checkpoint(config, tmp_path, home):
    """Into another run directory, from the middle of another run."""
    done = distmlp("train", config(), "--resume", checkpoint(home / "run", STEPS))
    assert done.status == 0, done.err
    assert lawful(tmp_path / "run") == lawful(home / "run")[1:]


def test_the_stop_rule_is_decided_equally_on_all_ranks(config, tmp_path, openmpi, mpich):
    """The notes' epsilon: the epoch after which the cost has changed by less ends the run, on every rank."""
    logs = []
    for mpi, ranks in ((None, 1), (openmpi, 3), (mpich, 2)):
        directory = f"run-{ranks}"
        done = distmlp(
            "train",
            config({"training.epsilon": 0.05, "training.epochs": 500, "run.directory": directory}),
            mpi=mpi,
            ranks=ranks,
        )
        assert done.status == 0, done.err
        logs.append(lawful(tmp_path / directory))
    costs = [record["cost"] for record in logs[0]]
    changes = [abs(a - b) for a, b in itertools.pairwise(costs)]
    assert 2 < len(costs) < 500
    assert changes[-1] < 0.05 and all(change >= 0.05 for change in changes[:-1])
    assert logs[0] == logs[1] == logs[2]


ENDS = {
    "epochs": ({}, 0, "complete", "epoch 2/2"),
    "patience": (
        {"training.patience": 1, "training.least_improvement": 100.0, "training.epochs": 9},
        0,
        "complete",
        "ended after step 42: no epoch was better for training.patience epochs",
    ),
    "stop rule": (
        {"training.epsilon": 10.0, "training.epochs": 9},
        0,
        "complete",
        "ended after step 42: the cost changed by less than training.epsilon",
    ),
    "time limit": (
        {"run.time_limit": "0.000001 seconds"},
        75,
        "stopped",
        "stopped after step 1 by the time limit; the same command goes on from there",
    ),
    "signal": ({"training.epochs": 10**6}, 75, "stopped", " by a signal; the same command"),
}


@pytest.mark.slow
@pytest.mark.parametrize("reason", ENDS)
def test_why_a_run_ended_is_said_and_logged(reason, config, tmp_path):
    changes, status, event, words = ENDS[reason]
    with started(None, 1, ["-m", "distmlp", "train", config(changes)]) as running:
        if reason == "signal":
            running.until((tmp_path / "run" / "log.jsonl").exists)
            running.process.send_signal(signal.SIGTERM)
        done = running.wait(60)
    assert done.status == status, done.err
    assert words in done.out
    last = events.since(tmp_path / "run", None)[-1]
    assert (last["event"], last["reason"]) == (event, reason)
