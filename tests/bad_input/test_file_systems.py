"""File systems that do not take what is written: one sentence, and what was good stays good."""

import os
import signal
import subprocess

import pytest
from bad_cases import SECONDS, is_one_sentence
from example import CLASSES, COLUMNS, lawful, steps, write_config, write_set
from launching import distmlp, started


@pytest.fixture
def mounted(tmp_path):
    """mounted(options): a new tmpfs, mounted for the test; root only."""
    places = []

    def mounted(options):
        place = tmp_path / f"mount-{len(places)}"
        place.mkdir()
        done = (
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", options, "tmpfs", place],
                capture_output=True,
                text=True,
            )
            if os.getuid() == 0
            else None
        )
        if done is None or done.returncode:
            pytest.skip(
                f"a file system must be mounted, which takes root and a leave to mount: {done.stderr if done else 'not root'}"
            )
        places.append(place)
        return place

    yield mounted
    for place in places:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.parametrize("ranks", [1, 3])
def test_read_only_file_system(ranks, mounted, tmp_path, mpich):
    place = mounted("ro")
    write_set(tmp_path / "set.h5")
    done = distmlp(
        "train",
        write_config(tmp_path / "c.toml", {"run.directory": f"{place}/run"}),
        mpi=mpich if ranks > 1 else None,
        ranks=ranks,
    )
    assert done.status == 2
    is_one_sentence(
        "\n".join(done.said), ["run.directory", f"{place}/run", "Read-only file system"]
    )


@pytest.mark.parametrize("ranks", [1, 3])
def test_full_disk(ranks, mounted, tmp_path, openmpi):
    """A checkpoint that does not fit is a warning, the last one an error; the old one stays, and with space the run goes on."""
    mpi = openmpi if ranks > 1 else None
    place = mounted("size=1m")
    write_set(tmp_path / "set.h5")
    # 78,005 parameters: 0.3 MB a checkpoint, so that the third or fourth finds the disk full
    changes = {
        "network.layers": [COLUMNS, 3000, CLASSES],
        "training.batch_size": 500,
        "training.micro_batch_size": 125,
        "training.epochs": 8,
    }
    full = write_config(
        tmp_path / "full.toml",
        {
            **changes,
            "run.directory": f"{place}/run",
            "run.keep": 10,
            "run.checkpoint_every": "1 step",
        },
    )
    done = distmlp("train", full, mpi=mpi, ranks=ranks)
    assert done.status == 1, done.err
    assert "could not be written" in done.said[-1] and "No space left" in done.said[-1], done.err
    kept = steps(place / "run")
    assert kept and kept[-1] < 24
    assert f"step-{kept[-1]:09d}.h5" in done.said[-1]
    assert not list(place.rglob("*.writing"))
    assert distmlp("inspect", place / "run").status == 0

    subprocess.run(["mount", "-o", "remount,size=20m", place], check=True)
    gone_on = distmlp("train", full, mpi=mpi, ranks=ranks)
    assert gone_on.status == 0, gone_on.err
    assert (
        distmlp(
            "train", write_config(tmp_path / "good.toml", {**changes, "run.directory": "good"})
        ).status
        == 0
    )
    assert lawful(place / "run") == lawful(tmp_path / "good")


def test_disk_that_fills_up_and_is_freed_again(mounted, tmp_path):
    """While not one byte can be written the training goes on, and says so; in the end the log has every epoch."""
    place = mounted("size=2m")
    write_set(tmp_path / "set.h5")
    run = place / "run"
    endless = write_config(
        tmp_path / "full.toml", {"training.epochs": 10**6, "run.directory": str(run)}
    )
    with started(None, 1, ["-m", "distmlp", "train", endless]) as running:
        running.until(lambda: steps(run))
        fill(place)
        running.until(
            lambda: (
                "checkpoint could not be written" in running.err
                and "log cannot be written" in running.err
            )
        )
        (place / "filler").unlink()
        os.kill(running.process.pid, signal.SIGTERM)
        done = running.wait(SECONDS)
    assert done.status == 75, done.err
    assert "No space left on device" in done.err and "Traceback" not in done.err
    changes = {"training.epochs": steps(run)[-1] // 21 + 2}
    assert (
        distmlp(
            "train", write_config(tmp_path / "full.toml", {**changes, "run.directory": str(run)})
        ).status
        == 0
    )
    assert (
        distmlp(
            "train", write_config(tmp_path / "good.toml", {**changes, "run.directory": "good"})
        ).status
        == 0
    )
    assert lawful(run) == lawful(tmp_path / "good")


def fill(place):
    with open(place / "filler", "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(512))
        except OSError:
            pass


def test_no_space_from_the_start(mounted, tmp_path):
    place = mounted("size=64k")
    fill(place)
    write_set(tmp_path / "set.h5")
    done = distmlp("train", write_config(tmp_path / "c.toml", {"run.directory": f"{place}/run"}))
    assert done.status == 2, done.err
    is_one_sentence("\n".join(done.said), ["run.directory", "No space left"])
