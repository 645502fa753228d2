"""The ranks of an mpi4py communicator, and how the survivors of a lost rank go on (ULFM)."""

import contextlib
import functools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
from numpy.typing import DTypeLike

from distmlp.parallel import addends, hostmemory, openmpi, slices
from distmlp.parallel.addends import Addends, AddendsOfHosts, SharedAddends
from distmlp.parallel.channel import Channel
from distmlp.parallel.communicator import RanksLost, Shelf
from distmlp.parallel.hostmemory import HostMemory
from distmlp.parallel.meeting import GivenUp, Meeting

P = ParamSpec("P")
T = TypeVar("T")

#: A rank of all that were started, its host and its process.
_Member = tuple[int, str, int]

# A host that is cut off does not reach the launcher, which MPI_Abort may wait for, so many seconds at most.
_ABORT = 5.0

# Seconds that the ranks may take to end together.
_ENDING = 600

# A launcher that ends the ranks at once may not have read yet what was said, for so many seconds.
_HEARD = 0.3


def all_ranks() -> Any:
    """MPI_COMM_WORLD; starts MPI.  Raises ImportError or RuntimeError where mpi4py cannot use MPI."""
    import mpi4py

    if "mpi4py.MPI" not in sys.modules:  # whose import would start it
        mpi4py.rc(initialize=False, finalize=mpi4py.rc.finalize is not False)
    from mpi4py import MPI

    if not MPI.Is_initialized():
        openmpi.drop_early_heartbeats(MPI)
        level = mpi4py.rc.thread_level if mpi4py.rc.threads else "single"
        MPI.Init_thread(getattr(MPI, f"THREAD_{level.upper()}"))
    return MPI.COMM_WORLD


def _on_all_or_none(
    method: Callable[Concatenate["MpiCommunicator", P], T],
) -> Callable[Concatenate["MpiCommunicator", P], T]:
    """A collective method that, where ranks are lost meanwhile, raises RanksLost on every survivor.

    MPI may tell one survivor of the loss and another that the call has succeeded; in Open MPI 5.0 also with
    a result that is not whole.  The agreement that follows succeeds nowhere unless every rank has come to
    it, and with a result: so one that is returned is right, and returned everywhere.
    """

    @functools.wraps(method)
    def wrapped(self: "MpiCommunicator", *arguments: P.args, **named: P.kwargs) -> T:
        self.entered += 1
        if not self.resilient:
            _wait_here(self._meeting)
            return method(self, *arguments, **named)
        value: Any = None
        fault = None
        try:
            _wait_here(self._meeting)
            value = method(self, *arguments, **named)
        except Exception as error:  # also what comes of unpickling half a message
            fault = error
            self._told = _words(error)
            if self._meeting:
                self._meeting.give_up()
            self._comm.Revoke()  # or the others would wait in the call for this rank
        try:
            all_have_it = self._comm.Agree(fault is None)
        except self._MPI.Exception as error:
            if self._is_loss(error):
                self._told = self._told or _words(error)
                raise RanksLost from None
            raise
        if fault is not None and not self._is_loss(fault):
            raise fault
        if not all_have_it:
            raise RanksLost
        return value

    return wrapped


class MpiCommunicator:
    """The ranks of an mpi4py communicator; see `Communicator` for what each method does.

    resilient: under Open MPI's mpirun --with-ft ulfm.
    """

    def __init__(self, comm: Any):
        """comm: an mpi4py communicator, which stays the caller's."""
        from mpi4py import MPI

        self._MPI, self._comm = MPI, comm
        self._types = _types(MPI)
        self.mpi = _name(MPI)
        self.resilient = openmpi.has_ulfm(MPI)
        self._who = (comm.Get_rank(), MPI.Get_processor_name(), os.getpid())
        self._all: list[_Member] = []
        self._meeting: Meeting | None = None
        # What told this rank, and all of them, of a loss that they have not gone on from.
        self._told = self._why = ""
        self.apart: list[str] = []
        self.shelf: Shelf = {}
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
        all_told = self._comm.allgather((self._who, self._told))
        self._all = [who for who, _ in all_told]
        self._why = "; ".join(dict.fromkeys(told for _, told in all_told if told))
        self.hosts = [host for _, host, _ in self._all]
        self.pids = [pid for _, _, pid in self._all]

    def _is_loss(self, error: Exception) -> bool:
        return isinstance(error, GivenUp) or openmpi.is_loss(self._MPI, error)

    @_on_all_or_none
    def sum(self, buffer: np.ndarray) -> None:
        self._comm.Allreduce(self._MPI.IN_PLACE, [buffer, self._types[buffer.dtype]], self._MPI.SUM)

    @_on_all_or_none
    def max(self, buffer: np.ndarray) -> None:
        self._comm.Allreduce(self._MPI.IN_PLACE, [buffer, self._types[buffer.dtype]], self._MPI.MAX)

    @_on_all_or_none
    def addends(self, n: int, dtype: DTypeLike) -> Addends:
        if self.size == 1:
            return addends.unshared(n, dtype)
        hosts, kind = slices.ranks_by_host(self.hosts), self._types[np.dtype(dtype)]
        is_lost = functools.partial(openmpi.is_one_lost, self._MPI, self._comm, self.resilient)
        found, able = addends.of(self._comm, kind, hosts, n, dtype, is_lost)
        self.apart = [self.hosts[ranks[0]] for ranks in hosts if ranks not in able]
        if isinstance(found, SharedAddends | AddendsOfHosts):
            self._meeting = self._meeting or found.meeting
        return found

    @_on_all_or_none
    def host_memory(self, size: int) -> HostMemory | None:
        shared = hostmemory.share_by_host
        return shared(self._comm, self.hosts, size) if self.size > 1 else None

    def add_up(self, addends: Addends) -> None:
        if isinstance(addends, SharedAddends):
            self._add_up_in_shared_memory(addends)
        elif isinstance(addends, AddendsOfHosts):
            self._add_up_over_hosts(addends)
        elif self.size > 1:  # what one rank has is the sum
            self.sum(addends.mine)

    def _add_up_in_shared_memory(self, addends: SharedAddends) -> None:
        self.entered += 1
        try:
            addends.add_up()
        except Exception as error:
            if self._is_loss(error):
                self._told = _words(error)
                raise RanksLost from None
            raise

    @_on_all_or_none
    def _add_up_over_hosts(self, addends: AddendsOfHosts) -> None:
        addends.add_up()

    @_on_all_or_none
    def broadcast(self, value: Any, root: int = 0) -> Any:
        return self._comm.bcast(value, root=root)

    @_on_all_or_none
    def gather(self, value: Any) -> list[Any] | None:
        return self._comm.gather(value, root=0)

    @_on_all_or_none
    def all_gather(self, value: Any) -> list[Any]:
        return self._comm.allgather(value)

    @_on_all_or_none
    def barrier(self) -> None:
        self._comm.Barrier()

    @_on_all_or_none
    def agree(self) -> None:
        if not self.resilient:
            self._comm.Barrier()

    @_on_all_or_none
    def group(self, number: int) -> "MpiCommunicator":
        return MpiCommunicator(self._comm.Split(number, self.rank))

    def survive(self) -> list[str]:
        before = self._all
        self._meeting = None
        while True:
            try:
                self._comm.Revoke()
                self._comm = self._comm.Shrink()
                # A revocation that reaches a rank before it has finished making the communicator crashes
                # it (Open MPI 5.0).  Once this returns, also with an error, every survivor has made it.
                self.agree()
                self._meet()
                break
            except (RanksLost, self._MPI.Exception) as error:
                if not (isinstance(error, RanksLost) or self._is_loss(error)):
                    raise
        self._told = ""
        return _lost(before, self._all, self._why)

    @_on_all_or_none
    def channel(self) -> Channel | None:
        if self._MPI.Query_thread() != self._MPI.THREAD_MULTIPLE:
            return None
        return Channel(self._comm.Dup(), self._MPI.Exception)

    def abort(self, status: int) -> None:
        _abort(self._MPI, status)

    def leave(self, status: int) -> int:
        if self.resilient:
            # MPI_Finalize waits for those who are gone, and with a failure detector in a thread for ever.
            # Whoever leaves without it counts as lost, so nobody does before all have come here.
            with contextlib.suppress(RanksLost):
                self.barrier()
            _flush()
            os._exit(status)
        _bound_the_end()
        return status


def _abort(MPI: Any, status: int) -> None:
    _flush()
    time.sleep(_HEARD)
    threading.Timer(_ABORT, os._exit, (status,)).start()
    MPI.COMM_WORLD.Abort(status)


def _bound_the_end() -> None:
    """Ends this process where MPI_Finalize, which comes after all of Python, waits for other ranks in vain."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(_ENDING)


def _wait_here(meeting: Meeting | None) -> None:
    """Waits in memory for the ranks of this host, where MPI would spin for them."""
    if meeting:
        meeting.meet()


def _lost(before: list[_Member], after: list[_Member], why: str) -> list[str]:
    """Words for each member that is lost, or for what failed where none is."""
    lost = [member for member in before if member not in after]
    if not lost:
        return [f"no rank, though a call failed ({why})"]
    return [f"rank {who} on {host} (process {pid})" for who, host, pid in lost]


def _words(error: Exception) -> str:
    """An error on one line."""
    return " ".join(str(error).split()) or type(error).__name__


def _types(MPI: Any) -> dict[np.dtype, Any]:
    """MPI's type of each numpy type that is added up."""
    return {
        np.dtype(np.int32): MPI.INT32_T,
        np.dtype(np.int64): MPI.INT64_T,
        np.dtype(np.float32): MPI.FLOAT,
        np.dtype(np.float64): MPI.DOUBLE,
    }


def _name(MPI: Any) -> str:
    """The MPI and its version, of "Open MPI v5.0.11, package: …" or "MPICH Version:      5.0.2\n…"."""
    first = MPI.Get_library_version().partition(",")[0].splitlines()[0]
    return " ".join(first.replace("Version:", "").split())


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
