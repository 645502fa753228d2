"""transform.py: the same bits wherever inputs go on their way to the network."""

import numpy as np
import pytest

from distmlp.config.sections import DataConfig
from distmlp.data.transform import Transform, transform_of

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
