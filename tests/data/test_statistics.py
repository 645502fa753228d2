"""statistics.py: the numbers that exact fractions give, whatever the order and the parts."""

import math
from fractions import Fraction

import numpy as np
import pytest

from distmlp.data.statistics import ColumnStatistics, root
from distmlp.errors import InputError

RANDOM = np.random.default_rng(7)
X = np.column_stack(
    [
        RANDOM.normal(size=301),
        1.6e9 + RANDOM.uniform(0, 60, 301),
        RANDOM.normal(size=301) * 10.0 ** RANDOM.integers(-30, 30, 301),
        np.full(301, 0.1),
        RANDOM.integers(0, 256, 301),
    ]
)


def of(*parts):
    """What ranks with these rows find together."""
    ranks = [ColumnStatistics(parts[0].shape[1]) for _ in parts]
    for rank, part in zip(ranks, parts, strict=True):
        rank.add(part)
    for rank in ranks[1:]:
        ranks[0].whole += rank.whole
        np.minimum(ranks[0].ends, rank.ends, out=ranks[0].ends)
    return ranks[0]


def numbers(found):
    return [a.tobytes() for a in (found.means(), found.deviations(), found.lows, found.highs)]


def test_they_are_the_nearest_to_the_fractions():
    found = of(X)
    for column, mean, deviation in zip(X.T, found.means(), found.deviations(), strict=True):
        values = [Fraction(float(x)) for x in column]
        exact = sum(values) / len(values)
        variance = sum((x - exact) ** 2 for x in values) / len(values)
        assert mean == float(exact)
        near = [Fraction(math.nextafter(deviation, to)) for to in (-math.inf, math.inf)]
        middle = [(Fraction(float(deviation)) + other) / 2 for other in near]
        assert variance == deviation == 0 or middle[0] ** 2 <= variance <= middle[1] ** 2
    assert found.deviations()[3] == 0  # numpy's own is not
    assert (found.lows == X.min(axis=0)).all() and (found.highs == X.max(axis=0)).all()


@pytest.mark.parametrize("cuts", [[100], [1, 2, 300], [0, 150, 150]])
def test_ranks_and_orders_change_no_bit(cuts):
    assert numbers(of(*np.split(X, cuts))) == numbers(of(X)) == numbers(of(X[::-1]))


def test_missing_values_do_not_count():
    holes = X.copy()
    holes[5:50, 0] = np.nan
    holes[:, 4] = np.nan
    found = of(holes)
    assert found.count.tolist() == [256, 301, 301, 301, 0]
    assert numbers(of(np.delete(X[:, :1], range(5, 50), axis=0))) == numbers(of(holes[:, :1]))
    assert np.isnan(found.means()[4])


@pytest.mark.parametrize("x", [2, Fraction(1, 3), Fraction(10**400), Fraction(1, 10**600), 49])
def test_roots(x):
    near = root(Fraction(x))
    assert near == pytest.approx(float(Fraction(math.isqrt(int(x * 10**1400)), 10**700)), rel=1e-15)


def test_what_has_no_square():
    with pytest.raises(InputError, match="too large to be standardised"):
        of(np.array([[1e160]]))
