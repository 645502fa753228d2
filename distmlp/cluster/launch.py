"""`distmlp launch`: a training on many ranks to its end, through crashes and lost hosts.

mpirun gets what the run needs to survive a lost rank.  After a crash it is started again, from the newest good
checkpoint.  A crash that repeats at the same place is a bug and no fault, and ends the launch.
"""

import signal
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from distmlp.cluster.attempt import Attempt, Starter
from distmlp.cluster.hosts import Host, reachable
from distmlp.cluster.mpirun import Mpirun
from distmlp.cluster.stopping import StopRequest
from distmlp.errors import BAD_INPUT, COMPLETE, DIVERGED, STOPPED
from distmlp.runs.directory import is_free
from distmlp.wording import counted

_ENDS = {
    COMPLETE: "complete",
    BAD_INPUT: "bad config or data",
    DIVERGED: "diverged",
    STOPPED: "stopped; the same command goes on",
}


@dataclass(frozen=True)
class Launch:
    """What is asked.

    hosts: those to run on, none for this one.  restarts: how often to start again at most.  patience: seconds
    that mpirun may stay after the run has ended.  directory: the run's.  words: of `distmlp train`, to go on
    with.  first: further ones of the first start, such as --resume never.
    """

    mpirun: Mpirun
    ranks: int
    hosts: tuple[Host, ...]
    restarts: int
    patience: float
    directory: Path
    words: tuple[str, ...]
    first: tuple[str, ...] = ()


def run(asked: Launch) -> int:
    """Brings a training to its end, says on standard error what happened, and returns the exit status."""
    status, attempts = _to_the_end(asked, StopRequest())
    _sum_up(attempts, status, asked.patience)
    return status


def _to_the_end(asked: Launch, stop: StopRequest) -> tuple[int, list[Attempt]]:
    """Starts mpirun until nothing is to be gained by it any more; the exit status, and every start."""
    starter = Starter(asked.mpirun, asked.directory, uuid.uuid4().hex, stop, asked.patience)
    ranks, hosts, first = asked.ranks, asked.hosts, asked.first
    # A start can lose ranks by chance, as Open MPI 5.0 does now and then.  The second begins with those who come up.
    more: tuple[str, ...] = ("--all-ranks",)
    attempts: list[Attempt] = []
    while True:
        last = starter.attempt(ranks, hosts, (*asked.words, *more, *first))
        attempts.append(last)
        if stop.at_once:
            return 128 + signal.SIGINT, attempts
        if last.status in _ENDS:
            return last.status, attempts
        if stop.since:
            return STOPPED, attempts
        reason = _why_not_again(attempts, asked.restarts)
        left = () if reason else reachable(hosts, asked.mpirun.agent)
        if hosts and not left:
            reason = reason or "no host answers any more"
        if reason:
            _say(reason)
            return last.status, attempts
        if left != hosts:
            gone = [host.name for host in hosts if host not in left]
            _say(f"{', '.join(gone)} {'does' if len(gone) == 1 else 'do'} not answer")
            hosts, ranks = left, min(ranks, sum(host.ranks for host in left))
        _say(f"crashed at step {last.step}; starting again with {counted(ranks, 'rank')}")
        more = ()
        if last.at_work:
            first = ()  # the beginning has been asked for; from here on it is this run that goes on
        _await_directory(asked)


def _why_not_again(attempts: Sequence[Attempt], restarts: int) -> str | None:
    """Why the run that has crashed is not started again, or None."""
    last = attempts[-1]
    if len(attempts) > 1 and attempts[-2].where == last.where:
        where = f"in {last.place or f'the steps after {last.step}'}"
        return (
            f"crashed twice {where if last.at_work else 'before it was at work'}: that is a bug and no fault, "
            "so it is not started again"
        )
    if len(attempts) > restarts:
        return f"crashed {len(attempts)} times (--restarts {restarts})"
    return None


def _await_directory(asked: Launch) -> None:
    """Gives the ranks on other hosts, which end when their daemons do, the time to let go of the run directory."""
    time.sleep(0.5)
    until = time.monotonic() + asked.patience
    while not is_free(asked.directory) and time.monotonic() < until:
        time.sleep(0.05)


def _say(text: str) -> None:
    print(f"distmlp launch: {text}", file=sys.stderr, flush=True)


def _sum_up(attempts: Sequence[Attempt], status: int, patience: float) -> None:
    """Says how it ended and, where anything happened on the way, what became of each start."""
    seconds = sum(start.seconds for start in attempts)
    count = counted(len(attempts), "start")
    end = _ENDS.get(status, "crashed")
    _say(f"{end} after {count} and {seconds:.0f} s (exit status {status})")
    if len(attempts) == 1 and not attempts[0].lost and status in _ENDS:
        return
    for number, start in enumerate(attempts, 1):
        names = f" on {', '.join(host.name for host in start.hosts)}" if start.hosts else ""
        end = _ENDS.get(start.status, f"crashed (status {start.returned} of mpirun)")
        _say(
            f"  start {number}: {counted(start.ranks, 'rank')}{names}, {start.seconds:.0f} s, to step {start.step}: {end}"
        )
        for words in start.lost:
            _say(f"    {words}")
        if start.waited:
            _say(f"    mpirun did not end by itself and was ended after {patience:g} s")
        if start.status not in _ENDS:
            for words in start.last_words:
                _say(f"    {words}")
