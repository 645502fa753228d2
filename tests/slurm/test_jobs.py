"""Batch jobs on a real SLURM: however a job is interrupted, its chain ends, and with the bits of the run that never was."""

import contextlib
import csv
import os
import re
import signal
import stat

import example
import pytest
from cluster import Job
from sites import LONG, LONGEST, SHORT

pytestmark = pytest.mark.timeout(120)


# A job that is left alone


@pytest.mark.parametrize("launch", ["mpirun", "srun --mpi=pmix"])
def test_open_mpi_on_two_nodes(site, openmpi, launch, uninterrupted, request):
    if "pmix" in launch:
        request.getfixturevalue("pmix")
    job = site.submit(
        openmpi, "--nodes", 2, "--launch", launch, "--set", f"training.epochs={SHORT}", ntasks=3
    )
    job.ends("COMPLETED")
    assert job.facts()["NumNodes"] == "2"
    assert [record["ranks"] for record in example.log(site.run)] == [3] * SHORT
    assert site.v(SHORT) == uninterrupted[SHORT]
    assert "complete (the launcher ended with 0)" in job.said()


@pytest.mark.parametrize("launch", ["mpirun", "srun --mpi=pmi2"])
def test_mpich_on_two_nodes(site, mpich, launch, uninterrupted):
    job = site.submit(
        mpich, "--nodes", 2, "--launch", launch, "--set", f"training.epochs={SHORT}", ntasks=3
    )
    job.ends("COMPLETED")
    assert job.facts()["NumNodes"] == "2"
    assert [record["ranks"] for record in example.log(site.run)] == [3] * SHORT
    assert site.v(SHORT) == uninterrupted[SHORT]
    assert "complete (the launcher ended with 0)" in job.said()


@pytest.mark.skipif(
    len(os.sched_getaffinity(0)) < 2,
    reason="with one core there is nothing to tell a bound rank by",
)
@pytest.mark.parametrize("launcher_of", ["openmpi", "mpich"])
def test_each_rank_has_a_core_of_its_own(site, launcher, launcher_of):
    job = site.submit(launcher(launcher_of), DISTMLP_BIND="core")
    site.until_further(job)
    ranks = job.ranks()
    assert sorted(ranks) == [0, 1]
    cores = [os.sched_getaffinity(pid) for pid in ranks.values()]
    job.cluster.run("scancel", job.number)
    assert not cores[0] & cores[1]
    job.ends("CANCELLED", "143:0")


def test_a_directory_with_a_name_that_slurm_might_misread(site, mpich):
    site.configure({"run.directory": "50 %j of it", "training.epochs": SHORT})
    site.run = site.place / "50 %j of it"
    job = site.submit(mpich, ntasks=1)
    job.ends("COMPLETED")
    assert "complete (the launcher ended with 0)" in job.said()


# The time limit


def test_three_requeues_and_other_nodes_end_with_the_uninterrupted_bits(
    site, openmpi, uninterrupted
):
    job = site.submit(openmpi, "--set", f"training.epochs={LONGEST}")
    one, other = site.cluster.nodes
    for restart, nodes in ((1, 1), (2, 2), (3, 1)):
        site.until_further(job)
        job.warn()
        job.until_waiting(restart)
        assert f"requeued: it goes on as restart {restart}" in job.said()
        job.cluster.run("scontrol", "update", f"JobId={job.number}", f"NumNodes={nodes}-{nodes}")
    assert job.ends("COMPLETED")["Restarts"] == "3"
    assert re.findall(r"restart (\d) on (\S+): ", job.said()) == [
        ("0", one),
        ("1", one),
        ("2", f"{one},{other}"),
        ("3", one),
    ]
    assert job.said().count("stopped, with a checkpoint") == 3
    assert site.v(LONGEST) == uninterrupted[LONGEST]


@pytest.mark.parametrize(
    "launcher_of, launch",
    [("openmpi", "srun --mpi=pmix"), ("mpich", "srun --mpi=pmi2"), ("openmpi", "mpirun")],
)
def test_where_requeueing_is_forbidden_the_job_submits_its_continuation(
    site, launcher, launcher_of, launch, uninterrupted, request
):
    if "pmix" in launch:
        request.getfixturevalue("pmix")
    job = site.submit(
        launcher(launcher_of), "--nodes", 2, "--launch", launch, "--sbatch=--no-requeue"
    )
    site.until_further(job)
    job.warn()
    assert job.ends("FAILED", "75:0")["Restarts"] == "0"
    assert "SLURM does not requeue this job" in job.said()
    chain, number = (
        f"run-{job.number}",
        job.said().rpartition("continuation submitted: job ")[2].strip(),
    )
    job = Job(job.cluster, number, site.run / f"job-{number}.out")
    facts = job.facts()
    assert (facts["JobName"], facts["NumTasks"], facts["TimeLimit"]) == (chain, "2", "00:30:00")
    assert facts["NumNodes"].startswith("2")
    job.ends("COMPLETED")
    assert site.v() == uninterrupted[LONG]


# Blows from outside


@pytest.mark.parametrize("launcher_of", ["openmpi", "mpich"])
def test_scancel_ends_the_chain_and_another_submission_goes_on_with_other_ranks(
    site, launcher, launcher_of, uninterrupted
):
    mpi = launcher(launcher_of)
    job = site.submit(mpi)
    site.until_further(job)
    job.cluster.run("scancel", job.number)
    assert job.ends("CANCELLED", "143:0")["Restarts"] == "0"
    assert "requeued" not in job.said()
    reached = site.step()
    assert 0 < reached < LONG * 21
    again = site.submit(mpi, ntasks=1)
    again.ends("COMPLETED")
    assert f"(step {reached})" in again.output()
    assert site.v() == uninterrupted[LONG]


@pytest.mark.parametrize("launcher_of", ["openmpi", "mpich"])
def test_a_rank_killed_by_9(site, launcher, launcher_of, uninterrupted):
    job = site.submit(launcher(launcher_of))
    site.until_further(job)
    os.kill(job.ranks()[1], signal.SIGKILL)
    job.until_waiting(1)
    assert "without the run's end mark" in job.said()
    job.ends("COMPLETED")
    assert site.v() == uninterrupted[LONG]


def test_with_ulfm_a_rank_killed_by_9_does_not_even_end_the_job(site, openmpi, uninterrupted):
    job = site.submit(openmpi, ntasks=3, DISTMLP_FT="ulfm")
    site.until_further(job)
    os.kill(job.ranks()[1], signal.SIGKILL)
    assert job.ends("COMPLETED")["Restarts"] == "0"
    assert "distmlp: lost rank 1" in job.output()
    assert site.v() == uninterrupted[LONG]


def test_a_whole_job_killed_by_9(site, mpich, uninterrupted):
    job = site.submit(mpich)
    site.until_further(job)
    for pid in job.processes():
        with contextlib.suppress(ProcessLookupError):  # who has lost his parent may have ended
            os.kill(pid, signal.SIGKILL)
    job.ends("FAILED", "0:9")
    again = site.submit(mpich, ntasks=1)
    again.ends("COMPLETED")
    assert site.v() == uninterrupted[LONG]


def poison(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_poisoned_checkpoint_is_passed_over_at_resume(site, mpich, uninterrupted):
    job = site.submit(mpich)
    site.until_further(job)
    site.until_further(job)
    job.warn()
    job.until_waiting(1)
    older, newest = example.steps(site.run)[-2:]
    poison(example.checkpoint(site.run, newest))
    job.ends("COMPLETED")
    assert f"(step {older})" in job.output()
    assert f"step-{newest:09d}.h5: the checkpoint is damaged" in job.output()
    assert site.v() == uninterrupted[LONG]


def test_with_every_checkpoint_poisoned_the_chain_ends(site, mpich):
    job = site.submit(mpich, "--set", "run.keep=1")
    site.until_further(job)
    job.warn()
    job.until_waiting(1)
    for step in example.steps(site.run):
        poison(example.checkpoint(site.run, step))
    assert job.ends("FAILED", "2:0")["Restarts"] == "1"
    assert "none of its checkpoints is good" in job.output()
    assert "the chain ends" in job.said()


# Real errors


@pytest.mark.parametrize(
    "status, changes, words",
    [
        (2, {"data.inputs": "nothing"}, "distmlp: "),
        (
            3,
            {
                "network.activation": "relu",
                "network.output": "identity",
                "network.cost": "mse",
                "optimizer.learning_rate": 1e30,
            },
            "diverged",
        ),
    ],
)
def test_a_real_error_ends_the_chain(site, mpich, status, changes, words):
    site.configure(changes)
    job = site.submit(mpich)
    assert job.ends("FAILED", f"{status}:0")["Restarts"] == "0"
    assert words in job.output()
    assert "the chain ends" in job.said()


@pytest.mark.parametrize("returned", [0, 1])
def test_success_is_the_end_mark_and_not_the_launchers_status(site, mpich, returned, tmp_path):
    """A launcher that returns without having run anything; a run that was complete before proves nothing."""
    done = site.submit(mpich, "--set", f"training.epochs={SHORT}")
    done.ends("COMPLETED")
    launcher = tmp_path / "launcher"
    launcher.write_text(f"#!/bin/sh\nexit {returned}\n")
    launcher.chmod(launcher.stat().st_mode | stat.S_IXUSR)
    job = site.submit(mpich, "--launch", launcher)
    assert job.ends("FAILED", "1:0")["Restarts"] == "0"
    assert "it came no further than when it began; the chain ends" in job.said()


def test_a_start_that_crashes_by_chance_is_tried_again_once(site, mpich, uninterrupted, tmp_path):
    launcher = tmp_path / "launcher"
    launcher.write_text(
        '#!/bin/sh\n[ "$1" != --version ] && mkdir crashed 2>/dev/null && kill -SEGV $$\nexec mpirun "$@"\n'
    )
    launcher.chmod(launcher.stat().st_mode | stat.S_IXUSR)
    job = site.submit(mpich, "--launch", launcher, "--set", f"training.epochs={SHORT}")
    assert job.ends("COMPLETED")["Restarts"] == "0"
    assert (
        "the launcher ended with 139 before the run came any further; it is started once more"
        in job.said()
    )
    assert site.v(SHORT) == uninterrupted[SHORT]


# The wrong PMI


@pytest.mark.parametrize(
    "launcher_of, launch, fix",
    [
        ("openmpi", "srun --mpi=none", "srun --mpi=pmix"),
        ("openmpi", "srun --mpi=pmi2", "srun --mpi=pmix"),
        ("mpich", "srun --mpi=none", "srun --mpi=pmi2"),
    ],
)
def test_ranks_that_came_up_apart_are_named_with_the_fix(site, launcher, launcher_of, launch, fix):
    job = site.submit(launcher(launcher_of), "--launch", launch)
    job.ends("FAILED", "2:0")
    said = [line for line in job.output().splitlines() if line.startswith("distmlp: ")]
    assert len(said) == 1
    assert "2 ranks, but each came up as a run of its own, of size 1" in said[0]
    assert fix in said[0]
    assert not (site.run / "checkpoints").exists()


def test_mpirun_of_another_mpi_is_named_too(site, openmpi, mpich):
    job = site.submit(openmpi, "--launch", mpich.bin / "mpirun")
    job.ends("FAILED", "2:0")
    assert "Open MPI's own mpirun" in job.output()
    assert not (site.run / "checkpoints").exists()


def test_a_run_without_a_launcher_where_slurm_reserved_several_ranks(site, mpich):
    job = site.sbatch(
        mpich, "--ntasks=2", "--wrap", "distmlp train config.toml; distmlp inspect run"
    )
    job.ends("FAILED", "2:0")
    assert (
        "SLURM_NTASKS says 2 ranks, but this process was started alone: start it with mpirun -n 2"
        in job.output()
    )
    assert "run: no such checkpoint" in job.output()  # other commands run alone as ever
    assert not site.run.exists()


# By hand, and the array


def test_train_sbatch_by_hand(site, mpich, uninterrupted, train_sbatch):
    job = site.sbatch(
        mpich, "--ntasks=2", train_sbatch, "config.toml", "--set", f"training.epochs={SHORT}"
    )
    job.ends("COMPLETED")
    assert site.v(SHORT) == uninterrupted[SHORT]


TABLE = """\
# three runs
optimizer.learning_rate  network.layers  seed
0.3                      [20,5]          8

0.1                      [20,13,5]       7
0.3                      [20,13,5]       7
"""


def test_an_array_over_a_table_and_its_comparison(site, mpich, uninterrupted, sweep_sbatch):
    (site.place / "table.txt").write_text(TABLE)
    number = site.sbatch(
        mpich, "--array=1-3", sweep_sbatch, "config.toml", "table.txt", "sweep"
    ).number
    tasks = {
        row: Job(site.cluster, f"{number}_{row}", site.place / f"sweep-{number}_{row}.out")
        for row in (1, 2, 3)
    }
    # The last task has the number of the whole array, and must not be taken for it.
    site.run = site.place / "sweep" / "3"
    site.until_further(tasks[3])
    tasks[3].warn()
    for row in (1, 2, 3):
        assert tasks[row].ends("COMPLETED")["Restarts"] == ("1" if row == 3 else "0")
    assert site.v() == uninterrupted[LONG]

    said = site.type(mpich, "distmlp", "compare", "sweep").stdout.splitlines()
    assert said[0].split() == [
        "run",
        "state",
        "epoch",
        "seed",
        "network.layers",
        "optimizer.learning_rate",
        "cost",
        "validation_cost",
        "accuracy",
        "seconds",
        "v_sha256",
    ]
    with open(site.place / "comparison.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [line.split()[0] for line in said[1:4]] == [row["run"] for row in rows]
    assert sorted(
        (row["run"], row["optimizer.learning_rate"], row["seed"], row["state"]) for row in rows
    ) == [
        ("1", "0.3", "8", "complete"),
        ("2", "0.1", "7", "complete"),
        ("3", "0.3", "7", "complete"),
    ]
    accuracy = [float(row["accuracy"]) for row in rows]
    assert accuracy == sorted(accuracy, reverse=True)
    assert {row["run"]: row["v_sha256"] for row in rows}["3"] == uninterrupted[LONG]


def test_a_task_of_an_array_that_may_not_be_requeued(site, mpich, uninterrupted, sweep_sbatch):
    (site.place / "table.txt").write_text(TABLE)
    number = site.sbatch(
        mpich, "--no-requeue", "--array=3", sweep_sbatch, "config.toml", "table.txt", "sweep"
    ).number
    job = Job(site.cluster, f"{number}_3", site.place / f"sweep-{number}_3.out")
    site.run = site.place / "sweep" / "3"
    names = []
    for _ in range(2):
        site.until_further(job)
        job.warn()
        job.ends("FAILED", "75:0")
        number = job.said().rpartition("continuation submitted: job ")[2].strip()
        job = Job(site.cluster, number, site.place / f"slurm-{number}.out")
        names.append(job.facts()["JobName"])
    job.ends("COMPLETED")
    assert names == [names[0]] * 2
    assert site.v() == uninterrupted[LONG]


@pytest.mark.parametrize(
    "words, said",
    [
        (["--array=4"], "task 4 is no row of table.txt; submit it with --array=1-3"),
        ([], "task 0 is no row"),
    ],
)
def test_an_array_beyond_its_table(site, mpich, sweep_sbatch, words, said):
    (site.place / "table.txt").write_text(TABLE)
    number = site.sbatch(
        mpich,
        *words,
        f"--output={site.place}/out",
        sweep_sbatch,
        "config.toml",
        "table.txt",
        "sweep",
    ).number
    job = Job(site.cluster, number, site.place / "out")
    job.ends("FAILED", "2:0")
    assert said in job.output()
