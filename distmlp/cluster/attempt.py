"""One start of mpirun, from its beginning to its end.  Standard library only."""

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from distmlp.cluster import processes
from distmlp.cluster.hosts import Host
from distmlp.cluster.mpirun import Mpirun, environment
from distmlp.cluster.relaying import relay
from distmlp.cluster.stopping import StopRequest, signal_with_parent
from distmlp.errors import BAD_INPUT, COMPLETE, CRASHED, DIVERGED
from distmlp.runs import events
from distmlp.runs.directory import end_of, holder_of, is_free, newest_step

#: Seconds after which a run that has not come to work is told to stop all the same.
_UP = 30.0


@dataclass(frozen=True)
class Attempt:
    """A start of mpirun and what became of it.

    returned: mpirun's own status.  status: what it comes to.  at_work: whether the run had come to take its
    directory.  step: the newest one that it left.  lost: who was lost on the way.  place: where the rank
    that failed was.  last_words: of those that failed.  waited: mpirun had to be ended.
    """

    ranks: int
    hosts: tuple[Host, ...]
    seconds: float
    returned: int
    status: int
    at_work: bool
    step: int
    lost: tuple[str, ...]
    place: str | None
    last_words: tuple[str, ...]
    waited: bool

    @property
    def where(self) -> tuple[object, ...]:
        """What a crash at the same place again would be equal to."""
        return self.at_work, self.place or self.step, [host.name for host in self.hosts]


@dataclass(frozen=True)
class Starter:
    """Starts mpirun for one run, as often as asked.

    directory: the run's.  mark: this launch's own.  patience: seconds that mpirun may stay after the run has
    ended, since it can wait for ever for a lost host.
    """

    mpirun: Mpirun
    directory: Path
    mark: str
    stop: StopRequest
    patience: float

    def attempt(self, ranks: int, hosts: tuple[Host, ...], words: Sequence[str]) -> Attempt:
        """Runs `distmlp WORDS` and returns when it has ended, with nothing of it left on this machine."""
        began, run = time.monotonic(), _Run(self.directory)
        process = subprocess.Popen(
            self.mpirun.command(ranks, hosts, words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(**{processes.MARK: self.mark}),
            start_new_session=True,
            # the ranks stop with a checkpoint where this process is killed, which nobody would hear of else
            preexec_fn=signal_with_parent(signal.SIGUSR1),
        )
        pipes = ((process.stdout, sys.stdout.buffer), (process.stderr, sys.stderr.buffer))
        relays = [relay(pipe, out) for pipe, out in pipes if pipe]
        waited = self._wait(process, run)
        processes.end(self.mark, process)
        until = time.monotonic() + 2  # what reaches a lost host may hold the pipes open
        for thread in relays:
            thread.join(max(0.0, until - time.monotonic()))
        happened = run.events()
        failed = [event for event in happened if event["event"] == "failed"]
        return Attempt(
            ranks,
            hosts,
            seconds=time.monotonic() - began,
            returned=process.wait(),
            status=run.status(process.wait(), bool(self.mpirun.open_mpi)),
            at_work=run.at_work(),
            step=newest_step(self.directory),
            lost=tuple(_lost(event) for event in happened if event["event"] == "lost"),
            place=failed[-1]["place"] if failed else None,
            last_words=tuple(event["words"] for event in failed[-3:]),
            waited=waited,
        )

    def _wait(self, process: subprocess.Popen[bytes], run: "_Run") -> bool:
        """Returns when mpirun has ended, or must be ended; True where it stayed too long after the run's end.

        Passes a request to stop on as SIGUSR1 once the run is at work, since before that it would only kill it.
        """
        passed_on, over_since = False, None
        while process.poll() is None:
            time.sleep(0.05)
            if self.stop.at_once:
                return False
            at_work, now = run.at_work(), time.monotonic()
            if self.stop.since and not passed_on and (at_work or now - self.stop.since > _UP):
                passed_on = True
                process.send_signal(signal.SIGUSR1)
            idle = at_work and not processes.has_ranks(self.mark) and run.is_free()
            if not (idle or run.is_complete()):
                over_since = None
            elif over_since is None:
                over_since = now
            elif now - over_since > self.patience:
                return True
        return False


class _Run:
    """A run directory while mpirun is at work on it, compared with how it was before."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._end, self._holder = end_of(directory), holder_of(directory)
        self._place = events.place(directory)

    def at_work(self) -> bool:
        """Whether the run has come to take its directory."""
        return holder_of(self._directory) != self._holder

    def is_complete(self) -> bool:
        """Whether there is an end mark that was not there before."""
        return end_of(self._directory) not in (None, self._end)

    def is_free(self) -> bool:
        """Whether no rank holds the directory any more."""
        return is_free(self._directory)

    def events(self) -> list[events.Event]:
        """What has happened so far."""
        return events.since(self._directory, self._place)

    def status(self, returned: int, open_mpi: bool) -> int:
        """What a start has come to, whatever mpirun returned.

        Under ULFM that is 0 where all ranks were killed, and a lost rank's status where others went on.
        """
        if self.is_complete():
            return COMPLETE
        said = events.status_of(self.events())
        if said is not None:
            return said
        # MPICH calls the death of a rank by SIGINT 2, and by SIGQUIT 3.
        by_signal = returned in (BAD_INPUT, DIVERGED) and not open_mpi and self.at_work()
        return CRASHED if returned <= 0 or by_signal else returned


def _lost(event: events.Event) -> str:
    place = "begin" if event["step"] is None else f"go on from step {event['step']}"
    return f"lost {', '.join(event['who'])}; {event['ranks']} {place}"
