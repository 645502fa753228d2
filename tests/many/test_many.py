"""distmlp many: each network is that of its own run; one that diverges or dies ends alone; it goes on where it stopped."""

import csv
import json
import os
import signal
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from example import lawful, log, rows, write_config, write_set
from launching import distmlp, started

from distmlp.config.reading import load
from distmlp.many import plan
from distmlp.many.processes import run_as_processes
from distmlp.many.running import STOPPED
from distmlp.many.summary import summary


@pytest.fixture
def home(tmp_path):
    write_set(tmp_path / "set.h5")
    write_config(tmp_path / "config.toml", {"run.directory": "many"})
    return tmp_path


def v_of(run):
    return json.loads((run / "finished.json").read_text())["v_sha256"]


def single(home, name, *settings):
    """The digest of a run by itself."""
    words = [word for setting in settings for word in ("--set", setting)]
    done = distmlp(
        "train", "config.toml", *words, "--set", f"run.directory={home / name}", cwd=home
    )
    assert done.status == 0, done.err
    return v_of(home / name)


def test_an_ensemble_on_groups_of_ranks_is_that_of_single_runs(home, openmpi, mpich):
    expected = [single(home, f"alone-{seed}", f"seed={seed}") for seed in (7, 8, 9)]
    for name, mpi, ranks in (("a", openmpi, 3), ("b", mpich, 3), ("c", None, 1)):
        words = ["many", "config.toml", "--seeds", 3, "--at-once", 2]
        place = home / name
        done = distmlp(*words, "--set", f"run.directory={place}", cwd=home, mpi=mpi, ranks=ranks)
        assert done.status == 0, done.err
        assert "3 of 3 networks are complete" in done.out and "accuracy  " in done.out
        assert [v_of(place / n) for n in "123"] == expected
        assert sorted(p.name for p in place.iterdir()) == SETS
    assert lawful(home / "a" / "2") == lawful(home / "alone-8")
    with open(home / "a" / "members.csv") as file:
        table = list(csv.DictReader(file))
    assert {row["run"]: row["v_sha256"] for row in table} == dict(zip("123", expected, strict=True))

    outputs = []
    for name in ("alone-7", "alone-8", "alone-9", "a"):
        words = ["predict", name, "--data", "set.h5:/test", "--output", f"{name}.h5"]
        ranks = 3 if name == "a" else 1
        done = distmlp(*words, cwd=home, mpi=openmpi if name == "a" else None, ranks=ranks)
        assert done.status == 0, done.err
        with h5py.File(home / f"{name}.h5") as file:
            outputs.append({key: file[key][...] for key in file})
    a = np.stack([each["a"] for each in outputs[:3]]).astype(np.float64)
    assert outputs[3]["a"] == pytest.approx(a.mean(axis=0), rel=1e-12)
    assert outputs[3]["spread"] == pytest.approx(a.std(axis=0, ddof=1), rel=1e-9, abs=1e-15)
    assert np.array_equal(outputs[3]["class"], a.mean(axis=0).argmax(axis=1))

    # evaluate is of that mean, to the same bits at any rank count
    told = [
        json.loads(distmlp("evaluate", "a", "--json", cwd=home, mpi=mpi, ranks=ranks).out)
        for mpi, ranks in ((None, 1), (openmpi, 3), (mpich, 2))
    ]
    assert told[0] == told[1] == told[2]
    with h5py.File(home / "set.h5") as file:
        y = file["test/y"][...]
    mean = outputs[3]["a"]
    assert (told[0]["networks"], told[0]["samples"]) == (3, 301)
    assert told[0]["accuracy"] == np.mean(mean.argmax(axis=1) == y)
    log_loss = -np.log(mean[np.arange(301), y]).mean()
    assert told[0]["cost"] == pytest.approx(log_loss, rel=1e-9)
    assert told[0]["log_loss"] == pytest.approx(log_loss, rel=1e-9)
    said = distmlp("evaluate", "a", cwd=home).out.splitlines()
    assert said[0] == "networks 3, of whose outputs the mean is taken"
    assert said[2].endswith("  (cross-entropy)")


@pytest.mark.slow
def test_draws_train_as_the_configs_that_are_kept(home):
    words = ["many", "config.toml", "--random", 3, "--draw", "optimizer.learning_rate=log:0.01:1"]
    words += ["--draw", "network.layers=[[20,5],[20,9,5]]", "--at-once", 2]
    done = distmlp(*words, cwd=home)
    assert done.status == 0, done.err
    assert "3 of 3 networks are complete" in done.out
    digests = [v_of(home / "many" / name) for name in "123"]
    assert len(set(digests)) == 3
    for name, digest in zip("123", digests, strict=True):
        directory = f"run.directory={home / f'alone-{name}'}"
        done = distmlp("train", f"many/{name}/config.toml", "--set", directory, cwd=home)
        assert done.status == 0, done.err
        assert v_of(home / f"alone-{name}") == digest


SETS = ["1", "2", "3", "many.json", "members.csv", "members.txt"]


@pytest.mark.slow
@pytest.mark.parametrize("launched", ["alone", "openmpi"])
def test_a_network_that_diverges_ends_alone(home, launched, launcher):
    mpi = launcher(launched)
    grid = "optimizer.learning_rate=[0.3,3e38,0.1]"
    words = [
        "many",
        "config.toml",
        "--grid",
        grid,
        "--at-once",
        2,
        "--set",
        "network.activation=relu",
    ]
    done = distmlp(*words, cwd=home, mpi=mpi, ranks=1 if mpi is None else 2)
    assert done.status == 3, done.out + done.err
    assert "network 2 (optimizer.learning_rate = 3e+38) diverged: the training diverged" in done.out
    assert "2 of 3 networks are complete" in done.out and "±" not in done.out
    assert (home / "many" / "3" / "finished.json").exists()


@pytest.mark.slow
def test_a_network_that_dies_ends_alone_and_the_same_command_goes_on(home):
    epochs = 200
    words = ["-m", "distmlp", "many", "config.toml", "--seeds", 3, "--at-once", 2]
    words += ["--set", f"training.epochs={epochs}"]
    many = home / "many"
    with started(None, 1, words, cwd=home) as running:
        running.until((many / "1" / "log.jsonl").exists)
        os.kill(process_of(running, "1"), signal.SIGKILL)
        running.until(lambda: (many / "3" / "log.jsonl").exists() or many_lines(many / "2"))
        running.process.send_signal(signal.SIGTERM)
        done = running.wait(30)
    assert done.status == 75, done.out + done.err
    assert "network 1 (seed = 7) failed: died of signal 9" in done.out
    assert "of 3 networks are complete" in done.out

    done = distmlp(*words[2:], cwd=home)
    assert done.status == 0, done.out + done.err
    for name, seed in (("1", 7), ("2", 8), ("3", 9)):
        settings = f"seed={seed}", f"training.epochs={epochs}"
        assert v_of(many / name) == single(home, f"alone-{seed}", *settings)
        assert len(log(many / name)) == epochs


@pytest.mark.slow
def test_networks_that_are_told_to_stop_before_they_listen_have_not_failed(home):
    words = ["-m", "distmlp", "many", "config.toml", "--seeds", 3, "--at-once", 2]
    with started(None, 1, words, cwd=home) as running:
        running.until((home / "many" / "2" / "output.txt").exists)
        running.process.send_signal(signal.SIGTERM)
        done = running.wait(30)
    assert done.status == 75, done.out + done.err
    assert "failed" not in done.out + done.err
    assert distmlp(*words[2:], cwd=home).status == 0


@pytest.mark.slow
def test_where_many_is_killed_its_networks_stop_and_the_same_command_goes_on(home):
    words = ["-m", "distmlp", "many", "config.toml", "--seeds", 2, "--at-once", 2]
    words += ["--set", "training.epochs=300"]
    with started(None, 1, words, cwd=home) as running:
        running.until(lambda: all((home / "many" / n / "log.jsonl").exists() for n in "12"))
        running.process.kill()
        limit = time.monotonic() + 30
        while running.processes():
            assert time.monotonic() < limit, "its networks train on"
            time.sleep(0.05)
    assert not any((home / "many" / n / "finished.json").exists() for n in "12")
    assert all(list((home / "many" / n / "checkpoints").glob("step-*.h5")) for n in "12")
    done = distmlp(*words[2:], cwd=home)
    assert done.status == 0, done.out + done.err
    assert v_of(home / "many" / "2") == single(home, "alone", "seed=8", "training.epochs=300")


@pytest.mark.slow
@pytest.mark.parametrize("launched", ["alone", "openmpi"])
def test_networks_that_could_not_begin_have_failed_however_they_were_started(
    home, launched, launcher
):
    mpi = launcher(launched)
    words = ["many", "config.toml", "--folds", 2, "--fold-by", "nothing"]
    done = distmlp(*words, cwd=home, mpi=mpi, ranks=1 if mpi is None else 2)
    assert done.status == 1, done.out + done.err
    assert "network 2 (fold 2 of 2) failed" in done.out
    assert "0 of 2 networks are complete" in done.out


def test_a_stop_before_any_network_has_begun_is_one(home):
    config = load(home / "config.toml")
    members = plan.members_of(plan.seeds(config, 2))
    plan.keep(config, members)
    found = run_as_processes(config, members, 1, lambda: True, print)
    assert {outcome.state for outcome in found.values()} == {STOPPED}
    words = summary(Path(config.run.directory), members, found)
    assert words == "0 of 2 networks are complete: none has begun"


def many_lines(run):
    return (run / "finished.json").exists()


def process_of(running, name):
    """The process that trains a network."""
    for pid in running.processes():
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
        if any(word.endswith(f"/{name}/config.toml") for word in words):
            return pid
    raise AssertionError(f"no process trains network {name}")


def test_folds_are_evaluated_on_what_they_were_not_trained_on(home, openmpi):
    words = [
        "many",
        "config.toml",
        "--folds",
        3,
        "--fold-by",
        "classes",
        "--set",
        'training.metrics=["f1"]',
    ]
    done = distmlp(*words, cwd=home, mpi=openmpi, ranks=2)
    assert done.status == 0, done.err
    assert "f1    " in done.out and "network 2 (fold 2 of 3) complete" in done.out
    done = distmlp("evaluate", "many/2", "--json", "--which", "last", cwd=home)
    found, last = json.loads(done.out), log(home / "many" / "2")[-1]
    assert (found["samples"], found["cost"]) == (336, last["validation_cost"])
    assert found["f1"] == last["f1"]
    done = distmlp("evaluate", "many", cwd=home)
    assert done.status == 2 and "--data FILE.h5:/group names a set that none has seen" in done.err
    assert distmlp("evaluate", "many", "--data", "set.h5:/test", cwd=home).status == 0


@pytest.mark.slow
def test_the_mean_of_answers_is_evaluated_in_the_targets_own_units(home):
    x, _ = rows(400)
    y = 1000 + 50 * x[:, :2]
    write_set(home / "set.h5", train=(x, y), test=(x[:97], y[:97]))
    changes = {
        "network": {"layers": [20, 8, 2], "activation": "tanh", "output": "identity"},
        "data.scale_targets": "standardise",
        "run.directory": "many",
    }
    write_config(home / "config.toml", changes)
    assert distmlp("many", "config.toml", "--seeds", 2, cwd=home).status == 0
    found = json.loads(distmlp("evaluate", "many", "--json", cwd=home).out)
    distmlp("predict", "many", "--data", "set.h5:/test", "--output", "out.h5", cwd=home)
    with h5py.File(home / "out.h5") as file:
        error = file["a"][...] - y[:97]
    assert found["cost_name"] == "mse"
    assert found["cost"] == pytest.approx((error**2).sum(axis=1).mean() / 2, rel=1e-6)
    assert found["mae"] == pytest.approx(np.abs(error).mean(), rel=1e-6)
    assert "(mse, half of the squared error)" in distmlp("evaluate", "many", cwd=home).out


@pytest.mark.slow
def test_networks_of_different_kinds_have_no_mean(home):
    words = ["--grid", 'network.cost=["mse","cross-entropy"]', "--set", "training.epochs=1"]
    assert distmlp("many", "config.toml", *words, cwd=home).status == 0
    done = distmlp("evaluate", "many", cwd=home)
    assert done.status == 2
    assert "many: network 2 differs from network 1 in network.cost" in done.err
    words = ["predict", "many", "--data", "set.h5:/test", "--output", "out.h5"]
    assert distmlp(*words, cwd=home).status == 0  # the outputs are of one kind

    words = ["--grid", 'network.output=["softmax","sigmoid"]', "--set", "network.cost=mse"]
    words += ["--set", "training.epochs=1", "--set", "run.directory=others"]
    assert distmlp("many", "config.toml", *words, cwd=home).status == 0
    done = distmlp("predict", "others", "--data", "set.h5:/test", "--output", "no.h5", cwd=home)
    assert done.status == 2 and not (home / "no.h5").exists()
    assert "others: network 2 differs from network 1 in network.output" in done.err


@pytest.mark.slow
def test_answers_of_many_have_the_classes_names_and_may_be_a_table(home):
    x, y = rows(200)
    names = np.array([b"ash", b"birch", b"cedar", b"elm", b"fir"])
    write_set(home / "set.h5", train=(x, names[y]), test=(x[:50], names[y[:50]]))
    with h5py.File(home / "set.h5", "a") as file:
        file["test/other"] = file["test/x"][...]
        del file["test/x"]
    changes = {"run.directory": "many", "data.validation": ""}
    write_config(home / "config.toml", changes)
    assert distmlp("many", "config.toml", "--seeds", 2, cwd=home).status == 0
    for out in ("out.h5", "out.csv"):
        words = ["predict", "many", "--data", "set.h5:/test", "--inputs", "other", "--output", out]
        words += ["--keep", "y", "--row-numbers"]
        done = distmlp(*words, cwd=home)
        assert done.status == 0, done.err
    with h5py.File(home / "out.h5") as file:
        a, spread = file["a"][...], file["spread"][...]
        labels = file["label"].asstr()[...]
        assert list(file["spread"].attrs["columns"]) == [name.decode() for name in names]
    assert list(labels) == [names[k].decode() for k in a.argmax(axis=1)]
    with open(home / "out.csv") as file:
        table = list(csv.DictReader(file))
    assert [row["label"] for row in table] == list(labels)
    assert [row["y"] for row in table] == [names[k].decode() for k in y[:50]]
    assert [row["row"] for row in table] == [str(row) for row in range(50)]
    assert [float(row["fir"]) for row in table] == a[:, 4].tolist()
    assert [float(row["spread fir"]) for row in table] == spread[:, 4].tolist()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--random", 3], "--draw"),
        (["--seeds", 3, "--draw", "seed=[1]"], "--random"),
        (["--folds", 1], "at least 2"),
        (["--grid", "optimizer.rate=[1]"], "optimizer.rate"),
        ([], "--seeds"),
    ],
)
def test_a_bad_plan_is_one_sentence(home, words, expected):
    done = distmlp("many", "config.toml", *words, cwd=home)
    assert done.status == 2 and not (home / "many").exists()
    assert len(done.said) == 1 and expected in done.said[0]
