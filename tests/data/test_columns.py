"""Sets as people have them: named columns, fields, text, packed numbers; each gives the rows that h5py gives."""

import h5py
import numpy as np
import pytest

from distmlp.config.paths import spec_of
from distmlp.data.dataset import DataSet
from distmlp.data.matching import Matched, Names
from distmlp.errors import InputError

N = 300
RANDOM = np.random.default_rng(23)
X = RANDOM.normal(size=(N, 4)).astype(np.float32)
CLASSES = RANDOM.integers(0, 3, N)
TEXT = np.array(["background", "noise", "signal"])[CLASSES]
TABLE = np.zeros(N, [("pt", "f4"), ("eta", "f8"), ("n", "i4"), ("flavour", "i4")])
for place, field in enumerate(("pt", "eta")):
    TABLE[field] = X[:, place]
TABLE["n"], TABLE["flavour"] = CLASSES + 7, CLASSES
PACKED = np.rint((X[:, :2] - 1) / 0.002).astype("i2")
PACKED[7, 1] = -32767


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("columns") / "set.h5"
    with h5py.File(path, "w") as file:
        file["g/x"], file["g/y"], file["g/column"] = X, CLASSES, CLASSES[:, None]
        file["g/x"].attrs["columns"] = ["a", "b", "c", "d"]
        file["g/pt"], file["other/eta"], file["g/float"] = X[:, 0], X[:, 1], CLASSES.astype("f8")
        file["g/jets"], file["g/text"] = TABLE, TEXT.astype("S")
        file.create_dataset("g/vtext", data=TEXT.tolist(), dtype=h5py.string_dtype())
        file["g/few"] = np.where(TEXT == "noise", "signal", TEXT).astype("S")
        packed = file.create_dataset("g/packed", data=PACKED, chunks=(64, 2))
        packed.attrs["scale_factor"], packed.attrs["add_offset"] = 0.002, 1.0
        packed.attrs["_FillValue"] = np.array([-32767], "i2")
        file["g/range"] = X
        file["g/range"].attrs["valid_range"] = np.array([-1, 1], "f4")
        file["x"], file["y"] = X, CLASSES
        file["g/gone"] = h5py.ExternalLink("gone.h5", "/x")
        file["g/far"] = h5py.SoftLink("/nowhere")
        file["g/parts/b"], file["g/parts/a"] = X[:, 0], X[:, 1]
        file.create_dataset("g/vlen", (N,), h5py.vlen_dtype("f4"))
        file.create_dataset("g/refs", (N,), h5py.ref_dtype)
        kind, rows = h5py.h5t.array_create(h5py.h5t.IEEE_F32LE, (4,)), h5py.h5s.create_simple((N,))
        h5py.h5d.create(file["g"].id, b"arrays", kind, rows)
    return path


SELECTED = {
    "x": X,
    "x[1:3]": X[:, 1:3],
    "x[-1]": X[:, 3],
    "x[d,a]": X[:, [3, 0]],
    "x[b,2:]": X[:, 1:],
    "/other/eta": X[:, 1],
    "jets[pt]": TABLE["pt"],
    "jets[n,eta]": np.column_stack([TABLE["n"], TABLE["eta"]]),
    ("pt", "/other/eta", "x[2:]"): X,
    "packed": np.where(PACKED == -32767, np.nan, PACKED * 0.002 + 1.0),
    "range": np.where(np.abs(X) <= 1, X, np.nan),
}


@pytest.mark.parametrize("inputs", SELECTED, ids=str)
def test_the_columns_that_are_named(inputs, path):
    right = SELECTED[inputs]
    with DataSet(f"{path}:/g", inputs, None) as data:
        found, _ = data.read([(5, 100), (0, 5)])
        assert (data.rows, data.width) == (N, right.size // N)
    right = np.concatenate([right[5:100], right[:5]]).reshape(100, -1)
    assert np.array_equal(found.astype(np.float64), right.astype(np.float64), equal_nan=True)


#: Targets, how the network takes them, and what they are.
TARGETS = {
    "whole numbers": ("y", 3, "auto", CLASSES),
    "a column": ("column", 3, "auto", CLASSES),
    "floats": ("float", 3, "auto", CLASSES),
    "a field": ("jets[flavour]", 3, "auto", CLASSES),
    "text": ("text", 3, "auto", CLASSES),
    "text of any length": ("vtext", 3, "auto", CLASSES),
    "numbers by a key": ("y", 1, "numbers", None),
    "a float": ("float", 1, "auto", None),
    "a column of one output": ("column", 1, "auto", None),
    "classes by a key": ("float", 1, "classes", CLASSES),
}


@pytest.mark.parametrize("kind", TARGETS)
def test_targets_are_classes_or_numbers(kind, path):
    targets, outputs, how, classes = TARGETS[kind]
    with DataSet(f"{path}:/g", "x", targets) as data:
        data.settle(outputs, "identity", how)
        _, y = data.read([(0, N)])
        assert data.classes == (classes is not None)
        assert y.ravel().tolist() == CLASSES.tolist()
        assert data.outputs == (None if data.classes else 1)
        assert data.target_names == (sorted(set(TEXT)) if "text" in kind else None)


def test_names_of_the_training_set_number_every_other(path):
    names = Names(None, sorted(set(TEXT)))
    with Matched(f"{path}:/g", "x", "few", names) as data:
        assert set(data.read([(0, N)])[1].tolist()) == {0, 2}
    with pytest.raises(InputError, match="has the class 'background', but the network knows only"):
        Matched(f"{path}:/g", "x", "few", Names(None, ["a", "signal"]))


def test_columns_have_their_names(path):
    for inputs, names in (
        ("x", list("abcd")),
        ("x[1:3]", ["b", "c"]),
        ("jets[n,eta]", ["n", "eta"]),
        (("pt", "/other/eta", "x[2:]"), ["pt", "eta", "c", "d"]),
        (("pt", "range"), None),
    ):
        with DataSet(f"{path}:/g", inputs, None) as data:
            assert data.column_names == names


WRONG = {
    "a field that is not there": ("jets[mass]", "no field 'mass'; it has pt, eta, n, flavour"),
    "no fields": ("jets", "has the fields pt, eta, n, flavour: expected which of them"),
    "a column that is not there": ("x[7]", "there is no column 7; the dataset has columns a, b"),
    "a broken link": ("gone", "gone is a link to /x of gone.h5, which is not there"),
    "a group": (
        "parts",
        "it has arrays, column, far, few, float, gone, jets, packed, parts, pt, range, refs, text, vlen, vtext, x, y; parts is a group, "
        'of whose datasets ["parts/a", "parts/b"] is a list',
    ),
    "text": ("text", "/g/text has the dtype |S10 (text), but expected real numbers"),
    "text of any length": ("vtext", "/g/vtext has the dtype object (text), but"),
    "rows of different lengths": ("vlen", "has the dtype object (rows of different lengths), but"),
    "references": ("refs", "has the dtype object (references to other datasets), but"),
    "arrays in each value": ("arrays", "/g/arrays: each of its values is an array (4,)"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_said(kind, path):
    inputs, words = WRONG[kind]
    with pytest.raises(InputError) as refused:
        DataSet(f"{path}:/g", inputs)
    assert words in str(refused.value)


def test_what_attributes_do_is_said(path):
    with DataSet(f"{path}:/g", "packed", None) as data:
        (words,) = data.notes()
    assert (
        ":/g: packed: scale_factor 0.002 and add_offset 1 are applied; -32767 stands for" in words
    )


def test_the_root_is_a_group(path):
    with DataSet(f"{path}:/") as data:
        assert data.rows == N


@pytest.mark.parametrize(
    ("spec", "inputs", "words"),
    [
        ("{}:/", "/g/gone", "the group has no dataset '/g/gone'"),
        ("{}:/", "x[9]", "{}:/x[9]: there is no column 9"),
        ("{}", "g/vlen", "{}:/g/vlen has the dtype object"),
        ("{}:/g", "/g/vlen", "{}:/g/vlen has the dtype object"),
        ("{}:/g/far", "x", "; /g/far is a link to /nowhere, which is not there"),
        ("{}:/g/gone", "x", "; /g/gone is a link to /x of gone.h5, which is not there"),
        ("{}.none:/g", "x", "{0}.none:/g: no such file: {0}.none"),
    ],
)
def test_the_place_is_said_once(spec, inputs, words, path):
    with pytest.raises(InputError) as refused:
        DataSet(spec.format(path), inputs)
    said = str(refused.value)
    assert words.format(path) in said and "//" not in said and "cannot be opened" not in said


SPECS = {
    "set.h5:/train": "/base/set.h5:/train",
    "set.h5:/": "/base/set.h5:/",
    "set.h5://": "/base/set.h5:/",
    "set.h5:/.": "/base/set.h5:/",
    "/a b/12:30/set.h5:/g/h": "/a b/12:30/set.h5:/g/h",
    "~/set.h5:/g": "/home/me/set.h5:/g",
    "$PLACE/set.h5:/g": "/scratch/set.h5:/g",
    "../set.h5": "/set.h5",
}


@pytest.mark.parametrize("spec", SPECS)
def test_specs_as_people_write_them(spec, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("PLACE", "/scratch")
    assert spec_of(spec, type(tmp_path)("/base")) == SPECS[spec]


def test_a_variable_that_is_not_set(tmp_path):
    with pytest.raises(InputError, match=r"the variable \$NOWHERE is not set"):
        spec_of("$NOWHERE/set.h5:/g", tmp_path)


def test_a_filter_that_is_not_installed(tmp_path):
    with h5py.File(tmp_path / "set.h5", "w") as file:
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk((128, 4))
        plan.set_filter(32099, h5py.h5z.FLAG_OPTIONAL, (2, 2))
        space = h5py.h5s.create_simple((512, 4))
        h5py.h5d.create(file.id, b"x", h5py.h5t.IEEE_F32LE, space, plan)
        file["y"] = np.zeros(512)
    with pytest.raises(InputError, match=r"filter 32099 .* pip install hdf5plugin"):
        DataSet(f"{tmp_path}/set.h5:/")


def test_chunks_of_columns_are_kept_decompressed(tmp_path):
    with h5py.File(tmp_path / "set.h5", "w") as file:
        how = {"chunks": (2**20, 1), "compression": "gzip"}
        file.create_dataset("x", (2**20, 8), "f4", fillvalue=1.0, **how)
    with DataSet(f"{tmp_path}/set.h5:/", targets=None) as data:
        assert data.parts[0].stored.id.get_access_plist().get_chunk_cache()[1] == 2**25
