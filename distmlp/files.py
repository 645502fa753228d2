"""Files that are whole or not there, whatever moment the process or the machine stops at.

A file is written under a temporary name beside its own, synced and renamed; then its directory is
synced, so that the rename lasts too.  Standard library only.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from io import BufferedReader, BufferedWriter
from pathlib import Path

#: How temporary names end.
SUFFIX = ".writing"

#: What a file system says that has no hard links.
_NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK)


@contextlib.contextmanager
def replacing(path: str | Path, *, must_not_exist: bool = False) -> Iterator[BufferedWriter]:
    """A new file, open for writing bytes, which takes the name `path` when the block ends.

    A library that opens files itself writes to `file.name`.  Where the block or what comes after it
    fails, whatever stood under `path` before still stands there, and the temporary file is gone.  A
    symbolic link under either name is never followed; one under `path` is replaced.

    must_not_exist: takes no name that something else has, not even one taken meanwhile.

    Raises OSError: FileExistsError for such a name, and for one that is no regular file's.
    """
    path = Path(path)
    _check_place(path, must_not_exist)
    file = _create(path)
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _rename(file.name, path, must_not_exist)
    except BaseException as error:
        # What went wrong is raised, not that a full disk refuses to be tidied too.
        with contextlib.suppress(OSError):
            os.unlink(file.name)
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            error.filename = str(path)  # a write knows no names
        raise
    sync_directory(path.parent)


def write(path: str | Path, content: bytes, *, must_not_exist: bool = False) -> None:
    """Writes a file's content, whole or not at all, as `replacing` does.  Raises OSError."""
    with replacing(path, must_not_exist=must_not_exist) as file:
        file.write(content)


def linked(source: str | Path, path: str | Path) -> bool:
    """Gives a whole file a second name, in place of what stood under it; False where the file system has no hard links.

    Raises OSError.
    """
    temporary = Path(path).with_name(f"{Path(path).name}.{os.urandom(4).hex()}{SUFFIX}")
    try:
        os.link(source, temporary)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return False
    try:
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)  # it stays where both names were the file's already
    sync_directory(Path(path).parent)
    return True


def open_regular(path: str | Path) -> BufferedReader:
    """A file, open for reading bytes.  Raises OSError, also where it is no regular file.

    A FIFO or a device under its name might keep a reader waiting for ever, or never end.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(handle).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        return open(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_given(path: str | Path) -> bytes:
    """A regular file's content, or that of a pipe that this process was given open, such as /dev/stdin.  Raises OSError."""
    path = Path(path)
    with contextlib.suppress(OSError):
        open_already = path.resolve().parts[:2] == ("/", "proc")
        if open_already or os.path.samestat(path.stat(), os.fstat(0)):
            return path.read_bytes()
    with open_regular(path) as file:
        return file.read()


def text_in(path: str | Path) -> str:
    """A regular file's text.  Raises OSError, and UnicodeDecodeError where it is none."""
    with open_regular(path) as file:
        return file.read().decode()


def is_given_to_one(path: str | Path) -> bool:
    """Whether a path leads to what one process alone was given, such as /dev/stdin or a pipe."""
    if os.path.abspath(path).startswith(("/dev/", "/proc/")):
        return True
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode)


def sync_directory(directory: str | Path) -> None:
    """Makes a rename in the directory last.  Raises OSError."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_leftovers(directory: str | Path) -> None:
    """Removes temporary files of writers that died; call it while no writer is at work there."""
    for path in Path(directory).glob(f"*{SUFFIX}"):
        path.unlink(missing_ok=True)


def _check_place(path: Path, must_not_exist: bool) -> None:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if must_not_exist:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    if not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
        # Root could rename a file over a device, such as /dev/null.
        raise FileExistsError(errno.EEXIST, "Not a regular file", str(path))


def _create(path: Path) -> BufferedWriter:
    """The temporary file of `path`, which nothing had before."""
    name = f"{path.name}.{os.urandom(4).hex()}{SUFFIX}"
    return open(str(path.with_name(name)), "xb", opener=_without_following)


def _without_following(name: str, flags: int) -> int:
    # "x" is O_EXCL, which takes no link either, but old NFS needs to be told
    return os.open(name, flags | os.O_NOFOLLOW, 0o666)


def _rename(temporary: str, path: Path, must_not_exist: bool) -> None:
    if not must_not_exist:
        os.replace(temporary, path)
        return
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _check_place(path, must_not_exist)
        os.rename(temporary, path)
    else:
        os.unlink(temporary)
