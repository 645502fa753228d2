"""A run directory has one run at a time, says when it is finished, and keeps what an earlier run left."""

import errno
import fcntl
import os
import tomllib

import pytest

from distmlp.config.reading import from_tables
from distmlp.errors import InputError
from distmlp.runs.directory import RunDirectory, end_of, holder_of, is_free, newest_step

CONFIG = from_tables(
    {
        "network": {"layers": [2, 2]},
        "data": {"train": "a.h5:/train"},
        "optimizer": {"learning_rate": 1.0},
        "run": {"directory": "run"},
    }
)


@pytest.fixture
def run(tmp_path):
    directory = RunDirectory(tmp_path / "above" / "run")
    yield directory
    directory.release()


def test_it_is_made_with_the_config_as_resolved(run):
    run.prepare(CONFIG, anew=False)
    assert run.is_ours
    assert run.checkpoints.is_dir()
    tables = tomllib.loads((run.path / "config.toml").read_text(encoding="utf-8"))
    assert from_tables(tables) == CONFIG


def test_a_second_run_is_told_who_has_it(run):
    run.prepare(CONFIG, anew=False)
    second = RunDirectory(run.path)
    with pytest.raises(InputError, match=f"in use by another run .process {os.getpid()} on "):
        second.prepare(CONFIG, anew=False)
    assert not second.is_ours
    run.release()
    second.prepare(CONFIG, anew=False)
    second.release()


def test_patience_waits_for_a_lock_that_is_let_go_of(run, monkeypatch):
    run.prepare(CONFIG, anew=False)
    second = RunDirectory(run.path)
    lock, tried = fcntl.flock, []

    def flock(handle, how):
        tried.append(handle)
        if len(tried) == 3:
            run.release()
        lock(handle, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    second.lock(patience=60.0)
    assert second.is_ours
    assert len(tried) >= 3
    second.release()


def test_a_file_system_without_locks_keeps_nobody_out(run, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    run.prepare(CONFIG, anew=False)
    assert run.is_ours


def test_finished_is_there_until_a_run_begins_again(run):
    run.prepare(CONFIG, anew=False)
    assert run.finished_step() is None
    run.finish(step=7, checkpoint="step-7.h5")
    assert run.finished_step() == 7
    run.release()
    run.prepare(CONFIG, anew=False)
    assert run.finished_step() == 7
    run.begin()
    assert run.finished_step() is None


def test_anew_sets_aside_what_is_there(run):
    for number in (1, 2):
        run.prepare(CONFIG, anew=False)
        run.log.write_text(f"{number}\n")
        (run.checkpoints / "step-1.h5").write_text(str(number))
        run.release()
        run.prepare(CONFIG, anew=True)
        run.release()
        assert not run.log.exists()
        assert os.listdir(run.checkpoints) == []
        aside = run.path / f"earlier-{number}"
        assert (aside / "log.jsonl").read_text() == f"{number}\n"
        assert (aside / "checkpoints" / "step-1.h5").read_text() == str(number)


def test_what_writers_that_died_left_is_removed(run):
    run.prepare(CONFIG, anew=False)
    run.release()
    left = [run.path / "log.jsonl.0a.writing", run.checkpoints / "step-1.h5.0b.writing"]
    for path in left:
        path.write_text("half")
    run.prepare(CONFIG, anew=False)
    assert not any(path.exists() for path in left)


def test_a_place_that_cannot_be_a_directory(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        InputError, match=r"run\.directory .*/file/run cannot be written: Not a dir"
    ):
        RunDirectory(tmp_path / "file" / "run").prepare(CONFIG, anew=False)


# What a run directory tells from outside


def test_the_end_mark(tmp_path):
    assert end_of(tmp_path) is None
    run = RunDirectory(tmp_path)
    assert run.finished_step() is None
    run.finish(step=42, v_sha256="0f", checkpoint="c.h5")
    first = end_of(tmp_path)
    assert first.step == run.finished_step() == 42
    assert first.written == pytest.approx(os.stat(run.finished).st_mtime)
    assert end_of(tmp_path) == first
    run.finish(step=42, v_sha256="0f", checkpoint="c.h5")
    assert end_of(tmp_path) != first  # the same words, but marked anew


def test_who_is_at_work(tmp_path):
    assert is_free(tmp_path)
    assert holder_of(tmp_path) is None
    run = RunDirectory(tmp_path)
    run.lock()
    first = holder_of(tmp_path)
    assert first is not None
    assert not is_free(tmp_path)
    with pytest.raises(InputError, match="is in use by another run"):
        RunDirectory(tmp_path).lock()
    assert holder_of(tmp_path) == first
    run.release()
    assert is_free(tmp_path)
    RunDirectory(tmp_path).lock()
    assert holder_of(tmp_path) != first


def test_the_newest_step(tmp_path):
    assert newest_step(tmp_path) == 0
    (tmp_path / "log.jsonl").write_text('{"step": 21}\n{"step": 42}\n{"step"')
    assert newest_step(tmp_path) == 42
    (tmp_path / "checkpoints").mkdir()
    for name in ("step-000000050.h5", "step-000000060.h5.writing", "other.h5"):
        (tmp_path / "checkpoints" / name).touch()
    assert newest_step(tmp_path) == 50
