""".npy and .npz files as sources, whole, damaged and in both orders."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from converting import IMAGES, LABELS, assert_holds, headlines, refusal

from distmlp.data.conversion.convert import convert


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(
    "dtype, stored", [("u1", "u1"), ("<f2", "<f2"), (">f8", "<f8"), ("<i8", "<i8"), ("?", "u1")]
)
def test_npy(put, out, monkeypatch, order, dtype, stored):
    monkeypatch.setattr("distmlp.data.conversion.sources.BLOCK_BYTES", 64)
    x = (np.arange(60).reshape(20, 3) % 2).astype(dtype, order=order)
    y = np.arange(20) % 7
    convert([put("x.npy", x), put("y.npy", y)], out, chunk_rows=3)
    assert_holds(out, x.astype(stored), y)


@pytest.mark.parametrize(
    "y, regression, stored",
    [
        (np.array([0, 2, 1], np.int32), False, np.array([0, 2, 1], np.int32)),
        (np.array([[0], [2], [1]], np.uint8), False, np.array([0, 2, 1], np.uint8)),
        (np.array([False, True, True]), False, np.array([0, 1, 1], np.uint8)),
        (np.array([0, 2, 1]), True, np.array([[0.0], [2.0], [1.0]])),
        (np.array([[0, 1], [1, 0], [0, 1]]), False, np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])),
        (np.array([0.5, 2, 1], np.float32), False, np.array([[0.5], [2], [1]], np.float32)),
        (np.array([-1, 2, 1]), True, np.array([[-1.0], [2.0], [1.0]])),
    ],
)
def test_targets_of_arrays(put, out, y, regression, stored):
    x = np.array([1.5, 2.5, 3.5])
    convert([put("x.npy", x), put("y.npy", y)], out, regression=regression)
    assert_holds(out, x[:, None], stored)


def test_negative_classes(put, out):
    x, y = np.zeros((3, 2)), np.array([1, 0, -1])
    sentence = refusal([put("x.npy", x), put("y.npy", y)], out)
    assert (
        sentence.startswith("x.npy, y.npy: the target of row 2 is -1, but classes are 0, 1, 2, …")
        and "--regression" in sentence
    )


def test_bad_npy(put, out):
    good = put("y.npy", np.arange(3))
    whole = put("x.npy", np.zeros((3, 4), np.float32))
    header = whole.stat().st_size - 48
    cases = {
        "none.npy": (b"hello, world", ["is no whole .npy array"]),
        "head.npy": (whole.read_bytes()[:30], ["is no whole .npy array"]),
        "cut.npy": (
            whole.read_bytes()[: header + 40],
            ["is cut short", "48 bytes of data for the shape (3, 4), but there are 40"],
        ),
        "text.npy": (np.array(["a", "b", "c"]), ["has the dtype <U1, but expected real numbers"]),
        "complex.npy": (
            np.zeros((3, 2), complex),
            ["has the dtype complex128, but expected real numbers"],
        ),
        "empty.npy": (np.zeros((0, 4)), ["is empty, its shape is (0, 4)"]),
        "scalar.npy": (np.float64(3.0), ["is empty, its shape is ()"]),
        "objects.npy": (
            np.array([1, "a", None], object),
            ["holds Python objects (dtype object), but expected numbers"],
        ),
    }
    for name, (content, parts) in cases.items():
        path = put(name, content)
        sentence = refusal([path, good], out)
        assert sentence.startswith(f"{path}: ")
        for part in parts:
            assert part in sentence
    sentence = refusal([good, put("images.npy", np.zeros((3, 2, 2)))], out)
    assert (
        "has the shape (3, 2, 2), but expected targets (samples,) or (samples, outputs)" in sentence
    )


def test_no_pickle_is_ever_run(put, out, tmp_path):
    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "sprung",)

    trap = put("x.npy", np.array([Trap()], object))
    np.load(trap, allow_pickle=True)
    (tmp_path / "sprung").unlink()  # the trap works
    refusal([trap, put("y.npy", np.array([1]))], out)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(tmp_path, out, monkeypatch, order, save):
    monkeypatch.setattr("distmlp.data.conversion.sources.BLOCK_BYTES", 64)
    x, y = np.asarray(np.arange(60, dtype=np.float32).reshape(10, 3, 2), order=order), np.arange(10)
    save(tmp_path / "set.npz", x=x, y=y)
    convert([tmp_path / "set.npz"], out, chunk_rows=2)
    assert_holds(out, x.reshape(10, 6), y)


def test_npz_keys(put, out):
    source = put(
        "set.npz",
        {
            "x": np.zeros((2, 1)),
            "y": np.zeros(2),
            "inputs": np.ones((2, 3)),
            "classes": np.array([1, 0]),
        },
    )
    convert([source], out, keys=["inputs", "classes"])
    assert_holds(out, np.ones((2, 3)), np.array([1, 0]))


def test_npz_with_training_and_test_set(put, out, tmp_path):
    arrays = {
        "x_train": IMAGES,
        "y_train": LABELS,
        "x_test": IMAGES[:2] + 100,
        "y_test": LABELS[:2],
    }
    source = put("mnist.npz", arrays)
    assert len(headlines(convert([source], out))) == 2
    assert_holds(out, IMAGES.reshape(5, 6), LABELS)
    assert_holds(out, IMAGES[:2].reshape(2, 6) + np.uint8(100), LABELS[:2], "/test")

    one = tmp_path / "one.h5"
    assert "leave --group /test away, or pick one set, as in --keys x_test,y_test" in refusal(
        [source], one, group="/test"
    )
    convert([source], one, group="/held/out", keys=["x_test", "y_test"])
    assert_holds(one, IMAGES[:2].reshape(2, 6) + np.uint8(100), LABELS[:2], "/held/out")


def test_bad_npz(put, out):
    source = put("set.npz", {"a": np.zeros(2), "y": np.zeros(2)})
    assert refusal([source], out).startswith(
        f"{source}: has no array 'x'; it has a, y; --keys INPUTS,TARGETS"
    )
    assert "has no array 'b'" in refusal([source], out, keys=["a", "b"])
    assert "expected two names" in refusal([source], out, keys=["a"])
    cut = put("cut.npz", source.read_bytes()[:-30])
    assert refusal([cut], out).startswith(
        f"{cut}: its compressed data is damaged or cut short (File is not a zip file)"
    )
    objects = put("objects.npz", {"x": np.array([None]), "y": np.zeros(1)})
    assert refusal([objects], out).startswith(f"{objects}, array 'x': holds Python objects")
    bare = put("bare.npz", b"")
    with zipfile.ZipFile(bare, "w") as archive:
        array = io.BytesIO()
        np.save(array, np.zeros((4, 2)))
        archive.writestr("x.npy", array.getvalue()[:-8])
        archive.writestr("y.npy", b"nothing")
    assert refusal([bare], out).startswith(f"{bare}, array 'y': is no whole .npy array")
    assert "has no array 'z'" in refusal([bare], out, keys=["x", "z"])
    assert "64 bytes of data for the shape (4, 2), but there are 56" in refusal(
        [bare], out, keys=["x", "x"]
    )


def test_npz_with_a_wrong_bit(put, out):
    source = put("set.npz", {"x": np.full((8, 4), 7.0), "y": np.arange(8)})
    data = bytearray(source.read_bytes())
    data[data.index(np.float64(7.0).tobytes())] ^= 1
    source.write_bytes(data)
    sentence = refusal([source], out)
    assert sentence.startswith(f"{source}: its compressed data is damaged") and "CRC" in sentence
