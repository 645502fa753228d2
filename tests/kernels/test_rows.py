"""Holds how rows are taken, as compiled, to its numpy twin, bit for bit, at every width."""

import numpy as np
import pytest
from widths import compiled, each_width, running

from distmlp.kernels import choice, numpy_rows

TYPES = "?bBhHiIlLqQfd"

#: No shift, divisor, fill and indicators.
UNCHANGED = (None,) * 4


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
            kernels.take_rows(rows, order, scale, *UNCHANGED, found)
        numpy_rows.take_rows(rows, order, scale, *UNCHANGED, expected)
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
            assert take(x, order, 2.0, *UNCHANGED, out) is True
            for place in (39, 20, 1):
                x[place, n // 2] = bad
                assert take(x, order, 2.0, *UNCHANGED, out) is False
                x[place] = 1
            x[0, 0] = bad  # a row that is not taken
            assert take(x, order, 2.0, *UNCHANGED, out) is True
            x[0, 0] = 1
            whole = np.full((40, n), 2**62)
            assert (
                take(whole, order, 1e300, *UNCHANGED, out) is True
            )  # of whole numbers nothing is told


def by_a_loop(rows, order, scale, shift, divisor, fill, indicators, dtype):
    """What take_rows gives, one number after another."""
    scale, made = np.dtype(dtype).type(scale), []
    for row in rows[order]:
        line = []
        for column, x in enumerate(row):
            a = np.float64(x)
            if fill is not None and a != a:
                a = fill[column]
            if shift is not None:
                a = (a - shift[column]) / divisor[column]
            line.append(a.astype(dtype) * scale)
        line += [np.float64(row[column]) != np.float64(row[column]) for column in indicators or ()]
        made.append(line)
    return np.array(made, dtype)


@each_width
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("letter", TYPES)
@pytest.mark.parametrize("n", [1, 31, 515])
@pytest.mark.parametrize("scales, fills, indicators", [(1, 0, 0), (0, 1, 0), (1, 1, 0), (1, 1, 3)])
@pytest.mark.filterwarnings("ignore:.*encountered in")
def test_rows_that_are_transformed(width, letter, dtype, n, scales, fills, indicators):
    random = np.random.default_rng(n)
    rows, order = stored(random, letter, (9, n)), np.array([8, 0, 3, 3])
    if rows.dtype.kind == "f":
        rows[random.random(rows.shape) < 0.2] = np.nan
    shift, divisor, fill = random.normal(size=(3, n))
    how = [0.3 if not scales else 1.0, *([shift, divisor] if scales else [None, None])]
    how += [fill if fills else None]
    columns = sorted(random.choice(n, min(n, indicators), replace=False).tolist())
    given = np.array(columns, np.int64) if indicators else None
    found, expected = np.empty((2, 4, n + len(columns)), dtype)
    with running(width) as kernels:
        finite = kernels.take_rows(rows, order, *how, given, found)
    assert numpy_rows.take_rows(rows, order, *how, given, expected) == finite
    assert finite == np.isfinite(found).all()
    plain = by_a_loop(rows, order, *how, columns, dtype)
    np.testing.assert_array_equal(found, plain)
    assert found.tobytes() == expected.tobytes()


@compiled
def test_rows_beyond_the_set_and_other_types_are_refused():
    rows, out = np.zeros((3, 8), np.uint8), np.zeros((2, 8), np.float32)
    two, ones = np.array([0, 1]), np.ones(8)
    choice.take_rows(rows, np.array([2, 0]), 1.0, *UNCHANGED, out)
    for wrong in (
        (rows, np.array([3, 0]), 1.0, *UNCHANGED, out),
        (rows, np.array([0, -1]), 1.0, *UNCHANGED, out),
        (rows, np.array([0]), 1.0, *UNCHANGED, out),
        (rows, np.array([0, 1], np.int32), 1.0, *UNCHANGED, out),
        (rows[:, :7], two, 1.0, *UNCHANGED, out),
        (rows.astype(np.float16), two, 1.0, *UNCHANGED, out),
        (rows.astype(">i4"), two, 1.0, *UNCHANGED, out),
        (rows, two, 1.0, *UNCHANGED, out.astype(np.int32)),
        (rows, two, 1.0, ones, None, None, None, out),
        (rows, two, 1.0, None, ones, None, None, out),
        (rows, two, 1.0, ones[:7], ones[:7], None, None, out),
        (rows, two, 1.0, ones.astype(np.float32), ones, None, None, out),
        (rows, two, 1.0, None, None, ones[:7], None, out),
        (rows, two, 1.0, None, None, ones, two, out),
        (rows, two, 1.0, None, None, ones, np.array([8]), np.zeros((2, 9), np.float32)),
        (rows, two, 1.0, None, None, ones, np.array([-1]), np.zeros((2, 9), np.float32)),
    ):
        with pytest.raises(ValueError, match="take_rows"):
            choice.take_rows(*wrong)
