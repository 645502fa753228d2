"""Holds what becomes of NaN, infinities and sums of nothing: an error on every rank, or zero."""

import math

import numpy as np
import pytest
from simulated import Counting, Part, micro_batches, on_ranks
from summing import INTEGERS, NETWORKS, content, fresh, problem, state_bytes

from distmlp.mathematics import exact, exact_costs
from distmlp.mathematics.network import Network
from distmlp.mathematics.optimizers import SGD
from distmlp.mathematics.shards import Shards, deal
from distmlp.training.step import Step


def ranks_with(fault, ranks=3, exactly=True, dtype="float32"):
    """What each rank returns or raises in a step whose first sample has a fault."""
    network, cut = NETWORKS["softplus, numbers"], Shards(12, 12, 4)
    v, x, y = problem(network, dtype, 12)
    fault(v, x, y)

    def one_step(comm):
        with np.errstate(all="ignore"):
            state = fresh(v)
            mine = deal(cut.count, comm.size)[comm.rank]
            step = Step(network, SGD(), dtype, exactly, comm, cut.count)
            before = state_bytes(state)
            try:
                step.gradient(state, micro_batches(cut, mine, x, y))
            finally:
                assert state_bytes(state) == before
            return step.message.alarms.any()

    return on_ranks(ranks, one_step)


def put(place, value):
    def fault(v, x, y):
        {"v": v, "x": x[0], "y": y[0]}[place][0] = value

    return fault


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", ["v", "x", "y"])
def test_nan_and_infinity_are_an_error_on_every_rank(place, value, dtype):
    outcomes = ranks_with(put(place, value), dtype=dtype)
    assert [type(outcome) for outcome in outcomes] == [exact.NotFinite] * 3
    assert len({str(outcome) for outcome in outcomes}) == 1
    assert ranks_with(lambda v, x, y: None) == [False] * 3


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e38])
def test_a_nan_on_a_grid_that_was_fine_is_an_error(value):
    """As in the midst of training, where no first grid is asked for and the alarm in the message must tell."""
    network, cut = NETWORKS["softplus, numbers"], Shards(12, 12, 4)
    v, x, y = problem(network, "float32", 12)
    state, comm = fresh(v), Counting()
    step = Step(network, SGD(), "float32", True, comm, cut.count)
    step.update(state, step.gradient(state, micro_batches(cut, range(3), x, y)), 0.1)
    x[5] = value
    before = state_bytes(state)
    with pytest.raises(exact.NotFinite):
        step.gradient(state, micro_batches(cut, range(3), x, y))
    assert state_bytes(state) == before


@pytest.mark.parametrize("exactly", [True, False])
def test_a_gradient_that_overflows_under_a_finite_cost_is_an_error(exactly):
    """In plain floats too: v must not become infinite, nor a checkpoint of it good."""
    network = Network((1, 1, 1), "identity", "identity")
    v = np.array([1e5, 1e20, 0.0, 0.0], np.float32)  # δ(2) = 1e25, and δ(1) = 1e45 is no float32
    step = Step(network, SGD(), "float32", exactly, Counting(), 1)
    with pytest.raises(exact.NotFinite):
        step.gradient(
            fresh(v),
            micro_batches(
                Shards(1, 1, 1), range(1), np.ones((1, 1), np.float32), np.zeros((1, 1), np.float32)
            ),
        )


@pytest.mark.parametrize("large", [2.0**x for x in range(20, 64, 4)])
def test_finite_gradients_that_no_float32_grid_holds_end_the_step(large):
    """δ and a are finite, their product no float32: the step must end, not look for a grid for ever."""
    network = Network((1, 1, 1), "identity", "identity")
    v = np.array([large, large, 0.0, 0.0], np.float32)
    x, y = np.full((1, 1), large, np.float32), np.zeros((1, 1), np.float32)
    step = Step(network, SGD(), "float32", True, Counting(), 1)
    try:
        grid = step.gradient(fresh(v), micro_batches(Shards(1, 1, 1), range(1), x, y))
    except exact.NotFinite:
        assert (
            large**5 > 2.0**120
        )  # the largest entry is about large⁵, and the largest float32 2¹²⁸
    else:
        assert step.message.gradient[0] * 2.0 ** -grid.exponents[0] == large**5


@pytest.mark.parametrize("cost", [0.6 * exact_costs.LARGEST_COST, 1.5 * exact_costs.LARGEST_COST])
def test_whether_a_cost_is_too_large_does_not_depend_on_the_dealing(cost):
    """Two micro-batches of such a cost, on one rank or on two: both raise, or both give the same mean."""
    network, cut = Network((1, 1), "identity", "identity"), Shards(2, 2, 1)
    x, y = np.zeros((2, 1)), np.full((2, 1), math.sqrt(2.0 * cost))

    def one_step(comm):
        with np.errstate(all="ignore"):
            step = Step(network, SGD(), "float64", True, comm, 2)
            try:
                step.gradient(
                    fresh(np.zeros(2)), micro_batches(cut, deal(2, comm.size)[comm.rank], x, y)
                )
            except exact.NotFinite as error:
                return str(error)
            return content(network, step.message.buffer)

    (expected,) = on_ranks(1, one_step)
    assert isinstance(expected, str) == (cost > exact_costs.LARGEST_COST)
    assert on_ranks(2, one_step) == [expected] * 2


def test_zero_gradients():
    """Desired outputs that are met: sums of zero, a grid at its finest; and the next step is summed again."""
    network, cut = Network((3, 4, 2), "tanh", "identity"), Shards(8, 8, 2)
    _, x, _ = problem(network, "float32", 8)
    y = np.zeros((8, 2), np.float32)
    state, comm = fresh(np.zeros(network.layout.size, np.float32)), Counting()
    step = Step(network, SGD(), "float32", True, comm, 4)
    for _ in range(3):
        step.update(state, step.gradient(state, micro_batches(cut, range(4), x, y)), 0.5)
        assert not step.message.gradient.any() and not state.v.any()
        assert exact_costs.mean_cost(step.message.totals) == 0.0
    y[:] = 1.0
    comm.sums = 0
    grid = step.gradient(state, micro_batches(cut, range(4), x, y))
    assert comm.sums == 2
    bias = network.layout.slices[-1]
    assert (step.message.gradient[bias] * 2.0 ** -grid.exponents[-1]).tolist() == [-8.0, -8.0]


def test_an_idle_rank_sends_nothing_but_its_wish_to_stop():
    network = NETWORKS["sigmoid"]
    v, _, _ = problem(network, "float32", 1)
    state = fresh(v)
    state.grid = exact.Grid.fitting([0] * 4, "float32")
    step = Step(network, SGD(), "float32", True, Part(), 4)
    step.message.buffer[:] = 7
    step.gradient(state, [], stop=True)
    assert step.comm.sent.sum() == 1 and step.message.alarms[1] == 1
