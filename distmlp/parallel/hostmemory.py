"""Memory that the ranks of one host share: a sum over them need not travel, and a set need not be held by each.

For a sum each rank makes its numbers where all can read them, adds up one part of everybody's, and all read the
sum where it has put it.  It is Rabenseifner's reduce-scatter and allgather (ICCS 2004) without a message.

The memory has no name that could be left behind: it is a file in memory (memfd_create) of one rank,
which the others open in /proc, and it is gone with the last process that has it.
"""

import contextlib
import mmap
import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from distmlp.kernels import choice as kernels


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
    """Addends of ranks that share memory, all of whom may write to mine until they `add`.  file: its descriptor."""

    def __init__(self, file: int, n: int, dtype: DTypeLike, rank: int, size: int):
        part = _part(n, dtype, size)
        numbers = np.frombuffer(mmap.mmap(file, _bytes(n, dtype, size)), dtype).reshape(
            size + 1, size * part
        )
        kept = slice(min(rank * part, n), min((rank + 1) * part, n))
        super().__init__(numbers[rank, :n], numbers[size, :n], kept)
        self._added = numbers[:size], kept.start, self.total[kept]

    def add(self) -> None:
        """Makes this rank's part of total, once all have written to their mine; none may be reading it."""
        kernels.add_rows(*self._added)


def _part(n: int, dtype: DTypeLike, size: int) -> int:
    """Entries that a rank adds up: whole pages, so that no two ranks write to one cache line."""
    page = mmap.PAGESIZE // np.dtype(dtype).itemsize
    return -(-n // (size * page)) * page


def _bytes(n: int, dtype: DTypeLike, size: int) -> int:
    """Of the memory: what each rank adds, and the total."""
    return (size + 1) * size * _part(n, dtype, size) * np.dtype(dtype).itemsize


@dataclass(frozen=True)
class HostMemory:
    """Memory that the ranks of one host share.

    content: its bytes, zeros at first.  rank: this rank's number among those that share it.  ranks: how many they are.
    """

    content: np.ndarray
    rank: int
    ranks: int


def share(comm: Any, n: int, dtype: DTypeLike) -> SharedAddends | None:
    """Addends that the ranks of an mpi4py communicator share, or None on all of them where they cannot; collective.

    They cannot where this is not Linux, where they are on several hosts, or in containers that do not see
    each other's processes.
    """
    rank, size = comm.Get_rank(), comm.Get_size()
    found = None
    with _file_in_memory(comm, [0] * size, _bytes(n, dtype, size)) as file:
        if file is not None:
            with contextlib.suppress(OSError):
                found = SharedAddends(file, n, dtype, rank, size)
        everyone = all(comm.allgather(found is not None))
    return found if everyone else None


def share_by_host(comm: Any, hosts: Sequence[str], size: int) -> HostMemory | None:
    """So many bytes a host, which its ranks share, or None on all ranks of a host where these cannot; collective.

    hosts: each rank's of an mpi4py communicator.
    """
    own = comm.Get_rank()
    found = None
    with _file_in_memory(comm, hosts, size) as file:
        if file is not None:
            with contextlib.suppress(OSError):
                found = np.frombuffer(mmap.mmap(file, size), np.uint8)
        has_it = comm.allgather(found is not None)
    here = [rank for rank, host in enumerate(hosts) if host == hosts[own]]
    if found is None or not all(has_it[rank] for rank in here):
        return None
    return HostMemory(found, here.index(own), len(here))


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
