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

#: What bounds are enlarged by for the roundings in them and in the GEMMs: a sum of M terms is off by
#: less than M ε, on both sides, so this is enough for M up to LARGEST_MICRO_BATCH in float32.
SLACK = 1.0 + 2.0**-7
LARGEST_MICRO_BATCH = 2**15

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


def gradient_bounds(errors: list, activations: list) -> np.ndarray:
    """B of each micro-batch and tensor, (s, 2N) float64.

    errors: for l = 1 … N max_j Σ |δ_j|, each (s,).  activations: for l = 0 … N-1 max |a|, each (s,), or
    None where the activation keeps it at 1 or below.
    """
    N = len(errors)
    bounds = np.empty((len(errors[0]), 2 * N))
    for l, (error, activation) in enumerate(zip(errors, activations)):
        bounds[:, l] = error
        bounds[:, N + l] = error
        if activation is not None:
            bounds[:, l] *= np.maximum(activation, _SMALLEST_ACTIVATION)
    return bounds


class Grid:
    """The unit 2^-e of each tensor of v, and the limits of the integers that count it.

    exponents: e, one whole number a tensor.  dtype: of the gradient, whose integers have its width.
    """

    def __init__(self, exponents: list[int], dtype):
        self.exponents = tuple(exponents)
        self.dtype = np.dtype(dtype)
        self.scales = [math.ldexp(1.0, e) for e in self.exponents]
        self._bits = 8 * self.dtype.itemsize - 1
        self._units = np.array([math.ldexp(SLACK, e - self._bits + BOUND_BITS) for e in self.exponents])

    @staticmethod
    def fitting(totals: list[int], dtype) -> "Grid":
        """The grid for sums whose bounds ΣB are below 2^totals, one a tensor, with HEADROOM bits to spare."""
        return Grid([_exponent(total, np.dtype(dtype)) for total in totals], dtype)

    def units(self, bounds: np.ndarray) -> np.ndarray:
        """Σ_i B_i, (2N,), in whole units of 2^-BOUND_BITS of the grid's room, from bounds (s, 2N).

        Each micro-batch is rounded up by itself, so the sum is the same however they are dealt.
        """
        units = bounds * self._units
        np.ceil(units, out=units)
        np.minimum(units, 2.0**BOUND_BITS, out=units)
        return np.add.reduce(units, axis=0)

    def holds(self, units: list[int]) -> bool:
        """Whether sums whose bounds add up to these units fit."""
        return max(units) < 2**BOUND_BITS

    def next(self, units: list[int]) -> "Grid":
        """The grid of the next step: at once as coarse as this step's ΣB asks, and finer by one bit at most."""
        room = self._bits - BOUND_BITS
        exponents = [
            min(_exponent(room + n.bit_length() - e, self.dtype), e + 1) for n, e in zip(units, self.exponents)
        ]
        return self if exponents == list(self.exponents) else Grid(exponents, self.dtype)


def _exponent(total: int, dtype: np.dtype) -> int:
    """e for sums whose bounds ΣB are below 2^total."""
    limit = _LARGEST_EXPONENT[dtype]
    return max(-limit, min(8 * dtype.itemsize - 1 - HEADROOM - total, limit))


def largest_exponents(bounds: np.ndarray) -> np.ndarray:
    """An exponent x of each tensor's largest bound, slack included, B < 2^x, as (2N,) int64.

    NOT_FINITE for a NaN or an infinity, −NOT_FINITE for zeros and where there are no micro-batches.
    bounds: (s, 2N).  For an Allreduce(MAX), where the last step's sums give no grid.
    """
    exponents = np.where(np.isfinite(bounds), np.frexp(bounds)[1] + 1, NOT_FINITE)
    exponents[bounds == 0.0] = -NOT_FINITE
    return exponents.max(axis=0, initial=-NOT_FINITE).astype(np.int64)


class Message:
    """What the ranks add up in one step: one flat buffer, the gradient's whole numbers and a header.

    gradient, w, b   Σ of the micro-batches' gradients, laid out like v
    units            Σ_i B_i of each tensor, (2N,), in the grid's units
    alarms           micro-batches that are not finite; ranks that ask to stop, or for a checkpoint, after this step
    totals           samples; hits; the cost's limbs

    exact: integers; else plain floats, where the sum depends on the order and nothing bounds it.
    """

    def __init__(self, layout: Layout, dtype, exact: bool):
        dtype = np.dtype(dtype)
        k, tensors = layout.size, len(layout.slices)
        self.buffer = np.zeros(k + tensors + 5 + COST_LIMBS, _INTEGER[dtype] if exact else dtype)
        self.gradient = self.buffer[:k]
        self.header = self.buffer[k:]
        self.units = self.header[:tensors]
        self.alarms = self.header[tensors : tensors + 3]
        self.totals = self.header[tensors + 3 :]
        self.w, self.b = layout.views(self.gradient)  # notes: grad C = (dC/dv_1 ... dC/dv_k)


def no_totals() -> np.ndarray:
    """The totals of nothing, to which a message's can be added any number of times: (2 + COST_LIMBS,) int64."""
    return np.zeros(2 + COST_LIMBS, np.int64)


def mean_cost(totals: np.ndarray) -> float:
    """C = (1/t) Σ C_i, correctly rounded from the exact sum."""
    total = sum(int(limb) << (16 * i) for i, limb in enumerate(totals[2:]))
    # int / int is correctly rounded
    return total / (int(totals[0]) << COST_FRACTION)  # notes: C = 1/t sum C_i


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
