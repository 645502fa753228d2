"""Holds layout.py: where each weight and bias lies in v, in the order of the notes."""

import itertools

import naive
import numpy as np
import pytest

from distmlp.mathematics.layout import Layout

LAYERS = [(1, 1), (3, 2), (4, 3, 2), (2, 5, 1, 4), (3, 4, 2, 5, 2)]


def test_v_of_a_small_network_by_hand():
    layout = Layout((2, 3, 1))
    assert layout.N == 2
    assert layout.shapes == ((3, 2), (1, 3), (3,), (1,))
    assert layout.slices == (slice(0, 6), slice(6, 9), slice(9, 12), slice(12, 13))
    assert layout.size == 13
    w, b = layout.views(np.arange(13))
    assert w[0] is None and b[0] is None
    assert w[1].tolist() == [[0, 1], [2, 3], [4, 5]]
    assert w[2].tolist() == [[6, 7, 8]]
    assert b[1].tolist() == [9, 10, 11]
    assert b[2].tolist() == [12]


@pytest.mark.parametrize("layers", LAYERS, ids=str)
def test_views_have_the_order_of_the_notes(layers):
    layout = Layout(layers)
    v = np.arange(layout.size, dtype=np.float64)
    w, b = layout.views(v)
    naive_w, naive_b = naive.parts(layers, v.tolist())
    assert [x.tolist() for x in w[1:]] == naive_w[1:]
    assert [x.tolist() for x in b[1:]] == naive_b[1:]


@pytest.mark.parametrize("layers", LAYERS, ids=str)
def test_size_counts_every_weight_and_bias(layers):
    assert Layout(layers).size == sum((m + 1) * n for m, n in itertools.pairwise(layers))


def test_a_view_that_changes_changes_v():
    layout = Layout((2, 3, 1))
    v = np.zeros(layout.size)
    w, b = layout.views(v)
    w[1][2, 1] = 7.0
    b[2] += 1.0
    assert np.flatnonzero(v).tolist() == [5, 12]
    v[0] = -1.0
    assert w[1][0, 0] == -1.0
