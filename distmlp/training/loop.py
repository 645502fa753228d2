"""The training loop: steps, epochs, and what is due between them.

Whatever decides what happens next is equal on every rank: it comes from the config, the state or a
sum.  So no rank ever waits for a rank that has gone a different way.
"""

import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from distmlp.config.sections import Config
from distmlp.data.feed import MicroBatches
from distmlp.errors import Diverged, InputError, RankFault
from distmlp.mathematics import exact
from distmlp.parallel.communicator import Communicator, RanksLost
from distmlp.parallel.rank0 import on_rank_0
from distmlp.runs import checkpoint, events
from distmlp.training.auditing import Auditor
from distmlp.training.best_epoch import Progress
from distmlp.training.convergence_warnings import Doubts, first_doubts
from distmlp.training.evaluation import epoch_record
from distmlp.training.failing import failures_noted
from distmlp.training.preparation import Prepared, prepare
from distmlp.training.recovery import survive
from distmlp.training.reporting import Silent, words_apart
from distmlp.training.resuming import first_state
from distmlp.training.saving import Saver
from distmlp.training.state import State
from distmlp.training.step import ASKED, TIME_IS_UP
from distmlp.training.watch import watch_over, within


@dataclass(frozen=True)
class Result:
    """How a training ended.

    complete: False where it was asked to stop.  reason: why it ended: "epochs", "patience", "stop rule", "until", or lbfgs's
    "converged" or "line search" where it is complete, else "signal" or "time limit".  v: (k,), equal on every rank.  checkpoint: the last
    one written, or found.  record: the last epoch's line of the log, also of an epoch that an earlier call
    ended; None where none has ended, or the log has lost it.  shown: what the epochs have shown, such as which was the best.
    """

    complete: bool
    v: np.ndarray
    v_sha256: str
    step: int
    checkpoint: Path | None
    record: dict | None
    reason: str
    shown: Progress


def train(
    config: Config,
    comm: Communicator,
    *,
    resume: str = "auto",
    report: Silent | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    until: int | None = None,
) -> Result:
    """Trains as configured, on every rank of comm, and returns the same Result on each.

    resume: "auto" (the run directory's newest good checkpoint, or from the start), "never", or a
    checkpoint's path.  report: only rank 0's is told anything.  should_stop: asked once a step on
    every rank; where one says True, all stop after that step, with a checkpoint.  until: the step to
    end with, instead of the last of the config's epochs.

    Raises InputError for what cannot be trained and Diverged for a NaN or infinity, each on every
    rank; CheckpointFailed, Corrupted, Divided, and RankFault on one rank, as distmlp.errors says.
    """
    report = report or Silent()
    with ExitStack() as stack:
        stack.enter_context(
            np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore")
        )
        stack.enter_context(failures_noted(config.run.directory, comm))
        if comm.rank == 0 and comm.missed:
            _tell_of_lost(
                f"{comm.missed} of the ranks that were started, while MPI came up", comm, report
            )
        while True:
            try:
                loop = _begin(config, comm, resume, report, should_stop, until, stack)
                break
            except RanksLost:
                if not comm.resilient:
                    raise
                with within(config.run, "going on without lost ranks", comm):
                    lost = comm.survive()
                if comm.rank == 0:
                    _tell_of_lost(f"{', '.join(lost)} before the training began", comm, report)
        return loop.to_the_end()


def _tell_of_lost(who: str, comm: Communicator, report: Silent) -> None:
    report.warn(f"lost {who}; {comm.size} begin")
    report.event(events.lost([who], comm.size, None))


def _begin(
    config: Config,
    comm: Communicator,
    resume: str,
    report: Silent,
    should_stop: Callable[[], bool],
    until: int | None,
    stack: ExitStack,
) -> "Loop":
    """A loop about to begin, on every rank.

    Raises RanksLost on every rank where one is lost; then nothing is left open.
    """
    with ExitStack() as opened, watch_over(config, comm, "the preparation"):
        run = prepare(config, comm, report, until, opened, resume)
        saver = Saver(run)
        for ending in (run.directory.release, saver.close, run.report.close):
            opened.callback(ending)
        state = first_state(run, saver, resume)
        if not reason_to_end(run, state):
            on_rank_0(comm, run.directory.begin)
        doubts, words = first_doubts(run, state)
        for said in words:
            run.report.doubt(said, state.step)
        comm.agree()
        stack.enter_context(opened.pop_all())
    return Loop(run, saver, state, should_stop, doubts)


class Loop:
    """Takes the steps of a training that is prepared, from a state to the end."""

    def __init__(
        self,
        run: Prepared,
        saver: Saver,
        state: State,
        should_stop: Callable[[], bool],
        doubts: Doubts,
    ) -> None:
        self._run, self._saver, self._state, self._doubts = run, saver, state, doubts
        self._should_stop = should_stop
        self._auditor = Auditor(run, saver)

    def to_the_end(self) -> Result:
        """Trains until the run is complete or asked to stop; lost ranks are left behind."""
        while True:
            try:
                with ExitStack() as stack:
                    self._share_out(stack)
                    return self._go_on()
            except RanksLost:
                if not self._run.comm.resilient:
                    raise
                survive(self._run, self._saver, self._state)

    def _share_out(self, stack: ExitStack) -> None:
        """Makes what depends on the ranks that there are now: this rank's feed, step and watch."""
        run = self._run
        mine = run.shards_of(run.comm.rank)
        # closed after the feed: it watches that too
        self._watch = stack.enter_context(watch_over(run.config, run.comm, "the first reading"))
        self._feed = run.feed(mine)
        stack.callback(self._feed.close)
        run.witness.began(self._feed, run.comm)
        self._step = run.step(run.comm)
        if run.comm.apart:
            run.report.warn(words_apart(run.comm.apart))

    def _go_on(self) -> Result:
        """Trains epoch by epoch, the first from wherever the state is."""
        while True:
            result = self._train_an_epoch()
            if result is not None:
                return result

    def _train_an_epoch(self) -> Result | None:
        """Takes steps until the epoch ends, and settles it; returns a Result where the run ends.

        Returns early where a wrong bit was found and all ranks have gone back.
        """
        run, state = self._run, self._state
        began, first_step = time.perf_counter(), state.step
        steps_per_epoch = run.steps_per_epoch
        while state.step % steps_per_epoch or state.is_settled:
            complete = reason_to_end(run, state)
            last = bool(complete or state.stop)
            saving = last or self._saver.is_due(state)
            keeping = saving or self._saver.is_best(state)
            if keeping and not np.isfinite(state.v).all():
                raise Diverged(self._divergence("v has entries that are not finite"))
            if keeping or self._auditor.compares(state):
                self._watch.beat(f"the comparison after step {state.step}")
                if self._auditor.repair(state):
                    return None
            if keeping:
                self._watch.beat(f"the checkpoint of step {state.step}")
                self._saver.save(state, last, complete, due=saving)
            if last:
                ended = events.complete if complete else events.stopped
                run.report.event(ended(state.step, complete or state.stop))
                words = self._doubts.end(state.record) if complete else None
                if words:
                    run.report.warn(words)
                return self._result(complete)
            self._take_step()
        self._end_epoch(state.step - first_step, time.perf_counter() - began)
        return None

    def _take_step(self) -> None:
        """The notes' four steps (section 3.4) with the next batch."""
        state, step = self._state, self._step
        alpha = self._run.schedule.rate(state.step, state.shown.reductions)
        stop = ASKED if self._should_stop() else 0
        if self._run.comm.rank == 0 and time.monotonic() > self._run.stops_at:
            stop += TIME_IS_UP
        batches = self._next_batch()
        self._watch.beat(f"step {state.step + 1}")
        try:
            # 1. forward pass, 2. backward pass, 3. gradient calculation
            grid = self._auditor.gradient(step, state, batches, stop, self._saver.asks())
        except exact.NotFinite as error:
            raise Diverged(self._divergence(str(error), 1)) from None
        except InputError as error:  # a large batch is read while it is computed
            raise RankFault(str(error)) from None
        step.update(state, grid, alpha)  # 4. parameter update
        self._run.report.advance()

    def _next_batch(self) -> Iterable[MicroBatches]:
        """This rank's micro-batches of the next step; a RankFault where it cannot read them."""
        self._watch.beat(f"the reading for step {self._state.step + 1}")
        place = divmod(self._state.step, self._run.steps_per_epoch)
        try:
            return self._feed.step(*place)
        except InputError as error:
            raise RankFault(str(error)) from None

    def _end_epoch(self, steps: int, seconds: float) -> None:
        """Settles the epoch that has ended: its record in the state and in the log.

        steps, seconds: how many of its steps were taken together, and how long they took.
        """
        run, state = self._run, self._state
        epoch = state.step // run.steps_per_epoch
        self._watch.beat(f"the evaluation after epoch {epoch}")
        run.witness.epoch_ended(self._feed, epoch - 1, run.comm)
        record = epoch_record(run, state, steps, seconds)
        state.end_epoch(record, run.config.training.least_improvement, run.plateau_patience)
        run.report.epoch(record, run.config.training.epochs)
        for words in self._doubts.epoch(record):
            run.report.doubt(words, state.step)

    def _result(self, complete: str) -> Result:
        state, written = self._state, self._saver.written
        digest, reason = checkpoint.v_sha256(state.v), complete or state.stop
        return Result(
            bool(complete), state.v, digest, state.step, written, state.record, reason, state.shown
        )

    def _divergence(self, words: str, ahead: int = 0) -> str:
        """What has diverged, in the state's step or one ahead."""
        run, step = self._run, self._state.step + ahead
        self._saver.wait()
        rate = run.config.optimizer.learning_rate
        helps = f"a smaller optimizer.learning_rate than {rate} may help"
        return (
            f"the training diverged at step {step}, in epoch "
            f"{(step - 1) // run.steps_per_epoch + 1}: {words}; {self._saver.last_good()}; "
            f"{self._doubts.told.get('inputs', helps)}"
        )


def reason_to_end(run: Prepared, state: State) -> str:
    """Why the run is complete in this state; "" where it is not.  Equal on every rank."""
    training = run.config.training
    minimized = run.optimizer.reason_to_end(state.scalars)
    if minimized:
        return minimized
    if meets_stop_rule(state, run.steps_per_epoch, training.epsilon):
        return "stop rule"
    if training.patience and state.is_settled and state.shown.patience.waited >= training.patience:
        return "patience"
    if state.step < run.last_step:
        return ""
    return "epochs" if state.step >= run.steps_per_epoch * training.epochs else "until"


def meets_stop_rule(state: State, steps_per_epoch: int, epsilon: float) -> bool:
    """Whether an epoch has ended whose cost differs by less than epsilon from the one before.

    It is the notes' stop rule (section 3.2).
    """
    if state.step % steps_per_epoch or state.last_change is None:
        return False
    return state.last_change < epsilon  # notes: |f(x_n) - f(x_(n-1))| < epsilon
