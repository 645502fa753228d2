"""What a set's columns are over all rows, exactly: no rank count and no order of the rows changes a bit."""

import math
from fractions import Fraction

import numpy as np

from distmlp.errors import InputError
from distmlp.mathematics.sums import Sums, rounded, squares

#: Numbers outside of this have no exact square; those below it are 0 beside any that matter.
_LEAST, _LARGEST = 2.0**-450, 2.0**490


class ColumnStatistics:
    """Count, mean, standard deviation, least and largest of columns; a NaN is a missing value.

    whole: (…,) int64, to be summed over ranks.  ends: (2, columns) float64, each rank's least and, negative, largest,
    to be taken the least of over ranks.
    """

    def __init__(self, columns: int) -> None:
        size = Sums.entries(columns)
        self.whole = np.zeros(columns + 2 * size, np.int64)
        self.ends = np.full((2, columns), np.inf)
        self._count = self.whole[:columns]
        self._sum = Sums(columns, self.whole[columns : columns + size])
        self._squares = Sums(columns, self.whole[columns + size :])

    def add(self, x: np.ndarray) -> None:
        """Adds rows x, (n, columns).  Raises InputError for numbers that are too large to be squared."""
        x = x.astype(np.float64)
        missing = np.isnan(x)
        self._count += len(x) - np.count_nonzero(missing, axis=0)
        x[missing] = np.inf
        np.minimum(self.ends[0], x.min(axis=0, initial=np.inf), out=self.ends[0])
        x[missing] = -np.inf
        np.minimum(self.ends[1], -x.max(axis=0, initial=-np.inf), out=self.ends[1])
        x[missing] = 0.0
        if np.abs(x).max(initial=0.0) > _LARGEST:
            raise InputError(
                f"a number is larger than {_LARGEST:.3g}, too large to be standardised"
            )
        self._sum.add(x)
        x[np.abs(x) < _LEAST] = 0.0
        for part in squares(x):
            self._squares.add(part)

    @property
    def count(self) -> np.ndarray:
        """Values that are not missing, (columns,)."""
        return self._count

    def means(self) -> np.ndarray:
        """The float64 nearest to each column's mean; NaN where all values are missing."""
        pairs = zip(self._sum.values(), self._count.tolist(), strict=True)
        return np.array([rounded(total / n) if n else math.nan for total, n in pairs])

    def deviations(self) -> np.ndarray:
        """The float64 nearest to each column's standard deviation, √(Σ (x − mean)² / n): 0 for a constant column."""
        parts = zip(self._sum.values(), self._squares.values(), self._count.tolist(), strict=True)
        return np.array(
            [root(total / n - (first / n) ** 2) if n else math.nan for first, total, n in parts]
        )

    @property
    def lows(self) -> np.ndarray:
        return self.ends[0]

    @property
    def highs(self) -> np.ndarray:
        return -self.ends[1]


def root(x: Fraction) -> float:
    """The float64 nearest to √x.

    >>> root(Fraction(1, 4))
    0.5
    """
    if x <= 0:
        return 0.0
    # √(a/b) = √(a b 4^s) / (b 2^s); with 64 more bits than a float64 has, and one that says that some are cut off,
    # the division rounds as √x itself would.
    product = x.numerator * x.denominator
    s = max(0, 140 + x.denominator.bit_length() - product.bit_length() // 2)
    whole = math.isqrt(product << 2 * s)
    cut = whole * whole != product << 2 * s
    return (2 * whole + cut) / (x.denominator << (s + 1))
