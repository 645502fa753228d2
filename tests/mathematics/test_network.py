"""Holds network.py: gradients against differences, loops, hand and scikit-learn; finite at the ends; bits that no neighbour changes."""

import warnings

import naive
import numpy as np
import pytest
from simulated import gradients, one_pass

from distmlp.mathematics.activations import ACTIVATIONS
from distmlp.mathematics.costs import COSTS, MATCHED
from distmlp.mathematics.network import Network, Workspace, accumulate, backward, forward

PAIRS = sorted(COSTS)

#: (activation, cost, output): the first activations with each pair of the first costs, and every other pair with one.
FIRST = ("identity", "relu", "sigmoid", "softmax", "softplus", "tanh")
CASES = [
    (activation, cost, output)
    for number, (cost, output) in enumerate(PAIRS)
    for activation in (
        FIRST
        if cost in ("mse", "cross-entropy") and output in FIRST
        else (sorted(ACTIVATIONS)[number % len(ACTIVATIONS)],)
    )
]
assert {activation for activation, _, _ in CASES} == set(ACTIVATIONS)
each_case = pytest.mark.parametrize("activation, cost, output", CASES)


def fitting(layers, cost):
    """Layers that end as the cost needs it."""
    return (*layers[:-1], layers[-1] + layers[-1] % 2) if cost == "gaussian-nll" else layers


def run(network, v, x, y):
    """One pass, and Σ ∇C of each micro-batch, (s, k); all in v's dtype."""
    p = one_pass(network, v, x, y)
    return p, gradients(network, p)


def costs(network, v, x, y):
    p, _ = run(network, v, x, y)
    return network.C.value(p.z, p.a[-1], y)


def targets(random, cost, output, shape):
    """Desired outputs that the cost has a meaning for."""
    if (cost, output) == ("cross-entropy", "softmax"):
        return random.dirichlet(np.ones(shape[-1]), shape[:-1])
    return random.uniform(0.05, 0.95, shape)


def problem(network, seed, s=2, M=3):
    """v, x and y in float64, with every z at a distance from relu's kink that a difference does not cross."""
    random = np.random.default_rng(seed)
    for _ in range(1000):
        v = random.normal(0.0, 0.8, network.layout.size)
        x = random.normal(size=(s, M, network.layers[0]))
        y = targets(random, network.cost, network.output, (s, M, network.layers[-1]))
        w, b = network.layout.views(v)
        a, nearest, alive = x, np.inf, True
        for l in range(1, network.layout.N + 1):
            z = a @ w[l].T + b[l]
            name = network.output if l == network.layout.N else network.activation
            if name in ("relu", "leaky-relu"):
                nearest = min(nearest, np.abs(z).min())
                alive = alive and (z > 0).any()
            a = z.copy()
            ACTIVATIONS[name].apply(a)
        if nearest > 1e-2 and alive:
            return v, x, y
    raise AssertionError("no problem away from the kinks was drawn")


def difference_quotients(network, v, x, y, h=1e-5):
    """(C(v + h) − C(v − h)) / 2h of each micro-batch, entry by entry."""
    quotients = np.empty((len(x), len(v)))
    for i in range(len(v)):
        step = np.zeros_like(v)
        step[i] = h
        quotients[:, i] = (costs(network, v + step, x, y) - costs(network, v - step, x, y)) / (
            2 * h
        )
    return quotients


@each_case
def test_gradient_is_the_difference_quotient(activation, cost, output):
    network = Network(fitting((3, 5, 4, 3), cost), activation, output, cost)
    v, x, y = problem(network, seed=11)
    _, G = run(network, v, x, y)
    assert np.abs(G).max() > 1e-3
    np.testing.assert_allclose(
        G, difference_quotients(network, v, x, y), rtol=1e-6, atol=1e-7 * np.abs(G).max()
    )


SHAPES = {
    "two layers": (3, 2),
    "three layers": (4, 3, 2),
    "five layers": (3, 4, 2, 5, 2),
    "one-neuron layers": (1, 1, 1),
    "one neuron in the middle": (3, 1, 2),
}


@pytest.mark.parametrize("layers", SHAPES.values(), ids=SHAPES)
@each_case
def test_gradient_is_that_of_plain_loops(layers, activation, cost, output):
    if output == "softmax" and layers[-1] == 1:
        layers = (*layers[:-1], 2)
    layers = fitting(layers, cost)
    network = Network(layers, activation, output, cost)
    random = np.random.default_rng(len(layers))
    v = random.normal(0.0, 0.8, network.layout.size)
    x = random.normal(size=(2, 3, layers[0]))
    y = targets(random, cost, output, (2, 3, layers[-1]))
    _, G = run(network, v, x, y)
    C = costs(network, v, x, y)
    for i in range(len(x)):
        loops_C, loops_G = naive.mean(
            layers, activation, output, cost, v.tolist(), x[i].tolist(), y[i].tolist()
        )
        assert C[i] / 3 == pytest.approx(loops_C, rel=1e-12)
        np.testing.assert_allclose(G[i] / 3, loops_G, rtol=1e-9, atol=1e-12)


def test_a_network_worked_by_hand():
    # w = 0 and b = 0 give z = 0, a = 1/2, σ' = 1/4; with y = 1: C = 1/8, δ = (1/2 − 1)/4 = −1/8, ∂C/∂w = δ x
    network = Network((2, 1))
    x, y = np.array([[[3.0, -5.0]]]), np.array([[[1.0]]])
    p, G = run(network, np.zeros(3), x, y)
    assert p.a[1].item() == 0.5
    assert p.delta[1].item() == -0.125
    assert G[0].tolist() == [-0.375, 0.625, -0.125]
    assert costs(network, np.zeros(3), x, y).tolist() == [0.125]


def test_a_published_example_of_two_sigmoid_layers():
    # M. Mazur, "A step by step backpropagation example" (2015): inputs 0.05 and 0.10, desired 0.01 and
    # 0.99, learning rate 0.5; the weights after one step, to the digits given there.
    network = Network((2, 2, 2))
    v = np.array([0.15, 0.20, 0.25, 0.30, 0.40, 0.45, 0.50, 0.55, 0.35, 0.35, 0.60, 0.60])
    x, y = np.array([[[0.05, 0.10]]]), np.array([[[0.01, 0.99]]])
    p, G = run(network, v, x, y)
    np.testing.assert_allclose(p.a[1].ravel(), [0.593269992, 0.596884378], atol=1e-9)
    np.testing.assert_allclose(p.a[2].ravel(), [0.75136507, 0.772928465], atol=1e-8)
    assert costs(network, v, x, y)[0] == pytest.approx(0.298371109, abs=1e-9)
    after = [
        0.149780716,
        0.19956143,
        0.24975114,
        0.29950229,
        0.35891648,
        0.408666186,
        0.511301270,
        0.561370121,
    ]
    np.testing.assert_allclose((v - 0.5 * G[0])[:8], after, atol=1e-8)


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid", "identity"])
@pytest.mark.parametrize("kind", ["numbers", "classes", "labels"])
def test_gradient_is_scikit_learns(activation, kind):
    neural_network = pytest.importorskip("sklearn.neural_network")
    random = np.random.default_rng(5)
    x = random.normal(size=(12, 6))
    settings = {
        "hidden_layer_sizes": (5, 4),
        "activation": {"sigmoid": "logistic"}.get(activation, activation),
        "solver": "sgd",
        "alpha": 0.0,
        "learning_rate_init": 1.0,
        "momentum": 0.0,
        "batch_size": 12,
        "shuffle": False,
        "random_state": 1,
    }
    if kind == "numbers":
        other, y = neural_network.MLPRegressor(**settings), random.normal(size=(12, 3))
        pair, learn = ("mse", "identity"), lambda: other.partial_fit(x, y)
    elif kind == "classes":
        other, labels = neural_network.MLPClassifier(**settings), np.arange(12) % 3
        pair, y = ("cross-entropy", "softmax"), np.eye(3)[labels]

        def learn():
            other.partial_fit(x, labels, classes=[0, 1, 2])
    else:
        other, y = neural_network.MLPClassifier(**settings), random.integers(0, 2, (12, 3))
        y[:2] = [[0, 0, 0], [1, 1, 1]]
        pair, learn = (
            ("cross-entropy", "sigmoid"),
            lambda: other.partial_fit(x, y, classes=[0, 1, 2]),
        )

    def parameters():
        return np.concatenate(
            [*(w.T.ravel() for w in other.coefs_), *(b.ravel() for b in other.intercepts_)]
        )

    learn()  # draws the parameters
    v = parameters()
    learn()  # one step with α = 1: v − v' is ∇C
    network = Network((6, 5, 4, 3), activation, pair[1], pair[0])
    _, G = run(network, v, x[None], y[None].astype(float))
    np.testing.assert_allclose(G[0] / 12, v - parameters(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("cost, output", sorted(MATCHED))
def test_matched_pair_is_the_general_path(cost, output):
    network = Network((3, 4, 3), "tanh", output, cost)
    assert network.matched
    v, x, y = problem(network, seed=3)
    p, _ = run(network, v, x, y)
    general = np.empty_like(p.delta[2])
    network.C.gradient(p.a[2], y, general)
    network.sigma[2].chain(p.a[2], general)
    np.testing.assert_allclose(p.delta[2], general, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("cost, output", sorted(set(COSTS) - MATCHED))
def test_an_unmatched_pair_keeps_the_slope(cost, output):
    network = Network(fitting((3, 4, 3), cost), "tanh", output, cost)
    assert not network.matched
    v, x, y = problem(network, seed=3)
    p, _ = run(network, v, x, y)
    pairs = zip(p.a[2].reshape(6, -1).tolist(), y.reshape(6, -1).tolist(), strict=True)
    slope = np.reshape([naive.cost_slope(cost, output, *pair) for pair in pairs], y.shape)
    J = np.array([[naive.jacobian(output, z) for z in micro_batch] for micro_batch in p.z.tolist()])
    np.testing.assert_allclose(
        p.delta[2], np.einsum("smi,smij->smj", slope, J), rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@each_case
def test_saturated_neurons_stay_finite(dtype, activation, cost, output):
    if cost == "gaussian-nll":
        return  # a variance of e^1000 is an infinity, and ends a training
    # the first hidden layer's z are ±1000 and 0, and so are the output's
    network = Network((1, 3, 3), activation, output, cost)
    v = np.zeros(network.layout.size, dtype)
    w, b = network.layout.views(v)
    w[1][:, 0] = [1000.0, -1000.0, 0.0]
    b[2][:] = [1000.0, -1000.0, 0.0]
    x = np.array([[[1.0], [-1.0], [0.0]]], dtype)
    for desired in np.eye(3, dtype=dtype):
        y = np.broadcast_to(desired, (1, 3, 3))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            p, G = run(network, v, x, y)
            C = network.C.value(p.z, p.a[-1], y)
        assert np.abs(p.z).max() >= 1000.0
        assert all(np.isfinite(array).all() for array in [*p.a, *p.delta[1:], G, C])


def displaced(array, elements):
    """The same numbers, contiguous, at an address that is `elements` items off a 64-byte boundary."""
    room = np.empty(array.nbytes + 64 + elements * array.itemsize, np.uint8)
    start = -room.ctypes.data % 64 + elements * array.itemsize
    moved = room[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    moved[...] = array
    return moved


STACKS = [
    ((5, 4, 3), 1),
    ((1, 1, 1), 3),
    ((17, 9, 1), 7),
    ((64, 30, 10), 8),
    ((33, 65, 47, 10), 13),
    ((784, 100, 10), 16),
    ((7, 3, 129, 2), 128),
    ((40, 30, 10), 5),
    ((17, 9, 1), 6),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layers, M", STACKS, ids=str)
@pytest.mark.parametrize(
    "activation, output, cost",
    [("sigmoid", "sigmoid", "mse"), ("softplus", "softmax", "cross-entropy")],
)
def test_bits_of_a_micro_batch_do_not_depend_on_its_neighbours_or_its_place(
    dtype, layers, M, activation, output, cost
):
    network = Network(layers, activation, output, cost)
    random = np.random.default_rng(M)
    s = 5
    v = random.normal(0.0, 0.5, network.layout.size).astype(dtype)
    x = random.normal(size=(s, M, layers[0])).astype(dtype)
    y = random.uniform(0.0, 1.0, (s, M, layers[-1])).astype(dtype)

    def numbers(p, i, y):
        """All that is made of one micro-batch, as bytes."""
        C = network.C.value(p.z, p.a[-1], y)
        arrays = [*p.a[1:], *p.delta[1:], p.z, gradients(network, p), C]
        return [array[i].tobytes() for array in arrays]

    together, _ = run(network, v, x, y)
    expected = [numbers(together, i, y) for i in range(s)]
    w, b = network.layout.views(displaced(v, 3))
    for start, stop in [(0, 1), (4, 5), (1, 3), (0, 5), (2, 5)]:
        # The micro-batches start … stop alone, at an address that is no multiple of a register's width.
        desired = displaced(y[start:stop], 1)
        p = Workspace(layers, dtype).view(stop - start, M, displaced(x[start:stop], 1))
        forward(network, w, b, p)
        backward(network, w, p, desired)
        assert [numbers(p, i, desired) for i in range(stop - start)] == expected[start:stop]


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("frozen", [(1,), (2,), (1, 2), (3,), (1, 3)])
def test_frozen_layers_have_no_gradients_and_the_others_theirs(frozen, first):
    """δ is made down to the lowest layer that learns, and all other gradients are what they are without frozen layers."""
    layers, s, M = (4, 6, 5, 3), 2, 7
    network = Network(layers)
    layout = network.layout
    random = np.random.default_rng(1)
    v = random.normal(size=layout.size)
    x, y = random.normal(size=(s, M, 4)), random.uniform(size=(s, M, 3))
    expected = gradients(network, one_pass(network, v, x, y)).sum(axis=0)
    lowest = min({1, 2, 3}.difference(frozen))
    w, b = layout.views(v)
    p = Workspace(layers, np.float64).view(s, M, x)
    for delta in p.delta[1:]:
        delta.fill(np.nan)
    forward(network, w, b, p)
    backward(network, w, p, y, lowest=lowest)
    assert all(np.isnan(delta).all() for delta in p.delta[1:lowest])
    found = np.full(layout.size, np.nan) if first else np.zeros(layout.size)
    accumulate(
        network,
        p,
        None,
        layout.parts(found),
        np.zeros((6, s)),
        first=first,
        last=True,
        kept=slice(0, layout.size),
        blocks=layout.blocks(layout.size),
        frozen=frozen,
    )
    for tensor, part in enumerate(layout.slices):
        if tensor % 3 + 1 in frozen:
            assert (found[part] == 0).all()
        else:
            np.testing.assert_allclose(found[part], expected[part], rtol=1e-12)


def test_arrays_of_one_pass_do_not_share_memory():
    p = Workspace((3, 5, 2), np.float64).view(2, 3, np.zeros((2, 3, 3)))
    mine = [*p.a, *p.delta[1:], p.z]
    for i, one in enumerate(mine):
        assert not any(np.shares_memory(one, other) for other in mine[:i])


def test_a_workspace_grows_and_is_viewed_in_any_shape():
    workspace = Workspace((3, 5, 2), np.float32)
    for s, M in ((1, 2), (4, 5), (2, 1), (5, 4)):
        x = np.zeros((s, M, 3), np.float32)
        p = workspace.view(s, M, x)
        assert p.a[0] is x
        assert [a.shape for a in p.a] == [(s, M, 3), (s, M, 5), (s, M, 2)]
        assert [d.shape for d in p.delta[1:]] == [(s, M, 5), (s, M, 2)]
        assert all(a.flags.c_contiguous for a in [*p.a, *p.delta[1:], p.z])
