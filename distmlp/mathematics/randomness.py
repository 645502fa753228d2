"""Random numbers from counters: any number of any stream can be drawn without those before it.

Philox (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011) turns a
key and a counter into random words of 64 bits.  The key is (seed, purpose), the counter begins at the place
that asks (epoch, shard, window …), so that every rank draws the same words for the same place.

What is made of the words is written down here and in docs/arithmetic.md, and is nobody else's to change.
"""

from collections.abc import Sequence
from enum import IntEnum

import numpy as np

from distmlp.kernels import choice

#: Words that are drawn at a time; of no effect on what is made of them.
_WORDS = 2**16


class Purpose(IntEnum):
    """What the numbers are for.  A value that is in use must never change: v depends on it."""

    INITIALIZE = 1
    ORDER_CHUNKS = 2
    ORDER_ROWS = 3
    DROPOUT = 4
    FOLDS = 20
    DRAWS = 21
    SHARE = 22


def stream(seed: int, purpose: Purpose, *place: int) -> np.random.Philox:
    """The random words that belong to (seed, purpose, place); place has at most three numbers.

    The counter's lowest word is left to the stream: 2**64 blocks can be drawn before it would run
    into another place's.
    """
    key, counter = _key_and_counter(seed, purpose, place)
    return np.random.Philox(key=key, counter=counter)


def draw(seed: int, purpose: Purpose, place: Sequence[int], out: np.ndarray) -> None:
    """out, (n,) or (s, n) uint64: the first words of `stream`, row i those of the place whose last number is i more."""
    choice.random_words(*_key_and_counter(seed, purpose, place), out)


def _key_and_counter(
    seed: int, purpose: Purpose, place: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    high = [0] * (3 - len(place)) + list(place)
    # as uint64, for a list of whole numbers goes through float64 from 2**63 on
    return np.array([seed, int(purpose)], np.uint64), np.array([0, *high], np.uint64)


def permutation(words: np.random.Philox, count: int) -> np.ndarray:
    """The numbers 0 … count − 1 in random order, (count,) int64: Fisher and Yates's shuffle.

    From the last place to the second, the entry there is exchanged with the one at ⌊word · places left / 2^64⌋.
    """
    order = np.arange(count, dtype=np.int64)
    left = count
    while left > 1:
        drawn = words.random_raw(min(_WORDS, left - 1))
        choice.shuffle(order, drawn, left)
        left -= len(drawn)
    return order


def uniform(words: np.random.Philox, count: int) -> np.ndarray:
    """Numbers that are uniform between −1 and 1, (count,) float64: (2k + 1) 2^-52 − 1, k a word's upper 52 bits."""
    k = (words.random_raw(count) >> np.uint64(12)).astype(np.float64)
    return (2.0 * k + 1.0) * 2.0**-52 - 1.0


def normals(words: np.random.Philox, count: int) -> np.ndarray:
    """Numbers of the normal distribution N(0, 1), (count,) float64: two from two words, the last one thrown away where count is odd."""
    made = np.empty(count + count % 2, np.float64)
    for start in range(0, len(made), _WORDS):
        part = made[start : start + _WORDS]
        choice.normals(words.random_raw(len(part)), part)
    return made[:count]
