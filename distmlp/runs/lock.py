"""The lock of a run directory: one run at a time, and who it is.  Standard library only, but for the errors."""

import contextlib
import errno
import fcntl
import os
import socket
import stat
import time
from pathlib import Path

from distmlp.errors import InputError

_NAME = "lock"


class Lock:
    """A run directory's lock, for one process.  The system lets go of it when the process ends."""

    def __init__(self, directory: Path) -> None:
        self._directory, self._path = directory, directory / _NAME
        self._handle: int | None = None

    @property
    def is_ours(self) -> bool:
        """Whether this process has the lock."""
        return self._handle is not None

    def take(self, patience: float) -> None:
        """Takes the lock, within so many seconds.  Raises InputError where another run has it; OSError.

        A process that has died has let go of it, so a lock file that is left is taken over.
        """
        handle, until = self._open(), time.monotonic() + patience
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._is_still(handle):
                    break
                os.close(handle)  # removed in the meantime: a later run may have a new one
                handle = self._open()
            except BlockingIOError:
                if time.monotonic() >= until:
                    holder = os.read(handle, 4096).decode(errors="replace").strip()
                    os.close(handle)
                    raise InputError(
                        f"run.directory {self._directory} is in use by another run ({holder or 'just started'}); "
                        "wait for it, end it, or set another run.directory"
                    ) from None
                time.sleep(0.02)
            except OSError as error:
                if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP):
                    raise
                break  # a file system without locks: nobody can be kept out
        os.utime(handle)
        with contextlib.suppress(OSError):  # a full disk: the words are for people
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        self._handle = handle

    def check(self) -> None:
        """Raises OSError where the directory was removed, or stands no more under its path."""
        if self._handle is None or self._is_still(self._handle):
            return
        if not self._directory.exists():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self._directory))
        words = "it was removed or replaced while this run was at work"
        raise OSError(errno.ESTALE, words, str(self._directory))

    def release(self) -> None:
        """Lets go of the lock, if this process has it."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        handle = os.open(self._path, flags, 0o644)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise OSError(errno.EINVAL, f"its {_NAME} is no regular file", str(self._directory))
        return handle

    def _is_still(self, handle: int) -> bool:
        """Whether an open lock is the one under the directory's path."""
        try:
            return os.path.samestat(os.fstat(handle), self._path.lstat())
        except OSError:
            return False


# What is told from outside, while a run may be at work.

#: What identifies a file that is written anew: equal as long as nobody has touched it.
Identity = tuple[int, int]


def holder_of(directory: str | Path) -> Identity | None:
    """What identifies who last took the directory, or None where nobody has."""
    try:
        status = (Path(directory) / _NAME).lstat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def is_free(directory: str | Path) -> bool:
    """Whether no run is at work in the directory."""
    try:
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW
        handle = os.open(Path(directory) / _NAME, flags)
    except OSError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
