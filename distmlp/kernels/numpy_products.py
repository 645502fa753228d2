"""The three products in numpy, bit for bit as the compiled kernels make them; and the fma that they are made of.

They stand in where nothing compiled is there, and are one of the two oracles of the kernels, beside
plain_products.h.  docs/arithmetic.md has the definition.  They are slow: an fma takes some twenty passes over memory.
"""

from fractions import Fraction

import numpy as np

from distmlp.kernels import numpy_activations_and_costs

#: The links of a chain.  Later chains begin at 0, and their sums are added in order.
CHAIN = 256


def fma(x: np.ndarray, y: np.ndarray, c: np.ndarray, out: np.ndarray) -> None:
    """out = x y + c, rounded once: float32 or float64 arrays of one dtype, of shapes that broadcast."""
    out[...] = fused(x, y, c)


@np.errstate(all="ignore")
def fused(x: np.ndarray, y: np.ndarray, c: np.ndarray) -> np.ndarray:
    """x y + c, rounded once, as an array of its own."""
    if np.result_type(x, y, c) == np.float32:
        return _fma32(x, y, c)
    return _fma64(*np.broadcast_arrays(x, y, c))


def _fma32(x: np.ndarray, y: np.ndarray, c: np.ndarray) -> np.ndarray:
    # The product of two float32 is exact in float64.  Rounded to odd there, the sum is rounded to float32 as if it
    # had been exact (S. Boldo and G. Melquiond, "Emulation of FMA and correctly rounded sums", 2008).
    product = np.multiply(x, y, dtype=np.float64)
    return _sum_to_odd(product, np.asarray(c, np.float64)).astype(np.float32)


def _two_sum(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """a + b rounded, and the exact rest (D. Knuth)."""
    total = a + b
    of_b = total - a
    return total, (a - (total - of_b)) + (b - of_b)


def _sum_to_odd(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a + b in float64, rounded to odd: where it is not exact, the neighbour whose last bit is set."""
    total, rest = _two_sum(a, b)
    bits = total.view(np.int64)
    # Of a NaN or an infinity the rest is a NaN, and neither comparison holds.
    mend = ((rest < 0) | (rest > 0)) & (bits & 1 == 0)
    away_from_0 = (rest > 0) == (total > 0)
    return (bits + np.where(mend, np.where(away_from_0, 1, -1), 0)).view(np.float64)


def _two_product(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x y rounded, and the exact rest (T. Dekker, G. Veltkamp)."""
    product = x * y
    x_upper, y_upper = ((134217729.0 * n) - ((134217729.0 * n) - n) for n in (x, y))
    x_lower, y_lower = x - x_upper, y - y_upper
    rest = x_upper * y_upper - product
    rest = ((rest + x_upper * y_lower) + x_lower * y_upper) + x_lower * y_lower
    return product, rest


def _fma64(x: np.ndarray, y: np.ndarray, c: np.ndarray) -> np.ndarray:
    # The exact sum of three numbers, two of which are the product and its rest: the lower part is rounded to odd, so
    # that the last addition rounds as if it were the only one (Boldo and Melquiond, as above).
    product, rest = _two_product(x, y)
    upper, lower = _two_sum(c, rest)
    total, more = _two_sum(product, upper)
    tail = _sum_to_odd(lower, more)
    out = np.where(rest == 0, product + c, total + tail)
    unsafe = _unsafe(x, y, c, product)
    if unsafe.any():
        out[unsafe] = [
            _fma_of_fractions(*numbers)
            for numbers in zip(
                x[unsafe].tolist(), y[unsafe].tolist(), c[unsafe].tolist(), strict=True
            )
        ]
    out = np.where(np.isfinite(x) & np.isfinite(y), out, x * y + c)
    return np.where(np.isfinite(x) & np.isfinite(y) & ~np.isfinite(c), c, out)


def _unsafe(x: np.ndarray, y: np.ndarray, c: np.ndarray, product: np.ndarray) -> np.ndarray:
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


def forward(
    w: np.ndarray,
    b: np.ndarray,
    below: np.ndarray,
    a: np.ndarray,
    z: np.ndarray | None,
    activation: int,
) -> None:
    """a = σ(w below + b) for each sample; z, where it is given, keeps what σ was given.

    w: (n, m).  b: (n,).  below: (…, m), the activations of the layer below.  a, z: (…, n).  activation: an Activation.
    """
    _chains(_rows(below), w.T, b, _rows(a))
    if z is not None:
        np.copyto(z, a)
    numpy_activations_and_costs.activate(activation, a)


def backward(
    w: np.ndarray, above: np.ndarray, a: np.ndarray, delta: np.ndarray, activation: int
) -> None:
    """delta = (wᵀ above) ⊙ σ'(z) for each sample, the slope taken from a = σ(z).

    w: (n, m).  above: (…, n), the δ of the layer above.  a, delta: (…, m).
    """
    _chains(_rows(above), w, None, _rows(delta))
    numpy_activations_and_costs.chain_rule(activation, a, delta)


def gradient(
    delta: np.ndarray,
    a: np.ndarray,
    M: int,
    scale_w: float,
    scale_b: float,
    total_w: np.ndarray,
    total_b: np.ndarray,
    largest_w: np.ndarray,
    largest_b: np.ndarray,
    first: bool,
    last: bool,
    kept: int,
    kept_end: int,
    neuron: int,
    neuron_end: int,
) -> None:
    """Adds the gradients of s micro-batches of M samples to the totals, or stores them there if first.

    delta: (…, n), s M samples.  a: (…, m).  total_w: n m entries.  total_b: n.  Where these are whole numbers, a gradient
    is scaled, each entry rounded to a whole number, and largest_w and largest_b, (s,), are raised to the largest |entry|
    of each; a NaN or an infinity stays in them.  Where they are floats, nothing is looked at.

    last: nothing more is added to these totals in this step.  kept … kept_end: the entries of total_w that this rank
    reads itself.  The compiled kernel then stores the others past the caches.  neuron … neuron_end: those
    whose gradients are made.
    """
    delta, a = _rows(delta)[:, neuron:neuron_end], _rows(a)
    total_w, total_b = (
        total_w.reshape(-1, a.shape[1])[neuron:neuron_end],
        total_b[neuron:neuron_end],
    )
    G = np.empty((delta.shape[1], a.shape[1]), delta.dtype)
    for i in range(len(delta) // M):
        here = slice(i * M, (i + 1) * M)
        with np.errstate(all="ignore"):
            _chains((delta[here] * delta.dtype.type(scale_w)).T, a[here], None, G)
            g = delta[here][0].copy()
            for sample in delta[here][1:]:
                g += sample
            g *= delta.dtype.type(scale_b)
        for entries, total, largest in (
            (G, total_w, largest_w),
            (g, total_b, largest_b),
        ):
            _add(entries, total, largest[i : i + 1], first and i == 0)


@np.errstate(all="ignore")
def _add(entries: np.ndarray, total: np.ndarray, largest: np.ndarray, first: bool) -> None:
    """Adds one micro-batch's entries to a total, or stores them there if first."""
    if total.dtype.kind == "i":
        np.maximum(largest, np.abs(entries).max(initial=0), out=largest)
        entries = np.rint(entries).astype(total.dtype)
    if first:
        np.copyto(total, entries)
    else:
        np.add(total, entries, out=total)


def _rows(array: np.ndarray) -> np.ndarray:
    """A stack's samples one after another: a view, (S, neurons)."""
    return array.reshape(-1, array.shape[-1])


def _chains(left: np.ndarray, right: np.ndarray, start: np.ndarray | None, out: np.ndarray) -> None:
    """out = left right, (I, K) and (K, J), in chains of CHAIN links over K; the first begins at start, (J,), or at 0."""
    K = right.shape[0]
    for first in range(0, K, CHAIN):
        chain = np.zeros_like(out)
        if first == 0 and start is not None:
            chain[:] = start
        for k in range(first, min(first + CHAIN, K)):
            chain = fused(left[:, k, None], right[k], chain)
        np.copyto(out, chain if first == 0 else out + chain)
