"""Runs with faults in them, and what became of them; the table of all of them is printed at the end."""

import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from example import log, write_config
from launching import ROOT, Done, Mpi, started

HERE = Path(__file__).resolve().parent
INJECT = HERE / "inject.py"

#: 21 steps an epoch, 63 in all; Adam, so that there is an optimizer's state that could be lost.
CHANGES = {"optimizer.name": "adam", "optimizer.learning_rate": 0.01, "training.epochs": 3, "run.keep": 100}


@dataclass(frozen=True)
class Resilient(Mpi):
    """Open MPI with fault tolerance."""

    def command(self, ranks, words):
        mpirun, *rest = super().command(ranks, words)
        return [mpirun, "--with-ft", "ulfm", "--mca", "pml", "ob1", *rest]


def resilient(openmpi: Mpi) -> Resilient:
    return Resilient(openmpi.name, openmpi.bin)


@dataclass
class Row:
    """A line of the table.  seconds: to recover, from the fault to the next step that is done, or to the job's end."""

    fault: str
    moment: str
    before: object
    after: object
    seconds: float | None
    same: bool | None


ROWS: list[Row] = []


@dataclass
class Outcome:
    """How a run with faults ended."""

    done: Done
    run: Path
    events: list[dict] = field(default_factory=list)

    @property
    def v_sha256(self) -> str | None:
        """Of the run's end; None where it has not come to it."""
        finished = self.run / "finished.json"
        return json.loads(finished.read_text())["v_sha256"] if finished.exists() else None

    def of(self, what: str) -> list[dict]:
        return [event for event in self.events if event["what"] == what]

    def recoveries(self) -> list[dict]:
        """Each recovery that was gone on from: its faults' time, and how many ranks went on after how many seconds."""
        faults = [event for event in self.events if "moment" in event]
        found = []
        for event in self.of("goes on"):
            before = [fault for fault in faults if fault["time"] <= event["time"]]
            if before and all(abs(other["goes on"] - event["time"]) > 1 for other in found if other["fault"] == before[-1]):
                found.append({"fault": before[-1], "goes on": event["time"]})
        return found

    def explain(self) -> str:
        return f"{self.done.status}\n{self.done.out}\n{self.done.err}\n{self.events}"


class Bench:
    """A directory with a set, in which runs are broken."""

    def __init__(self, directory: Path):
        self.directory = directory
        self._number = 0

    def config(self, name: str, changes: dict = {}) -> Path:
        return write_config(self.directory / f"{name}.toml", {**CHANGES, "run.directory": name, **changes})

    def run(self, mpi, ranks, faults, changes={}, timeout=30, name=None, words=(), **plan) -> Outcome:
        """A run to its end, with these faults in it."""
        with self.running(mpi, ranks, faults, changes, name, words, **plan) as (running, outcome):
            return outcome(running.wait(timeout))

    def running(self, mpi, ranks, faults, changes={}, name=None, words=(), env=None, **plan):
        """A context: the started run, and the function that makes its `Done` an Outcome."""
        return _Started(self, mpi, ranks, faults, changes, name, words, env, plan)

    def name(self) -> str:
        self._number += 1
        return f"run-{self._number}"


class _Started:
    def __init__(self, bench, mpi, ranks, faults, changes, name, words, env, plan):
        name = name or bench.name()
        number = bench.name()
        self._run = bench.directory / name
        self._events = bench.directory / f"{number}.events"
        plan = {"faults": faults, "events": str(self._events), **plan}
        path = bench.directory / f"{number}.json"
        path.write_text(json.dumps(plan))
        command = [INJECT, path, "train", bench.config(name, changes), *words]
        self._context = started(mpi, ranks, command, env)

    def outcome(self, done: Done) -> Outcome:
        lines = self._events.read_text().splitlines() if self._events.exists() else []
        return Outcome(done, self._run, sorted(map(json.loads, lines), key=lambda event: event["time"]))

    def __enter__(self):
        return self._context.__enter__(), self.outcome

    def __exit__(self, *why):
        return self._context.__exit__(*why)
