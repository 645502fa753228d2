"""Inputs and targets scaled by column, missing ones filled: the same at any rank count, and in the targets' own units."""

from fractions import Fraction

import h5py
import numpy as np
import pytest
from example import tables
from launching import distmlp
from simulated import on_ranks

import distmlp as package
from distmlp.config.reading import from_tables
from distmlp.errors import InputError
from distmlp.parallel.communicator import SingleProcess
from distmlp.results import checkpoint_commands
from distmlp.runs import checkpoint
from distmlp.training.loop import train

N = 607
RANDOM = np.random.default_rng(11)
X = RANDOM.normal(size=(N, 4)) * [1, 1e-6, 1e5, 0] + [0, 3, 1.6e9, 7]
TARGETS = np.column_stack([1e5 * X[:, 0], 3 + 1e-3 * X[:, 1], np.sin(X[:, 0])])
HOLES = np.where(RANDOM.random((N, 4)) < [0.1, 0, 0.2, 0], np.nan, X)

SCALED = {
    "network.layers": [4, 6, 3],
    "network.output": "identity",
    "network.cost": "mse",
    "data.validation": "",
    "data.scale_inputs": ["standardise", "min-max", "standardise", "standardise"],
    "data.scale_targets": "standardise",
    "optimizer.learning_rate": 0.05,
}
FILLED = {**SCALED, "network.layers": [6, 6, 3], "data.missing": "mean-and-indicator"}


def config_in(place, changes, x=X, name="run"):
    with h5py.File(place / f"{name}.h5", "w") as file:
        file["set/x"], file["set/y"] = x, TARGETS
    here = {"data.train": f"{place}/{name}.h5:/set", "run.directory": str(place / name)}
    return from_tables(tables({**here, **changes}))


def test_a_network_is_given_standardised_rows(tmp_path):
    config = config_in(tmp_path, SCALED)
    train(config, SingleProcess())
    kept = checkpoint.find(tmp_path / "run")[0].data
    assert kept["inputs_shift"] == pytest.approx(
        [0, X[:, 1].min(), *X[:, 2:].mean(axis=0)], abs=0.2
    )
    assert kept["inputs_divisor"][3] == 1  # a constant column
    assert kept["targets_divisor"] == pytest.approx(TARGETS.std(axis=0), rel=1e-12)

    # The same rows, scaled by hand, train to the same v.
    by_hand = (X - kept["inputs_shift"]) / kept["inputs_divisor"]
    plain = {**SCALED, "data.scale_inputs": "none", "data.scale_targets": "none"}
    other = config_in(tmp_path, plain, by_hand.astype(np.float32), "plain")
    with h5py.File(tmp_path / "plain.h5", "r+") as file:
        y = (TARGETS - kept["targets_shift"]) / kept["targets_divisor"]
        file["set/y"][...] = y.astype(np.float32)
    assert train(other, SingleProcess()).v_sha256 == train(config, SingleProcess()).v_sha256


@pytest.mark.parametrize("streamed", [{}, {"data.window": "0.02 MB", "data.chunk_rows": 50}])
def test_ranks_change_no_bit(streamed, tmp_path):
    def trained(ranks):
        config = config_in(tmp_path, {**FILLED, **streamed}, HOLES, f"run{ranks}")
        found = on_ranks(ranks, lambda comm: train(config, comm))
        return found[0].v_sha256, {
            name: array.tobytes()
            for name, array in checkpoint.find(tmp_path / f"run{ranks}")[0].data.items()
        }

    assert trained(1) == trained(3) == trained(4)


@pytest.mark.slow
def test_answers_are_in_the_targets_own_units(tmp_path):
    changes = {**FILLED, "training.epochs": 40, "data.validation": f"{tmp_path}/run.h5:/set"}
    train(config_in(tmp_path, changes, HOLES), SingleProcess())
    spec = f"{tmp_path}/run.h5:/set"
    checkpoint_commands.predict(tmp_path / "run", spec, tmp_path / "out.h5", SingleProcess())
    with h5py.File(tmp_path / "out.h5") as file:
        a = file["a"][...]
    assert a.dtype == np.float64
    error = np.sqrt(np.mean((a - TARGETS) ** 2, axis=0))
    assert (error[[0, 2]] < 0.5 * TARGETS.std(axis=0)[[0, 2]]).all()
    scores = checkpoint_commands.evaluate(tmp_path / "run", spec, SingleProcess()).scores
    assert [row["rmse"] for row in scores["by_output"]] == pytest.approx(error.tolist(), rel=1e-9)
    network = package.load(tmp_path / "run")
    assert network.predict(HOLES).tobytes() == a.tobytes()


def test_a_resume_has_the_same_bits(tmp_path):
    whole = train(config_in(tmp_path, {**FILLED, "training.epochs": 4}, HOLES), SingleProcess())
    for epochs in (2, 4):
        config = config_in(tmp_path, {**FILLED, "training.epochs": epochs}, HOLES, "parts")
        parts = train(config, SingleProcess())
    assert parts.v_sha256 == whole.v_sha256
    config = config_in(
        tmp_path, {**FILLED, "training.epochs": 5, "data.scan": False}, 2 * HOLES, "parts"
    )
    with pytest.raises(InputError, match="means and spreads are not those"):
        train(config, SingleProcess())


def test_missing_values_are_refused_unless_they_are_asked_for(tmp_path):
    with pytest.raises(InputError, match=r"row \d+: its inputs hold a NaN"):
        train(config_in(tmp_path, SCALED, HOLES), SingleProcess())
    filled = {**SCALED, "data.missing": "mean"}
    train(config_in(tmp_path, filled, HOLES), SingleProcess())
    infinite = np.where(np.arange(4 * N).reshape(N, 4) == 13, np.inf, HOLES)
    with pytest.raises(InputError, match="row 3: its inputs hold a NaN or an infinity"):
        train(config_in(tmp_path, filled, infinite, "other"), SingleProcess())
    empty = np.where([True, False, False, False], np.nan, HOLES)
    with pytest.raises(InputError, match="column 0 of the inputs has no value at all"):
        train(config_in(tmp_path, filled, empty, "other"), SingleProcess())


BAD = {
    "factor and columns": ({"data.scale": 0.5}, "expected one of the two"),
    "cross-entropy": (
        {"network.cost": "cross-entropy", "network.output": "softmax"},
        "needs targets as they are",
    ),
    "entries": ({"data.scale_inputs": ["none", "none"]}, "has 2 entries, but"),
    "word": ({"data.scale_inputs": "standardize"}, "one of none, standardise, min-max"),
    "indicators": ({"data.missing": "mean-and-indicator", "network.layers": [5, 6, 3]}, "make 4"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_cannot_be_done_is_said(kind, tmp_path):
    changes, words = BAD[kind]
    with pytest.raises(InputError, match=words):
        train(config_in(tmp_path, {**SCALED, **changes}), SingleProcess())


def test_the_commands_take_it(tmp_path, openmpi):
    """Three ranks of Open MPI and one process end with one v."""
    import tomli_w

    found = []
    for ranks in (1, 3):
        config_in(tmp_path, FILLED, HOLES, f"run{ranks}")
        here = {
            "data.train": f"{tmp_path}/run{ranks}.h5:/set",
            "run.directory": str(tmp_path / f"run{ranks}"),
        }
        path = tmp_path / f"{ranks}.toml"
        path.write_text(tomli_w.dumps(tables({**FILLED, **here})))
        done = distmlp("train", path, mpi=openmpi if ranks > 1 else None, ranks=ranks)
        assert done.status == 0, done.err
        found.append(checkpoint.find(tmp_path / f"run{ranks}")[0].facts["v_sha256"])
    assert found[0] == found[1]


def test_an_exported_network_does_it_too(tmp_path):
    reference = pytest.importorskip("onnx.reference")
    train(config_in(tmp_path, FILLED, HOLES), SingleProcess())
    a = package.load(tmp_path / "run").predict(HOLES)
    checkpoint_commands.export_network(tmp_path / "run", tmp_path / "net.onnx")
    session = reference.ReferenceEvaluator(str(tmp_path / "net.onnx"))
    (found,) = session.run(None, {"x": HOLES})
    assert (np.abs(found - a) < 1e-5 * TARGETS.std(axis=0)).all()
    checkpoint_commands.export_network(tmp_path / "run", tmp_path / "net.npz")
    with np.load(tmp_path / "net.npz") as kept:
        assert kept["targets_shift"].tobytes() == TARGETS_MEAN.tobytes()


TARGETS_MEAN = np.array(
    [float(sum(map(Fraction, column.tolist()), Fraction(0)) / N) for column in TARGETS.T]
)
