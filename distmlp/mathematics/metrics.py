"""Metrics: how good a network's outputs are, from whole numbers and exact sums, so the same bits however rows are shared out.

A tally is filled block by block (`add`), its `buffer` is added up over the ranks, and its metrics are made of the sums.
Names and meanings are scikit-learn's, with zero_division = 0.
"""

import math
from typing import Any

import numpy as np

from distmlp.kernels import choice
from distmlp.mathematics.sums import Sums, rounded, squares

#: Up to so many classes a confusion matrix is counted.
MOST_IN_MATRIX = 1000

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
    classes' probabilities, without which there is neither a log loss nor a Brier score.
    """

    def __init__(self, outputs: int, probabilities: bool) -> None:
        self.classes = K = max(outputs, 2)
        self._single, self._probabilities = outputs == 1, probabilities
        self._has_matrix = K <= MOST_IN_MATRIX
        counts = 4 * K + (K * K if self._has_matrix else 0)
        self.buffer = np.zeros(1 + counts + Sums.entries(2), np.int64)
        self._not_finite = self.buffer[:1]
        # places: how many rows have k outputs ahead of their class's
        self._places, self._right, self._predicted, self._actual = self.buffer[
            1 : 1 + 4 * K
        ].reshape(4, K)
        self._matrix = self.buffer[1 + 4 * K : 1 + counts].reshape(-1, K)
        self._losses = Sums(2, self.buffer[1 + counts :])

    def add(self, a: np.ndarray, labels: np.ndarray, log_losses: np.ndarray | None) -> None:
        """Counts rows of outputs a, (n, outputs), whose classes are labels, (n,) whole numbers.

        log_losses: −ln of the probability of each row's class, (n,) float64; None where outputs are none.
        """
        K, labels = self.classes, labels.astype(np.intp)
        predicted = predicted_classes(a)
        self._right += np.bincount(labels[predicted == labels], minlength=K)
        self._predicted += np.bincount(predicted, minlength=K)
        self._actual += np.bincount(labels, minlength=K)
        if self._has_matrix:
            self._matrix += np.bincount(labels * K + predicted, minlength=K * K).reshape(K, K)
        self._places += np.bincount(self._ahead(a, predicted, labels), minlength=K)
        if log_losses is not None:
            losses = np.stack([log_losses, _brier(a.astype(np.float64), labels)], axis=1)
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
        n = int(self._actual.sum())
        right, predicted, actual = (
            counts.tolist() for counts in (self._right, self._predicted, self._actual)
        )
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
        ahead = np.cumsum(self._places).tolist()
        found["top_k"] = {str(k): ahead[k - 1] / n for k in (2, 3, 5, 10) if k < self.classes}
        found["roc_auc"] = self._overall(roc_auc)
        found["log_loss"], found["brier"] = self._mean_losses(n)
        found["by_class"] = [
            {
                "class": k,
                "samples": actual[k],
                "predicted": predicted[k],
                "precision": precision[k],
                "recall": recall[k],
                "f1": f1[k],
                "roc_auc": roc_auc[k] if roc_auc else None,
            }
            for k in range(self.classes)
        ]
        found["confusion"] = self._matrix.tolist() if self._has_matrix else None
        return found

    def top(self, k: int) -> float:
        """The share of rows whose class is among the k largest outputs."""
        return int(self._places[:k].sum()) / int(self._actual.sum())

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
        # of two classes the second's square alone is taken
        halves = 2 if self.classes == 2 and not self._single else 1
        return rounded(log_loss / n), rounded(brier / (n * halves))


def _brier(a: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Σ (p − y)² of each row, (n,), over the classes from the first to the last."""
    y = np.arange(a.shape[1]) == labels[:, None] if a.shape[1] > 1 else labels[:, None] == 1
    return np.add.accumulate((a - y) ** 2, axis=1)[:, -1]


class NumberTally:
    """Sums over errors of outputs, by output.

    buffer: to be added up over the ranks.  largest: the largest |error|, (outputs,) float64, of which the ranks' largest
    is the whole set's.
    """

    def __init__(self, outputs: int) -> None:
        self._outputs = outputs
        self.buffer = np.zeros(2 + Sums.entries(5 * outputs), np.int64)
        self._samples, self._not_finite = self.buffer[:1], self.buffer[1:2]
        self._sums = Sums(5 * outputs, self.buffer[2:])
        self.largest = np.zeros(outputs)

    def add(self, a: np.ndarray, y: np.ndarray) -> None:
        """Adds rows of outputs a whose targets are y, both (n, outputs) float64, in the targets' own units."""
        error = y - a
        fine = (np.abs(error) < _LARGEST) & (np.abs(y) < _LARGEST)
        self._samples += len(y)
        self._not_finite += np.count_nonzero(~fine)
        error, y = np.where(fine, error, 0.0), np.where(fine, y, 0.0)
        self.largest = np.maximum(self.largest, np.abs(error).max(axis=0, initial=0.0))
        self._sums.add(np.concatenate([error * error, np.abs(error), y, *squares(y)], axis=1))

    def metrics(self) -> dict[str, Any]:
        """All metrics, by name; each is None where an output or a target is not finite, or too large to be squared."""
        k, n = self._outputs, int(self._samples[0])
        if self._not_finite[0]:
            nothing = dict.fromkeys(("r2", "rmse", "mae", "largest_error"))
            return {**nothing, "by_output": [{"output": i, **nothing} for i in range(k)]}
        of = self._sums.values()
        outputs = []
        for i in range(k):
            squared, absolute, y, high, low = (of[part * k + i] for part in range(5))
            spread = high + low - y * y / n  # sum (y - mean y)^2, exactly
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


def area_under_roc(scores: np.ndarray, positive: np.ndarray) -> float | None:
    """The area under the ROC curve: the chance that a positive row's score is above a negative one's, ties counting half.

    scores: (n,).  positive: (n,) truth values.  None where all rows are of one kind, or a score is a NaN.

    >>> area_under_roc(np.array([0.1, 0.4, 0.4, 0.8]), np.array([False, True, False, True]))
    0.875
    """
    if np.isnan(scores).any():
        return None
    _, place = np.unique(scores, return_inverse=True)
    ups = np.bincount(place[positive], minlength=1)
    downs = np.bincount(place[~positive], minlength=len(ups))
    ups = np.pad(ups, (0, len(downs) - len(ups)))
    P, N = int(ups.sum()), int(downs.sum())
    if not P or not N:
        return None
    below = np.cumsum(downs) - downs
    return int((ups * (2 * below + downs)).sum()) / (2 * P * N)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _mean(numbers: list[float]) -> float:
    return math.fsum(numbers) / len(numbers)
