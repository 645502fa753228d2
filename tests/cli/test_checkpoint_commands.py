"""The commands on a checkpoint or a run: evaluate, predict, inspect, verify; and convert, then train."""

import json
import os

import h5py
import numpy as np
import pytest
from example import CLASSES, ROWS, checkpoint, log, rows
from launching import distmlp

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
STEPS = 21  # an epoch of the example


@pytest.mark.parametrize("place", ["run", f"run/checkpoints/step-{2 * STEPS:09d}.h5"])
def test_evaluate_json(home, place, mpich):
    last = log(home / "run")[-1]
    alone = distmlp("evaluate", place, "--json", cwd=home)
    assert alone.status == 0, alone.err
    found = json.loads(alone.out)
    assert {name: found[name] for name in ("samples", "cost", "accuracy")} == {
        "samples": 301,
        "cost": last["validation_cost"],
        "accuracy": last["accuracy"],
    }
    # a log loss is the same sum, row by row and not block by block
    assert found["log_loss"] == pytest.approx(found["cost"], rel=1e-6)
    assert [sum(row) for row in found["confusion"]] == [row["samples"] for row in found["by_class"]]
    assert distmlp("evaluate", place, "--json", cwd=home, mpi=mpich, ranks=3).out == alone.out


@pytest.mark.slow
def test_evaluate_of_another_set(home):
    done = distmlp("evaluate", "run", "--data", "set.h5:/train", cwd=home)
    assert done.status == 0, done.err
    assert f"samples  {ROWS}" in done.out and "cost" in done.out and "accuracy" in done.out
    for words in ("balanced accuracy", "ROC AUC", "F1", "top-2 accuracy", "actual \\ predicted"):
        assert words in done.out


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


@pytest.mark.slow
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
    for name in ("train", "validation"):  # which whoever reproduces the run compares
        assert f"data.{name} ".ljust(16) + facts["data"][name] in words.out


def test_verify(home, tmp_path, mpich):
    done = distmlp("verify", home / "run", mpi=mpich, ranks=2)
    assert done.status == 0, done.out + done.err
    assert "same bits" in done.out


@pytest.mark.slow
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


@pytest.mark.slow
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
