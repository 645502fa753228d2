"""The products in numpy, bit for bit as the compiled kernels make them; and the fma that they are made of.

They stand in where nothing compiled is there, and are one of the two oracles of the kernels (the other is plain.c).
docs/arithmetic.md has the definition.  They are slow: an fma takes some twenty passes over memory here.
"""

from fractions import Fraction

import numpy as np

#: The links of a chain.  Later chains begin at 0, and their sums are added in order.
CHAIN = 256


def fma(x: np.ndarray, y: np.ndarray, c: np.ndarray) -> np.ndarray:
    """x y + c, rounded once: float32 or float64 arrays of one dtype, of shapes that broadcast."""
    with np.errstate(all="ignore"):
        if np.result_type(x, y, c) == np.float32:
            return _fma32(x, y, c)
        return _fma64(*np.broadcast_arrays(x, y, c))


def _fma32(x, y, c):
    # The product of two float32 is exact in float64.  Rounded to odd there, the sum is rounded to float32 as if it
    # had been exact (S. Boldo and G. Melquiond, "Emulation of FMA and correctly rounded sums", 2008).
    product = np.multiply(x, y, dtype=np.float64)
    return _sum_to_odd(product, np.asarray(c, np.float64)).astype(np.float32)


def _two_sum(a, b):
    """a + b rounded, and the exact rest (D. Knuth)."""
    total = a + b
    of_b = total - a
    return total, (a - (total - of_b)) + (b - of_b)


def _sum_to_odd(a, b):
    """a + b in float64, rounded to odd: where it is not exact, the neighbour whose last bit is set."""
    total, rest = _two_sum(a, b)
    bits = total.view(np.int64)
    # Of a NaN or an infinity the rest is a NaN, and neither comparison holds.
    mend = ((rest < 0) | (rest > 0)) & (bits & 1 == 0)
    away_from_0 = (rest > 0) == (total > 0)
    return (bits + np.where(mend, np.where(away_from_0, 1, -1), 0)).view(np.float64)


def _two_product(x, y):
    """x y rounded, and the exact rest (T. Dekker, G. Veltkamp)."""
    product = x * y
    x_upper, y_upper = ((134217729.0 * n) - ((134217729.0 * n) - n) for n in (x, y))
    x_lower, y_lower = x - x_upper, y - y_upper
    rest = x_upper * y_upper - product
    rest = ((rest + x_upper * y_lower) + x_lower * y_upper) + x_lower * y_lower
    return product, rest


def _fma64(x, y, c):
    # The exact sum of three numbers, two of which are the product and its rest: the lower part is rounded to odd, so
    # that the last addition rounds as if it were the only one (Boldo and Melquiond, as above).
    product, rest = _two_product(x, y)
    upper, lower = _two_sum(c, rest)
    total, more = _two_sum(product, upper)
    tail = _sum_to_odd(lower, more)
    out = np.where(tail == 0, product + c, total + tail)
    unsafe = _unsafe(x, y, c, product)
    if unsafe.any():
        out[unsafe] = [
            _fma_of_fractions(*numbers)
            for numbers in zip(x[unsafe].tolist(), y[unsafe].tolist(), c[unsafe].tolist())
        ]
    out = np.where(np.isfinite(x) & np.isfinite(y), out, x * y + c)
    return np.where(np.isfinite(x) & np.isfinite(y) & ~np.isfinite(c), c, out)


def _unsafe(x, y, c, product):
    """Where an error-free product or sum may overflow, or lose bits below the smallest number."""
    x, y, c, product = abs(x), abs(y), abs(c), abs(product)
    large = (x > 2.0**990) | (y > 2.0**990) | (c > 2.0**1000) | (product > 2.0**1000)
    small = (product < 2.0**-900) & (x > 0) & (y > 0)
    finite = np.isfinite(x) & np.isfinite(y) & np.isfinite(c)
    return (large | small) & finite


def _fma_of_fractions(x: float, y: float, c: float) -> float:
    exact = Fraction(x) * Fraction(y) + Fraction(c)
    if not exact:
        return x * y + c  # 0 with its sign; or the sum of two that cancel, which is +0
    try:
        rounded = exact.numerator / exact.denominator  # int / int is rounded once
    except OverflowError:
        rounded = float("inf")
    if rounded == 0:
        rounded = abs(rounded) if exact > 0 else -abs(rounded)
    return -abs(rounded) if exact < 0 else abs(rounded)


def forward(w, b, a, out) -> None:
    """out = w a + b for each sample: a is (S, m), w (n, m), b (n,), out (S, n)."""
    _chains(a, w.T, b, out)


def backward(w, delta, out) -> None:
    """out = wᵀ δ for each sample: delta is (S, n), w (n, m), out (S, m)."""
    _chains(delta, w, None, out)


def gradient(delta, a, out) -> None:
    """out = Σ δ aᵀ over the samples: delta is (M, n), a (M, m), out (n, m)."""
    _chains(delta.T, a, None, out)


def _chains(left, right, start, out) -> None:
    """out = left right, (I, K) and (K, J), in chains of CHAIN links over K; the first begins at start, (J,), or at 0."""
    K = right.shape[0]
    for first in range(0, K, CHAIN):
        chain = np.zeros_like(out)
        if first == 0 and start is not None:
            chain[:] = start
        for k in range(first, min(first + CHAIN, K)):
            chain = fma(left[:, k, None], right[k], chain)
        np.copyto(out, chain if first == 0 else out + chain)
