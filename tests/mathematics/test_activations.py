"""Holds activations.py: values, slopes and bounds, against scalar formulas of the math module."""

import math

import naive
import numpy as np
import pytest

from distmlp.mathematics.activations import ACTIVATIONS

ELEMENTWISE = sorted(set(ACTIVATIONS) - {"softmax"})
Z = [-30.0, -8.0, -2.5, -1.0, -1e-3, 0.0, 1e-3, 0.3, 1.0, 4.0, 9.0, 30.0]


def applied(name, z, dtype=np.float64):
    a = np.array(z, dtype)
    ACTIVATIONS[name].apply(a)
    return a


def chained(name, z, g, dtype=np.float64):
    g = np.array(g, dtype)
    known = np.array(z, dtype) if ACTIVATIONS[name].of_z else applied(name, z, dtype)
    ACTIVATIONS[name].chain(known, g)
    return g


@pytest.mark.parametrize("dtype, eps", [(np.float64, 1e-14), (np.float32, 1e-6)])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_value(name, dtype, eps):
    a = applied(name, Z, dtype)
    expected = [naive.SIGMA[name](float(dtype(z))) for z in Z]
    np.testing.assert_allclose(a, expected, rtol=eps, atol=eps)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_chain_multiplies_by_the_slope(name):
    z = [x for x in Z if x != 0.0]  # at 0 relu has no slope
    g = np.linspace(-2.0, 3.0, len(z))
    expected = [naive.SLOPE[name](x) * y for x, y in zip(z, g, strict=True)]
    np.testing.assert_allclose(chained(name, z, g), expected, rtol=1e-10, atol=1e-14)


def test_relu_is_flat_at_its_kink():
    assert chained("relu", [0.0, -0.0], [5.0, -5.0]).tolist() == [0.0, 0.0]


def test_sigmoid_at_numbers_worked_by_hand():
    # σ(ln 3) = 1 / (1 + 1/3) = 3/4 and σ' = a (1 − a) = 3/16
    np.testing.assert_allclose(
        applied("sigmoid", [0.0, math.log(3.0), -math.log(3.0)]), [0.5, 0.75, 0.25], rtol=1e-15
    )
    np.testing.assert_allclose(
        chained("sigmoid", [0.0, math.log(3.0)], [8.0, 16.0]), [2.0, 3.0], rtol=1e-15
    )


ROWS = [[0.0, 0.0, 0.0], [1.0, 2.0, 3.0], [-5.0, 4.0, 0.5], [700.0, 701.0, 699.0]]


@pytest.mark.parametrize("row", ROWS)
def test_softmax_value(row):
    top = max(row)
    powers = [math.exp(z - top) for z in row]
    np.testing.assert_allclose(
        applied("softmax", [[row]])[0, 0], [p / math.fsum(powers) for p in powers], rtol=1e-14
    )


@pytest.mark.parametrize("row", ROWS[:3])
def test_softmax_chain_is_its_whole_jacobian(row):
    g = [0.7, -1.3, 2.0]
    J = naive.jacobian("softmax", row)
    expected = [sum(g[i] * J[i][j] for i in range(3)) for j in range(3)]
    np.testing.assert_allclose(
        chained("softmax", [[row]], [[g]])[0, 0], expected, rtol=1e-12, atol=1e-15
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_nan_is_not_lost(name, dtype):
    assert np.isnan(applied(name, [[[math.nan, 1.0]]], dtype)).any()
