"""Holds optimizers.py: updates against scalar recurrences of the papers, and piecewise ones bit for bit."""

import itertools
import math

import numpy as np
import pytest

from distmlp.mathematics.optimizers import SGD, Adam, Mean

ALPHA = 0.3
OPTIMIZERS = {
    "sgd": SGD(),
    "momentum": SGD(0.9),
    "nesterov": SGD(0.9, True),
    "adam": Adam(),
    "adam, other numbers": Adam(0.8, 0.95, 1e-3),
}


def gradients(k, steps=7, dtype="float64"):
    """∇C of several steps; some entries large, some tiny, some zero."""
    random = np.random.default_rng(4)
    g = random.normal(size=(steps, k)) * 10.0 ** random.integers(-6, 3, k)
    g[:, ::5] = 0.0
    return g.astype(dtype)


def mean_of(g):
    """∇C as it is: one part, of factor 1."""
    return Mean(g, np.ones(1), np.array([len(g)]))


def trained(optimizer, v, all_g, pieces=None):
    """v after a step of each ∇C, updated piece by piece."""
    v = v.copy()
    arrays = {name: np.zeros_like(v) for name in optimizer.arrays}
    scalars = dict(optimizer.scalars)
    for g in all_g:
        optimizer.advance(scalars)
        for part in pieces or [slice(None)]:
            optimizer.update(
                v[part],
                mean_of(g[part]),
                {name: array[part] for name, array in arrays.items()},
                scalars,
                ALPHA,
            )
    return v, arrays, scalars


def gradient_descent(v, all_g):
    for g in all_g:
        v = v - ALPHA * g
    return v


def classical_momentum(v, all_g, mu=0.9):
    # Sutskever et al., eqs. 1-2: velocity' = μ velocity − ε ∇f(θ), θ' = θ + velocity'
    velocity = 0.0
    for g in all_g:
        velocity = mu * velocity - ALPHA * g
        v = v + velocity
    return v


def nesterov(v, all_g, mu=0.9):
    # The same paper's eqs. 3-4 take ∇f at the point θ + μ velocity; followed from that look-ahead point,
    # where the gradient is, so that a list of gradients is enough: lookahead = θ + μ velocity.
    theta, velocity, lookahead = v, 0.0, v
    for g in all_g:
        velocity = mu * velocity - ALPHA * g
        theta = theta + velocity
        lookahead = theta + mu * velocity
    return lookahead


def adam(v, all_g, beta1=0.9, beta2=0.999, epsilon=1e-8):
    # Kingma and Ba, algorithm 1, with pow() for βᵗ
    m = s = 0.0
    for t, g in enumerate(all_g, 1):
        m = beta1 * m + (1.0 - beta1) * g
        s = beta2 * s + (1.0 - beta2) * g * g
        m_hat = m / (1.0 - beta1**t)
        s_hat = s / (1.0 - beta2**t)
        v = v - ALPHA * m_hat / (math.sqrt(s_hat) + epsilon)
    return v


RECURRENCES = {
    "sgd": gradient_descent,
    "momentum": classical_momentum,
    "nesterov": nesterov,
    "adam": adam,
    "adam, other numbers": lambda v, g: adam(v, g, 0.8, 0.95, 1e-3),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_update_is_the_papers_recurrence(name):
    k = 20
    v, g = np.linspace(-1.0, 1.0, k), gradients(k)
    found, _, _ = trained(OPTIMIZERS[name], v, g)
    expected = [RECURRENCES[name](v[i].item(), g[:, i].tolist()) for i in range(k)]
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-13)


def test_updates_worked_by_hand():
    v, g = np.array([1.0]), np.array([[2.0], [2.0]])
    # α = 0.3: 1 − 0.6 − 0.6; with μ = 1/2, u = 2 then 3: 1 − 0.6 − 0.9;
    # Nesterov adds μ u to ∇C: 1 − 0.3 (2 + 1) − 0.3 (2 + 1.5)
    assert trained(SGD(), v, g)[0] == pytest.approx(-0.2)
    assert trained(SGD(0.5), v, g)[0] == pytest.approx(-0.5)
    assert trained(SGD(0.5, True), v, g)[0] == pytest.approx(-0.95)
    # Adam's first step is α sign(∇C), whatever the gradient's size
    assert trained(Adam(), np.array([1.0, 1.0]), np.array([[1e-3, -1e3]]))[0] == pytest.approx(
        [0.7, 1.3], rel=1e-4
    )


@pytest.mark.parametrize("name", ["momentum", "nesterov", "adam"])
def test_update_is_scikit_learns(name):
    other = pytest.importorskip("sklearn.neural_network._stochastic_optimizers")
    k = 20
    v, g = np.linspace(-1.0, 1.0, k), gradients(k)
    g[g == 0.0] = 0.5
    theirs = v.copy()
    if name == "adam":
        theirs_optimizer, mine = (
            other.AdamOptimizer([theirs], ALPHA, epsilon=1e-300),
            Adam(epsilon=1e-300),
        )
    else:
        theirs_optimizer, mine = (
            other.SGDOptimizer([theirs], ALPHA, momentum=0.9, nesterov=name == "nesterov"),
            OPTIMIZERS[name],
        )
    for step in g:
        theirs_optimizer.update_params([theirs], [step])
    np.testing.assert_allclose(trained(mine, v, g)[0], theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_piecewise_update_has_the_bits_of_the_whole(name, dtype):
    k = 1013
    v, g = np.linspace(-1.0, 1.0, k).astype(dtype), gradients(k, dtype=dtype)
    whole_v, whole_arrays, _ = trained(OPTIMIZERS[name], v, g)
    random = np.random.default_rng(9)
    for _ in range(5):
        ends = [0, *sorted(random.choice(np.arange(1, k), 6, replace=False).tolist()), k]
        parts_v, parts_arrays, _ = trained(
            OPTIMIZERS[name], v, g, [slice(a, b) for a, b in itertools.pairwise(ends)]
        )
        assert parts_v.tobytes() == whole_v.tobytes()
        assert all(
            parts_arrays[key].tobytes() == whole_arrays[key].tobytes() for key in whole_arrays
        )


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_float32_stays_float32_and_near(name):
    v, g = np.linspace(-1.0, 1.0, 50), gradients(50)
    found, arrays, _ = trained(OPTIMIZERS[name], v.astype("float32"), g.astype("float32"))
    assert {x.dtype for x in (found, *arrays.values())} == {np.dtype("float32")}
    expected = trained(OPTIMIZERS[name], v, g)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def test_state_is_explicit():
    assert (
        SGD().arrays == ()
        and SGD(0.9).arrays == ("velocity",)
        and Adam().arrays == ("mean", "square")
    )
    optimizer, scalars = Adam(0.5, 0.25), Adam(0.5, 0.25).scalars
    optimizer.advance(scalars)
    optimizer.advance(scalars)
    assert scalars == {"beta1_power": 0.25, "beta2_power": 0.0625}
    assert optimizer.scalars == {"beta1_power": 1.0, "beta2_power": 1.0}  # another run begins anew


def test_a_run_cut_in_two_goes_on_from_its_state():
    v, g = np.linspace(-1.0, 1.0, 50), gradients(50)
    for optimizer in OPTIMIZERS.values():
        whole, _, _ = trained(optimizer, v, g)
        half, arrays, scalars = trained(optimizer, v, g[:3])
        for step in g[3:]:
            optimizer.advance(scalars)
            optimizer.update(half, mean_of(step), arrays, scalars, ALPHA)
        assert half.tobytes() == whole.tobytes()
