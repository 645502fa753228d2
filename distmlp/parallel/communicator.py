"""The ranks as a communicator: what every one can do (`Communicator`), and a job of one (`SingleProcess`).

A communicator adds up, broadcasts and gathers.  `launchers.world` gives the one of all ranks that a
launcher started; mpi.py has the one over MPI.
"""

import os
import socket
from collections.abc import Hashable, Mapping
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike

from distmlp.parallel import addends
from distmlp.parallel.addends import Addends
from distmlp.parallel.channel import Channel
from distmlp.parallel.hostmemory import HostMemory


class RanksLost(Exception):
    """A collective call did not complete because ranks are gone; `survive` goes on without them."""


#: Sets in memory, by what they are: inputs, and targets or None.
Shelf = Mapping[Hashable, tuple[np.ndarray, np.ndarray | None]]


class Communicator(Protocol):
    """The ranks of a job.  All but abort are collective: every rank calls the same methods in the same order.

    rank: this one, one of 0 to size - 1.  mpi: the MPI and its version.  resilient: whether MPI lets the survivors
    of a lost rank go on.  missed: how many ranks were lost before all had met.  entered: how many collective
    calls this rank has come to; the others wait for the one that has come to the fewest.
    """

    rank: int
    size: int
    mpi: str
    resilient: bool
    missed: int
    entered: int
    #: What is in memory of this rank's host already.
    shelf: Shelf

    @property
    def hosts(self) -> list[str]:
        """Each rank's host, by rank."""

    @property
    def pids(self) -> list[int]:
        """Each rank's process, by rank."""

    @property
    def apart(self) -> list[str]:
        """Hosts whose ranks turned out not to share memory, so that each of them adds up by itself."""

    def sum(self, buffer: np.ndarray) -> None:
        """buffer becomes the ranks' sum of it."""

    def addends(self, n: int, dtype: DTypeLike) -> Addends:
        """An array for sums that are made again and again, in memory that the ranks share where they can."""

    def add_up(self, addends: Addends) -> None:
        """addends.total becomes the ranks' sum of addends.mine."""

    def host_memory(self, size: int) -> HostMemory | None:
        """So many bytes that the ranks of each host share; None where those of this rank's host cannot."""

    def max(self, buffer: np.ndarray) -> None:
        """buffer becomes the ranks' largest, entry by entry."""

    def broadcast(self, value: Any, root: int = 0) -> Any:
        """The root's value."""

    def gather(self, value: Any) -> list[Any] | None:
        """Every rank's value, by rank, on rank 0; None elsewhere."""

    def all_gather(self, value: Any) -> list[Any]:
        """Every rank's value, by rank."""

    def barrier(self) -> None:
        """Returns once every rank has come here."""

    def agree(self) -> None:
        """Like `barrier`, but where ranks are lost every survivor raises RanksLost, or none does."""

    def group(self, number: int) -> "Communicator":
        """The communicator of the ranks that gave the same number, in the order of this one."""

    def survive(self) -> list[str]:
        """Goes on without the lost ranks; rank, size and hosts change.

        Returns who they were or, where a call failed though all are there, one entry that says so and why.
        """

    def channel(self) -> Channel | None:
        """A way to tell the other ranks something while they wait in a collective call, or None."""

    def abort(self, status: int) -> None:
        """Ends every rank at once with this exit status."""

    def leave(self, status: int) -> int:
        """The exit status to return; does not return where MPI could not end in good order."""


class SingleProcess:
    """A communicator of one: what one process needs, without MPI."""

    rank, size = 0, 1
    mpi = "no MPI"
    resilient = False
    missed = entered = 0
    shelf: Shelf = MappingProxyType({})

    @property
    def apart(self) -> list[str]:
        return []

    @property
    def hosts(self) -> list[str]:
        return [socket.gethostname()]

    @property
    def pids(self) -> list[int]:
        return [os.getpid()]

    def sum(self, buffer: np.ndarray) -> None:
        pass

    def addends(self, n: int, dtype: DTypeLike) -> Addends:
        return addends.unshared(n, dtype)

    def add_up(self, addends: Addends) -> None:
        self.sum(addends.mine)

    def host_memory(self, size: int) -> HostMemory | None:
        return None

    def max(self, buffer: np.ndarray) -> None:
        pass

    def broadcast(self, value: Any, root: int = 0) -> Any:
        return value

    def gather(self, value: Any) -> list[Any] | None:
        return [value]

    def all_gather(self, value: Any) -> list[Any]:
        return [value]

    def barrier(self) -> None:
        pass

    def agree(self) -> None:
        pass

    def group(self, number: int) -> "Communicator":
        return self

    def survive(self) -> list[str]:
        return []

    def channel(self) -> Channel | None:
        return None

    def abort(self, status: int) -> None:
        os._exit(status)

    def leave(self, status: int) -> int:
        return status
