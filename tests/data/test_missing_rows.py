"""Rows that HDF5 would make up: a set is refused where they are not there, and taken where the file means them."""

import h5py
import numpy as np
import pytest

from distmlp.data.dataset import DataSet
from distmlp.data.missing_rows import check_no_writer
from distmlp.errors import InputError

ROWS, COLUMNS = 512, 4
HALF = ROWS // 2
X = np.random.default_rng(4).normal(size=(ROWS, COLUMNS)).astype(np.float32)


def sources(place):
    for i in (0, 1):
        with h5py.File(place / f"part{i}.h5", "w") as part:
            part["x"] = X[i * HALF : (i + 1) * HALF]
            part.create_dataset("holes", (HALF, COLUMNS), "f4", chunks=(64, COLUMNS))[:100] = 1


def joined(file, names, rows=((0, HALF), (HALF, ROWS)), columns=COLUMNS, inside="x", fill=None):
    layout = h5py.VirtualLayout((ROWS, COLUMNS), "f4")
    for name, (start, stop) in zip(names, rows, strict=True):
        whole = h5py.VirtualSource(name, inside, (HALF, COLUMNS))
        layout[start:stop, :columns] = whole[: stop - start, :columns]
    file.create_virtual_dataset("x", layout, fillvalue=fill)


def numbered(file, place):
    endless = h5py.h5s.UNLIMITED
    space = h5py.h5s.create_simple((ROWS, COLUMNS), (endless, COLUMNS))
    space.select_hyperslab((0, 0), (endless, 1), (HALF, COLUMNS), (HALF, COLUMNS))
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_virtual(space, b"part%b.h5", b"x", h5py.h5s.create_simple((HALF, COLUMNS)))
    h5py.h5d.create(file.id, b"x", h5py.h5t.IEEE_F32LE, space, plan)


def unwritten(**how):
    return lambda file, place: file.create_dataset("x", (ROWS, COLUMNS), "f4", **how)


def partly(**how):
    def make(file, place):
        file.create_dataset("x", (ROWS, COLUMNS), "f4", **how)[:300] = X[:300]

    return make


WHOLE = {
    "written": lambda file, place: file.create_dataset("x", data=X, chunks=(64, 3)),
    "an author's fill value": partly(chunks=(64, COLUMNS), fillvalue=0.25),
    "all of it an author's fill value": unwritten(fillvalue=0.25),
    "virtual": lambda file, place: joined(file, ["part0.h5", "part1.h5"]),
    "virtual, in numbered files": numbered,
}
HOLES = {
    "chunks": (partly(chunks=(64, COLUMNS)), "rows 320 to 511 of x were never written (3 of 8"),
    "parts of rows": (partly(chunks=(64, 3)), "rows 320 to 511 of x were never written (6 of 16"),
    "all chunks": (unwritten(chunks=True), "rows 0 to 511 of x were never written"),
    "no chunks": (unwritten(), "rows 0 to 511 of x were never written"),
    "no source": (
        lambda file, place: joined(file, ["part0.h5", "gone.h5"]),
        "rows 256 to 511 of x come from x of gone.h5, a file that is not there",
    ),
    "no source, but a fill value": (
        lambda file, place: joined(file, ["part0.h5", "gone.h5"], fill=2.0),
        "rows 256 to 511 of x come from x of gone.h5",
    ),
    "no dataset in the source": (
        lambda file, place: joined(file, ["part0.h5", "part1.h5"], inside="z"),
        "come from z of part0.h5, a dataset that is not there",
    ),
    "a source with holes": (
        lambda file, place: joined(file, ["part0.h5", "part1.h5"], inside="holes"),
        "come from holes of part0.h5, whose rows 128 to 255 were never written",
    ),
    "rows that no source has": (
        lambda file, place: joined(file, ["part0.h5", "part1.h5"], ((0, 200), (300, ROWS))),
        "rows 200 to 299 of x are mapped to no source",
    ),
    "columns that no source has": (
        lambda file, place: joined(file, ["part0.h5", "part1.h5"], columns=2),
        "rows 0 to 511 of x are mapped to no source",
    ),
    "a raw file that is gone": (
        unwritten(external=[("gone.raw", 0, X.nbytes)]),
        "rows 0 to 511 of x lie in gone.raw, which is not there",
    ),
}


def checked(place, make):
    sources(place)
    with h5py.File(place / "set.h5", "w", libver="latest") as file:
        make(file, place)
        file["group/x"] = file["x"]
    with DataSet(f"{place}/set.h5:/group", targets=None) as data:
        data.check_whole()


@pytest.mark.parametrize("kind", WHOLE)
def test_what_is_there_is_taken(kind, tmp_path):
    checked(tmp_path, WHOLE[kind])


@pytest.mark.parametrize("kind", HOLES)
def test_what_is_not_there_is_refused(kind, tmp_path):
    make, words = HOLES[kind]
    with pytest.raises(InputError) as refused:
        checked(tmp_path, make)
    assert words in str(refused.value).replace("group/", "")


def test_a_source_in_the_current_directory_alone_is_not_counted_on(tmp_path, monkeypatch):
    (tmp_path / "moved").mkdir()
    sources(tmp_path)
    monkeypatch.chdir(tmp_path)
    with h5py.File("moved/set.h5", "w") as file:
        joined(file.create_group("group"), ["part0.h5", "part1.h5"])
    with (
        DataSet("moved/set.h5:/group", targets=None) as data,
        pytest.raises(InputError, match=r"part0.h5, a file that is not there"),
    ):
        data.check_whole()


def test_a_file_that_a_program_writes(tmp_path):
    with h5py.File(tmp_path / "set.h5", "w") as file:
        file["group/x"] = X
        file.flush()
        with pytest.raises(InputError, match=r"another program has .* open for writing"):
            check_no_writer(tmp_path / "set.h5", "a.h5:/")
    check_no_writer(tmp_path / "set.h5", "a.h5:/")


def test_a_file_whose_program_ended_before_it_closed_it(tmp_path):
    with h5py.File(tmp_path / "set.h5", "w", libver="latest") as file:
        file["group/x"] = X
        file.swmr_mode = True
        (tmp_path / "left.h5").write_bytes((tmp_path / "set.h5").read_bytes())
    with pytest.raises(InputError, match=r"ended before it had closed it; .* h5clear -s .*left.h5"):
        DataSet(f"{tmp_path}/left.h5:/group", targets=None)
