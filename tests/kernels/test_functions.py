"""Holds the elementary functions: errors of 2 units in the last place at most, special values, and where coefficients come from."""

import os

import coefficients
import numpy as np
import pytest
from launching import ROOT
from mpmath import mp, mpf

from distmlp.kernels import choice, numpy_functions, numpy_random
from distmlp.kernels.numbers import Activation, Function

#: name -> (the function exactly, the same in numpy's float64, the domain)
FUNCTIONS = {
    "exp": (mp.exp, np.exp, (-np.inf, np.inf)),
    "exp_of_negative": (mp.exp, np.exp, (-np.inf, 0.0)),
    "expm1_of_negative": (mp.expm1, np.expm1, (-np.inf, 0.0)),
    "log": (mp.log, np.log, (0.0, np.inf)),
    "log1p_of_fraction": (mp.log1p, np.log1p, (0.0, 1.0)),
    "sigmoid": (lambda z: 1 / (1 + mp.exp(-z)), lambda z: 1 / (1 + np.exp(-z)), (-np.inf, np.inf)),
    "tanh": (mp.tanh, np.tanh, (-np.inf, np.inf)),
    "softplus": (
        lambda z: mp.log1p(mp.exp(z)) if z < 0 else z + mp.log1p(mp.exp(-z)),
        lambda z: np.maximum(z, 0.0) + np.log1p(np.exp(-np.abs(z))),
        (-np.inf, np.inf),
    ),
}
ACTIVATIONS = {"sigmoid", "tanh", "softplus"}

#: Every so-many-th float32 is looked at; the whole takes an hour, and was run once (docs/arithmetic.md).
STRIDE = 1 if os.environ.get("DISTMLP_EXHAUSTIVE") == "1" else 4099

each_function = pytest.mark.parametrize("name", FUNCTIONS)


def computed(name, x):
    """The function of x, by whatever kernels run."""
    y = x.copy()
    if name in ACTIVATIONS:
        choice.activate(Activation[name.upper()], y)
    else:
        choice.function(Function[name.upper()], y)
    return y


def all_binades(name, count):
    """float64 of every binade and sign in the domain, and more of where the function is neither 0 nor flat."""
    random = np.random.default_rng(8)
    exponents = np.arange(-1074.0, 1024.0)
    x = np.ldexp(random.uniform(1.0, 2.0, (2, len(exponents))), exponents.astype(int))
    x[1] *= -1.0
    x = [x.ravel(), random.uniform(-750.0, 710.0, count), random.normal(0.0, 3.0, count)]
    x = np.concatenate([*x, random.uniform(0.0, 1.5, count)])
    low, high = FUNCTIONS[name][2]
    return x[(low <= x) & (x <= high) & (x != 0.0)]


@each_function
def test_float64_errs_by_less_than_2_units_in_the_last_place(name):
    x = all_binades(name, 500)
    with mp.workprec(160):
        exact = [FUNCTIONS[name][0](mpf(number)) for number in x.tolist()]
        found = computed(name, x)
        for number, y, value in zip(x.tolist(), found.tolist(), exact, strict=True):
            rounded = float(value)
            if np.isinf(y) or np.isinf(rounded):
                assert y == rounded, number
            else:
                assert abs(mpf(y) - value) < 2 * mpf(float(np.spacing(abs(rounded)))), number


@pytest.mark.slow
@pytest.mark.timeout(0 if STRIDE == 1 else 300)
@each_function
def test_float32_errs_by_less_than_2_units_in_the_last_place(name):
    _, in_numpy, (low, high) = FUNCTIONS[name]
    worst = 0.0
    for first in range(0, 2**32, 2**22 * STRIDE):
        bits = np.arange(first, min(first + 2**22 * STRIDE, 2**32), STRIDE, dtype=np.uint64)
        x = bits.astype(np.uint32).view(np.float32)
        x = x[(low <= x) & (x <= high)]
        found = computed(name, x)
        with np.errstate(all="ignore"):
            exact = in_numpy(x.astype(np.float64))
            rounded = exact.astype(np.float32)
            error = np.abs(found - exact) / np.spacing(np.abs(rounded))
        finite = np.isfinite(found) & np.isfinite(rounded)
        assert np.array_equal(found[~finite], rounded[~finite])
        worst = max(worst, error[finite].max(initial=0.0))
    print(name, "errs by", worst, "units in the last place")
    # of all float32, 0x1.07cd7ep-1 and its negative are two for which tanh errs by 2.0097
    assert worst < (2.01 if name == "tanh" else 2.0)


INF, NAN = np.inf, np.nan
#: name -> [(z, the function's value)]
SPECIAL = {
    "exp": [(-INF, 0.0), (-1000.0, 0.0), (-0.0, 1.0), (0.0, 1.0), (1000.0, INF), (INF, INF)],
    "exp_of_negative": [(-INF, 0.0), (-1000.0, 0.0), (-0.0, 1.0), (0.0, 1.0)],
    "expm1_of_negative": [(-INF, -1.0), (-1000.0, -1.0), (0.0, 0.0)],
    "log": [(-1.0, NAN), (-INF, NAN), (-0.0, -INF), (0.0, -INF), (1.0, 0.0), (INF, INF)],
    "log1p_of_fraction": [(0.0, 0.0)],
    "sigmoid": [(-INF, 0.0), (-1000.0, 0.0), (-0.0, 0.5), (0.0, 0.5), (1000.0, 1.0), (INF, 1.0)],
    "tanh": [(-INF, -1.0), (-1000.0, -1.0), (-0.0, -0.0), (0.0, 0.0), (1000.0, 1.0), (INF, 1.0)],
    "softplus": [(-INF, 0.0), (-1000.0, 0.0), (1000.0, 1000.0), (INF, INF)],
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@each_function
def test_special_values(name, dtype):
    x, expected = np.array([*SPECIAL[name], (NAN, NAN)], dtype).T.copy()
    found = computed(name, x)
    assert np.array_equal(found, expected, equal_nan=True)
    assert np.array_equal(np.signbit(found)[:-1], np.signbit(expected)[:-1]) or name == "log"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_subnormal_numbers_are_kept(dtype):
    smallest = np.finfo(dtype).smallest_subnormal
    x = np.array([smallest, 5 * smallest, -smallest, -7 * smallest], dtype)
    assert np.array_equal(computed("tanh", x), x)
    assert np.array_equal(computed("expm1_of_negative", -np.abs(x)), -np.abs(x))
    assert np.array_equal(computed("log1p_of_fraction", np.abs(x)), np.abs(x))
    low = np.array([-103.0, -100.0] if dtype == np.float32 else [-744.0, -740.0], dtype)
    for name in ("exp", "sigmoid", "softplus"):
        y = computed(name, low)
        assert ((0.0 < y) & (y < np.finfo(dtype).tiny)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name, low, high", [("sigmoid", 0.0, 1.0), ("tanh", -1.0, 1.0)])
def test_an_activation_stays_within_its_bounds_and_does_not_fall(name, low, high, dtype):
    z = np.linspace(-60.0, 60.0, 2_000_001).astype(dtype)
    a = computed(name, z)
    assert a.min() == (computed(name, np.array([-60.0], dtype)) if low == 0.0 else low)
    assert a.max() == high
    # an error of 2 units may make neighbours change places, but never by more than that
    fall = np.maximum.accumulate(a) - a
    assert (fall <= 2 * np.spacing(np.abs(a))).all()


def test_exp_of_negative_has_the_bits_of_exp():
    for dtype in (np.float32, np.float64):
        x = -np.abs(np.random.default_rng(1).normal(0.0, 100.0, 100_000)).astype(dtype)
        assert computed("exp", x).tobytes() == computed("exp_of_negative", x).tobytes()


def test_coefficients_are_those_that_the_script_derives():
    derived = coefficients.tables()
    for constants, bits, place in (
        (numpy_functions.CONSTANTS[np.dtype(np.float32)], 32, 0),
        (numpy_functions.CONSTANTS[np.dtype(np.float64)], 64, 1),
    ):
        assert list(constants.exp) == derived[f"EXP_{bits}"]
        assert list(constants.log) == derived[f"LOG_{bits}"]
        assert (constants.ln2, constants.ln2_rest) == derived[f"LN2_{bits}"]
        assert constants.log2e == derived["LOG2E"][place]
    assert list(numpy_random.SINE) == derived["SIN_64"]
    assert list(numpy_random.COSINE) == derived["COS_64"]


def test_the_page_lists_the_coefficients():
    """docs/arithmetic.md, from which somebody else is to compute the same bits."""
    page = (ROOT / "docs" / "arithmetic.md").read_text(encoding="utf-8")
    listed = page.partition("## Coefficients")[2].split("```")[1]
    numbers = [float.fromhex(word) for word in listed.split() if "0x" in word]
    expected = []
    for C in numpy_functions.CONSTANTS.values():
        expected += [C.log2e, C.ln2, C.ln2_rest, *C.exp, *C.log]
        assert hex(C.sqrt_half) in page
    assert numbers == [*expected, *numpy_random.SINE, *numpy_random.COSINE]
