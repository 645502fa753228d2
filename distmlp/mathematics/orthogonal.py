"""Orthonormal rows, with the same bits on every machine: its products are the kernels' own, never a LAPACK's.

Gram and Schmidt's method by blocks of rows, everything twice: what rounding leaves after the first pass is gone after
the second (Giraud, Langou, Rozložník, van den Eshof, Numerische Mathematik 101, 2005).
"""

import math

import numpy as np

from distmlp.kernels import choice
from distmlp.kernels.numbers import Activation

#: Rows that are made orthogonal to those before them in one product; a part of the definition.
BLOCK = 32


def orthonormalize(x: np.ndarray) -> None:
    """The rows of x, (n, m) float64 with n ≤ m, linearly independent, become orthonormal, in place.

    Each is the part of its row that is orthogonal to the rows before it, of length 1.
    """
    for start in range(0, len(x), BLOCK):
        block = x[start : start + BLOCK]
        for _ in range(2):
            _take_away(x[:start], block)
            for i in range(len(block)):
                row = block[i : i + 1]
                _take_away(block[:i], row)
                row /= math.sqrt(_products(row, row)[0, 0])


def _products(q: np.ndarray, x: np.ndarray) -> np.ndarray:
    """x qᵀ, (rows of x, rows of q)."""
    found = np.empty((len(x), len(q)))
    choice.forward(q, np.zeros(len(q)), x, found, None, Activation.IDENTITY)
    return found


def _take_away(q: np.ndarray, x: np.ndarray) -> None:
    """x − (x qᵀ) q: what the rows of x have of the orthonormal rows of q is taken from them."""
    if len(q):
        along = np.empty_like(x)
        choice.backward(q, _products(q, x), along, along, Activation.IDENTITY)
        x -= along
