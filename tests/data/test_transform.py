"""transform.py: the same bits wherever inputs go on their way to the network."""

import numpy as np
import pytest

from distmlp.config.sections import DataConfig
from distmlp.data.transform import Affine, Transform, transform_of

STORED = {
    "uint8": np.arange(256, dtype=np.uint8).reshape(16, 16),
    "int64": np.array([[2**60 + 1, -5], [0, 7]]),
    "float16": np.array([[0.1, -3.5], [65504.0, 6e-8]], np.float16),
    "big-endian": np.array([[1.1, 2.2]], ">f8"),
    "columns first": np.asfortranarray(np.linspace(-1, 1, 12).reshape(3, 4)),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1.0, 1 / 255, -0.1, 0.0])
@pytest.mark.parametrize("stored", STORED)
def test_all_rows_and_those_taken_in_an_order_have_the_same_bits(stored, scale, dtype):
    x, transform = STORED[stored], Transform(scale)
    new = transform.applied(x, dtype)
    assert new.dtype == dtype
    assert new.flags.c_contiguous
    assert new.tobytes() == (x.astype(dtype) * dtype(scale)).tobytes("C")
    order = np.array([len(x) - 1, 0, 0, len(x) // 2])
    taken = np.full((4, x.shape[1]), 7, dtype)
    assert transform.take(x, order, taken, looks=True) == bool(np.isfinite(taken).all())
    assert taken.tobytes() == new[order].tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("stored", STORED)
def test_columns_that_are_scaled_have_the_same_bits_however_they_are_stored(stored, dtype):
    x = STORED[stored]
    shift, divisor = np.linspace(-3, 5, x.shape[1]), np.linspace(0.1, 7, x.shape[1])
    transform = Transform(inputs=Affine(shift, divisor))
    new = transform.applied(x, dtype)
    assert new.tobytes() == ((x.astype(np.float64) - shift) / divisor).astype(dtype).tobytes()
    order, taken = np.array([len(x) - 1, 0]), np.full((2, x.shape[1]), 7, dtype)
    assert transform.take(x, order, taken, looks=True)
    assert taken.tobytes() == new[order].tobytes()


def test_what_is_missing_is_filled_in_before_it_is_scaled_and_told_by_an_indicator_that_is_not():
    x = np.array([[np.nan, 4.0], [6.0, np.nan]])
    transform = Transform(
        inputs=Affine(np.array([1.0, 2.0]), np.array([2.0, 4.0])),
        fill=np.array([5.0, 10.0]),
        indicators=np.array([1]),
    )
    assert transform.applied(x, np.float32).tolist() == [[2.0, 0.5, 0.0], [2.5, 2.0, 1.0]]
    halved = Transform(0.5, fill=np.array([5.0, 10.0]), indicators=np.array([1]))
    assert halved.applied(x, np.float64).tolist() == [[2.5, 2.0, 0.0], [3.0, 5.0, 1.0]]


def test_stored_rows_stay_as_they_are():
    x = np.ones((2, 2), np.float32)
    new = Transform().applied(x, np.float32)
    new[:] = 5
    assert (x == 1).all()


def test_a_configs_scale_is_its_transform():
    assert transform_of(DataConfig(train="a.h5:/x", scale=0.25)) == Transform(0.25)
    assert transform_of(DataConfig(train="a.h5:/x")) == Transform()


def test_the_scale_is_rounded_to_the_networks_dtype_first():
    factor = Transform(0.1).factor(np.float32)
    assert isinstance(factor, np.float32)
    assert factor == np.float32(0.1)
