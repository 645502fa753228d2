"""Random words, and shuffles and normal numbers from them, in numpy, bit for bit as random.h and functions_glue.c make them."""

import numpy as np

from distmlp.kernels.numpy_functions import log, polynomial

SINE = tuple(
    map(
        float.fromhex,
        (
            "0x1.921fb54442d18p-1",
            "-0x1.4abbce625be09p-4",
            "0x1.466bc67754fe4p-9",
            "-0x1.32d2ccdfe644ap-15",
            "0x1.50782d5b6b2d1p-22",
            "-0x1.e2fe733e88a92p-30",
            "0x1.e356905f06f74p-38",
        ),
    )
)
COSINE = tuple(
    map(
        float.fromhex,
        (
            "-0x1.3bd3cc9be45dep-2",
            "0x1.03c1f081b5a65p-6",
            "-0x1.55d3c7e3c2d7bp-12",
            "0x1.e1f5067b057f8p-19",
            "-0x1.a6d1e6b52f412p-26",
            "0x1.f9c840cb57470p-34",
            "-0x1.b14b5b3de0d19p-42",
        ),
    )
)


def random_words(key: np.ndarray, counter: np.ndarray, out: np.ndarray) -> None:
    """out, (s, n) or (n,) uint64: each row the words of Philox4x64-10 with a key, (2,), after a counter, (4,).

    The counter's first number counts blocks; its last one grows by one a row.
    """
    counter = counter.copy()
    for row in np.atleast_2d(out):
        row[:] = np.random.Philox(key=key, counter=counter).random_raw(len(row))
        counter[3] += np.uint64(1)


def fraction_of_word(words: np.ndarray) -> np.ndarray:
    """(2k + 1) 2^-53, where k is a word's upper 52 bits: a number between 0 and 1, neither of which it is."""
    return (words >> np.uint64(12)).astype(np.float64) * 2.0**-52 + 2.0**-53


def normals(words: np.ndarray, out: np.ndarray) -> None:
    """out, (2n,) float64: the normal numbers 2i and 2i + 1 from the words 2i and 2i + 1.

    G. Box and M. Muller's method (1958).  The first word gives the radius; the second gives an angle within an octant by
    its upper bits, and the octant by its lowest three: which coordinate is the cosine, and their signs.
    """
    radius = np.sqrt(-2.0 * log(fraction_of_word(words[0::2])))
    angle = words[1::2]
    f = fraction_of_word(angle)
    square = f * f
    sine, cosine = f * polynomial(square, SINE), 1.0 + square * polynomial(square, COSINE)
    swapped, x_sign, y_sign = ((angle >> np.uint64(bit) & np.uint64(1)) != 0 for bit in range(3))
    x, y = np.where(swapped, sine, cosine), np.where(swapped, cosine, sine)
    out[0::2] = radius * np.where(x_sign, -x, x)
    out[1::2] = radius * np.where(y_sign, -y, y)


def shuffle(order: np.ndarray, words: np.ndarray, left: int) -> None:
    """As many steps of a shuffle of order[:left], (n,) int64, as there are words.

    A step exchanges the last entry that is left with the one at ⌊word · left / 2^64⌋, which may be itself; then one less
    is left (R. Fisher and F. Yates's shuffle in R. Durstenfeld's form).
    """
    lefts = np.arange(left, left - len(words), -1, dtype=np.uint64)
    # the upper 64 bits of the product; an order has less than 2^32 entries, so no sum here can overflow
    low = words & np.uint64(0xFFFFFFFF)
    places = ((words >> np.uint64(32)) * lefts + (low * lefts >> np.uint64(32))) >> np.uint64(32)
    entries = order.data  # of which single numbers are taken faster than of an array
    for last, place in zip(
        range(left - 1, left - 1 - len(words), -1), places.tolist(), strict=True
    ):
        entries[last], entries[place] = entries[place], entries[last]
