"""Functions of single numbers: close to libm's, and the same in numpy and compiled."""

import math
import random

import pytest

from distmlp.kernels import numpy_functions
from distmlp.mathematics.elementary import cosine_of_half_turns, exp, log, power


def test_cosine():
    for x in [0.0, 0.25, 0.5, 0.75, 1.0, *(random.Random(1).random() for _ in range(1000))]:
        assert cosine_of_half_turns(x) == pytest.approx(math.cos(math.pi * x), abs=4e-16)
    assert [cosine_of_half_turns(x) for x in (0.0, 0.5, 1.0)] == [1.0, 0.0, -1.0]


def test_power():
    draw = random.Random(2)
    for _ in range(1000):
        x, p = draw.random(), 5 * draw.random() + 0.01
        assert power(x, p) == pytest.approx(x**p, rel=1e-13)
        assert power(x, 1.0) == x
        assert (exp(-p), log(x)) == (
            numpy_functions.exp(-p * numpy_functions.np.ones(1))[0],
            numpy_functions.log(x * numpy_functions.np.ones(1))[0],
        )
    assert power(0.0, 0.5) == 0.0
    assert power(1.0, 3.5) == 1.0
