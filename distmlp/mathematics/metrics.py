"""Metrics: which class a network's outputs predict, and how many are right."""

import numpy as np


def predicted_classes(a: np.ndarray) -> np.ndarray:
    """The class that each row of outputs a, (…, outputs), predicts, as (…) whole numbers.

    It is the largest output's number, the first of equal ones.  A single output predicts class 1 where it is above 1/2.
    """
    if a.shape[-1] == 1:
        return (a[..., 0] > 0.5).astype(np.intp)
    return a.argmax(axis=-1)


def count_hits(a: np.ndarray, labels: np.ndarray) -> int:
    """How many rows of outputs a, (…, outputs), predict the class in labels, (…)."""
    return int(np.count_nonzero(predicted_classes(a) == labels))
