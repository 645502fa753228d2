"""Holds initializers.py and randomness.py: moments, streams of their own, and the seed."""

import math

import numpy as np
import pytest

from distmlp.mathematics.initializers import INITIALIZERS, initialize
from distmlp.mathematics.layout import Layout
from distmlp.mathematics.randomness import Purpose, generator

LAYOUT = Layout((300, 200, 100))

#: name -> variance of w(l) from (n, m), variance of b(l), as published
VARIANCES = {
    "normal": (lambda n, m: 1.0, 1.0),
    "scaled-normal": (lambda n, m: 1.0 / m, 0.0),
    "he-normal": (lambda n, m: 2.0 / m, 0.0),
    "glorot-uniform": (lambda n, m: 2.0 / (n + m), 0.0),
}


def test_every_initializer_has_its_moments_here():
    assert set(VARIANCES) == set(INITIALIZERS)


@pytest.mark.parametrize("name", sorted(INITIALIZERS))
def test_mean_and_variance(name):
    of_weights, of_biases = VARIANCES[name]
    w, b = LAYOUT.views(initialize(LAYOUT, name, 1, "float64"))
    for l in (1, 2):
        n, m = w[l].shape
        variance = of_weights(n, m)
        # five standard errors: of a mean √(s²/k); of a variance at most √(2/k) s²
        assert abs(w[l].mean()) < 5 * math.sqrt(variance / w[l].size)
        assert w[l].var() == pytest.approx(variance, rel=5 * math.sqrt(2 / w[l].size))
        if of_biases:
            assert b[l].var() == pytest.approx(of_biases, rel=5 * math.sqrt(2 / b[l].size))
        else:
            assert not b[l].any()


def test_glorot_uniform_fills_its_interval():
    w, _ = LAYOUT.views(initialize(LAYOUT, "glorot-uniform", 1, "float64"))
    for l in (1, 2):
        limit = math.sqrt(6.0 / sum(w[l].shape))
        assert 0.999 * limit < np.abs(w[l]).max() <= limit


@pytest.mark.parametrize("name", ["normal", "scaled-normal", "he-normal"])
def test_normal_has_a_normals_fourth_moment(name):
    w, _ = LAYOUT.views(initialize(LAYOUT, name, 1, "float64"))
    z = w[1] / w[1].std()
    assert (z**4).mean() == pytest.approx(3.0, abs=5 * math.sqrt(96 / z.size))


@pytest.mark.parametrize("name", sorted(INITIALIZERS))
def test_the_seed_alone_decides(name):
    once, again = initialize(LAYOUT, name, 7, "float32"), initialize(LAYOUT, name, 7, "float32")
    assert once.tobytes() == again.tobytes()
    assert once.tobytes() != initialize(LAYOUT, name, 8, "float32").tobytes()


def test_float32_is_float64_rounded():
    assert (
        initialize(LAYOUT, "normal", 1, "float32").tobytes()
        == initialize(LAYOUT, "normal", 1, "float64").astype("float32").tobytes()
    )


def test_each_tensor_has_a_stream_of_its_own():
    """Another width of layer 2 leaves w(1) as it was, and no two tensors are alike."""
    narrow, wide = Layout((30, 20, 10)), Layout((30, 20, 50))
    one, other = (
        layout.views(initialize(layout, "normal", 1, "float64"))[0] for layout in (narrow, wide)
    )
    assert one[1].tobytes() == other[1].tobytes()
    w, b = LAYOUT.views(initialize(LAYOUT, "normal", 1, "float64"))
    k = 100
    firsts = [x.ravel()[:k] for x in (w[1], w[2], b[1], b[2])]
    correlations = np.corrcoef(firsts) - np.eye(4)
    assert np.abs(correlations).max() < 5 / math.sqrt(k)


def drawn(seed, purpose, *place):
    return tuple(generator(seed, purpose, *place).integers(0, 2**63, 4).tolist())


def test_every_seed_purpose_and_place_has_its_own_stream():
    wheres = [(0,), (1,), (1, 0), (0, 1, 1), (1, 1, 0), (2, 0, 0)]
    places = [
        (seed, purpose, *where) for seed in (0, 1, 2) for purpose in Purpose for where in wheres
    ]
    # a short place is the long one with zeros before it
    distinct = {
        (seed, purpose, *([0] * (3 - len(place)) + place)) for seed, purpose, *place in places
    }
    assert len({drawn(*place) for place in places}) == len(distinct)


def test_a_stream_is_philox_as_random123_publishes_it():
    # Random123's known answers for philox4x64-10: key and counter all zeros.  numpy steps the counter
    # before it draws, so the answer to counter 0 comes from a counter of 2**256 − 1.
    counter = [2**64 - 1] * 4
    answers = np.random.Philox(
        key=np.zeros(2, np.uint64), counter=np.array(counter, np.uint64)
    ).random_raw(4)
    assert [f"{x:016x}" for x in answers.tolist()] == [
        "16554d9eca36314c",
        "db20fe9d672d0fdc",
        "d7e772cee186176b",
        "7e68b68aec7ba23b",
    ]
    # and the stream of a place is the one whose key is (seed, purpose), from the place's counter on
    bits = generator(5, Purpose.ORDER_ROWS, 7, 8, 9).bit_generator.state["state"]
    assert bits["key"].tolist() == [5, 3] and bits["counter"].tolist() == [0, 7, 8, 9]


@pytest.mark.parametrize("seed", [2**53 + 1, 2**63 - 1, 2**63 + 1, 2**64 - 1])
def test_no_two_seeds_are_one(seed):
    """Up to the largest that a config accepts: a seed must reach the key as the whole number that it is."""
    assert generator(seed, Purpose.INITIALIZE, 0).bit_generator.state["state"]["key"].tolist() == [
        seed,
        1,
    ]
    assert drawn(seed, Purpose.INITIALIZE, 0) != drawn(seed - 1, Purpose.INITIALIZE, 0)


def test_values_in_use_do_not_change():
    assert {purpose.name: purpose.value for purpose in Purpose} == {
        "INITIALIZE": 1,
        "ORDER_CHUNKS": 2,
        "ORDER_ROWS": 3,
    }
