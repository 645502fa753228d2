"""Conversion to HDF5, and the scripts that make the data sets."""

import gzip
import importlib.util
import io
import os
import struct
import tracemalloc
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from distmlp.cli import main as cli
from distmlp.data.conversion import convert as conversion
from distmlp.data.conversion.convert import ConversionError, convert

DATASETS = Path(__file__).parents[2] / "datasets"

IMAGES = np.arange(5 * 3 * 2, dtype=np.uint8).reshape(5, 3, 2)
LABELS = np.array([3, 0, 9, 1, 3], np.uint8)


def idx(shape, data: bytes, kind=0x08) -> bytes:
    return struct.pack(f">HBB{len(shape)}I", 0, kind, len(shape), *shape) + data


IDX_IMAGES = idx((5, 3, 2), IMAGES.tobytes())
IDX_LABELS = idx((5,), LABELS.tobytes())


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


def read(path, group="/train"):
    with h5py.File(path) as file:
        return file[group]["x"][...], file[group]["y"][...]


def assert_holds(path, x, y, group="/train"):
    """The group holds x and y: the same numbers in the same dtypes and shapes."""
    for there, expected in zip(read(path, group), (x, y), strict=True):
        assert there.dtype == expected.dtype
        assert there.shape == expected.shape
        np.testing.assert_array_equal(there, expected)


def refusal(sources, out, *, exists=False, **options) -> str:
    """The sentence with which convert refuses; nothing may be left behind."""
    with pytest.raises(ConversionError) as caught:
        convert(sources, out, **options)
    assert out.exists() == exists
    assert list(out.parent.glob("*.writing")) == []
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


# IDX


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
    assert sentences == [f"{out}:/train: 5 samples, 6 inputs each (uint8), classes 0 to 9 (uint8)"]
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


# .npy and .npz


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(
    "dtype, stored", [("u1", "u1"), ("<f2", "<f2"), (">f8", "<f8"), ("<i8", "<i8"), ("?", "u1")]
)
def test_npy(put, out, monkeypatch, order, dtype, stored):
    monkeypatch.setattr(conversion, "_BLOCK_BYTES", 64)
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
    monkeypatch.setattr(conversion, "_BLOCK_BYTES", 64)
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
    assert len(convert([source], out)) == 2
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


# CSV


@pytest.mark.parametrize(
    "pack, name", [(str.encode, "s.csv"), (lambda text: gzip.compress(text.encode()), "s.csv.gz")]
)
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("header", ["", 'a,"b, c",class\n'])
def test_csv(put, out, pack, name, ends, header):
    text = header + "1.5,2,0\n\n -3e2 ,.25,2\n7,8,1"
    sentences = convert([put(name, pack(text.replace("\n", ends)))], out)
    assert_holds(out, np.array([[1.5, 2], [-300, 0.25], [7, 8]]), np.array([0, 2, 1]))
    note = f"; line 1 of {name} was taken as the names of the columns" if header else ""
    assert sentences == [
        f"{out}:/train: 3 samples, 2 inputs each (float64), classes 0 to 2 (int64){note}"
    ]


def test_csv_byte_order_mark_and_quotes(put, out):
    convert([put("s.csv", b'\xef\xbb\xbf"1","2"\n3,"1"\n')], out)
    assert_holds(out, np.array([[1.0], [3.0]]), np.array([2, 1]))


def test_csv_header_with_an_unnamed_column(put, out):
    convert([put("s.csv", ",a,b\n0,5,1\n")], out)
    assert_holds(out, np.array([[0.0, 5.0]]), np.array([1]))


@pytest.mark.parametrize(
    "targets, x, y",
    [
        (None, [[1, 2, 0], [3, 4, 1]], [[0.5], [2.0]]),
        (["b"], [[1, 0, 0.5], [3, 1, 2]], [2, 4]),
        (["1"], [[1, 0, 0.5], [3, 1, 2]], [2, 4]),
        (["-2"], [[1, 2, 0.5], [3, 4, 2]], [0, 1]),
        (["d", "0"], [[2, 0], [4, 1]], [[0.5, 1], [2, 3]]),
        (["a", "c"], [[2, 0.5], [4, 2]], [[1.0, 0.0], [3.0, 1.0]]),
    ],
)
def test_csv_targets(put, out, targets, x, y):
    convert([put("s.csv", "a,b,c,d\n1,2,0,0.5\n3,4,1,2\n")], out, targets=targets)
    assert_holds(out, np.array(x, float), np.array(y))


def test_csv_regression_keeps_whole_numbers(put, out):
    convert([put("s.csv", "1,151\n2,-75\n")], out, regression=True)
    assert_holds(out, np.array([[1.0], [2.0]]), np.array([[151.0], [-75.0]]))


@pytest.mark.parametrize(
    "last, classes", [("3", True), ("3.0", True), ("3.5", False), ("nan", False), ("inf", False)]
)
def test_csv_targets_are_classes_only_if_all_are_whole(put, out, monkeypatch, last, classes):
    monkeypatch.setattr(conversion, "_BLOCK_BYTES", 64)
    convert([put("s.csv", "1,2\n" * 50 + f"1,{last}\n")], out)
    y = np.array([2.0] * 50 + [float(last)])
    assert_holds(out, np.ones((51, 1)), y.astype(np.int64) if classes else y[:, None])


def test_csv_in_blocks(put, out, monkeypatch):
    monkeypatch.setattr(conversion, "_BLOCK_BYTES", 400)
    table = np.random.default_rng(1).normal(size=(333, 5))
    convert(
        [put("s.csv", "\n".join(",".join(map(repr, row)) for row in table.tolist()))],
        out,
        chunk_rows=7,
    )
    assert_holds(out, table[:, :4], table[:, 4:])


@pytest.mark.slow
def test_csv_memory_is_bounded(put, out, monkeypatch):
    monkeypatch.setattr(conversion, "_BLOCK_BYTES", 2**16)
    source = put(
        "s.csv",
        "0.123456,0.234567,0.345678,0.456789,0.567891,0.678912,0.789123,0.891234,0.5\n" * 40000,
    )
    tracemalloc.start()
    try:
        convert([source], out, chunk_rows=100)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**20 < source.stat().st_size / 2


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_csv_dtype(put, out, dtype):
    convert([put("s.csv", "0,255,1\n17,3,0\n")], out, dtype=dtype)
    assert_holds(out, np.array([[0, 255], [17, 3]], dtype), np.array([1, 0]))


@pytest.mark.parametrize(
    "dtype, value",
    [("uint8", "256"), ("uint8", "-1"), ("uint8", "0.5"), ("uint8", "nan"), ("float32", "1e39")],
)
def test_csv_dtype_that_cannot_hold_a_value(put, out, dtype, value):
    source = put("s.csv", f"c,a,b\n0,1,1\n\n1,2,{value}\n")
    sentence = refusal([source], out, dtype=dtype, targets=["c"])
    assert sentence.startswith(
        f"{source}: line 4, column 2 holds {float(value):g}, which {dtype} cannot hold"
    )


@pytest.mark.parametrize(
    "content, parts",
    [
        ("", ["is empty; expected rows of numbers"]),
        ("\n \n", ["is empty; expected rows of numbers"]),
        ("a,b\n\n", ["has a header but no rows"]),
        ("1,2,3\n4,,6\n", ["line 2, column 1 holds '', but expected a number"]),
        ("1,,3\n4,5,6\n", ["line 1, column 1 holds '', but expected a number"]),
        ("a,b\n1,2\n\n3,x7\n", ["line 4, column 1 holds 'x7', but expected a number"]),
        ("1,2\n1_0,2\n", ["line 2, column 0 holds '1_0', but expected a number"]),
        ("1,2\n٣,2\n", ["line 2, column 0 holds '٣', but expected a number"]),
        ("1,2\n3,4,5\n", ["line 2 has 3 columns, but the first line has 2"]),
        ("1,2,3\n3,4\n", ["line 2 has 2 columns, but the first line has 3"]),
        ('1,2\n3,"4\n5,6\n', ["line 2 is no row of cells"]),
        ("1;2\n3;4\n", ["has 1 columns parted by commas, all of them targets"]),
        (b"1,2\n\xff,4\n", ["is no text in UTF-8"]),
        (
            gzip.compress(b"1,2\n" * 100, mtime=0)[:-9],
            ["ends in the middle of its compressed data"],
        ),
    ],
)
def test_bad_csv(put, out, content, parts):
    source = put("s.csv", content)
    sentence = refusal([source], out)
    assert sentence.startswith(f"{source}: ")
    for part in parts:
        assert part in sentence


def test_bad_csv_far_into_the_file(put, out, monkeypatch):
    monkeypatch.setattr(conversion, "_BLOCK_BYTES", 64)
    source = put("s.csv", "a,b,c\n" + "1,2,3\n" * 100 + "1,oops,3\n")
    assert refusal([source], out).startswith(f"{source}: line 102, column 1 holds 'oops'")


@pytest.mark.parametrize(
    "targets, part",
    [
        (["prize"], "--targets prize: no column has that name; did you mean 'price'?"),
        (
            ["zzzz"],
            "--targets zzzz: no column has that name; the columns are price, size, twin, twin",
        ),
        (["4"], "--targets 4: expected an index from -4 to 3"),
        (["-5"], "--targets -5: expected an index from -4 to 3"),
        (["twin"], "--targets twin: 2 columns have that name; give the index"),
        (["size", "1"], "--targets size,1: names column 1 twice"),
        (["0", "1", "2", "3"], "has 4 columns parted by commas, all of them targets"),
    ],
)
def test_bad_csv_targets(put, out, targets, part):
    source = put("s.csv", "price,size,twin,twin\n1,2,3,4\n")
    assert refusal([source], out, targets=targets).startswith(f"{source}: {part}")


def test_csv_target_name_without_header(put, out):
    sentence = refusal([put("s.csv", "1,2\n")], out, targets=["price"])
    assert "--targets price: the file has no header, so expected an index from -2 to 1" in sentence


# The file


def test_append_adds_a_group(put, out):
    images, labels = put("images", IDX_IMAGES), put("labels", IDX_LABELS)
    convert([images, labels], out, append=True)
    convert(
        [put("x.npy", np.ones((2, 6))), put("y.npy", np.array([1, 2]))],
        out,
        group="/test",
        append=True,
    )
    assert_holds(out, IMAGES.reshape(5, 6), LABELS)
    assert_holds(out, np.ones((2, 6)), np.array([1, 2]), "/test")
    before = out.read_bytes()
    for group in ("/test", "/train/x/deeper"):
        sentence = refusal([images, labels], out, exists=True, group=group, append=True)
        assert f"has {group} already, or a dataset on the way to it" in sentence
    assert out.read_bytes() == before


def test_existing_file(put, out):
    images, labels = put("images", IDX_IMAGES), put("labels", IDX_LABELS)
    out.write_text("precious")
    assert "exists already; --append adds a group to it, --overwrite replaces it" in refusal(
        [images, labels], out, exists=True
    )
    assert "is no HDF5 file" in refusal([images, labels], out, exists=True, append=True)
    assert "give one of the two" in refusal(
        [images, labels], out, exists=True, append=True, overwrite=True
    )
    refusal([images, put("bad", IDX_LABELS[:-1])], out, exists=True, overwrite=True)
    assert out.read_text() == "precious"
    convert([images, labels], out, overwrite=True)
    assert_holds(out, IMAGES.reshape(5, 6), LABELS)


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_crash_leaves_the_old_file(put, out, monkeypatch, step):
    images, labels = put("images", IDX_IMAGES), put("labels", IDX_LABELS)
    convert([images, labels], out)
    before = out.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, fail)
    sentence = refusal([images, labels], out, exists=True, group="/test", append=True)
    assert sentence == f"{out}: cannot be written: [Errno 28] No space left on device"
    assert out.read_bytes() == before


def test_file_is_synced_before_it_is_renamed(put, out, monkeypatch):
    events = []
    fsync, link = os.fsync, os.link
    monkeypatch.setattr(os, "fsync", lambda handle: (events.append("fsync"), fsync(handle)))
    monkeypatch.setattr(os, "link", lambda *paths: (events.append("link"), link(*paths)))
    convert([put("images", IDX_IMAGES), put("labels", IDX_LABELS)], out)
    assert events == ["fsync", "link", "fsync"]


def test_a_file_that_comes_meanwhile_is_kept(put, out, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: out.write_bytes(b"another's"))
    refusal([put("images", IDX_IMAGES), put("labels", IDX_LABELS)], out, exists=True)
    assert out.read_bytes() == b"another's"
    assert os.listdir(out.parent).count(out.name) == 1


def test_bad_places(put, out, tmp_path):
    sources = [put("images", IDX_IMAGES), put("labels", IDX_LABELS)]
    assert f"there is no directory {tmp_path / 'none'}" in refusal_without_traces(
        sources, tmp_path / "none" / "out.h5"
    )
    assert "expected a name that ends in .h5 or .hdf5" in refusal_without_traces(
        sources, tmp_path / "out.npy"
    )
    (tmp_path / "directory.h5").mkdir()
    assert "is a directory" in refusal_without_traces(
        sources, tmp_path / "directory.h5", overwrite=True
    )


def refusal_without_traces(sources, out, **options):
    before = sorted(out.parent.rglob("*")) if out.parent.exists() else None
    with pytest.raises(ConversionError) as caught:
        convert(sources, out, **options)
    assert (sorted(out.parent.rglob("*")) if out.parent.exists() else None) == before
    return str(caught.value)


def test_directory_that_cannot_be_written(put, tmp_path):
    sources = [put("images", IDX_IMAGES), put("labels", IDX_LABELS)]
    if os.geteuid() == 0:  # root may write to any directory but those of the kernel
        directory = Path("/proc/self")
        if not directory.is_dir():
            pytest.skip("root can write everywhere here: there is no /proc")
    else:
        directory = tmp_path / "locked"
        directory.mkdir(mode=0o555)
    with pytest.raises(ConversionError, match=f"^{directory}/out.h5: cannot be written: "):
        convert(sources, directory / "out.h5")


def test_bad_sources(put, out, tmp_path):
    x, y, table = put("x.npy", np.zeros((2, 2))), put("y.npy", np.zeros(2)), put("s.csv", "1,2\n")
    assert (
        refusal([tmp_path / "none.csv"], out)
        == f"{tmp_path / 'none.csv'}: no such file; expected a file to convert"
    )
    assert refusal([tmp_path], out) == f"{tmp_path}: is no file; expected a file to convert"
    for sources in ([], [x], [x, y, y], [x, table], [table, table]):
        sentence = refusal(sources, out)
        assert sentence.startswith(
            f"cannot convert {' with '.join(map(str, sources)) or 'nothing'}; expected one .csv, one .npz"
        )


def test_source_that_may_not_be_read(put, out, monkeypatch):
    source = put("s.csv", "1,2\n")

    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(conversion, "_opened", refuse)
    assert refusal([source], out) == f"{source}: cannot be read: Permission denied"


def test_bad_options(put, out):
    x, y, table = put("x.npy", np.zeros((2, 2))), put("y.npy", np.zeros(2)), put("s.csv", "1,2\n")
    assert refusal([x, y], out, targets=["a"]).startswith(
        "--targets is for .csv sources, but the source is "
    )
    assert refusal([x, y], out, dtype="uint8").startswith("--dtype is for .csv sources")
    assert refusal([table], out, keys=["x", "y"]).startswith("--keys is for .npz sources")
    assert (
        refusal([table], out, dtype="int3")
        == "--dtype int3: expected one of uint8, float32, float64"
    )
    assert (
        refusal([table], out, compression="zip") == "--compression zip: expected one of none, gzip"
    )
    for group in ("train", "/", ""):
        assert refusal([table], out, group=group).startswith(
            f"--group {group}: expected a name that begins with"
        )
    assert refusal([table], out, chunk_rows=0) == "--chunk-rows 0: expected at least 1 row a chunk"


@pytest.mark.parametrize(
    "shape, chunk_rows, expected",
    [
        ((1000, 784), None, 334),
        ((50, 784), None, 50),
        ((3, 300000), None, 1),
        ((1000, 784), 10, 10),
        ((50, 784), 60, 50),
    ],
)
def test_chunks(put, out, shape, chunk_rows, expected):
    convert(
        [put("x.npy", np.zeros(shape, np.uint8)), put("y.npy", np.zeros(shape[0], np.uint8))],
        out,
        chunk_rows=chunk_rows,
    )
    with h5py.File(out) as file:
        assert file["train/x"].chunks == (expected, shape[1])
        assert file["train/y"].chunks == (expected,)


def test_chunk_larger_than_hdf5_takes(put, out):
    x = put("x.npy", b"")
    with open(x, "wb") as file:  # 4 GiB that take no place on the disk
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|u1", "fortran_order": False, "shape": (2**16, 2**16)}
        )
        file.truncate(file.tell() + 2**32)
    sentence = refusal([x, put("y.npy", np.zeros(2**16, np.uint8))], out, chunk_rows=2**16)
    assert (
        sentence
        == "--chunk-rows 65536: a chunk would have 4294967296 bytes, but HDF5 takes less than 4 GiB; give fewer rows"
    )


def test_compression(put, out, tmp_path):
    sources = [put("x.npy", np.tile(np.arange(8.0), (5000, 1))), put("y.npy", np.arange(5000) % 3)]
    convert(sources, out)
    convert(sources, tmp_path / "small.h5", compression="gzip")
    assert_holds(tmp_path / "small.h5", *read(out))
    assert (tmp_path / "small.h5").stat().st_size < out.stat().st_size / 5
    with h5py.File(tmp_path / "small.h5") as small, h5py.File(out) as plain:
        assert small["train/x"].compression == "gzip" and plain["train/x"].compression is None


def test_same_bytes_again(put, out, tmp_path):
    sources = [put("images", IDX_IMAGES), put("labels", IDX_LABELS)]
    convert(sources, out)
    convert(sources, tmp_path / "again.h5")
    assert out.read_bytes() == (tmp_path / "again.h5").read_bytes()


def test_conversion_error_is_a_value_error():
    assert issubclass(ConversionError, ValueError)


# The command


def command(*words):
    assert cli.main(["convert", *map(str, words)]) == 0


def test_command(put, out, capsys):
    command(
        put("s.csv", "a,b,c\n1,2,3\n4,5,6\n"),
        out,
        "--targets",
        "c,a",
        "--dtype",
        "uint8",
        "--chunk-rows",
        "1",
        "--compression",
        "gzip",
    )
    assert_holds(out, np.array([[2], [5]], np.uint8), np.array([[3.0, 1.0], [6.0, 4.0]]))
    with h5py.File(out) as file:
        assert file["train/x"].chunks == (1, 1) and file["train/x"].compression == "gzip"
    command(
        put("s.npz", {"u": np.ones((2, 1)), "v": np.array([0, 1])}),
        out,
        "--keys",
        "u,v",
        "--group",
        "/test",
        "--append",
        "--regression",
    )
    assert_holds(out, np.ones((2, 1)), np.array([[0.0], [1.0]]), "/test")
    command(put("t.csv", "0,7\n1,8\n"), out, "--targets", "-2", "--overwrite")
    assert_holds(out, np.array([[7.0], [8.0]]), np.array([0, 1]))
    assert capsys.readouterr().out.splitlines() == [
        f"{out}:/train: 2 samples, 1 inputs each (uint8), 2 targets each (float64); line 1 of s.csv was taken as the names of the columns",
        f"{out}:/test: 2 samples, 1 inputs each (float64), 1 targets each (float64)",
        f"{out}:/train: 2 samples, 1 inputs each (float64), classes 0 to 1 (int64)",
    ]


# The data sets


def script(name):
    spec = importlib.util.spec_from_file_location(name, DATASETS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


borehole = script("borehole")


def test_digits_file():
    (x, y), (x_test, y_test) = read(DATASETS / "digits.h5"), read(DATASETS / "digits.h5", "/test")
    assert (
        x.shape == (1442, 64)
        and y.shape == (1442,)
        and x_test.shape == (355, 64)
        and y_test.shape == (355,)
    )
    assert x.dtype == y.dtype == x_test.dtype == y_test.dtype == np.uint8
    assert x.max() == x_test.max() == 16
    # UCI's count of each class in the whole of the 1797 images; a fifth of each, rounded down, is for testing
    count = np.array([178, 182, 177, 183, 181, 182, 181, 179, 174, 180])
    np.testing.assert_array_equal(np.bincount(y_test), count // 5)
    np.testing.assert_array_equal(np.bincount(y), count - count // 5)
    with h5py.File(DATASETS / "digits.h5") as file:
        assert file["train/x"].chunks == (64, 64)
        assert (
            "Alpaydin" in file.attrs["source"]
            and "1998" in file.attrs["source"]
            and file.attrs["licence"].startswith("CC BY 4.0")
        )


@pytest.mark.slow
def test_digits_are_made_again(tmp_path):
    pytest.importorskip(
        "sklearn", reason="scikit-learn, which packages the digits, is not installed"
    )
    make_digits = script("make_digits")
    make_digits.write(tmp_path / "one.h5")
    make_digits.write(tmp_path / "two.h5")
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()
    for group in ("/train", "/test"):
        assert_holds(tmp_path / "one.h5", *read(DATASETS / "digits.h5", group), group)


def test_borehole_by_hand():
    # Every term is 1: ln(e) = 1, 2 L Tu / (rw² Kw) = 1 and Tu/Tl = 1, so f = 2 pi / 3.
    assert borehole.flow(1.0, np.e, 1.0, 2.0, 1.0, 1.0, 1.0, 2.0) == pytest.approx(
        2 * np.pi / 3, rel=1e-15
    )
    # The middle of every range, in 40 decimal digits.
    assert borehole.flow(*(borehole.LOW + borehole.HIGH) / 2) == pytest.approx(
        70.87291263681895709, rel=1e-14
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_borehole_rows(dtype):
    x, y = borehole.rows(5, "train", 0, 200000, dtype)
    assert x.shape == (200000, 8) and y.shape == (200000, 1) and x.dtype == y.dtype == dtype
    assert x.min() >= 0 and x.max() <= 1
    # Four standard errors of the mean: of a uniform number and of y, whose variance is 1.
    np.testing.assert_allclose(x.mean(axis=0, dtype=float), 0.5, atol=4 / np.sqrt(12 * 200000))
    assert abs(y.mean(dtype=float)) < 4 / np.sqrt(200000)
    assert abs(y.std(dtype=float) - 1) < 0.01
    physical = borehole.LOW + (borehole.HIGH - borehole.LOW) * x[123].astype(float)
    assert y[123, 0] == np.dtype(dtype).type(
        (borehole.flow(*physical) - borehole.MEAN) / borehole.DEVIATION
    )
    assert len(np.unique(x[:, 0])) > 0.98 * 200000


def test_borehole_rows_are_functions_of_seed_and_index():
    x, y = borehole.rows(7, "train", 0, 100)
    for start, stop in ((0, 1), (1, 2), (37, 90), (99, 100)):
        some_x, some_y = borehole.rows(7, "train", start, stop)
        np.testing.assert_array_equal(some_x, x[start:stop])
        np.testing.assert_array_equal(some_y, y[start:stop])
    others = [x, borehole.rows(8, "train", 0, 100)[0], borehole.rows(7, "test", 0, 100)[0]]
    assert len(np.unique(np.concatenate(others), axis=0)) == 300


def test_borehole_file_larger_than_a_block(tmp_path, monkeypatch):
    large, small = tmp_path / "large.h5", tmp_path / "small.h5"
    monkeypatch.setattr(borehole, "BLOCK_ROWS", 512)
    borehole.main(
        [
            str(large),
            "--samples",
            "3001",
            "--test-samples",
            "10",
            "--seed",
            "3",
            "--chunk-rows",
            "100",
            "--compression",
            "gzip",
        ]
    )
    borehole.main([str(small), "--samples", "150", "--test-samples", "7", "--seed", "3"])
    for group, count in (("/train", 150), ("/test", 7)):
        x, y = read(large, group)
        assert_holds(small, x[:count], y[:count], group)
    x, y = read(large)
    assert x.shape == (3001, 8) and y.shape == (3001, 1) and x.dtype == np.float32
    np.testing.assert_array_equal(x, borehole.rows(3, "train", 0, 3001)[0])
    with h5py.File(large) as file:
        assert file["train/x"].chunks == (100, 8) and file["train/x"].compression == "gzip"
    assert list(tmp_path.glob("*.writing")) == []


@pytest.mark.parametrize(
    "option, value",
    [("--samples", "0"), ("--seed", "-1"), ("--chunk-rows", "0"), ("--dtype", "int8")],
)
def test_borehole_refuses(tmp_path, capsys, option, value):
    words = {"--samples": "5", "--seed": "1", option: value}
    with pytest.raises(SystemExit) as caught:
        borehole.main([str(tmp_path / "b.h5"), *(word for pair in words.items() for word in pair)])
    assert caught.value.code == 2
    assert option in capsys.readouterr().err
    assert not (tmp_path / "b.h5").exists()
