"""The watch: ends a wait that has lasted too long, and says which rank is waited for."""

import contextlib
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import TracebackType

from distmlp.parallel.communicator import Communicator


@contextlib.contextmanager
def within(seconds: float, what: str, comm: Communicator) -> Iterator[None]:
    """Ends the job where what is done inside takes longer, for what it waits for may never come."""

    def end() -> None:
        print(
            f"distmlp: {what} has taken {seconds:g} s; the job ends (run.stall_timeout)",
            file=sys.stderr,
            flush=True,
        )
        comm.abort(1)

    timer = threading.Timer(min(seconds, threading.TIMEOUT_MAX), end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class Watch:
    """A thread of each rank that ends a wait that has lasted too long, and says who was waited for.

    comm: the ranks.  seconds: how long one step may take.  `beat` says that this rank has gone on,
    and where it is now.  When no beat has come for that long, the thread tells the other ranks where
    this one is, over a channel of its own.  The ranks that stay silent are stopped or gone.

    A process of this host that has ended without MPI noticing is found sooner.  One that called exit
    is such a process, under ULFM without a failure detector.
    """

    #: Seconds that a rank is given to answer once a wait has lasted too long.
    ANSWER = 3.0

    #: Seconds that MPI is given to notice that a process has ended.
    NOTICE = 10.0

    def __init__(self, comm: Communicator, seconds: float) -> None:
        self._comm, self._seconds = comm, seconds
        self._bounded = math.isfinite(seconds) and comm.size > 1
        self._channel = comm.channel() if self._bounded else None
        self._beat = time.monotonic(), "at the start"
        self._ended = threading.Event()
        self._killed: set[int] = set()
        here = comm.hosts[comm.rank]
        # Only processes that can be seen from here: hosts may be containers that share a name.
        self._neighbours = [
            rank
            for rank in range(comm.size)
            if comm.hosts[rank] == here and _exists(comm.pids[rank])
        ]
        if self._bounded:
            threading.Thread(target=self._run, name="watch", daemon=True).start()

    def beat(self, place: str) -> None:
        """This rank has come to a place, such as "the sum of step 12"."""
        self._beat = time.monotonic(), place

    def __enter__(self) -> "Watch":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        if error is not None:
            error.add_note(f"this was in {self._beat[1]}")

    def _run(self) -> None:
        while not self._ended.wait(min(1.0, self._seconds / 4)):
            since, place = self._beat
            waited = time.monotonic() - since
            if waited > min(self.NOTICE, self._seconds):
                self._look_around(since, place)
            if waited > self._seconds or (self._channel and self._channel.is_called()):
                self._call_out(since, place)

    def _look_around(self, since: float, place: str) -> None:
        """Ends the job where a neighbour has ended and MPI does not say so."""
        gone = [rank for rank in self._neighbours if not _exists(self._comm.pids[rank])]
        if gone and self._beat[0] == since and not self._ended.is_set():
            if self._comm.rank == min(set(self._neighbours).difference(gone)):
                words = "; ".join(map(self._name, gone))
                print(
                    f"distmlp: {words} has ended, and MPI has not noticed, in {place}; "
                    "the job ends",
                    file=sys.stderr,
                    flush=True,
                )
            self._comm.abort(1)

    def _name(self, rank: int) -> str:
        return f"rank {rank} on {self._comm.hosts[rank]} (process {self._comm.pids[rank]})"

    def _call_out(self, since: float, place: str) -> None:
        comm = self._comm
        here = (comm.entered, place)
        answers = self._channel.exchange(here, self.ANSWER) if self._channel else {comm.rank: here}
        if self._ended.is_set() or self._beat[0] != since:
            return
        silent = [rank for rank in range(comm.size) if rank not in answers]
        entered = [count for count, _ in answers.values()]
        behind = [
            rank for rank, (count, _) in answers.items() if count == min(entered) < max(entered)
        ]
        said = [
            self._name(rank) + (f", which is in {answers[rank][1]}" if rank in answers else "")
            for rank in silent or behind
        ]
        speaker = min(answers) == comm.rank
        if speaker:
            missing = "; ".join(said) or "nobody in particular"
            print(
                f"distmlp: no progress for {self._seconds:g} s in {place}; waiting for {missing} "
                "(run.stall_timeout sets how long to wait)",
                file=sys.stderr,
                flush=True,
            )
        within_reach = {
            rank for rank in silent if comm.hosts[rank] in {comm.hosts[other] for other in answers}
        }
        if comm.resilient and within_reach - self._killed:
            # Ended for good, it is a lost rank, and the others go on without it.
            self._killed |= within_reach
            for rank in within_reach.intersection(self._neighbours):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(comm.pids[rank], signal.SIGKILL)
            self._beat = time.monotonic(), place
        elif speaker:
            comm.abort(1)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
