"""Runs with faults in them, and what became of them; the table of all of them is printed at the end."""

import json
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from example import lawful, write_config, write_set
from launching import Done, Mpi, run_ranks, started

from distmlp.parallel.openmpi import fault_tolerance

HERE = Path(__file__).resolve().parent
INJECT = HERE / "inject.py"

#: 21 steps an epoch, 63 in all; Adam, so that there is an optimizer's state that could be lost.
CHANGES = {
    "optimizer.name": "adam",
    "optimizer.learning_rate": 0.01,
    "training.epochs": 3,
    "run.keep": 100,
    "run.stall_timeout": "20 seconds",
}


#: Each MPI, as tables call it.
NAMES = {"ulfm": "Open MPI, ULFM", "openmpi": "Open MPI", "mpich": "MPICH"}


@dataclass(frozen=True)
class Resilient(Mpi):
    """Open MPI with fault tolerance, as distmlp launch starts it on one host."""

    def command(self, ranks, words):
        mpirun, *rest = Mpi("openmpi", self.bin).command(ranks, words)
        return [mpirun, *fault_tolerance(hosts=1, detect=10), *rest]


@dataclass
class Row:
    """A line of the table.  seconds: from the fault to the next step that is done, or to the job's end."""

    fault: str
    moment: str
    before: object
    after: object
    seconds: float | None
    same: bool | None  # None: the run was not to come to its end, or has no undisturbed one
    mpi: str = "Open MPI, ULFM"


ROWS: list[Row] = []


@dataclass
class Outcome:
    """How a run with faults ended.  events: what inject.py noted, in time's order.  ended: by the same clock."""

    done: Done | None
    run: Path
    events: list[dict] = field(default_factory=list)
    ended: float = field(default_factory=time.monotonic)

    @property
    def is_complete(self) -> bool:
        return (self.run / "finished.json").exists()

    @property
    def log(self) -> list[dict]:
        """The log without what a run's ranks and speed may change; it has v's digest of every epoch."""
        return lawful(self.run) if (self.run / "log.jsonl").exists() else []

    def of(self, what: str) -> list[dict]:
        return [event for event in self.events if event["what"] == what]

    @property
    def seconds_to_end(self) -> float:
        """From the first fault to the end of the job."""
        return self.ended - next(event["time"] for event in self.events if "moment" in event)

    def recoveries(self, ranks: int) -> list[tuple[list[dict], float, int]]:
        """Each recovery's (faults, seconds from the last of them to the first step after, ranks that went on).

        ranks: with which the run began.  Whoever is killed as a recovery ends, and was counted in it, is a fault of the next.
        """
        faults = [event for event in self.events if "moment" in event]
        ends, found = {}, []
        for event in self.of("goes on"):
            ends.setdefault(event["ranks"], event["time"])
        for left, end in sorted(ends.items(), key=lambda item: item[1]):
            causes = [fault for fault in faults if fault["time"] < end]
            while sum(fault["what"] == "kill" for fault in causes) > ranks - left:
                causes.pop()
            if causes:
                found.append((causes, end - causes[-1]["time"], left))
                faults, ranks = faults[len(causes) :], left
        return found

    def explain(self) -> str:
        return f"exit status {self.done.status}\n{self.done.out}\n{self.done.err}\n{self.events}"


class Bench:
    """A directory with a set, in which runs are broken."""

    def __init__(self, directory: Path):
        self.directory = directory
        self._number = 0
        self._undisturbed = {}
        write_set(directory / "set.h5")

    def name(self) -> str:
        self._number += 1
        return f"run-{self._number}"

    def config(self, name: str, changes: dict = {}) -> Path:
        return write_config(
            self.directory / f"{name}.toml", {**CHANGES, "run.directory": name, **changes}
        )

    def undisturbed(self, changes: dict = {}) -> list[dict]:
        """The log of one process that nobody disturbs; what of the changes is no run.* decides it."""
        decisive = {key: value for key, value in changes.items() if not key.startswith("run.")}
        key = json.dumps(decisive, sort_keys=True)
        if key not in self._undisturbed:
            outcome = self.run(None, 1, [], decisive)
            assert outcome.done.status == 0, outcome.explain()
            self._undisturbed[key] = outcome.log
        return self._undisturbed[key]

    def plan(self, faults: list[dict], **more) -> tuple[Path, Path]:
        """A plan's file and the file of its events."""
        name = self.name()
        path, events = self.directory / f"{name}.plan", self.directory / f"{name}.events"
        path.write_text(json.dumps({"faults": faults, "events": str(events), **more}))
        return path, events

    @contextmanager
    def running(self, mpi, ranks, faults, changes={}, name=None, words=(), env=None, **plan):
        """(the started run, a function that makes its `Done`, or None as long as it runs, an Outcome)."""
        name = name or self.name()
        path, events = self.plan(faults, **plan)
        with started(
            mpi, ranks, [INJECT, path, "train", self.config(name, changes), *words], env
        ) as running:
            yield (
                running,
                lambda done=None: Outcome(done, self.directory / name, read_events(events)),
            )

    def run(self, mpi, ranks, faults, changes={}, timeout=40, **more) -> Outcome:
        """A run to its end, with these faults in it."""
        with self.running(mpi, ranks, faults, changes, **more) as (running, outcome):
            return outcome(running.wait(timeout))

    def resume(self, outcome: Outcome, changes={}, mpi=None, ranks=1) -> Outcome:
        """The same command again, without faults."""
        words = ["-m", "distmlp", "train", self.config(outcome.run.name, changes)]
        return Outcome(run_ranks(mpi, ranks, words, 40), outcome.run)


def who(victim: int, ranks: list[int]) -> str:
    """Which one of the living ranks a victim is: its rank since the last recovery decides what it does."""
    return {0: "the first", len(ranks) - 1: "the last"}.get(ranks.index(victim), "a middle one")


def tell_deaths(outcome: Outcome, ranks: int, same: bool, slowest: float, where: str = "") -> int:
    """Puts each recovery of a run that began with so many ranks into the table; returns how many are left.

    Fails the test where one took longer than `slowest` seconds, or others than those who died did not go on.
    """
    living = list(range(ranks))
    for causes, seconds, after in outcome.recoveries(ranks):
        before, victims, moments = len(living), [], []
        for cause in causes:
            moments.append(cause["moment"])
            if cause["what"] == "kill":
                victims.append(f"{who(cause['rank'], living)} of {len(living)}")
                living.remove(cause["rank"])
        moment = "; ".join(dict.fromkeys(moments)) + where
        dead = f"kill -9 of {', then '.join(victims)}"
        fault = dead if victims else "a loss that one rank alone is told of"
        ROWS.append(Row(fault, moment, before, after, seconds, same))
        assert seconds < slowest, outcome.explain()
        assert after == len(living), outcome.explain()
    return len(living)


def read_events(path: Path) -> list[dict]:
    lines = path.read_text().splitlines() if path.exists() else []
    return sorted(map(json.loads, lines), key=lambda event: event["time"])


def python_that_injects(directory: Path, mpi: Mpi, plan: Path) -> Path:
    """A python, with an mpirun beside it, for which `python -m distmlp WORDS` has the plan's faults in it."""
    directory.mkdir()
    python = directory / "python"
    python.write_text(
        f'#!/bin/sh\nwhile [ "$1" != distmlp ]; do shift; done\nshift\nexec {mpi.python} {INJECT} {plan} "$@"\n'
    )
    python.chmod(0o755)
    (directory / "mpirun").write_text(f'#!/bin/sh\nexec {mpi.bin / "mpirun"} "$@"\n')
    (directory / "mpirun").chmod(0o755)
    return python


def kill(rank, moment, step=None, do="kill", **more) -> dict:
    """A fault; see inject.py."""
    return {
        "rank": rank,
        "moment": moment,
        "do": do,
        **({} if step is None else {"step": step}),
        **more,
    }


def exists(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")
