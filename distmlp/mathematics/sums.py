"""Sums of the same bits everywhere: exact ones of float64, column by column, and Σ x y in a fixed order.

No order of the additions, and no way to share them out, changes an exact one.

A finite float64 is a whole number of 2^-1126.  A sum is kept as 16-bit limbs of such whole numbers, in int64 that
have room to spare, so that sums of several ranks are added limb by limb.
"""

from fractions import Fraction

import numpy as np

_UNIT = 1126  # sums are whole numbers of 2^-1126, below which frexp leaves no bit of a float64
_LIMB, _LIMB_BITS = 16, 4  # 2^4
_LOW = 27  # bits of the lower part of a 53-bit mantissa
_LIMBS = 136
#: Rows that are added before carries must be passed on: 2^19 numbers of 2^43 fit an int64.
_ROWS = 2**19


class Sums:
    """Exact sums of the columns of what is added.

    limbs: (136 · columns,) int64, to be added over ranks; may be a part of a larger buffer.
    """

    def __init__(self, columns: int, limbs: np.ndarray | None = None) -> None:
        self.limbs = np.zeros(self.entries(columns), np.int64) if limbs is None else limbs
        self._columns = columns

    @staticmethod
    def entries(columns: int) -> int:
        """How many whole numbers the sums of so many columns take."""
        return _LIMBS * columns

    def add(self, x: np.ndarray) -> None:
        """Adds the rows of x, (n, columns) float64, all of them finite."""
        for start in range(0, len(x), _ROWS):
            self._add(x[start : start + _ROWS])

    def _add(self, x: np.ndarray) -> None:
        fraction, exponent = np.frexp(x)
        mantissa = (fraction * 2.0**53).astype(np.int64)
        place = exponent.astype(np.int64) + (_UNIT - 53)
        high = mantissa >> _LOW
        column = np.arange(self._columns)
        for part, bit in ((mantissa - (high << _LOW), place), (high, place + _LOW)):
            where = (bit >> _LIMB_BITS) * self._columns + column
            np.add.at(self.limbs, where.ravel(), (part << (bit & (_LIMB - 1))).ravel())
        rows = self.limbs.reshape(_LIMBS, self._columns)
        carry = rows[:-1] >> _LIMB
        rows[:-1] -= carry << _LIMB
        rows[1:] += carry

    def values(self) -> list[Fraction]:
        """The sum of each column."""
        rows = self.limbs.reshape(_LIMBS, self._columns)
        totals = [0] * self._columns
        for row in rows[::-1].tolist():
            totals = [(total << _LIMB) + limb for total, limb in zip(totals, row, strict=True)]
        return [Fraction(total, 2**_UNIT) for total in totals]


def squares(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x² as two float64 arrays whose exact sum it is (Dekker's product), for |x| from 2^-450 to 2^490, or 0.

    >>> high, low = squares(np.array([1.0 + 2.0**-40]))
    >>> (high - 1.0 - 2.0**-39).item(), low.item() == 2.0**-80
    (0.0, True)
    """
    upper, lower = _halves(x)
    high = x * x
    low = ((upper * upper - high) + 2.0 * (upper * lower)) + lower * lower
    return high, low


def dot(x: np.ndarray, y: np.ndarray) -> float:
    """Σ x y in float64, in an order that follows from the length alone: the second half is added to the first, again and again.

    x, y: (k,), k at least 1.

    >>> dot(np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0]))
    32.0
    """
    products = np.multiply(x, y, dtype=np.float64)
    while len(products) > 1:
        half = -(-len(products) // 2)
        products[: len(products) - half] += products[half:]
        products = products[:half]
    return float(products[0])


def products(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x y as two float64 arrays whose exact sum it is, within the bounds that `squares` has for its factors.

    >>> high, low = products(np.array([1.0 + 2.0**-40]), np.array([1.0 - 2.0**-40]))
    >>> high.item(), low.item() == -(2.0**-80)
    (1.0, True)
    """
    (x_high, x_low), (y_high, y_low) = _halves(x), _halves(y)
    high = x * y
    low = ((x_high * y_high - high) + x_high * y_low + x_low * y_high) + x_low * y_low
    return high, low


def _halves(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x as the sum of two numbers of 26 bits (Veltkamp)."""
    upper = x * 134217729.0  # 2^27 + 1
    upper = upper - (upper - x)
    return upper, x - upper


def rounded(total: Fraction) -> float:
    """The float64 nearest to a sum, or infinity where it is too large for one."""
    try:
        return float(total)
    except OverflowError:
        return float("inf") if total > 0 else float("-inf")
