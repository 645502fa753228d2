"""dataset.py reads, from files of every kind, what h5py's own slicing does."""

import os

import h5py
import numpy as np
import pytest

from distmlp.data.dataset import DataSet
from distmlp.errors import InputError

ROWS = 1003
X = np.random.default_rng(1).integers(0, 256, (ROWS, 5, 3), np.uint8)
Y = np.random.default_rng(2).integers(0, 9, ROWS)
CHUNKS = (64, 5, 3)


def stored(**how):
    return lambda group, place: group.create_dataset("x", data=X, **how)


def of_another_byte_order(group, place):
    group.create_dataset("x", data=X.astype(">i4"), chunks=CHUNKS)


def of_type(like, chunks=None, **fields):
    """What stores numbers in a layout of bits that numpy does not have."""

    def make(group, place):
        kind, how = like.copy(), h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        for name, value in fields.items():
            getattr(kind, f"set_{name}")(*(value if isinstance(value, tuple) else (value,)))
        if chunks:
            how.set_chunk(chunks)
        space = h5py.h5s.create_simple(X.shape)
        x = np.ascontiguousarray(X, "f4" if isinstance(like, h5py.h5t.TypeFloatID) else "i4")
        h5py.h5d.create(group.id, b"x", kind, space, how).write(space, space, x)

    return make


BFLOAT16 = {"fields": (15, 7, 8, 0, 7), "size": 2, "ebias": 127}


def partly_written(group, place):
    group.create_dataset("x", X.shape, "f4", chunks=CHUNKS, fillvalue=3.5)[100:200] = X[100:200]


def never_written(group, place):
    group.create_dataset("x", X.shape, "f4", fillvalue=3.5)


def grown(group, place):
    x = group.create_dataset("x", data=X[:1000], chunks=CHUNKS, maxshape=(None, 5, 3))
    x.resize(ROWS, axis=0)
    x[1000:] = X[1000:]


def compact(group, place):
    how = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    how.set_layout(h5py.h5d.COMPACT)
    space = h5py.h5s.create_simple((ROWS, 15))
    h5py.h5d.create(group.id, b"x", h5py.h5t.NATIVE_UINT8, space, how).write(
        space, space, X.reshape(ROWS, 15)
    )


def in_another_file(group, place):
    group.create_dataset("x", X.shape, X.dtype, external=[(str(place / "x.raw"), 16, X.nbytes)])[
        :
    ] = X


def virtual(group, place):
    with h5py.File(place / "source.h5", "w") as source:
        source["x"] = X
    whole = h5py.VirtualLayout(X.shape, X.dtype)
    whole[:] = h5py.VirtualSource(place / "source.h5", "x", X.shape)
    group.create_virtual_dataset("x", whole)


#: What makes x, and how the file is made.
KINDS = {
    "contiguous": (stored(), {}),
    "chunked": (stored(chunks=CHUNKS), {}),
    "chunked, newest format": (stored(chunks=CHUNKS), {"libver": "latest"}),
    "chunks of parts of rows": (stored(chunks=(64, 5, 2)), {}),
    "gzip": (stored(chunks=CHUNKS, compression="gzip"), {}),
    "shuffled bytes": (stored(chunks=CHUNKS, shuffle=True), {}),
    "with checksums": (stored(chunks=CHUNKS, fletcher32=True), {}),
    "contiguous after a user block": (stored(), {"userblock_size": 512}),
    "chunked after a user block": (stored(chunks=CHUNKS), {"userblock_size": 512}),
    "another byte order": (of_another_byte_order, {}),
    "bfloat16": (of_type(h5py.h5t.IEEE_F32LE, **BFLOAT16), {}),
    "bfloat16 in chunks": (of_type(h5py.h5t.IEEE_F32LE, CHUNKS, **BFLOAT16), {}),
    "12 bits of 16": (of_type(h5py.h5t.STD_U16LE, precision=12, offset=4), {}),
    "12 bits of 16, signed": (of_type(h5py.h5t.STD_I16BE, CHUNKS, precision=12, offset=2), {}),
    "a different bias": (of_type(h5py.h5t.IEEE_F32LE, ebias=120), {}),
    "partly written": (partly_written, {}),
    "never written": (never_written, {}),
    "grown": (grown, {}),
    "compact": (compact, {}),
    "in another file": (in_another_file, {}),
    "virtual": (virtual, {}),
}


def written(place, make, how):
    path = place / "set.h5"
    with h5py.File(path, "w", **how) as file:
        make(file.create_group("train"), place)
        file["train/y"] = Y
    return path


@pytest.mark.parametrize(
    "pieces", [[(0, ROWS)], [(5, 60), (990, ROWS), (100, 400)], [(64, 128), (0, 64)]]
)
@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_read_from_files_of_every_kind(kind, pieces, tmp_path):
    path = written(tmp_path, *KINDS[kind])
    with DataSet(f"{path}:/train") as data:
        found = data.read(pieces)
        into = data.memory(ROWS, np.float32)
        data.read(pieces, into)
    with h5py.File(path) as file:
        for part, narrower, stored_part in zip(
            found, into, (file["train/x"], file["train/y"]), strict=True
        ):
            right = np.concatenate([stored_part[a:b] for a, b in pieces]).reshape(part.shape)
            assert part.dtype == stored_part.dtype
            assert np.array_equal(part, right) and np.array_equal(narrower[: len(right)], right)


@pytest.mark.parametrize("kind", ["contiguous", "chunked"])
def test_a_file_that_is_cut_short_while_it_is_read(kind, tmp_path):
    path = written(tmp_path, *KINDS[kind])
    with DataSet(f"{path}:/train", targets=None) as data:
        os.truncate(path, X.nbytes // 2)
        with pytest.raises(
            InputError, match=r"/train: rows 0 to 1002 cannot be read .*: the file ends at byte"
        ):
            data.read([(0, ROWS)])


@pytest.mark.parametrize("version", ["earliest", "latest"])
def test_a_damaged_file_is_refused_in_a_sentence(version, tmp_path):
    """Or, where the damage is in the numbers or in nothing that is read, it is not noticed."""
    path, refused = tmp_path / "set.h5", 0
    with h5py.File(path, "w", libver=version) as file:
        file.create_dataset("train/x", data=X, chunks=(10, 5, 3))
        file["train/y"] = Y
    whole = np.fromfile(path, np.uint8)
    for seed in range(100):
        random, damaged = np.random.default_rng(seed), whole.copy()
        damaged[random.integers(0, len(whole), 200)] ^= random.integers(1, 256, 200, np.uint8)
        damaged.tofile(path)
        try:
            with DataSet(f"{path}:/train") as data:
                data.read([(0, ROWS)])
        except InputError as error:
            refused += 1
            assert str(path) in str(error)
    assert refused > 20


def test_rows_lie_where_hdf5_says(tmp_path):
    """What the reading past HDF5 stands on: it takes the way through HDF5 for none of these rows."""
    for kind in ("contiguous", "chunked", "chunked, newest format", "grown", "another byte order"):
        path = written(tmp_path, *KINDS[kind])
        with DataSet(f"{path}:/train") as data:
            for reader in data._readers:
                reader._through_hdf5 = None
            data.read([(3, ROWS)])
