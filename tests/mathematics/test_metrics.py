"""Metrics: which class outputs predict, and how many are right."""

import numpy as np

from distmlp.mathematics.metrics import count_hits, predicted_classes


def test_the_largest_output_is_the_class():
    a = np.array([[0.1, 0.7, 0.2], [0.9, 0.8, 0.0], [0.2, 0.2, 0.3]], np.float32)
    assert predicted_classes(a).tolist() == [1, 0, 2]


def test_of_equal_outputs_the_first_is_the_class():
    assert predicted_classes(np.array([[0.5, 0.5], [0.0, 0.0]])).tolist() == [0, 0]


def test_one_output_tells_0_from_1():
    assert predicted_classes(np.array([[0.4], [0.5], [0.6]])).tolist() == [0, 0, 1]


def test_hits_of_a_stack_of_micro_batches():
    a = np.array([[[0.1, 0.9], [0.8, 0.2]], [[0.3, 0.7], [0.6, 0.4]]])
    assert count_hits(a, np.array([[1, 0], [0, 0]])) == 3
    assert count_hits(np.array([[[0.9]], [[0.1]]]), np.array([[1], [1]])) == 1
