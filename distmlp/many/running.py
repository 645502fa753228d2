"""Training many networks: ranks in groups, each group one network after another.

A network's v is that of a run by itself, for the number of ranks decides nothing.  One that diverges, or that cannot be
trained, ends alone.  The groups take the next network from the directory, by making a file that nobody else has made.
"""

import contextlib
import os
import shutil
import time
import traceback
import uuid
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path

from distmlp.config.sections import Config
from distmlp.data.dataset import Held
from distmlp.errors import CheckpointFailed, Corrupted, Diverged, InputError
from distmlp.many.plan import Member, config_of
from distmlp.parallel.communicator import Communicator, RanksLost
from distmlp.runs.directory import end_of
from distmlp.training.holding import shelve
from distmlp.training.loop import train
from distmlp.training.reporting import LogOnly
from distmlp.training.watch import Watch

#: How a member's training may end here.
COMPLETE, STOPPED, DIVERGED, FAILED = "complete", "stopped", "diverged", "failed"


@dataclass(frozen=True)
class Outcome:
    """How a member's training ended.  state: one of the above.  words: why it is not complete."""

    state: str
    words: str = ""


class Quiet(LogOnly):
    """The log; warnings for one member of many are said with its name."""

    def __init__(self, member: Member, say: Callable[[str], None]) -> None:
        super().__init__()
        self._member, self._tell = member, say

    def warn(self, text: str) -> None:
        self._tell(f"network {self._member.name}: {text}")


def run_in_groups(
    config: Config,
    members: list[Member],
    comm: Communicator,
    groups: int,
    should_stop: Callable[[], bool],
    say: Callable[[str], None],
) -> dict[str, Outcome]:
    """Trains what is not complete yet, in so many groups of ranks; the outcomes by name, on every rank.

    Collective.  say: is told of each end, on the first rank of a group.  Where a whole group is lost (with ULFM),
    the others train its network.
    """
    ends = time.monotonic() + config.run.time_limit_seconds
    found: dict[str, Outcome] = {}
    shelf: Mapping[Hashable, Held] | None = None
    while True:
        left = [member for member in members if member.name not in found]
        try:
            left = comm.broadcast([m for m in left if not is_complete(config, m)])
            claims = comm.broadcast(
                Path(config.run.directory) / f"claims-{uuid.uuid4().hex}"
                if comm.rank == 0
                else None
            )
            count = min(groups, comm.size, max(1, len(left)))
            with watch_over_many(config, comm):
                if shelf is None and count > 1:
                    shelf = shelve((config_of(config, member) for member in left), comm)
                group = comm.group(comm.rank * count // comm.size)
                group.shelf = shelf or {}
                mine = _take_turns(
                    config,
                    left,
                    group,
                    claims,
                    lambda: should_stop() or time.monotonic() > ends,
                    say,
                )
                for others in comm.all_gather(mine):
                    found.update(others)
            stopped = any(outcome.state == STOPPED for outcome in found.values())
            if comm.rank == 0:
                shutil.rmtree(claims, ignore_errors=True)
            if stopped or all(member.name in found for member in left):
                return found
        except RanksLost:
            if not comm.resilient:
                raise
            lost = comm.survive()
            if comm.rank == 0:
                say(f"lost {', '.join(lost)}; {comm.size} go on")


def watch_over_many(config: Config, comm: Communicator) -> Watch:
    """A watch over all ranks, which wait for one another between their networks."""
    return Watch(config.run.stall_seconds, comm, "the training of many networks", asks=True)


def is_complete(config: Config, member: Member) -> bool:
    """Whether a member's run is marked as complete."""
    return end_of(Path(config.run.directory) / member.name) is not None


def _take_turns(
    config: Config,
    members: list[Member],
    group: Communicator,
    claims: Path,
    should_stop: Callable[[], bool],
    say: Callable[[str], None],
) -> dict[str, Outcome]:
    """Trains one member after another that no other group has taken."""
    found: dict[str, Outcome] = {}
    left = list(members)
    while True:
        taken = None
        if group.rank == 0 and not should_stop():
            taken = next((i for i, m in enumerate(left) if _claim(claims, m)), None)
        taken = group.broadcast(taken)
        if taken is None:
            if group.rank == 0 and should_stop() and left:
                found.setdefault(left[0].name, Outcome(STOPPED, "asked to stop"))
            return found
        member, left = left[taken], left[taken + 1 :]
        outcome = _trained(config, member, group, should_stop, say)
        found[member.name] = outcome
        if group.rank == 0:
            say(sentence(member, outcome))
        if outcome.state == STOPPED:
            return found


def _claim(claims: Path, member: Member) -> bool:
    """Whether this group is the first to take a member."""
    claims.mkdir(exist_ok=True)
    try:
        os.close(os.open(claims / member.name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    except FileExistsError:
        return False
    return True


def _trained(
    config: Config,
    member: Member,
    group: Communicator,
    should_stop: Callable[[], bool],
    say: Callable[[str], None],
) -> Outcome:
    """How a member's training ends; collective over its group."""
    try:
        own = config_of(config, member)
        result = train(own, group, report=Quiet(member, say), should_stop=should_stop)
    except Diverged as error:
        return Outcome(DIVERGED, str(error))
    except (InputError, CheckpointFailed, Corrupted) as error:
        return Outcome(FAILED, str(error))
    except Exception as error:
        if group.size > 1:
            raise  # the others wait for this rank
        with contextlib.suppress(OSError):
            path = Path(config.run.directory) / member.name / "error.txt"
            path.write_text(traceback.format_exc())
        return Outcome(FAILED, f"{type(error).__name__}: {error}")
    return Outcome(COMPLETE if result.complete else STOPPED)


def sentence(member: Member, outcome: Outcome) -> str:
    """What is said when a member's training has ended."""
    why = f": {outcome.words}" if outcome.words else ""
    return f"network {member.name} ({member.words}) {outcome.state}{why}"
