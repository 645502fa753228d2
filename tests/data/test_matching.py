"""Columns and classes are matched by name, whatever their order in the file."""

import h5py
import numpy as np
import pytest

from distmlp.data.matching import Matched, Names
from distmlp.errors import InputError


def write(path, x, y, columns=None, targets=None):
    with h5py.File(path, "w") as file:
        file["x"], file["y"] = x, y
        if columns:
            file["x"].attrs["columns"] = columns
        if targets:
            file["y"].attrs["classes" if y.ndim == 1 else "columns"] = targets
    return f"{path}:/"


X = np.arange(12.0).reshape(4, 3)
Y = np.array([0, 1, 1, 0])


def everything(spec, names):
    with Matched(spec, "x", "y", names) as data:
        pieces = [(0, 1), (2, 4)]
        x, y = data.read(pieces)
        memory = data.memory(3, np.float32)
        again = data.read(pieces, memory)
        data.hold()
        held = data.read(pieces)
        for a, b in (again, held):
            np.testing.assert_array_equal(a, x)
            np.testing.assert_array_equal(b.reshape(y.shape), y)
        assert (data.width, len(x)) == (x.shape[1], 3)
        return x.tolist(), y.tolist()


def test_columns_and_classes_are_put_in_order(tmp_path):
    spec = write(tmp_path / "s.h5", X, Y, ["a", "b", "c"], ["no", "yes"])
    assert everything(spec, Names()) == (X[[0, 2, 3]].tolist(), [0, 1, 0])
    assert everything(spec, Names(["a", "b", "c"], ["no", "yes"])) == (
        X[[0, 2, 3]].tolist(),
        [0, 1, 0],
    )
    asked = Names(["c", "a"], ["maybe", "yes", "no"])
    assert everything(spec, asked) == (X[[0, 2, 3]][:, [2, 0]].tolist(), [2, 1, 2])


def test_targets_are_put_in_order(tmp_path):
    spec = write(tmp_path / "s.h5", X, X[:, :2] * 10, ["a", "b", "c"], ["u", "v"])
    x, y = everything(spec, Names(None, ["v", "u"]))
    assert x == X[[0, 2, 3]].tolist() and y == (X[[0, 2, 3]][:, [1, 0]] * 10).tolist()


def test_targets_that_somebody_named_may_be_called_otherwise(tmp_path):
    """In their own order; by name as soon as one name is the same, for then an order is likely to be wrong."""
    spec = write(tmp_path / "s.h5", X, X[:, :2] * 10, ["a", "b", "c"], ["u", "v"])
    _, y = everything(spec, Names(None, ["p", "q"], renamed=True))
    assert y == (X[[0, 2, 3]][:, :2] * 10).tolist()
    _, y = everything(spec, Names(None, ["v", "u"], renamed=True))
    assert y == (X[[0, 2, 3]][:, [1, 0]] * 10).tolist()
    for names in (Names(None, ["p", "u"], renamed=True), Names(None, ["p", "q"])):
        with pytest.raises(InputError, match="has no target 'p'"):
            Matched(spec, "x", "y", names)


def test_what_does_not_match(tmp_path):
    spec = write(tmp_path / "s.h5", X, Y, ["a", "b", "c"], ["no", "yes"])
    with pytest.raises(
        InputError, match=r"has no input 'd', which the network was trained on; it has a, b, c"
    ):
        Matched(spec, "x", "y", Names(["a", "d"]))
    with pytest.raises(InputError, match="has the class 'no', but the network knows only yes"):
        Matched(spec, "x", "y", Names(None, ["yes"]))


def test_without_names_columns_stand_as_they_are(tmp_path):
    spec = write(tmp_path / "s.h5", X, Y)
    assert everything(spec, Names(["c", "a"], ["yes", "no"])) == (X[[0, 2, 3]].tolist(), [0, 1, 0])
