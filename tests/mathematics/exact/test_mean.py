"""Holds the mean of the gradients: that it is the true one, over the true number of samples."""

import math
from fractions import Fraction
from typing import ClassVar

import numpy as np
import pytest
from simulated import gradients, micro_batches, one_pass
from summing import INTEGERS, NETWORKS, fresh, problem

from distmlp.mathematics.network import Network
from distmlp.mathematics.optimizers import SGD
from distmlp.mathematics.shards import Shards
from distmlp.parallel.communicator import SingleProcess
from distmlp.training.step import Step


class Keeping(SGD):
    """Gradient descent that keeps the ∇C of its last step."""

    kept: ClassVar[list] = []

    def advance(self, scalars):
        self.kept.clear()

    def update(self, v, mean, arrays, scalars, alpha):
        parts = np.split(mean.total.astype(v.dtype), mean.ends[:-1])
        self.kept += [part * v.dtype.type(f) for part, f in zip(parts, mean.factors, strict=True)]
        super().update(v, mean, arrays, scalars, alpha)


def true_mean(network, v, x, y):
    """(1/t) Σ ∇C_i, each sum over the t samples exactly rounded: from the δ and a that v's dtype gives."""
    t = len(x)
    p = one_pass(network, v, x[None], y[None])
    weights, biases = [], []
    for l in range(1, network.layout.N + 1):
        delta, a = p.delta[l][0].astype(np.float64), p.a[l - 1][0].astype(np.float64)
        terms = delta[:, :, None] * a[:, None, :]  # of float32 numbers these products are exact
        weights += [
            math.fsum(terms[:, j, k]) / t for j in range(delta.shape[1]) for k in range(a.shape[1])
        ]
        biases += [math.fsum(delta[:, j]) / t for j in range(delta.shape[1])]
    return np.array(weights + biases)


@pytest.mark.parametrize("dtype, tolerance", [("float32", 1e-6), ("float64", 1e-12)])
@pytest.mark.parametrize("S", [1, 2, 3, 8])
@pytest.mark.parametrize("name", NETWORKS)
def test_mean_is_the_true_mean(name, S, dtype, tolerance):
    """On its first grid, which its own gradients give, and on those that follow from step to step."""
    network, t = NETWORKS[name], 96
    cut = Shards(t, t, t // S)
    v, x, y = problem(network, dtype, t, seed=S)
    optimizer, state = Keeping(), fresh(v)
    step = Step(network, optimizer, dtype, True, SingleProcess(), cut.count)
    for _ in range(6):
        expected = true_mean(network, state.v, x, y)
        step.update(state, step.gradient(state, micro_batches(cut, range(S), x, y)), 0.1)
        found = np.concatenate(optimizer.kept)
        assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("S", [1, 3, 32])
@pytest.mark.parametrize("name", NETWORKS)
def test_sum_is_off_by_less_than_a_unit_a_micro_batch(name, S, dtype):
    """From the sum of the gradients that the GEMMs give, and nothing else is lost: 2^e is folded in without a rounding."""
    network, t = NETWORKS[name], 96
    cut = Shards(t, t, t // S)
    v, x, y = problem(network, dtype, t, seed=S)
    state, batches = fresh(v), micro_batches(cut, range(S), x, y)
    step = Step(network, SGD(), dtype, True, SingleProcess(), S)
    for _ in range(2):
        grid = step.gradient(state, batches)
        G = gradients(network, one_pass(network, state.v, batches[0].x, batches[0].y)).tolist()
        assert len(G) == S and len(batches) == 1
        units = step.message.gradient.tolist()
        for part, e in zip(network.layout.slices, grid.exponents, strict=True):
            for i in range(part.start, part.stop):
                assert abs(units[i] - sum(Fraction(row[i]) for row in G) * Fraction(2) ** e) < S
        step.update(state, grid, 0.5)


def test_mean_of_a_smaller_last_batch_is_over_its_own_samples():
    network, cut = NETWORKS["sigmoid"], Shards(53, 20, 8)
    v, x, y = problem(network, "float64", 13)
    optimizer, state = Keeping(), fresh(v)
    step = Step(network, optimizer, "float64", True, SingleProcess(), cut.count)
    grid = step.gradient(state, micro_batches(cut, range(cut.count), x, y, last=True))
    assert step.message.totals[0] == 13
    step.update(state, grid, 0.5)
    expected = true_mean(network, v, x, y)
    np.testing.assert_allclose(
        np.concatenate(optimizer.kept), expected, rtol=0, atol=1e-12 * np.abs(expected).max()
    )


def test_update_cut_into_pieces_reaches_every_parameter():
    """A v of several pieces, whose ends fall within tensors: v' = v − α ∇C entry by entry, from the message itself."""
    network = Network((300, 250, 3))
    assert network.layout.size > 2**16
    v, x, y = problem(network, "float64", 4)
    state, cut = fresh(v), Shards(4, 4, 2)
    step = Step(network, SGD(), "float64", True, SingleProcess(), 2)
    grid = step.gradient(state, micro_batches(cut, range(2), x, y))
    units = np.concatenate(
        [
            np.full(part.stop - part.start, 2.0**-e)
            for part, e in zip(network.layout.slices, grid.exponents, strict=True)
        ]
    )
    expected = v - 0.5 * (step.message.gradient * units / 4)
    step.update(state, grid, 0.5)
    np.testing.assert_allclose(state.v, expected, rtol=1e-14, atol=1e-16)
    assert (state.v != v).any()
