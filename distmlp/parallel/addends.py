"""What ranks add up again and again: each has its numbers, and all have their sum.

On one host each rank makes its numbers where all can read them, and adds up one part of everybody's.  All read the sum
where it has put it.  It is Rabenseifner's reduce-scatter and allgather (ICCS 2004) without a message.  Over several
hosts the ranks of each do so first, and exchange.py adds up what they have between the hosts.
"""

import contextlib
import mmap
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from distmlp.kernels import choice as kernels
from distmlp.parallel import hostmemory, slices
from distmlp.parallel.exchange import Exchange
from distmlp.parallel.meeting import WORDS, Meeting
from distmlp.parallel.quickest import Trial


class Addends:
    """An array that ranks add up again and again.

    mine: (n,), what this rank adds.  total: (n,), the ranks' sum, once `Communicator.add_up` has made it
    and until any rank's next one; the same memory as mine where ranks share none.  kept: the part of mine
    that is best stored in this rank's caches, the rest past them; a sum may change it.  piece: entries of
    mine that travel at a time.  early: whether pieces travel as soon as `written` is told of them.
    """

    early = False

    def __init__(self, mine: np.ndarray, total: np.ndarray, kept: slice, piece: int):
        self.mine, self.total, self.kept, self.piece = mine, total, kept, piece

    def written(self, end: int) -> None:
        """mine[:end] is what this rank adds to the next sum, and does not change before that is made."""


def unshared(n: int, dtype: DTypeLike) -> Addends:
    """Addends in this rank's memory alone, which become their sum in place."""
    buffer = np.zeros(n, dtype)
    return Addends(buffer, buffer, slice(0, n), n)


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
        super().__init__(numbers[rank, :n], numbers[size, :n], kept, n)
        self._added = numbers[:size], kept.start, self.total[kept]
        words = np.frombuffer(memory, np.uint32, WORDS)
        self.meeting = Meeting(words, size, is_lost)
        # Stores past the caches pay where the cores share none, and cost where they do: a virtual machine may not tell.
        self._trial: Trial[slice] | None = Trial([kept, slice(0, n)]) if size > 1 else None

    def add(self) -> None:
        """Makes this rank's part of total, once all have written to their mine; none may be reading it."""
        kernels.add_rows(*self._added)

    def add_up(self) -> None:
        """total becomes the sum on all survivors, or GivenUp is raised on all of them."""
        with _or_give_up(self.meeting):
            self.meeting.meet()  # all have written, and none reads the sum before any more
            self.add()
            self.meeting.meet()
        if self._trial:
            self.kept, stays = self._trial.next()
            self._trial = None if stays else self._trial


#: Sums after which it is decided whether pieces travel early.
TRIALS = 8


class AddendsOfHosts(Addends):
    """Addends of ranks of several hosts, in memory that those of each host share.

    comm: an mpi4py communicator.  pieces: of the message, in which it travels.  exchange: adds up this rank's slices of
    them, where it has some.  meeting: of this host's ranks, None where there is one; meetings: one more for each piece.

    Pieces travel early where that pays: where ranks wait for the network longer than they work for it.  The first sums
    tell, and all ranks decide together.
    """

    def __init__(
        self,
        comm: Any,
        mine: np.ndarray,
        total: np.ndarray,
        kept: slice,
        pieces: Sequence[slice],
        exchange: Exchange | None,
        meeting: Meeting | None,
        meetings: Sequence[Meeting],
    ) -> None:
        several = len(pieces) > 1
        self._comm, self._trials = comm, TRIALS if several else 0
        self._waiting = 0.0
        super().__init__(mine, total, kept, pieces[0].stop)
        self._ends, self._exchange = [piece.stop for piece in pieces], exchange
        self.meeting, self._meetings = meeting, meetings if several else []
        self._fault: Exception | None = None
        self._here = self._all = 0

    def written(self, end: int) -> None:
        """Has what all ranks of this host have written travel, as far as that needs no waiting."""
        if self._fault is None:
            try:
                self._come(end)
                if self._exchange:
                    self._exchange.go_on(self._written_by_all())
            except RuntimeError as fault:  # MPI's, of a loss
                self._fault = fault  # raised by add_up, where the others are told

    def add_up(self) -> None:
        """total becomes the sum, once all ranks of this host have met; where it cannot, GivenUp or an exception of MPI is raised on some."""
        with _or_give_up(self.meeting):
            if self._fault:
                raise self._fault
            self._come(len(self.mine))
            if self._exchange:
                self._exchange.finish()
            if self.meeting:
                self.meeting.meet()
            if self._trials:
                self._try()
        self._here = self._all = 0

    def _try(self) -> None:
        """Adds what the last sum tells of the network; the last of TRIALS sums decides whether pieces travel early."""
        self._trials -= 1
        # The first one connects those who will talk.
        if self._exchange and self._trials < TRIALS - 1:
            self._waiting += self._exchange.waited - self._exchange.worked
        if not self._trials:
            self.early = self._comm.allreduce(self._waiting) > 0

    def _come(self, end: int) -> None:
        """Tells the host's other ranks of the pieces that this one has written; `_here` counts them."""
        while self._here < len(self._ends) and self._ends[self._here] <= end:
            if self._meetings:
                self._meetings[self._here].come()
            self._here += 1

    def _written_by_all(self) -> int:
        """Where the pieces end that every rank of this host has written; `_all` counts them."""
        while self._all < self._here and (not self._meetings or self._meetings[self._all].is_met()):
            self._all += 1
        return self._ends[self._all - 1] if self._all else 0


@contextlib.contextmanager
def _or_give_up(meeting: Meeting | None) -> Iterator[None]:
    """The host's other ranks do not wait for one that has raised inside."""
    try:
        yield
    except BaseException:
        if meeting:
            meeting.give_up()
        raise


#: Where the numbers begin; the words of the meetings lie before: one, and one for each piece of a message.
_BEGIN = mmap.PAGESIZE


def _row(n: int, dtype: DTypeLike) -> int:
    """Entries from one rank's numbers to the next one's: whole pages."""
    page = mmap.PAGESIZE // np.dtype(dtype).itemsize
    return -(-n // page) * page


def bytes_of(n: int, dtype: DTypeLike, size: int) -> int:
    """Of the memory of so many ranks: the meetings, what each rank adds, and the total."""
    return _BEGIN + (size + 1) * _row(n, dtype) * np.dtype(dtype).itemsize


def _numbers(memory: mmap.mmap | bytearray, n: int, dtype: DTypeLike, size: int) -> np.ndarray:
    """(size + 1, n or more) of a memory, without gaps: what each rank adds, and the total."""
    row = _row(n, dtype)
    numbers = np.frombuffer(memory, dtype, (size + 1) * row, _BEGIN)
    return numbers.reshape(size + 1, row)


def of(
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
    memory, able = hostmemory.share(
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
    """memory: what the ranks of this rank's host share, None where it has no such; the rest as for `of`."""
    me = comm.Get_rank()
    here, host = next((ranks, i) for i, ranks in enumerate(hosts) if me in ranks)
    place, size = here.index(me), len(here)
    held = bytearray(bytes_of(n, dtype, 1)) if memory is None else memory
    numbers = _numbers(held, n, dtype, size)
    pieces = slices.pieces(n, numbers.itemsize)
    words = np.frombuffer(held, np.uint32, (1 + len(pieces)) * WORDS).reshape(-1, WORDS)
    meetings = [Meeting(row, size, is_lost) for row in words] if size > 1 else []
    meeting = meetings[0] if meetings else None
    parts = min(map(len, hosts))
    exchange, kept = None, slice(0, 0)
    if place < parts:
        mine = [slices.cut(piece, parts)[place] for piece in pieces]
        peers = [ranks[place] for ranks in hosts]
        exchange = Exchange(comm, kind, peers, host, numbers[:-1], numbers[-1, :n], mine, is_lost)
        if size == 1 or len(pieces) == 1:  # of more pieces every rank of the host reads a part
            kept = slice(mine[0].start, mine[-1].stop)
    return AddendsOfHosts(
        comm, numbers[place, :n], numbers[-1, :n], kept, pieces, exchange, meeting, meetings[1:]
    )
