"""Holds that a file is whole or not there, and that what else has its name is left alone."""

import errno
import os
import signal
import stat
import time

import pytest

from distmlp import files


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"before")
    return path


def is_untouched(path):
    return path.read_bytes() == b"before" and os.listdir(path.parent) == [path.name]


def refuse(error):
    def refusing(*_):
        raise OSError(error, os.strerror(error))

    return refusing


@pytest.mark.parametrize("error", [OSError("what h5py says"), OSError(errno.ENOSPC, "full")])
def test_an_error_keeps_its_words_and_one_of_the_system_has_the_name(path, error):
    with pytest.raises(OSError) as raised, files.replacing(path):
        raise error
    name = f": '{path}'" if error.errno else ""
    assert raised.value is error and str(error).endswith(f"{error.args[-1]}{name}")
    assert is_untouched(path)


def test_it_takes_its_name_when_it_is_whole(path):
    with files.replacing(path) as file:
        file.write(b"aft")
        assert path.read_bytes() == b"before"
        file.write(b"er")
    assert path.read_bytes() == b"after"
    assert os.listdir(path.parent) == [path.name]


def test_a_library_may_write_to_its_name(path):
    with files.replacing(path) as file, open(file.name, "wb") as other:
        other.write(b"after")
    assert path.read_bytes() == b"after"


def test_it_is_synced_before_it_is_renamed_and_its_directory_after(path, monkeypatch):
    done = []
    sync, replace = os.fsync, os.replace

    def synced(handle):
        done.append("directory" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        sync(handle)

    def replaced(old, new):
        assert files.Path(old).read_bytes() == b"after"
        done.append("rename")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    files.write(path, b"after")
    assert done == ["file", "rename", "directory"]


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_what_fails_leaves_what_was_there(path, monkeypatch, function):
    monkeypatch.setattr(os, function, refuse(errno.ENOSPC))
    with pytest.raises(OSError, match="No space left"):
        files.write(path, b"after")
    assert is_untouched(path)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_block_that_fails_leaves_what_was_there(path, error):
    def fail():
        with files.replacing(path) as file:
            file.write(b"after")
            raise error

    with pytest.raises(error):
        fail()
    assert is_untouched(path)


def test_what_went_wrong_is_said_though_tidying_fails_too(path, monkeypatch):
    monkeypatch.setattr(os, "fsync", refuse(errno.ENOSPC))
    monkeypatch.setattr(os, "unlink", refuse(errno.EROFS))
    with pytest.raises(OSError, match="No space left"):
        files.write(path, b"after")


def test_a_link_under_the_name_is_replaced_and_not_followed(path, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(path)
    files.write(link, b"after")
    assert not link.is_symlink()
    assert (link.read_bytes(), path.read_bytes()) == (b"after", b"before")


@pytest.mark.parametrize("there", [True, False])
def test_a_link_under_the_temporary_name_is_not_followed(path, tmp_path, monkeypatch, there):
    other = tmp_path / "other"
    if there:
        other.write_bytes(b"another's")
    monkeypatch.setattr(os, "urandom", lambda count: bytes(count))
    (tmp_path / f"file.00000000{files.SUFFIX}").symlink_to(other)
    with pytest.raises(FileExistsError):
        files.write(path, b"after")
    assert path.read_bytes() == b"before"
    assert other.exists() == there
    assert not there or other.read_bytes() == b"another's"


def test_it_may_be_asked_not_to_replace(path):
    with pytest.raises(FileExistsError):
        files.write(path, b"after", must_not_exist=True)
    assert is_untouched(path)
    path.unlink()
    files.write(path, b"after", must_not_exist=True)
    assert path.read_bytes() == b"after"
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_nor_to_replace_what_comes_meanwhile(tmp_path, monkeypatch, links):
    path = tmp_path / "file"
    if not links:
        monkeypatch.setattr(os, "link", refuse(errno.EPERM))

    def write():
        with files.replacing(path, must_not_exist=True) as file:
            file.write(b"after")
            path.write_bytes(b"before")

    with pytest.raises(FileExistsError):
        write()
    assert is_untouched(path)


def test_without_links_it_is_renamed(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", refuse(errno.EPERM))
    files.write(tmp_path / "file", b"after", must_not_exist=True)
    assert os.listdir(tmp_path) == ["file"]


def test_a_directory_and_a_device_are_refused(tmp_path):
    """Root could rename a file over /dev/null."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "directory").mkdir()
    with pytest.raises(FileExistsError, match="Not a regular file"):
        files.write(tmp_path / "pipe", b"after")
    with pytest.raises(IsADirectoryError):
        files.write(tmp_path / "directory", b"after")
    assert sorted(os.listdir(tmp_path)) == ["directory", "pipe"]


def test_others_may_read_it_as_the_umask_says(tmp_path):
    before = os.umask(0o027)
    try:
        files.write(tmp_path / "file", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def test_a_writer_that_is_killed_leaves_what_was_there_and_what_can_be_removed(path):
    child = os.fork()
    if child == 0:
        with files.replacing(path) as file:
            file.write(b"after")
            file.flush()
            os.kill(os.getpid(), signal.SIGSTOP)
            time.sleep(60)
        os._exit(1)
    os.waitpid(child, os.WUNTRACED)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert path.read_bytes() == b"before"
    assert len(list(path.parent.glob(f"file.*{files.SUFFIX}"))) == 1
    files.remove_leftovers(path.parent)
    assert is_untouched(path)
