"""Holds how rows are taken, as compiled, to its numpy twin, bit for bit, at every width."""

import numpy as np
import pytest
from widths import compiled, each_width, running

from distmlp.kernels import choice, numpy_rows

TYPES = "?bBhHiIlLqQfd"


def stored(random, letter, shape):
    """Numbers of a type, the least and the largest among them."""
    dtype = np.dtype(letter)
    if dtype.kind == "b":
        return random.integers(0, 2, shape).astype(dtype)
    if dtype.kind == "f":
        return (random.normal(size=shape) * 10.0 ** random.integers(-30, 31, shape)).astype(dtype)
    limits = np.iinfo(dtype)
    numbers = random.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    numbers.flat[:2] = limits.min, limits.max
    return numbers


@each_width
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("letter", TYPES)
@pytest.mark.parametrize("n", [1, 3, 8, 31, 200])
def test_take_rows(width, letter, dtype, n):
    random = np.random.default_rng(n)
    rows, order = stored(random, letter, (9, n)), np.array([8, 0, 3, 3])
    for scale in (1.0, 1 / 255, -3.7e20):
        found, expected = np.empty((2, 4, n), dtype)
        with running(width) as kernels:
            kernels.take_rows(rows, order, scale, found)
        numpy_rows.take_rows(rows, order, scale, expected)
        with np.errstate(over="ignore"):
            plain = rows[order].astype(dtype) * np.array(scale, dtype)
        assert found.tobytes() == expected.tobytes() == plain.tobytes()


@each_width
@pytest.mark.parametrize("n", [1, 8, 200, 3000])
@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf, "scaled", "rounded"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_take_rows_tells_what_is_not_finite(width, bad, n, dtype):
    """Wherever it stands; also what becomes infinite by the scale, or as a float32."""
    order, most = np.arange(39, 0, -1), float(np.finfo(dtype).max)
    x, out = np.ones((40, n)), np.empty((39, n), dtype)
    if bad == "scaled":
        bad = most
    elif bad == "rounded":
        bad = 1e300 if dtype == "float32" else np.inf
    with running(width) as kernels:
        for take in (numpy_rows.take_rows, kernels.take_rows):
            assert take(x, order, 2.0, out) is True
            for place in (39, 20, 1):
                x[place, n // 2] = bad
                assert take(x, order, 2.0, out) is False
                x[place] = 1
            x[0, 0] = bad  # a row that is not taken
            assert take(x, order, 2.0, out) is True
            x[0, 0] = 1
            whole = np.full((40, n), 2**62)
            assert take(whole, order, 1e300, out) is True  # of whole numbers nothing is told


@compiled
def test_rows_beyond_the_set_and_other_types_are_refused():
    rows, out = np.zeros((3, 8), np.uint8), np.zeros((2, 8), np.float32)
    choice.take_rows(rows, np.array([2, 0]), 1.0, out)
    for wrong in (
        (rows, np.array([3, 0]), 1.0, out),
        (rows, np.array([0, -1]), 1.0, out),
        (rows, np.array([0]), 1.0, out),
        (rows, np.array([0, 1], np.int32), 1.0, out),
        (rows[:, :7], np.array([0, 1]), 1.0, out),
        (rows.astype(np.float16), np.array([0, 1]), 1.0, out),
        (rows.astype(">i4"), np.array([0, 1]), 1.0, out),
        (rows, np.array([0, 1]), 1.0, out.astype(np.int32)),
    ):
        with pytest.raises(ValueError, match="take_rows"):
            choice.take_rows(*wrong)
