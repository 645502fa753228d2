"""Elementary functions of single numbers, float64, with the same bits on every machine.

Python's own come from the machine's libm, whose last bit depends on its version.  docs/arithmetic.md has the sequences.
"""

import numpy as np

from distmlp.kernels import choice
from distmlp.kernels.numbers import Function
from distmlp.kernels.numpy_functions import polynomial
from distmlp.kernels.numpy_random import COSINE, SINE


def _of(function: Function, x: float) -> float:
    one = np.array([x])
    choice.function(function, one)
    return float(one[0])


def exp(x: float) -> float:
    """e^x."""
    return _of(Function.EXP, x)


def log(x: float) -> float:
    """ln x, for x > 0."""
    return _of(Function.LOG, x)


def power(x: float, p: float) -> float:
    """x^p for 0 ≤ x and p > 0: e^(p ln x), and x itself for p = 1."""
    if p == 1.0 or x == 0.0:
        return x
    return exp(p * log(x))


def cosine_of_half_turns(x: float) -> float:
    """cos πx for x from 0 to 1, of the sine or the cosine of an angle within an octant."""
    quarter = 4.0 * x
    if quarter <= 1.0:
        return _cosine(quarter)
    if quarter < 3.0:
        f = np.array(2.0 - quarter)
        return float(f * polynomial(f * f, SINE))
    return -_cosine(4.0 - quarter)


def _cosine(f: float) -> float:
    """cos(f π/4), for f from 0 to 1."""
    square = np.array(f * f)
    return float(1.0 + square * polynomial(square, COSINE))
