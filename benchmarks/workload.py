"""How the benchmarks train: the trainer with a stopwatch, and where its time goes.

Steps are timed from inside `distmlp.training.loop.train`, through its report, which is told after every
step: the loop, the feed and the step are the ones that users run, and nothing is added to them but
one look at the clock.  The first steps, which load the first window and find the grid, are not
counted.
"""

import shutil
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, pairwise
from pathlib import Path

import measuring
import numpy as np
from networks import Case

from distmlp.config.reading import from_tables
from distmlp.config.sections import Config
from distmlp.kernels import choice
from distmlp.training import loop as training
from distmlp.training.reporting import Silent


def config(case: Case, file, directory, **changes) -> Config:
    """Trains the case on a file's /train; changes: section_key=value, such as data_window="64 MB"."""
    tables = {
        "dtype": case.dtype,
        "network": {
            "layers": list(case.layers),
            "activation": case.activation,
            "output": case.output,
            "cost": case.cost,
            "initializer": "he-normal" if case.activation == "relu" else "scaled-normal",
        },
        "data": {
            "train": f"{file}:/train",
            "scale": 1.0 if case.is_regression else 1 / 256,
            "scan": False,
        },
        "training": {"batch_size": case.batch, "epochs": 1},
        "optimizer": {
            "name": "adam" if case.optimizer == "adam" else "sgd",
            "learning_rate": case.rate,
            "momentum": case.momentum,
            "nesterov": case.optimizer == "nesterov",
        },
        "run": {"directory": str(directory), "checkpoint_every": "1000000 epochs"},
    }
    for name, value in changes.items():
        section, _, key = name.partition("_")
        if key:
            tables.setdefault(section, {})[key] = value
        else:
            tables[section] = value
    return from_tables(tables)


class _Stopwatch(Silent):
    """Notes when each step ended; calls `start` when the steps to be ignored are done; says nothing."""

    def __init__(self, warm_up: int, start: Callable[[], None]):
        self.ends, self._warm_up, self._start = [], warm_up, start

    def advance(self) -> None:
        self.ends.append(time.perf_counter())
        if len(self.ends) == self._warm_up:
            self._start()
            self.ends[-1] = time.perf_counter()


@dataclass
class Timed:
    """seconds: of each step.  v: what was reached, and its digest."""

    seconds: list[float]
    v: np.ndarray
    v_sha256: str

    @property
    def per_step(self) -> float:
        return sum(self.seconds) / len(self.seconds)


class Trainer:
    """Trains over a communicator, again and again, each time from the beginning in a new run directory.

    Raises measuring.Failed where the kernels are not compiled and nobody asked for numpy's: that would take hours.
    """

    def __init__(self, comm, directory):
        if choice.compiled is None and choice.WHY_IN_NUMPY != choice.NOT_WANTED:
            raise measuring.Failed(
                f"{choice.WHY_IN_NUMPY}; DISTMLP_COMPILED=0 measures the numpy twins"
            )
        self.comm, self._directory, self._number = comm, Path(directory), count()

    def time(
        self,
        case: Case,
        file,
        *,
        comm=None,
        start: Callable[[], None] = lambda: None,
        until: int | None = None,
        **changes,
    ) -> Timed:
        """Takes case.steps steps after case.warm_up others.  Collective; the times are rank 0's, on every rank.

        The set has as many samples as that takes in one epoch, or `until` says where to end.  comm: another
        communicator than the trainer's.  start: called on rank 0 when the counted steps begin.
        """
        comm = comm or self.comm
        run = self._directory / f"run-{next(self._number)}-of-rank-{self.comm.rank - comm.rank}"
        watch = _Stopwatch(case.warm_up, start)
        result = training.train(
            config(case, file, run, **changes), comm, resume="never", report=watch, until=until
        )
        if comm.rank == 0:
            shutil.rmtree(run)
        ends = comm.broadcast(watch.ends)[case.warm_up - 1 :]
        return Timed([b - a for a, b in pairwise(ends)], result.v, result.v_sha256)


# Where the time goes


class Parts:
    """Seconds in products (their gradients counted), in updates, and in the communicator since `start`."""

    def __init__(self):
        self.start()

    def start(self) -> None:
        self.products = self.update = self.communication = 0.0

    def timed(self, name: str, function: Callable) -> Callable:
        """The function, whose time adds up in the part of that name."""

        def timed(*arguments, **named):
            began = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                setattr(self, name, getattr(self, name) + time.perf_counter() - began)

        return timed


class _TimedCommunicator:
    """A communicator whose every call is timed; waiting for the other ranks is part of it."""

    def __init__(self, comm, parts: Parts):
        self._comm, self._parts = comm, parts

    def __getattr__(self, name):
        found = getattr(self._comm, name)
        if callable(found):
            found = self._parts.timed("communication", found)
            setattr(self, name, found)
        return found


@contextmanager
def instruments(comm):
    """(communicator, parts) in which the time of every product, of updates, and of every call of the communicator adds up."""
    parts = Parts()
    kept = [(choice, name, "products") for name in ("forward", "backward", "gradient")]
    kept += [(choice, name, "update") for name in ("update", "units")]
    originals = [getattr(owner, name) for owner, name, _ in kept]
    for (owner, name, part), original in zip(kept, originals, strict=True):
        setattr(owner, name, parts.timed(part, original))
    try:
        yield _TimedCommunicator(comm, parts), parts
    finally:
        for (owner, name, _), original in zip(kept, originals, strict=True):
            setattr(owner, name, original)
