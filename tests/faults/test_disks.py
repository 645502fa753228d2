"""Disks that are full, read-only, slow or gone: training goes on with one warning, and a last checkpoint that fails is an error.

The disks are small ones in memory, mounted by the tests; where that is not allowed, the errors are made up in the writer.
"""

import itertools
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from broken import NAMES, ROWS, Row, kill
from example import steps

OFTEN = {"run.checkpoint_every": "5 steps"}
SLOWLY = kill("all", "computing", do="slow", seconds=0.02)
REFUSED = "a checkpoint could not be written: "


def mount(*words) -> subprocess.CompletedProcess:
    return subprocess.run(["mount", *map(str, words)], capture_output=True, text=True)


@pytest.fixture(scope="module")
def mounting():
    """Skips where a test may not mount anything."""
    if shutil.which("mount") is None:
        pytest.skip("no mount (util-linux) here")
    with tempfile.TemporaryDirectory() as place:
        tried = mount("-t", "tmpfs", "tmpfs", place)
        if tried.returncode:
            pytest.skip(f"small disks cannot be mounted, which needs root: {tried.stderr.strip()}")
        subprocess.run(["umount", place], check=True)


@contextmanager
def disk(bench, size: str):
    """The name of a run whose directory is a disk of this size."""
    name = bench.name()
    place = bench.directory / name
    place.mkdir()
    assert mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", place).returncode == 0
    try:
        yield name
    finally:
        while place.is_mount():
            subprocess.run(["umount", "-l", place], check=True)


def tell(fault, mpi, ranks, same, moment="while checkpoints are written", seconds=None):
    ROWS.append(Row(fault, moment, ranks, ranks, seconds, same, NAMES[mpi.name]))


def warnings(text: str) -> list[str]:
    return [
        line for line in text.splitlines() if REFUSED in line and "the training goes on" in line
    ]


def holds_an_end_that_failed(outcome, why):
    """The last checkpoint could not be written: an error, after one warning, and what stood there before is good."""
    assert outcome.done.status == 1 and not outcome.is_complete, outcome.explain()
    assert len(warnings(outcome.done.err)) == 1, outcome.explain()
    assert REFUSED in outcome.done.said[-1] and why in outcome.done.said[-1], outcome.explain()


def test_a_disk_that_fills_up(bench, openmpi, mounting):
    changes = {**OFTEN, "training.epochs": 6}
    with disk(bench, "96k") as name:
        outcome = bench.run(openmpi, 2, [SLOWLY | {"seconds": 0.002}], changes, name=name)
        holds_an_end_that_failed(outcome, "No space left on device")
        assert str(outcome.run / "checkpoints") in outcome.done.said[-1] and steps(outcome.run), (
            "the last good one is named"
        )
        assert mount("-o", "remount,size=16m", outcome.run).returncode == 0
        again = bench.resume(outcome, changes)
        same = again.log == bench.undisturbed(changes)
    tell("disk full to the end; the same command with room", openmpi, 2, same)
    assert again.done.status == 0 and "resuming from" in again.done.out and same, again.explain()


def test_a_disk_that_is_full_for_a_while(bench, ulfm, mounting):
    with disk(bench, "4m") as name:
        with bench.running(ulfm, 2, [SLOWLY], OFTEN, name) as (running, outcome):
            run = bench.directory / name
            running.until(lambda: steps(run))
            with open(run / "filler", "wb", buffering=0) as filler, pytest.raises(OSError):
                while True:
                    filler.write(bytes(4096))
            running.until(lambda: warnings(running.err))
            (run / "filler").unlink()
            outcome = outcome(running.wait(40))
        same = outcome.is_complete and outcome.log == bench.undisturbed()
    tell("disk full for a while", ulfm, 2, same)
    assert outcome.done.status == 0 and same, outcome.explain()
    assert len(warnings(outcome.done.err)) == 1, outcome.explain()


def test_a_disk_that_becomes_read_only(bench, mpich, mounting):
    with disk(bench, "4m") as name:
        run = bench.directory / name
        with bench.running(mpich, 2, [SLOWLY], OFTEN, name) as (running, outcome):
            running.until(lambda: steps(run))
            assert mount("--bind", run, run).returncode == 0
            assert mount("-o", "remount,bind,ro", run).returncode == 0
            outcome = outcome(running.wait(40))
        holds_an_end_that_failed(outcome, "Read-only file system")
        refused = bench.resume(outcome, OFTEN)
        assert (
            refused.done.status == 2
            and f"run.directory {run} cannot be written: Read-only file system"
            in refused.done.said[-1]
        )
        assert mount("-o", "remount,bind,rw", run).returncode == 0
        again = bench.resume(outcome, OFTEN)
        same = again.log == bench.undisturbed()
    tell("disk read-only to the end; the same command when it is not", mpich, 2, same)
    assert again.done.status == 0 and "resuming from" in again.done.out and same, again.explain()


def test_a_directory_that_vanishes(bench, openmpi):
    name = bench.name()
    run = bench.directory / name
    with bench.running(openmpi, 2, [SLOWLY], OFTEN, name) as (running, outcome):
        running.until(lambda: steps(run))
        run.rename(f"{run}-gone")
        outcome = outcome(running.wait(40))
    holds_an_end_that_failed(outcome, "No such file or directory")
    again = bench.resume(outcome, OFTEN)
    same = again.log == bench.undisturbed()
    tell("directory gone; the same command again", openmpi, 2, same)
    assert again.done.status == 0 and same, again.explain()


def test_one_write_that_fails(bench, openmpi):
    """Made up, so that it is tested where nothing may be mounted."""
    outcome = bench.run(openmpi, 2, [kill(0, "opening", 20, "disk full")], OFTEN)
    same = outcome.is_complete and outcome.log == bench.undisturbed()
    tell("disk full, once", openmpi, 2, same)
    assert outcome.done.status == 0 and same, outcome.explain()
    assert len(warnings(outcome.done.err)) == 1, outcome.explain()


#: Seconds that a slow disk takes for one checkpoint.
WRITE = 1.0


def test_a_slow_disk_holds_nobody_up(bench, ulfm):
    """Training waits for the copy of the state and no longer: no step, on any rank, takes as long as a write."""
    faults = [SLOWLY, kill(0, "writing", do="slow", seconds=WRITE)]
    outcome = bench.run(ulfm, 3, faults, OFTEN, trace=True, slow_write=WRITE / 4)
    times = [
        [event["time"] for event in outcome.of("step") if event["rank"] == rank]
        for rank in range(3)
    ]
    longest = max(b - a for of_rank in times for a, b in itertools.pairwise(of_rank))
    same = outcome.is_complete and outcome.log == bench.undisturbed()
    tell(
        f"a checkpoint takes {WRITE:g} s (seconds: the longest step)",
        ulfm,
        3,
        same,
        seconds=longest,
    )
    assert outcome.done.status == 0 and same, outcome.explain()
    assert [len(of_rank) for of_rank in times] == [63] * 3 and longest < WRITE / 2, (
        outcome.explain()
    )
    (words,) = [line for line in outcome.done.said if "writing a checkpoint has taken" in line]
    assert "those due in the meantime are left out" in words
    assert len(steps(outcome.run)) < 6 and steps(outcome.run)[-1] == 63


def test_a_dead_runs_lock_is_taken_over(bench, ulfm):
    """And a living one's is not: the second run is refused, with the first's host and process (more in tests/cli/test_resuming.py)."""
    name = bench.name()
    with bench.running(ulfm, 2, [SLOWLY | {"seconds": 0.2}], OFTEN, name) as (running, outcome):
        running.until(lambda: steps(bench.directory / name))
        lock = (bench.directory / name / "lock").read_text().strip()
        second = bench.run(ulfm, 2, [], OFTEN, name=name)
        assert (
            second.done.status == 2 and f"in use by another run ({lock})" in second.done.said[-1]
        ), second.explain()
        assert running.is_running()
        running.kill()
        dead = outcome(running.wait(5))
    again = bench.resume(dead, OFTEN)
    same = again.log == bench.undisturbed()
    tell("kill -9 of a whole run; the same command again", ulfm, 2, same, "training")
    assert again.done.status == 0 and "resuming from" in again.done.out and same, again.explain()
    assert (Path(again.run) / "lock").read_text().strip() != lock
