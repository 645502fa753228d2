"""Checkpoints: when one is due, what it keeps, and writing it while training goes on."""

import socket
import time
from collections.abc import Callable
from pathlib import Path

from distmlp import arithmetic
from distmlp.data import digest
from distmlp.errors import CheckpointFailed
from distmlp.kernels import choice as kernels
from distmlp.runs import checkpoint
from distmlp.runs.checkpoint import Checkpoint
from distmlp.runs.checkpoint_writer import Writer
from distmlp.training.preparation import Prepared
from distmlp.training.state import State

#: Seconds of writing one checkpoint after which the disk is called slow.
SLOW_WRITE = 10.0


class Saver:
    """Writes a run's checkpoints, in a thread of rank 0, and knows the last good one.

    written: the newest checkpoint's path, on rank 0; None where there is none.
    """

    def __init__(self, run: Prepared) -> None:
        self._run = run
        self._every, self._unit = run.config.run.every
        directory = run.directory
        self._writer = Writer(directory.checkpoints, run.config.run.keep, directory.check_ours)
        self._saved_at = time.monotonic()
        self._saved_step: int | None = None
        self._best_step = 0
        self._warned_of_slow_disk = self._warned_of_writing = False
        self.written: Path | None = None

    def close(self) -> None:
        """Waits for the write under way, and ends the thread."""
        self._writer.close()

    def went_back(self, state: State) -> None:
        """The state is now one that needs no checkpoint: it comes from one, and its best epoch's was written before it."""
        self._saved_step, self._best_step = state.step, state.shown.best.step

    def resumed(self, found: Checkpoint, state: State) -> None:
        """The state is now a checkpoint's."""
        self.written = found.path
        self.went_back(state)

    def took_over(self) -> None:
        """This rank has become rank 0, and writes from now on."""
        self.written = next(iter(checkpoint.listed(self._run.directory.checkpoints)), None)

    def last_good(self) -> str:
        """What can be said of the last good checkpoint, on rank 0."""
        if self.written is None:
            return "no checkpoint has been written"
        return f"the last good checkpoint is {self.written}"

    def asks(self) -> bool:
        """Whether rank 0's clock asks for a checkpoint after the coming step."""
        if self._unit != "minute" or self._run.comm.rank != 0:
            return False
        return time.monotonic() - self._saved_at >= 60 * self._every

    def is_due(self, state: State) -> bool:
        """Whether a checkpoint is due in this state, equally on every rank."""
        if state.step == 0 or state.step == self._saved_step:
            return False
        if self._unit == "minute":
            return state.save
        steps = self._run.steps_per_epoch if self._unit == "epoch" else 1
        return state.step % (self._every * steps) == 0

    def is_best(self, state: State) -> bool:
        """Whether this state ends the best epoch so far and has not been kept as that, equally on every rank."""
        return state.step == state.shown.best.step != self._best_step and state.is_settled

    def save(self, state: State, last: bool, complete: str, due: bool = True) -> None:
        """Writes a checkpoint while training goes on, and keeps it beside the newest ones where its epoch is the best.

        complete: why the run is complete, "" where it is not.  due: False where only the best epoch is to be kept.
        Where it fails, rank 0 warns, for there will be others.  The last one is waited for; where that
        fails, every rank raises CheckpointFailed.
        """
        comm, fault = self._run.comm, None
        best = self.is_best(state)
        if due:
            self._saved_step, self._saved_at = state.step, time.monotonic()
        if best:
            self._best_step = state.step
        if comm.rank == 0:
            fault = self._finish(state, best, complete) if last else self._begin(state, best, due)
            if fault and not last and not self._warned_of_writing:
                self._warned_of_writing = True
                self._run.report.warn(
                    f"{fault}; {self.last_good()}; the training goes on, "
                    "and tries again when the next one is due"
                )
        if last:
            fault, self.written = comm.broadcast((fault, self.written))
            if fault:
                raise CheckpointFailed(f"{fault}; {self.last_good()}")
            comm.agree()

    def wait(self) -> None:
        """Waits for the write under way, if any, so that `last_good` is true."""
        fault = self._wait()
        if fault:
            self._run.report.warn(fault)

    def _begin(self, state: State, best: bool, due: bool) -> str | None:
        """Begins to write on rank 0; returns what went wrong, with it or with the one before."""
        if not self._writer.busy:
            fault = self._noted(self._writer.finished)
            return self._start(state, best, due) or fault
        # More checkpoints than the disk can take: the next one due will do as well.  The best one has no next.
        if best:
            return self._start(state, best, due=False)
        if self._writer.seconds > SLOW_WRITE and not self._warned_of_slow_disk:
            self._warned_of_slow_disk = True
            self._run.report.warn(
                f"writing a checkpoint has taken {self._writer.seconds:.0f} s already; "
                "those due in the meantime are left out"
            )
        return None

    def _finish(self, state: State, best: bool, complete: str) -> str | None:
        """Writes the last checkpoint on rank 0 and marks a complete run; returns what went wrong."""
        fault = self._wait()
        if not _is_there(self._run, state, self.written):
            fault = self._start(state, best) or self._wait()
        if fault is None and complete:
            try:
                self._run.directory.finish(
                    step=state.step,
                    v_sha256=checkpoint.v_sha256(state.v),
                    checkpoint=str(self.written),
                    reason=complete,
                )
            except OSError as error:
                return f"the end of the run could not be marked: {error}"
        return fault

    def _start(self, state: State, best: bool, due: bool = True) -> str | None:
        try:
            image = checkpoint.image(
                state.v,
                state.arrays,
                facts_of(self._run, state),
                self._run.transform.arrays(),
            )
            self._writer.start(state.step, image, newest=due, best=best)
        except OSError as error:
            return f"a checkpoint could not be made: {error}"
        return None

    def _wait(self) -> str | None:
        return self._noted(self._writer.finish)

    def _noted(self, finish: Callable[[], Path | None]) -> str | None:
        """Notes what the writer has written; returns what went wrong."""
        try:
            written = finish()
        except OSError as error:
            return f"a checkpoint could not be written: {error}"
        if written:
            self.written, self._warned_of_writing = written, False
        return None


def _is_there(run: Prepared, state: State, path: Path | None) -> bool:
    """Whether a checkpoint is this state's, in the run's directory and whole."""
    place = run.directory.checkpoints / checkpoint.name(state.step)
    return path == place and checkpoint.is_whole(place)


def facts_of(run: Prepared, state: State) -> dict:
    """What a checkpoint keeps beside v and the optimizer's arrays; `resuming.restored` reads it."""
    epoch, step_in_epoch = divmod(state.step, run.steps_per_epoch)
    return {
        "config": run.config.to_json(),
        "layers": list(run.network.layers),
        "dtype": run.config.dtype,
        "parameters": run.network.layout.size,
        "start": run.start and run.start.facts(),
        "step": state.step,
        "epoch": epoch,
        "step_in_epoch": step_in_epoch,
        "samples": run.data.rows,
        "chunk_rows": run.chunk_rows,
        "data": {
            "train": run.witness.known and digest.text(run.witness.known),
            "validation": run.validation_digest and digest.text(run.validation_digest),
            "weights": run.data.weights and run.data.weights.digest,
            "validation_weights": run.validation
            and run.validation.weights
            and run.validation.weights.digest,
        },
        "scalars": state.scalars,
        "grid": None if state.grid is None else list(state.grid.exponents),
        "totals": state.totals.tolist(),
        "last_cost": state.last_cost,
        "last_change": state.last_change,
        "shown": state.shown.facts(),
        "least_change": state.least_change,
        "classes": run.data.classes,
        "columns": run.data.column_names,
        "targets": run.data.target_names,
        "target_columns": run.data.target_columns,
        "v_sha256": checkpoint.v_sha256(state.v),
        "fingerprint": arithmetic.fingerprint(run.counting.many),
        "arithmetic": kernels.describe(),
        "ranks": run.comm.size,
        "mpi": run.comm.mpi,
        "host": socket.gethostname(),
    }
