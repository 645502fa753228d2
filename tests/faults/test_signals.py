"""SIGTERM, SIGINT and SIGUSR1, sent to mpirun or to any one rank: a checkpoint, exit status 75, and the same command goes on."""

import os
import signal
import time

import pytest
from broken import NAMES, ROWS, Row, kill
from example import steps
from launching import distmlp

STEPS = 21  # an epoch

#: So many that no signal comes too late, and slow steps, so that the log stays short.
ENDLESS = {"training.epochs": 10**6, "run.checkpoint_every": "60 minutes"}
SLOWLY = kill("all", "computing", do="slow", seconds=0.005)
AT_WORK = kill(0, "updated", do="say")

SIGNALS = (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT)
TO_MPIRUN = [("mpirun", number) for number in SIGNALS]
TO_A_RANK = [(0, signal.SIGTERM), (1, signal.SIGUSR1), (2, signal.SIGINT)]


def words(mpi, target) -> str:
    return "the process" if mpi is None else "mpirun" if target == "mpirun" else "a rank"


def process(running, target) -> int:
    """The process of mpirun, or of the rank that has this place among them."""
    return running.process.pid if target == "mpirun" else sorted(running.ranks())[target]


@pytest.fixture(params=["alone", "ulfm", "openmpi", "mpich"])
def mpi(request):
    """Each way to start ranks, or None: one process."""
    return None if request.param == "alone" else request.getfixturevalue(request.param)


def test_a_signal_stops_with_a_checkpoint(mpi, bench):
    """One run, stopped by each signal to each target in turn, each time going on from there, and at last to its end."""
    name, at, rows = bench.name(), 0, []
    way = NAMES[mpi.name] if mpi else "alone"
    for target, number in TO_MPIRUN + (TO_A_RANK if mpi else []):
        with bench.running(mpi, 3 if mpi else 1, [SLOWLY, AT_WORK], ENDLESS, name) as (
            running,
            outcome,
        ):
            running.until(lambda: outcome().events)
            sent = time.monotonic()
            os.kill(process(running, target), number)
            stopped = outcome(running.wait(20))
        seconds = stopped.ended - sent
        rows.append((f"{number.name} to {words(mpi, target)}", seconds))
        # Open MPI's mpirun takes SIGTERM and SIGINT for its own end: it passes them on, waits, and calls that a failure.
        its_own = way.startswith("Open MPI") and target == "mpirun" and number != signal.SIGUSR1
        assert stopped.done.status == (1 if its_own else 75), stopped.explain()
        assert seconds < 10, stopped.explain()
        *_, now = steps(stopped.run)
        assert now > at, stopped.explain()
        assert (
            its_own
            or f"stopped after step {now} by a signal; the same command goes on from there"
            in stopped.done.out
        ), stopped.explain()
        assert at == 0 or f"(step {at})" in stopped.done.out, stopped.explain()
        at = now
    end = {**ENDLESS, "training.epochs": at // STEPS + 1}
    finished = bench.resume(stopped, end, mpi, 2)
    same = finished.is_complete and finished.log == bench.undisturbed(end)
    ROWS.extend(
        Row(fault, "training", 3 if mpi else 1, "stopped", seconds, same, way)
        for fault, seconds in rows
    )
    assert finished.done.status == 0 and same, finished.explain()


@pytest.mark.parametrize("target", ["mpirun", 1])
def test_a_second_sigint_ends_at_once(target, bench, way):
    """In the middle of a step that would take minutes."""
    faults = [kill(0, "computing", 5, "say"), kill("all", "computing", 5, "slow", seconds=300)]
    with bench.running(way, 3, faults, ENDLESS) as (running, outcome):
        running.until(lambda: outcome().events)
        pid, signals = process(running, target), 1
        os.kill(pid, signal.SIGINT)
        time.sleep(1.0)
        if running.is_running():
            signals = 2
            os.kill(pid, signal.SIGINT)
        sent = time.monotonic()
        ended = outcome(running.wait(10))
        # With ULFM mpirun leaves it to the ranks to find out that the job has been ended.
        while running.ranks():
            assert time.monotonic() < sent + 15, "ranks are left"
            time.sleep(0.05)
    ROWS.append(
        Row(
            f"{signals} SIGINT to {words(way, target)}",
            "in a step of minutes",
            3,
            "ended",
            ended.ended - sent,
            None,
            NAMES[way.name],
        )
    )
    # Open MPI's mpirun may take the first one as enough; MPICH's may call the second one a success.
    assert signals == 2 or (way.name != "mpich" and target == "mpirun"), ended.explain()
    assert target == "mpirun" or ended.done.status not in (0, 2, 3, 75), ended.explain()
    assert ended.ended - sent < 5 and not ended.is_complete and not steps(ended.run), (
        ended.explain()
    )


def test_a_time_limit_is_like_a_signal(bench, ulfm):
    changes = {**ENDLESS, "run.time_limit": "1 second"}
    stopped = bench.run(ulfm, 2, [SLOWLY], changes)
    assert stopped.done.status == 75, stopped.explain()
    (at,) = steps(stopped.run)
    end = {**ENDLESS, "training.epochs": at // STEPS + 1}
    finished = bench.resume(stopped, end)
    same = finished.is_complete and finished.log == bench.undisturbed(end)
    ROWS.append(Row("run.time_limit", "training", 2, "stopped", None, same))
    assert finished.done.status == 0 and same, finished.explain()


def test_a_signal_while_mpi_starts(bench, mpich):
    """Before the first step: the flag is there before MPI is, so the run stops after its first step."""
    with bench.running(
        mpich,
        2,
        [kill("all", "start", do="say"), kill("all", "start", do="slow", seconds=1.0)],
        ENDLESS,
    ) as (running, outcome):
        running.until(lambda: len(outcome().events) == 2)
        os.kill(running.process.pid, signal.SIGTERM)
        stopped = outcome(running.wait(20))
    assert stopped.done.status == 75 and steps(stopped.run) == [1], stopped.explain()
    assert distmlp("inspect", stopped.run).status == 0
