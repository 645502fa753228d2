"""The optimizers' updates in numpy, bit for bit as updates.h makes them."""

import numpy as np

from distmlp.kernels.numbers import Rule


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
    *constants: float,
) -> None:
    """v takes a step, with ∇C = total · factor: total is (k,) whole numbers or floats; rule is a Rule.

    first, second: the rule's arrays, (k,) each, None where it has none.  factors, ends: of parts of v, one after
    another, (p,) each.  constants: momentum's μ; Adam's β₁, 1 − β₁, β₂, 1 − β₂, 1 − β₂ᵗ and ε.
    """
    alpha, *numbers = (v.dtype.type(number) for number in (alpha, *constants))
    start = 0
    for factor, end in zip(factors.tolist(), ends.tolist(), strict=True):
        part = slice(start, end)
        g = total[part].astype(v.dtype) * v.dtype.type(factor)
        if rule in (Rule.MOMENTUM, Rule.NESTEROV):
            assert first is not None
            u = first[part]
            u *= numbers[0]
            u += g
            g = g + u * numbers[0] if rule == Rule.NESTEROV else u
        elif rule == Rule.ADAM:
            beta1, rest1, beta2, rest2, unbias2, epsilon = numbers
            assert first is not None and second is not None
            mean, square = first[part], second[part]
            mean *= beta1
            mean += g * rest1
            square *= beta2
            square += g * g * rest2
            g = mean / (np.sqrt(square / unbias2) + epsilon)
        v[part] -= g * alpha
        start = end
