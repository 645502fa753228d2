"""Random numbers from counters: any number of any stream can be drawn without those before it.

Philox (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011) turns a
key and a counter into random bits.  The key is (seed, purpose), the counter begins at the place
that asks (epoch, shard, window …), so that every rank draws the same bits for the same place.
"""

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What the numbers are for.  A value that is in use must never change: v depends on it."""

    INITIALIZE = 1
    ORDER_CHUNKS = 2
    ORDER_ROWS = 3


def generator(seed: int, purpose: Purpose, *place: int) -> np.random.Generator:
    """The stream of random numbers that belongs to (seed, purpose, place); place has at most three numbers.

    The counter's lowest word is left to the stream: 2**64 blocks can be drawn before it would run
    into another place's.
    """
    high = [0] * (3 - len(place)) + list(place)
    # as uint64, for a list of whole numbers goes through float64 from 2**63 on
    key, counter = (np.array(words, np.uint64) for words in ([seed, int(purpose)], [0, *high]))
    return np.random.Generator(np.random.Philox(key=key, counter=counter))
