"""Holds initializers.py: moments, streams of their own, and the seed."""

import math

import numpy as np
import pytest

from distmlp.kernels import choice, numpy_products
from distmlp.mathematics.initializers import INITIALIZERS, initialize
from distmlp.mathematics.layout import Layout
from distmlp.mathematics.orthogonal import orthonormalize

LAYOUT = Layout((300, 200, 100))

#: name -> variance of w(l) from (n, m), variance of b(l), as published
VARIANCES = {
    "normal": (lambda n, m: 1.0, 1.0),
    "scaled-normal": (lambda n, m: 1.0 / m, 0.0),
    "he-normal": (lambda n, m: 2.0 / m, 0.0),
    "he-uniform": (lambda n, m: 2.0 / m, 0.0),
    "glorot-normal": (lambda n, m: 2.0 / (n + m), 0.0),
    "glorot-uniform": (lambda n, m: 2.0 / (n + m), 0.0),
    "lecun-normal": (lambda n, m: 1.0 / m, 0.0),
    "lecun-uniform": (lambda n, m: 1.0 / m, 0.0),
    "orthogonal": (lambda n, m: 1.0 / max(n, m), 0.0),
}


def test_every_initializer_has_its_moments_here():
    assert set(VARIANCES) == set(INITIALIZERS)


@pytest.mark.parametrize("name", sorted(INITIALIZERS))
def test_mean_and_variance(name):
    of_weights, of_biases = VARIANCES[name]
    w, b = LAYOUT.views(initialize(LAYOUT, name, 1, "float64"))
    for l in (1, 2):
        n, m = w[l].shape
        variance = of_weights(n, m)
        # five standard errors: of a mean √(s²/k); of a variance at most √(2/k) s²
        assert abs(w[l].mean()) < 5 * math.sqrt(variance / w[l].size)
        assert w[l].var() == pytest.approx(variance, rel=5 * math.sqrt(2 / w[l].size))
        if of_biases:
            assert b[l].var() == pytest.approx(of_biases, rel=5 * math.sqrt(2 / b[l].size))
        else:
            assert not b[l].any()


LIMITS = {
    "glorot-uniform": lambda n, m: math.sqrt(6.0 / (n + m)),
    "he-uniform": lambda n, m: math.sqrt(6.0 / m),
    "lecun-uniform": lambda n, m: math.sqrt(3.0 / m),
}


@pytest.mark.parametrize("name", LIMITS)
def test_a_uniform_one_fills_its_interval(name):
    w, _ = LAYOUT.views(initialize(LAYOUT, name, 1, "float64"))
    for l in (1, 2):
        limit = LIMITS[name](*w[l].shape)
        assert 0.999 * limit < np.abs(w[l]).max() <= limit


@pytest.mark.parametrize(
    "name", ["normal", "scaled-normal", "he-normal", "glorot-normal", "lecun-normal"]
)
def test_normal_has_a_normals_fourth_moment(name):
    w, _ = LAYOUT.views(initialize(LAYOUT, name, 1, "float64"))
    z = w[1] / w[1].std()
    assert (z**4).mean() == pytest.approx(3.0, abs=5 * math.sqrt(96 / z.size))


@pytest.mark.parametrize("name", sorted(INITIALIZERS))
def test_the_seed_alone_decides(name):
    once, again = initialize(LAYOUT, name, 7, "float32"), initialize(LAYOUT, name, 7, "float32")
    assert once.tobytes() == again.tobytes()
    assert once.tobytes() != initialize(LAYOUT, name, 8, "float32").tobytes()


def test_float32_is_float64_rounded():
    assert (
        initialize(LAYOUT, "normal", 1, "float32").tobytes()
        == initialize(LAYOUT, "normal", 1, "float64").astype("float32").tobytes()
    )


def test_each_tensor_has_a_stream_of_its_own():
    """Another width of layer 2 leaves w(1) as it was, and no two tensors are alike."""
    narrow, wide = Layout((30, 20, 10)), Layout((30, 20, 50))
    one, other = (
        layout.views(initialize(layout, "normal", 1, "float64"))[0] for layout in (narrow, wide)
    )
    assert one[1].tobytes() == other[1].tobytes()
    w, b = LAYOUT.views(initialize(LAYOUT, "normal", 1, "float64"))
    k = 100
    firsts = [x.ravel()[:k] for x in (w[1], w[2], b[1], b[2])]
    correlations = np.corrcoef(firsts) - np.eye(4)
    assert np.abs(correlations).max() < 5 / math.sqrt(k)


@pytest.mark.parametrize("layers", [(40, 100), (100, 40), (70, 70), (1, 5), (5, 1), (1, 1)])
def test_an_orthogonal_layer_keeps_lengths(layers):
    layout = Layout(layers)
    w = layout.views(initialize(layout, "orthogonal", 1, "float64"))[0][1]
    n, m = w.shape
    products = w @ w.T if n <= m else w.T @ w
    np.testing.assert_allclose(products, np.eye(min(n, m)), rtol=0, atol=2e-15)


def test_orthonormal_rows_are_those_of_a_qr_with_a_positive_diagonal():
    x = np.random.default_rng(3).normal(size=(70, 90))
    q, r = np.linalg.qr(x.T)
    found = x.copy()
    orthonormalize(found)
    np.testing.assert_allclose(found, (q * np.sign(np.diag(r))).T, rtol=0, atol=1e-12)


@pytest.mark.slow
def test_orthonormal_rows_are_the_same_bits_in_numpy(monkeypatch):
    x = np.random.default_rng(4).normal(size=(40, 41))
    once, again = x.copy(), x.copy()
    orthonormalize(once)
    monkeypatch.setattr(choice, "forward", numpy_products.forward)
    monkeypatch.setattr(choice, "backward", numpy_products.backward)
    orthonormalize(again)
    assert once.tobytes() == again.tobytes()
