"""The file that a conversion writes: whole or not there; and options, places and sources that are refused."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from converting import IDX_IMAGES, IDX_LABELS, IMAGES, LABELS, assert_holds, read, refusal

from distmlp.data.conversion.convert import convert
from distmlp.data.conversion.sources import ConversionError


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


def test_a_damaged_file_to_append_to(put, out):
    images, labels = put("images", IDX_IMAGES), put("labels", IDX_LABELS)
    convert([images, labels], out)
    before = out.read_bytes()[:-100]
    out.write_bytes(before)
    sentence = refusal([images, labels], out, exists=True, group="/test", append=True)
    assert "truncated file" in sentence and "None" not in sentence
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
    for sources in ([], [x, y, y], [x, table], [table, table, table]):
        sentence = refusal(sources, out)
        assert sentence.startswith(
            f"cannot convert {' with '.join(map(str, sources)) or 'nothing'}; expected one .csv, one .npz"
        )


def test_source_that_may_not_be_read(put, out, monkeypatch):
    source = put("s.csv", "1,2\n")

    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("distmlp.data.conversion.sources.opened", refuse)
    assert refusal([source], out) == f"{source}: cannot be read: Permission denied"


def test_bad_options(put, out):
    x, y, table = put("x.npy", np.zeros((2, 2))), put("y.npy", np.zeros(2)), put("s.csv", "1,2\n")
    assert refusal([x, y], out, targets=["a"]).startswith(
        "--targets is for tables such as .csv, but the source is "
    )
    assert refusal([x, y], out, dtype="uint8").startswith("--dtype is for tables such as .csv")
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
