"""Holds costs.py: values and gradients against scalar formulas, and finite where an output saturates."""

import math
import warnings

import naive
import numpy as np
import pytest

from distmlp.mathematics.activations import ACTIVATIONS
from distmlp.mathematics.costs import COSTS, MATCHED

PAIRS = sorted(COSTS)


def drawn(cost, output, dtype=np.float64, shape=(3, 4, 6)):
    """z, a and y of a stack of micro-batches."""
    random = np.random.default_rng(2)
    z = random.normal(0.0, 2.0, shape).astype(dtype)
    a = z.copy()
    ACTIVATIONS[output].apply(a)
    if (cost, output) == ("cross-entropy", "softmax"):
        return z, a, random.dirichlet(np.ones(shape[-1]), shape[:-1]).astype(dtype)
    return z, a, random.uniform(0.0, 1.0, shape).astype(dtype)


@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-12), (np.float32, 1e-5)])
@pytest.mark.parametrize("cost, output", PAIRS)
def test_value_is_the_sum_over_a_micro_batch(cost, output, dtype, tolerance):
    z, a, y = drawn(cost, output, dtype)
    value = COSTS[cost, output].value(z, a, y)
    expected = [
        math.fsum(
            naive.cost_of_output(cost, output, naive.activate(output, s), d)
            for s, d in zip(sums, desired, strict=True)
        )
        for sums, desired in zip(z.tolist(), y.tolist(), strict=True)
    ]
    assert value.dtype == np.float64 and value.shape == (3,)
    np.testing.assert_allclose(value, expected, rtol=tolerance)


@pytest.mark.parametrize("cost, output", PAIRS)
def test_gradient(cost, output):
    _, a, y = drawn(cost, output)
    out = np.empty_like(a)
    COSTS[cost, output].gradient(a, y, out)
    expected = [
        naive.cost_slope(cost, output, s, d)
        for s, d in zip(a.reshape(-1, 6).tolist(), y.reshape(-1, 6).tolist(), strict=True)
    ]
    np.testing.assert_allclose(out.reshape(-1, 6), expected, rtol=1e-11)


def test_costs_worked_by_hand():
    y, a = np.array([[[1.0, 0.0]]]), np.array([[[0.5, 2.0]]])
    assert COSTS["mse", "identity"].value(a, a, y).tolist() == [0.5 * (0.25 + 4.0)]
    # a = (1/2, 1/2): −ln(1/2) for the class, and twice that for two neurons by themselves
    z = np.zeros((1, 1, 2))
    assert COSTS["cross-entropy", "softmax"].value(z, z + 0.5, y)[0] == pytest.approx(
        math.log(2.0), rel=1e-15
    )
    assert COSTS["cross-entropy", "sigmoid"].value(z, z + 0.5, y)[0] == pytest.approx(
        2.0 * math.log(2.0), rel=1e-15
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_saturated_output_that_is_wrong_costs_its_z(dtype):
    # −ln σ(−1000) is 1000 + ln(1 + e^-1000), and −ln softmax is the difference of the z
    z = np.array([[[1000.0, -1000.0]]], dtype)
    wrong, right = np.array([[[0.0, 1.0]]], dtype), np.array([[[1.0, 0.0]]], dtype)
    for output, cost_of_wrong in (("sigmoid", 2000.0), ("softmax", 2000.0)):
        cost = COSTS["cross-entropy", output]
        a = z.copy()
        ACTIVATIONS[output].apply(a)
        out = np.empty_like(a)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert cost.value(z, a, wrong).tolist() == [cost_of_wrong]
            assert cost.value(z, a, right).tolist() == [0.0]
            for y in (wrong, right):
                cost.gradient(a, y, out)
                assert np.isfinite(out).all()


@pytest.mark.parametrize("cost, output", PAIRS)
def test_value_of_a_micro_batch_has_the_same_bits_beside_others(cost, output):
    z, a, y = drawn(cost, output, np.float32, (6, 37, 12))
    together = COSTS[cost, output].value(z, a, y)
    alone = [
        COSTS[cost, output].value(z[i : i + 1], a[i : i + 1], y[i : i + 1])[0] for i in range(6)
    ]
    assert together.tolist() == alone


def test_pairs():
    """Cross-entropy only where an output lies between 0 and 1; a matched pair is a pair."""
    for any_output in ("mse", "mae", "huber", "log-cosh"):
        assert {output for cost, output in COSTS if cost == any_output} == set(ACTIVATIONS)
    assert {output for cost, output in COSTS if cost == "gaussian-nll"} == {"identity"}
    assert {output for cost, output in COSTS if cost == "hinge"} == {"identity", "tanh"}
    assert {output for cost, output in COSTS if cost == "cross-entropy"} == {"sigmoid", "softmax"}
    assert MATCHED <= set(COSTS)
