"""The run directory: one run at a time, its config as resolved, and the mark that it is finished.

config.toml      what was asked, every key
log.jsonl        an object an epoch (log)
checkpoints/     the newest ones (checkpoint)
finished.json    there when the run is complete, and only then
lock             who is at work here
"""

import errno
import fcntl
import itertools
import json
import os
import socket
import time
from dataclasses import asdict
from pathlib import Path

import tomli_w

from distmlp import files
from distmlp.config.sections import Config
from distmlp.errors import InputError


class RunDirectory:
    """A run's directory, of which rank 0 is the only writer."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.checkpoints = self.path / "checkpoints"
        self.log = self.path / "log.jsonl"
        self.finished = self.path / "finished.json"
        self._lock = None

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
        handle = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o644)
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

    def finish(self, **facts) -> None:
        """Marks the run as complete.  Raises OSError."""
        files.write(self.finished, f"{json.dumps(facts)}\n".encode())

    def finished_step(self) -> int | None:
        """The step with which the run was complete, or None where it is not."""
        try:
            return json.loads(self.finished.read_text(encoding="utf-8"))["step"]
        except FileNotFoundError:
            return None

    def remove_leftovers(self) -> None:
        """Removes what writers that died left half written; call it while no writer is at work."""
        for place in (self.path, self.checkpoints):
            files.remove_leftovers(place)

    def _set_aside(self) -> None:
        """Moves an earlier run's log and checkpoints into earlier-1, earlier-2, …"""
        found = [path for path in (self.log, self.checkpoints) if path.exists()]
        if found:
            number = next(
                i for i in itertools.count(1) if not (self.path / f"earlier-{i}").exists()
            )
            aside = self.path / f"earlier-{number}"
            aside.mkdir()
            for path in found:
                path.rename(aside / path.name)
