"""Holds exact.py and its use in step.py: means that are right, sums that no order changes, bounds that bound."""

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from simulated import Counting, Part, gradients, micro_batches, on_ranks, one_pass
from twins import COMPILED, compiled

from distmlp.mathematics import exact
from distmlp.mathematics.initializers import initialize
from distmlp.mathematics.network import FEW_SAMPLES, Network, outer_sums
from distmlp.mathematics.optimizers import SGD
from distmlp.mathematics.shards import Shards, deal
from distmlp.parallel.communicator import Alone
from distmlp.training.step import State, Step

INTEGERS = {"float32": np.dtype(np.int32), "float64": np.dtype(np.int64)}
NETWORKS = {
    "sigmoid": Network((12, 9, 5), "sigmoid", "sigmoid", "mse"),
    "relu, softmax": Network((10, 16, 8, 4), "relu", "softmax", "cross-entropy"),
    "softplus, numbers": Network((6, 11, 7, 2), "softplus", "identity", "mse"),
    "one layer": Network((8, 3), "tanh", "sigmoid", "cross-entropy"),
}


@pytest.fixture(autouse=True)
def _arithmetic_of_training():
    """The loop trains under these: a step on too fine a grid overflows on its way to being done again."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore"):
        yield


def problem(network, dtype, t, seed=0, scale=1.0):
    """v, and t samples."""
    random = np.random.default_rng(seed)
    v = scale * initialize(network.layout, "scaled-normal", seed + 1, dtype)
    x = random.normal(size=(t, network.layers[0])).astype(dtype)
    y = np.eye(network.layers[-1], dtype=dtype)[random.integers(0, network.layers[-1], t)]
    return v.astype(dtype), x, y


def fresh(v):
    return State(v.copy(), {}, {})


class Keeping(SGD):
    """Gradient descent that keeps the ∇C of its last step."""

    kept = []
    is_plain = False  # or `update` would not be called

    def advance(self, scalars):
        self.kept.clear()

    def update(self, v, g, t, arrays, scalars, alpha):
        self.kept.append(g.copy())
        super().update(v, g, t, arrays, scalars, alpha)


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
    step = Step(network, optimizer, dtype, True, Alone(), t, cut.count)
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
    step = Step(network, SGD(), dtype, True, Alone(), t, S)
    for _ in range(2):
        grid = step.gradient(state, batches)
        G = gradients(network, one_pass(network, state.v, batches[0].x, batches[0].y)).tolist()
        assert len(G) == S and len(batches) == 1
        units = step.message.gradient.tolist()
        for part, e in zip(network.layout.slices, grid.exponents):
            for i in range(part.start, part.stop):
                assert abs(units[i] - sum(Fraction(row[i]) for row in G) * Fraction(2) ** e) < S
        step.update(state, grid, 0.5)


def test_mean_of_a_smaller_last_batch_is_over_its_own_samples():
    network, cut = NETWORKS["sigmoid"], Shards(53, 20, 8)
    v, x, y = problem(network, "float64", 13)
    optimizer, state = Keeping(), fresh(v)
    step = Step(network, optimizer, "float64", True, Alone(), 20, cut.count)
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
    step = Step(network, SGD(), "float64", True, Alone(), 4, 2)
    grid = step.gradient(state, micro_batches(cut, range(2), x, y))
    units = np.concatenate(
        [
            np.full(part.stop - part.start, 2.0**-e)
            for part, e in zip(network.layout.slices, grid.exponents)
        ]
    )
    expected = v - 0.5 * (step.message.gradient * units / 4)
    step.update(state, grid, 0.5)
    np.testing.assert_allclose(state.v, expected, rtol=1e-14, atol=1e-16)
    assert (state.v != v).any()


# The compiled part


def awkward(random, dtype, s, n):
    """Counts, ties between two of them, subnormal numbers, zeros of either sign, and numbers as large as the grid allows."""
    largest = 2.0 ** (8 * np.dtype(dtype).itemsize - 2)
    G = random.normal(size=(s, n)) * 10.0 ** random.integers(-3, 8, (s, n))
    G[:, ::7] = random.integers(-1000, 1000, G[:, ::7].shape) + 0.5
    G[:, 1::11] = 0.0
    G[:, 2::11] = -0.0
    G[:, 3::11] = np.finfo(dtype).smallest_subnormal
    G[0, n // 2] = -largest / s
    return G.astype(dtype)


@compiled
@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("s, n", [(1, 1), (1, 7), (3, 8), (2, 33), (5, 1000), (1, 70001)])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("past_caches, shift", [(False, 0), (True, 0), (True, 1), (True, 5)])
def test_compiled_count_has_the_bits_of_the_one_in_numpy(past_caches, shift, first, s, n, dtype):
    """Also into memory that does not begin with a cache line, and into nothing beside it."""
    random = np.random.default_rng(s * n)
    G = awkward(random, dtype, s, n)
    if n > 1:
        # a column of a wider array, as the biases of one layer are
        G = np.concatenate([G, G], axis=1)[:, :n]
    before = random.integers(-(2**20), 2**20, n).astype(INTEGERS[dtype])
    found = []
    for count in (exact.count, exact.count_in_numpy):
        memory, largest = np.full(n + 40, 77, INTEGERS[dtype]), np.full(s, 3.0, dtype)
        start = -memory.ctypes.data // memory.itemsize % (64 // memory.itemsize) + shift
        total = memory[start : start + n]
        total[:] = before
        assert (
            count(
                G.copy() if count is exact.count_in_numpy else G, total, largest, first, past_caches
            )
            is None
        )
        assert (memory[:start] == 77).all() and (memory[start + n :] == 77).all()
        found.append((total.tobytes(), largest.tobytes()))
    assert found[0] == found[1]


@compiled
@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize(
    "s, M, n, m", [(1, 1, 1, 1), (2, 5, 30, 784), (3, 6, 10, 7), (1, 3, 2, 3000)]
)
@pytest.mark.parametrize(
    "first, past_caches", [(True, True), (True, False), (False, True), (False, False)]
)
def test_compiled_products_are_counted_as_those_of_numpy(first, past_caches, s, M, n, m, dtype):
    """Whole, and cut anywhere: within rows, and where one ends."""
    random, scale = np.random.default_rng(n * m), 2.0**14
    delta, a = (
        random.normal(size=(s, M, n)).astype(dtype),
        random.normal(size=(2, s, M, m)).astype(dtype).transpose(1, 2, 0, 3)[:, :, 1],
    )
    before = random.integers(-(2**20), 2**20, n * m).astype(INTEGERS[dtype])
    G = np.empty((s, n, m), dtype)
    outer_sums(delta * G.dtype.type(scale), np.ascontiguousarray(a), G)
    by_count, its_largest = before.copy(), np.zeros(s, dtype)
    exact.count(G.reshape(s, -1), by_count, its_largest, first, False)
    for cuts in ([0, n * m], [0, n * m // 3, n * m // 3 * 2, n * m], [0, m, n * m]):
        for count in (exact.count_products, exact.count_products_in_numpy):
            total, largest = before.copy(), np.zeros(s, dtype)
            for start, stop in pairwise(sorted(set(cuts))):
                count(delta, a, total[start:stop], largest, scale, start, first, past_caches)
            assert (
                total.tobytes() == by_count.tobytes() and largest.tobytes() == its_largest.tobytes()
            )


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_count_of_what_is_not_finite_stays_in_the_largest(bad, dtype):
    for count in (exact.count, exact.count_in_numpy):
        G, total, largest = (
            np.ones((3, 40), dtype),
            np.zeros(40, INTEGERS[dtype]),
            np.zeros(3, dtype),
        )
        G[1, 17] = bad
        count(G, total, largest, True, False)
        assert largest[[0, 2]].tolist() == [1, 1]
        assert np.isnan(largest[1]) if np.isnan(bad) else largest[1] == np.inf


@compiled
@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("bad", [None, np.nan, np.inf, -np.inf])
def test_compiled_units_are_those_of_numpy(bad, dtype):
    random = np.random.default_rng(7)
    largest = (
        (np.abs(random.normal(size=(4, 50))) * 10.0 ** random.integers(-10, 10, (4, 50)))
        .astype(dtype)
        .T
    )
    largest[::7] = 0.0
    largest[1::7] = np.round(largest[1::7])
    if bad is not None:
        largest[17, 2] = bad
    found = []
    for units in (exact.units, exact.units_in_numpy):
        out = np.full(4, -1, INTEGERS[dtype])
        found.append((units(largest, 2.0**-3, 2.0**17, out), out[[0, 1, 3]].tolist()))
        assert bad == -np.inf or out[2] >= 2**17 * (bad is not None)
    assert found[0] == found[1] and found[0][0] == (bad is None)


@compiled
@pytest.mark.parametrize("dtype", INTEGERS)
def test_compiled_mean_has_the_bits_of_the_one_in_numpy(dtype):
    random, whole = np.random.default_rng(5), INTEGERS[dtype]
    total = random.integers(np.iinfo(whole).min, np.iinfo(whole).max, 10007, whole, endpoint=True)
    for factor in (1.0, 1 / 3, 2.0**-40 / 7, 0.1 / 60000):
        found = [np.empty(len(total), dtype) for _ in range(2)]
        exact.mean(total, factor, found[0])
        exact.mean_in_numpy(total, factor, found[1])
        assert found[0].tobytes() == found[1].tobytes()


@compiled
@pytest.mark.parametrize("dtype", INTEGERS)
def test_compiled_descent_has_the_bits_of_the_mean_and_the_optimizer(dtype):
    random, whole = np.random.default_rng(6), INTEGERS[dtype]
    total = random.integers(np.iinfo(whole).min, np.iinfo(whole).max, 10007, whole, endpoint=True)
    for factor, alpha in ((2.0**-31 / 3, 0.1), (2.0**-63 / 7, 3.0), (1.0, 1e-12)):
        v = random.normal(size=len(total)).astype(dtype)
        g, expected, found = np.empty_like(v), v.copy(), [v.copy(), v.copy()]
        exact.mean_in_numpy(total, factor, g)
        SGD().update(expected, g, np.empty_like(v), {}, {}, alpha)
        exact.descend(total, factor, alpha, found[0])
        exact.descend_in_numpy(total, factor, alpha, found[1])
        assert expected.tobytes() == found[0].tobytes() == found[1].tobytes() != v.tobytes()


@compiled
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("name", NETWORKS)
def test_training_has_the_same_bits_without_the_compiled_part(name, momentum, monkeypatch):
    network, cut = NETWORKS[name], Shards(96, 24, 5)
    v, x, y = problem(network, "float32", 24)
    found = []
    for part in ("", "_in_numpy"):
        for room, functions in COMPILED.items():
            for function in functions:
                monkeypatch.setattr(room, function, getattr(room, function + part))
        state, step = (
            fresh(v),
            Step(network, SGD(momentum), "float32", True, Alone(), 24, cut.count),
        )
        state.arrays.update({name: np.zeros_like(v) for name in step.optimizer.arrays})
        for _ in range(5):
            step.update(
                state, step.gradient(state, micro_batches(cut, range(cut.count), x, y)), 0.3
            )
        found.append((state.v.tobytes(), state.totals.tolist(), state.grid.exponents))
    assert found[0] == found[1]


@compiled
def test_the_compiled_part_refuses_what_it_would_read_beyond():
    G, total, largest = np.zeros((2, 8), np.float32), np.zeros(8, np.int32), np.zeros(2, np.float32)
    for wrong in (
        (G[:, ::2], total[:4], largest),
        (G, total[:7], largest),
        (G, total, largest[:1]),
        (G, np.zeros(8, np.int64), largest),
        (G[0], total, largest),
    ):
        with pytest.raises(ValueError):
            exact.count(*wrong, True, False)
    with pytest.raises(TypeError):
        exact.count(G, total, largest, True)
    delta, a, total = (
        np.zeros((2, 3, 5), np.float32),
        np.zeros((2, 3, 4), np.float32),
        np.zeros(20, np.int32),
    )
    exact.count_products(delta, a, total, largest, 1.0, 0, True, False)
    for wrong in (
        (delta, a, total, largest[:1], 1.0, 0),
        (delta, a, total, largest, 1.0, 1),
        (delta, a, total, largest, 1.0, -1),
        (delta, a[:, :2], total, largest, 1.0, 0),
        (delta[:1], a, total, largest, 1.0, 0),
        (delta, a[0], total, largest, 1.0, 0),
        (np.zeros((2, 7, 5), np.float32), np.zeros((2, 7, 4), np.float32), total, largest, 1.0, 0),
        (delta[:, :0], a[:, :0], total, largest, 1.0, 0),
        (delta, a, np.zeros(20, np.int64), largest, 1.0, 0),
    ):
        with pytest.raises(ValueError):
            exact.count_products(*wrong, True, False)
    with pytest.raises(TypeError):
        exact.count_products(delta, a, total, largest, 1.0, 0, True)
    total = np.zeros(8, np.int32)
    with pytest.raises(ValueError):
        exact.mean(total, 1.0, np.zeros(7, np.float32))
    for wrong in ((G, np.zeros(7, np.int32)), (G, np.zeros(8, np.int64)), (total, total)):
        with pytest.raises(ValueError):
            exact.units(wrong[0], 1.0, 1.0, wrong[1])


# Order


def content(network, buffer):
    """What a message says.  Its cost as a number: limbs may carry or not, as the ranks added up their own."""
    message = exact.Message(network.layout, buffer)
    numbers = [part.tolist() for part in (message.units, message.alarms, message.totals[:2])]
    return message.gradient.tobytes(), numbers, exact.mean_cost(message.totals)


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
def test_sum_has_the_same_bits_for_1_to_4096_ranks_in_any_order(dtype):
    network, cut = Network((4, 5, 3)), Shards(10000, 6001, 2)
    assert cut.count == 3001 and set(cut.sizes) == {1, 2}
    v, x, y = problem(network, dtype, 6001)
    state = fresh(v)
    alone = Step(network, SGD(), dtype, True, Alone(), 6001, cut.count)
    state.grid = alone.gradient(state, micro_batches(cut, range(cut.count), x, y))
    expected = content(network, alone.message.buffer)
    assert alone.message.buffer.dtype == INTEGERS[dtype] and alone.message.gradient.all()
    assert alone.message.totals[0] == 6001
    step, random = (
        Step(network, SGD(), dtype, True, Part(), 6001, cut.count),
        np.random.default_rng(1),
    )
    for ranks in (1, 2, 3, 7, 64, 1000, 3001, 4096):
        messages = messages_of(step, state, cut, x, y, ranks)
        assert len(messages) == ranks
        for shape in ("chain", "tree", "ring"):
            assert content(network, added_up(messages, random, shape)) == expected


class PartlyKept(Alone):
    """One rank, that keeps a part of its message."""

    def __init__(self, kept):
        self._kept = kept

    def addends(self, n, dtype):
        addends = super().addends(n, dtype)
        addends.kept = self._kept
        return addends


@pytest.mark.parametrize("tile_bytes", [40, 256, 2**20])
@pytest.mark.parametrize("size", [FEW_SAMPLES, FEW_SAMPLES + 1])
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
def test_what_a_rank_keeps_changes_no_message(kept, exactly, size, tile_bytes, monkeypatch):
    """Of weights and biases; what is not kept, and nothing else, goes past the caches, and that once, when it is complete."""
    monkeypatch.setattr("distmlp.training.step.TILE_BYTES", tile_bytes)
    network, cut = Network((4, 5, 3)), Shards(60 * size, 6 * size, size)
    v, x, y = problem(network, "float32", cut.batch_size)
    batches = [
        batch
        for shard in range(0, cut.count, 3)
        for batch in micro_batches(cut, range(shard, shard + 3), x, y)
    ]
    assert len(batches) == 2
    stored = []

    def noted(add, at):
        """An add of exact, whose at-th argument is the part of the message, that says what it is asked for."""

        def add_and_note(*arguments):
            *_, first, past_caches = arguments
            start = (arguments[at].ctypes.data - message.ctypes.data) // message.itemsize
            stored.append((start, start + len(arguments[at]), first, past_caches))
            add(*arguments)

        return add_and_note

    def made(comm):
        nonlocal message
        step, state = (
            Step(network, SGD(), "float32", exactly, comm, cut.batch_size, cut.count),
            fresh(v),
        )
        message = step.message.buffer
        state.grid = step.gradient(state, batches)
        stored.clear()
        step.gradient(state, batches)
        return message.tobytes()

    message = None
    expected = made(Alone())
    assert not any(past for *_, past in stored)
    for name, at in {"count": 1, "count_products": 2, "add_floats": 1}.items():
        monkeypatch.setattr(exact, name, noted(getattr(exact, name), at))
    assert made(PartlyKept(kept)) == expected
    for entry in range(network.layout.size):
        here = [(first, past) for start, stop, first, past in stored if start <= entry < stop]
        assert [first for first, _ in here] == [True] + [False] * (len(here) - 1)
        assert [past for _, past in here] == [False] * (len(here) - 1) + [
            not kept.start <= entry < kept.stop
        ]


@pytest.mark.parametrize("name", NETWORKS)
def test_training_has_the_same_bits_on_threads_that_are_ranks(name):
    """Several steps through the first grid and the last, smaller step, P from one to more than the shards."""
    network, cut = NETWORKS[name], Shards(47, 20, 4)
    v, x, y = problem(network, "float32", 20, seed=3)
    left = cut.samples % cut.batch_size

    def train(comm):
        with np.errstate(all="ignore"):
            mine, state = deal(cut.count, comm.size)[comm.rank], fresh(v)
            step = Step(network, SGD(), "float32", True, comm, 20, cut.count)
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
                exact.mean_cost(state.totals),
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
    step = Step(network, SGD(), "float32", exactly, Alone(), S, S)
    state.grid = step.gradient(state, micro_batches(cut, range(S), x, y))
    parts = Step(network, SGD(), "float32", exactly, Part(), S, S)
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


# A grid that is too fine


def state_bytes(state):
    arrays = {name: array.tobytes() for name, array in state.arrays.items()}
    return (
        state.v.tobytes(),
        arrays,
        dict(state.scalars),
        state.grid,
        state.step,
        state.totals.tolist(),
    )


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("too_fine", [8, 20, 60])
def test_a_step_that_overflows_its_grid_is_summed_again(dtype, too_fine):
    network, t, S = NETWORKS["relu, softmax"], 64, 8
    cut = Shards(t, t, t // S)
    v, x, y = problem(network, dtype, t)
    batches = micro_batches(cut, range(S), x, y)
    fitting = Step(network, SGD(), dtype, True, Alone(), t, S)
    grid = fitting.gradient(fresh(v), batches)

    state, comm = fresh(v), Counting()
    state.grid = exact.Grid([e + too_fine for e in grid.exponents], dtype)
    step = Step(network, SGD(), dtype, True, comm, t, S)
    before = state_bytes(state)
    found = step.gradient(state, batches)
    assert (comm.sums, comm.maxes) == (2, 1)
    assert state_bytes(state) == before
    assert found.exponents == grid.exponents
    assert step.message.buffer.tobytes() == fitting.message.buffer.tobytes()
    step.update(state, found, 0.5)
    assert state.step == 1 and state.v.tobytes() != v.tobytes()


@pytest.mark.parametrize("dtype", INTEGERS)
def test_grids_agree_to_a_unit_a_micro_batch(dtype):
    """Whatever grid a sum is made on, it is off by less than a unit for each micro-batch."""
    network, t, S = NETWORKS["sigmoid"], 64, 8
    cut = Shards(t, t, t // S)
    v, x, y = problem(network, dtype, t)
    batches = micro_batches(cut, range(S), x, y)
    sums = []
    for coarser in (0, 12, 18):  # float64 gradients have fewer bits than their finest grids
        step, state, comm = Step(network, SGD(), dtype, True, Alone(), t, S), fresh(v), Counting()
        if coarser:
            state.grid = exact.Grid([e - coarser for e in finest.exponents], dtype)
            step.comm = comm
        grid = step.gradient(state, batches)
        finest = finest if coarser else grid
        assert comm.sums <= 1 and comm.maxes == 0
        units = np.array([2.0**-e for e in grid.exponents])
        sums.append(
            (
                units,
                [
                    step.message.gradient[part] * unit
                    for part, unit in zip(network.layout.slices, units)
                ],
            )
        )
    (fine_units, fine), *others = sums
    for units, coarse in others:
        assert (units > fine_units).all()
        for unit, fine_unit, a, b in zip(units, fine_units, coarse, fine):
            difference = np.abs(a - b).max()
            assert 0.0 < difference < S * (unit + fine_unit)


def test_one_ranks_overflow_is_heard_by_all():
    """The first rank's micro-batch alone is too large for the grid: every rank sums again, to the same bits."""
    network, cut = NETWORKS["softplus, numbers"], Shards(12, 12, 4)
    v, x, y = problem(network, "float32", 12)
    small = Step(network, SGD(), "float32", True, Alone(), 12, 3)
    grid = small.gradient(fresh(v), micro_batches(cut, range(3), x, y))
    x[:4] *= 1000.0

    def train(comm):
        with np.errstate(all="ignore"):
            state = fresh(v)
            state.grid = grid
            mine = deal(3, comm.size)[comm.rank]
            step = Step(network, SGD(), "float32", True, comm, 12, 3)
            found = step.gradient(state, micro_batches(cut, mine, x, y))
            return found.exponents, content(network, step.message.buffer)

    (expected,) = on_ranks(1, train)
    assert expected[0] < grid.exponents
    for ranks in (2, 3, 4):
        assert on_ranks(ranks, train) == [expected] * ranks


def test_a_grid_coarsens_at_once_and_refines_by_a_bit():
    grid = exact.Grid([10, 10, 10, 10], "float32")
    # whole room: 3 bits coarser; an eighth of it: as it is; far less, and nothing: finer by one
    assert grid.next([2**17 - 1, 2**14 - 1, 5, 0]).exponents == (7, 10, 11, 11)
    assert grid.next([2**14 - 1] * 4) is grid


def counted(grid, largest):
    """The units that a message would carry for micro-batches with these largest entries, (s, tensors)."""
    return units_of(grid, (largest * np.array(grid.scales)).astype(grid.dtype))


def units_of(grid, largest):
    units = np.empty(largest.shape[1], INTEGERS[grid.dtype.name])
    assert grid.units(largest, units) == np.isfinite(largest).all()
    return units


@pytest.mark.parametrize("dtype", INTEGERS)
def test_next_grid_leaves_headroom_and_no_more(dtype):
    """Where Σ T stays as it is, the grid that follows step by step holds 2^HEADROOM times it, and not 2^(HEADROOM + 2) times."""
    random = np.random.default_rng(3)
    for _ in range(50):
        largest = random.lognormal(0.0, 3.0, (8, 2))
        grid = exact.Grid.fitting(random.integers(-20, 30, 2).tolist(), dtype)
        for _ in range(80):
            grid = grid.next([int(n) for n in counted(grid, largest)])
        assert grid.holds(counted(grid, 2.0 ** (exact.HEADROOM - 0.1) * largest).tolist())
        assert not any(
            grid.holds([n]) for n in counted(grid, 2.0 ** (exact.HEADROOM + 2) * largest)
        )


@pytest.mark.parametrize("S", [64, 4096, exact.MOST_MICRO_BATCHES])
def test_a_grid_becomes_fine_again_however_many_micro_batches_there_are(S):
    """After a thousandfold fall of Σ T the grid follows, though each micro-batch's is rounded up by itself."""
    grid = exact.Grid.fitting([(S - 1).bit_length()], "float32")
    assert grid.holds(counted(grid, np.full((S, 1), 0.9)).tolist())
    before = grid.exponents[0]
    for _ in range(40):
        grid = grid.next([int(n) for n in counted(grid, np.full((S, 1), 0.9 / 1024))])
    assert grid.exponents[0] >= before + 8


# The largest entries


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("tile_bytes", [256, 2**20])
@pytest.mark.parametrize("name", ["sigmoid", "relu, softmax", "softplus, numbers"])
def test_a_message_carries_the_largest_entries_of_its_micro_batches(
    name, tile_bytes, dtype, monkeypatch
):
    """Whatever tiles and stacks they are made in, and if the entry is a negative one."""
    monkeypatch.setattr("distmlp.training.step.TILE_BYTES", tile_bytes)
    network, S = NETWORKS[name], 8
    v, x, y = problem(network, dtype, 4 * S)
    step, batches = (
        Step(network, SGD(), dtype, True, Alone(), 4 * S, S),
        micro_batches(Shards(4 * S, 4 * S, 4), range(S), x, y),
    )
    grid = step.gradient(fresh(v), batches)
    G = np.abs(gradients(network, one_pass(network, v, batches[0].x, batches[0].y)))
    largest = np.stack([G[:, part].max(axis=1) for part in network.layout.slices], axis=1).astype(
        np.float64
    )
    for tensor, (e, units) in enumerate(zip(grid.exponents, step.message.units.tolist())):
        unit = 2.0 ** (8 * INTEGERS[dtype].itemsize - 1 - exact.ROOM_BITS - e)
        assert units == np.ceil(largest[:, tensor] / unit).sum()


def test_units_round_every_micro_batch_up():
    grid = exact.Grid([0], "float64")
    unit = 2.0 ** (63 - exact.ROOM_BITS)
    assert units_of(
        grid, np.array([[0.0], [1e-9 * unit], [0.999 * unit], [1.001 * unit], [5.5 * unit]])
    ).tolist() == [0 + 1 + 1 + 2 + 6]


@pytest.mark.parametrize("dtype", INTEGERS)
def test_sums_whose_largest_entries_fit_stay_within_the_integers(dtype):
    """Grids on the edge: wherever `holds` says so, the largest possible sum is below the integers' largest."""
    random = np.random.default_rng(8)
    most = np.iinfo(INTEGERS[dtype]).max
    held = 0
    for _ in range(500):
        largest = random.lognormal(0.0, 2.0, (int(random.integers(1, 50)), 1))
        grid = exact.Grid([int(random.integers(-5, 10)) + 8 * INTEGERS[dtype].itemsize - 12], dtype)
        if grid.holds(counted(grid, largest).tolist()):
            held += 1
            assert (
                sum(Fraction(T) for T in largest[:, 0]) * Fraction(2) ** grid.exponents[0] <= most
            )
    assert 50 < held < 450


# What is not finite, and what is nothing


def ranks_with(fault, ranks=3, exactly=True, dtype="float32"):
    """What each rank returns or raises in a step whose first sample has a fault."""
    network, cut = NETWORKS["softplus, numbers"], Shards(12, 12, 4)
    v, x, y = problem(network, dtype, 12)
    fault(v, x, y)

    def one_step(comm):
        with np.errstate(all="ignore"):
            state = fresh(v)
            mine = deal(cut.count, comm.size)[comm.rank]
            step = Step(network, SGD(), dtype, exactly, comm, 12, cut.count)
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
    step = Step(network, SGD(), "float32", True, comm, 12, cut.count)
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
    step = Step(network, SGD(), "float32", exactly, Counting(), 1, 1)
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
    step = Step(network, SGD(), "float32", True, Counting(), 1, 1)
    try:
        grid = step.gradient(fresh(v), micro_batches(Shards(1, 1, 1), range(1), x, y))
    except exact.NotFinite:
        assert (
            large**5 > 2.0**120
        )  # the largest entry is about large⁵, and the largest float32 2¹²⁸
    else:
        assert step.message.gradient[0] * 2.0 ** -grid.exponents[0] == large**5


@pytest.mark.parametrize("cost", [0.6 * exact.LARGEST_COST, 1.5 * exact.LARGEST_COST])
def test_whether_a_cost_is_too_large_does_not_depend_on_the_dealing(cost):
    """Two micro-batches of such a cost, on one rank or on two: both raise, or both give the same mean."""
    network, cut = Network((1, 1), "identity", "identity"), Shards(2, 2, 1)
    x, y = np.zeros((2, 1)), np.full((2, 1), math.sqrt(2.0 * cost))

    def one_step(comm):
        with np.errstate(all="ignore"):
            step = Step(network, SGD(), "float64", True, comm, 2, 2)
            try:
                step.gradient(
                    fresh(np.zeros(2)), micro_batches(cut, deal(2, comm.size)[comm.rank], x, y)
                )
            except exact.NotFinite as error:
                return str(error)
            return content(network, step.message.buffer)

    (expected,) = on_ranks(1, one_step)
    assert isinstance(expected, str) == (cost > exact.LARGEST_COST)
    assert on_ranks(2, one_step) == [expected] * 2


def test_zero_gradients():
    """Desired outputs that are met: sums of zero, a grid at its finest; and the next step is summed again."""
    network, cut = Network((3, 4, 2), "tanh", "identity"), Shards(8, 8, 2)
    _, x, _ = problem(network, "float32", 8)
    y = np.zeros((8, 2), np.float32)
    state, comm = fresh(np.zeros(network.layout.size, np.float32)), Counting()
    step = Step(network, SGD(), "float32", True, comm, 8, 4)
    for _ in range(3):
        step.update(state, step.gradient(state, micro_batches(cut, range(4), x, y)), 0.5)
        assert not step.message.gradient.any() and not state.v.any()
        assert exact.mean_cost(step.message.totals) == 0.0
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
    step = Step(network, SGD(), "float32", True, Part(), 0, 4)
    step.message.buffer[:] = 7
    step.gradient(state, [], stop=True)
    assert step.comm.sent.sum() == 1 and step.message.alarms[1] == 1


# The header


def mean_cost_of(messages, samples=1):
    totals = exact.no_totals()
    totals[0] = samples
    for limbs in messages:
        totals[2:] += limbs
    return exact.mean_cost(totals)


def test_cost_sums_are_exact():
    random = np.random.default_rng(5)
    whole = Fraction(2) ** exact.COST_FRACTION
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
        assert mean_cost_of([exact.cost_limbs(piece.tolist()) for piece in pieces], t) == float(
            expected / t
        )


def test_cost_sums_are_exact_where_floats_are_not():
    costs = [1e30, 1.0, 1e-20, 1e30]
    assert 1e30 + 1.0 == 1e30
    total = exact.cost_limbs(costs).astype(np.int64) - exact.cost_limbs([2e30]).astype(np.int64)
    assert sum(int(limb) << 16 * i for i, limb in enumerate(total)) == int(
        (1 + Fraction(1e-20)) * 2**exact.COST_FRACTION
    )


def test_small_and_large_costs():
    assert mean_cost_of([exact.cost_limbs([])]) == 0.0
    assert mean_cost_of([exact.cost_limbs([0.0, 2.0**-128, 2.0**-129])]) == 2.0**-128
    just_below = math.nextafter(exact.LARGEST_COST, 0.0)
    assert (
        mean_cost_of(
            [exact.cost_limbs([just_below] * exact.MOST_MICRO_BATCHES)], exact.MOST_MICRO_BATCHES
        )
        == just_below
    )


def test_a_step_adds_up_the_cost():
    network, t = NETWORKS["relu, softmax"], 60
    v, x, y = problem(network, "float32", t)
    cut, state = Shards(t, t, 7), fresh(v)
    step = Step(network, SGD(), "float32", True, Alone(), t, cut.count)
    batches = micro_batches(cut, range(cut.count), x, y)
    costs = [c for batch in batches for c in network.C.value(*_output_of(network, v, batch))]
    for steps in (1, 2, 3):
        step.update(state, step.gradient(state, batches), 0.0)
        assert state.totals[0] == steps * t
        assert exact.mean_cost(state.totals) == float(sum(map(Fraction, costs)) / t)


def _output_of(network, v, batch):
    p = one_pass(network, v, batch.x, batch.y)
    return p.z, p.a[-1], batch.y


@pytest.mark.parametrize("dtype", INTEGERS)
def test_header_holds_the_most_micro_batches_with_entries_cut_off(dtype):
    """Each of them one rank, and each largest entry and limb at its most: no count wraps."""
    most, integers = exact.MOST_MICRO_BATCHES, np.iinfo(np.int32)
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


def test_message_of_the_most_micro_batches():
    """A whole step of them on a grid that is far too fine, and the sum that it is done again with."""
    network, S = Network((1, 1), "identity", "identity"), exact.MOST_MICRO_BATCHES
    cut, state, comm = Shards(S, S, 1), fresh(np.zeros(2, np.float32)), Counting()
    x, y = np.ones((S, 1), np.float32), np.full((S, 1), -3.0, np.float32)
    state.grid = exact.Grid([90, 90], "float32")
    step = Step(network, SGD(), "float32", True, comm, S, S)
    grid = step.gradient(state, micro_batches(cut, range(S), x, y))
    assert comm.sums == 2
    assert (step.message.gradient * [2.0**-e for e in grid.exponents]).tolist() == [3.0 * S] * 2
    assert step.message.totals[0] == S and exact.mean_cost(step.message.totals) == 4.5
