"""HDF5 written anew: transposed arrays, chunks of columns, several files, classes by value, data frames of pandas."""

import h5py
import numpy as np
import pytest
from converting import assert_holds, read, refusal

from distmlp.data import opening
from distmlp.data.conversion.convert import convert
from distmlp.data.conversion.options import TableOptions
from distmlp.data.dataset import DataSet
from distmlp.errors import InputError

X = np.random.default_rng(1).normal(size=(300, 4))
Y = (X[:, 0] > 0).astype("i8") + (X[:, 1] > 0)


def named(inputs, targets=("y",), **more):
    return TableOptions(inputs=inputs and [inputs], targets=targets, **more)


def write(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return path


def test_matlab_s_arrays_are_turned(tmp_path, out):
    """Also those of more dimensions; a set of inputs alone; several datasets side by side."""
    pictures = np.arange(300 * 6.0).reshape(300, 3, 2)
    mat = tmp_path / "data.mat"
    with h5py.File(mat, "w", userblock_size=512) as file:
        one_hot = np.eye(3)[Y].T
        for name, array in {"X": X.T, "y": Y[None] + 1.0, "Y": one_hot, "p": pictures.T}.items():
            file.create_dataset(name, data=array, chunks=array.shape, compression="gzip")
    with pytest.raises(
        InputError, match=r"transposed.*convert .*data.mat:/ OUT.h5 --inputs X --tar"
    ):
        DataSet(f"{mat}:/", "X", "y")
    spec = f"{mat}:/"
    convert([spec], out, table=named("X", ["Y"]), transposed=True)
    assert_holds(out, X, np.eye(3)[Y])
    convert([spec], out, table=named("X", ["y"], by_name=True), transposed=True, overwrite=True)
    assert_holds(out, X, Y)
    with h5py.File(out) as file:
        assert list(file["train/y"].attrs["classes"]) == ["1", "2", "3"]
    convert([spec], out, table=named("p", ()), transposed=True, overwrite=True)
    with h5py.File(out) as file:
        assert (
            np.array_equal(file["train/x"], pictures.reshape(300, 6)) and "y" not in file["train"]
        )
        assert list(file["train/x"].attrs["sample_shape"]) == [3, 2]
    both = TableOptions(inputs=["X", "y"], targets=["y"])
    convert([spec], out, table=both, transposed=True, overwrite=True)
    assert_holds(out, np.column_stack([X, Y + 1.0]), Y[:, None] + 1.0)


@pytest.mark.parametrize("regression", [False, True])
def test_sets_below_one_another_with_their_names(tmp_path, out, regression):
    for number, rows in enumerate((slice(0, 100), slice(100, 300))):
        path = write(tmp_path / f"{number}.h5", **{"g/x": X[rows].astype("f4"), "g/y": Y[rows]})
        with h5py.File(path, "a") as file:
            file["g/x"].attrs["columns"] = list("abcd")
            file["g/y"].attrs["classes"] = ["u", "v", "w"]
    sources = [f"{tmp_path}/?.h5:/g"]
    convert(sources, out, regression=regression, chunk_rows=70, compression="gzip")
    wanted = Y[:, None].astype(float) if regression else Y
    assert_holds(out, X.astype("f4"), wanted)
    with h5py.File(out) as file:
        assert list(file["train/x"].attrs["columns"]) == list("abcd")
        assert ("classes" in file["train/y"].attrs) == (not regression)
        assert list(file["train"].attrs["sources"]) == ["?.h5"]
    again = tmp_path / "again.h5"
    convert([f"{tmp_path}/0.h5:/g", f"{tmp_path}/1.h5:/g"], again, regression=regression)
    assert_holds(again, X.astype("f4"), wanted)


def test_text_becomes_classes_and_a_file_alone_is_its_root(tmp_path, out):
    words = np.array(["a", "b", "c"], "S")[Y]
    convert([write(tmp_path / "s.h5", x=X, y=words)], out)
    assert_holds(out, X, Y)
    with h5py.File(out) as file:
        assert list(file["train/y"].attrs["classes"]) == ["a", "b", "c"]


def test_columns_that_cannot_be_kept_are_named_and_written_anew(tmp_path, out, monkeypatch):
    path = tmp_path / "columns.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=X, chunks=(300, 1), compression="gzip")
        file["y"] = Y
    with DataSet(f"{path}:/") as data:
        assert data.notes() == []
    monkeypatch.setattr(opening, "_MOST_CACHE", 1000)
    with DataSet(f"{path}:/") as data:
        (note,) = data.notes()
    assert f"distmlp convert {path}:/ OUT.h5 writes it with whole rows" in note
    reads = []
    there = DataSet.read
    monkeypatch.setattr(DataSet, "read", lambda *a: reads.append(1) or there(*a))
    convert([f"{path}:/"], out, chunk_rows=10)
    assert len(reads) == 1  # all chunks were decompressed once
    assert_holds(out, X, Y)
    with DataSet(f"{out}:/train") as data:
        assert data.notes() == []


def test_what_is_refused(tmp_path, out):
    path = write(tmp_path / "s.h5", x=X, y=Y, many=X)
    assert "no dataset 'z'; it has many, x, y" in refusal_of([f"{path}:/"], out, table=named("z"))
    assert "--drop is for tables" in refusal([path], out, table=TableOptions(drop=["a"]))
    assert "--transposed is for arrays in HDF5" in refusal_of(
        [write_npy(tmp_path)], out, transposed=True
    )
    by_name = named("x", ["many"], by_name=True)
    assert "--classes takes one column of targets" in refusal_of([path], out, table=by_name)
    assert "no such file" in refusal_of([f"{tmp_path}/none.h5:/"], out)


def refusal_of(sources, out, **options):
    with pytest.raises(InputError) as refused:
        convert(sources, out, **options)
    assert not out.exists()
    return str(refused.value)


def write_npy(place):
    np.save(place / "x.npy", X)
    return place / "x.npy"


def frame(path):
    """As pandas' to_hdf(format="fixed") lays a frame out: floats in one block, whole numbers in another."""
    with h5py.File(path, "w") as file:
        file["df/axis0"] = np.array([b"a", b"label", b"b", b"c", b"d"])
        file["df/axis1"] = np.arange(300)
        file["df/block0_items"], file["df/block0_values"] = np.array([b"a", b"b", b"c", b"d"]), X
        file["df/block1_items"], file["df/block1_values"] = np.array([b"label"]), Y[:, None]
    return f"{path}:/df"


def test_a_data_frame(tmp_path, out):
    spec = frame(tmp_path / "frame.h5")
    with pytest.raises(InputError, match=r"data frame of pandas: distmlp convert .*:/df OUT.h5"):
        DataSet(spec)
    said = convert([spec], out, table=TableOptions(targets=["label"]))
    assert_holds(out, X, Y)
    assert "the frame's index was left out" in said[0]
    with h5py.File(out) as file:
        assert list(file["train/x"].attrs["columns"]) == list("abcd")
    with DataSet(spec, "block0_values", "block1_values") as data:  # as it has always been read
        assert data.rows == 300


@pytest.mark.parametrize("form", ["fixed", "table"])
def test_what_pandas_itself_writes(tmp_path, out, form):
    pytest.importorskip("tables", reason="PyTables is not installed, by which pandas writes HDF5")
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(X, columns=list("abcd"))
    table["label"] = Y
    table["flag"] = Y > 1
    more = {"data_columns": ["b"]} if form == "table" else {}
    table.to_hdf(tmp_path / "f.h5", key="deep/df", format=form, **more)
    options = TableOptions(targets=["label"], inputs=["a", "b", "c", "d", "flag"])
    convert([f"{tmp_path}/f.h5:/deep/df"], out, table=options)
    x, y = read(out)
    assert np.array_equal(x, np.column_stack([X, Y > 1])) and np.array_equal(y, Y)


def test_text_in_data_frames(tmp_path, out):
    """Read where it is text in the file; refused where it is pickled."""
    pytest.importorskip("tables", reason="PyTables is not installed, by which pandas writes HDF5")
    pandas = pytest.importorskip("pandas")
    kinds = np.array(["low", "middle", "high"], object)[Y]
    table = pandas.DataFrame({"a": X[:, 0], "kind": pandas.Series(kinds, dtype=object)})
    table.to_hdf(tmp_path / "f.h5", key="t", format="table")
    convert([f"{tmp_path}/f.h5:/t"], out, table=TableOptions(targets=["kind"]))
    assert np.array_equal(read(out)[1], np.array([1, 2, 0])[Y])
    out.unlink()
    table.to_hdf(tmp_path / "g.h5", key="t", format="fixed")
    assert "Python objects" in refusal([f"{tmp_path}/g.h5:/t"], out)
