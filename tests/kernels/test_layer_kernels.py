"""Holds activations, costs, updates and random numbers as compiled to their numpy twins, bit for bit, at every width."""

import numpy as np
import pytest
from widths import assert_same_bits, each_width, running

from distmlp.kernels import numpy_activations_and_costs, numpy_random, numpy_updates
from distmlp.kernels.numbers import Activation, CostFunction, Function, Rule

DTYPES = [np.float32, np.float64]
#: Rows and columns: below, at and above a register's lanes, the eight lanes of a sum, and a chunk of costs.
SHAPES = [(1, 1, 1), (2, 3, 1), (1, 2, 3), (2, 3, 7), (3, 1, 8), (1, 5, 9), (2, 2, 16), (1, 3, 17)]
SHAPES += [(2, 4, 33), (1, 2, 127), (1, 1, 128), (2, 1, 129), (1, 2, 300)]


def drawn(random, shape, dtype, special=True):
    """Numbers of many sizes, with some that are infinite, NaN, zero or subnormal among them."""
    x = (random.normal(size=shape) * 10.0 ** random.integers(-4, 3, shape)).astype(dtype)
    strange = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1000.0, -1000.0, 1e-40, -1e-310], dtype)
    if special:
        chosen = random.random(shape) < 0.1
        x[chosen] = random.choice(strange, np.count_nonzero(chosen))
    return x


def within(function, x):
    """x brought into the function's domain."""
    if "NEGATIVE" in function.name:
        return -np.abs(x)
    return np.clip(np.abs(x), 0.0, 1.0) if "FRACTION" in function.name else x


@each_width
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", Function)
def test_function(function, dtype, width):
    random = np.random.default_rng(1)
    for n in (0, 1, 2, 3, 5, 8, 13, 31, 64, 1000):
        found = within(function, drawn(random, n, dtype))
        expected = found.copy()
        with running(width) as kernels:
            kernels.function(function, found)
        numpy_activations_and_costs.function(function, expected)
        assert_same_bits(found, expected)


@each_width
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", Activation)
def test_activation_and_chain_rule(activation, dtype, width):
    random = np.random.default_rng(2)
    for shape in SHAPES:
        for special in (False, True):
            z, g = (drawn(random, shape, dtype, special) for _ in range(2))
            a, found = z.copy(), g.copy()
            numpy_activations_and_costs.activate(activation, a)
            with running(width) as kernels:
                kernels.activate(activation, z)
                kernels.chain_rule(activation, a, found)
            numpy_activations_and_costs.chain_rule(activation, a, g)
            assert_same_bits(z, a)
            assert_same_bits(found, g)


@each_width
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cost", CostFunction)
def test_cost(cost, dtype, width):
    random = np.random.default_rng(3)
    for shape in SHAPES:
        if cost == CostFunction.GAUSSIAN_NLL:
            shape = (*shape[:2], 2 * shape[2])  # a mean and a spread for each number
        for special in (False, True):
            z, a = drawn(random, shape, dtype, special), random.random(shape).astype(dtype)
            a.flat[0], a.flat[-1] = 0.0, 1.0
            y = random.random(shape).astype(dtype)
            found, expected = np.empty(shape[0]), np.empty(shape[0])
            found_gradient, expected_gradient = np.empty_like(a), np.empty_like(a)
            with running(width) as kernels:
                kernels.cost_values(cost, z, a, y, found)
                kernels.cost_gradient(cost, a, y, found_gradient)
            numpy_activations_and_costs.cost_values(cost, z, a, y, expected)
            numpy_activations_and_costs.cost_gradient(cost, a, y, expected_gradient)
            assert_same_bits(found, expected)
            assert_same_bits(found_gradient, expected_gradient)


@each_width
@pytest.mark.parametrize("floats", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", Rule)
def test_update(rule, dtype, floats, width):
    random = np.random.default_rng(4)
    whole = np.int32 if dtype == np.float32 else np.int64
    for k in (1, 2, 7, 8, 19, 100, 1001):
        total = random.integers(np.iinfo(whole).min, np.iinfo(whole).max, k, whole, endpoint=True)
        if floats:
            total = random.normal(size=k).astype(dtype)
        v, first = (random.normal(size=k).astype(dtype) for _ in range(2))
        second = random.random(k).astype(dtype)
        if rule in (Rule.RMSPROP, Rule.ADAGRAD):
            first = np.abs(first)
        arrays = (v, first if rule else None, second if rule in (Rule.ADAM, Rule.NADAM) else None)
        total[::5], first[::5] = 0, first[::5] * np.finfo(dtype).smallest_normal
        ends = np.array([*sorted(random.integers(0, k, 2)), k], np.int64)
        factors = random.random(3) * 1e-6
        penalties = np.array([[0.1, 0.0, 0.0], [0.0, 0.02, 0.01], [0.0, 0.0, 0.0]])
        how = (penalties, 0.5) if k % 2 else (None, np.inf)
        constants = (*how, 0.9, 0.1, 0.999, 1.0 - 0.999, 0.3, 1e-8, 0.4, 0.6)
        expected = [None if x is None else x.copy() for x in arrays]
        with running(width) as kernels:
            kernels.update(rule, total, *arrays, 0.1, factors, ends, *constants)
        numpy_updates.update(rule, total, *expected, 0.1, factors, ends, *constants)
        for one, other in zip(arrays, expected, strict=True):
            if one is not None:
                assert_same_bits(one, other)


@each_width
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_an_optimizer_remembers_is_never_subnormal(dtype, width):
    """Entries whose gradient is 0: the least normal number stays, what is smaller becomes 0, a NaN stays one."""
    least = np.finfo(dtype).smallest_normal
    before = np.array([2.0 * least, least, 1.5 * least, -1.5 * least, np.nan, np.inf], dtype)
    half = [2.0 * least / 2, 0.0, 0.0, 0.0, np.nan, np.inf]
    ends, factors = np.array([6], np.int64), np.ones(1)
    with running(width) as kernels:
        for update in (kernels.update, numpy_updates.update):
            for rule in (Rule.MOMENTUM, Rule.NESTEROV, Rule.RMSPROP, Rule.ADAM, Rule.NADAM):
                arrays = [before.copy(), before.copy() if rule in (Rule.ADAM, Rule.NADAM) else None]
                halved = (0.5, 0.0, 0.5, 0.0, 1.0, 1e-8, 0.0, 1.0)
                v, zero = np.ones(6, dtype), np.zeros(6, dtype)
                update(rule, zero, v, *arrays, 0.1, factors, ends, None, np.inf, *halved)
                for found in filter(lambda x: x is not None, arrays):
                    np.testing.assert_array_equal(found, np.array(half, dtype))
                    assert not np.signbit(found[1:4]).any()


@each_width
def test_normals(width):
    random = np.random.default_rng(5)
    for n in (0, 2, 4, 14, 16, 18, 1000):
        words = random.integers(0, 2**64, n, np.uint64)
        words[:1], words[1:2] = 0, 2**64 - 1
        found, expected = np.empty(n), np.empty(n)
        with running(width) as kernels:
            kernels.normals(words, found)
        numpy_random.normals(words, expected)
        assert_same_bits(found, expected)


@each_width
def test_shuffle(width):
    random = np.random.default_rng(6)
    for n in (1, 2, 5, 33, 64, 1000):
        words = random.integers(0, 2**64, n - 1, np.uint64)
        words[:1] = 2**64 - 1
        found, expected = np.arange(n), np.arange(n)
        cut = n // 3
        with running(width) as kernels:  # in two pieces, which is the same
            kernels.shuffle(found, words[:cut], n)
            kernels.shuffle(found, words[cut:], n - cut)
        numpy_random.shuffle(expected, words, n)
        assert found.tolist() == expected.tolist()
        assert sorted(found.tolist()) == list(range(n))


@each_width
def test_what_does_not_fit_is_refused(width):
    x, y = np.ones((2, 3), np.float32), np.ones((2, 3))
    ends, factors = np.array([6], np.int64), np.ones(1)
    with running(width) as kernels:
        for call in (
            lambda: kernels.activate(Activation.TANH, x[:, ::2]),
            lambda: kernels.activate(Activation.TANH, np.ones(3, np.int32)),
            lambda: kernels.activate(Activation.TANH, x.astype(x.dtype.newbyteorder())),
            lambda: kernels.chain_rule(Activation.TANH, x, y),
            lambda: kernels.chain_rule(Activation.TANH, y, y[:1].copy()),
            lambda: kernels.cost_values(CostFunction.MSE, x, x, x, np.ones(1, np.float32)),
            lambda: kernels.cost_values(CostFunction.MSE, x, x, x, np.ones(3)),
            lambda: kernels.cost_gradient(CostFunction.MSE, x, x, y),
            lambda: kernels.update(Rule.ADAM, x, x, x, None, 1.0, factors, ends, *[1.0] * 6),
            lambda: kernels.update(Rule.SGD, x, x, None, None, 1.0, factors, ends + 1, *[1.0] * 6),
            lambda: kernels.normals(np.ones(3, np.uint64), np.ones(3)),
            lambda: kernels.shuffle(np.arange(3), np.ones(4, np.uint64), 4),
        ):
            with pytest.raises(ValueError, match=r"\(.*\): "):
                call()


@each_width
@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_over_v_and_dropout(dtype, width):
    random = np.random.default_rng(6)
    whole = np.int32 if dtype == np.float32 else np.int64
    for k in (1, 2, 7, 8, 19, 129, 1001):
        x = random.normal(size=k).astype(dtype)
        total = random.integers(-(2**30), 2**30, k, whole)
        words = random.integers(0, 2**64, -(-k // 4), np.uint64)
        ends = np.array([*sorted(random.integers(0, k, 2)), k], np.int64)
        found, expected = np.empty(6), np.empty(6)
        out, expected_out = np.empty_like(x), np.empty_like(x)
        with running(width) as kernels:
            kernels.squares(x, ends, found[:3])
            kernels.squares(total, ends, found[3:])
            kernels.drop(x, words, 40000, 1.6384, out)
        numpy_updates.squares(x, ends, expected[:3])
        numpy_updates.squares(total, ends, expected[3:])
        numpy_updates.drop(x, words, 40000, 1.6384, expected_out)
        assert_same_bits(found, expected)
        assert_same_bits(out, expected_out)


@each_width
def test_random_words(width):
    """Of whole blocks and parts of one; of counters that do not run over, which none of this project's does."""
    key = np.array([2**64 - 1, 5], np.uint64)
    for first in (0, 2**32 - 1, 2**64 - 40):
        counter = np.array([first, 2**64 - 1, 2**63, 11], np.uint64)
        for n in (0, 1, 4, 5, 8, 12, 13, 97):
            found, expected = np.zeros((2, 3, n), np.uint64)
            with running(width) as kernels:
                kernels.random_words(key, counter, found)
            numpy_random.random_words(key, counter, expected)
            assert found.tolist() == expected.tolist()
    last = np.array([0, 0, 0, 2**64 - 3], np.uint64)
    with running(width) as kernels:
        kernels.random_words(key, last, np.zeros((2, 8), np.uint64))
    # the last two run over
    for *wrong, shape in (
        (key[:1], counter, (1, 8)),
        (key, counter[:3], (1, 8)),
        (key, counter, (1, 160)),
        (key, last, (3, 8)),
    ):
        with running(width) as kernels, pytest.raises(ValueError, match="random_words"):
            kernels.random_words(*wrong, np.zeros(shape, np.uint64))


@each_width
@pytest.mark.parametrize("dtype", DTYPES)
def test_hits(dtype, width):
    """Equal entries, infinities and NaNs among them: the first of the largest counts, and a NaN is the largest."""
    random = np.random.default_rng(8)
    for shape in SHAPES:
        a, classes = drawn(random, shape, dtype), max(shape[-1], 2)
        a.flat[::3] = a.flat[0]
        for labels in (random.integers(0, classes, shape[:-1]), np.zeros(shape[:-1], np.int64)):
            with running(width) as kernels:
                found = kernels.hits(a, labels)
            assert found == numpy_activations_and_costs.hits(a, labels)
