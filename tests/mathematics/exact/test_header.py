"""Holds a message's header: exact sums of costs, and room for the most micro-batches."""

import math
from fractions import Fraction

import numpy as np
import pytest
from simulated import Counting, micro_batches, one_pass
from summing import INTEGERS, NETWORKS, fresh, problem, units_of

from distmlp.mathematics import exact, exact_costs
from distmlp.mathematics.network import Network
from distmlp.mathematics.optimizers import SGD
from distmlp.mathematics.shards import Shards
from distmlp.parallel.communicator import SingleProcess
from distmlp.training.step import Step


def limbs(costs):
    return exact_costs.limbs_of(exact_costs.whole_cost(costs))


def mean_cost_of(messages, samples=1):
    totals = exact_costs.no_totals()
    totals[0] = samples
    for message in messages:
        totals[2:] += message
    return exact_costs.mean_cost(totals)


def test_cost_sums_are_exact():
    random = np.random.default_rng(5)
    whole = Fraction(2) ** exact_costs.COST_FRACTION
    for trial in range(200):
        costs = (10.0 ** random.uniform(-30, 30, 50) * random.uniform(1, 10, 50)).tolist()
        if trial % 2:
            costs = [
                c for c in costs if c >= 2.0**-75
            ]  # their last bit is 2⁻¹²⁸ or more: nothing is cut
        expected = sum(Fraction(math.floor(Fraction(c) * whole)) for c in costs) / whole
        if trial % 2:
            assert expected == sum(map(Fraction, costs))
        pieces = np.split(random.permutation(costs), np.sort(random.integers(0, len(costs), 7)))
        t = int(random.integers(1, 10**6))
        assert mean_cost_of([limbs(piece.tolist()) for piece in pieces], t) == float(expected / t)


def test_cost_sums_are_exact_where_floats_are_not():
    costs = [1e30, 1.0, 1e-20, 1e30]
    assert 1e30 + 1.0 == 1e30
    total = limbs(costs).astype(np.int64) - limbs([2e30]).astype(np.int64)
    assert sum(int(limb) << 16 * i for i, limb in enumerate(total)) == int(
        (1 + Fraction(1e-20)) * 2**exact_costs.COST_FRACTION
    )


def test_small_and_large_costs():
    assert mean_cost_of([limbs([])]) == 0.0
    assert mean_cost_of([limbs([0.0, 2.0**-128, 2.0**-129])]) == 2.0**-128
    just_below = math.nextafter(exact_costs.LARGEST_COST, 0.0)
    for S in (exact.MOST_IN_ONE, 2**16, exact.MOST_MICRO_BATCHES):
        total = S * exact_costs.whole_cost([just_below])
        assert mean_cost_of([exact_costs.limbs_of(total)], S) == just_below
        assert mean_cost_of([exact_costs.limbs_of(-total)], S) == -just_below


def test_a_step_adds_up_the_cost():
    network, t = NETWORKS["relu, softmax"], 60
    v, x, y = problem(network, "float32", t)
    cut, state = Shards(t, t, 7), fresh(v)
    step = Step(network, SGD(), "float32", True, SingleProcess(), cut.count)
    batches = micro_batches(cut, range(cut.count), x, y)
    costs = [c for batch in batches for c in network.C.value(*_output_of(network, v, batch))]
    for steps in (1, 2, 3):
        step.update(state, step.gradient(state, batches), 0.0)
        assert state.totals[0] == steps * t
        assert exact_costs.mean_cost(state.totals) == float(sum(map(Fraction, costs)) / t)


def _output_of(network, v, batch):
    p = one_pass(network, v, batch.x, batch.y)
    return p.z, p.a[-1], batch.y


@pytest.mark.parametrize("dtype", INTEGERS)
def test_header_holds_the_most_micro_batches_with_entries_cut_off(dtype):
    """Each of them one rank, and each largest entry and limb at its most: no count wraps."""
    most, integers = exact.MOST_IN_ONE, np.iinfo(np.int32)
    grid = exact.Grid.fitting([0, 0], dtype)
    units = units_of(grid, np.full((most, 2), 1e38, dtype))
    assert units.tolist() == [most * 2**exact.ROOM_BITS] * 2
    assert not grid.holds(units.tolist())
    assert units.max() <= integers.max
    assert most * (2**16 - 1) <= integers.max  # limbs
    total = np.zeros(2, np.int32)
    for _ in range(most):
        total += units_of(grid, np.full((1, 2), np.inf, dtype)).astype(np.int32)
    assert total.tolist() == units.tolist()


@pytest.mark.parametrize("S", [exact.MOST_IN_ONE, 8191, 10_001])
def test_message_of_the_most_micro_batches(S):
    """A whole step of them on a grid that is far too fine, and the sum that it is done again with."""
    network = Network((1, 1), "identity", "identity")
    cut, state, comm = Shards(S, S, 1), fresh(np.zeros(2, np.float32)), Counting()
    x, y = np.ones((S, 1), np.float32), np.full((S, 1), -3.0, np.float32)
    step = Step(network, SGD(), "float32", True, comm, S)
    state.grid = step.counting.grid([90, 90], "float32")
    grid = step.gradient(state, micro_batches(cut, range(S), x, y))
    assert comm.sums == 2
    assert (step.sum_in(step.message) * [2.0**-e for e in grid.exponents]).tolist() == [3.0 * S] * 2
    assert step.message.totals[0] == S and exact_costs.mean_cost(step.message.totals) == 4.5
