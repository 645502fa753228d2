"""The watch: ends a wait that has lasted too long, and says which rank is waited for."""

import contextlib
import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import TracebackType

from distmlp.config.sections import Config, RunConfig
from distmlp.errors import CRASHED
from distmlp.parallel import progress
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

    seconds: how long a rank may stay where it is.  comm: the ranks.  place: where this one is at first.
    directory: the run's, where there is a run.  asks: for ranks that train in groups.  A wait for a different
    group may be long, so it ends only where that can be asked, and not where groups go on without lost ranks.  `beat` says that this rank has gone on, and where it is now; rows
    that are read and collective calls that return say so too.  When this rank has not gone on for that
    long, the thread tells the other ranks where it is, over a channel of its own.  As long as one of
    them goes on, it is waited for.  The ranks that stay silent are stopped or gone.

    A process of this host that has ended without MPI noticing is found sooner.  One that called exit
    is such a process, under ULFM without a failure detector.
    """

    #: Seconds that a rank is given to answer once a wait has lasted too long.
    ANSWER = 3.0

    #: Seconds that MPI is given to notice that a process has ended.
    NOTICE = 10.0

    def __init__(
        self,
        seconds: float,
        comm: Communicator,
        place: str,
        directory: str | None = None,
        asks: bool = False,
    ) -> None:
        self._comm, self._seconds, self._directory = comm, seconds, directory
        self._bounded = math.isfinite(self._seconds) and comm.size > 1
        self._channel = comm.channel() if self._bounded else None
        # A group may go on without a rank whose process this watch would miss, where lost ranks are left behind.
        self._bounded = self._bounded and not (asks and (self._channel is None or comm.resilient))
        self._beat = time.monotonic(), place
        self._quiet_until = 0.0
        self._ended = threading.Event()
        self._killed: set[int] = set()
        here = comm.hosts[comm.rank]
        # Only processes that can be seen from here: hosts may be containers that share a name.
        self._neighbours = [
            rank
            for rank in range(comm.size)
            if comm.hosts[rank] == here and _exists(comm.pids[rank])
        ]
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        if self._bounded:
            self._thread.start()

    def beat(self, place: str) -> None:
        """This rank has come to a place, such as "the sum of step 12"."""
        progress.made()  # for a watch over more ranks than this one's
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
        if self._thread.is_alive():
            self._thread.join(self.ANSWER + 1)  # it must not be at MPI when that ends
        if error is not None:
            put_place(error, self._beat[1])

    def _run(self) -> None:
        done = self._done()
        while not self._ended.wait(min(1.0, self._seconds / 4)):
            since, place = self._beat
            if done != self._done():
                done, since, place = self._done(), time.monotonic(), self._beat[1]
                self._beat = since, place
            waited = time.monotonic() - since
            if waited > min(self.NOTICE, self._seconds):
                self._look_around(since, place)
            stalled = waited > self._seconds and time.monotonic() > self._quiet_until
            if stalled or (self._channel and self._channel.is_called()):
                self._call_out(since, place)

    def _done(self) -> tuple[int, int]:
        """What is different whenever this rank has gone on between two beats."""
        return self._comm.entered, progress.so_far()

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
        here = (comm.entered, place, time.monotonic() - since)
        answers = self._channel.exchange(here, self.ANSWER) if self._channel else {comm.rank: here}
        if self._ended.is_set() or self._beat[0] != since:
            return
        least = min(waited for _, _, waited in answers.values())
        if least < self._seconds:
            # One of them goes on, so all the others wait for it.
            self._quiet_until = time.monotonic() + self._seconds - least
            return
        silent = [rank for rank in range(comm.size) if rank not in answers]
        entered = [count for count, _, _ in answers.values()]
        behind = [
            rank for rank, (count, _, _) in answers.items() if count == min(entered) < max(entered)
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


def watch_over(config: Config, comm: Communicator, place: str) -> Watch:
    """A watch over a training, from a place on."""
    return Watch(config.run.stall_seconds, comm, place, config.run.directory)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
