"""checking.py: what looking a set through shows, and what is doubtful in it."""

import itertools

import h5py
import numpy as np
import pytest
from example import tables

from distmlp.config.reading import from_tables
from distmlp.data.checking import Seen, doubts, scan
from distmlp.data.dataset import DataSet
from distmlp.data.digest import text
from distmlp.data.transform import Transform

N = 1000
RANDOM = np.random.default_rng(25)
X = RANDOM.normal(size=(N, 3)).astype(np.float32)


def looked_through(place, x, y, changes={}, cuts=(0, N)):
    """(what was seen, the doubts) of a set that some ranks looked through."""
    path = place / "set.h5"
    with h5py.File(path, "w") as file:
        file["set/x"], file["set/y"] = x, y
    width, outputs = x.shape[1], 1 if np.ndim(y) == 1 else y.shape[1]
    config = from_tables(
        tables(
            {
                "network.layers": [width, outputs],
                "network.output": "identity",
                "network.cost": "mse",
                **changes,
            }
        )
    )
    with DataSet(f"{path}:/set") as data:
        seen = Seen()
        for start, stop in itertools.pairwise(cuts):
            seen.add(scan(data, range(start, stop), config))
        return seen, doubts(data, seen, config, Transform())


TIMES = 1.6e9 + RANDOM.uniform(0, 60, (N, 1))
DOUBTFUL = {
    "energies": (X, -291230.1 + 0.01 * X[:, 0].astype(float), {}, "column 0 of the targets goes"),
    "times": (TIMES, X[:, 0], {}, "column 0 of the inputs goes from 16000000"),
    "whole numbers": ((TIMES * 1e9).astype(np.int64), X[:, 0], {}, "column 0 of the inputs"),
    "sigmoid": (X, 40 * X[:, 0], {"network.output": "sigmoid"}, '"sigmoid" gives 0 to 1'),
    "tanh": (X, X * 2, {"network.output": "tanh"}, '"tanh" gives -1 to 1'),
    "relu": (X, X[:, 0], {"network.output": "relu"}, '"relu" gives 0 to inf'),
}
FINE = {
    "float64": (TIMES, X[:, 0], {"dtype": "float64"}),
    "few numbers that float32 has": (np.arange(N)[:, None] % 4 + 2.0**23, X[:, 0], {}),
    "one number": (np.full((N, 1), 0.1), X[:, 0], {}),
    "reached": (X, np.abs(X[:, 0]) / 9, {"network.output": "sigmoid"}),
}


@pytest.mark.parametrize("kind", DOUBTFUL)
def test_a_doubt_is_named(kind, tmp_path):
    x, y, changes, words = DOUBTFUL[kind]
    _, found = looked_through(tmp_path, x, y, changes)
    assert len(found) == 1
    assert words in found[0]


def test_outputs_beyond_the_classes_are_named(tmp_path):
    path = tmp_path / "set.h5"
    with h5py.File(path, "w") as file:
        file["set/x"], file["set/y"] = X, np.arange(N) % 3
        file["set/y"].attrs["classes"] = ["a", "b", "c"]
    for outputs, words in ((3, []), (4, ["has 3 classes, but network.layers ends with 4"])):
        config = from_tables(tables({"network.layers": [3, outputs]}))
        with DataSet(f"{path}:/set") as data:
            seen = scan(data, range(N), config)
            found = doubts(data, seen, config, Transform())
        assert len(found) == len(words) and all(w in f for w, f in zip(words, found, strict=True))


@pytest.mark.parametrize("kind", FINE)
def test_no_doubt(kind, tmp_path):
    assert looked_through(tmp_path, *FINE[kind])[1] == []


def test_ranks_see_what_one_sees(tmp_path):
    whole = looked_through(tmp_path, TIMES, 40 * X[:, 0], {"network.output": "sigmoid"})
    for cuts in ((0, 1, 500, N), (0, 0, 999, N, N)):
        parts = looked_through(tmp_path, TIMES, 40 * X[:, 0], {"network.output": "sigmoid"}, cuts)
        assert parts[0].digest == whole[0].digest
        assert parts[1] == whole[1]


def test_layouts_have_one_digest(tmp_path):
    seen, _ = looked_through(tmp_path, X, X[:, 0])
    wide, _ = looked_through(tmp_path, X.astype(">f8"), X[:, 0].astype(np.float64))
    other, _ = looked_through(tmp_path, X, X[:, 1])
    assert text(seen.digest) == text(wide.digest) != text(other.digest)
