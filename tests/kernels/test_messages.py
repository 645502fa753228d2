"""Holds what ranks say to one another, as compiled, to its numpy twins, bit for bit, at every width."""

import numpy as np
import pytest
from widths import compiled, each_width, running

from distmlp.kernels import choice, numpy_messages

DTYPES = ["int32", "int64", "float32", "float64"]
INTEGERS = {"float32": np.int32, "float64": np.int64}


def numbers(random, shape, dtype):
    """Some that wrap or round when they are added."""
    if np.issubdtype(dtype, np.integer):
        return random.integers(
            np.iinfo(dtype).min, np.iinfo(dtype).max, shape, dtype, endpoint=True
        )
    return (random.normal(size=shape) * 10.0 ** random.integers(-5, 6, shape)).astype(dtype)


@each_width
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [1, 2, 3, 6])
@pytest.mark.parametrize("shift", [0, 1])
def test_sum_of_rows(width, dtype, rows, shift):
    """Of every length around whole cache lines, into memory that begins with one and that does not."""
    random = np.random.default_rng(rows)
    for n in (0, 1, 7, 8, 15, 16, 17, 64, 1000, 2001):
        added = numbers(random, (rows, n + 3), dtype)
        memory = np.full(n + 40, 77, dtype)
        start = -memory.ctypes.data // memory.itemsize % (64 // memory.itemsize) + shift
        found, expected = memory[start : start + n], np.empty(n, dtype)
        with running(width) as kernels:
            kernels.add_rows(added, 2, found)
        numpy_messages.add_rows(added, 2, expected)
        assert found.tobytes() == expected.tobytes()
        assert (memory[:start] == 77).all() and (memory[start + n :] == 77).all()


@each_width
@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("bad", [None, np.nan, np.inf, -np.inf])
def test_units(width, bad, dtype):
    random = np.random.default_rng(7)
    shape = (4, 50)
    largest = np.abs(random.normal(size=shape)) * 10.0 ** random.integers(-10, 10, shape)
    largest = largest.astype(dtype)
    largest[:, ::7] = 0.0
    largest[:, 1::7] = np.round(largest[:, 1::7])
    if bad is not None:
        largest[2, 17] = bad
    found = []
    with running(width) as kernels:
        for room in (kernels, numpy_messages):
            out = np.full(4, -1, INTEGERS[dtype])
            found.append((room.units(largest, 2.0**-3, 2.0**17, out), out[[0, 1, 3]].tolist()))
            assert bad == -np.inf or out[2] >= 2**17 * (bad is not None)
    assert found[0] == found[1] and found[0][0] == (bad is None)


@compiled
def test_the_compiled_part_refuses_what_it_would_read_beyond():
    rows, out = np.zeros((3, 8), np.int32), np.zeros(8, np.int32)
    choice.add_rows(rows, 0, out)
    for wrong in (
        (rows, 1, out),
        (rows, -1, out[:2]),
        (rows.astype(np.float32), 0, out),
        (rows, 0, out.astype(np.int64)),
        (rows[:, ::2], 0, out[:4]),
        (rows, out),
    ):
        with pytest.raises(ValueError, match="add_rows"):
            choice.add_rows(*wrong)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="add_rows"):
        choice.add_rows(rows, 0, out)
    T = np.zeros((2, 8), np.float32)
    for wrong in ((T, np.zeros(3, np.int32)), (T, np.zeros(2, np.int64)), (rows, rows[0])):
        with pytest.raises(ValueError, match="units"):
            choice.units(wrong[0], 1.0, 1.0, wrong[1])
