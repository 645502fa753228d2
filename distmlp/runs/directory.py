"""The run directory: one run at a time, its config as resolved, and the mark that it is finished.

config.toml      what was asked, every key
log.jsonl        an object an epoch (log)
checkpoints/     the newest ones (checkpoint)
events.jsonl     what happens, for programs that watch (events)
finished.json    there when the run is complete, and only then
lock             who is at work here
"""

import contextlib
import itertools
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import tomli_w

from distmlp import files
from distmlp.config.sections import Config
from distmlp.errors import InputError
from distmlp.runs import checkpoint_names, events
from distmlp.runs.lock import Identity, Lock
from distmlp.runs.lock import holder_of as holder_of
from distmlp.runs.lock import is_free as is_free
from distmlp.runs.log import read_log

_FINISHED = "finished.json"

#: Bytes of an end mark that are read; one has some hundreds.
_MOST_OF_A_MARK = 2**16


class RunDirectory:
    """A run's directory, of which rank 0 is the only writer."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.checkpoints = self.path / "checkpoints"
        self.log = self.path / "log.jsonl"
        self.finished = self.path / _FINISHED
        self._lock = Lock(self.path)

    @property
    def is_ours(self) -> bool:
        """Whether this process has the lock, and so is the one that writes."""
        return self._lock.is_ours

    def prepare(self, config: Config, anew: bool, beyond: int | None = None) -> None:
        """Makes the directory, locks it and writes the config; anew: sets aside what an earlier run left.

        beyond: sets aside the checkpoints after this step, with a copy of the log, since the run goes back to it.
        Raises InputError.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.lock()
            if anew:
                self._set_aside()
            elif beyond is not None:
                self._set_aside_after(beyond)
            self.checkpoints.mkdir(exist_ok=True)
            self.remove_leftovers()
            self._write_config(tomli_w.dumps(asdict(config)).encode())
        except OSError as error:
            raise InputError(
                f"run.directory {self.path} cannot be written: {error.strerror or error}; "
                "expected a directory that this user may write"
            ) from None

    def lock(self, patience: float = 0.0) -> None:
        """Takes the directory for this process until it ends.  Raises InputError where another run has it.

        patience: seconds to wait for one that is about to die.
        """
        self._lock.take(patience)

    def check_ours(self) -> None:
        """Raises OSError where this run's directory was removed, or stands no more under its path."""
        self._lock.check()

    def release(self) -> None:
        """Lets go of the lock, if this process has it."""
        self._lock.release()

    def begin(self) -> None:
        """Takes the end mark away, for steps will be taken.  Raises OSError."""
        self.finished.unlink(missing_ok=True)

    def finish(self, **facts: object) -> None:
        """Marks the run as complete.

        Raises OSError, but not where the disk refuses a new mark and the one that is there says the same.
        """
        self.check_ours()
        try:
            files.write(self.finished, f"{json.dumps(facts)}\n".encode())
        except OSError:
            end = end_of(self.path)
            if end is None or json.loads(end.text) != facts:
                raise

    def finished_step(self) -> int | None:
        """The step with which the run was complete, or None where it is not."""
        end = end_of(self.path)
        return None if end is None else end.step

    def remove_leftovers(self) -> None:
        """Removes what writers that died left half written; call it while no writer is at work."""
        for place in (self.path, self.checkpoints):
            files.remove_leftovers(place)

    def _set_aside(self) -> None:
        """Moves an earlier run's log, events and checkpoints into earlier-1, earlier-2, …"""
        found = [
            path for path in (self.log, self.checkpoints, self.path / events.NAME) if path.exists()
        ]
        if found:
            aside = self._place_aside()
            for path in found:
                path.rename(aside / path.name)

    def _set_aside_after(self, step: int) -> None:
        """Moves the checkpoints after a step, with a copy of the log, into earlier-1, earlier-2, …"""
        found = [
            path
            for path in checkpoint_names.listed(self.checkpoints)
            + checkpoint_names.listed_best(self.checkpoints)
            if checkpoint_names.step_of(path) > step
        ]
        if found:
            aside = self._place_aside()
            (aside / "checkpoints").mkdir()
            if self.log.is_file():
                with files.open_regular(self.log) as log:
                    files.write(aside / self.log.name, log.read())
            for path in found:
                path.rename(aside / "checkpoints" / path.name)

    def _place_aside(self) -> Path:
        for number in itertools.count(1):
            aside = self.path / f"earlier-{number}"
            if not os.path.lexists(aside):
                break
        aside.mkdir()
        return aside

    def _write_config(self, content: bytes) -> None:
        """config.toml; one that says the same is left, so that a full disk is no hindrance."""
        path = self.path / "config.toml"
        with contextlib.suppress(OSError), files.open_regular(path) as file:
            if not path.is_symlink() and file.read(len(content) + 1) == content:
                return
        files.write(path, content)


# What a run directory tells from outside, while a run may be at work in it.  What cannot be read is not there.


@dataclass(frozen=True)
class End:
    """finished.json of a complete run.  Two are equal if they are the same mark, written once."""

    identity: Identity
    text: str

    @property
    def step(self) -> int:
        """The step with which the run was complete."""
        step: int = json.loads(self.text)["step"]
        return step

    @property
    def written(self) -> float:
        """When it was marked, in seconds since 1970."""
        return self.identity[1] / 1e9


def end_of(directory: str | Path) -> End | None:
    """The mark that a run is complete, or None where it is not.  What is no such mark is not there."""
    try:
        with files.open_regular(Path(directory) / _FINISHED) as file:
            status = os.fstat(file.fileno())
            text = file.read(_MOST_OF_A_MARK).decode()
            facts = json.loads(text)
    except (OSError, ValueError, RecursionError):
        return None
    step = facts.get("step") if isinstance(facts, dict) else None
    if not isinstance(step, int) or isinstance(step, bool) or step < 0:
        return None
    return End((status.st_ino, status.st_mtime_ns), text)


def newest_step(directory: str | Path) -> int:
    """The newest step that a checkpoint's name or the log has; 0 where there is none."""
    directory = Path(directory)
    found = [0]
    with contextlib.suppress(OSError):
        found += [
            checkpoint_names.step_of(path)
            for path in checkpoint_names.listed(directory / "checkpoints")
        ]
    with contextlib.suppress(OSError):
        found += [record["step"] for record in read_log(directory / "log.jsonl")]
    return max(found)


def expect_directory(run: Path) -> None:
    """Raises InputError where the directory of a run, which is to be read, is not there."""
    if not run.is_dir():
        raise InputError(f"{run}: no such directory; expected the directory of a run")
