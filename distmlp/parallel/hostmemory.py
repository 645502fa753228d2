"""Memory that the ranks of one host share: a sum over them need not travel, and a set need not be held by each.

For a sum each rank makes its numbers where all can read them, and adds up one part of everybody's.  All read the sum where
it has put it.  It is Rabenseifner's reduce-scatter and allgather (ICCS 2004) without a message.

The memory has no name that could be left behind.  It is a file in memory (memfd_create) of one rank, which the others open in
/proc, and it is gone with the last process that has it.
"""

import contextlib
import mmap
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from distmlp.kernels import choice as kernels
from distmlp.parallel import slices
from distmlp.parallel.exchange import Exchange
from distmlp.parallel.meeting import WORDS, Meeting


class Addends:
    """An array that ranks add up again and again.

    mine: (n,), what this rank adds.  total: (n,), the ranks' sum, once `Communicator.add_up` has made it
    and until any rank's next one; the same memory as mine where ranks share none.  kept: the part of mine
    that this rank itself reads when they are added up; what is not is best stored past its caches.
    """

    def __init__(self, mine: np.ndarray, total: np.ndarray, kept: slice):
        self.mine, self.total, self.kept = mine, total, kept


def unshared(n: int, dtype: DTypeLike) -> Addends:
    """Addends in this rank's memory alone, which become their sum in place."""
    buffer = np.zeros(n, dtype)
    return Addends(buffer, buffer, slice(0, n))


class SharedAddends(Addends):
    """Addends of ranks of one host, all of whom may write to mine until they `add`.

    memory: of `bytes_of` bytes, which the ranks share.  rank, size: which of them this one is, and how many they
    are.  is_lost: asked while this rank waits for the others, whether one will never come.
    """

    def __init__(
        self,
        memory: mmap.mmap | bytearray,
        n: int,
        dtype: DTypeLike,
        rank: int,
        size: int,
        is_lost: Callable[[], bool] = lambda: False,
    ) -> None:
        numbers = _numbers(memory, n, dtype, size)
        kept = slices.cut(slice(0, n), size)[rank]
        super().__init__(numbers[rank, :n], numbers[size, :n], kept)
        self._added = numbers[:size], kept.start, self.total[kept]
        words = np.frombuffer(memory, np.uint32, WORDS)
        self.meeting = Meeting(words, size, is_lost)

    def add(self) -> None:
        """Makes this rank's part of total, once all have written to their mine; none may be reading it."""
        kernels.add_rows(*self._added)

    def add_up(self) -> None:
        """total becomes the sum on all survivors, or GivenUp is raised on all of them."""
        with _or_give_up(self.meeting):
            self.meeting.meet()  # all have written, and none reads the sum before any more
            self.add()
            self.meeting.meet()


class AddendsOfHosts(Addends):
    """Addends of ranks of several hosts, in memory that those of each host share.

    exchange: adds up this rank's slice, where it has one.  meeting: of this host's ranks, None where there is one.
    """

    def __init__(
        self,
        mine: np.ndarray,
        total: np.ndarray,
        kept: slice,
        exchange: Exchange | None,
        meeting: Meeting | None,
    ) -> None:
        super().__init__(mine, total, kept)
        self._exchange, self.meeting = exchange, meeting

    def add_up(self) -> None:
        """total becomes the sum, once all ranks of this host have met; where it cannot, GivenUp or an exception of MPI is raised on some."""
        with _or_give_up(self.meeting):
            if self._exchange:
                self._exchange.add_up()
            if self.meeting:
                self.meeting.meet()


@contextlib.contextmanager
def _or_give_up(meeting: Meeting | None) -> Iterator[None]:
    """The host's other ranks do not wait for one that has raised inside."""
    try:
        yield
    except BaseException:
        if meeting:
            meeting.give_up()
        raise


#: Where the numbers begin; the words of the meeting lie before.
_BEGIN = mmap.PAGESIZE


def _row(n: int, dtype: DTypeLike) -> int:
    """Entries from one rank's numbers to the next one's: whole pages."""
    page = mmap.PAGESIZE // np.dtype(dtype).itemsize
    return -(-n // page) * page


def bytes_of(n: int, dtype: DTypeLike, size: int) -> int:
    """Of the memory of so many ranks: a meeting, what each rank adds, and the total."""
    return _BEGIN + (size + 1) * _row(n, dtype) * np.dtype(dtype).itemsize


def _numbers(memory: mmap.mmap | bytearray, n: int, dtype: DTypeLike, size: int) -> np.ndarray:
    """(size + 1, n or more) of a memory, without gaps: what each rank adds, and the total."""
    row = _row(n, dtype)
    numbers = np.frombuffer(memory, dtype, (size + 1) * row, _BEGIN)
    return numbers.reshape(size + 1, row)


def addends(
    comm: Any,
    kind: Any,
    hosts: Sequence[Sequence[int]],
    n: int,
    dtype: DTypeLike,
    is_lost: Callable[[], bool],
) -> tuple[Addends, list[list[int]]]:
    """Addends of an mpi4py communicator's ranks, and the hosts as their ranks can share memory; collective.

    kind: MPI's type of the dtype.  hosts: the ranks of each.  is_lost: asked while a rank waits, whether one will
    never come.
    """
    memory, able = share(
        comm, hosts, lambda ranks: bytes_of(n, dtype, ranks), Meeting.is_possible()
    )
    if len(hosts) > 1:
        return _of_hosts(comm, kind, able, memory, n, dtype, is_lost), able
    if memory is None:
        return unshared(n, dtype), able
    return SharedAddends(memory, n, dtype, comm.Get_rank(), comm.Get_size(), is_lost), able


def _of_hosts(
    comm: Any,
    kind: Any,
    hosts: Sequence[Sequence[int]],
    memory: mmap.mmap | None,
    n: int,
    dtype: DTypeLike,
    is_lost: Callable[[], bool],
) -> AddendsOfHosts:
    """memory: what the ranks of this rank's host share, None where it has no such; the rest as for `addends`."""
    me = comm.Get_rank()
    here, host = next((ranks, i) for i, ranks in enumerate(hosts) if me in ranks)
    place, size = here.index(me), len(here)
    held = bytearray(bytes_of(n, dtype, 1)) if memory is None else memory
    numbers = _numbers(held, n, dtype, size)
    meeting = None
    if size > 1:
        meeting = Meeting(np.frombuffer(held, np.uint32, WORDS), size, is_lost)
    parts = min(map(len, hosts))
    exchange, whole = None, slice(0, 0)
    if place < parts:
        whole = slices.cut(slice(0, n), parts)[place]
        peers = [ranks[place] for ranks in hosts]
        exchange = Exchange(comm, kind, peers, host, numbers[:-1], numbers[-1, :n], whole, is_lost)
    return AddendsOfHosts(numbers[place, :n], numbers[-1, :n], whole, exchange, meeting)


@dataclass(frozen=True)
class HostMemory:
    """Memory that the ranks of one host share.

    content: its bytes, zeros at first.  rank: this rank's number among those that share it.  ranks: how many they are.
    """

    content: np.ndarray
    rank: int
    ranks: int


def share(
    comm: Any, hosts: Sequence[Sequence[int]], bytes_for: Callable[[int], int], able: bool = True
) -> tuple[mmap.mmap | None, list[list[int]]]:
    """Memory that the ranks of this rank's host share, and the hosts as they can; collective.

    comm: an mpi4py communicator.  hosts: the ranks of each.  bytes_for(ranks): the memory's size.  able: whether this rank
    can use it.  Ranks that cannot share are hosts of one rank each, which have none: where this is not Linux, or in
    containers that do not see each other's processes.
    """
    host_of = {rank: host for host, ranks in enumerate(hosts) for rank in ranks}
    here = hosts[host_of[comm.Get_rank()]]
    size = bytes_for(len(here))
    found = None
    with _file_in_memory(comm, [host_of[rank] for rank in range(len(host_of))], size) as file:
        if file is not None and able:
            with contextlib.suppress(OSError):
                found = mmap.mmap(file, size)
        all_can = comm.allgather(found is not None)
    sharing: list[list[int]] = []
    for ranks in hosts:
        can = len(ranks) == 1 or all(all_can[rank] for rank in ranks)
        sharing += [list(ranks)] if can else [[rank] for rank in ranks]
    return (found if list(here) in sharing else None), sharing


def share_by_host(comm: Any, hosts: Sequence[str], size: int) -> HostMemory | None:
    """So many bytes a host, which its ranks share, or None on all ranks of a host where these cannot; collective.

    hosts: each rank's of an mpi4py communicator.
    """
    by_host = slices.ranks_by_host(hosts)
    found, _ = share(comm, by_host, lambda ranks: size)
    if found is None:
        return None
    here = next(ranks for ranks in by_host if comm.Get_rank() in ranks)
    return HostMemory(np.frombuffer(found, np.uint8), here.index(comm.Get_rank()), len(here))


@contextlib.contextmanager
def _file_in_memory(comm: Any, hosts: Sequence[object], size: int) -> Iterator[int | None]:
    """A file in memory, which the first rank of each host makes and its others open; collective.

    Gives its descriptor, or None on a rank that cannot have it.  The first ranks keep theirs open until the block ends,
    so the block must end on no rank before every rank of its host has what it wants.
    """
    rank = comm.Get_rank()
    first = hosts.index(hosts[rank])
    with contextlib.ExitStack() as stack:

        def kept(file: int) -> int:
            stack.callback(os.close, file)
            return file

        place = None
        if rank == first and hasattr(os, "memfd_create"):
            with contextlib.suppress(OSError):
                name = f"distmlp-{secrets.token_hex(8)}"
                file = kept(os.memfd_create(name))
                os.ftruncate(file, size)
                place = f"/proc/{os.getpid()}/fd/{file}", name
        place = comm.allgather(place)[first]
        found = None
        if place is not None:
            with contextlib.suppress(OSError):
                # The name tells this file from one of a process with the same number in another container.
                if place[1] in os.readlink(place[0]):
                    found = kept(os.open(place[0], os.O_RDWR | os.O_CLOEXEC))
        yield found
