"""The commands as users hold them: what each prints, writes and ends with, alone and under mpirun."""

import hashlib
import itertools
import json
import os

import h5py
import numpy as np
import pytest
from example import CLASSES, ROWS, checkpoint, lawful, log, rows, steps, write_config, write_set
from launching import distmlp, run_ranks, started

LOG_KEYS = {
    "epoch",
    "step",
    "cost",
    "validation_cost",
    "accuracy",
    "learning_rate",
    "samples_per_second",
    "ranks",
    "seconds",
    "v_sha256",
}
INSPECT_KEYS = {
    "layers",
    "dtype",
    "parameters",
    "step",
    "epoch",
    "v_sha256",
    "config",
    "fingerprint",
    "ranks",
}
COMMANDS = ("train", "evaluate", "predict", "inspect", "verify", "convert")
STEPS = 21  # an epoch of the example


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A directory with the set, and with a run of 2 epochs by one process in `run`; not to be changed."""
    home = tmp_path_factory.mktemp("commands")
    write_set(home / "set.h5")
    done = distmlp("train", write_config(home / "config.toml"))
    assert done.status == 0, done.err
    (home / "out").write_text(done.out)
    return home


@pytest.fixture
def config(tmp_path, home):
    """config(changes): a config of the same set, for a run in this test's own directory."""
    places = {"data.train": f"{home}/set.h5:/train", "data.validation": f"{home}/set.h5:/test"}
    return lambda changes={}: write_config(tmp_path / "config.toml", {**places, **changes})


def v_in(path):
    """The SHA-256 of the bytes of the v that a checkpoint holds, counted here."""
    with h5py.File(path) as file:
        return hashlib.sha256(
            file["v"][...].astype(file["v"].dtype.newbyteorder("<")).tobytes()
        ).hexdigest()


# What a run leaves and says


def test_log(home):
    first, second = log(home / "run")
    assert LOG_KEYS <= set(first) and set(first) == set(second)
    assert (first["epoch"], first["step"], second["epoch"], second["step"]) == (
        1,
        STEPS,
        2,
        2 * STEPS,
    )
    assert first["ranks"] == 1 and first["learning_rate"] == 0.3
    assert 0 < first["seconds"] < 60 and first["samples_per_second"] == pytest.approx(
        ROWS / first["seconds"]
    )
    assert first["v_sha256"] != second["v_sha256"]


def test_v_sha256_is_that_of_the_bytes_of_v(home):
    assert v_in(checkpoint(home / "run", 2 * STEPS)) == log(home / "run")[1]["v_sha256"]
    assert v_in(checkpoint(home / "run", STEPS)) == log(home / "run")[0]["v_sha256"]
    assert log(home / "run")[1]["v_sha256"] in (home / "out").read_text()


def test_without_a_validation_set_the_accuracy_is_the_training_sets(config, tmp_path):
    assert distmlp("train", config({"data.validation": None})).status == 0
    for record in log(tmp_path / "run"):
        assert record["validation_cost"] is None
        assert record["accuracy"] == record["training_accuracy"] > 0.3


def test_numbers_as_targets_have_no_accuracy(config, tmp_path):
    x, classes = rows(100)
    write_set(tmp_path / "numbers.h5", train=(x, np.eye(CLASSES)[classes] * 0.5))
    changes = {
        "data.train": "numbers.h5:/train",
        "data.validation": None,
        "network.cost": "mse",
        "network.output": "sigmoid",
    }
    assert distmlp("train", config(changes)).status == 0
    assert log(tmp_path / "run")[-1]["accuracy"] is None


# evaluate, predict, inspect


@pytest.mark.parametrize("place", ["run", f"run/checkpoints/step-{2 * STEPS:09d}.h5"])
def test_evaluate_json(home, place, mpich):
    last = log(home / "run")[-1]
    alone = distmlp("evaluate", place, "--json", cwd=home)
    assert alone.status == 0, alone.err
    assert json.loads(alone.out) == {
        "samples": 301,
        "cost": last["validation_cost"],
        "accuracy": last["accuracy"],
    }
    assert distmlp("evaluate", place, "--json", cwd=home, mpi=mpich, ranks=3).out == alone.out


def test_evaluate_of_another_set(home):
    done = distmlp("evaluate", "run", "--data", "set.h5:/train", cwd=home)
    assert done.status == 0, done.err
    assert f"samples  {ROWS}" in done.out and "cost" in done.out and "accuracy" in done.out


def test_predict_writes_the_sets_order_at_any_rank_count(home, tmp_path, openmpi, mpich):
    written = []
    for mpi, ranks in ((None, 1), (mpich, 3), (openmpi, 2)):
        out = tmp_path / f"{ranks}.h5"
        done = distmlp(
            "predict",
            "run",
            "--data",
            "set.h5:/train",
            "--output",
            out,
            cwd=home,
            mpi=mpi,
            ranks=ranks,
        )
        assert done.status == 0, done.err
        with h5py.File(out) as file:
            written.append((file["a"][...], file["class"][...]))
    for a, told in written:
        assert a.shape == (ROWS, CLASSES) and a.dtype == np.float32
        assert np.array_equal(a, written[0][0])
        assert np.array_equal(told, a.argmax(axis=1))
    assert sorted(os.listdir(tmp_path)) == ["1.h5", "2.h5", "3.h5"]

    # The order: against plain float64 arithmetic, row by row
    with h5py.File(checkpoint(home / "run", 2 * STEPS)) as file:
        v = file["v"][...].astype(np.float64)
    x, _ = rows(ROWS)
    w1, w2, b1, b2 = np.split(v, np.cumsum([20 * 13, 13 * 5, 13]))
    z = np.tanh(x @ w1.reshape(13, 20).T + b1) @ w2.reshape(5, 13).T + b2
    softmax = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    assert np.abs(written[0][0] - softmax).max() < 1e-5


def test_inspect(home):
    done = distmlp("inspect", "run", "--json", cwd=home)
    assert done.status == 0, done.err
    facts = json.loads(done.out)
    assert INSPECT_KEYS <= set(facts)
    assert (
        facts["layers"] == [20, 13, 5]
        and facts["dtype"] == "float32"
        and facts["parameters"] == 20 * 13 + 13 * 5 + 13 + 5
    )
    assert (facts["step"], facts["epoch"], facts["ranks"]) == (2 * STEPS, 2, 1)
    assert facts["v_sha256"] == log(home / "run")[-1]["v_sha256"]
    assert facts["config"]["seed"] == 7 and facts["config"]["training"]["epochs"] == 2
    words = distmlp("inspect", f"run/checkpoints/step-{STEPS:09d}.h5", cwd=home)
    assert words.status == 0 and log(home / "run")[0]["v_sha256"] in words.out


def test_verify(home, tmp_path, mpich):
    done = distmlp("verify", home / "run", mpi=mpich, ranks=2)
    assert done.status == 0, done.out + done.err
    assert "same bits" in done.out


def test_verify_finds_a_run_that_is_not_what_it_says(config, tmp_path):
    """The log's digest of one epoch is another's: verify must see it and end with 1."""
    assert distmlp("train", config({"training.epochs": 3})).status == 0
    records = log(tmp_path / "run")
    records[1]["v_sha256"] = records[0]["v_sha256"]
    (tmp_path / "run" / "log.jsonl").write_text(
        "".join(json.dumps(record) + "\n" for record in records)
    )
    done = distmlp("verify", tmp_path / "run", "--whole")
    assert done.status == 1
    assert f"step {2 * STEPS}" in done.out and records[0]["v_sha256"] in done.out


def test_convert_then_train(tmp_path, config):
    x, classes = rows(200)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", classes)
    done = distmlp("convert", "x.npy", "y.npy", "made.h5", cwd=tmp_path)
    assert done.status == 0, done.err
    with h5py.File(tmp_path / "made.h5") as file:
        assert np.array_equal(file["train/x"], x) and np.array_equal(file["train/y"], classes)
    done = distmlp("train", config({"data.train": "made.h5:/train"}))
    assert done.status == 0, done.err


# The command line


def test_help(mpich):
    everything = distmlp("--help")
    assert everything.status == 0 and all(command in everything.out for command in COMMANDS)
    for command in COMMANDS:
        done = distmlp(command, "--help")
        assert done.status == 0 and done.err == ""
        assert done.out.startswith(f"usage: distmlp {command}")
    once = distmlp("train", "--help", mpi=mpich, ranks=3)
    assert once.status == 0 and once.out.count("usage:") == 1


def test_the_program_and_the_module_are_the_same(home):
    """`distmlp`, which pip put beside Python, is `python -m distmlp`."""
    run = "import os, sys; program = os.path.join(os.path.dirname(sys.executable), 'distmlp'); os.execv(program, [program, *sys.argv[1:]])"
    program = run_ranks(None, 1, ["-c", run, "inspect", "run", "--json"], cwd=home)
    assert program.status == 0, program.err
    assert program.out == distmlp("inspect", "run", "--json", cwd=home).out


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


# Checkpoints and resuming


# A checkpoint that is due while the one before is still being written is left out, so in runs as short as
# these only the first and the last are certain.


@pytest.mark.parametrize(
    "every, due",
    [("1 epoch", 21), ("2 epochs", 42), ("50 steps", 50), ("1 step", 1), ("60 minutes", 10**9)],
)
def test_checkpoint_every(every, due, config, tmp_path):
    assert (
        distmlp(
            "train",
            config({"run.checkpoint_every": every, "training.epochs": 30, "run.keep": 1000}),
        ).status
        == 0
    )
    *some, last = steps(tmp_path / "run")
    assert last == 30 * STEPS
    assert all(step % due == 0 for step in some)
    assert (some[0] == due and len(some) > 1) if due < last else not some


def test_checkpoint_every_part_of_a_minute(config, tmp_path):
    path = config(
        {"run.checkpoint_every": "0.002 minutes", "training.epochs": 10**6, "run.keep": 100}
    )
    with started(None, 1, ["-m", "distmlp", "train", path]) as run:
        run.until(lambda: len(steps(tmp_path / "run")) >= 3)


@pytest.mark.parametrize("keep", [1, 2])
def test_keep(keep, config, tmp_path):
    assert distmlp("train", config({"run.keep": keep, "training.epochs": 10})).status == 0
    found = steps(tmp_path / "run")
    assert len(found) == keep and found[-1] == 10 * STEPS


def test_a_complete_run_is_left_as_it_is(config, tmp_path):
    path = config()
    first = distmlp("train", path)
    before = lawful(tmp_path / "run")
    again = distmlp("train", path)
    assert again.status == 0
    assert first.out.splitlines()[-1] == again.out.splitlines()[-1]  # the same v
    assert lawful(tmp_path / "run") == before and "epoch" not in again.out


def test_a_run_directory_has_one_run_at_a_time(config, tmp_path, mpich):
    path = config({"training.epochs": 10**6})
    with started(None, 1, ["-m", "distmlp", "train", path]) as running:
        running.until(lambda: steps(tmp_path / "run"))
        for mpi, ranks, resume in ((None, 1, "auto"), (mpich, 2, "never")):
            done = distmlp("train", path, "--resume", resume, mpi=mpi, ranks=ranks, timeout=20)
            assert done.status == 2
            assert (
                done.said
                == [line for line in done.said if f"process {running.process.pid}" in line]
                != []
            )
        assert running.is_running() and not (tmp_path / "run" / "earlier-1").exists()


def test_more_epochs_go_on_from_there(config, tmp_path):
    assert distmlp("train", config()).status == 0
    assert distmlp("train", config({"training.epochs": 3})).status == 0
    here = lawful(tmp_path / "run")
    assert distmlp("train", config({"training.epochs": 3, "run.directory": "whole"})).status == 0
    assert here == lawful(tmp_path / "whole") and len(here) == 3


def test_resume_never_sets_the_earlier_run_aside(config, tmp_path, home):
    assert distmlp("train", config()).status == 0
    assert distmlp("train", config({"seed": 8}), "--resume", "never").status == 0
    run = tmp_path / "run"
    assert lawful(run / "earlier-1") == lawful(home / "run") != lawful(run)
    assert v_in(checkpoint(run / "earlier-1", 2 * STEPS)) == v_in(
        checkpoint(home / "run", 2 * STEPS)
    )
    other = lawful(run)
    assert distmlp("train", config(), "--resume", "never").status == 0
    assert lawful(run / "earlier-2") == other
    assert lawful(run) == lawful(run / "earlier-1") == lawful(home / "run")


def test_resume_from_a_named_checkpoint(config, tmp_path, home):
    """Into another run directory, from the middle of another run."""
    done = distmlp("train", config(), "--resume", checkpoint(home / "run", STEPS))
    assert done.status == 0, done.err
    assert lawful(tmp_path / "run") == lawful(home / "run")[1:]


def test_the_stop_rule_is_decided_equally_on_all_ranks(config, tmp_path, openmpi, mpich):
    """The notes' epsilon: the epoch after which the cost has changed by less ends the run, on every rank."""
    logs = []
    for mpi, ranks in ((None, 1), (openmpi, 3), (mpich, 2)):
        directory = f"run-{ranks}"
        done = distmlp(
            "train",
            config({"training.epsilon": 0.05, "training.epochs": 500, "run.directory": directory}),
            mpi=mpi,
            ranks=ranks,
        )
        assert done.status == 0, done.err
        logs.append(lawful(tmp_path / directory))
    costs = [record["cost"] for record in logs[0]]
    changes = [abs(a - b) for a, b in itertools.pairwise(costs)]
    assert 2 < len(costs) < 500
    assert changes[-1] < 0.05 and all(change >= 0.05 for change in changes[:-1])
    assert logs[0] == logs[1] == logs[2]


# Divergence; signals and other disturbances are in tests/faults


@pytest.mark.parametrize("name, ranks", [("alone", 1), ("openmpi", 3), ("mpich", 2)])
def test_divergence(name, ranks, config, tmp_path, launcher):
    """Exit 3 on every rank, one sentence, and the last good checkpoint kept."""
    good = {"network.activation": "relu", "run.checkpoint_every": "10 steps", "run.keep": 100}
    done = distmlp(
        "train", config({**good, "optimizer.learning_rate": 1e30}), mpi=launcher(name), ranks=ranks
    )
    assert done.status == 3, done.err
    (sentence,) = [line for line in done.said if "fault tolerance" not in line]
    assert (
        "diverged at step 2" in sentence
        and "optimizer.learning_rate" in sentence
        and "1e+30" in sentence
    )
    assert "no checkpoint" in sentence
    assert steps(tmp_path / "run") == [] and log(tmp_path / "run") == []


def test_divergence_keeps_the_last_good_checkpoint(config, tmp_path):
    """A rate that grows the weights until they overflow some epochs on."""
    changes = {
        "network.activation": "relu",
        "network.cost": "mse",
        "network.output": "identity",
        "optimizer.learning_rate": 0.9,
    }
    done = distmlp(
        "train",
        config(
            {**changes, "optimizer.momentum": 0.99, "run.checkpoint_every": "1 step", "run.keep": 1}
        ),
    )
    assert done.status == 3, done.out
    (kept,) = steps(tmp_path / "run")
    assert str(checkpoint(tmp_path / "run", kept)) in done.said[-1]
    assert distmlp("inspect", tmp_path / "run").status == 0
