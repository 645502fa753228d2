"""distmlp launch brings a run to its end, and to the undisturbed bits, through crashes, signals and lost ranks (one host)."""

import os
import signal

import pytest
from broken import NAMES, ROWS, Outcome, Row, kill, python_that_injects, read_events
from example import steps
from launching import launched

CHANGES = {"training.epochs": 6, "run.checkpoint_every": "5 steps"}
SLOWLY = kill("all", "computing", do="slow", seconds=0.01)


class Launch:
    """A run of distmlp launch that may be started several times."""

    def __init__(self, bench, mpi):
        self.name = bench.name()
        self.run = bench.directory / self.name
        self.config = bench.config(self.name, CHANGES)
        plan, self._events = bench.plan([SLOWLY])
        self._python = python_that_injects(bench.directory / f"{self.name}.bin", mpi, plan)

    def start(self, *words):
        return launched(self._python, ["-n", 3, *words, self.config])

    def end(self, running) -> Outcome:
        return Outcome(running.wait(40), self.run, read_events(self._events))


@pytest.fixture(params=["ulfm", "mpich"])
def mpi(request):
    """What distmlp launch makes of each MPI: Open MPI with fault tolerance, and MPICH."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def launch(bench, mpi):
    return Launch(bench, mpi)


def ranks(running) -> list[int]:
    """The processes that train: distmlp launch and its mpirun are none of them."""
    return [pid for pid in running.ranks() if pid != running.process.pid]


def test_a_run_whose_ranks_are_all_killed_is_started_again(launch, mpi, bench):
    with launch.start() as running:
        running.until(lambda: len(steps(launch.run)) > 1 and len(ranks(running)) == 3)
        for pid in ranks(running):
            os.kill(pid, signal.SIGKILL)
        outcome = launch.end(running)
    same = outcome.is_complete and outcome.log == bench.undisturbed(CHANGES)
    ROWS.append(
        Row(
            "kill -9 of all ranks, under distmlp launch",
            "training",
            3,
            "3, started again",
            None,
            same,
            NAMES[mpi.name],
        )
    )
    assert outcome.done.status == 0 and same, outcome.explain()
    assert "complete after 2 starts" in outcome.done.err, outcome.explain()


def test_a_start_that_loses_ranks_before_they_have_met_is_made_again_with_all(bench, ulfm):
    name = bench.name()
    plan, events = bench.plan([kill(2, "up")], once=True)
    python = python_that_injects(bench.directory / f"{name}.bin", ulfm, plan)
    config = bench.config(name)
    with launched(python, ["-n", 3, config]) as running:
        outcome = Outcome(running.wait(40), bench.directory / name, read_events(events))
    same = outcome.is_complete and outcome.log == bench.undisturbed()
    fault = "kill -9 of the last of 3, under distmlp launch"
    ROWS.append(Row(fault, "up", 3, "3, started again", None, same))
    assert outcome.done.status == 0 and same, outcome.explain()
    said = outcome.done.err
    assert "distmlp: lost 1 of the ranks that were started, while MPI came up" in said
    assert "starting again with 3 ranks" in said and "complete after 2 starts" in said


def test_a_signal_stops_it_and_the_same_command_goes_on(launch, mpi, bench):
    """Also where mpirun itself would not stop in good order."""
    for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT):
        before = len(steps(launch.run))
        with launch.start() as running:
            running.until(lambda before=before: len(steps(launch.run)) > before)
            running.process.send_signal(number)
            outcome = launch.end(running)
        assert outcome.done.status == 75 and not outcome.is_complete, outcome.explain()
    with launch.start() as running:
        outcome = launch.end(running)
    same = outcome.is_complete and outcome.log == bench.undisturbed(CHANGES)
    ROWS.append(
        Row(
            "SIGUSR1, SIGTERM, SIGINT to distmlp launch",
            "training",
            3,
            "stopped",
            None,
            same,
            NAMES[mpi.name],
        )
    )
    assert outcome.done.status == 0 and same, outcome.explain()


def test_bad_input_is_not_tried_again(launch, bench):
    launch.config.write_text(launch.config.read_text().replace("set.h5", "missing.h5"))
    with launch.start("--restarts", 3) as running:
        outcome = launch.end(running)
    assert outcome.done.status == 2, outcome.explain()
    assert len([line for line in outcome.done.err.splitlines() if "no such file" in line]) == 1
