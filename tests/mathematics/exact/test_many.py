"""Holds sums of more than 64 micro-batches: counts of a few added up in twice the bits, and how precise that is."""

from fractions import Fraction

import numpy as np
import pytest
from simulated import Counting, gradients, micro_batches, on_ranks, one_pass
from summing import INTEGERS, NETWORKS, content, fresh, problem, state_bytes, whole_numbers

from distmlp.mathematics import exact, exact_costs, wide
from distmlp.mathematics.network import Network
from distmlp.mathematics.optimizers import SGD, Adam
from distmlp.mathematics.shards import Shards, deal
from distmlp.parallel.communicator import SingleProcess
from distmlp.training.step import Step

each_dtype = pytest.mark.parametrize("dtype", INTEGERS)


@each_dtype
def test_what_counts_follows_from_the_number_of_micro_batches_alone(dtype):
    few, many = (exact.Counting.of(dtype, S) for S in (64, 65))
    assert (few.grid, few.carrier, few.lanes, few.many) == (exact.Grid, INTEGERS[dtype], 1, False)
    assert (many.grid, many.carrier, many.many) == (exact.GridOfMany, np.int64, True)
    assert many.counted == INTEGERS[dtype]
    assert 8 * many.lanes == 2 * np.dtype(dtype).itemsize
    plain = exact.Counting.of(dtype, 10**6, exactly=False)
    assert (plain.grid, plain.carrier, plain.many) == (None, np.dtype(dtype), False)


@each_dtype
def test_wide_sums_are_those_of_whole_numbers(dtype):
    """Of more entries than are taken at a time, the largest and the smallest among them, in any grouping."""
    whole, k = INTEGERS[dtype], 2**14 + 77
    ends = np.iinfo(whole)
    random = np.random.default_rng(1)
    parts = [random.integers(ends.min, ends.max, k, whole, endpoint=True) for _ in range(9)]
    parts[0][:2], parts[1][:2] = (ends.min, ends.max), (ends.min, ends.max)
    lanes = exact.Counting.of(dtype, 65).lanes
    total = np.full(lanes * k, 7, np.int64)
    for i, part in enumerate(parts):
        wide.add(part, total, anew=i == 0)
    expected = [sum(numbers) for numbers in zip(*(part.tolist() for part in parts), strict=True)]
    assert whole_numbers(total, k) == expected
    found = np.empty(k, dtype)
    wide.to_floats(total, found)
    if dtype == "float32":
        nearest = np.array([float(n) for n in expected]).astype(dtype)  # sums below 2^53: exact
    else:
        nearest = np.array([float(n) for n in expected])
    assert found.tobytes() == nearest.tobytes()


def test_floats_of_a_wide_sum_do_not_depend_on_its_carries():
    sums = [(5 << 32) - 3, -(7 << 40) + 1, 0, -1, 2**62 + 12345]
    for carries in (0, 1, 1000):
        lower = [n & 0xFFFFFFFF for n in sums]
        upper = [n >> 32 for n in sums]
        total = np.array(
            [*(n + (carries << 32) for n in lower), *(n - carries for n in upper)], np.int64
        )
        found = np.empty(len(sums))
        wide.to_floats(total, found)
        assert found.tolist() == [float(n) for n in sums]


# The grid


def units_of(grid, largest):
    """largest: (tensors, s)."""
    units = np.empty(grid.gauges * len(largest), np.int64)
    finite = grid.units(np.asarray(largest, grid.dtype), units)
    assert finite == np.isfinite(largest).all()
    return units


@each_dtype
def test_units_count_micro_batches_by_the_size_of_their_largest_entry(dtype):
    grid, top = exact.GridOfMany([0, 0], dtype), 2.0 ** exact_bits(dtype)
    largest = [
        [top, 2 * top, 1e38, top / 2, top / 4, top / 8, top / 16, top / 32, 0.0],
        [np.nextafter(np.array(top, dtype), np.array(0, dtype)), 0, 0, 0, 0, 0, 0, 0, 1.0],
    ]
    units = units_of(grid, largest).reshape(grid.gauges, 2)
    assert units.T.tolist() == [[3, 1, 1, 1, 1], [0, 1, 0, 0, 0]]
    assert not grid.holds(units.ravel().tolist())
    assert grid.holds(units_of(grid, [[top / 2], [top / 2]]).tolist())


def exact_bits(dtype):
    return 8 * INTEGERS[dtype].itemsize - 1 - 3  # eight of them fit the whole numbers


@each_dtype
def test_eight_of_the_largest_that_a_grid_holds_fit_the_whole_numbers(dtype):
    below = np.nextafter(np.array(2.0 ** exact_bits(dtype), dtype), np.array(0, dtype))
    assert exact.GridOfMany([0], dtype).holds(units_of(exact.GridOfMany([0], dtype), [[below]]))
    assert exact.TOGETHER * int(np.rint(below)) <= np.iinfo(INTEGERS[dtype]).max


@each_dtype
def test_a_grid_of_many_coarsens_at_once_and_refines_by_a_bit(dtype):
    grid, top = exact.GridOfMany([10] * 5, dtype), 2.0 ** exact_bits(dtype)
    largest = [[top / 2, 0.0], [top / 4, 1.0], [top / 8, top / 16], [top / 16, 3.0], [top / 32, 0]]
    following = grid.next(units_of(grid, largest).tolist())
    assert following.exponents == (7, 8, 9, 10, 11) and type(following) is exact.GridOfMany
    assert following.next(units_of(following, [[top / 16]] * 5).tolist()) is following


@each_dtype
def test_the_fitting_grid_is_the_one_that_stays(dtype):
    """The first grid, from the largest entry itself, is where a grid comes to rest that follows step by step."""
    random = np.random.default_rng(3)
    for _ in range(50):
        T = random.lognormal(0.0, 5.0, (2, 100))
        counting = exact.Counting.of(dtype, 100)
        exponents = np.frexp(T.max(axis=1))[1] + counting.log2_in_one(100)
        fitting = exact.GridOfMany.fitting(exponents.tolist(), dtype)
        grid = exact.GridOfMany([e - 5 for e in fitting.exponents], dtype)
        for _ in range(6):
            grid = grid.next(units_of(grid, T * np.array(grid.scales)[:, None]).tolist())
        assert grid.exponents == fitting.exponents


# Steps


def many(network, dtype, S, M=2, seed=0):
    """v, and x, y and the sharding of a batch of S micro-batches of M samples at most."""
    t = S * M - 1
    v, x, y = problem(network, dtype, t, seed)
    return v, x, y, Shards(2 * t, t, M)


@each_dtype
def test_the_sum_is_that_of_the_rounded_gradients(dtype):
    """Against Python's whole numbers: nothing is lost, and nothing counted twice, whatever a pass takes."""
    network, S = NETWORKS["relu, softmax"], 77
    v, x, y, cut = many(network, dtype, S)
    step = Step(network, SGD(), dtype, True, SingleProcess(), cut.count)
    batches = micro_batches(cut, range(S), x, y)
    grid = step.gradient(fresh(v), batches)
    G = np.concatenate(
        [gradients(network, one_pass(network, v, batch.x, batch.y)) for batch in batches]
    )
    found = whole_numbers(step.message.gradient, network.layout.size)
    for part, scale in zip(network.layout.slices, grid.scales, strict=True):
        entries = np.rint(G[:, part] * np.array(scale, dtype)).astype(np.int64)
        assert found[part] == [sum(numbers) for numbers in entries.T.tolist()]
    floats = step.sum_in(step.message)
    assert floats.tolist() == [float(np.array(float(n), dtype)) for n in found]


@pytest.mark.slow
@pytest.mark.parametrize("pass_bytes", [1, 3000, 2**23])
@each_dtype
def test_v_has_the_same_bits_for_any_ranks_and_passes(dtype, pass_bytes, monkeypatch):
    """Several steps from the first grid on, the last one smaller, with more ranks than micro-batches too."""
    network, S = NETWORKS["softplus, numbers"], 70
    v, x, y, cut = many(network, dtype, S)
    left = cut.samples % cut.batch_size or 11
    cut = Shards(cut.batch_size + left, cut.batch_size, cut.micro_batch_size)

    def train(comm):
        with np.errstate(all="ignore"):
            mine, state = deal(cut.count, comm.size)[comm.rank], fresh(v)
            optimizer = Adam()
            state.arrays = {name: np.zeros_like(v) for name in optimizer.arrays}
            state.scalars = optimizer.scalars
            step = Step(network, optimizer, dtype, True, comm, cut.count)
            for number in range(5):
                last = number % 2 == 1
                rows = slice(left if last else None)
                batches = micro_batches(cut, mine, x[rows], y[rows], last)
                step.update(state, step.gradient(state, batches), 0.1)
            return state_bytes(state)[0], state.grid.exponents, exact_costs.mean_cost(state.totals)

    (expected,) = on_ranks(1, train)
    assert expected[0] != v.tobytes()
    monkeypatch.setattr("distmlp.training.gradient.PASS_BYTES", pass_bytes)
    for ranks in (1, 2, 3, 7, 72):
        assert on_ranks(ranks, train) == [expected] * ranks


@each_dtype
@pytest.mark.parametrize("too_fine", [5, 20, 60])
def test_a_step_of_many_that_overflows_is_summed_again(dtype, too_fine):
    network, S = NETWORKS["sigmoid"], 65
    v, x, y, cut = many(network, dtype, S)
    batches = micro_batches(cut, range(S), x, y)
    fitting = Step(network, SGD(), dtype, True, SingleProcess(), S)
    grid = fitting.gradient(fresh(v), batches)
    state, comm = fresh(v), Counting()
    state.grid = exact.GridOfMany([e + too_fine for e in grid.exponents], dtype)
    step = Step(network, SGD(), dtype, True, comm, S)
    found = step.gradient(state, batches)
    assert (comm.sums, comm.maxes) == (2, 1)
    assert found.exponents == grid.exponents
    assert step.message.buffer.tobytes() == fitting.message.buffer.tobytes()


def test_one_large_micro_batch_among_many_is_heard_by_all_ranks():
    network, S = NETWORKS["relu, softmax"], 80
    v, x, y, cut = many(network, "float32", S)
    small = Step(network, SGD(), "float32", True, SingleProcess(), S)
    grid = small.gradient(fresh(v), micro_batches(cut, range(S), x, y))
    x[-1] *= 1e6

    def one_step(comm):
        with np.errstate(all="ignore"):
            state = fresh(v)
            state.grid = grid
            step = Step(network, SGD(), "float32", True, comm, S)
            mine = deal(S, comm.size)[comm.rank]
            found = step.gradient(state, micro_batches(cut, mine, x, y))
            return found.exponents, content(network, step.message.buffer, step.counting)

    (expected,) = on_ranks(1, one_step)
    assert expected[0] < grid.exponents
    for ranks in (2, 5):
        assert on_ranks(ranks, one_step) == [expected] * ranks


@each_dtype
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_many_that_are_not_finite_are_an_error(dtype, value):
    network, S = NETWORKS["sigmoid"], 66
    v, x, y, cut = many(network, dtype, S)
    state = fresh(v)
    step = Step(network, SGD(), dtype, True, SingleProcess(), S)
    step.update(state, step.gradient(state, micro_batches(cut, range(S), x, y)), 0.1)
    y[-1] = value
    before = state_bytes(state)
    with np.errstate(all="ignore"), pytest.raises(exact.NotFinite):
        step.gradient(state, micro_batches(cut, range(S), x, y))
    assert state_bytes(state) == before


# Precision


def errors(S, M, dtype):
    """The largest error of a sum of S gradients over the largest entry, tensor by tensor: the grid's, and a plain sum's."""
    network = Network((40, 12, 10), "sigmoid", "softmax", "cross-entropy")
    random = np.random.default_rng(S)
    v, _, _ = problem(network, dtype, 1, seed=S)
    x = np.where(random.random((S, M, 40)) < 0.2, random.random((S, M, 40)), 0.0).astype(dtype)
    y = np.eye(10, dtype=dtype)[random.integers(0, 10, (S, M))]
    G = gradients(network, one_pass(network, v, x, y))
    plain = np.zeros(network.layout.size, dtype)
    for g in G:
        plain += g
    cut = Shards(S * M, S * M, M)
    step = Step(network, SGD(), dtype, True, SingleProcess(), S)
    batches = micro_batches(cut, range(S), x.reshape(S * M, -1), y.reshape(S * M, -1))
    grid = step.gradient(fresh(v), batches)
    counts = step.sum_in(step.message)
    worst = [0.0, 0.0]
    for part, scale in zip(network.layout.slices, grid.scales, strict=True):
        if dtype == "float64":
            true = np.array([float(sum(map(Fraction, column))) for column in G[:, part].T])
        else:
            true = G[:, part].astype(np.float64).sum(axis=0)
        for i, found in enumerate((counts[part] / scale, plain[part])):
            worst[i] = max(worst[i], np.abs(found - true).max() / np.abs(true).max())
    return worst


@pytest.mark.parametrize("S", [65, 128, 512, 2048, 8191])
def test_many_in_float32_are_added_up_better_than_plain_floats(S):
    found, plain = errors(S, 4, "float32")
    assert found < plain
    assert found < 3e-7


@pytest.mark.slow
@pytest.mark.parametrize("S", [65, 300])
def test_many_in_float64_are_added_up_better_than_plain_floats(S):
    found, plain = errors(S, 4, "float64")
    assert found < plain < 1e-13
