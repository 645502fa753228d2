"""The watch: ends a wait that has lasted too long, and says which rank is waited for."""

import contextlib
import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import TracebackType

from distmlp.config.sections import RunConfig
from distmlp.errors import CRASHED
from distmlp.parallel.communicator import Communicator
from distmlp.training.failing import end_job, put_place, say


@contextlib.contextmanager
def within(config: RunConfig, what: str, comm: Communicator) -> Iterator[None]:
    """Ends the job where what is done inside takes longer than run.stall_timeout: what it waits for may never come."""
    seconds = config.stall_seconds
    words = f"{what} has taken {seconds:g} s; the job ends (run.stall_timeout)"
    timer = threading.Timer(
        min(seconds, threading.TIMEOUT_MAX), end_job, (config.directory, comm, words)
    )
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class Watch:
    """A thread of each rank that ends a wait that has lasted too long, and says who was waited for.

    config: its stall_timeout says how long one step may take.  comm: the ranks.  `beat` says that
    this rank has gone on, and where it is now.  When no beat has come for that long, the thread tells
    the other ranks where this one is, over a channel of its own.  The ranks that stay silent are
    stopped or gone.

    A process of this host that has ended without MPI noticing is found sooner.  One that called exit
    is such a process, under ULFM without a failure detector.
    """

    #: Seconds that a rank is given to answer once a wait has lasted too long.
    ANSWER = 3.0

    #: Seconds that MPI is given to notice that a process has ended.
    NOTICE = 10.0

    def __init__(self, config: RunConfig, comm: Communicator) -> None:
        self._comm, self._seconds = comm, config.stall_seconds
        self._directory = config.directory
        self._bounded = math.isfinite(self._seconds) and comm.size > 1
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
            put_place(error, self._beat[1])

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
        if not gone or self._beat[0] != since or self._ended.is_set():
            return
        if self._comm.rank == min(set(self._neighbours).difference(gone)):
            words = "; ".join(map(self._name, gone))
            self._end_job(f"{words} has ended, and MPI has not noticed, in {place}; the job ends")
        else:
            self._comm.abort(CRASHED)

    def _end_job(self, words: str) -> None:
        end_job(self._directory, self._comm, words)

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
        words = (
            f"no progress for {self._seconds:g} s in {place}; waiting for {'; '.join(said) or 'nobody in particular'} "
            "(run.stall_timeout sets how long to wait)"
        )
        within_reach = {
            rank for rank in silent if comm.hosts[rank] in {comm.hosts[other] for other in answers}
        }
        if comm.resilient and within_reach - self._killed:
            # Ended for good, it is a lost rank, and the others go on without it.
            if speaker:
                say(words)
            self._killed |= within_reach
            for rank in within_reach.intersection(self._neighbours):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(comm.pids[rank], signal.SIGKILL)
            self._beat = time.monotonic(), place
        elif speaker:
            self._end_job(words)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
