"""digest.py: one number for one set of rows, and a different one for rows that differ in anything."""

import itertools

import numpy as np
import pytest

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

    total = 0
    for i in range(len(X)):
        found = i * golden
        for number, row in enumerate((X[i], Y[i])):
            content = np.asarray(row).tobytes()
            words = -(-len(content) // 8)
            content = content.ljust(8 * words, b"\0")
            for j in range(words):
                p = int.from_bytes(content[8 * j : 8 * j + 8], "little")
                k, high = (
                    mixed((1 + j + more + (number << 40)) * golden & mask) | 1
                    for more in (0, words)
                )
                found += p * k + (p >> 32) * high
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
}


@pytest.mark.parametrize("what", CHANGED)
def test_what_differs_has_a_different_digest(what):
    x, y = CHANGED[what]()
    assert digest(x, y) != digest(X, Y)


def test_byte_orders_and_layouts_are_one():
    assert digest(X.astype(">f4"), Y.astype(">i8")) == digest(X, Y)
    assert digest(np.asfortranarray(X), Y) == digest(X, Y)
    assert text(10) == "000000000000000a"
