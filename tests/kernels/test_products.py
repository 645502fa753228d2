"""Holds the three products to their definition, bit for bit: every width to the plain loops, and those to numpy."""

import ctypes
import itertools
from fractions import Fraction

import numpy as np
import pytest
from widths import _kernels, assert_same_bits, compiled, each_width, running

from distmlp.kernels import choice, numpy_activations_and_costs, numpy_products
from distmlp.kernels.numbers import Activation

WHOLE = {"float32": np.int32, "float64": np.int64}
each_real = pytest.mark.parametrize("real", sorted(WHOLE))
wide = pytest.mark.parametrize(
    "width", [w for w in _kernels.widths() if w != "plain"] if _kernels else []
)

#: Around the edges of registers, tiles, panels, chains and groups of samples.
EDGES = [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14, 15, 16, 17, 24, 28, 31, 32, 33, 40]
LONG = [127, 128, 129, 255, 256, 257, 511, 512, 513, 600]


def drawn(random, real, *shape, special=False):
    x = random.normal(size=shape).astype(real)
    if special:
        strange = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, 1e-310, 3e38, 1e308], "f8")
        with np.errstate(over="ignore"):
            x.flat[random.integers(0, x.size, 3)] = random.choice(strange, 3).astype(real)
    return x


def products(kernels, real, S, n, m, seed=0, activation=Activation.IDENTITY, special=False):
    """z, a and δ of a layer with n neurons over one with m, of S samples."""
    random = np.random.default_rng(seed)
    w, b = drawn(random, real, n, m, special=special), drawn(random, real, n)
    below, above = drawn(random, real, S, m, special=special), drawn(random, real, S, n)
    a, z, delta = np.full((S, n), 9, real), np.full((S, n), 9, real), np.full((S, m), 9, real)
    kernels.forward(w, b, below, a, z, activation)
    kernels.backward(w, above, below, delta, activation)
    return z, a, delta


def gradients(
    kernels, real, s, M, n, m, seed=0, exact=True, special=False, finite_scale=2.0**10, cut=0
):
    """Totals and largest entries of s micro-batches' gradients: stored, and added with a part past the caches.

    cut: those of the neurons before this one are made first, and then the others'.
    """
    random = np.random.default_rng(seed)
    delta, a = drawn(random, real, s * M, n, special=special), drawn(random, real, s * M, m)
    carrier = WHOLE[real] if exact else real
    made = []
    for first, last, kept in (
        (True, False, slice(0, 0)),
        (False, True, slice(n * m // 3, n * m // 2)),
    ):
        w, b = (random.integers(-1000, 1000, k).astype(carrier) for k in (n * m, n))
        T_w, T_b = np.zeros(s, real), np.full(s, 3, real)
        for neurons in ((0, cut), (cut, n)):
            given = delta, a, M, finite_scale, 64.0, w, b, T_w, T_b
            kernels.gradient(*given, first, last, kept.start, kept.stop, *neurons)
        made += [T_w, T_b]
        # What a number that is not finite counts as is nobody's business: the T_i tell.
        made += [] if special and exact else [w, b]
    return made


def assert_same(found, expected):
    for x, y in zip(found, expected, strict=True):
        if x.dtype.kind == "i":
            assert np.array_equal(x, y)
        else:
            assert_same_bits(x, y)


def shapes(count, *choices, seed):
    """All of some shapes' combinations where they are few, else so many of them."""
    everything = list(itertools.product(*choices))
    random = np.random.default_rng(seed)
    return [
        everything[i] for i in random.choice(len(everything), min(count, len(everything)), False)
    ]


@wide
@each_real
def test_products_of_small_shapes(real, width):
    every = range(1, 41)
    for S, n, m in shapes(250, every, every, every, seed=1) + shapes(
        150, EDGES, EDGES, EDGES, seed=2
    ):
        with running("plain") as kernels:
            expected = products(kernels, real, S, n, m)
        with running(width) as kernels:
            assert_same(products(kernels, real, S, n, m), expected)


@wide
@each_real
def test_products_of_long_chains_and_many_samples(real, width):
    for S, n, m in [
        *shapes(6, [1, 7, 20], [3, 33], LONG, seed=3),
        (200, 9, 260),
        (400, 9, 260),  # more rows than stay in a cache
        (400, 300, 3),
        (5, 290, 40),
        (3, 513, 7),
    ]:
        with running("plain") as kernels:
            expected = products(kernels, real, S, n, m)
        with running(width) as kernels:
            assert_same(products(kernels, real, S, n, m), expected)


@pytest.mark.slow
@wide
@each_real
@pytest.mark.parametrize("exact", [True, False])
def test_gradients_of_small_shapes(real, exact, width):
    every = range(1, 41)
    for M, n, m in shapes(150, every, every, every, seed=4) + shapes(
        100, EDGES, EDGES, EDGES, seed=5
    ):
        for s in (1, 3):
            with running("plain") as kernels:
                expected = gradients(kernels, real, s, M, n, m, exact=exact)
            with running(width) as kernels:
                assert_same(gradients(kernels, real, s, M, n, m, exact=exact), expected)


@wide
@each_real
@pytest.mark.parametrize("exact", [True, False])
def test_gradients_of_long_micro_batches_and_many_of_them(real, exact, width):
    cases = [(1, M, 3, 17) for M in LONG] + [(700, 1, 7, 9), (40, 30, 13, 5), (3, 200, 2, 20)]
    cases += [(1, 2300, 2, 18), (2, 4, 3, 700), (300, 2, 3, 1100), (2, 260, 20, 530)]
    for s, M, n, m in cases:
        with running("plain") as kernels:
            expected = gradients(kernels, real, s, M, n, m, exact=exact)
        with running(width) as kernels:
            assert_same(gradients(kernels, real, s, M, n, m, exact=exact), expected)


@pytest.mark.slow
@each_width
@each_real
@pytest.mark.parametrize("seed", range(6))
def test_products_with_numbers_that_are_not_finite_and_subnormal_ones(real, width, seed):
    for S, n, m in ((5, 7, 9), (16, 16, 16), (3, 20, 300)):
        for activation in (Activation.IDENTITY, Activation.RELU, Activation.SOFTMAX):
            case = {"seed": seed, "special": True, "activation": activation}
            expected = products(numpy_products, real, S, n, m, **case)
            with running(width) as kernels:
                assert_same(products(kernels, real, S, n, m, **case), expected)
        expected = gradients(numpy_products, real, 2, S, n, m, seed=seed, special=True)
        with running(width) as kernels:
            assert_same(gradients(kernels, real, 2, S, n, m, seed=seed, special=True), expected)


@each_width
@each_real
def test_products_are_those_of_numpy(real, width):
    for S, n, m in [*shapes(12, EDGES, EDGES, EDGES, seed=6), (3, 5, 300), (2, 300, 3)]:
        with running(width) as kernels:
            assert_same(products(kernels, real, S, n, m), products(numpy_products, real, S, n, m))
            for exact in (True, False):
                case = (real, 2, S, min(n, 9), min(m, 40))
                assert_same(
                    gradients(kernels, *case, exact=exact),
                    gradients(numpy_products, *case, exact=exact),
                )
    with running(width) as kernels:
        assert_same(
            gradients(kernels, real, 1, 300, 2, 3), gradients(numpy_products, real, 1, 300, 2, 3)
        )


@each_width
@each_real
@pytest.mark.parametrize("activation", Activation)
def test_what_follows_a_product(real, width, activation):
    # Softmax takes whole rows, also of layers that are wider than a block.
    for S, n, m in ((7, 10, 5), (3, 150, 270)):
        with running(width) as kernels:
            z, a, delta = products(kernels, real, S, n, m, activation=activation)
            plain_z, _, plain_delta = products(kernels, real, S, n, m)
        assert_same([z], [plain_z])
        numpy_activations_and_costs.activate(activation, plain_z)
        assert_same([a], [plain_z])
        random = np.random.default_rng(0)
        drawn(random, real, n, m), drawn(random, real, n)
        numpy_activations_and_costs.chain_rule(activation, drawn(random, real, S, m), plain_delta)
        assert_same([delta], [plain_delta])


@each_width
@each_real
def test_rows_that_begin_anywhere_in_memory(real, width):
    """A layer's weights lie where the layers before them end."""

    def moved(array, by):
        room = np.full(array.size + by + 9, np.nan, real)
        room[by : by + array.size] = array.ravel()
        return room, room[by : by + array.size].reshape(array.shape)

    random = np.random.default_rng(8)
    S, n, m = 13, 19, 37
    w, b, below, above = (drawn(random, real, *shape) for shape in ((n, m), (n,), (S, m), (S, n)))
    expected = np.empty((S, n), real), np.empty((S, m), real)
    numpy_products.forward(w, b, below, expected[0], None, Activation.IDENTITY)
    numpy_products.backward(w, above, below, expected[1], Activation.IDENTITY)
    for by in range(0, 9, 2):
        (_, w_), (_, b_), (_, below_), (_, above_) = (
            moved(x, by + i) for i, x in enumerate((w, b, below, above))
        )
        (a_room, a), (delta_room, delta) = (moved(np.zeros_like(x), by) for x in expected)
        with running(width) as kernels:
            kernels.forward(w_, b_, below_, a, None, Activation.IDENTITY)
            kernels.backward(w_, above_, below_, delta, Activation.IDENTITY)
        assert_same([a, delta], expected)
        for room, inside in ((a_room, a), (delta_room, delta)):
            assert np.isnan(room[:by]).all(), "written before the array"
            assert np.isnan(room[by + inside.size :]).all(), "written behind the array"


@each_width
@each_real
def test_a_stack_is_its_samples_one_after_another(real, width):
    random = np.random.default_rng(9)
    w, b, below = drawn(random, real, 6, 11), drawn(random, real, 6), drawn(random, real, 4, 5, 11)
    stacked, alone = np.empty((4, 5, 6), real), np.empty((4, 5, 6), real)
    with running(width) as kernels:
        kernels.forward(w, b, below, stacked, None, Activation.TANH)
        for i, j in np.ndindex(4, 5):
            kernels.forward(w, b, below[i, j : j + 1], alone[i, j : j + 1], None, Activation.TANH)
    assert_same([stacked], [alone])


def fma_cases(real):
    """Numbers whose fma is hard: any bits, cancellation, ties, the ends of the range."""
    random, unsigned = np.random.default_rng(10), np.dtype(real.replace("float", "uint"))
    info = np.finfo(real)
    N = 6000

    def numbers():
        bits = random.integers(0, np.iinfo(unsigned).max, N, unsigned, endpoint=True).view(real)
        normal = random.normal(size=N).astype(real)
        short = (random.integers(-(2**12), 2**12, N) * 2.0 ** random.integers(-20, 20, N)).astype(
            real
        )
        strange = np.array(
            [
                0.0,
                -0.0,
                1,
                -1,
                np.inf,
                -np.inf,
                np.nan,
                info.tiny,
                info.max,
                info.smallest_subnormal,
            ],
            real,
        )
        return np.choose(random.integers(0, 4, N), [bits, normal, short, random.choice(strange, N)])

    x, y, c = numbers(), numbers(), numbers()
    with np.errstate(all="ignore"):
        near = (-x * y * (1 + random.integers(-3, 4, N) * info.eps)).astype(real)
    return x, y, np.where(random.random(N) < 0.5, near, c)


@each_real
def test_numpys_fma_is_the_c_librarys(real):
    single = real == "float32"
    number, name = (ctypes.c_float, "fmaf") if single else (ctypes.c_double, "fma")
    fma = getattr(ctypes.CDLL(None), name)
    fma.restype, fma.argtypes = number, [number] * 3
    x, y, c = fma_cases(real)
    expected = np.array(
        [fma(*three) for three in zip(x.tolist(), y.tolist(), c.tolist(), strict=True)], real
    )
    assert_same_bits(numpy_products.fused(x, y, c), expected)


def test_numpys_fma_of_a_product_with_few_digits_too_many():
    """What rounding cuts off such a product can be added to c exactly, and then no part is left over."""
    random = np.random.default_rng(11)
    x, y, c = (
        (random.normal(size=20000) * 2.0**digits).round() / 2.0**digits for digits in (24, 30, 54)
    )
    numbers = zip(x.tolist(), y.tolist(), c.tolist(), strict=True)
    # A fraction becomes a float by one rounding.
    expected = [float(Fraction(p) * Fraction(q) + Fraction(r)) for p, q, r in numbers]
    assert_same_bits(numpy_products.fused(x, y, c), np.array(expected))


@each_width
@each_real
def test_fma(real, width):
    x, y, c = fma_cases(real)
    out = np.empty_like(x)
    with running(width) as kernels:
        kernels.fma(x, y, c, out)
    assert_same_bits(out, numpy_products.fused(x, y, c))


@compiled
@pytest.mark.parametrize(
    "call",
    [
        lambda k, w, b, x, a: k.forward(w, b[1:], x, a, None, 0),
        lambda k, w, b, x, a: k.forward(w, b, x[1:], a, None, 0),
        lambda k, w, b, x, a: k.forward(w, b, x, a, a[1:], 0),
        lambda k, w, b, x, a: k.forward(w, b, x.astype("f8"), a, None, 0),
        lambda k, w, b, x, a: k.forward(w, b, x, a.T, None, 0),
        lambda k, w, b, x, a: k.forward(w, b, x, a.astype("i4"), None, 0),
        lambda k, w, b, x, a: k.forward(w, b, x, a, None),
        lambda k, w, b, x, a: k.backward(w, a, x[1:], x, 0),
        lambda k, w, b, x, a: k.gradient(a, x, 2, 1.0, 1.0, w, b, b, b, 1, 1, 0, 0, 0, 7),
        lambda k, w, b, x, a: k.gradient(a, x, 5, 1.0, 1.0, w, b, b[:1], b[:1], 1, 1, 0, 0, 3, 8),
        lambda k, w, b, x, a: k.gradient(a, x, 0, 1.0, 1.0, w, b, b[:5], b[:5], 1, 1, 0, 0, 0, 7),
        lambda k, w, b, x, a: k.fma(b, b, b[1:], b),
    ],
)
def test_arrays_that_do_not_fit_are_refused(call):
    w, b, x, a = (np.zeros(shape, "f4") for shape in ((7, 3), (7,), (5, 3), (5, 7)))
    with pytest.raises(ValueError, match=r"forward\(|backward\(|gradient\(|fma\("):
        call(_kernels, w, b, x, a)


@each_width
@each_real
@pytest.mark.parametrize("exact", [True, False])
def test_some_neurons_at_a_time_are_all_of_them(real, exact, width):
    for n, m, cut in [(1, 5, 1), (2, 40, 1), (33, 70, 8), (70, 129, 13), (40, 7, 39)]:
        for s, M in ((3, 5), (1, 300)):
            with running(width) as kernels:
                whole = gradients(kernels, real, s, M, n, m, exact=exact)
                assert_same(gradients(kernels, real, s, M, n, m, exact=exact, cut=cut), whole)


@compiled
def test_nothing_is_made_of_no_samples():
    w, b = np.ones((7, 3), "f4"), np.ones(7, "f4")
    _kernels.forward(w, b, np.ones((0, 3), "f4"), np.ones((0, 7), "f4"), None, 0)
    _kernels.backward(w, np.ones((0, 7), "f4"), np.ones((0, 3), "f4"), np.ones((0, 3), "f4"), 0)


def test_the_choice_has_the_products():
    of = choice.compiled or numpy_products
    assert choice.forward is of.forward
    assert choice.backward is of.backward
    assert choice.gradient is of.gradient
    assert choice.fma is of.fma
