"""IDX files as sources, whole, damaged and of all types."""

import gzip

import h5py
import numpy as np
import pytest
from converting import IDX_IMAGES, IDX_LABELS, IMAGES, LABELS, assert_holds, headlines, idx, refusal

from distmlp.data.conversion.convert import convert


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize(
    "pack, suffix", [(bytes, ""), (gzip.compress, ".gz"), (gzip.compress, ""), (bytes, ".gz")]
)
def test_idx(put, out, order, pack, suffix):
    files = [
        put(f"images-idx3-ubyte{suffix}", pack(IDX_IMAGES)),
        put(f"labels-idx1-ubyte{suffix}", pack(IDX_LABELS)),
    ]
    sentences = convert([files[i] for i in order], out)
    assert_holds(out, IMAGES.reshape(5, 6), LABELS)
    assert headlines(sentences) == [
        f"{out}:/train: 5 samples, 6 inputs each (uint8), classes 0 to 9 (uint8)"
    ]
    with h5py.File(out) as file:
        assert file["train"].attrs["format"] == "distmlp set 1"
        assert list(file["train"].attrs["sources"]) == [files[i].name for i in order]
        assert tuple(file["train/x"].attrs["sample_shape"]) == (3, 2)


@pytest.mark.parametrize(
    "kind, dtype, stored",
    [
        (0x09, ">i1", "<i1"),
        (0x0B, ">i2", "<i2"),
        (0x0C, ">i4", "<i4"),
        (0x0D, ">f4", "<f4"),
        (0x0E, ">f8", "<f8"),
    ],
)
def test_idx_types(put, out, kind, dtype, stored):
    x = np.array([[1, -2], [100, 7]], dtype)
    convert([put("x", idx((2, 2), x.tobytes(), kind)), put("y", idx((2,), b"\1\0"))], out)
    assert_holds(out, x.astype(stored), np.array([1, 0], np.uint8))


def test_idx_float_labels_are_numbers(put, out):
    y = np.array([0.5, -1.5], ">f4")
    convert([put("x", idx((2, 1), b"\1\2")), put("y", idx((2,), y.tobytes(), 0x0D))], out)
    assert_holds(out, np.array([[1], [2]], np.uint8), np.array([[0.5], [-1.5]], "<f4"))


@pytest.mark.parametrize(
    "content, parts",
    [
        (b"", ["begins with the bytes of an empty file", "00 00"]),
        (b"\x89PNG....", ["begins with the bytes 89 50 4e 47", "00 00", ".csv, .npy or .npz"]),
        (b"\0\0\x0a\1\0\0\0\5" + bytes(5), ["begins with the bytes 00 00 0a 01"]),
        (b"\0\0\x08\0", ["begins with the bytes 00 00 08 00"]),
        (b"\0\0\x08\3\0\0\0\5\0\0", ["cut short in its header of 3 dimensions"]),
        (
            IDX_IMAGES[:-1],
            ["is cut short", "30 bytes of data for the shape (5, 3, 2), but there are 29"],
        ),
        (IDX_IMAGES + b"\0", ["goes on after the 30 bytes"]),
        (
            gzip.compress(IDX_IMAGES, mtime=0)[:-12],
            ["ends in the middle of its compressed data", "download it again"],
        ),
        (
            gzip.compress(IDX_IMAGES, mtime=0)[:-8] + b"\0" * 8,
            ["compressed data is damaged", "CRC"],
        ),
        (gzip.compress(IDX_IMAGES[:-1], mtime=0), ["is cut short", "but there are 29"]),
        (idx((5, 0), b""), ["is empty, its shape is (5, 0)"]),
    ],
)
def test_bad_idx_images(put, out, content, parts):
    images = put("images", content)
    sentence = refusal([images, put("labels", IDX_LABELS)], out)
    assert sentence.startswith(f"{images}: ")
    for part in parts:
        assert part in sentence


def test_bad_idx_labels_after_good_images(put, out):
    labels = put("labels", IDX_LABELS + b"\0")
    assert refusal([put("images", IDX_IMAGES), labels], out).startswith(
        f"{labels}: goes on after the 5 bytes"
    )


def test_idx_without_labels_or_images(put, out):
    images, labels = put("images", IDX_IMAGES), put("labels", IDX_LABELS)
    for pair, shape in ((images, (5, 3, 2)), (labels, (5,))):
        sentence = refusal([pair, pair], out)
        assert sentence.startswith("cannot tell images from labels") and str(shape) in sentence
    assert "two IDX files (images and labels" in refusal([images], out)


def test_lengths_that_differ(put, out):
    images, labels = put("images", IDX_IMAGES), put("labels", idx((4,), bytes(4)))
    assert (
        refusal([images, labels], out)
        == f"{images} has 5 rows, but {labels} has 4; expected one target a sample"
    )
