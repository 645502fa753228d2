"""Memory that the ranks of one host share: a sum over them need not travel, and a set need not be held by each.

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

from distmlp.parallel import slices


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
