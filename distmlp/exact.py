"""Exact sums: gradients on an integer grid, so that no order of summation can change a bit.

Floating-point addition rounds, and rounds differently in another order; integer addition does not.
So a micro-batch's gradient is counted in units of a grid, a whole number of units an entry, and the
whole numbers are summed: over the micro-batches of a rank by numpy, over the ranks by a stock
Allreduce.  int32 carries float32 gradients and int64 carries float64 ones, so a message has the
bytes that a plain one would have.

**The grid.**  Each tensor τ of v (w(1) … b(N)) has a power-of-two unit 2^-e[τ].  For the sums to
fit, Σ_i B_i 2^e ≤ 2^31 must hold, where B_i bounds every entry of micro-batch i's gradient.  From
∂C/∂w_jk = Σ δ_j a_k and ∂C/∂b_j = Σ δ_j (sums over the samples of the micro-batch)

    |∂C/∂w_jk| ≤ (max_j Σ |δ_j|) max|a|,        |∂C/∂b_j| ≤ max_j Σ |δ_j|

so a bound costs a glance at δ and never a pass over the gradient.  Every message carries Σ_i B_i in
whole units of its own, so all ranks learn at once, from the sum itself, whether the grid was wide
enough.  It nearly always is, because e follows from the last step's ΣB with `HEADROOM` bits to
spare; where it is not, the step's sums are made again on a coarser grid.  A NaN or an infinity makes
a bound not finite; they are counted too, and become an error on all ranks alike.

**Precision.**  For float32 the unit is at most 2^-27 of the last step's ΣB, and an entry of a
micro-batch is cut by less than one unit; docs/exactness.md says what that means for ∇C, with numbers.
"""

import math
from dataclasses import dataclass

import numpy as np

from distmlp.layout import Layout

#: Bits by which ΣB may grow from one step to the next before the step must be summed again.
HEADROOM = 3

#: ΣB is sent in units such that 2**BOUND_BITS of them fill the grid; a bound is cut off there.
BOUND_BITS = 17

#: Micro-batches a step may have, so that their cut-off bounds still add up within an int32.
MOST_MICRO_BATCHES = 2 ** (31 - BOUND_BITS) - 1

#: Costs are sums of whole numbers of 2**-COST_FRACTION, sent as 16-bit limbs, lowest first.
COST_FRACTION = 128
COST_LIMBS = 20

#: Exponent of a bound that is not finite.
NOT_FINITE = 2**20

_INTEGER = {np.dtype(np.float32): np.dtype(np.int32), np.dtype(np.float64): np.dtype(np.int64)}
# 2^e is folded into δ: |e| stays where 2^e is a normal number, and a bound takes max|a| for no less
# than this, so that 2^e δ ≤ 2^31 / max|a| cannot overflow either, nor 2^-e / t lose bits.
_LARGEST_EXPONENT = {np.dtype(np.float32): 100, np.dtype(np.float64): 1000}
_SMALLEST_ACTIVATION = 2.0**-60


class NotFinite(ArithmeticError):
    """A cost, an activation or an error δ became a NaN or an infinity (on every rank alike)."""


def cost_limbs(costs: list[float]) -> np.ndarray:
    """Σ of finite costs ≥ 0, each cut to a whole number of 2^-128, as (COST_LIMBS,) 16-bit limbs."""
    total = sum(int(math.ldexp(c, COST_FRACTION)) for c in costs)
    return np.frombuffer(total.to_bytes(2 * COST_LIMBS, "little"), np.uint16)


#: Above this a cost is taken for an infinity: the limbs have no room for it.
LARGEST_COST = math.ldexp(1.0, 16 * COST_LIMBS - COST_FRACTION - 16)


def error_sums(delta: np.ndarray, scratch: np.ndarray) -> np.ndarray:
    """max_j Σ |δ_j| of each micro-batch, (s,), from delta, (s, M, n)."""
    np.abs(delta, out=scratch)
    return np.maximum.reduce(np.add.reduce(scratch, axis=1), axis=1)


def largest_activation(a: np.ndarray, scratch: np.ndarray) -> np.ndarray:
    """max |a| of each micro-batch, (s,), from a, (s, M, m)."""
    np.abs(a, out=scratch)
    return np.maximum.reduce(scratch.reshape(len(a), -1), axis=1)


def gradient_bounds(errors: list, activations: list, samples: int, dtype) -> np.ndarray:
    """B of each micro-batch and tensor, (s, 2N) float64.

    errors: for l = 1 … N max_j Σ |δ_j|, each (s,).  activations: for l = 0 … N-1 max |a|, each (s,) or
    one number.  samples: M, on which the roundings that a bound must allow for depend: those of a sum
    of M terms, on both sides, are below 2 M ε of it.
    """
    slack = 1.0 + 4.0 * (samples + 4) * float(np.finfo(dtype).eps)
    N = len(errors)
    bounds = np.empty((len(errors[0]), 2 * N))
    for l, (error, activation) in enumerate(zip(errors, activations)):
        np.multiply(error, slack, out=bounds[:, N + l], dtype=np.float64)
        np.multiply(bounds[:, N + l], np.maximum(activation, _SMALLEST_ACTIVATION), out=bounds[:, l])
    return bounds


@dataclass(frozen=True)
class Grid:
    """The unit 2^-e of each tensor of v, and the limits of the integers that count it.

    exponents: e, (2N,) int64.
    """

    exponents: np.ndarray
    dtype: np.dtype

    @property
    def bits(self) -> int:
        return 8 * self.dtype.itemsize - 1

    @staticmethod
    def fitting(totals: np.ndarray, dtype) -> "Grid":
        """The grid for sums whose bounds ΣB are below 2^totals, (2N,), with HEADROOM bits to spare."""
        dtype = np.dtype(dtype)
        limit = _LARGEST_EXPONENT[dtype]
        bits = 8 * dtype.itemsize - 1
        return Grid(np.clip(bits - HEADROOM - np.asarray(totals, np.int64), -limit, limit), dtype)

    def units(self, bounds: np.ndarray) -> np.ndarray:
        """Σ_i B_i, (2N,), in whole units of 2^-BOUND_BITS of the grid's room, from bounds (s, 2N) float64.

        Each micro-batch is rounded up by itself, so the sum is the same however they are dealt.
        """
        scaled = np.ldexp(bounds, self.exponents - (self.bits - BOUND_BITS))
        return np.add.reduce(np.minimum(np.ceil(scaled), 2.0**BOUND_BITS), axis=0)

    def holds(self, units: np.ndarray) -> bool:
        """Whether sums whose bounds add up to these units fit."""
        return bool((units < 2**BOUND_BITS).all())

    def next(self, units: np.ndarray) -> "Grid":
        """The grid of the next step: at once as coarse as this step's ΣB asks, and finer by one bit at most."""
        totals = np.frexp(units.astype(np.float64))[1] + (self.bits - BOUND_BITS) - self.exponents
        wanted = Grid.fitting(totals, self.dtype).exponents
        return Grid(np.minimum(wanted, self.exponents + 1), self.dtype)


def largest_exponents(bounds: np.ndarray) -> np.ndarray:
    """The exponent x of each tensor's largest bound, B < 2^x, as (2N,) int64; NOT_FINITE for a NaN or infinity.

    bounds: (s, 2N); s may be 0.  For an Allreduce(MAX), where the last step's sums give no grid.
    """
    if not len(bounds):
        return np.full(bounds.shape[1], -NOT_FINITE, np.int64)
    exponents = np.where(np.isfinite(bounds), np.frexp(bounds)[1], NOT_FINITE)
    exponents[bounds == 0.0] = -NOT_FINITE
    return exponents.max(axis=0).astype(np.int64)


class Message:
    """What the ranks add up in one step: one flat buffer, the gradient's whole numbers and a header.

    gradient, w, b   Σ of the micro-batches' gradients, laid out like v
    units            Σ_i B_i of each tensor, (2N,), in the grid's units
    alarms           micro-batches that are not finite; ranks that ask to stop after this step
    totals           samples; hits; the cost's limbs

    exact: integers; else plain floats, where the sum depends on the order and nothing bounds it.
    """

    def __init__(self, layout: Layout, dtype, exact: bool):
        dtype = np.dtype(dtype)
        k, tensors = layout.size, len(layout.slices)
        self.buffer = np.zeros(k + tensors + 4 + COST_LIMBS, _INTEGER[dtype] if exact else dtype)
        self.gradient = self.buffer[:k]
        self.header = self.buffer[k:]
        self.units = self.header[:tensors]
        self.alarms = self.header[tensors : tensors + 2]
        self.totals = self.header[tensors + 2 :]
        self.w, self.b = layout.views(self.gradient)


def no_totals() -> np.ndarray:
    """The totals of nothing, to which a message's can be added any number of times: (2 + COST_LIMBS,) int64."""
    return np.zeros(2 + COST_LIMBS, np.int64)


def mean_cost(totals: np.ndarray) -> float:
    """C = (1/t) Σ C_i, correctly rounded from the exact sum."""
    total = sum(int(limb) << (16 * i) for i, limb in enumerate(totals[2:]))
    return total / (int(totals[0]) << COST_FRACTION)  # int / int is correctly rounded


def add_micro_batches(G: np.ndarray, total: np.ndarray, first: bool) -> None:
    """total += Σ_i G_i, or total = Σ_i G_i if first.

    G: (c, …) floats that count units, cut to whole numbers; or plain floats into a plain total.
    """
    if first and len(G) == 1:
        np.copyto(total, G[0], casting="unsafe")
    elif first:
        np.add.reduce(G, axis=0, dtype=total.dtype, out=total)
    else:
        for block in G:
            np.add(total, block, out=total, dtype=total.dtype, casting="unsafe")
