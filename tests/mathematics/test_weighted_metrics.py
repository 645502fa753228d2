"""Weighted metrics are those of scikit-learn's sample_weight, and the same bits however rows are shared out."""

from fractions import Fraction

import numpy as np
import pytest

from distmlp.data.sample_weights import RowWeights
from distmlp.mathematics.metrics import ClassTally, NumberTally, predicted_classes
from distmlp.mathematics.roc import area_under_roc

oracle = pytest.importorskip("sklearn.metrics")

N = 700


def close(value):
    return pytest.approx(value, rel=1e-12, abs=1e-13)


def weights(seed=0):
    """Weights over nine orders of magnitude, some of them 0."""
    random = np.random.default_rng(seed)
    w = 1e5 * random.random(N) ** 3 * 10.0 ** random.integers(-6, 3, N)
    w[random.random(N) < 0.1] = 0.0
    return RowWeights(w)


def classified(outputs):
    random = np.random.default_rng(outputs)
    a = random.random((N, outputs))
    if outputs > 1:
        a /= a.sum(axis=1, keepdims=True)
    return a, random.integers(0, max(outputs, 2), N)


def log_losses(a, labels):
    if a.shape[1] == 1:
        return -np.log(np.where(labels == 1, a[:, 0], 1 - a[:, 0]))
    return -np.log(a[np.arange(len(a)), labels])


def tallied(a, labels, w, parts=1):
    """The tally of so many ranks."""
    tallies = []
    for some in np.array_split(np.arange(N), parts):
        tally = ClassTally(a.shape[1], True, None if w is None else w.unit)
        for rows in np.array_split(some, 3):
            of = None if w is None else w.scaled[rows]
            tally.add(a[rows], labels[rows], log_losses(a[rows], labels[rows]), of)
        tallies.append(tally)
    for other in tallies[1:]:
        tallies[0].buffer += other.buffer
    return tallies[0]


def areas(a, labels, w):
    if a.shape[1] == 1:
        return [area_under_roc(a[:, 0], labels == 1, w.scaled)] * 2
    return [area_under_roc(a[:, k], labels == k, w.scaled) for k in range(a.shape[1])]


@pytest.mark.parametrize("outputs", [1, 2, 5])
def test_metrics_of_classes_are_scikit_learns(outputs):
    (a, labels), w = classified(outputs), weights()
    predicted, how = predicted_classes(a), {"sample_weight": w.rows}
    tally = tallied(a, labels, w)
    found, K = tally.metrics(areas(a, labels, w)), max(outputs, 2)
    everything = list(range(K))
    matrix = oracle.confusion_matrix(labels, predicted, labels=everything, **how)
    assert np.array(found["confusion"]) == close(matrix)
    assert [row["samples"] for row in found["by_class"]] == close(matrix.sum(axis=1).tolist())
    balanced = oracle.balanced_accuracy_score(labels, predicted, **how)
    assert found["balanced_accuracy"] == close(balanced)
    for name in ("precision", "recall", "f1"):
        of = getattr(oracle, f"{name}_score")
        each = of(labels, predicted, labels=everything, average=None, zero_division=0, **how)
        assert [row[name] for row in found["by_class"]] == close(each.tolist())
        for average, key in (("macro", name), ("weighted", f"{name}_weighted")):
            assert found[key] == close(of(labels, predicted, average=average, **how))
    probabilities = np.hstack([1 - a, a]) if outputs == 1 else a
    log_loss = oracle.log_loss(labels, probabilities, labels=everything, **how)
    assert found["log_loss"] == close(log_loss)
    if K == 2:
        brier = oracle.brier_score_loss(labels, probabilities[:, 1], **how)
        assert found["brier"] == close(brier)
        area = oracle.roc_auc_score(labels, probabilities[:, 1], **how)
        assert found["roc_auc"] == close(area)
    else:
        assert tally.top(2) == close(oracle.top_k_accuracy_score(labels, a, k=2, **how))
        each = [oracle.roc_auc_score(labels == k, a[:, k], **how) for k in range(K)]
        assert [row["roc_auc"] for row in found["by_class"]] == close(each)


def test_classes_are_tallied_to_the_same_bits_in_any_parts():
    (a, labels), w = classified(5), weights()
    whole = tallied(a, labels, w).metrics(None)
    for parts in (2, 3, 7):
        assert tallied(a, labels, w, parts).metrics(None) == whole


def test_equal_weights_are_none():
    (a, labels), w = classified(5), RowWeights(np.full(N, 0.3))
    weighted, plain = (tallied(a, labels, of).metrics(None) for of in (w, None))
    for name in ("f1", "recall_weighted", "top_k", "log_loss", "brier", "balanced_accuracy"):
        assert weighted[name] == close(plain[name])


def numbered():
    random = np.random.default_rng(5)
    y = random.standard_normal((N, 3)) + np.array([0.0, 1e6, -3.0])
    return y + 0.3 * random.standard_normal((N, 3)), y


def summed(a, y, w, parts=1):
    tallies = []
    for some in np.array_split(np.arange(N), parts):
        tally = NumberTally(3, weighted=True)
        for rows in np.array_split(some, 3):
            tally.add(a[rows], y[rows], w.scaled[rows])
        tallies.append(tally)
    for other in tallies[1:]:
        tallies[0].buffer += other.buffer
        tallies[0].largest = np.maximum(tallies[0].largest, other.largest)
    return tallies[0].metrics()


def test_metrics_of_numbers_are_scikit_learns():
    (a, y), w = numbered(), weights()
    found, how = summed(a, y, w), {"sample_weight": w.rows, "multioutput": "raw_values"}
    for name, each in (
        ("r2", oracle.r2_score(y, a, **how)),
        ("mae", oracle.mean_absolute_error(y, a, **how)),
        ("rmse", oracle.root_mean_squared_error(y, a, **how)),
    ):
        # the mean of numbers near 1e6 is no better than this in scikit-learn
        assert [row[name] for row in found["by_output"]] == pytest.approx(each.tolist(), rel=1e-12)
        assert found[name] == pytest.approx(np.mean(each), rel=1e-12)


def test_the_spread_of_large_numbers_is_exact():
    (a, y), w = numbered(), weights()
    column = [Fraction(n) for n in y[:, 1].tolist()]
    of = [Fraction(n) for n in w.rows.tolist()]
    total = sum(of)
    mean = sum(u * n for u, n in zip(of, column, strict=True)) / total
    spread = sum(u * (n - mean) ** 2 for u, n in zip(of, column, strict=True))
    errors = [Fraction(n) ** 2 for n in (y - a)[:, 1].tolist()]
    squared = sum(u * e for u, e in zip(of, errors, strict=True))
    found = summed(a, y, w)["by_output"][1]["r2"]
    assert found == pytest.approx(float(1 - squared / spread), rel=1e-14)


def test_numbers_are_tallied_to_the_same_bits_in_any_parts():
    (a, y), w = numbered(), weights()
    for parts in (2, 3, 7):
        assert summed(a, y, w, parts) == summed(a, y, w)
