"""The optimizers' updates in numpy, bit for bit as updates.h makes them."""

import numpy as np

from distmlp.kernels.numbers import Rule
from distmlp.kernels.numpy_activations_and_costs import SUM_LANES


@np.errstate(all="ignore")
def update(
    rule: int,
    total: np.ndarray,
    v: np.ndarray,
    first: np.ndarray | None,
    second: np.ndarray | None,
    alpha: float,
    factors: np.ndarray,
    ends: np.ndarray,
    penalties: np.ndarray | None,
    clip: float,
    *constants: float,
) -> None:
    """v takes a step, with ∇C = total · factor: total is (k,) whole numbers or floats; rule is a Rule.

    first, second: the rule's arrays, (k,) each, None where it has none.  factors, ends: of parts of v, one after
    another, (p,) each.  penalties: λ₂, λ₁ and αλ of each part, (p, 3): ∇C gets λ₂ v + λ₁ sign v, and v loses αλ v.
    clip: ∇C is cut to [−clip, clip] before that.  constants: momentum's μ; Adam's β₁, 1 − β₁, β₂, 1 − β₂, 1 − β₂ᵗ and ε, and NAdam's
    factors of ∇C and of the mean; RMSprop's ρ, 1 − ρ; ε comes sixth.
    """
    if penalties is None:
        penalties = np.zeros((len(ends), 3))
    alpha, *numbers = (v.dtype.type(number) for number in (alpha, *constants))
    start = 0
    for factor, end, penalty in zip(factors.tolist(), ends.tolist(), penalties, strict=True):
        part = slice(start, end)
        g = total[part].astype(v.dtype) * v.dtype.type(factor)
        if clip < np.inf or penalty.any():
            g = _shaped(g, v[part], penalty, clip)
            v[part] -= v[part] * v.dtype.type(penalty[2])
        if rule in (Rule.MOMENTUM, Rule.NESTEROV):
            assert first is not None
            u = first[part]
            _decay(u, numbers[0], g)
            g = g + u * numbers[0] if rule == Rule.NESTEROV else u
        elif rule in (Rule.RMSPROP, Rule.ADAGRAD):
            assert first is not None
            square = first[part]
            if rule == Rule.RMSPROP:
                _decay(square, numbers[0], g * g * numbers[1])
            else:
                square += g * g
            g = g / (np.sqrt(square) + numbers[5])
        elif rule in (Rule.ADAM, Rule.NADAM):
            beta1, rest1, beta2, rest2, unbias2, epsilon, of_g, of_mean = numbers
            assert first is not None and second is not None
            mean, square = first[part], second[part]
            _decay(mean, beta1, g * rest1)
            _decay(square, beta2, g * g * rest2)
            step = g * of_g + mean * of_mean if rule == Rule.NADAM else mean
            g = step / (np.sqrt(square / unbias2) + epsilon)
        v[part] -= g * alpha
        start = end


def _decay(x: np.ndarray, factor: np.floating, added: np.ndarray) -> None:
    """x becomes x factor + added, and 0 where that is subnormal."""
    x *= factor
    x += added
    x[np.abs(x) < np.finfo(x.dtype).smallest_normal] = 0


def _shaped(g: np.ndarray, v: np.ndarray, penalty: np.ndarray, clip: float) -> np.ndarray:
    """∇C of a part, cut to [−clip, clip], with the slopes of its penalties."""
    most = v.dtype.type(clip)
    l2, l1 = v.dtype.type(penalty[0]), v.dtype.type(penalty[1])
    g = np.where(most < g, most, g)
    g = np.where(-most > g, -most, g)
    return g + v * l2 + np.where(v > 0, l1, np.where(v < 0, -l1, v.dtype.type(0)))


@np.errstate(all="ignore")
def squares(total: np.ndarray, ends: np.ndarray, out: np.ndarray) -> None:
    """out, (p,) float64: Σ x² over each part of total, (k,), which ends, (p,), cut.

    In float64, in lanes: lane i adds the squares i, i + 8, … of its part to +0 in order.

    Whole numbers are rounded to floats of their width first.
    """
    floats = {np.dtype(np.int32): np.float32, np.dtype(np.int64): np.float64}
    x = total.astype(floats.get(total.dtype, total.dtype))
    start = 0
    for part, end in enumerate(ends.tolist()):
        out[part] = _sum_of_squares(x[start:end])
        start = end


def _sum_of_squares(x: np.ndarray) -> float:
    products = x.astype(np.float64) * x
    lanes = np.zeros(SUM_LANES)
    whole = len(products) // SUM_LANES * SUM_LANES
    for row in products[:whole].reshape(-1, SUM_LANES):
        lanes += row
    lanes[: len(products) - whole] += products[whole:]
    while len(lanes) > 1:
        lanes = lanes[: len(lanes) // 2] + lanes[len(lanes) // 2 :]
    return float(lanes[0])


@np.errstate(all="ignore")
def drop(x: np.ndarray, words: np.ndarray, keep: int, scale: float, out: np.ndarray) -> None:
    """out = x scale where the entry's draw is below keep, else 0; x may be out.

    words: uint64, each of which has the draws of four entries, 16 bits each, the lowest first.
    """
    shifts = np.arange(0, 64, 16, dtype=np.uint64)
    draws = (words[:, None] >> shifts & np.uint64(0xFFFF)).reshape(-1)[: x.size].reshape(x.shape)
    out[...] = np.where(draws < keep, x * x.dtype.type(scale), x.dtype.type(0))
