"""Runs of distmlp launch on three test hosts, with faults in them, and how they end."""

import re
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import testhosts
from broken import ROWS, Bench, Outcome, Row, kill, python_that_injects, read_events
from example import steps
from launching import Done, Running, launched

#: Seconds of silence after which a host counts as lost, and seconds that mpirun is then given at the end.  With 2, every tenth
#: start lost ranks that came up more slowly than others: six on two cores.
DETECT, PATIENCE = 5.0, 2.0

#: What a run says of ranks that have not come up.
LOST_AT_FIRST = "of the ranks that were started, while MPI came up"

#: So long takes each of the 63 steps, so that a fault comes in the middle of them.
STEP = 0.03


@dataclass
class Job:
    """A run of distmlp launch on host 1."""

    running: Running
    run: Path
    events: Path
    struck: float = 0.0  # when the fault came
    ended: float = 0.0  # when distmlp launch had ended

    def strike(self, fault, *arguments) -> None:
        """fault(*arguments) in the middle of the training."""
        self.running.until(lambda: steps(self.run)[-1:] >= [10])
        self.struck = time.monotonic()
        fault(*arguments)

    def end(self, timeout: float) -> Outcome:
        """How distmlp launch ended; fails the test where that takes longer than so many seconds."""
        done = self.running.wait(timeout)
        self.ended = time.monotonic()
        return Outcome(done, self.run, read_events(self.events))

    def seconds(self, outcome: Outcome) -> float:
        """From the fault to the first step done by those who are left or, where there was a restart, to the end."""
        if "starting again" in outcome.done.err:
            return self.ended - self.struck
        gone_on = [event["time"] for event in outcome.of("goes on") if event["time"] > self.struck]
        assert gone_on, outcome.explain()
        return min(gone_on) - self.struck


@contextmanager
def job(
    bench: Bench,
    mpi,
    hosts,
    ranks_a_host: int = 2,
    faults=(),
    options=(),
    changes={},
    step=STEP,
    **more,
):
    name = bench.name()
    plan, events = bench.plan([kill("all", "computing", do="slow", seconds=step), *faults], **more)
    python = python_that_injects(bench.directory / f"{name}.bin", mpi, plan)
    config = bench.config(name, {"run.checkpoint_every": "5 steps", **changes})
    words = [
        *(
            "-n",
            3 * ranks_a_host,
            "-H",
            ",".join(f"{address}:{ranks_a_host}" for address in hosts.addresses),
        ),
        *(
            "--ssh-agent",
            testhosts.ENTER,
            "--detect",
            DETECT,
            "--patience",
            PATIENCE,
            *options,
            config,
        ),
    ]
    with launched(python, words, prefix=hosts.inside(1), env=hosts.environment) as running:
        yield Job(running, bench.directory / name, events)


def tell(
    fault: str,
    before: str,
    after: str,
    seconds: float,
    outcome: Outcome,
    expected: list[dict],
    **more,
) -> None:
    """The row of the table, and that the run has come to its end and to the undisturbed bits."""
    ROWS.append(
        Row(fault, "training, 3 hosts", before, after, seconds, outcome.log == expected, **more)
    )
    assert outcome.done.status == 0, outcome.explain()
    assert outcome.is_complete and outcome.log == expected, outcome.explain()


def losses(done: Done) -> list[str]:
    """The lines that say that ranks were lost, but in MPI_Init.

    A call may fail once in a while, and is made again by all: that is none.
    """
    said = done.err.replace("lost no rank, though a call failed", "").splitlines()
    return [line for line in said if "lost" in line and LOST_AT_FIRST not in line]


def starts(done: Done) -> int:
    """How many starts of the run distmlp launch says have come to training.

    Open MPI can lose ranks within MPI_Init, before any fault of ours.  Then there is another (docs/reliability.md).
    """
    (line,) = [
        line for line in done.err.splitlines() if line.startswith("distmlp launch: complete after ")
    ]
    return int(line.split()[4]) - len(
        re.findall(r"^distmlp launch:   start .*, to step 0: crashed", done.err, re.MULTILINE)
    )


def ends_everywhere(hosts, outcome: Outcome) -> None:
    """No process is left on any host, and none that was cut off has written the completed run again."""
    mark = outcome.run / "finished.json"
    completed = mark.stat().st_mtime_ns
    left = hosts.left(within=25)
    assert not left, f"{left}\n{outcome.explain()}"
    assert mark.stat().st_mtime_ns == completed
