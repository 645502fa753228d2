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
@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf, 3e38])
def test_take_rows_tells_what_is_not_finite(width, bad, n):
    """Wherever it stands; 3e38 becomes an infinity by the scale, and 1e300 by the dtype."""
    rows, order = np.ones((40, n)), np.arange(39, 0, -1)
    for kernels in (numpy_rows, None):
        for place in (39, 20, 1):
            for dtype, scale in (("float32", 2.0), ("float64", 1e300)):
                x = rows.astype(dtype)
                out = np.empty((39, n), dtype)
                with running(width) as compiled_kernels:
                    take = (kernels or compiled_kernels).take_rows
                    assert take(x, order, scale, out) is True
                    x[place, n // 2] = bad if dtype == "float32" or bad != 3e38 else 1e300
                    assert take(x, order, scale, out) is False
                    x[place], x[0, 0] = 1, bad  # a row that is not taken
                    assert take(x, order, scale, out) is True


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
