"""Counts of many micro-batches: whole numbers in twice the bits, to which narrower ones are added, and what they are as floats.

An entry of int32 counts has one int64; one of int64 counts has two: Σ of the lower 32 bits, and Σ of the upper ones.
"""

from collections.abc import Iterator

import numpy as np

#: Entries that are taken at a time; they stay in a core's second cache.
_STRETCH = 2**14


def add(counts: np.ndarray, total: np.ndarray, anew: bool) -> None:
    """total += counts, or total = counts if anew: (k,) int32 and (k,) int64, or (k,) and (2k,) int64."""
    for here, lower, upper in _stretches(counts, total):
        if upper is None:
            parts = [(lower, here)]
        else:
            parts = [(lower, here & 0xFFFFFFFF), (upper, here >> 32)]
        for sums, part in parts:
            if anew:
                np.copyto(sums, part)
            else:
                np.add(sums, part, out=sums)


def to_floats(total: np.ndarray, out: np.ndarray) -> None:
    """out = total, (k,) float32 from (k,) int64, or (k,) float64 from (2k,), to the nearest float."""
    for here, lower, upper in _stretches(out, total):
        if upper is None:
            np.copyto(here, lower, casting="unsafe")
        else:
            # the upper part is exact up to 2^53, so the sum is the only one to be rounded
            np.multiply(upper + (lower >> 32), 2.0**32, out=here)
            here += lower & 0xFFFFFFFF


def _stretches(
    entries: np.ndarray, total: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
    """Parts of (k,) entries with the parts of a total, in one or two numbers, that are theirs."""
    k = len(entries)
    lower, upper = total[:k], total[k:] if len(total) > k else None
    for start in range(0, k, _STRETCH):
        part = slice(start, start + _STRETCH)
        yield entries[part], lower[part], None if upper is None else upper[part]
