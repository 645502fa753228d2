"""Sample and class weights: in cost, gradient and metrics, the same bits at any rank count, and what scikit-learn means by them."""

import json
import shutil
from fractions import Fraction

import h5py
import naive
import numpy as np
import pytest
from example import lawful, rows, steps, tables, write_config, write_set
from launching import distmlp
from preparing import prepared
from simulated import on_ranks

from distmlp.config.reading import from_tables
from distmlp.errors import InputError
from distmlp.parallel.communicator import SingleProcess
from distmlp.results import checkpoint_commands
from distmlp.training.loop import train
from distmlp.training.reporting import Silent
from distmlp.training.resuming import new_state

oracle = pytest.importorskip("sklearn.metrics")
class_weights = pytest.importorskip("sklearn.utils.class_weight")

N = 1009
W = np.random.default_rng(3).integers(0, 4, N)
REAL = np.random.default_rng(4).random(N) * 10


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("weights")
    fill(place)
    return place


def fill(place):
    write_set(place / "set.h5", "chunked")
    bad = {"negative": -1.0, "nan": np.nan, "infinite": np.inf}
    with h5py.File(place / "set.h5", "a") as file:
        file["train/whole"], file["train/w"], file["train/ones"] = W, REAL, np.full(N, 0.7)
        file["train/table"] = np.column_stack([REAL, W])
        file["train/zeros"], file["train/short"] = np.zeros(N), np.ones(1008)
        for name, value in bad.items():
            file[f"train/{name}"] = np.where(np.arange(N) == 17, value, REAL)
        file["train/of_two"] = np.where(rows(N)[1] < 2, REAL, 0)
        file["test/w"], file["test/v"] = REAL[:301], W[:301]
        file["train/y"].attrs["classes"] = list("vwxyz")
        file["test/y"].attrs["classes"] = list("vwxyz")


def config(place, name, changes={}):
    here = {
        "data.train": f"{place}/set.h5:/train",
        "data.validation": f"{place}/set.h5:/test",
        "run.directory": f"{place}/{name}",
    }
    return from_tables(tables({**here, **changes}))


class Kept(Silent):
    """Keeps the records of epochs."""

    def __init__(self):
        self.records = []

    def epoch(self, record, epochs):
        moving = ("samples_per_second", "seconds", "ranks")
        self.records.append({key: value for key, value in record.items() if key not in moving})


def trained(place, name, changes={}, ranks=1, report=None):
    """What rank 0 has trained."""
    report = report or Kept()
    found = on_ranks(ranks, lambda comm: train(config(place, name, changes), comm, report=report))
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]


# What weights are


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_equal_weights_are_none(place, dtype):
    plain = trained(place, f"plain-{dtype}", {"dtype": dtype, "data.validation": ""})
    changes = {"dtype": dtype, "data.validation": "", "data.weights": "ones"}
    assert trained(place, f"ones-{dtype}", changes).v_sha256 == plain.v_sha256
    changes = {"dtype": dtype, "data.validation": "", "data.class_weights": [3, 3, 3, 3, 3]}
    assert trained(place, f"equal-{dtype}", changes).v_sha256 == plain.v_sha256


BY_CLASS = {
    "": None,
    "balanced": "balanced",
    "list": [1, 2.5, 0, 3, 1],
    "table": {"w": 2.5, "x": 0, "3": 3},
}


@pytest.mark.slow
@pytest.mark.parametrize("by", BY_CLASS)
@pytest.mark.parametrize("name", ["", "w", "table[0]"])
def test_one_step_is_that_of_the_weighted_mean(place, by, name):
    """C = (1/t) Σ w C_i, the mean of w 1; in float64, over all rows at once."""
    if not (by or name):
        pytest.skip("no weights")
    changes = {
        "dtype": "float64",
        "network.layers": [20, 3, 5],
        "training.batch_size": "all",
        "data.weights": name,
        **({"data.class_weights": BY_CLASS[by]} if by else {}),
        "data.train": f"{place}/set.h5:/train",
        "data.validation": f"{place}/set.h5:/test",
        "training.epochs": 1,
    }
    x, labels = rows(N)
    w = REAL if name else np.ones(N)
    if by == "balanced":
        sums = np.bincount(labels, w)
        w = w / sums[labels]
        if not name:
            expected = class_weights.compute_sample_weight("balanced", labels)
            assert w * N / w.sum() == pytest.approx(expected, rel=1e-12)
    elif by:
        w = w * np.array([1, 2.5, 0, 3, 1])[labels]
    w = w * N / w.sum()
    with prepared(place, {**changes, "run.directory": f"{place}/step"}) as run:
        v = new_state(run).v.astype(np.float64)
        numbers = np.array([0, 100, 1008])
        given = run.weighting.of(numbers, labels[numbers], np.float64)
        assert given == pytest.approx(w[numbers], rel=1e-12)
    network = [20, 3, 5], "tanh", "softmax", "cross-entropy"
    samples = zip(x.astype(float).tolist(), np.eye(5)[labels].tolist(), strict=True)
    some = [naive.sample(*network, v, a, y) for a, y in samples]
    cost = sum(u * c for u, (c, _) in zip(w, some, strict=True)) / N
    gradient = sum(u * np.array(g) for u, (_, g) in zip(w, some, strict=True)) / N
    found = trained(place, f"step-{by}-{name[:1]}", changes)
    assert found.record["cost"] == pytest.approx(cost, rel=1e-12)
    assert found.v == pytest.approx(v - 0.3 * gradient, rel=1e-9, abs=1e-11)


@pytest.mark.slow
def test_a_weight_is_so_many_equal_rows(place, tmp_path):
    """Gradient descent over all rows: the notes' average of repeated rows, and rows of weight 0 are not there."""
    changes = {
        "dtype": "float64",
        "training.batch_size": "all",
        "training.epochs": 20,
        "data.validation": "",
    }
    weighted = trained(place, "whole", {**changes, "data.weights": "whole"})
    x, y = rows(N)
    write_set(tmp_path / "set.h5", train=(np.repeat(x, W, axis=0), np.repeat(y, W)))
    repeated = trained(tmp_path, "repeated", changes)
    assert weighted.v == pytest.approx(repeated.v, rel=1e-8, abs=1e-9)
    assert weighted.record["cost"] == pytest.approx(repeated.record["cost"], rel=1e-9)


# The law


CHANGES = {
    "data.weights": "w",
    "data.class_weights": "balanced",
    "training.metrics": ["f1", "roc_auc", "log_loss"],
    "training.epochs": 3,
}
STREAMED = {**CHANGES, "data.window": "0.02 MB", "data.validation": 0.2, "data.rows": "3:"}


@pytest.mark.slow
@pytest.mark.parametrize("changes", [CHANGES, STREAMED], ids=["held", "streamed"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ranks_change_no_bit(place, changes, dtype):
    changes = {**changes, "dtype": dtype}
    logs = []
    for ranks in (1, 2, 3, 4):
        report = Kept()
        trained(place, f"ranks-{len(changes)}-{dtype}-{ranks}", changes, ranks, report)
        logs.append(report.records)
    assert len(logs[0]) == 3 and logs[1:] == logs[:1] * 3


def by_command(place, name, mpi=None, ranks=1, env=None, changes=STREAMED):
    file = write_config(place / f"{name}.toml", {**changes, "run.directory": name})
    done = distmlp("train", file, mpi=mpi, ranks=ranks, env=env)
    assert done.status == 0, done.err
    return lawful(place / name)


@pytest.fixture(scope="module")
def alone(place):
    return by_command(place, "alone")


@pytest.mark.parametrize("name, ranks", [("openmpi", 3), ("mpich", 2)])
def test_no_mpi_changes_a_bit(name, ranks, launcher, place, alone):
    assert by_command(place, f"{name}-{ranks}", launcher(name), ranks) == alone


@pytest.mark.slow
def test_numpy_alone_changes_no_bit(place, alone):
    assert by_command(place, "numpy", env={"DISTMLP_COMPILED": "0"}) == alone


@pytest.mark.slow
def test_a_resume_at_an_odd_step_changes_no_bit(place, alone):
    changes = {**STREAMED, "run.checkpoint_every": "3 steps", "run.keep": 100}
    by_command(place, "parts", changes=changes)
    odd = next(step for step in steps(place / "parts") if step % 17)
    for path in (place / "parts" / "checkpoints").glob("*.h5"):
        if path.name != f"step-{odd:09d}.h5":
            path.unlink()
    (place / "parts" / "finished.json").unlink()
    assert by_command(place, "parts", changes=changes) == alone


def test_a_resume_with_different_weights_is_refused(tmp_path):
    fill(tmp_path)
    changes = {"data.weights": "w", "training.epochs": 1}
    trained(tmp_path, "run", changes)
    for more, words in (
        (
            {"data.weights": "whole"},
            "the checkpoint has data.weights = w, but the config has whole",
        ),
        ({"data.class_weights": "balanced"}, "data.class_weights"),
    ):
        with pytest.raises(InputError, match=words):
            trained(tmp_path, "run", {**changes, "training.epochs": 2, **more})
    for group in ("train", "test"):
        shutil.copy(tmp_path / "set.h5", tmp_path / "kept.h5")
        with h5py.File(tmp_path / "set.h5", "a") as file:
            file[f"{group}/w"][5] += 1
        with pytest.raises(InputError, match="its weights are not those"):
            trained(tmp_path, "run", {**changes, "training.epochs": 2})
        shutil.copy(tmp_path / "kept.h5", tmp_path / "set.h5")


# Metrics


@pytest.mark.slow
def test_metrics_are_weighted_and_both_are_shown(place):
    report = Kept()
    trained(place, "metrics", CHANGES, report=report)
    last = {"which": "last", "comm": SingleProcess()}
    found = checkpoint_commands.evaluate(place / "metrics", None, **last)
    record = report.records[-1]
    assert (found.cost, found.accuracy) == (record["validation_cost"], record["accuracy"])
    assert found.scores["f1"] == record["f1"]
    checkpoint_commands.predict(place / "metrics", f"{place}/set.h5:/test", place / "a.h5", **last)
    with h5py.File(place / "a.h5") as file:
        a, predicted = file["a"][...].astype(np.float64), file["class"][...]
    labels, w = rows(301, seed=1)[1], REAL[:301]
    how = {"sample_weight": w}
    assert found.accuracy == pytest.approx(
        oracle.accuracy_score(labels, predicted, **how), rel=1e-12
    )
    assert found.unweighted.accuracy == oracle.accuracy_score(labels, predicted)
    costs = -np.log(a[np.arange(301), labels])
    assert found.cost == pytest.approx(np.average(costs, weights=w), rel=1e-5)
    assert found.unweighted.cost == pytest.approx(costs.mean(), rel=1e-5)
    assert found.scores["f1"] == pytest.approx(
        oracle.f1_score(labels, predicted, average="macro", **how), rel=1e-12
    )
    assert found.samples == 301
    done = distmlp("evaluate", place / "metrics", "--which", "last", "--json")
    shown = json.loads(done.out)
    assert shown["cost"] == found.cost
    assert shown["unweighted"] == {
        "cost": found.unweighted.cost,
        "accuracy": found.unweighted.accuracy,
    }
    done = distmlp("evaluate", place / "metrics")
    assert "unweighted: cost" in done.out


def test_the_validation_set_has_its_own_weights_or_none(place):
    """Those that are named for it; else those of the same name; else none, and class weights never."""
    changes = {"data.weights": "whole", "training.epochs": 1}
    trained(place, "none", changes)
    trained(place, "own", {**changes, "data.validation_weights": "v"})
    trained(place, "class", {"data.class_weights": "balanced", "training.epochs": 1})
    found = [
        checkpoint_commands.evaluate(place / name, None, SingleProcess())
        for name in ("none", "own")
    ]
    assert found[0].unweighted is None
    assert found[1].unweighted.cost == found[0].cost != found[1].cost
    assert checkpoint_commands.evaluate(place / "class", None, SingleProcess()).unweighted is None
    # the same name in a different set
    weighted = checkpoint_commands.evaluate(
        place / "own", f"{place}/set.h5:/train", SingleProcess()
    )
    assert weighted.unweighted is not None


# What cannot be


BAD = {
    "negative": ({"data.weights": "negative"}, "row 17: its weight in negative is -1"),
    "nan": ({"data.weights": "nan"}, "row 17: its weight in nan is nan, but expected a finite"),
    "infinite": ({"data.weights": "infinite"}, "row 17: its weight in infinite is inf"),
    "rows": ({"data.weights": "negative", "data.rows": "3:"}, "row 17: its weight"),
    "zeros": ({"data.weights": "zeros"}, "all weights in zeros are 0"),
    "short": ({"data.weights": "short"}, "1008 rows of 1 numbers, but expected one number a row"),
    "wide": ({"data.weights": "table"}, "1009 rows of 2 numbers"),
    "nobody": ({"data.weights": "nobody"}, "no dataset 'nobody'"),
    "number": ({"data.weights": 2}, "data.weights is 2, but expected the name"),
    "word": ({"data.class_weights": "even"}, "data.class_weights is .even., but expected balanced"),
    "entry": ({"data.class_weights": [1, -1, 1, 1, 1]}, "a number of at least 0 for each"),
    "no entry": ({"data.class_weights": [0, 0]}, "expected balanced"),
    "entries": ({"data.class_weights": [1, 2]}, "has 2 entries, but there are 5 classes"),
    "class": ({"data.class_weights": {"q": 2}}, "has the class 'q', but the classes of .* v, w, x"),
    "number of a class": ({"data.class_weights": {"5": 2}}, "has the class '5'"),
    "no rows": (
        {"data.weights": "of_two", "data.class_weights": [0, 0, 1, 1, 1]},
        "leaves all rows the weight 0",
    ),
    "not its own": (
        {"data.validation": 0.1, "data.validation_weights": "w"},
        "it belongs to a set of its own",
    ),
    "numbers": (
        {
            "data.class_weights": "balanced",
            "data.targets": "x",
            "data.validation": "",
            "network.layers": [20, 20],
            "network.output": "identity",
            "network.cost": "mse",
        },
        "are no classes",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_cannot_be_done_is_said(kind, place):
    changes, words = BAD[kind]
    with pytest.raises(InputError, match=words):
        trained(place, "bad", changes, ranks=2)
    assert not (place / "bad").exists()


def test_the_sum_of_weights_is_exact(place):
    with prepared(place, {"data.weights": "w", "run.directory": f"{place}/sum"}) as run:
        total = sum(map(Fraction, REAL.tolist()))
        assert run.data.weights.total == total
        assert run.weighting.factors.tolist() == [float(N / total)]
