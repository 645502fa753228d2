"""Holds that no order of additions, and no number of ranks, changes a bit of a sum."""

import numpy as np
import pytest
from simulated import Part, micro_batches, on_ranks, sizes_of
from summing import INTEGERS, NETWORKS, content, fresh, problem

from distmlp.mathematics import exact_costs
from distmlp.mathematics.network import Network
from distmlp.mathematics.optimizers import SGD
from distmlp.mathematics.shards import Shards, deal
from distmlp.parallel.communicator import SingleProcess
from distmlp.training.step import Step


def added_up(messages, random, shape):
    """The messages' sum: one after another, or as a tree, or in pieces that travel by themselves as on a ring."""
    messages = [messages[i] for i in random.permutation(len(messages))]
    if shape == "ring":
        pieces = []
        for columns in np.array_split(np.arange(messages[0].size), min(7, messages[0].size)):
            turned = random.integers(len(messages))
            pieces.append(
                sum(
                    (m[columns] for m in messages[turned:] + messages[:turned]),
                    np.zeros(len(columns), messages[0].dtype),
                )
            )
        return np.concatenate(pieces)
    while len(messages) > 1:
        if shape == "chain":
            messages = (
                [messages[0] + messages[1], *messages[2:]]
                if len(messages) < 100
                else [sum(messages[1:], messages[0])]
            )
        else:
            arms = int(random.integers(2, 5))
            messages = [
                sum(messages[i + 1 : i + arms], messages[i]) for i in range(0, len(messages), arms)
            ]
    return messages[0]


def messages_of(step, state, cut, x, y, ranks, last=False):
    """What each of so many ranks sends in one step."""
    sent = []
    for mine in deal(cut.count, ranks):
        step.gradient(state, micro_batches(cut, mine, x, y, last))
        sent.append(step.comm.sent)
    return sent


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.slow
def test_sum_has_the_same_bits_for_1_to_4096_ranks_in_any_order(dtype):
    network, cut = Network((4, 5, 3)), Shards(10000, 6001, 2)
    assert cut.count == 3001 and set(sizes_of(cut)) == {1, 2}
    v, x, y = problem(network, dtype, 6001)
    state = fresh(v)
    alone = Step(network, SGD(), dtype, True, SingleProcess(), cut.count)
    state.grid = alone.gradient(state, micro_batches(cut, range(cut.count), x, y))
    counting = alone.counting
    expected = content(network, alone.message.buffer, counting)
    assert alone.message.buffer.dtype == np.int64 and alone.sum_in(alone.message).all()
    assert alone.message.totals[0] == 6001
    step, random = (
        Step(network, SGD(), dtype, True, Part(), cut.count),
        np.random.default_rng(1),
    )
    for ranks in (1, 2, 3, 7, 64, 1000, 3001, 4096):
        messages = messages_of(step, state, cut, x, y, ranks)
        assert len(messages) == ranks
        for shape in ("chain", "tree", "ring"):
            assert content(network, added_up(messages, random, shape), counting) == expected


class PartlyKept(SingleProcess):
    """One rank, that keeps a part of its message."""

    def __init__(self, kept):
        self._kept = kept

    def addends(self, n, dtype):
        addends = super().addends(n, dtype)
        addends.kept = self._kept
        return addends


@pytest.mark.parametrize("pass_bytes", [1, 2**23])
@pytest.mark.parametrize("size", [1, 6, 300])
@pytest.mark.parametrize("exactly", [True, False])
@pytest.mark.parametrize(
    "kept",
    [
        slice(0, 0),
        slice(0, 7),
        slice(7, 9),
        slice(9, 23),
        slice(20, 38),
        slice(23, 1000),
        slice(1000, 1000),
    ],
)
def test_what_a_rank_keeps_and_how_many_passes_it_takes_change_no_message(
    kept, exactly, size, pass_bytes, monkeypatch
):
    """Of weights and biases, whose totals end up in memory past the caches or not, and nothing beside them."""
    network, cut = Network((4, 5, 3)), Shards(60 * size, 6 * size, size)
    v, x, y = problem(network, "float32", cut.batch_size)
    batches = [
        batch
        for shard in range(0, cut.count, 3)
        for batch in micro_batches(cut, range(shard, shard + 3), x, y)
    ]
    assert len(batches) == 2

    def made(comm):
        step, state = Step(network, SGD(), "float32", exactly, comm, cut.count), fresh(v)
        state.grid = step.gradient(state, batches)
        step.gradient(state, batches)
        return step.message.buffer.tobytes()

    expected = made(SingleProcess())
    monkeypatch.setattr("distmlp.training.gradient.PASS_BYTES", pass_bytes)
    assert made(PartlyKept(kept)) == expected


@pytest.mark.parametrize("name", NETWORKS)
def test_training_has_the_same_bits_on_threads_that_are_ranks(name):
    """Several steps through the first grid and the last, smaller step, P from one to more than the shards."""
    network, cut = NETWORKS[name], Shards(47, 20, 4)
    v, x, y = problem(network, "float32", 20, seed=3)
    left = cut.samples % cut.batch_size

    def train(comm):
        with np.errstate(all="ignore"):
            mine, state = deal(cut.count, comm.size)[comm.rank], fresh(v)
            step = Step(network, SGD(), "float32", True, comm, cut.count)
            for number in range(6):
                last = number % 3 == 2
                batches = micro_batches(
                    cut, mine, x[:left] if last else x, y[:left] if last else y, last
                )
                step.update(state, step.gradient(state, batches), 0.5)
            return (
                state.v.tobytes(),
                state.grid.exponents,
                state.totals[:2].tolist(),
                exact_costs.mean_cost(state.totals),
            )

    (expected,) = on_ranks(1, train)
    assert expected[0] != v.tobytes()
    for ranks in (2, 3, 5, 8):
        assert on_ranks(ranks, train) == [expected] * ranks


def one_number_a_micro_batch(numbers, exactly):
    """A step whose micro-batches have the gradients ±numbers, by ranks of one each: the messages that they send."""
    network, S = Network((1, 1), "identity", "identity"), len(numbers)
    cut, state = Shards(S, S, 1), fresh(np.zeros(2, np.float32))  # a = 0, so δ = −y, and x = 1
    x, y = np.ones((S, 1), np.float32), -np.array(numbers, np.float32)[:, None]
    step = Step(network, SGD(), "float32", exactly, SingleProcess(), S)
    state.grid = step.gradient(state, micro_batches(cut, range(S), x, y))
    parts = Step(network, SGD(), "float32", exactly, Part(), S)
    return state, messages_of(parts, state, cut, x, y, S)


def test_an_order_that_changes_a_float_sum_does_not_change_the_grids():
    numbers = [2.0**24, 1.0, -(2.0**24)]
    orders = [(0, 1, 2), (0, 2, 1)]

    _, plain = one_number_a_micro_batch(numbers, exactly=False)
    in_floats = [(plain[i] + plain[j] + plain[k])[0] for i, j, k in orders]
    assert in_floats == [0.0, 1.0]  # (2²⁴ + 1) − 2²⁴ loses the 1

    state, messages = one_number_a_micro_batch(numbers, exactly=True)
    first, second = (messages[i] + messages[j] + messages[k] for i, j, k in orders)
    assert first.tobytes() == second.tobytes()
    assert first[0] * 2.0 ** -state.grid.exponents[0] == 1.0


def test_random_orders_change_float_sums_and_not_the_grids():
    random = np.random.default_rng(0)
    numbers = random.normal(size=200).tolist()
    permutations = [random.permutation(200) for _ in range(20)]
    for exactly in (False, True):
        _, messages = one_number_a_micro_batch(numbers, exactly)
        sums = {
            sum((messages[i][:2] for i in order[1:]), messages[order[0]][:2]).tobytes()
            for order in permutations
        }
        assert (len(sums) == 1) == exactly
