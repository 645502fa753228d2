"""Sets that are held in memory: once a host, where its ranks can share memory."""

import numpy as np

from distmlp.data.dataset import DataSet
from distmlp.mathematics.shards import share
from distmlp.parallel.alike import on_every_rank
from distmlp.parallel.communicator import Communicator
from distmlp.training.reporting import Silent

#: Bytes that are read at a time on the way to memory that is shared.
_BLOCK_BYTES = 2**21

#: Bytes of a cache line, at which the targets begin.
_LINE = 64


def hold(data: DataSet, comm: Communicator, chunk_rows: int, report: Silent) -> None:
    """Reads a whole set into memory that the ranks of a host share, each rank a part of it; collective.

    Where they cannot share memory, each rank holds the set by itself, and rank 0 says so.
    chunk_rows: of the file, which one rank reads together.  Raises InputError on every rank.
    """
    if comm.size == 1:
        data.hold()
        return
    rows = on_every_rank(comm, lambda: data.read([(0, 1)]))
    parts = [part for part in rows if part is not None]
    sizes = [-(-data.rows * part.nbytes // _LINE) * _LINE for part in parts]
    shared = comm.host_memory(sum(sizes))
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
    held = []
    for part, start in zip(parts, np.cumsum([0, *sizes]).tolist(), strict=False):
        content = shared.content[start : start + data.rows * part.nbytes]
        held.append(content.view(part.dtype).reshape(data.rows, *part.shape[1:]))
    mine = rows_of_part(data.rows, chunk_rows, shared.ranks, shared.rank)
    # Once this returns, every rank has read its part.
    on_every_rank(comm, lambda: _fill(data, mine, chunk_rows, held))
    for part in held:
        part.flags.writeable = False
    data.hold((held[0], held[1] if len(held) == 2 else None))


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
