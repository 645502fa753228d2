"""The command line: help, overrides, who prints, and what is there without MPI."""

import json
import os

import numpy as np
import pytest
from example import lawful, log
from launching import distmlp, run_ranks

COMMANDS = ("train", "evaluate", "predict", "inspect", "verify", "convert")


def test_help(mpich):
    everything = distmlp("--help")
    assert everything.status == 0 and all(command in everything.out for command in COMMANDS)
    for command in COMMANDS:
        done = distmlp(command, "--help")
        assert done.status == 0 and done.err == ""
        assert done.out.startswith(f"usage: distmlp {command}")
    once = distmlp("train", "--help", mpi=mpich, ranks=3)
    assert once.status == 0 and once.out.count("usage:") == 1


@pytest.mark.slow
def test_the_program_and_the_module_are_the_same(home):
    """`distmlp`, which pip put beside Python, is `python -m distmlp`."""
    run = "import os, sys; program = os.path.join(os.path.dirname(sys.executable), 'distmlp'); os.execv(program, [program, *sys.argv[1:]])"
    program = run_ranks(None, 1, ["-c", run, "inspect", "run", "--json"], cwd=home)
    assert program.status == 0, program.err
    assert program.out == distmlp("inspect", "run", "--json", cwd=home).out


@pytest.mark.slow
def test_overrides(config, tmp_path, home):
    path = config()
    done = distmlp(
        "train",
        path,
        "--set",
        "training.epochs=1",
        "--set",
        "optimizer.name=adam",
        "--set",
        "optimizer.learning_rate=0.01",
        "--set",
        "run.directory=here",
        "--set",
        "seed=3",
        cwd=tmp_path,
    )
    assert done.status == 0, done.err
    assert not (tmp_path / "run").exists()
    facts = json.loads(distmlp("inspect", tmp_path / "here", "--json").out)["config"]
    assert facts["seed"] == 3 and facts["optimizer"]["name"] == "adam"
    assert len(log(tmp_path / "here")) == 1
    # What is written as resolved can be trained on as it is.
    again = distmlp(
        "train", tmp_path / "here" / "config.toml", "--set", "run.directory=again", cwd=tmp_path
    )
    assert again.status == 0, again.err
    assert lawful(tmp_path / "again") == lawful(tmp_path / "here")


def test_only_rank_0_prints(home, tmp_path, config, openmpi):
    done = distmlp("train", config(), mpi=openmpi, ranks=3)
    assert done.status == 0
    assert (
        done.out.count("epoch 1/2")
        == done.out.count("epoch 2/2")
        == done.out.count("v sha256")
        == 1
    )


@pytest.mark.slow
def test_progress_bar(config):
    assert "step/s" in distmlp("train", config({"training.epochs": 40}), "--progress", "bar").err
    assert distmlp("train", config({"training.epochs": 41}), "--progress", "none").err == ""


@pytest.mark.slow
def test_everything_works_without_mpi4py(home, tmp_path, config):
    """One process needs no MPI: here mpi4py cannot even be imported."""
    (tmp_path / "block").mkdir()
    (tmp_path / "block" / "mpi4py.py").write_text('raise ImportError("there is no mpi4py here")\n')
    paths = [str(tmp_path / "block"), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = {"PYTHONPATH": os.pathsep.join(paths)}
    assert run_ranks(None, 1, ["-c", "import mpi4py"], env=env).status != 0
    np.save(tmp_path / "x.npy", np.zeros((10, 3)))
    np.save(tmp_path / "y.npy", np.zeros((10, 2)))
    for words in (
        ("train", config()),
        ("evaluate", "run"),
        ("predict", "run", "--data", home / "set.h5:/test", "--output", "out.h5"),
        ("inspect", "run"),
        ("verify", "run"),
        ("convert", "x.npy", "y.npy", "out2.h5"),
    ):
        done = distmlp(*words, env=env, cwd=tmp_path)
        assert done.status == 0, (words, done.err)
    assert lawful(tmp_path / "run") == lawful(home / "run")


def test_a_launcher_without_mpi4py_is_refused(tmp_path, config, mpich):
    """... but ranks that cannot find each other must not each train a network of their own."""
    (tmp_path / "mpi4py.py").write_text('raise ImportError("there is no mpi4py here")\n')
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = distmlp(
        "train", config(), mpi=mpich, ranks=2, env={"PYTHONPATH": os.pathsep.join(paths)}
    )
    assert done.status == 2
    assert "mpi4py cannot use MPI here: there is no mpi4py here" in done.said[0]
    assert not (tmp_path / "run").exists()
