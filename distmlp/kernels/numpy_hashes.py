"""Hashes of rows in numpy, bit for bit as hashes.h makes them."""

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_HALF, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)


def hash_rows(
    x: np.ndarray, y: np.ndarray | None, keys: np.ndarray, numbers: np.ndarray | None, first: int
) -> int:
    """Σ of the rows' hashes mod 2^64, of rows of bytes x and y, (rows, …); numbers: theirs, else from `first` up."""
    if numbers is None:
        numbers = np.arange(first, first + len(x))
    hashes = numbers.astype(np.uint64) * _GOLDEN
    used = 0
    for part in (x, y):
        if part is not None:
            words = -(-part.shape[1] // 8)
            hashes += _products(part, keys[used : used + words])
            used += words
    return int(np.add.reduce(spread_bits(hashes), dtype=np.uint64))


def _products(part: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Of each row: Σ_j (lower half of p_j + that of its key) (upper half of p_j + that of its key)."""
    padded = np.zeros((len(part), 8 * len(keys)), np.uint8)
    padded[:, : part.shape[1]] = part
    p = padded.view("<u8")
    lower = ((p & _LOW) + (keys & _LOW)) & _LOW
    upper = ((p >> _HALF) + (keys >> _HALF)) & _LOW
    found: np.ndarray = np.add.reduce(lower * upper, axis=1, dtype=np.uint64)
    return found


def spread_bits(words: np.ndarray) -> np.ndarray:
    """Each word's bits spread over all of it: the last steps of SplitMix64 (Steele, Lea, Flood, 2014)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
