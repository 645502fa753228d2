"""digest.py: one number for one set of rows, and a different one for rows that differ in anything."""

import itertools

import numpy as np
import pytest

from distmlp.data import digest as digests
from distmlp.data.digest import RowHash, added, text

X = np.random.default_rng(1).normal(size=(101, 7)).astype(np.float32)
Y = np.random.default_rng(2).integers(0, 9, 101)


def digest(x, y):
    return RowHash(x, y).sum(0, x, y)


def test_it_is_written_down():
    """In plain whole numbers, word by word."""
    golden, mask = 0x9E3779B97F4A7C15, 2**64 - 1

    def mixed(word):
        word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & mask
        word = (word ^ word >> 27) * 0x94D049BB133111EB & mask
        return word ^ word >> 31

    half, total = 2**32 - 1, 0
    for i in range(len(X)):
        found = i * golden
        for number, row in enumerate((X[i], Y[i])):
            content = np.asarray(row).tobytes()
            words = -(-len(content) // 8)
            content = content.ljust(8 * words, b"\0")
            for j in range(words):
                p = int.from_bytes(content[8 * j : 8 * j + 8], "little")
                k = mixed((1 + j + (number << 40)) * golden & mask)
                found += ((p & half) + (k & half) & half) * ((p >> 32) + (k >> 32) & half)
        total += mixed(found & mask)
    assert digest(X, Y) == total & mask


@pytest.mark.parametrize("cuts", [[0, 101], [0, 50, 101], [0, 1, 2, 77, 101]])
def test_parts_in_any_order_add_up(cuts):
    hashes = RowHash(X, Y)
    parts = [hashes.sum(a, X[a:b], Y[a:b]) for a, b in itertools.pairwise(cuts)]
    assert added(parts[::-1]) == digest(X, Y)
    order = np.random.default_rng(3).permutation(len(X))
    assert hashes.sum(order, X[order], Y[order]) == digest(X, Y)


def flipped(columns, rows=(5,)):
    x = X.copy()
    for row in rows:
        x[row, columns] *= -1
    return x


CHANGED = {
    "a bit": lambda: (np.where(np.arange(707).reshape(101, 7) == 99, X + np.float32(2**-20), X), Y),
    "a sign": lambda: (flipped([1]), Y),
    "signs of a row": lambda: (flipped([1, 3]), Y),
    "signs of columns": lambda: (flipped([0, 1, 2, 3], range(101)), Y),
    "columns": lambda: (X[:, ::-1], Y),
    "rows": lambda: (X[::-1], Y[::-1]),
    "a target": lambda: (X, np.where(np.arange(101) == 7, Y + 1, Y)),
    "targets of two rows": lambda: (X, Y[[1, 0, *range(2, 101)]]),
    "a row less": lambda: (X[:100], Y[:100]),
    "neighbours": lambda: (X[:, [1, 0, *range(2, 7)]], Y),
    "a row twice": lambda: (X[[0, 0, *range(2, 101)]], Y),
    "all zeros": lambda: (0 * X, Y),
    "minus zeros": lambda: (-0.0 * np.abs(X), Y),
}


@pytest.mark.parametrize("what", CHANGED)
def test_what_differs_has_a_different_digest(what):
    x, y = CHANGED[what]()
    assert digest(x, y) != digest(X, Y)


def test_byte_orders_and_layouts_are_one():
    assert digest(X.astype(">f4"), Y.astype(">i8")) == digest(X, Y)
    assert digest(np.asfortranarray(X), Y) == digest(X, Y)
    assert text(10) == "nh:000000000000000a"


def test_each_bit_of_each_row_counts():
    """However the others are: of zeros, of ones, of random numbers."""
    for x in (np.zeros((3, 20), np.uint8), np.full((3, 20), 255, np.uint8), X[:3].view(np.uint8)):
        seen = {RowHash(x, None).sum(0, x, None)}
        for row in range(len(x)):
            for bit in range(8 * x.shape[1]):
                changed = x.copy()
                changed[row, bit // 8] ^= 1 << bit % 8
                seen.add(RowHash(x, None).sum(0, changed, None))
        assert len(seen) == 1 + 8 * x.size


def test_a_digest_of_an_earlier_version_is_not_compared():
    assert digests.number(text(10)) == 10 and digests.number("000000000000000a") is None
