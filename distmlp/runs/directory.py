"""The run directory: one run at a time, its config as resolved, and the mark that it is finished.

config.toml      what was asked, every key
log.jsonl        an object an epoch (log)
checkpoints/     the newest ones (checkpoint)
events.jsonl     what happens, for programs that watch (events)
finished.json    there when the run is complete, and only then
lock             who is at work here
"""

import errno
import fcntl
import itertools
import json
import os
import re
import socket
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import tomli_w

from distmlp import files
from distmlp.config.sections import Config
from distmlp.errors import InputError
from distmlp.runs import events
from distmlp.runs.log import read_log

_FINISHED, _LOCK = "finished.json", "lock"


class RunDirectory:
    """A run's directory, of which rank 0 is the only writer."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.checkpoints = self.path / "checkpoints"
        self.log = self.path / "log.jsonl"
        self.finished = self.path / _FINISHED
        self._lock: int | None = None

    @property
    def is_ours(self) -> bool:
        """Whether this process has the lock, and so is the one that writes."""
        return self._lock is not None

    def prepare(self, config: Config, anew: bool) -> None:
        """Makes the directory, locks it and writes the config; anew: sets aside what an earlier run left.

        Raises InputError.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.lock()
            if anew:
                self._set_aside()
            self.checkpoints.mkdir(exist_ok=True)
            self.remove_leftovers()
            self.finished.unlink(missing_ok=True)
            files.write(self.path / "config.toml", tomli_w.dumps(asdict(config)).encode())
        except OSError as error:
            raise InputError(
                f"run.directory {self.path} cannot be written: {error.strerror or error}; "
                "expected a directory that this user may write"
            ) from None

    def lock(self, patience: float = 0.0) -> None:
        """Takes the directory for this process until it ends.  Raises InputError where another run has it.

        The system lets go of the lock of a process that dies, so a lock that is left is taken over.
        patience: seconds to wait for one that is about to die.
        """
        handle = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        until = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= until:
                    holder = os.read(handle, 4096).decode(errors="replace").strip()
                    os.close(handle)
                    raise InputError(
                        f"run.directory {self.path} is in use by another run ({holder or 'just started'}); "
                        "wait for it, end it, or set another run.directory"
                    ) from None
                time.sleep(0.02)
            except OSError as error:
                if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP):
                    raise
                break  # a file system without locks: nobody can be kept out
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        self._lock = handle

    def release(self) -> None:
        """Lets go of the lock, if this process has it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def finish(self, **facts: object) -> None:
        """Marks the run as complete.  Raises OSError."""
        files.write(self.finished, f"{json.dumps(facts)}\n".encode())

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
            number = next(
                i for i in itertools.count(1) if not (self.path / f"earlier-{i}").exists()
            )
            aside = self.path / f"earlier-{number}"
            aside.mkdir()
            for path in found:
                path.rename(aside / path.name)


# What a run directory tells from outside, while a run may be at work in it.  What cannot be read is not there.

#: What identifies a file that is written anew: equal as long as nobody has touched it.
Identity = tuple[int, int]


@dataclass(frozen=True)
class End:
    """finished.json of a complete run.  Two are equal if they are the same mark, written once."""

    identity: Identity
    text: str

    @property
    def step(self) -> int:
        """The step with which the run was complete."""
        return json.loads(self.text)["step"]

    @property
    def written(self) -> float:
        """When it was marked, in seconds since 1970."""
        return self.identity[1] / 1e9


def end_of(directory: str | Path) -> End | None:
    """The mark that a run is complete, or None where it is not."""
    try:
        with open(Path(directory) / _FINISHED, encoding="utf-8") as file:
            stat = os.fstat(file.fileno())
            return End((stat.st_ino, stat.st_mtime_ns), file.read())
    except OSError:
        return None


def holder_of(directory: str | Path) -> Identity | None:
    """What identifies who last took the directory, or None where nobody has."""
    try:
        stat = (Path(directory) / _LOCK).stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns


def is_free(directory: str | Path) -> bool:
    """Whether no run is at work in the directory."""
    try:
        handle = os.open(Path(directory) / _LOCK, os.O_RDONLY)
    except OSError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return True
    except OSError:
        return False
    finally:
        os.close(handle)


def newest_step(directory: str | Path) -> int:
    """The newest step that a checkpoint's name or the log has; 0 where there is none."""
    directory = Path(directory)
    names = [re.fullmatch(r"step-(\d+)\.h5", path.name) for path in directory.glob("checkpoints/*")]
    logged = [record["step"] for record in read_log(directory / "log.jsonl")]
    return max([0, *(int(name[1]) for name in names if name), *logged])
