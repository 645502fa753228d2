"""Holds randomness.py: streams, and what is made of their words, against numbers made by hand."""

import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest

from distmlp.mathematics.randomness import Purpose, draw, normals, permutation, stream, uniform


def words(seed):
    return stream(seed, Purpose.ORDER_ROWS, 0)


def drawn(seed, purpose, *place):
    return tuple(stream(seed, purpose, *place).random_raw(4).tolist())


def test_every_seed_purpose_and_place_has_its_own_stream():
    wheres = [(0,), (1,), (1, 0), (0, 1, 1), (1, 1, 0), (2, 0, 0)]
    places = [
        (seed, purpose, *where) for seed in (0, 1, 2) for purpose in Purpose for where in wheres
    ]
    # a short place is the long one with zeros before it
    distinct = {
        (seed, purpose, *([0] * (3 - len(place)) + place)) for seed, purpose, *place in places
    }
    assert len({drawn(*place) for place in places}) == len(distinct)


def test_a_stream_is_philox_as_random123_publishes_it():
    # Random123's known answers for philox4x64-10: key and counter all zeros.  numpy steps the counter
    # before it draws, so the answer to counter 0 comes from a counter of 2**256 − 1.
    counter = [2**64 - 1] * 4
    answers = np.random.Philox(
        key=np.zeros(2, np.uint64), counter=np.array(counter, np.uint64)
    ).random_raw(4)
    assert [f"{x:016x}" for x in answers.tolist()] == [
        "16554d9eca36314c",
        "db20fe9d672d0fdc",
        "d7e772cee186176b",
        "7e68b68aec7ba23b",
    ]
    # and the stream of a place is the one whose key is (seed, purpose), from the place's counter on
    bits = stream(5, Purpose.ORDER_ROWS, 7, 8, 9).state["state"]
    assert bits["key"].tolist() == [5, 3] and bits["counter"].tolist() == [0, 7, 8, 9]


@pytest.mark.parametrize("seed", [0, 5, 2**64 - 1])
def test_words_that_are_drawn_at_once_are_those_of_the_stream(seed):
    for count in (0, 1, 3, 4, 11, 12, 13, 1000):
        for place in ((), (7,), (7, 8, 2**40)):
            out = np.empty(count, np.uint64)
            draw(seed, Purpose.DROPOUT, place, out)
            expected = stream(seed, Purpose.DROPOUT, *place).random_raw(count)
            np.testing.assert_array_equal(out, expected)
    rows = np.empty((3, 13), np.uint64)
    draw(seed, Purpose.DROPOUT, (7, 2**40), rows)
    for i, row in enumerate(rows):
        expected = stream(seed, Purpose.DROPOUT, 7, 2**40 + i).random_raw(13)
        np.testing.assert_array_equal(row, expected)


@pytest.mark.parametrize("seed", [2**53 + 1, 2**63 - 1, 2**63 + 1, 2**64 - 1])
def test_no_two_seeds_are_one(seed):
    """Up to the largest that a config accepts: a seed must reach the key as the whole number that it is."""
    assert stream(seed, Purpose.INITIALIZE, 0).state["state"]["key"].tolist() == [seed, 1]
    assert drawn(seed, Purpose.INITIALIZE, 0) != drawn(seed - 1, Purpose.INITIALIZE, 0)


def test_values_in_use_do_not_change():
    assert {purpose.name: purpose.value for purpose in Purpose} == {
        "INITIALIZE": 1,
        "ORDER_CHUNKS": 2,
        "ORDER_ROWS": 3,
        "DROPOUT": 4,
        "FOLDS": 20,
        "DRAWS": 21,
        "SHARE": 22,
    }


@pytest.mark.parametrize("count", [0, 1, 2, 3, 10, 1000, 2**16, 2**16 + 1, 200_001])
def test_a_permutation_is_fisher_and_yatess_shuffle(count):
    """By Python's whole numbers, from the same words; also where they are drawn in several pieces."""
    found = permutation(words(1), count)
    assert found.dtype == np.int64
    order = list(range(count))
    drawn_words = words(1).random_raw(max(0, count - 1)).tolist()
    for left, word in zip(range(count, 1, -1), drawn_words, strict=True):
        place = word * left >> 64
        order[left - 1], order[place] = order[place], order[left - 1]
    assert found.tolist() == order


def test_every_permutation_comes_as_often():
    draws = Counter(tuple(permutation(words(seed), 4).tolist()) for seed in range(12_000))
    assert len(draws) == 24
    # χ² of 23 degrees of freedom: mean 23, variance 46
    assert sum((n - 500) ** 2 / 500 for n in draws.values()) < 23 + 5 * math.sqrt(46)


def test_uniform_numbers_are_odd_multiples_of_a_unit_and_fill_their_interval():
    x = uniform(words(2), 100_000)
    assert [Fraction(u) for u in x[:1000].tolist()] == [
        (2 * (word >> 12) + 1) * Fraction(2) ** -52 - 1
        for word in words(2).random_raw(1000).tolist()
    ]
    assert -1.0 < x.min() < -0.9999 and 0.9999 < x.max() < 1.0
    assert abs(x.mean()) < 5 / math.sqrt(3 * x.size)
    assert x.var() == pytest.approx(1 / 3, rel=5 * math.sqrt(0.8 / x.size))


def test_normal_numbers_are_box_and_mullers():
    found = normals(words(3), 2000).tolist()
    drawn_words = words(3).random_raw(2000).tolist()
    for i in range(0, 2000, 2):
        radius, angle = ((2 * (word >> 12) + 1) * 2.0**-53 for word in drawn_words[i : i + 2])
        radius = math.sqrt(-2.0 * math.log(radius))
        x, y = math.cos(math.pi / 4 * angle), math.sin(math.pi / 4 * angle)
        octant = drawn_words[i + 1] & 7
        x, y = (y, x) if octant & 1 else (x, y)
        expected = radius * (-x if octant & 2 else x), radius * (-y if octant & 4 else y)
        assert found[i : i + 2] == pytest.approx(expected, rel=1e-14)


def test_normal_numbers_have_a_normals_distribution():
    z = normals(words(4), 1_000_001)
    assert len(z) == 1_000_001
    k = z.size
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96), (6, 15, 10170)):
        assert abs((z**power).mean() - moment) < 5 * math.sqrt(variance / k)
    places = np.sort([0.5 * (1 + math.erf(x / math.sqrt(2))) for x in z[:100_000].tolist()])
    # Kolmogorov and Smirnov: larger than this once in a million times
    assert np.abs(places - (np.arange(100_000) + 0.5) / 100_000).max() < 2.7 / math.sqrt(100_000)
    assert abs(np.corrcoef(z[:-1:2], z[1::2])[0, 1]) < 5 / math.sqrt(k / 2)


def test_an_odd_count_is_the_even_ones_beginning():
    assert normals(words(5), 7).tolist() == normals(words(5), 8)[:7].tolist()
