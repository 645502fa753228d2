"""Metrics: how good a network's outputs are, from whole numbers and exact sums, so the same bits however rows are shared out.

A tally is filled block by block (`add`), its `buffer` is added up over the ranks, and its metrics are made of the sums.
Names and meanings are scikit-learn's, with zero_division = 0.
"""

import math
from fractions import Fraction
from itertools import accumulate
from typing import Any

import numpy as np

from distmlp.kernels import choice
from distmlp.mathematics.sums import Sums, products, rounded, squares

#: Up to so many classes a confusion matrix is counted.
MOST_IN_MATRIX = 1000

#: A weight is counted as four whole numbers of 27 bits, so in units of 2^-108 of what bounds all of them.
_LIMBS, _LIMB = 4, 27

#: Numbers beyond which a square overflows, or a sum of squares could.
_LARGEST = 2.0**490


def predicted_classes(a: np.ndarray) -> np.ndarray:
    """The class that each row of outputs a, (…, outputs), predicts, as (…) whole numbers.

    It is the largest output's number, the first of equal ones.  A single output predicts class 1 where it is above 1/2.
    """
    if a.shape[-1] == 1:
        return (a[..., 0] > 0.5).astype(np.intp)
    return a.argmax(axis=-1)


def count_hits(a: np.ndarray, labels: np.ndarray) -> int:
    """How many rows of outputs a, (…, outputs), predict the class in labels, (…)."""
    return choice.hits(np.ascontiguousarray(a), np.ascontiguousarray(labels, np.int64))


class ClassTally:
    """Counts of which classes are predicted for which.

    outputs: of the network; one output tells two classes.  probabilities: whether the outputs are the
    classes' probabilities, without which there is neither a log loss nor a Brier score.  unit: what the weight 1 of `add`
    stands for, where rows have weights.
    """

    def __init__(self, outputs: int, probabilities: bool, unit: Fraction | None = None) -> None:
        self.classes = K = max(outputs, 2)
        self._single, self._probabilities = outputs == 1, probabilities
        self._has_matrix, self._unit = K <= MOST_IN_MATRIX, unit
        limbs, counts = 1 if unit is None else _LIMBS, 4 * K + (K * K if self._has_matrix else 0)
        self.buffer = np.zeros(1 + limbs * counts + Sums.entries(2), np.int64)
        self._not_finite = self.buffer[:1]
        # by class: how many rows have k outputs ahead of their class's; right ones; predicted; actual; then the matrix
        self._counts = self.buffer[1 : 1 + limbs * counts].reshape(limbs, counts)
        self._losses = Sums(2, self.buffer[1 + limbs * counts :])

    def add(
        self,
        a: np.ndarray,
        labels: np.ndarray,
        log_losses: np.ndarray | None,
        weights: np.ndarray | None = None,
    ) -> None:
        """Counts rows of outputs a, (n, outputs), whose classes are labels, (n,) whole numbers.

        log_losses: −ln of the probability of each row's class, (n,) float64; None where outputs are none.  weights: of the
        rows, (n,) from 0 to 1, where there is a unit.
        """
        K, labels = self.classes, labels.astype(np.intp)
        predicted = predicted_classes(a)
        right = np.flatnonzero(predicted == labels)
        parts = [None] if weights is None else _parts(weights)
        for counts, part in zip(self._counts, parts, strict=True):
            of_right = None if part is None else part[right]
            _count(counts[:K], self._ahead(a, predicted, labels), part)
            _count(counts[K : 2 * K], labels[right], of_right)
            _count(counts[2 * K : 3 * K], predicted, part)
            _count(counts[3 * K : 4 * K], labels, part)
            if self._has_matrix:
                _count(counts[4 * K :], labels * K + predicted, part)
        if log_losses is not None:
            losses = np.stack([log_losses, _brier(a.astype(np.float64), labels)], axis=1)
            if weights is not None:
                losses *= weights[:, None]
            finite = np.isfinite(losses).all(axis=1)
            self._not_finite += np.count_nonzero(~finite)
            self._losses.add(losses[finite])

    def _ahead(self, a: np.ndarray, predicted: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """How many classes each row's outputs put before its own, (n,); of equal ones the first is ahead."""
        if self._single:
            return (predicted != labels).astype(np.intp)
        own = np.take_along_axis(a, labels[:, None], axis=1)
        before = np.arange(self.classes) < labels[:, None]
        return np.count_nonzero((a > own) | ((a == own) & before), axis=1)

    def metrics(self, roc_auc: list[float | None] | None) -> dict[str, Any]:
        """All metrics, by name; averages are over the classes that occur or are predicted.

        roc_auc: each class's against all others, None where it has no meaning.
        """
        places, right, predicted, actual = (self._totals(part) for part in range(4))
        n = sum(actual)
        precision = [_share(r, p) for r, p in zip(right, predicted, strict=True)]
        recall = [_share(r, t) for r, t in zip(right, actual, strict=True)]
        f1 = [_share(2 * r, p + t) for r, p, t in zip(right, predicted, actual, strict=True)]
        met = [k for k in range(self.classes) if actual[k] or predicted[k]]
        found: dict[str, Any] = {
            "balanced_accuracy": _mean([recall[k] for k in range(self.classes) if actual[k]]),
        }
        for name, of in (("precision", precision), ("recall", recall), ("f1", f1)):
            found[name] = _mean([of[k] for k in met])
            found[f"{name}_weighted"] = (
                math.fsum(share * t for share, t in zip(of, actual, strict=True)) / n
            )
        ahead = list(accumulate(places))
        found["top_k"] = {str(k): ahead[k - 1] / n for k in (2, 3, 5, 10) if k < self.classes}
        found["roc_auc"] = self._overall(roc_auc)
        found["log_loss"], found["brier"] = self._mean_losses(n)
        found["by_class"] = [
            {
                "class": k,
                "samples": self._shown(actual[k]),
                "predicted": self._shown(predicted[k]),
                "precision": precision[k],
                "recall": recall[k],
                "f1": f1[k],
                "roc_auc": roc_auc[k] if roc_auc else None,
            }
            for k in range(self.classes)
        ]
        found["confusion"] = self._matrix() if self._has_matrix else None
        return found

    def top(self, k: int) -> float:
        """The share of rows whose class is among the k largest outputs."""
        return sum(self._totals(0)[:k]) / sum(self._totals(3))

    def _totals(self, part: int) -> list[int]:
        """By class: a part of the counts, from 0 on, in whole numbers of the smallest unit."""
        K = self.classes
        return _joined(self._counts[:, part * K : (part + 1) * K])

    def _matrix(self) -> list[list[Any]]:
        K, flat = self.classes, _joined(self._counts[:, 4 * self.classes :])
        return [[self._shown(n) for n in flat[row * K : (row + 1) * K]] for row in range(K)]

    def _shown(self, total: int) -> int | float:
        """A count of rows, or the sum of their weights."""
        if self._unit is None:
            return total
        return rounded(total * self._unit / 2 ** (_LIMBS * _LIMB))

    def _overall(self, roc_auc: list[float | None] | None) -> float | None:
        """Class 1's of two classes; else the mean, where every class has one."""
        if roc_auc is None:
            return None
        if self.classes == 2:
            return roc_auc[1]
        of = [area for area in roc_auc if area is not None]
        return _mean(of) if len(of) == len(roc_auc) else None

    def _mean_losses(self, n: int) -> tuple[float | None, float | None]:
        if not self._probabilities or self._not_finite[0]:
            return None, None
        log_loss, brier = self._losses.values()
        samples = Fraction(n) if self._unit is None else Fraction(n, 2 ** (_LIMBS * _LIMB))
        # of two classes the second's square alone is taken
        halves = 2 if self.classes == 2 and not self._single else 1
        return rounded(log_loss / samples), rounded(brier / (samples * halves))


def _count(counts: np.ndarray, places: np.ndarray, part: np.ndarray | None) -> None:
    """Adds 1, or each row's whole number in `part`, at these places of the counts."""
    # sums of fewer than 2^26 numbers of 27 bits are exact in float64
    counts += np.bincount(places, part, len(counts)).astype(np.int64, copy=False)


def _parts(weights: np.ndarray) -> list[np.ndarray]:
    """Weights from 0 to 1 as whole numbers of 27 bits, the highest first; what is below 2^-108 is cut off."""
    found, rest = [], weights
    for _ in range(_LIMBS):
        rest = np.ldexp(rest, _LIMB)
        found.append(np.floor(rest))
        rest = rest - found[-1]
    return found


def _joined(counts: np.ndarray) -> list[int]:
    """Counts (limbs, n), the highest limb first, as n whole numbers."""
    totals = [0] * counts.shape[1]
    for row in counts.tolist():
        totals = [(total << _LIMB) + limb for total, limb in zip(totals, row, strict=True)]
    return totals


def _brier(a: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Σ (p − y)² of each row, (n,), over the classes from the first to the last."""
    y = np.arange(a.shape[1]) == labels[:, None] if a.shape[1] > 1 else labels[:, None] == 1
    return np.add.accumulate((a - y) ** 2, axis=1)[:, -1]


class NumberTally:
    """Sums over errors of outputs, by output.

    buffer: to be added up over the ranks.  largest: the largest |error|, (outputs,) float64, of which the ranks' largest
    is the whole set's.  weighted: whether rows have weights.
    """

    def __init__(self, outputs: int, weighted: bool = False) -> None:
        self._outputs, self._weighted = outputs, weighted
        columns = 9 * outputs if weighted else 5 * outputs
        self.buffer = np.zeros(2 + Sums.entries(columns), np.int64)
        self._samples, self._not_finite = self.buffer[:1], self.buffer[1:2]
        self._sums = Sums(columns, self.buffer[2:])
        self.largest = np.zeros(outputs)

    def add(self, a: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None) -> None:
        """Adds rows of outputs a whose targets are y, both (n, outputs) float64, in the targets' own units.

        weights: of the rows, (n,) from 0 to 1, where they have some.
        """
        error = y - a
        fine = (np.abs(error) < _LARGEST) & (np.abs(y) < _LARGEST)
        self._samples += len(y)
        self._not_finite += np.count_nonzero(~fine)
        error, y = np.where(fine, error, 0.0), np.where(fine, y, 0.0)
        self.largest = np.maximum(self.largest, np.abs(error).max(axis=0, initial=0.0))
        parts = [error * error, np.abs(error), y, *squares(y)]
        if weights is not None:
            w = np.broadcast_to(weights[:, None], y.shape)
            # the spread is a small difference of large sums, which must therefore be exact
            exactly = [product for part in parts[2:] for product in products(w, part)]
            parts = [w * parts[0], w * parts[1], *exactly, w]
        self._sums.add(np.concatenate(parts, axis=1))

    def _totals(self, of: list[Fraction]) -> tuple[Fraction, ...]:
        """Σ w, Σ w error², Σ w |error|, Σ w y and Σ w y² of one output, from its sums."""
        if not self._weighted:
            squared, absolute, y, high, low = of
            return Fraction(int(self._samples[0])), squared, absolute, y, high + low
        squared, absolute, *exactly, total = of
        return total, squared, absolute, exactly[0] + exactly[1], sum(exactly[2:], Fraction(0))

    def metrics(self) -> dict[str, Any]:
        """All metrics, by name; each is None where an output or a target is not finite, or too large to be squared."""
        k = self._outputs
        if self._not_finite[0]:
            nothing = dict.fromkeys(("r2", "rmse", "mae", "largest_error"))
            return {**nothing, "by_output": [{"output": i, **nothing} for i in range(k)]}
        of, outputs = self._sums.values(), []
        for i in range(k):
            n, squared, absolute, y, squares_of_y = self._totals(of[i::k])
            spread = squares_of_y - y * y / n  # sum (y - mean y)^2, exactly
            outputs.append(
                {
                    "output": i,
                    "r2": rounded(1 - squared / spread) if spread else float(squared == 0),
                    "rmse": math.sqrt(rounded(squared / n)),
                    "mae": rounded(absolute / n),
                    "largest_error": float(self.largest[i]),
                }
            )
        return {
            **{
                name: _mean([float(output[name]) for output in outputs])
                for name in ("r2", "rmse", "mae")
            },
            "largest_error": max(output["largest_error"] for output in outputs),
            "by_output": outputs,
        }


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _mean(numbers: list[float]) -> float:
    return math.fsum(numbers) / len(numbers)
