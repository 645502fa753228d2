"""Before a training: what a config asks for is made, opened, looked through and compared, on every rank.

What is wrong becomes an InputError on every rank, found by rank 0, before anything takes long.
"""

from contextlib import ExitStack

from distmlp import arithmetic
from distmlp.config.reading import Config
from distmlp.data.dataset import DataSet, check_against_network, scan
from distmlp.data.feed import chunk_rows
from distmlp.errors import InputError, RankFault
from distmlp.mathematics import exact
from distmlp.mathematics.network import Network
from distmlp.mathematics.optimizers import SGD, Adam
from distmlp.mathematics.shards import Shards, deal, default_micro_batch_size
from distmlp.parallel.rank0 import on_rank_0


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
            f'training.batch_size is {batch}, but data.train has {samples} samples; it can be at most that (or "all")'
        )
    micro = config.training.micro_batch_size or default_micro_batch_size(batch)
    if micro > batch:
        raise InputError(
            f"training.micro_batch_size is {micro}, but it can be at most the batch, {batch} samples"
        )
    cut = Shards(samples, batch, micro)
    if cut.count > exact.MOST_MICRO_BATCHES:
        raise InputError(
            f"training.micro_batch_size is {micro}, which makes {cut.count} micro-batches of a batch of {batch}, "
            f"but {exact.MOST_MICRO_BATCHES} is the most; expected at least {-(-batch // exact.MOST_MICRO_BATCHES)}"
        )
    return cut


def open_sets(config: Config, comm, stack: ExitStack) -> tuple[DataSet, DataSet | None]:
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
            raise InputError(
                f"{sets[0].spec} and {sets[1].spec}: one has classes as targets and the other numbers; expected the same of both"
            )
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


def scan_all(config: Config, comm, sets) -> None:
    """InputError, on every rank, for the first row of a set that cannot be trained on."""
    for data in filter(None, sets):
        chunk = chunk_rows(data, config.data)
        chunks = deal(-(-data.rows // chunk), comm.size)[comm.rank]
        rows = range(min(chunks.start * chunk, data.rows), min(chunks.stop * chunk, data.rows))
        try:
            found = scan(data, rows, config)
        except InputError as error:
            found = (-1, str(error))
        faults = [fault for fault in comm.all_gather(found) if fault is not None]
        if faults:
            raise InputError(min(faults)[1])


def same_arithmetic(config: Config, comm, cut: Shards) -> str:
    """This job's fingerprint.  InputError where the ranks' differ, naming hosts and what each computes with."""
    mine = arithmetic.fingerprint(config.network.layers, max(cut.sizes), config.dtype)
    words = (
        "; ".join(arithmetic.departures(config.arithmetic)) or f"as asked, {arithmetic.describe()}"
    )
    found = comm.all_gather((mine, words))
    kinds = {}
    for rank, (fingerprint, words) in enumerate(found):
        kinds.setdefault(fingerprint, f"rank {rank} on {comm.hosts[rank]}: {words}")
    if len(kinds) > 1:
        raise InputError(
            f"the ranks' arithmetic differs, so their bits would too: {'; '.join(kinds.values())}; "
            'use the same numpy on every host, and arithmetic = "portable"'
        )
    return mine
