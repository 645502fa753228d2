"""The digest of a set's rows: one number, the same in whatever order and by whatever ranks the rows are looked at.

A row's hash is a function of its number and its bytes alone.  The set's digest is the sum of its rows' hashes
mod 2^64, so parts of it can be made anywhere and added up.  It tells data from data that changed by mistake; it is
no protection against somebody who wants two sets to have one digest.
"""

from functools import cached_property

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MASK = 2**64 - 1


class RowHash:
    """Hashes rows of inputs and targets of fixed shapes and dtypes.

    The rows' bytes, little-endian, are taken as words p_j of 64 bits, the last one filled up with zeros.  The hash of
    row i is mix(i G + Σ p_j k_j + Σ ⌊p_j / 2^32⌋ k'_j); the second sum is there since the first one's carries leave at
    the top, where two flipped signs would cancel.
    """

    def __init__(self, x: np.ndarray, y: np.ndarray | None) -> None:
        self._parts = [
            _Part(array, number) for number, array in enumerate((x, y)) if array is not None
        ]

    def sum(self, first: int | np.ndarray, x: np.ndarray, y: np.ndarray | None) -> int:
        """Σ of the rows' hashes mod 2^64.  first: the first row's number, or all of them, (rows,)."""
        numbers = np.arange(first, first + len(x)) if isinstance(first, int) else first
        hashes = numbers.astype(np.uint64) * _GOLDEN
        for part, array in zip(self._parts, (x, y), strict=False):
            assert array is not None  # rows have targets where the first ones had
            hashes += part.product(array)
        return int(np.add.reduce(_mixed(hashes), dtype=np.uint64))


class _Part:
    """The words of a row's inputs, or of its targets."""

    def __init__(self, array: np.ndarray, number: int) -> None:
        row = np.empty(array.shape[1:], array.dtype)
        self._bytes, self._number = row.nbytes, number
        self._words = -(-row.nbytes // 8)
        self._dtype = array.dtype.newbyteorder("<")

    @cached_property
    def _factors(self) -> tuple[np.ndarray, np.ndarray]:
        count = np.arange(1, 2 * self._words + 1, dtype=np.uint64)
        factors = _mixed((count + np.uint64(self._number << 40)) * _GOLDEN) | np.uint64(1)
        return factors[: self._words], factors[self._words :]

    def product(self, array: np.ndarray) -> np.ndarray:
        rows = np.ascontiguousarray(array, self._dtype).reshape(len(array), -1)
        if self._bytes == 8 * self._words:
            p = rows.view("<u8")
        else:
            padded = np.zeros((len(rows), 8 * self._words), np.uint8)
            padded[:, : self._bytes] = rows.view(np.uint8)
            p = padded.view("<u8")
        low, high = self._factors
        found: np.ndarray = np.einsum("ij,j->i", p, low)
        found += np.einsum("ij,j->i", p >> np.uint64(32), high)
        return found


def _mixed(words: np.ndarray) -> np.ndarray:
    """Each word's bits spread over all of it: the last steps of SplitMix64 (Steele, Lea, Flood, 2014)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def added(parts: list[int]) -> int:
    """The digest of rows whose parts have these."""
    return sum(parts) & _MASK


def text(digest: int) -> str:
    """A digest as a checkpoint keeps it."""
    return f"{digest:016x}"
