"""A run followed from a different terminal: what its log and its events say, as they are written.

It only reads, needs no MPI, and works while the run is at work on this machine or, over a shared file system, elsewhere.
"""

import contextlib
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from distmlp import files
from distmlp.errors import COMPLETE, CRASHED, STOPPED, InputError
from distmlp.runs import directory, events
from distmlp.runs.log import read_records
from distmlp.training.terminal import Sight, epoch_line
from distmlp.wording import counted

#: Epochs before now that are shown first.
_SHOWN_FIRST = 10


class Follower:
    """Says what is new in a run directory, each time it is asked.

    say: is given each line.
    """

    def __init__(self, run: Path, say: Callable[[str], None]) -> None:
        self._run, self._say = run, say
        self._seen_events = 0
        self._seen_step = -1
        self._held = False
        self._status: int | None = None
        self.last_step: int | None = None
        self.records: list[dict[str, Any]] = []
        self.epochs = 0

    def look(self) -> int | None:
        """Says what is new, and returns the exit status that the run has come to; None while it goes on."""
        at_work = not directory.is_free(self._run)
        happened = events.since(self._run, None)
        first, new = self._seen_step < 0, happened[self._seen_events :]
        self._seen_events = len(happened)
        if first:  # of what was before, only the last start counts
            began = [i for i, event in enumerate(new) if event["event"] == "began"]
            new = new[began[-1] :] if began else new
        for event in new:
            if event["event"] == "began":
                self._begin(event)
        self._say_epochs(first)
        for event in new:
            self._tell(event)
        if self._status is not None and not at_work:
            return self._status
        if self._held and not at_work:
            self._say("the run is no longer at work, and has not said why: it was killed, perhaps")
            return CRASHED
        self._held = at_work
        return None

    def _begin(self, event: events.Event) -> None:
        self.last_step, self._seen_step = (
            event["last_step"],
            min(max(self._seen_step, 0), event["step"]),
        )
        with contextlib.suppress(
            OSError, ValueError, LookupError, TypeError, RecursionError, OverflowError
        ):
            config = tomllib.loads(files.text_in(self._run / "config.toml"))
            self.epochs = int(config["training"]["epochs"])
        self._say(
            f"{_when(event)}  began after step {event['step']} of {event['last_step']} "
            f"with {counted(event['ranks'], 'rank')}"
        )

    def _say_epochs(self, first: bool) -> None:
        try:
            self.records = read_records(self._run / "log.jsonl")
        except PermissionError as error:  # neither now nor later
            raise InputError(f"{error.filename} cannot be read: {error.strerror}") from None
        except OSError:
            pass  # it is being written anew
        new = [record for record in self.records if record["step"] > self._seen_step]
        if first and len(self.records) > _SHOWN_FIRST:
            self._say(f"… {len(self.records) - _SHOWN_FIRST} epochs before")
        for record in self.records[-_SHOWN_FIRST:] if first else new:
            self._say(epoch_line(record, self.epochs or record["epoch"]))
        if self.records:
            self._seen_step = max(self._seen_step, self.records[-1]["step"])
        self._seen_step = max(self._seen_step, 0)

    def _tell(self, event: events.Event) -> None:
        """Says what has happened, and keeps the status that it means, if it means one."""
        kind = event["event"]
        if kind == "began":
            self._status = None
        elif kind == "lost":
            self._say(f"{_when(event)}  lost {', '.join(event['who'])}; {event['ranks']} go on")
        elif kind == "stopped":
            self._say(f"{_when(event)}  stopped after step {event['step']}, to go on later")
            self._status = STOPPED
        elif kind == "failed":
            self._say(f"{_when(event)}  failed: {event['words'].strip().splitlines()[-1]}")
            self._status = CRASHED
        elif kind == "complete":
            self._say(f"{_when(event)}  complete after step {event['step']}")
            self._status = COMPLETE


def follow(run: Path, *, once: bool = False, seconds: float = 0.5, bar: bool | None = None) -> int:
    """Prints a run's epochs and events until it ends, and returns its exit status; once: only those until now.

    A run that is not at work is waited for.  seconds: between looks.  bar: whether to show a progress bar; None is
    where standard error is a terminal.  Raises InputError where there is no run directory.
    """
    directory.expect_directory(run)
    sight = Sight(bar and not once if bar is not None else sys.stderr.isatty() and not once)
    follower = Follower(run, lambda text: sight.line(text, sys.stdout))
    try:
        status = follower.look()
        if once:
            return COMPLETE if status is None else status
        if status is None and directory.is_free(run):
            sight.line("no run is at work here; waiting for one (Ctrl-C ends the wait)", sys.stdout)
        while status is None:
            _show(sight, follower)
            time.sleep(seconds)
            status = follower.look()
        return status
    finally:
        sight.close()


def _show(sight: Sight, follower: Follower) -> None:
    """Puts how far the run is into the bar."""
    last = follower.records[-1] if follower.records else None
    if sight.bar is None and follower.last_step is not None:
        sight.open(last["step"] if last else 0, follower.last_step)
    if sight.bar is not None and last is not None and follower.epochs:
        sight.epoch(last, follower.epochs)
        sight.bar.update(last["step"] - sight.bar.n)
        sight.bar.refresh()


def _when(event: events.Event) -> str:
    return time.strftime("%H:%M:%S", time.localtime(event["time"]))
