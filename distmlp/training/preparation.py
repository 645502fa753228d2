"""Before a training: what a config asks for is made, opened, looked through and compared.

What is wrong becomes an InputError on every rank before anything takes long.
"""

import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass

from distmlp.config.sections import Config
from distmlp.data.checking import Seen, check_against_network, doubts, scan
from distmlp.data.dataset import DataSet
from distmlp.data.feed import VALIDATION_PART, Feed, chunk_rows, is_held
from distmlp.data.sample_weights import Weighting
from distmlp.data.sets import sets_of
from distmlp.data.transform import Transform
from distmlp.errors import InputError
from distmlp.kernels import known_answers
from distmlp.mathematics import exact
from distmlp.mathematics.network import Network
from distmlp.mathematics.optimizers import Optimizer
from distmlp.mathematics.schedules import Schedule
from distmlp.mathematics.shards import Shards, share
from distmlp.parallel.alike import check_same, on_every_rank
from distmlp.parallel.communicator import Communicator
from distmlp.parallel.rank0 import on_rank_0
from distmlp.runs.directory import RunDirectory
from distmlp.training.agreeing import (
    check_memory,
    check_same_rows,
    check_same_sets,
    copy_of,
    given,
)
from distmlp.training.class_weights import weighting_of
from distmlp.training.experiment_trackers import trackers_of
from distmlp.training.fitting import fitted
from distmlp.training.holding import hold, rows_of_part
from distmlp.training.parts import (
    dropout_of,
    network_of,
    optimizer_of,
    schedule_of,
    shaping_of,
    sharding_of,
    smoothing_of,
)
from distmlp.training.reporting import OnRank0, Silent, Together
from distmlp.training.set_metrics import check_metrics
from distmlp.training.starting import Start, start_of
from distmlp.training.step import Step
from distmlp.training.telling import tell
from distmlp.training.witness import Witness


@dataclass(frozen=True)
class Prepared:
    """A training that is ready to begin: all that stays as it is until its end.

    comm: the ranks; their number may shrink.  report: what rank 0 says.  start: the v that it begins with, None where
    that is drawn.  data, validation: the open sets; validation may be None.  sharding: of the training set.  metric: of an epoch's record, by which one is the best; "" where none is.  witness: knows the digest of the training rows;
    validation_digest: that of the others, None where nobody has looked them through.  weighting: what training rows count.
    last_step: the step that completes the run.  stops_at: when time.monotonic() says that the run's
    time is up.
    """

    config: Config
    comm: Communicator
    report: Silent
    start: Start | None
    data: DataSet
    validation: DataSet | None
    sharding: Shards
    network: Network
    optimizer: Optimizer
    schedule: Schedule
    metric: str
    witness: Witness
    validation_digest: int | None
    transform: Transform
    weighting: Weighting | None
    directory: RunDirectory
    last_step: int
    stops_at: float

    @property
    def steps_per_epoch(self) -> int:
        return self.sharding.steps_per_epoch

    @property
    def counting(self) -> exact.Counting:
        """How the gradients of a step are counted."""
        c = self.config
        return exact.Counting.of(c.dtype, self.sharding.count, c.reduction == "exact")

    @property
    def chunk_rows(self) -> int:
        """Rows that stay together in an epoch's order."""
        return chunk_rows(self.data, self.config.data)

    @property
    def plateau_patience(self) -> int | None:
        """Epochs without an improvement after which the learning rate is reduced; None is never."""
        o = self.config.optimizer
        return o.plateau_patience if o.schedule == "plateau" else None

    def shards_of(self, rank: int) -> range:
        """The shards that a rank computes."""
        return share(self.sharding.count, self.comm.size, rank)

    def feed(self, shards: range) -> Feed:
        """The micro-batches of some shards, step after step; to be closed."""
        c, outputs = self.config, self.config.network.layers[-1]
        how = c.data, c.seed, outputs, c.dtype, self.transform, smoothing_of(c)
        return Feed(self.data, self.sharding, shards, *how, self.weighting)

    def step(self, comm: Communicator) -> Step:
        """What takes steps over a communicator; collective."""
        c = self.config
        return Step(
            self.network,
            self.optimizer,
            c.dtype,
            c.reduction == "exact",
            comm,
            self.sharding.count,
            shaping_of(c),
            dropout_of(c),
            c.regularization.average,
        )


def prepare(
    config: Config,
    comm: Communicator,
    report: Silent,
    until: int | None,
    stack: ExitStack,
    resume: str = "auto",
) -> Prepared:
    """What a config asks for, ready on every rank; what must be closed again is put on the stack.

    until: the step to end with, instead of the last of the config's epochs.  resume: see `loop.train`.  Raises InputError.
    """
    check_same(comm, given(config), "config")
    on_every_rank(comm, lambda: check_memory(config))
    check_arithmetic(comm)
    start = start_of(config, comm, resume)
    data, validation = open_sets(config, comm, stack)
    sharding = sharding_of(config, data.rows)
    metric = metric_of(config, data, validation)
    seen = scan_all(config, comm, data) if config.data.scan else None
    also = scan_all(config, comm, validation) if config.data.scan and validation else None
    report = OnRank0(Together(report, *trackers_of(config, report.warn)), comm)
    if is_held(data, config.data):
        hold(data, comm, chunk_rows(data, config.data), report)
    if validation and is_held(validation, config.data, VALIDATION_PART):
        hold(validation, comm, chunk_rows(validation, config.data), report)
    kept, mine = start.arrays if start else {}, rows_of_rank(config, data, comm)
    transform = fitted(config, data, mine, comm, kept)
    weighting = weighting_of(config, data, mine, comm)
    tell(
        report,
        config,
        data,
        validation,
        start,
        doubts(data, seen, config, transform) if seen else [],
    )
    return Prepared(
        config,
        comm,
        report,
        start,
        data,
        validation,
        sharding,
        network_of(config),
        optimizer_of(config),
        schedule_of(config, sharding.steps_per_epoch),
        metric,
        Witness(data, seen.digest if seen else None),
        also.digest if also else None,
        transform,
        weighting,
        RunDirectory(config.run.directory),
        min(until or sys.maxsize, sharding.steps_per_epoch * config.training.epochs),
        time.monotonic() + config.run.time_limit_seconds,
    )


def metric_of(config: Config, data: DataSet, validation: DataSet | None) -> str:
    """The metric by which an epoch is the best, "" where none is watched.  Raises InputError."""
    asked, patience = config.training.monitor, config.training.patience
    if asked == "auto":
        if validation is not None:
            return "validation_cost"
        return "cost" if patience or config.optimizer.schedule == "plateau" else ""
    if asked == "validation_cost" and validation is None:
        raise InputError(
            'training.monitor is "validation_cost", but data.validation names no set to take it of'
        )
    if asked == "accuracy" and not data.classes:
        raise InputError(
            f'training.monitor is "accuracy", but the targets of {data.spec} are no classes'
        )
    return "" if asked == "none" else asked


def open_sets(
    config: Config, comm: Communicator, stack: ExitStack
) -> tuple[DataSet, DataSet | None]:
    """The training and the validation set (or None); rank 0 checks them before the others open them."""

    def open_both() -> list[DataSet]:
        sets = sets_of(config)
        network = config.network
        for data, where in zip(sets, ("train", "validation"), strict=False):
            data.settle(network.targets, network.output, config.data.targets_are)
            check_against_network(data, config, f"data.{where}")
        if len(sets) == 2 and sets[0].classes != sets[1].classes:
            raise InputError(
                f"{sets[0].spec} and {sets[1].spec}: one has classes as targets and the other "
                "numbers; expected the same of both"
            )
        smoothing = config.regularization.label_smoothing
        if smoothing and not sets[0].classes:
            raise InputError(
                f"regularization.label_smoothing is {smoothing}, but the targets of {sets[0].spec} are no classes"
            )
        sharding_of(config, sets[0].rows)
        check_metrics(config, sets[1] if len(sets) == 2 else None)
        return sets

    def check() -> None:
        for data in open_both():
            data.check_whole()
            data.close()

    def open_here() -> list[DataSet]:
        try:
            return [stack.enter_context(data) for data in open_both()]
        except InputError as error:
            raise InputError(f"rank 0 could open the data, but this rank cannot: {error}") from None

    on_rank_0(comm, check)
    sets = on_every_rank(comm, open_here)
    check_same_sets(comm, sets)
    return sets[0], sets[1] if len(sets) == 2 else None


def rows_of_rank(config: Config, data: DataSet, comm: Communicator) -> range:
    """The rows of a set that this rank looks through: whole chunks."""
    return rows_of_part(data.rows, chunk_rows(data, config.data), comm.size, comm.rank)


def scan_all(config: Config, comm: Communicator, data: DataSet) -> Seen:
    """What looking through the whole set has shown, by all ranks.

    Where ranks read different files, such as a copy on each host, each copy is looked through, by its own ranks.
    InputError, on every rank, for the first row that cannot be trained on, and where copies differ.
    """
    own = copy_of(comm, data)
    rows = rows_of_part(data.rows, chunk_rows(data, config.data), len(own), own.index(comm.rank))
    try:
        mine = scan(data, rows, config)
    except InputError as error:
        mine = Seen((-1, str(error)))
    copies: dict[int, Seen] = {}
    for first, part in comm.all_gather((own[0], mine)):
        copies.setdefault(first, Seen()).add(part)
    fault = min(filter(None, (seen.fault for seen in copies.values())), default=None)
    if fault:
        raise InputError(fault[1])
    check_same_rows(comm, data, {first: seen.digest for first, seen in copies.items()})
    return copies[0]


def check_arithmetic(comm: Communicator) -> None:
    """InputError, on every rank, where a rank cannot compute as it should; it names the first such rank and its host."""
    fault = None
    try:
        known_answers.check()
    except InputError as error:
        fault = f"rank {comm.rank} on {comm.hosts[comm.rank]}: {error}"
    faults = [fault for fault in comm.all_gather(fault) if fault is not None]
    if faults:
        raise InputError(faults[0])
