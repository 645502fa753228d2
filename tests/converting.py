"""Sources to convert, what a conversion has written, and how it refuses."""

import struct

import h5py
import numpy as np
import pytest

from distmlp.data.conversion.convert import convert
from distmlp.data.conversion.sources import ConversionError

IMAGES = np.arange(5 * 3 * 2, dtype=np.uint8).reshape(5, 3, 2)
LABELS = np.array([3, 0, 9, 1, 3], np.uint8)


def idx(shape, data: bytes, kind=0x08) -> bytes:
    return struct.pack(f">HBB{len(shape)}I", 0, kind, len(shape), *shape) + data


IDX_IMAGES = idx((5, 3, 2), IMAGES.tobytes())
IDX_LABELS = idx((5,), LABELS.tobytes())


def read(path, group="/train"):
    with h5py.File(path) as file:
        return file[group]["x"][...], file[group]["y"][...]


def assert_holds(path, x, y, group="/train"):
    """The group holds x and y: the same numbers in the same dtypes and shapes."""
    for there, expected in zip(read(path, group), (x, y), strict=True):
        assert there.dtype == expected.dtype
        assert there.shape == expected.shape
        np.testing.assert_array_equal(there, expected)


def headlines(sentences):
    """The sentence on each group, without what was taken and what is doubtful."""
    return [sentence for sentence in sentences if not sentence.startswith(" ")]


def refusal(sources, out, *, exists=False, **options) -> str:
    """The sentence with which convert refuses; nothing may be left behind."""
    with pytest.raises(ConversionError) as caught:
        convert(sources, out, **options)
    assert out.exists() == exists
    assert list(out.parent.glob("*.writing")) == []
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


@pytest.fixture
def put(tmp_path):
    """put(name, content): the path of a new file; content is bytes, text, an array, or a dictionary of arrays."""

    def write(name, content):
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, str):
            path.write_text(content, encoding="utf-8")
        elif isinstance(content, dict):
            np.savez(path, **content)
        else:
            np.save(path, content)
        return path

    return write


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.h5"
