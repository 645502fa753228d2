"""Metrics are those of scikit-learn, and the same bits however rows are shared out; sums are exact."""

from fractions import Fraction

import numpy as np
import pytest

from distmlp.mathematics.metrics import (
    MOST_IN_MATRIX,
    ClassTally,
    NumberTally,
    count_hits,
    predicted_classes,
)
from distmlp.mathematics.roc import area_under_roc
from distmlp.mathematics.sums import Sums, products, rounded, squares

oracle = pytest.importorskip("sklearn.metrics")


def close(value):
    return pytest.approx(value, rel=1e-12, abs=1e-13)


# Which class outputs predict, and how many are right


def test_the_largest_output_is_the_class():
    a = np.array([[0.1, 0.7, 0.2], [0.9, 0.8, 0.0], [0.2, 0.2, 0.3]], np.float32)
    assert predicted_classes(a).tolist() == [1, 0, 2]


def test_of_equal_outputs_the_first_is_the_class():
    assert predicted_classes(np.array([[0.5, 0.5], [0.0, 0.0]])).tolist() == [0, 0]


def test_one_output_tells_0_from_1():
    assert predicted_classes(np.array([[0.4], [0.5], [0.6]])).tolist() == [0, 0, 1]


def test_hits_of_a_stack_of_micro_batches():
    a = np.array([[[0.1, 0.9], [0.8, 0.2]], [[0.3, 0.7], [0.6, 0.4]]])
    assert count_hits(a, np.array([[1, 0], [0, 0]])) == 3
    assert count_hits(np.array([[[0.9]], [[0.1]]]), np.array([[1], [1]])) == 1


# Sums


def test_sums_are_exact_whatever_the_order_and_the_parts():
    random = np.random.default_rng(0)
    x = random.standard_normal((700, 3)) * 10.0 ** random.integers(-300, 300, (700, 3))
    x[0, 0], x[1, 1], x[2, 2] = 5e-324, -1.7e308, 0.0
    whole = [sum(map(Fraction, column.tolist())) for column in x.T]
    one, two = Sums(3), Sums(3)
    one.add(x[:100])
    two.add(x[:99:-1])
    assert one.values() != whole
    one.limbs += two.limbs
    assert one.values() == whole


def test_a_sum_beyond_float64_is_an_infinity():
    sums = Sums(2)
    sums.add(np.array([[1.7e308, -1.7e308]] * 3))
    assert [rounded(total) for total in sums.values()] == [np.inf, -np.inf]


def test_squares_lose_nothing():
    x = np.random.default_rng(1).standard_normal(500) * 10.0 ** np.arange(-125, 125, 0.5)
    high, low = squares(x)
    for given, a, b in zip(x.tolist(), high.tolist(), low.tolist(), strict=True):
        assert Fraction(a) + Fraction(b) == Fraction(given) ** 2


def test_products_lose_nothing():
    random = np.random.default_rng(2)
    x, y = random.standard_normal((2, 500)) * 10.0 ** random.uniform(-70, 70, (2, 500))
    high, low = products(x, y)
    for one, other, a, b in zip(*map(np.ndarray.tolist, (x, y, high, low)), strict=True):
        assert Fraction(a) + Fraction(b) == Fraction(one) * Fraction(other)


# Classes


def classified(outputs, n=700, dtype=np.float64, met=None):
    """Probabilities a, (n, outputs), with ties, and labels, of which the classes met are some."""
    random = np.random.default_rng(outputs)
    a = random.random((n, outputs)).astype(dtype) ** 2
    if outputs > 1:
        a /= a.sum(axis=1, keepdims=True)
        a = np.round(a * 64) / 64 + 2.0**-10
        a /= a.sum(axis=1, keepdims=True)
    labels = random.integers(0, met or max(outputs, 2), n)
    return a, labels


def log_losses(a, labels):
    if a.shape[1] == 1:
        return -np.log(np.where(labels == 1, a[:, 0], 1 - a[:, 0]))
    return -np.log(a[np.arange(len(a)), labels])


def tallied(a, labels, parts=1, probabilities=True):
    """The tally of so many ranks."""
    tallies = []
    for some in np.array_split(np.arange(len(a)), parts):
        tally = ClassTally(a.shape[1], probabilities)
        for rows in np.array_split(some, 3):
            losses = log_losses(a[rows], labels[rows]) if probabilities else None
            tally.add(a[rows], labels[rows], losses)
        tallies.append(tally)
    for other in tallies[1:]:
        tallies[0].buffer += other.buffer
    return tallies[0]


def areas(a, labels):
    if a.shape[1] == 1:
        return [area_under_roc(a[:, 0], labels == 1)] * 2
    return [area_under_roc(a[:, k], labels == k) for k in range(a.shape[1])]


@pytest.mark.parametrize(("outputs", "met"), [(1, 2), (2, 2), (5, 5), (9, 6)])
def test_metrics_of_classes_are_scikit_learns(outputs, met):
    a, labels = classified(outputs, met=met)
    predicted = predicted_classes(a)
    found = tallied(a, labels).metrics(areas(a, labels) if outputs == met or met == 2 else None)
    K = max(outputs, 2)
    everything = list(range(K))
    assert (
        found["confusion"] == oracle.confusion_matrix(labels, predicted, labels=everything).tolist()
    )
    with pytest.warns() if outputs > met else _nothing():
        assert found["balanced_accuracy"] == close(
            oracle.balanced_accuracy_score(labels, predicted)
        )
    for name in ("precision", "recall", "f1"):
        of = getattr(oracle, f"{name}_score")
        each = of(labels, predicted, labels=everything, average=None, zero_division=0)
        assert [row[name] for row in found["by_class"]] == close(each.tolist())
        assert found[name] == close(of(labels, predicted, average="macro", zero_division=0))
        weighted = of(labels, predicted, average="weighted", zero_division=0)
        assert found[f"{name}_weighted"] == close(weighted)
    probabilities = np.hstack([1 - a, a]) if outputs == 1 else a
    assert found["log_loss"] == close(oracle.log_loss(labels, probabilities, labels=everything))
    desired = np.eye(K)[labels]
    halves = 2 if K == 2 else 1
    brier = np.mean(np.sum((probabilities - desired) ** 2, axis=1)) / halves
    assert found["brier"] == close(brier)
    if outputs in (1, 2):
        assert found["brier"] == close(oracle.brier_score_loss(labels, probabilities[:, 1]))
        assert found["roc_auc"] == close(oracle.roc_auc_score(labels, probabilities[:, 1]))
    elif outputs == met:
        auc = oracle.roc_auc_score(labels, a, multi_class="ovr")
        assert found["roc_auc"] == close(auc)


class _nothing:
    def __enter__(self):
        pass

    def __exit__(self, *_):
        pass


def test_top_k_is_scikit_learns_where_no_two_outputs_are_equal():
    a, labels = np.random.default_rng(3).random((400, 12)), np.arange(400) % 12
    tally = tallied(a, labels, probabilities=False)
    for k in range(1, 12):
        assert tally.top(k) == oracle.top_k_accuracy_score(labels, a, k=k)
    assert tally.metrics(None)["top_k"] == {str(k): tally.top(k) for k in (2, 3, 5, 10)}


def test_of_equal_outputs_the_first_class_is_ahead_as_it_is_predicted():
    a = np.array([[0.4, 0.4, 0.2]])
    assert predicted_classes(a) == [0]
    assert [tallied(a, np.array([label])).top(1) for label in (0, 1)] == [1.0, 0.0]
    assert tallied(a, np.array([1])).top(2) == 1.0


def test_classes_are_tallied_to_the_same_bits_in_any_parts():
    a, labels = classified(5, dtype=np.float32)
    whole = tallied(a, labels).metrics(None)
    for parts in (2, 3, 7):
        assert tallied(a, labels, parts).metrics(None) == whole


def test_without_probabilities_there_is_no_log_loss():
    a, labels = classified(3)
    found = tallied(a, labels, probabilities=False).metrics(None)
    assert (found["log_loss"], found["brier"], found["roc_auc"]) == (None, None, None)


def test_a_log_loss_of_an_impossible_class_has_no_number():
    a = np.array([[1.0, 0.0], [0.5, 0.5]])
    with np.errstate(divide="ignore"):
        assert tallied(a, np.array([1, 0])).metrics(None)["log_loss"] is None


def test_very_many_classes_have_no_matrix():
    K = MOST_IN_MATRIX + 1
    a, labels = classified(K, n=50)
    found = tallied(a, labels).metrics(None)
    assert found["confusion"] is None
    assert found["recall"] == close(
        oracle.recall_score(labels, predicted_classes(a), average="macro", zero_division=0)
    )


def test_an_area_has_no_meaning_for_one_kind_of_rows_or_a_nan():
    scores = np.array([0.1, 0.2, 0.3])
    assert area_under_roc(scores, np.array([True] * 3)) is None
    assert area_under_roc(scores, np.array([False] * 3)) is None
    assert area_under_roc(np.array([0.1, np.nan]), np.array([True, False])) is None
    assert area_under_roc(scores, np.array([False, False, True])) == 1.0
    assert area_under_roc(scores, np.array([True, False, False])) == 0.0


# Numbers


def numbered(k=3, n=600):
    random = np.random.default_rng(5)
    y = random.standard_normal((n, k)) + np.array([0.0, 1e6, -3.0])[:k]
    return y + 0.3 * random.standard_normal((n, k)), y


def summed(a, y, parts=1):
    tallies = []
    for some in np.array_split(np.arange(len(a)), parts):
        tally = NumberTally(a.shape[1])
        for rows in np.array_split(some, 3):
            tally.add(a[rows], y[rows])
        tallies.append(tally)
    for other in tallies[1:]:
        tallies[0].buffer += other.buffer
        tallies[0].largest = np.maximum(tallies[0].largest, other.largest)
    return tallies[0].metrics()


def test_metrics_of_numbers_are_scikit_learns():
    a, y = numbered()
    found = summed(a, y)
    for name, of in (
        ("r2", oracle.r2_score),
        ("mae", oracle.mean_absolute_error),
        ("rmse", lambda *given, **how: oracle.mean_squared_error(*given, **how)),
    ):
        each = of(y, a, multioutput="raw_values")
        each = np.sqrt(each) if name == "rmse" else each
        # sums of numbers near 1e6 are no better than this in scikit-learn
        assert [row[name] for row in found["by_output"]] == pytest.approx(each.tolist(), rel=1e-12)
        assert found[name] == pytest.approx(np.mean(each), rel=1e-12)
    largest = [oracle.max_error(y[:, i], a[:, i]) for i in range(3)]
    assert [row["largest_error"] for row in found["by_output"]] == largest
    assert found["largest_error"] == max(largest)


def test_numbers_are_tallied_to_the_same_bits_in_any_parts():
    a, y = numbered()
    for parts in (2, 3, 7):
        assert summed(a, y, parts) == summed(a, y)


def test_constant_targets_have_the_r2_that_scikit_learn_gives_them():
    y = np.full((10, 1), 0.1)
    assert summed(y, y)["r2"] == oracle.r2_score(y, y) == 1.0
    assert summed(y + 1, y)["r2"] == oracle.r2_score(y, y + 1) == 0.0


def test_what_is_not_finite_has_no_metrics():
    a, y = numbered()
    for bad in (np.nan, np.inf, 1e200):
        a[7, 1] = bad
        assert summed(a, y)["rmse"] is None
