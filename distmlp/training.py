"""The training loop: prepare on rank 0, resume, step, evaluate, log, checkpoint.

Everything that decides what happens next is equal on every rank: it comes from the config, from the
state, or from a sum.  So no rank ever waits for one that has gone another way.
"""

import itertools
import os
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import tomli_w

from distmlp import arithmetic, checkpoint, exact
from distmlp.config import Config, InputError, differences, from_json
from distmlp.dataset import DataSet, Feed, check_against_network, chunk_rows, scan
from distmlp.evaluation import evaluate
from distmlp.initializers import initialize
from distmlp.network import Network
from distmlp.optimizers import SGD, Adam, learning_rate
from distmlp.reporting import Silent
from distmlp.shards import Shards, deal, default_micro_batch_size
from distmlp.step import State, Step


class Diverged(ArithmeticError):
    """The training met a NaN or an infinity; the last good checkpoint is kept.  Exit status 3."""


class CheckpointFailed(OSError):
    """The checkpoint that a run ends with could not be written (on every rank).  Exit status 1."""


class RankFault(RuntimeError):
    """One rank alone cannot go on, so the others must be ended; the message is for the user."""


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


def on_rank_0(comm, function: Callable):
    """function() on rank 0, its value on every rank; an InputError or OSError of it too, as InputError."""
    outcome = None
    if comm.rank == 0:
        try:
            outcome = (function(), None)
        except (InputError, OSError) as error:
            outcome = (None, str(error))
    value, fault = comm.broadcast(outcome)
    if fault is not None:
        raise InputError(fault)
    return value


def network_of(config: Config) -> Network:
    n = config.network
    return Network(tuple(n.layers), n.activation, n.output, n.cost)


def optimizer_of(config: Config):
    o = config.optimizer
    return SGD(o.momentum, o.nesterov) if o.name == "sgd" else Adam(o.beta1, o.beta2, o.epsilon)


def cut_of(config: Config, samples: int) -> Shards:
    """The cut of a training set of so many samples.  Raises InputError."""
    batch = samples if config.training.batch_size == "all" else config.training.batch_size
    if batch > samples:
        raise InputError(
            f"training.batch_size is {batch}, but data.train has {samples} samples; it can be at most that (or \"all\")"
        )
    micro = config.training.micro_batch_size or default_micro_batch_size(batch)
    if micro > batch:
        raise InputError(f"training.micro_batch_size is {micro}, but it can be at most the batch, {batch} samples")
    if micro > exact.LARGEST_MICRO_BATCH:
        raise InputError(
            f"training.micro_batch_size is {micro}, but {exact.LARGEST_MICRO_BATCH} is the most; set it, or leave it out"
        )
    cut = Shards(samples, batch, micro)
    if cut.count > exact.MOST_MICRO_BATCHES:
        raise InputError(
            f"training.micro_batch_size is {micro}, which makes {cut.count} micro-batches of a batch of {batch}, "
            f"but {exact.MOST_MICRO_BATCHES} is the most; expected at least {-(-batch // exact.MOST_MICRO_BATCHES)}"
        )
    return cut


def train(
    config: Config,
    comm,
    *,
    resume: str = "auto",
    report: Silent | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Result:
    """Trains as configured, on every rank of comm, and returns the same Result on each.

    resume: "auto" (the run directory's newest good checkpoint, or from the start), "never", or the path
    of a checkpoint.  report: what rank 0 says and logs.  should_stop: asked once a step on every rank;
    where any rank's says True, all stop after that step, with a checkpoint.

    Raises InputError for what cannot be trained, Diverged for a NaN or infinity, each on every rank.
    """
    report = report or Silent()
    with ExitStack() as stack:
        stack.enter_context(arithmetic.one_thread())
        stack.enter_context(np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore"))
        stack.callback(report.close)
        data, validation = _open_sets(config, comm, stack)
        cut = cut_of(config, data.rows)
        _scan(config, comm, [data, validation])
        fingerprint = _same_arithmetic(config, comm, cut)
        run = _Run(config, comm, report, data, validation, cut, fingerprint)
        state = run.begin(resume)
        return run.to_the_end(state, should_stop, stack)


def _open_sets(config: Config, comm, stack: ExitStack) -> tuple[DataSet, DataSet | None]:
    """The training and the validation set (or None), checked on rank 0 before any other rank opens them."""

    def open_both() -> list[DataSet]:
        sets = []
        for where in ("train", "validation"):
            spec = getattr(config.data, where)
            if spec:
                data = DataSet(spec, config.data.inputs, config.data.targets)
                check_against_network(data, config.network.layers, f"data.{where}")
                sets.append(data)
        if len(sets) == 2 and sets[0].classes != sets[1].classes:
            raise InputError(f"{sets[0].spec} and {sets[1].spec}: one has classes as targets and the other numbers; expected the same of both")
        cut_of(config, sets[0].rows)
        return sets

    def check() -> None:
        for data in open_both():
            data.close()

    on_rank_0(comm, check)
    try:
        sets = [stack.enter_context(data) for data in open_both()]
    except InputError as error:
        raise RankFault(f"rank 0 could open the data, but this rank cannot: {error}") from None
    return sets[0], sets[1] if len(sets) == 2 else None


def _scan(config: Config, comm, sets) -> None:
    """InputError, on every rank, for the first row of a set that cannot be trained on."""
    if not config.data.scan:
        return
    for data in filter(None, sets):
        chunk = chunk_rows(data, config.data)
        chunks = deal(-(-data.rows // chunk), comm.size)[comm.rank]
        rows = range(min(chunks.start * chunk, data.rows), min(chunks.stop * chunk, data.rows))
        try:
            found = scan(data, rows, config.network.layers, config.network.output, config.network.cost)
        except InputError as error:
            found = (-1, str(error))
        faults = [fault for fault in comm.all_gather(found) if fault is not None]
        if faults:
            raise InputError(min(faults)[1])


def _same_arithmetic(config: Config, comm, cut: Shards) -> str:
    """This job's fingerprint.  InputError where the ranks' differ, naming hosts and what each computes with."""
    mine = arithmetic.fingerprint(config.network.layers, max(cut.sizes), config.dtype)
    found = comm.all_gather((mine, socket.gethostname(), str(arithmetic.describe())))
    if len({fingerprint for fingerprint, _, _ in found}) > 1:
        kinds = {}
        for rank, (fingerprint, host, words) in enumerate(found):
            kinds.setdefault(fingerprint, (host, rank, words))
        listed = "; ".join(f"rank {rank} on {host}: {words}" for host, rank, words in kinds.values())
        raise InputError(
            f"the ranks' arithmetic differs, so their bits would too: {listed}; "
            'use the same numpy on every host, and arithmetic = "portable"'
        )
    return mine


class _Run:
    """One run directory's training, as `train` puts it together."""

    def __init__(self, config, comm, report, data, validation, cut, fingerprint):
        self.config, self.comm, self.report = config, comm, report
        self.data, self.validation, self.cut, self.fingerprint = data, validation, cut, fingerprint
        self.network = network_of(config)
        self.optimizer = optimizer_of(config)
        self.directory = Path(config.run.directory)
        self.checkpoints = self.directory / "checkpoints"
        self.written = None
        self.written_at = time.monotonic()

    # Beginning

    def begin(self, resume: str) -> State:
        """The run directory, and the state to start from, equal on every rank."""
        found = on_rank_0(self.comm, lambda: self._resumed(resume))
        state = self.new_state() if found is None else self._restored(found)
        if found is not None:
            self.written = found.path
            if self.comm.rank == 0 and found.facts["fingerprint"] != self.fingerprint:
                self.report.warn(
                    f"{found.path} was made with other arithmetic (numpy, BLAS or CPU kernels) than this process has; "
                    "from here on the bits of v are not those of the uninterrupted run"
                )
        on_rank_0(self.comm, lambda: self._prepare_directory(resume))
        idle = self.comm.size - self.cut.count
        if idle > 0:
            self.report.warn(
                f"{self.comm.size} ranks, but a batch has {self.cut.count} micro-batches: {idle} ranks will idle "
                f"(training.micro_batch_size is {self.cut.micro_batch_size}; {max(1, self.cut.batch_size // self.comm.size)} "
                "would use them all, and give another v)"
            )
        return state

    def new_state(self) -> State:
        dtype = self.config.dtype
        v = initialize(self.network.layout, self.config.network.initializer, self.config.seed, dtype)
        arrays = {name: np.zeros_like(v) for name in self.optimizer.arrays}
        return State(v, arrays, self.optimizer.scalars)

    def _resumed(self, resume: str):
        """The checkpoint to go on from, or None (on rank 0)."""
        if resume == "never":
            return None
        if resume == "auto":
            found, passed_over = checkpoint.newest_good(self.checkpoints)
            if found is None and passed_over:
                raise checkpoint.Damaged(
                    f"{self.directory}: none of its checkpoints is good: {'; '.join(passed_over)}; --resume never begins anew"
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
        where = found.path
        for key, old, new in differences(from_json(found.facts["config"]), self.config):
            raise InputError(f"{where}: the checkpoint has {key} = {old}, but the config has {new}; a resumed run must have the same")
        if found.facts["samples"] != self.data.rows:
            raise InputError(
                f"{where}: the checkpoint was made with {found.facts['samples']} training samples, but {self.data.spec} has {self.data.rows}"
            )
        if found.facts["chunk_rows"] != chunk_rows(self.data, self.config.data):
            raise InputError(
                f"{where}: the checkpoint was made with chunks of {found.facts['chunk_rows']} rows, but {self.data.spec} has chunks of "
                f"{chunk_rows(self.data, self.config.data)}; data.chunk_rows declares them"
            )

    def _restored(self, found) -> State:
        facts = found.facts
        grid = None
        if facts["grid"] is not None:
            grid = exact.Grid(facts["grid"], self.config.dtype)
        totals = np.array(facts["totals"], np.int64)
        return State(
            found.v, found.arrays, facts["scalars"], grid, facts["step"], totals, facts["last_cost"], facts["last_change"]
        )

    def _prepare_directory(self, resume: str) -> None:
        """Makes the run directory and its config as resolved (on rank 0)."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            if resume == "never":
                _set_aside(self.directory)
            self.checkpoints.mkdir(exist_ok=True)
            checkpoint.remove_leftovers(self.checkpoints)
            _write_config(self.directory / "config.toml", self.config)
        except OSError as error:
            raise InputError(
                f"run.directory {self.directory} cannot be written: {error.strerror or error}; expected a directory that this user may write"
            ) from None

    # Going on

    def to_the_end(self, state: State, should_stop, stack: ExitStack) -> Result:
        config, comm, cut = self.config, self.comm, self.cut
        steps = cut.steps * config.training.epochs
        mine = deal(cut.count, comm.size)[comm.rank]
        feed = Feed(self.data, cut, mine, config.data, config.seed, config.network.layers[-1], config.dtype)
        stack.callback(feed.close)
        samples = sum(cut.sizes[i] for i in mine)
        step = Step(self.network, self.optimizer, config.dtype, config.reduction == "exact", comm, samples, cut.count)

        self.report.begin(self.directory, state.step, steps, cut.steps)
        record, stopped, settled = None, False, self._is_settled(state)
        started, started_at = time.perf_counter(), state.step
        while state.step < steps and not stopped and not settled:
            epoch, step_in_epoch = divmod(state.step, cut.steps)
            o = config.optimizer
            alpha = learning_rate(o.learning_rate, o.schedule, o.decay, epoch, config.training.epochs)
            try:
                grid = step.gradient(state, self._batches(feed, epoch, step_in_epoch), should_stop())
            except exact.NotFinite as error:
                raise Diverged(self._divergence(state, epoch, error)) from None
            stopped = bool(step.message.alarms[1])
            step.update(state, grid, alpha)
            self.report.advance()
            if state.step % cut.steps == 0:
                seconds = time.perf_counter() - started
                record = self._end_epoch(state, epoch, alpha, seconds, state.step - started_at)
                state.begin_epoch(record["cost"])
                settled = self._is_settled(state)
                started, started_at = time.perf_counter(), state.step
            last = state.step == steps or stopped or settled
            if last or self._is_due(state):
                self._checkpoint(state, last)
        return Result(state.step == steps or settled, state.v, checkpoint.v_sha256(state.v), state.step, self.written, record)

    def _batches(self, feed: Feed, epoch: int, step: int):
        try:
            return feed.step(epoch, step)
        except InputError as error:
            raise RankFault(str(error)) from None

    def _divergence(self, state, epoch, error) -> str:
        kept = f"the last good checkpoint is {self.written}" if self.written else "no checkpoint had been written"
        return (
            f"the training diverged at step {state.step + 1}, in epoch {epoch + 1}: {error}; {kept}; "
            f"a smaller optimizer.learning_rate than {self.config.optimizer.learning_rate} may help"
        )

    def _end_epoch(self, state: State, epoch: int, alpha: float, seconds: float, steps: int) -> dict:
        """The epoch's metrics as one object of the log."""
        metrics = None
        if self.validation is not None:
            metrics = evaluate(self.network, state.v, self.validation, self.config.data.scale, self.comm)
        samples, hits = state.totals[:2].tolist()
        accuracy = metrics.accuracy if metrics else (hits / samples if self.data.classes else None)
        record = {
            "epoch": epoch + 1,
            "step": state.step,
            "cost": exact.mean_cost(state.totals),
            "validation_cost": metrics.cost if metrics else None,
            "accuracy": accuracy,
            "accuracy_of": "validation" if metrics else "training",
            "training_accuracy": hits / samples if self.data.classes else None,
            "learning_rate": alpha,
            "samples_per_second": samples * steps / self.cut.steps / seconds,
            "ranks": self.comm.size,
            "seconds": seconds,
            "v_sha256": checkpoint.v_sha256(state.v),
        }
        self.report.epoch(record, self.config.training.epochs)
        return record

    def _is_settled(self, state: State) -> bool:
        """The notes' stop rule, at the end of an epoch (section 3.2)."""
        if state.step % self.cut.steps or state.last_change is None:
            return False
        return state.last_change < self.config.training.epsilon  # notes: |f(x_n) - f(x_(n-1))| < epsilon

    def _is_due(self, state: State) -> bool:
        """Whether a checkpoint is due after this step, by the config."""
        value, unit = self.config.run.every
        if unit == "minute":
            # rank 0's clock decides, and only rank 0 writes, so no other rank need know
            return self.comm.rank == 0 and time.monotonic() - self.written_at >= 60 * value
        every = value * (self.cut.steps if unit == "epoch" else 1)
        return state.step % every == 0

    def _checkpoint(self, state: State, last: bool) -> None:
        """Writes a checkpoint (rank 0).  One that fails is a warning, for there will be others; the last one's
        failure is an error on every rank."""
        fault = None
        if self.comm.rank == 0:
            try:
                self.written = checkpoint.write(self.checkpoints, state.v, state.arrays, self._facts(state))
                checkpoint.prune(self.checkpoints, self.config.run.keep)
            except OSError as error:
                fault = f"the checkpoint of step {state.step} could not be written: {error}; the one before stays"
                if not last:
                    self.report.warn(fault)
            self.written_at = time.monotonic()
        if last:
            fault, self.written = self.comm.broadcast((fault, self.written))
            if fault:
                raise CheckpointFailed(fault)

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
            "v_sha256": checkpoint.v_sha256(state.v),
            "fingerprint": self.fingerprint,
            "arithmetic": arithmetic.describe(),
            "ranks": self.comm.size,
            "mpi": self.comm.library,
            "host": socket.gethostname(),
        }


def _set_aside(directory: Path) -> None:
    """Moves an earlier run's log and checkpoints into earlier-1, earlier-2, … of its directory."""
    found = [directory / name for name in ("log.jsonl", "checkpoints") if (directory / name).exists()]
    if found:
        number = next(i for i in itertools.count(1) if not (directory / f"earlier-{i}").exists())
        aside = directory / f"earlier-{number}"
        aside.mkdir()
        for path in found:
            path.rename(aside / path.name)


def _write_config(path: Path, config: Config) -> None:
    """The config as resolved, as TOML, whole or not at all."""
    temporary = path.with_suffix(".toml.writing")
    temporary.write_text(tomli_w.dumps(asdict(config)), encoding="utf-8")
    os.replace(temporary, path)
