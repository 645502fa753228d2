"""The training loop: prepare on rank 0, resume, step, evaluate, log, checkpoint.

Everything that decides what happens next is equal on every rank: it comes from the config, from the
state, or from a sum.  So no rank ever waits for one that has gone another way.
"""

import socket
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from distmlp import arithmetic
from distmlp.config.reading import Config, differences, from_json
from distmlp.data.feed import Feed, chunk_rows
from distmlp.errors import CheckpointFailed, Corrupted, Diverged, Divided, InputError, RankFault
from distmlp.mathematics import exact
from distmlp.mathematics.initializers import initialize
from distmlp.mathematics.optimizers import learning_rate
from distmlp.mathematics.shards import deal
from distmlp.parallel.communicator import RanksLost, SingleProcess
from distmlp.parallel.rank0 import on_rank_0
from distmlp.runs import checkpoint
from distmlp.runs.checkpoint import Writer
from distmlp.runs.directory import RunDirectory
from distmlp.training.evaluation import evaluate
from distmlp.training.preparation import (
    cut_of,
    network_of,
    open_sets,
    optimizer_of,
    same_arithmetic,
    scan_all,
)
from distmlp.training.recovery import Watch, furthest, odd_ones_out, within
from distmlp.training.reporting import Silent
from distmlp.training.step import State, Step

#: Wrong bits that a run repairs before it takes the machine for broken and stops.
MOST_REPAIRS = 5


#: Seconds of writing one checkpoint after which the disk is called slow.
SLOW_WRITE = 10.0


@dataclass(frozen=True)
class Result:
    """How a training ended.

    complete: False where it was asked to stop.  v: (k,), equal on every rank.  checkpoint: the last
    one written, or found.  record: the last epoch's line of the log, None where this call ran none.
    """

    complete: bool
    v: np.ndarray
    v_sha256: str
    step: int
    checkpoint: Path | None
    record: dict | None


def train(
    config: Config,
    comm,
    *,
    resume: str = "auto",
    report: Silent | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    until: int | None = None,
) -> Result:
    """Trains as configured, on every rank of comm, and returns the same Result on each.

    resume: "auto" (the run directory's newest good checkpoint, or from the start), "never", or the path
    of a checkpoint.  report: what is said and logged, by the one of them that rank 0 has.  should_stop: asked once a step on every rank;
    where any rank's says True, all stop after that step, with a checkpoint.  until: the step to end with,
    instead of the last of the config's epochs.

    Raises InputError for what cannot be trained, Diverged for a NaN or infinity, each on every rank.
    """
    report = report or Silent()
    with ExitStack() as stack:
        stack.enter_context(arithmetic.one_thread())
        stack.enter_context(
            np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore")
        )
        if comm.rank == 0 and comm.missed:
            report.warn(
                f"lost {comm.missed} of the ranks that were started, while MPI came up; {comm.size} begin"
            )
        while True:
            try:
                run, state = _prepared(config, comm, resume, report, until, stack)
                break
            except RanksLost:
                if not comm.resilient:
                    raise
                with within(config.run.stall_seconds, "going on without lost ranks", comm):
                    lost = comm.survive()
                if comm.rank == 0:
                    report.warn(
                        f"lost {', '.join(lost)} before the training began; {comm.size} begin"
                    )
        return run.to_the_end(state, should_stop)


def _prepared(config, comm, resume, report, until, stack: ExitStack):
    """A _Run and its first state, on every rank; where a rank is lost, RanksLost on every rank, and nothing is left open."""
    with ExitStack() as opened:
        data, validation = open_sets(config, comm, opened)
        if validation is not None and validation.stored_bytes <= config.data.window_bytes // 8:
            validation.hold()
        cut = cut_of(config, data.rows)
        if config.data.scan:
            scan_all(config, comm, [data, validation])
        fingerprint = same_arithmetic(config, comm, cut)
        run = _Run(config, comm, report, data, validation, cut, fingerprint, until, opened)
        state = run.begin(resume)
        comm.agree()
        stack.enter_context(opened.pop_all())
    return run, state


class _Run:
    """One run directory's training, as `train` puts it together."""

    def __init__(self, config, comm, report, data, validation, cut, fingerprint, until, stack):
        self.config, self.comm, self.data, self.validation, self.cut = (
            config,
            comm,
            data,
            validation,
            cut,
        )
        self.fingerprint = fingerprint
        self.network = network_of(config)
        self.optimizer = optimizer_of(config)
        self.save_every, self.save_unit = config.run.every
        self.time_limit = config.run.time_limit_seconds
        self.steps = min(until or sys.maxsize, cut.steps * config.training.epochs)
        self.directory = RunDirectory(config.run.directory)
        self.writer = Writer(self.directory.checkpoints, config.run.keep)
        self.started_at = time.monotonic()
        self.saved_at = time.monotonic()
        self.saved_step = None
        self.written = None  # the newest checkpoint's path (rank 0)
        self.leads = comm.rank == 0  # has the directory and the log
        self.record = None  # the last epoch's, the same on every rank but for its clock
        self.repairs = 0
        self.warned_of_slow_disk = self.warned_of_writing = False
        self._report = report
        for ending in (self.directory.release, self.writer.close, report.close):
            stack.callback(ending)

    @property
    def report(self):
        """What rank 0 says; the others keep theirs silent, in case they become rank 0."""
        return self._report if self.comm.rank == 0 else _SILENT

    # Beginning

    def begin(self, resume: str) -> State:
        """The run directory, and the state to start from, equal on every rank."""
        found = on_rank_0(self.comm, lambda: self._to_resume(resume))
        on_rank_0(self.comm, lambda: self.directory.prepare(self.config, anew=resume == "never"))
        on_rank_0(self.comm, lambda: checkpoint.remove_leftovers(self.directory.checkpoints))
        state = self._new_state() if found is None else self._restored(found)
        if found is not None:
            self.written, self.saved_step = found.path, state.step
            if found.facts["fingerprint"] != self.fingerprint:
                self.report.warn(
                    f"{found.path} was made with other arithmetic (numpy, BLAS or CPU kernels) than this process has; "
                    "from here on the bits of v are not those of the uninterrupted run"
                )
        idle = self.comm.size - self.cut.count
        if idle > 0:
            self.report.warn(
                f"{self.comm.size} ranks, but a batch has {self.cut.count} micro-batches: {idle} {'rank' if idle == 1 else 'ranks'} will idle "
                f"(training.micro_batch_size is {self.cut.micro_batch_size}; {max(1, self.cut.batch_size // self.comm.size)} "
                "would use them all, and give another v)"
            )
        if self.comm.size > 1 and not self.comm.resilient:
            self.report.note(
                f"{self.comm.mpi} was started without fault tolerance: a lost rank ends the job, and the same command "
                "goes on from the last checkpoint (docs/reliability.md)"
            )
        self.report.begin(self.directory.log, state.step, self.steps)
        return state

    def _new_state(self) -> State:
        dtype = self.config.dtype
        v = initialize(
            self.network.layout, self.config.network.initializer, self.config.seed, dtype
        )
        return State(
            v, {name: np.zeros_like(v) for name in self.optimizer.arrays}, self.optimizer.scalars
        )

    def _to_resume(self, resume: str):
        """The checkpoint to go on from, or None (on rank 0)."""
        if resume == "never":
            return None
        if resume == "auto":
            found, passed_over = checkpoint.newest_good(self.directory.checkpoints)
            if found is None and passed_over:
                raise checkpoint.Damaged(
                    f"{self.directory.path}: none of its checkpoints is good: {'; '.join(passed_over)}; --resume never begins anew"
                )
        else:
            found, passed_over = checkpoint.find(resume)
        for words in passed_over:
            self.report.warn(f"{words}; taking the newest good one")
        if found is not None:
            self._check_fits(found)
            self.report.say(f"resuming from {found.path} (step {found.facts['step']})")
        return found

    def _check_fits(self, found) -> None:
        for key, old, new in differences(from_json(found.facts["config"]), self.config):
            raise InputError(
                f"{found.path}: the checkpoint has {key} = {old}, but the config has {new}; a resumed run must have the same"
            )
        for fact, words, here in (
            ("samples", "training samples", self.data.rows),
            (
                "chunk_rows",
                "rows a chunk (data.chunk_rows)",
                chunk_rows(self.data, self.config.data),
            ),
        ):
            if found.facts[fact] != here:
                raise InputError(
                    f"{found.path}: the checkpoint was made with {found.facts[fact]} {words}, but {self.data.spec} has {here}"
                )

    def _restored(self, found) -> State:
        facts = found.facts
        grid = None if facts["grid"] is None else exact.Grid(facts["grid"], self.config.dtype)
        totals = np.array(facts["totals"], np.int64)
        return State(
            found.v,
            found.arrays,
            facts["scalars"],
            grid,
            facts["step"],
            totals,
            facts["last_cost"],
            facts["last_change"],
        )

    # Going on

    def to_the_end(self, state: State, should_stop: Callable[[], bool]) -> Result:
        """Trains until the run is complete or asked to stop, without the ranks that are lost on the way."""
        while True:
            try:
                return self._go_on(state, should_stop)
            except RanksLost:
                if not self.comm.resilient:
                    raise
                state = self._survive(state)

    def _go_on(self, state: State, should_stop) -> Result:
        config, comm, cut = self.config, self.comm, self.cut
        mine = deal(cut.count, comm.size)[comm.rank]
        with ExitStack() as stack:
            feed = Feed(
                self.data,
                cut,
                mine,
                config.data,
                config.seed,
                config.network.layers[-1],
                config.dtype,
            )
            stack.callback(feed.close)
            watch = stack.enter_context(Watch(comm, config.run.stall_seconds))
            samples = sum(cut.sizes[i] for i in mine)
            step = Step(
                self.network,
                self.optimizer,
                config.dtype,
                config.reduction == "exact",
                comm,
                samples,
                cut.count,
            )
            started, started_at = time.perf_counter(), state.step
            while True:
                if state.step % cut.steps == 0 and state.totals.any():
                    watch.beat(f"the evaluation after epoch {state.step // cut.steps}")
                    seconds = time.perf_counter() - started
                    self._end_epoch(state, seconds, state.step - started_at)
                    started, started_at = time.perf_counter(), state.step
                complete = state.step >= self.steps or self._is_settled(state)
                last = complete or state.stop
                saving = last or self._is_due(state)
                if saving or config.run.check_every and state.step % config.run.check_every == 0:
                    watch.beat(f"the comparison after step {state.step}")
                    repaired = self._compare(state)
                    if repaired is not None:
                        state = repaired
                        started, started_at = time.perf_counter(), state.step
                        continue
                if saving:
                    watch.beat(f"the checkpoint of step {state.step}")
                    self._save(state, last, complete)
                if last:
                    return Result(
                        complete,
                        state.v,
                        checkpoint.v_sha256(state.v),
                        state.step,
                        self.written,
                        self.record,
                    )
                self._step(step, feed, state, should_stop, watch)

    def _step(self, step: Step, feed: Feed, state: State, should_stop, watch: Watch) -> None:
        """One step, redone once where an audit finds that a rank has added up something else than it should."""
        epoch, step_in_epoch = divmod(state.step, self.cut.steps)
        every = self.config.run.audit_every
        step.audited = bool(every) and state.step % every == 0 and self.comm.size > 1
        stop = should_stop() or time.monotonic() - self.started_at > self.time_limit
        watch.beat(f"the reading for step {state.step + 1}")
        try:
            batches = feed.step(epoch, step_in_epoch)
        except InputError as error:
            raise RankFault(str(error)) from None
        watch.beat(f"step {state.step + 1}")
        for attempt in (1, 2):
            try:
                grid = step.gradient(state, batches, stop, self._wants_saving())
            except exact.NotFinite as error:
                raise Diverged(self._divergence(state, error)) from None
            if not step.audited:
                break
            fault = self._audit(step, state, grid)
            if fault is None:
                break
            if attempt == 2:
                raise Corrupted(
                    f"{fault}, twice: replace or leave out the faulty machine; {self._kept()}"
                )
            self.report.warn(f"{fault}; the step is done again")
        step.update(state, grid, self._alpha(epoch))
        self.report.advance()

    def _alpha(self, epoch: int) -> float:
        o = self.config.optimizer
        return learning_rate(
            o.learning_rate, o.schedule, o.decay, epoch, self.config.training.epochs
        )

    def _kept(self) -> str:
        return (
            f"the last good checkpoint is {self.written}"
            if self.written
            else "no checkpoint has been written"
        )

    def _divergence(self, state: State, error) -> str:
        self._settle_writing()
        return (
            f"the training diverged at step {state.step + 1}, in epoch {state.step // self.cut.steps + 1}: {error}; "
            f"{self._kept()}; a smaller optimizer.learning_rate than {self.config.optimizer.learning_rate} may help"
        )

    def _end_epoch(self, state: State, seconds: float, steps: int) -> None:
        """Settles an epoch: its metrics into `record` and the log, and the state to the next one's beginning."""
        epoch = state.step // self.cut.steps
        metrics = None
        if self.validation is not None:
            metrics = evaluate(
                self.network, state.v, self.validation, self.config.data.scale, self.comm
            )
        samples, hits = state.totals[:2].tolist()
        training_accuracy = hits / samples if self.data.classes else None
        self.record = {
            "epoch": epoch,
            "step": state.step,
            "cost": exact.mean_cost(state.totals),
            "validation_cost": metrics.cost if metrics else None,
            "accuracy": metrics.accuracy if metrics else training_accuracy,
            "accuracy_of": "validation" if metrics else "training",
            "training_accuracy": training_accuracy,
            "learning_rate": self._alpha(epoch - 1),
            "samples_per_second": samples * steps / self.cut.steps / seconds,
            "ranks": self.comm.size,
            "seconds": seconds,
            "v_sha256": checkpoint.v_sha256(state.v),
        }
        state.begin_epoch(self.record["cost"])
        self.report.epoch(self.record, self.config.training.epochs)

    def _is_settled(self, state: State) -> bool:
        """The notes' stop rule, at the end of an epoch (section 3.2)."""
        if state.step % self.cut.steps or state.last_change is None:
            return False
        return (
            state.last_change < self.config.training.epsilon
        )  # notes: |f(x_n) - f(x_(n-1))| < epsilon

    # Checkpoints

    def _wants_saving(self) -> bool:
        """Whether rank 0's clock asks for a checkpoint after the coming step."""
        if self.save_unit != "minute" or self.comm.rank != 0:
            return False
        return time.monotonic() - self.saved_at >= 60 * self.save_every

    def _is_due(self, state: State) -> bool:
        """Whether a checkpoint is due in this state, equally on every rank."""
        if state.step == 0 or state.step == self.saved_step:
            return False
        if self.save_unit == "minute":
            return state.save
        return (
            state.step % (self.save_every * (self.cut.steps if self.save_unit == "epoch" else 1))
            == 0
        )

    def _save(self, state: State, last: bool, complete: bool) -> None:
        """A checkpoint, written by a thread of rank 0 while training goes on.

        One that fails is a warning, for there will be others; the last one is waited for, and its failure
        is an error on every rank.
        """
        self.saved_step, self.saved_at = state.step, time.monotonic()
        fault = None
        if self.comm.rank == 0:
            fault = self._write(state, last, complete)
            if fault and not last and not self.warned_of_writing:
                self.warned_of_writing = True
                self.report.warn(
                    f"{fault}; {self._kept()}; the training goes on, and tries again when the next one is due"
                )
        if last:
            fault, self.written = self.comm.broadcast((fault, self.written))
            if fault:
                raise CheckpointFailed(f"{fault}; {self._kept()}")
            self.comm.agree()

    def _write(self, state: State, last: bool, complete: bool) -> str | None:
        """Starts the write (and ends it, if last) on rank 0; returns what went wrong, with it or with the one before."""
        if self.writer.busy and not last:
            # More checkpoints than the disk can take: the next one due will do as well.
            if self.writer.seconds > SLOW_WRITE and not self.warned_of_slow_disk:
                self.warned_of_slow_disk = True
                self.report.warn(
                    f"writing a checkpoint has taken {self.writer.seconds:.0f} s already; those due in the meantime are left out"
                )
            return None
        fault = self._finish_writing()
        try:
            self.writer.start(
                state.step, checkpoint.image(state.v, state.arrays, self._facts(state))
            )
        except OSError as error:
            return f"a checkpoint could not be made: {error}"
        if last:
            fault = self._finish_writing()
            if fault is None and complete:
                try:
                    self.directory.finish(
                        step=state.step,
                        v_sha256=checkpoint.v_sha256(state.v),
                        checkpoint=str(self.written),
                    )
                except OSError as error:
                    fault = f"the end of the run could not be marked: {error}"
        return fault

    def _finish_writing(self) -> str | None:
        try:
            written = self.writer.finish()
        except OSError as error:
            return f"a checkpoint could not be written: {error}"
        if written:
            self.written, self.warned_of_writing = written, False
        return None

    def _facts(self, state: State) -> dict:
        """What a checkpoint keeps beside v and the optimizer's arrays."""
        epoch, step_in_epoch = divmod(state.step, self.cut.steps)
        return {
            "config": self.config.to_json(),
            "layers": list(self.network.layers),
            "dtype": self.config.dtype,
            "parameters": self.network.layout.size,
            "step": state.step,
            "epoch": epoch,
            "step_in_epoch": step_in_epoch,
            "samples": self.data.rows,
            "chunk_rows": chunk_rows(self.data, self.config.data),
            "scalars": state.scalars,
            "grid": None if state.grid is None else list(state.grid.exponents),
            "totals": state.totals.tolist(),
            "last_cost": state.last_cost,
            "last_change": state.last_change,
            "classes": self.data.classes,
            "v_sha256": checkpoint.v_sha256(state.v),
            "fingerprint": self.fingerprint,
            "arithmetic": arithmetic.describe(),
            "ranks": self.comm.size,
            "mpi": self.comm.mpi,
            "host": socket.gethostname(),
        }

    # When something breaks

    def _survive(self, state: State) -> State:
        """Shrinks to the survivors and returns the furthest one's state, on all of them."""
        began, unsaid = time.monotonic(), []
        with within(self.config.run.stall_seconds, "going on without lost ranks", self.comm):
            while True:
                try:
                    unsaid += self.comm.survive()
                    state, record = furthest(state, self.record, self.comm)
                    # Where rank 0 dies in this, the others know that it may not have said whom it lost.
                    on_rank_0(self.comm, lambda: self._lead(state, record, unsaid, began))
                    self.record, unsaid = record, []
                    return state
                except InputError as error:
                    raise Divided(
                        f"this part of the job ends, for it cannot have the run directory: {error}"
                    ) from None
                except RanksLost:
                    continue

    def _lead(self, state: State, record: dict | None, lost: list[str], began: float) -> None:
        """What rank 0 does first after a recovery, so that the log has every epoch that is settled."""
        if not self.leads:
            self._take_over(state, record)
            self.leads = True
        elif record is not None and (self.record is None or self.record["step"] < record["step"]):
            # Another rank had settled an epoch whose metrics had not reached this one.
            self.report.epoch(record, self.config.training.epochs)
        self.report.warn(
            f"lost {', '.join(lost)}; {self.comm.size} go on from step {state.step} after {time.monotonic() - began:.2f} s"
        )

    def _take_over(self, state: State, record: dict | None) -> None:
        """What a new rank 0 does: takes the directory's lock, and goes on with its log.

        Raises InputError where the old rank 0 lives, or has come to the end without this part: it is the
        network that broke, and both sides think that the other has died.  The lock tells which one goes on.
        """
        self.directory.lock(patience=5.0)
        finished = self.directory.finished_step()
        if finished is not None and finished > state.step:
            raise InputError(
                f"run.directory {self.directory.path}: another part of the job has completed the run"
            )
        checkpoint.remove_leftovers(self.directory.checkpoints)
        self.written = next(iter(checkpoint.listed(self.directory.checkpoints)), None)
        settled = not state.totals.any()
        self.report.begin(
            self.directory.log, state.step if settled else state.step - 1, self.steps, record
        )

    def _compare(self, state: State) -> State | None:
        """None where all ranks' states are equal; else, if the config says so, the last good state, to go on from.

        A wrong bit in one rank's state has been in its gradients since it flipped, and so in everyone's
        v; what is right is what was saved before, since states are compared before they are saved.
        """
        odd = odd_ones_out(state, self.comm)
        if odd == []:
            return None
        self._settle_writing()
        hosts = self.comm.hosts
        if odd is None:
            raise Corrupted(
                f"the ranks' states differ at step {state.step}, and with {self.comm.size} ranks on {', '.join(sorted(set(hosts)))} "
                f"no majority tells which is wrong; {self._kept()}"
            )
        words = ", ".join(
            f"rank {rank} on {hosts[rank]} (process {self.comm.pids[rank]})" for rank in odd
        )
        self.repairs += 1
        if self.config.run.on_corruption == "stop" or self.repairs > MOST_REPAIRS:
            raise Corrupted(
                f"{words} has another state than the others at step {state.step}: a bit has flipped there; {self._kept()}"
            )
        found = on_rank_0(self.comm, self._last_good)
        restored = self._new_state() if found is None else self._restored(found)
        self.saved_step = restored.step
        self.report.warn(
            f"{words} has another state than the others at step {state.step}: a bit has flipped there; "
            f"all go back to step {restored.step}"
        )
        self.report.begin(self.directory.log, restored.step, self.steps)
        return restored

    def _settle_writing(self) -> None:
        """Waits for the checkpoint under way, so that what is said of the last one is so (rank 0; others have none)."""
        fault = self._finish_writing()
        if fault:
            self.report.warn(fault)

    def _last_good(self):
        return checkpoint.newest_good(self.directory.checkpoints)[0]

    def _audit(self, step: Step, state: State, grid) -> str | None:
        """Another rank computes one rank's part of this step's sum; what is wrong where they differ."""
        comm, cut = self.comm, self.cut
        busy = min(comm.size, cut.count)
        victim = state.step // self.config.run.audit_every % busy
        auditor = (victim + 1) % comm.size
        found = step.contribution
        if comm.rank == auditor:
            found = self._contribution_of(victim, step, state, grid)
        found = comm.all_gather((step.contribution, found))
        if found[victim][0] == found[auditor][1]:
            return None
        return (
            f"rank {victim} on {comm.hosts[victim]} added up another gradient at step {state.step + 1} than "
            f"rank {auditor} on {comm.hosts[auditor]} gets for the same micro-batches"
        )

    def _contribution_of(self, victim: int, step: Step, state: State, grid) -> int:
        """The checksum of what a rank must add up in this step, computed here."""
        config, cut = self.config, self.cut
        shards = deal(cut.count, self.comm.size)[victim]
        samples = sum(cut.sizes[i] for i in shards)
        feed = Feed(
            self.data,
            cut,
            shards,
            config.data,
            config.seed,
            config.network.layers[-1],
            config.dtype,
        )
        try:
            auditing = Step(
                self.network,
                self.optimizer,
                config.dtype,
                step.exactly,
                SingleProcess(),
                samples,
                cut.count,
            )
            auditing.audited = True
            auditing.gradient(replace(state, grid=grid), feed.step(*divmod(state.step, cut.steps)))
            return auditing.contribution
        finally:
            feed.close()


_SILENT = Silent()
