"""Holds the compiled part of exact.py against its twin in numpy, bit for bit."""

from itertools import pairwise

import numpy as np
import pytest
from simulated import micro_batches
from summing import INTEGERS, NETWORKS, fresh, problem
from twins import COMPILED, compiled

from distmlp.mathematics import exact
from distmlp.mathematics.network import outer_sums
from distmlp.mathematics.optimizers import SGD, Mean
from distmlp.mathematics.shards import Shards
from distmlp.parallel.communicator import SingleProcess
from distmlp.training.step import Step


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
        expected, found = v.copy(), [v.copy(), v.copy()]
        mean = Mean(total, np.array([factor]), np.array([len(total)]))
        SGD().update(expected, mean, {}, {}, alpha)
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
            Step(network, SGD(momentum), "float32", True, SingleProcess(), 24, cut.count),
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
