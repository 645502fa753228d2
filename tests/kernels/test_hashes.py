"""Holds hashes of rows, as compiled, to their numpy twin, bit for bit, at every width."""

import numpy as np
import pytest
from widths import compiled, each_width, running

from distmlp.kernels import choice, numpy_hashes

ROWS = 37


def given(x_bytes, y_bytes, shift=0):
    """Rows of random bytes, x from a place in memory that is no multiple of anything."""
    random = np.random.default_rng(x_bytes)
    memory = random.integers(0, 256, ROWS * x_bytes + shift, np.uint8)
    x = memory[shift:].reshape(ROWS, x_bytes)
    y = None if y_bytes is None else random.integers(0, 256, (ROWS, y_bytes), np.uint8)
    words = -(-x_bytes // 8) + -(-(y_bytes or 0) // 8)
    return x, y, random.integers(0, 2**64, words, np.uint64)


@each_width
@pytest.mark.parametrize("y_bytes", [None, 1, 8, 40, 131])
def test_hashes_of_rows(width, y_bytes):
    """Of every length around a word and around the words of two registers, anywhere in memory."""
    order = np.random.default_rng(1).permutation(ROWS) + 2**40
    for x_bytes in (*range(1, 20), 31, 32, 63, 64, 65, 127, 128, 129, 200, 784):
        for shift in (0, 3):
            x, y, keys = given(x_bytes, y_bytes, shift)
            for numbers, first in ((None, 12345), (order, 0)):
                with running(width) as kernels:
                    found = kernels.hash_rows(x, y, keys, numbers, first)
                assert found == numpy_hashes.hash_rows(x, y, keys, numbers, first)


@each_width
def test_every_number_of_rows(width):
    """Around the rows of a register, those that share their keys, and those whose hashes are kept at a time."""
    random = np.random.default_rng(2)
    for x_bytes, y_bytes in ((3, 1), (16, 4), (200, 8)):
        words = -(-x_bytes // 8) + 1
        keys = random.integers(0, 2**64, words, np.uint64)
        for rows in (*range(20), 127, 128, 129, 131, 300):
            x, y = (random.integers(0, 256, (rows, n), np.uint8) for n in (x_bytes, y_bytes))
            with running(width) as kernels:
                found = kernels.hash_rows(x, y, keys, None, 5)
            assert found == numpy_hashes.hash_rows(x, y, keys, None, 5)
            assert (found == 0) == (rows == 0)


@compiled
def test_the_compiled_part_refuses_what_it_would_read_beyond():
    x, y, keys = given(10, 4)
    numbers = np.arange(ROWS)
    assert isinstance(choice.hash_rows(x, y, keys, numbers, 0), int)
    for wrong in (
        (x, y, keys[:2], numbers, 0),
        (x, None, keys, numbers, 0),
        (x, y[1:], keys, numbers, 0),
        (x, y, keys, numbers[1:], 0),
        (x[:, ::2], y, keys, numbers, 0),
        (x.view(np.int8), y, keys, numbers, 0),
        (x, y, keys.astype(np.uint32), numbers, 0),
        (x, y, keys, numbers),
    ):
        with pytest.raises(ValueError, match="hash_rows"):
            choice.hash_rows(*wrong)
