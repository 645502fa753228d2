"""Exact sums of costs: whole numbers, which a message carries as limbs.

A cost is a float64, whatever the dtype of the network.  Whole numbers of 2^-128 hold those of any training, and their
sum does not depend on the order.
"""

import math
from fractions import Fraction

import numpy as np

#: Costs are sums of whole numbers of 2**-COST_FRACTION, sent as 16-bit limbs, lowest first.
COST_FRACTION = 128
COST_LIMBS = 20

#: Above this a cost is taken for an infinity.
LARGEST_COST = math.ldexp(1.0, 16 * COST_LIMBS - COST_FRACTION - 16)

#: How many units of a sum of costs 1.0 is: a power of two, so that multiplying by it is exact.
_COST_UNITS = math.ldexp(1.0, COST_FRACTION)

#: A limb, as it lies in an integer's bytes.
_LIMB = np.dtype("<u2")


def whole_cost(costs: list[float]) -> int:
    """Σ of finite costs, each cut to a whole number of 2^-128, as so many of them."""
    return sum([int(c * _COST_UNITS) for c in costs])


def limbs_of(total: int) -> np.ndarray:
    """Σ of costs, as `whole_cost` gives it, as (COST_LIMBS,) limbs of 16 bits; all negative where Σ is.

    The last one is longer where more than 2^16 micro-batches have the largest costs; then limbs have 64 bits.
    """
    if total >= 0 and total.bit_length() <= 16 * COST_LIMBS:  # as nearly always
        return np.frombuffer(total.to_bytes(2 * COST_LIMBS, "little"), _LIMB)
    high, low = divmod(abs(total), 2 ** (16 * (COST_LIMBS - 1)))
    limbs = np.empty(COST_LIMBS, np.int64)
    limbs[:-1] = np.frombuffer(low.to_bytes(2 * (COST_LIMBS - 1), "little"), _LIMB)
    limbs[-1] = high
    return -limbs if total < 0 else limbs


def no_totals() -> np.ndarray:
    """The totals of nothing, to which a message's can be added any number of times: (2 + COST_LIMBS,) int64."""
    return np.zeros(2 + COST_LIMBS, np.int64)


def mean_cost(totals: np.ndarray, weight: Fraction | None = None) -> float:
    """C = (1/t) Σ C_i, correctly rounded from the exact sum; weight: what is in the place of t."""
    total = Fraction(sum(int(n) << (16 * i) for i, n in enumerate(totals[2:])), 1 << COST_FRACTION)
    return float(total / (weight or int(totals[0])))  # notes: C = 1/t sum C_i
