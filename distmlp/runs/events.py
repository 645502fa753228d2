"""events.jsonl: what happens to a run, one JSON object a line, for programs that watch it from outside.

Each line has "event", "time" (seconds since 1970), and

began      step, last_step, ranks, kernels, environment (hosts and their ranks, MPI, versions): steps are taken
           from this one on
lost       who (words, such as one for each lost rank), ranks (that go on), step (null: before the first)
stopped    step, reason (signal, time limit): the run was asked to stop, and its last checkpoint is written
complete   step, reason (epochs, patience, stop rule, until, converged, line search): finished.json is there
doubt      step, words: the training may come to nothing, and why
failed     rank, words, place (such as "step 31", or null), status (exit status): the run ends without its end

Rank 0 appends a line as soon as it can be told, and a rank that fails alone does so itself.  The lines of
earlier starts stay; `place` and `since` tell them from new ones.  Standard library only.
"""

import errno
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distmlp import files
from distmlp.errors import COMPLETE, CRASHED, STOPPED

NAME = "events.jsonl"

# What each kind must have, so that no reader is surprised by a line that a different program wrote.
_NEEDED: dict[str, dict[str, type | tuple[type, ...]]] = {
    "began": {"step": int, "last_step": int, "ranks": int},
    "lost": {"who": list, "ranks": int, "step": (int, type(None))},
    "stopped": {"step": int},
    "complete": {"step": int},
    "failed": {"rank": int, "words": str, "place": (str, type(None))},
}

_ENDS = {"complete": COMPLETE, "stopped": STOPPED}

Event = dict[str, Any]


def began(
    step: int, last_step: int, ranks: int, kernels: str, environment: dict[str, Any] | None = None
) -> Event:
    return {
        "event": "began",
        "step": step,
        "last_step": last_step,
        "ranks": ranks,
        "kernels": kernels,
        "environment": environment or {},
    }


def lost(who: list[str], ranks: int, step: int | None) -> Event:
    return {"event": "lost", "who": who, "ranks": ranks, "step": step}


def stopped(step: int, reason: str = "signal") -> Event:
    return {"event": "stopped", "step": step, "reason": reason}


def complete(step: int, reason: str = "epochs") -> Event:
    return {"event": "complete", "step": step, "reason": reason}


def doubt(step: int, words: str) -> Event:
    return {"event": "doubt", "step": step, "words": words}


def failed(rank: int, words: str, place: str | None, status: int = CRASHED) -> Event:
    return {"event": "failed", "rank": rank, "words": words, "place": place, "status": status}


def status_of(happened: list[Event]) -> int | None:
    """The exit status that the last end among events says; None where none has ended after its beginning.

    A launcher's own status may be that of a signal, or of one rank.
    """
    status = None
    for event in happened:
        kind = event["event"]
        if kind in _ENDS:
            status = _ENDS[kind]
        elif kind == "failed":
            status = event["status"] if isinstance(event.get("status"), int) else CRASHED
        elif kind == "began":
            status = None
    return status


def append(directory: str | Path | int, event: Event) -> None:
    """Adds an event to a run directory's file, with the time.  Raises OSError, where the directory is missing too.

    directory: its path, or its descriptor, which stays the same directory whatever becomes of the path.
    A link under the file's name is not followed.
    """
    line = f"{json.dumps({**event, 'time': time.time()})}\n".encode()
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    if isinstance(directory, int):
        handle = os.open(NAME, flags, 0o644, dir_fd=directory)
    else:
        handle = os.open(Path(directory) / NAME, flags, 0o644)
    try:
        # One write, so that lines of several ranks do not mix.
        if os.write(handle, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), NAME)
    finally:
        os.close(handle)


@dataclass(frozen=True)
class Place:
    """Where a run directory's file ended at some time."""

    inode: int
    size: int


def place(directory: str | Path) -> Place | None:
    """Where the file ends now; None where there is none."""
    try:
        stat = (Path(directory) / NAME).stat()
    except OSError:
        return None
    return Place(stat.st_ino, stat.st_size)


def since(directory: str | Path, start: Place | None) -> list[Event]:
    """The events after a place; all of them where the file is a new one.  Broken lines are left out."""
    try:
        with files.open_regular(Path(directory) / NAME) as file:
            if start is not None and os.fstat(file.fileno()).st_ino == start.inode:
                file.seek(start.size)
            lines = file.read().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue  # a line that is being written, or that a full disk cut short
        if isinstance(event, dict) and _is_whole(event):
            found.append(event)
    return found


def _is_whole(event: Event) -> bool:
    """Whether an event has a name and what belongs to it; kinds that are not known need nothing more."""
    needed = _NEEDED.get(str(event.get("event")), {})
    return (
        "event" in event
        and all(key in event and isinstance(event[key], kind) for key, kind in needed.items())
        and ("who" not in needed or all(isinstance(words, str) for words in event["who"]))
    )
