"""The area under the ROC curve, from all scores of a set at once."""

import math

import numpy as np


def area_under_roc(
    scores: np.ndarray, positive: np.ndarray, weights: np.ndarray | None = None
) -> float | None:
    """The area under the ROC curve: the chance that a positive row's score is above a negative one's, ties counting half.

    scores: (n,).  positive: (n,) truth values.  weights: (n,), None where all rows count the same.  None where all rows are
    of one kind, or a score is a NaN.

    >>> area_under_roc(np.array([0.1, 0.4, 0.4, 0.8]), np.array([False, True, False, True]))
    0.875
    """
    if np.isnan(scores).any():
        return None
    _, place = np.unique(scores, return_inverse=True)
    of = (None, None) if weights is None else (weights[positive], weights[~positive])
    size = int(place.max(initial=0)) + 1
    ups = np.bincount(place[positive], of[0], size)
    downs = np.bincount(place[~positive], of[1], size)
    P, N = _sum(ups), _sum(downs)
    if not P or not N:
        return None
    below = np.concatenate([downs[:1] * 0, np.cumsum(downs)[:-1]])
    return _sum(ups * (2 * below + downs)) / (2 * P * N)


def _sum(x: np.ndarray) -> int | float:
    """The sum of whole numbers, or that of float64, correctly rounded."""
    return int(x.sum()) if x.dtype.kind == "i" else math.fsum(x)
