"""lbfgs.py against SciPy's L-BFGS-B: the same minima in as many evaluations; its state, and how it ends."""

import numpy as np
import pytest
from simulated import gradients, one_pass

from distmlp.mathematics.initializers import initialize
from distmlp.mathematics.lbfgs import LBFGS, downhill
from distmlp.mathematics.network import Network
from distmlp.mathematics.optimizers import Mean

TOLERANCE = 1e-5


def rosenbrock(v):
    a, b = v[:-1], v[1:]
    cost = np.sum(100.0 * (b - a * a) ** 2 + (1.0 - a) ** 2)
    gradient = np.zeros_like(v)
    gradient[:-1] = -400.0 * a * (b - a * a) - 2.0 * (1.0 - a)
    gradient[1:] += 200.0 * (b - a * a)
    return cost, gradient


def logistic(v):
    """Regression of 200 rows of 30 numbers, with a penalty."""
    random = np.random.default_rng(0)
    x, y = random.normal(size=(200, 30)), np.sign(random.normal(size=200))
    margin = y * (x @ v)
    cost = np.logaddexp(0.0, -margin).mean() + 0.005 * v @ v
    return cost, -x.T @ (y / (1.0 + np.exp(margin))) / 200.0 + 0.01 * v


NETWORK = Network((3, 6, 1), "tanh", "identity", "mse")


def surrogate(v):
    """A network that learns a smooth function of three numbers, with a penalty, as one micro-batch."""
    x = np.random.default_rng(1).uniform(-1.0, 1.0, (1, 150, 3))
    y = np.sin(2.0 * x[..., :1]) * x[..., 1:2] + x[..., 2:] ** 2
    p = one_pass(NETWORK, v, x, y)
    cost = NETWORK.C.value(p.z, p.a[-1], y).sum() / 150 + 0.5e-3 * v @ v
    return cost, gradients(NETWORK, p)[0] / 150 + 1e-3 * v


PROBLEMS = {
    "rosenbrock": (rosenbrock, np.tile([-1.2, 1.0], 10)),
    "logistic": (logistic, np.zeros(30)),
    "surrogate": (surrogate, initialize(NETWORK.layout, "glorot-uniform", 1, "float64")),
}


class Minimizing:
    """L-BFGS on a function, evaluation by evaluation."""

    def __init__(self, function, v, optimizer):
        self.function, self.optimizer, self.v = function, optimizer, v.copy()
        self.arrays = {name: np.zeros_like(v) for name in optimizer.arrays}
        self.scalars = optimizer.scalars
        self.evaluations = 0

    def evaluate(self):
        cost, gradient = self.function(self.optimizer.point(self.v, self.arrays, self.scalars))
        mean = Mean(gradient, np.ones(1), np.array([self.v.size]), cost=cost)
        self.optimizer.advance(self.scalars)
        self.optimizer.update(self.v, mean, self.arrays, self.scalars, 1.0)
        self.evaluations += 1

    def to_the_end(self):
        while not self.optimizer.reason_to_end(self.scalars):
            self.evaluate()
            assert self.evaluations < 2000, "it does not end"
        return self.optimizer.reason_to_end(self.scalars)


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_minimum_is_scipys_in_as_many_evaluations(name):
    optimize = pytest.importorskip("scipy.optimize")
    function, start = PROBLEMS[name]
    mine = Minimizing(function, start, LBFGS(10, TOLERANCE))
    assert mine.to_the_end() == "converged"
    cost, gradient = function(mine.v)
    assert np.abs(gradient).max() <= TOLERANCE
    theirs = optimize.minimize(
        function,
        start,
        jac=True,
        method="L-BFGS-B",
        options={"gtol": TOLERANCE, "ftol": 0.0, "maxcor": 10},
    )
    assert theirs.success
    if name != "surrogate":  # whose neurons may change places
        np.testing.assert_allclose(mine.v, theirs.x, atol=1e-3)
    assert cost == pytest.approx(theirs.fun, abs=1e-6)
    assert mine.evaluations <= 1.3 * theirs.nfev


@pytest.mark.parametrize("memory", [1, 3])
def test_with_less_memory_it_comes_to_the_same_minimum(memory):
    mine = Minimizing(*PROBLEMS["rosenbrock"], LBFGS(memory, TOLERANCE))
    assert mine.to_the_end() == "converged"
    np.testing.assert_allclose(mine.v, 1.0, atol=1e-4)


def test_v_is_only_ever_a_place_of_lower_cost():
    mine = Minimizing(*PROBLEMS["rosenbrock"], LBFGS(10, TOLERANCE))
    costs, places = [rosenbrock(mine.v)[0]], 0
    while not mine.optimizer.reason_to_end(mine.scalars):
        mine.evaluate()
        costs.append(rosenbrock(mine.v)[0])
        places += costs[-1] < costs[-2]
    assert costs == sorted(costs, reverse=True)
    assert places < mine.evaluations  # some evaluations were trials only


def test_the_step_is_minus_the_inverse_of_the_curvature():
    """With the pairs of as many directions as there are, H y = s for the newest pair: the secant equation."""
    mine = Minimizing(*PROBLEMS["logistic"], LBFGS(10, 0.0))
    while mine.scalars["pairs"] < 4:
        mine.evaluate()
    newest = (int(mine.scalars["pairs"]) - 1) % 10
    y, s = mine.arrays[f"y_{newest}"], mine.arrays[f"s_{newest}"]
    found = -downhill(y, mine.arrays, int(mine.scalars["pairs"]), 10)
    np.testing.assert_allclose(found, s, rtol=1e-9, atol=1e-12)


def test_penalties_are_part_of_the_cost_and_of_the_slope():
    """λ₂ in the mean's penalties gives the minimum of a function that has the penalty in it."""
    scale, center = np.array([1.0, 10.0, 100.0]), np.array([1.0, 2.0, 3.0])
    mine = LBFGS(5, 1e-9)
    v, arrays = np.zeros(3), {name: np.zeros(3) for name in mine.arrays}
    scalars, ends = mine.scalars, np.array([2, 3])
    while not mine.reason_to_end(scalars):
        point = mine.point(v, arrays, scalars)
        cost = float(0.5 * np.sum(scale * (point - center) ** 2))
        penalties = np.array([[5.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
        total = scale * (point - center) / 2.0  # and each entry worth 2
        mean = Mean(total, np.full(2, 2.0), ends, penalties, cost=cost)
        mine.advance(scalars)
        mine.update(v, mean, arrays, scalars, 1.0)
    assert mine.reason_to_end(scalars) == "converged"
    np.testing.assert_allclose(v, scale * center / (scale + np.array([5.0, 5.0, 0.0])), rtol=1e-8)


def test_at_the_end_of_the_precision_it_ends_with_the_line_search():
    mine = Minimizing(*PROBLEMS["surrogate"], LBFGS(10, 0.0))
    assert mine.to_the_end() == "line search"
    assert np.abs(surrogate(mine.v)[1]).max() < 1e-6


def test_a_minimum_is_seen_at_once():
    mine = Minimizing(rosenbrock, np.ones(4), LBFGS())
    assert (mine.to_the_end(), mine.evaluations) == ("converged", 1)
    assert (mine.v == 1.0).all()
