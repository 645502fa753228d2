"""Sets that are held in memory: once a host, where its ranks can share memory, whatever groups train on it."""

import contextlib
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from distmlp.config.sections import Config
from distmlp.data.checking import facts_of
from distmlp.data.dataset import DataSet, Held, rows_of_files
from distmlp.data.feed import TRAIN_PART, VALIDATION_PART, is_held
from distmlp.data.feed import chunk_rows as chunk_rows_of
from distmlp.data.several_files import Spec
from distmlp.errors import InputError
from distmlp.mathematics.shards import share
from distmlp.parallel.alike import on_every_rank
from distmlp.parallel.communicator import Communicator
from distmlp.parallel.hostmemory import HostMemory
from distmlp.training.agreeing import check_same_facts
from distmlp.training.reporting import Silent


class _Read(NamedTuple):
    """What all rows of some files are read as: names of columns, and what decides whether the targets are classes."""

    spec: Spec
    inputs: str | Sequence[str]
    targets: str | Sequence[str]
    outputs: int
    output: str
    targets_are: str


#: Bytes that are read at a time on the way to memory that is shared.
_BLOCK_BYTES = 2**21

#: Bytes of a cache line, at which the targets begin.
_LINE = 64


def hold(data: DataSet, comm: Communicator, chunk_rows: int, report: Silent) -> None:
    """Reads a whole set into memory that the ranks of a host share, each rank a part of it; collective.

    What is on the communicator's shelf is in memory already.  Where ranks cannot share memory, each holds the set by itself,
    and rank 0 says so.  chunk_rows: of the file, which one rank reads together.  Raises InputError on every rank.
    """
    there = comm.shelf.get(rows_of_files(data))
    if there is not None:
        whole = data.rows == data.all_rows
        data.hold(there, None if whole else data.picked(np.arange(data.all_rows)))
        return
    if comm.size == 1:
        data.hold()
        return
    parts, shared = _memory_for(data, comm)
    host = comm.hosts[comm.rank]
    apart = shared is None and comm.hosts.count(host) > 1
    lacking = [host for host in comm.all_gather(host if apart else None) if host]
    if lacking:
        report.note(
            f"{data.spec}: the ranks on {', '.join(dict.fromkeys(lacking))} cannot share memory, so each of them holds all of it"
        )
    if shared is None:
        on_every_rank(comm, data.hold)
        return
    # Once this returns, every rank has read its part.
    data.hold(on_every_rank(comm, lambda: _filled(data, parts, shared, chunk_rows)))


def shelve(configs: Iterable[Config], comm: Communicator) -> Mapping[Hashable, Held]:
    """The sets that more than one of these configs read, in memory that the ranks of a host share, by `rows_of_files`; collective.

    Each has all rows of its files, of which a config may take some.  Left out are those that could not be held as a whole or
    be read, and what does not fit into data.window together.  Where the ranks of a host cannot share memory, there are none.
    Raises InputError on every rank where the ranks have different data.
    """
    users: dict[_Read, list[Config]] = {}
    parts: dict[_Read, float] = {}
    for config in configs:
        for read, part in _reads(config):
            users.setdefault(read, []).append(config)
            parts[read] = max(part, parts.get(read, 0.0))
    shelf: dict[Hashable, Held] = {}
    used = 0
    for read, (config, *others) in users.items():
        if not others:
            continue
        with contextlib.ExitStack() as stack:
            data = _opened(read, comm, stack)
            if data is None or not is_held(data, config.data, parts[read]):
                continue
            if used + data.stored_bytes > config.data.window_bytes:
                continue
            rows = chunk_rows_of(data, config.data)
            held = _in_shared_memory(data, comm, rows)
            if held is not None:
                shelf[rows_of_files(data)] = held
                used += data.stored_bytes
    return shelf


def _reads(config: Config) -> list[tuple[_Read, float]]:
    """What a config's sets are read from and as what, and the part of data.window that they may take to be held."""
    data, network = config.data, config.network
    how = network.targets, network.output, data.targets_are
    found = [(_Read(data.train, data.inputs, data.targets, *how), TRAIN_PART)]
    if data.validation_set:
        inputs = data.validation_inputs or data.inputs
        targets = data.validation_targets or data.targets
        found.append((_Read(data.validation_set, inputs, targets, *how), VALIDATION_PART))
    return found


def _opened(read: _Read, comm: Communicator, stack: contextlib.ExitStack) -> DataSet | None:
    """All rows of the files that `_reads` names, None where they cannot be opened: each network says why."""

    def opened() -> tuple[DataSet, dict[str, object]]:
        data = stack.enter_context(DataSet(*read[:3]))
        data.settle(*read[3:])
        data.check_whole()
        return data, facts_of(data)

    try:
        data, facts = on_every_rank(comm, opened)
    except InputError:
        return None
    check_same_facts(comm, data.spec, facts)
    return data


def _in_shared_memory(data: DataSet, comm: Communicator, chunk_rows: int) -> Held | None:
    """A set's rows, None on every rank where a host's ranks cannot share memory, or a rank cannot read its part."""
    try:
        parts, shared = _memory_for(data, comm)
        everywhere = all(comm.all_gather(shared is not None))
        if shared is None or not everywhere:
            return None
        return on_every_rank(comm, lambda: _filled(data, parts, shared, chunk_rows))
    except InputError:
        return None


def _memory_for(data: DataSet, comm: Communicator) -> tuple[list[np.ndarray], HostMemory | None]:
    """A row of the inputs and of the targets, and memory for all rows that the ranks of this host share, None where they cannot."""
    row = on_every_rank(comm, lambda: data.read([(0, 1)]))
    parts = [part for part in row if part is not None]
    return parts, comm.host_memory(sum(_bytes(data, part) for part in parts))


def _bytes(data: DataSet, part: np.ndarray) -> int:
    """What a part of all rows takes, in whole cache lines.  part: that of one row."""
    return -(-data.rows * part.nbytes // _LINE) * _LINE


def _filled(data: DataSet, parts: list[np.ndarray], shared: HostMemory, chunk_rows: int) -> Held:
    """Reads this rank's rows into shared memory, and gives all of them, which nobody may change."""
    held, start = [], 0
    for part in parts:
        content = shared.content[start : start + data.rows * part.nbytes]
        held.append(content.view(part.dtype).reshape(data.rows, *part.shape[1:]))
        start += _bytes(data, part)
    mine = rows_of_part(data.rows, chunk_rows, shared.ranks, shared.rank)
    _fill(data, mine, chunk_rows, held)
    for part in held:
        part.flags.writeable = False
    return held[0], held[1] if len(held) == 2 else None


def rows_of_part(rows: int, chunk_rows: int, parts: int, number: int) -> range:
    """The rows of one of so many parts of a set: whole chunks."""
    chunks = share(-(-rows // chunk_rows), parts, number)
    return range(min(chunks.start * chunk_rows, rows), min(chunks.stop * chunk_rows, rows))


def _fill(data: DataSet, rows: range, chunk_rows: int, held: list[np.ndarray]) -> None:
    """Reads these rows into their places in memory that holds all of the set."""
    row_bytes = sum(part[:1].nbytes for part in held)
    step = max(1, _BLOCK_BYTES // (chunk_rows * row_bytes)) * chunk_rows
    for start in range(rows.start, rows.stop, step):
        stop = min(start + step, rows.stop)
        for place, found in zip(held, data.read([(start, stop)]), strict=False):
            assert found is not None  # it is there in the first row
            place[start:stop] = found
