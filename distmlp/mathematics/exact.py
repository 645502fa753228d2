"""Exact sums: gradients on an integer grid, so that no order of summation can change a bit.

Floating-point addition rounds, and rounds differently in another order; integer addition does not.
So a micro-batch's gradient is counted in units of a grid, a whole number of units an entry, and the
whole numbers are summed, over the micro-batches of a rank and over the ranks, by whatever adds
integers.  int32 carries float32 gradients and int64 carries float64 ones, so a message has the
bytes that a plain one would have.

**The grid.**  Each tensor τ of v (w(1) … b(N)) has a power-of-two unit 2^-e[τ].  For the sums to
fit, Σ_i T_i 2^e < 2^31 must hold, where T_i is the largest |entry| of micro-batch i's gradient: no
partial sum, in whatever order, can then leave an int32.  e follows from the last step's Σ T_i, with
`HEADROOM` bits to spare, so that one sum a step is enough.  The message carries this step's
Σ T_i too, in coarser whole units, so all ranks learn at once, from the sum itself, whether the grid
was wide enough; where it was not, the step's sums are made again on a coarser grid.  A NaN or an
infinity is counted in the message as well, and becomes an error on all ranks alike.

**Precision.**  The unit is between 2^-28 and 2^-26 of Σ T_i for float32 where Σ T_i is what it was in
the last step (a float32's own is 2^-24 of the entry), and an entry of a micro-batch is rounded by at
most half of one.  docs/exactness.md has what was measured.

**Many micro-batches.**  With more than 64, so many bits for all of them would leave each too few.  Then a
few at a time are counted as above, and these counts are added up in twice the bits (wide.py): the grid
follows from the largest T_i, and no longer from their sum.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import DTypeLike

from distmlp.kernels import choice as kernels
from distmlp.mathematics import exact_costs
from distmlp.mathematics.layout import Layout

#: Bits by which Σ T_i may grow from one step to the next before the step must be summed again.
HEADROOM = 3

#: Σ T_i is sent in units such that 2**ROOM_BITS of them fill the grid; a T_i is cut off there.
ROOM_BITS = 17

#: Micro-batches whose counts one whole number as wide as the dtype holds, no worse than a plain float sum.
MOST_IN_ONE = 64

#: Where there are more, those that one such number holds before it is added to a wider one.
TOGETHER = 8

#: Micro-batches a step may have, so that their counts, and the samples' number, fit 64 bits with room to spare.
MOST_MICRO_BATCHES = 2**31 - 1

#: Exponent that stands for a NaN or an infinity.
NOT_FINITE = 2**20

_INTEGER: dict[np.dtype, np.dtype] = {
    np.dtype(np.float32): np.dtype(np.int32),
    np.dtype(np.float64): np.dtype(np.int64),
}
# The smallest and the largest e.  2^e is folded into δ, which must not overflow where all a, and so the
# gradient, are zero; gradients below 2^-e are far beneath what changes a v of the dtype.
_EXPONENTS = {np.dtype(np.float32): (-100, 60), np.dtype(np.float64): (-1000, 200)}


class NotFinite(ArithmeticError):
    """A cost, an activation or an error δ became a NaN or an infinity (on every rank alike)."""


class Grid:
    """The unit 2^-e of each tensor of v, and the limits of the integers that count it.

    exponents: e, one whole number a tensor.  dtype: of the gradient, whose integers have its width.
    """

    #: Entries of a message's units that a tensor has.
    gauges = 1

    def __init__(self, exponents: Sequence[int], dtype: DTypeLike) -> None:
        self.exponents = tuple(exponents)
        self.dtype = np.dtype(dtype)
        self.scales = [math.ldexp(1.0, e) for e in self.exponents]
        self._room = 8 * self.dtype.itemsize - 1 - ROOM_BITS

    @classmethod
    def fitting(cls, totals: list[int], dtype: DTypeLike) -> Self:
        """The grid for sums with Σ T_i < 2^totals, one a tensor, with HEADROOM bits to spare.

        Raises NotFinite where they are too large for any grid.
        """
        dtype = np.dtype(dtype)
        smallest, largest = _EXPONENTS[dtype]
        exponents = [8 * dtype.itemsize - 1 - HEADROOM - total for total in totals]
        if min(exponents) < smallest:
            raise NotFinite("a gradient is not finite, or too large to be added up")
        return cls([min(e, largest) for e in exponents], dtype)

    def units(self, largest: np.ndarray, out: np.ndarray) -> bool:
        """out = Σ_i T_i, (2N,), in whole units of 2^-ROOM_BITS of the grid's room; returns whether all T_i are finite.

        largest: (2N, s), the T_i, counted in the grid's units.  Each micro-batch is rounded up by itself,
        so the sum is the same however they are dealt to ranks.
        """
        return kernels.units(largest, 2.0**-self._room, 2.0**ROOM_BITS, out)

    def holds(self, units: list[int]) -> bool:
        """Whether sums whose Σ T_i is these units fit."""
        return max(units) < 2**ROOM_BITS

    @property
    def is_fine(self) -> bool:
        """Whether a unit is below 1, so that a finite number may overflow in it."""
        return max(self.exponents) > 0

    def coarser(self) -> "Grid":
        """The grid with no unit below 1."""
        return type(self)([min(e, 0) for e in self.exponents], self.dtype)

    def next(self, units: list[int]) -> "Grid":
        """The grid of the next step: at once as coarse as this step's units ask, and finer by one bit at most."""
        finer = self._finer(units)
        return _finer_grid(self, tuple(finer)) if any(finer) else self

    def _finer(self, units: list[int]) -> list[int]:
        """By how many bits each tensor's unit is to become finer."""
        return [min(ROOM_BITS - HEADROOM - n.bit_length(), 1) for n in units]

    def largest_exponents(self, largest: np.ndarray) -> np.ndarray:
        """An exponent x of each tensor's largest T_i, T_i < 2^x, as (2N,) int64, for an Allreduce(MAX).

        NOT_FINITE for a NaN or an infinity, −NOT_FINITE for zeros and where there are no micro-batches.
        largest: (2N, s), as for `units`.
        """
        exponents = np.where(
            np.isfinite(largest),
            np.frexp(largest)[1] - np.array(self.exponents)[:, None],
            NOT_FINITE,
        )
        exponents[largest == 0.0] = -NOT_FINITE
        return exponents.max(axis=1, initial=-NOT_FINITE).astype(np.int64)


class GridOfMany(Grid):
    """The grid of more than MOST_IN_ONE micro-batches: it follows from the largest T_i alone.

    Of TOGETHER micro-batches the sums fit where T_i < 2^b, b = 31 or 63 bits less those of TOGETHER.  The units count, for
    each tensor, the micro-batches with 2^b ≤ T_i; with 2^(b-1) ≤ T_i < 2^b; and so on, through the HEADROOM bits and the
    one below.  So the sum tells the largest T_i to the bit, wherever the next grid depends on it.
    """

    gauges = HEADROOM + 2

    def units(self, largest: np.ndarray, out: np.ndarray) -> bool:
        """out = the counts, (gauges · 2N,), those of one power of two after another; returns whether all T_i are finite."""
        bits = 8 * self.dtype.itemsize - TOGETHER.bit_length()
        below = np.maximum(bits - np.frexp(largest)[1] + 1, 0)
        for level, count in enumerate(out.reshape(self.gauges, -1)):
            count[:] = np.count_nonzero(below == level, axis=1)
        return bool(np.isfinite(largest).all())

    def holds(self, units: list[int]) -> bool:
        """Whether no micro-batch is too large to be counted."""
        return not any(units[: len(self.exponents)])

    def _finer(self, units: list[int]) -> list[int]:
        levels = np.array(units).reshape(self.gauges, -1)[1:] > 0
        highest = np.where(levels.any(axis=0), levels.argmax(axis=0) - HEADROOM, 1)
        return [int(bits) for bits in highest]


# With few samples a step the grid changes at most of the steps, and comes back to one that there was.
@functools.lru_cache(maxsize=1024)
def _finer_grid(grid: Grid, finer: tuple[int, ...]) -> Grid:
    smallest, largest = _EXPONENTS[grid.dtype]
    exponents = (
        max(smallest, min(e + more, largest)) for e, more in zip(grid.exponents, finer, strict=True)
    )
    return _grid(isinstance(grid, GridOfMany), tuple(exponents), grid.dtype)


@functools.lru_cache(maxsize=1024)
def _grid(many: bool, exponents: tuple[int, ...], dtype: np.dtype) -> Grid:
    return GridOfMany(exponents, dtype) if many else Grid(exponents, dtype)


@dataclass(frozen=True)
class Counting:
    """How the gradients of a step are counted: a function of the dtype and of the number of micro-batches.

    grid: what kind of grid, None for plain floats.  counted: the dtype of what is counted in first.  together: the
    micro-batches of which the sum fits that; 0 where it is the message itself.  carrier: the message's dtype.  lanes: how
    many numbers of it carry one entry.
    """

    grid: type[Grid] | None
    counted: np.dtype
    together: int
    carrier: np.dtype
    lanes: int = 1

    @staticmethod
    def of(dtype: DTypeLike, micro_batches: int, exactly: bool = True) -> "Counting":
        """That of a step of so many micro-batches over all ranks."""
        dtype = np.dtype(dtype)
        if not exactly:
            return Counting(None, dtype, 0, dtype)
        whole = carrier(dtype)
        if micro_batches <= MOST_IN_ONE:
            return Counting(Grid, whole, 0, whole)
        return Counting(GridOfMany, whole, TOGETHER, np.dtype(np.int64), dtype.itemsize // 4)

    @property
    def many(self) -> bool:
        """Whether counts are added up in wider numbers."""
        return self.together > 0

    def log2_in_one(self, micro_batches: int) -> int:
        """x such that one of the numbers that are counted in holds 2^x micro-batches, or all of them."""
        return ((self.together or micro_batches) - 1).bit_length()


class Message:
    """What the ranks add up in one step: one flat buffer, the gradient's whole numbers and a header.

    gradient         Σ of the micro-batches' gradients, laid out like v; where an entry has two numbers, the lower bits
                     of all come first
    parts            the gradient's, tensor by tensor, where an entry has one number
    units            how large the T_i are: `Grid.units`, (gauges · 2N,)
    alarms           micro-batches that are not finite; ranks that ask to stop, or for a checkpoint, after this step
    totals           samples; hits; the cost's limbs
    facts, limbs     the alarms, samples and hits; the cost's limbs

    buffer: (entries(layout, counting),) in the counting's carrier; by default as few micro-batches are counted.  In plain
    floats the sum depends on the order, and nothing bounds it.
    """

    def __init__(self, layout: Layout, buffer: np.ndarray, counting: Counting | None = None):
        k, gauges = _sizes(layout, counting)
        self.buffer = buffer
        self.gradient = buffer[:k]  # notes: grad C = (dC/dv_1 ... dC/dv_k)
        self.parts = layout.parts(self.gradient)
        self.header = buffer[k:]
        self.units = self.header[:gauges]
        self.alarms = self.header[gauges : gauges + 3]
        self.totals = self.header[gauges + 3 :]
        self.facts = self.header[gauges : gauges + 5]
        self.limbs = self.totals[2:]

    @staticmethod
    def entries(layout: Layout, counting: Counting | None = None) -> int:
        return sum(_sizes(layout, counting)) + 5 + exact_costs.COST_LIMBS


def _sizes(layout: Layout, counting: Counting | None) -> tuple[int, int]:
    """Entries of a message's gradient and of its units."""
    lanes = counting.lanes if counting else 1
    gauges = counting.grid.gauges if counting and counting.grid else 1
    return lanes * layout.size, gauges * len(layout.slices)


def carrier(dtype: DTypeLike) -> np.dtype:
    """The whole numbers that carry a gradient of a dtype."""
    return _INTEGER[np.dtype(dtype)]
