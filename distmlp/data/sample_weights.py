"""What each row of a set counts: sample weights as a file has them, and what training makes of them."""

import hashlib
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import DTypeLike

from distmlp.mathematics.sums import Sums


@dataclass(frozen=True, eq=False)
class RowWeights:
    """The weights of a set's rows, as the file has them: finite, at least 0, one of them above.

    rows: (n,) float64.
    """

    rows: np.ndarray

    @cached_property
    def exponent(self) -> int:
        """All weights are below 2^exponent."""
        return int(np.frexp(self.rows.max())[1])

    @property
    def unit(self) -> Fraction:
        """What the weight 1 of `scaled` stands for."""
        return Fraction(2) ** self.exponent

    @cached_property
    def scaled(self) -> np.ndarray:
        """The weights in units of 2^exponent, (n,) from 0 to 1."""
        return np.ldexp(self.rows, -self.exponent)

    @cached_property
    def total(self) -> Fraction:
        """Σ w, exactly."""
        return exact_sum(self.rows)

    @cached_property
    def digest(self) -> str:
        """What tells these weights from different ones."""
        return hashlib.sha256(np.ascontiguousarray(self.rows, "<f8").data).hexdigest()[:16]


def exact_sum(x: np.ndarray) -> Fraction:
    """The sum of finite float64, (n,)."""
    sums = Sums(1)
    sums.add(x[:, None])
    return sums.values()[0]


@dataclass(frozen=True, eq=False)
class Weighting:
    """What training rows count: w = (the row's weight) · (its class's factor), of which the mean is 1.

    rows: None where all rows' weights are 1.  factors: (classes,) float64, or (1,) for all rows.
    """

    rows: RowWeights | None
    factors: np.ndarray

    def of(self, numbers: np.ndarray, labels: np.ndarray | None, dtype: DTypeLike) -> np.ndarray:
        """w of the rows with these numbers, whose classes are labels: a product in float64, rounded to the dtype."""
        one = len(self.factors) == 1 or labels is None
        w = np.full(len(numbers), self.factors[0]) if one else self.factors[labels]
        if self.rows is not None:
            w = self.rows.rows[numbers] * w
        return w.astype(dtype)
