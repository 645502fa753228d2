"""The digest of a set's rows: one number, the same in whatever order and by whatever ranks the rows are looked at.

A row's hash is a function of its number and its bytes alone.  The set's digest is the sum of its rows' hashes
mod 2^64, so parts of it can be made anywhere and added up.  It tells data from data that changed by mistake; it is
no protection against somebody who wants two sets to have one digest.
"""

from collections.abc import Sequence

import numpy as np

from distmlp.kernels import choice
from distmlp.kernels.numpy_hashes import spread_bits

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MASK = 2**64 - 1

#: What a checkpoint's digest begins with.  Those of before had no such mark and a different definition.
_MARK = "nh:"


class RowHash:
    """Hashes rows of inputs and targets of fixed shapes and dtypes.

    The rows' bytes, little-endian, are taken as words p_j of 64 bits, the last one of each part filled up with zeros.  The
    hash of row i is mix(i G + Σ_j (lower p_j + lower k_j) (upper p_j + upper k_j)), where the halves are added mod 2^32 and
    the rest mod 2^64.  The sum is the hash NH of Black, Halevi, Krawczyk, Krovetz and Rogaway (1999): two different rows
    have the same one with a probability of at most 2^-32 over the keys, which are fixed here and know no data.
    """

    def __init__(self, x: np.ndarray, y: np.ndarray | None) -> None:
        arrays = [array for array in (x, y) if array is not None]
        self._dtypes = [array.dtype.newbyteorder("<") for array in arrays]
        self._keys = np.concatenate(
            [_keys(np.empty(a.shape[1:], a.dtype).nbytes, part) for part, a in enumerate(arrays)]
        )

    def sum(self, first: int | np.ndarray, x: np.ndarray, y: np.ndarray | None) -> int:
        """Σ of the rows' hashes mod 2^64.  first: the first row's number, or all of them, (rows,)."""
        parts = [_bytes(array, dtype) for array, dtype in zip((x, y), self._dtypes, strict=False)]
        numbers, start = (None, first) if isinstance(first, int) else (first, 0)
        return choice.hash_rows(
            parts[0], parts[1] if y is not None else None, self._keys, numbers, start
        )


def _keys(row_bytes: int, part: int) -> np.ndarray:
    """A key for each word of a part's rows."""
    count = np.arange(1, -(-row_bytes // 8) + 1, dtype=np.uint64)
    return spread_bits((count + np.uint64(part << 40)) * _GOLDEN)


def _bytes(array: np.ndarray | None, dtype: np.dtype) -> np.ndarray:
    """Rows as bytes, (rows, bytes)."""
    assert array is not None  # rows have targets where the first ones had
    return np.ascontiguousarray(array, dtype).reshape(len(array), -1).view(np.uint8)


def added(parts: Sequence[int]) -> int:
    """The digest of rows whose parts have these."""
    return sum(parts) & _MASK


def text(digest: int) -> str:
    """A digest as a checkpoint keeps it."""
    return f"{_MARK}{digest:016x}"


def number(kept: str) -> int | None:
    """The digest of what a checkpoint keeps; None where an earlier version made it, which cannot be compared."""
    return int(kept.removeprefix(_MARK), 16) if kept.startswith(_MARK) else None
