"""What `distmlp submit` writes, without a SLURM to submit it to."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import example
import pytest
from launching import ROOT, distmlp

from distmlp.cluster import submission
from distmlp.cluster.submission import Job
from distmlp.config import reading as config
from distmlp.errors import InputError

GOLDEN = Path(__file__).with_name("golden.sbatch")

JOB = Job(nodes=2, ntasks=64, time="12:00:00")
EVERYTHING = Job(
    nodes=2,
    ntasks=16,
    time="2-00:00:00",
    cpus_per_task=4,
    warning=300,
    launch="srun --mpi=pmix",
    bind="socket",
    setup="/home/me/my modules.sh",
    more=("--partition=long", "--comment=two words"),
)


def body(text: str) -> str:
    return text[text.index("# How it works.") :]


def test_the_golden_file(monkeypatch):
    """So that a change to what is submitted is seen: golden.sbatch is the whole job of EVERYTHING."""
    monkeypatch.setattr(sys, "executable", "/home/me/.venv/bin/python")
    monkeypatch.setattr(sys, "prefix", "/home/me/.venv")
    assert submission.script(EVERYTHING, Path("/scratch/100% mine/digits")) == GOLDEN.read_text()


def test_what_is_submitted_is_train_sbatch_with_everything_filled_in():
    by_hand = (ROOT / "slurm" / "train.sbatch").read_text()
    assert body(submission.script(JOB, Path("/run"))) == body(by_hand)


def test_going_on_without_lost_ranks_stands_in_the_job_and_asks_for_mpirun():
    job = replace(JOB, ft="ulfm")
    submission.check(job)
    assert "\nDISTMLP_FT=ulfm\n" in submission.script(job, Path("/run"))
    with pytest.raises(InputError, match="--launch is srun --mpi=pmix: only Open MPI's mpirun"):
        submission.check(replace(job, launch="srun --mpi=pmix"))


@pytest.mark.parametrize("name", ["train.sbatch", "sweep.sbatch"])
def test_the_scripts_are_bash(name):
    done = subprocess.run(["bash", "-n", ROOT / "slurm" / name], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_sweep_outside_of_slurm_names_the_way():
    words = ["bash", ROOT / "slurm" / "sweep.sbatch", "c.toml", "table.txt", "runs"]
    outside = {key: value for key, value in os.environ.items() if not key.startswith("SLURM")}
    done = subprocess.run(words, capture_output=True, text=True, env=outside)
    assert done.returncode == 2
    assert (
        "SLURM runs this, by sbatch --array=1-N; without SLURM, distmlp many c.toml" in done.stderr
    )


def test_the_sweep_asks_slurm_for_what_train_asks():
    """But for its name and its output, which has the task in it."""

    def asked(name):
        lines = (ROOT / "slurm" / name).read_text().splitlines()
        return [
            line
            for line in lines
            if line.startswith("#SBATCH")
            and not line.startswith(("#SBATCH --job-name", "#SBATCH --output"))
        ]

    assert asked("sweep.sbatch") == asked("train.sbatch") != []


@pytest.mark.parametrize(
    "time, seconds",
    [
        ("90", 5400),
        ("30:15", 1815),
        ("12:00:00", 43200),
        ("2-12", 216000),
        ("2-12:30", 217800),
        ("2-12:30:05", 217805),
    ],
)
def test_a_time_of_slurm(time, seconds):
    assert submission.seconds(time) == seconds


@pytest.mark.parametrize("time", ["", "1h", "1:2:3:4", "-5", "12:", "two"])
def test_what_is_no_time_of_slurm(time):
    with pytest.raises(InputError, match="expected a time of SLURM"):
        submission.seconds(time)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"time": "5:59"}, "expected at least 6 minutes"),
        ({"warning": 21600}, "expected at least 722 minutes"),
        ({"ntasks": 1}, "--ntasks is 1 and --nodes 2"),
    ],
)
def test_a_job_that_cannot_be(changes, words):
    submission.check(replace(JOB, time="6:00"))
    with pytest.raises(InputError, match=words):
        submission.check(replace(JOB, **changes))


@pytest.fixture
def place(tmp_path):
    example.write_set(tmp_path / "set.h5")
    example.write_config(tmp_path / "config.toml")
    return tmp_path


def test_dry_run_prints_the_job_and_writes_nothing(place):
    done = distmlp(
        "submit",
        place / "config.toml",
        "--nodes",
        2,
        "--ntasks",
        64,
        "--time",
        "12:00:00",
        "--dry-run",
    )
    assert done.status == 0, done.err
    assert done.out == submission.script(JOB, place / "run")
    assert sorted(path.name for path in place.iterdir()) == ["config.toml", "set.h5"]


def test_the_job_is_kept_with_its_config_also_where_there_is_no_slurm(place):
    options = ["--ntasks", 2, "--time", 60, "--set", "training.epochs=9"]
    done = distmlp("submit", place / "config.toml", *options, env={"PATH": "/nowhere"})
    assert done.status == 2
    assert "there is no sbatch on the path" in done.said[0]
    run = place / "run"
    assert (run / "job.sbatch").read_text() == submission.script(Job(1, 2, "60"), run)
    assert config.load(run / "job.toml") == config.load(
        place / "config.toml", ["training.epochs=9"]
    )


def test_what_sbatch_refuses_is_said(place):
    (place / "sbatch").write_text(
        "#!/bin/sh\necho 'invalid partition specified: long' >&2; exit 1\n"
    )
    (place / "sbatch").chmod(0o755)
    done = distmlp(
        "submit",
        place / "config.toml",
        "--ntasks",
        2,
        "--time",
        60,
        env={"PATH": f"{place}:/usr/bin:/bin"},
    )
    assert done.status == 2
    assert done.said == [
        f"distmlp: sbatch refused {place}/run/job.sbatch: invalid partition specified: long"
    ]


@pytest.mark.slow
def test_status_before_during_and_after(place):
    def status():
        done = distmlp("status", place / "config.toml")
        return done.status, done.out.removeprefix(str(place / "run")).strip()

    assert status() == (75, "has not begun")
    assert distmlp("train", place / "config.toml").status == 0
    first = status()
    assert first[0] == 0
    assert first[1].startswith("is complete since 20")
    assert first[1].endswith("at step 42")
    assert distmlp("train", place / "config.toml").status == 0
    second = status()
    assert second[0] == 0
    assert second != first  # a job tells by this that the end mark is a new one
    (place / "run" / "finished.json").unlink()
    assert status() == (75, "is at step 42, not complete")
    for step in example.steps(place / "run"):
        example.checkpoint(place / "run", step).write_bytes(b"")
    assert status() == (75, "has no good checkpoint")
