"""Derives the coefficients of kernels/functions.h and numpy_functions.py with mpmath; run it to print them.

Each polynomial has the least squares to its function at Chebyshev nodes, in 60 digits.  Its coefficients
are rounded one after another, the lowest first, and those left are fitted anew after each rounding.
"""

import numpy as np
from mpmath import mp, mpf

mp.dps = 60


def nodes(low, high, count):
    """Chebyshev nodes of an interval."""
    middle, half = (mpf(low) + high) / 2, (mpf(high) - low) / 2
    return [middle + half * mp.cos(mp.pi * (2 * i + 1) / (2 * count)) for i in range(count)]


def rounded_polynomial(function, low, high, count, weight, dtype):
    """`count` coefficients of dtype, lowest first, of a polynomial near to function on [low, high].

    weight: the power of x that an error at x is multiplied by.
    """
    points = nodes(low, high, 8 * count)
    rest = [function(x) for x in points]
    coefficients = []
    for place in range(count):
        powers = mp.matrix([[x ** (k + weight) for k in range(place, count)] for x in points])
        weighted = mp.matrix([value * x**weight for value, x in zip(rest, points, strict=True)])
        lowest = mp.lu_solve(powers, weighted)[0]
        coefficients.append(float(rounded(lowest, dtype)))
        rest = [value - coefficients[-1] * x**place for value, x in zip(rest, points, strict=True)]
    return coefficients


def rounded(x, dtype):
    """x to the nearest number of dtype, without a second rounding on the way."""
    digits = np.finfo(dtype).nmant + 1
    mantissa, exponent = mp.frexp(x)
    return dtype(mp.ldexp(mp.nint(mp.ldexp(mantissa, digits)), exponent - digits))


def split_ln2(bits, dtype):
    """ln 2 as a number of so many bits, and the rest of it, rounded to dtype."""
    high = mp.floor(mp.ldexp(mp.ln2, bits)) / mpf(2) ** bits
    return float(high), float(rounded(mp.ln2 - high, dtype))


def exponential(r):
    """(e^r - 1 - r) / r^2."""
    return mp.hyp1f1(1, 3, r) / 2


def logarithm(z):
    """(2 artanh(s) / s - 2) / z for z = s^2."""
    return 2 * mp.hyp2f1(1, mpf(3) / 2, mpf(5) / 2, z) / 3


def sine(z):
    """sin(pi/4 f) / f for z = f^2."""
    return mp.hyp0f1(mpf(3) / 2, -((mp.pi / 8) ** 2) * z) * mp.pi / 4


def cosine(z):
    """(cos(pi/4 f) - 1) / z for z = f^2."""
    return -((mp.pi / 4) ** 2) / 2 * mp.hyp1f2(1, mpf(3) / 2, 2, -((mp.pi / 8) ** 2) * z)


def tables():
    """name -> its coefficients, lowest first, for float32 and float64."""
    half = mp.ln2 / 2 * (1 + mpf(2) ** -7)
    return {
        "EXP_32": rounded_polynomial(exponential, -half, half, 6, 2, np.float32),
        "EXP_64": rounded_polynomial(exponential, -half, half, 11, 2, np.float64),
        "LOG_32": rounded_polynomial(logarithm, mpf(2) ** -40, mpf("0.04"), 3, 1, np.float32),
        "LOG_64": rounded_polynomial(logarithm, mpf(2) ** -40, mpf("0.04"), 8, 1, np.float64),
        "SIN_64": rounded_polynomial(sine, mpf(2) ** -40, 1, 7, 0, np.float64),
        "COS_64": rounded_polynomial(cosine, mpf(2) ** -40, 1, 7, 1, np.float64),
        "LN2_32": split_ln2(16, np.float32),
        "LN2_64": split_ln2(41, np.float64),
        "LOG2E": [float(rounded(1 / mp.ln2, t)) for t in (np.float32, np.float64)],
    }


if __name__ == "__main__":
    for name, numbers in tables().items():
        print(name)
        for number in numbers:
            print(f"    {number.hex():>28}  {number!r}")
