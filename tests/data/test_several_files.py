"""Several files as one set: they read as one file with the same rows does, and files that do not fit are refused."""

import h5py
import numpy as np
import pytest
from example import rows, write_set
from preparing import config_in, prepared

from distmlp.config.reading import from_json
from distmlp.data import several_files
from distmlp.data.dataset import DataSet
from distmlp.errors import InputError
from distmlp.parallel.communicator import SingleProcess
from distmlp.results.checkpoint_commands import evaluate, predict
from distmlp.training.loop import train

X, Y = rows(1009)
#: Where the files end; none but the second is a multiple of the chunks, and the last has another form.
CUTS = (0, 203, 403, 800, 1009)
LAYOUTS = (
    {},
    {"chunks": (50, 20)},
    {"chunks": (64, 20), "compression": "gzip"},
    {"chunks": (50, 7)},
)
STREAMED = {"data.window": "0.03 MB", "data.chunk_rows": 50}


def write_parts(place, x=X, y=Y, layouts=LAYOUTS):
    for number, how in enumerate(layouts):
        here = slice(CUTS[number], CUTS[number + 1])
        with h5py.File(place / f"part-{number}.h5", "w") as file:
            kind = ">f4" if number == 3 else x.dtype
            file.create_dataset("train/x", data=x[here].astype(kind), **how)
            file["train/y"] = y[here]
            file["train/patient"] = np.arange(len(x))[here] // 3


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("several")
    write_parts(place)
    write_set(place / "set.h5")
    with h5py.File(place / "set.h5", "a") as file:
        file["train/patient"] = np.arange(1009) // 3
    return place


def pattern(place):
    return f"{place}/part-*.h5:/train"


def listed(place):
    return [f"{place}/part-{i}.h5:/train" for i in range(4)]


@pytest.mark.parametrize("named", [pattern, listed])
def test_rows_are_those_of_one_file(named, place):
    with DataSet(named(place)) as data:
        assert data.rows == 1009 and data.width == 20 and data.classes
        assert data.file_chunk_rows == 64
        for pieces in ([(0, 1009)], [(202, 204)], [(402, 801), (0, 1), (1008, 1009), (5, 5)]):
            x, y = data.read(pieces)
            wanted = np.concatenate([np.arange(*piece) for piece in pieces])
            assert np.array_equal(x, X[wanted]) and np.array_equal(y, Y[wanted])
        assert data.located(202).endswith("part-0.h5:/train: row 202")
        assert data.located(403).endswith("part-2.h5:/train: row 0")
        (note,) = data.notes()
        assert "1009 rows of 4 files" in note and "part-0.h5" in note and "part-3.h5" in note


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"data.chunk_rows": 50}, STREAMED], ids=["held", "streamed"])
@pytest.mark.parametrize("named", [pattern, listed])
def test_v_and_the_digest_of_the_data_are_those_of_one_file(named, changes, place, tmp_path):
    """Also after a resume in the middle of an epoch, on the other of the two."""
    more = {**changes, "data.validation": f"{place}/set.h5:/test"}

    def trained(where, **how):
        run = {"run.directory": str(tmp_path / "run")}
        return train(config_in(place, {**more, **run, "data.train": where}), SingleProcess(), **how)

    whole = trained(f"{place}/set.h5:/train", resume="never")
    again = trained(named(place), resume="never")
    assert again.v_sha256 == whole.v_sha256 and again.record["cost"] == whole.record["cost"]
    trained(named(place), resume="never", until=11)
    assert trained(f"{place}/set.h5:/train").v_sha256 == whole.v_sha256
    trained(f"{place}/set.h5:/train", resume="never", until=11)
    assert trained(named(place)).v_sha256 == whole.v_sha256


def test_standardised_and_folded_like_one_file(place):
    changes = {
        "data.validation": "",
        "data.scale_inputs": "standardise",
        "data.folds": 4,
        "data.fold": 2,
        "data.fold_by": "patient",
    }
    found = []
    for train_spec in (f"{place}/set.h5:/train", listed(place)):
        with prepared(place, {**changes, "data.train": train_spec}) as run:
            arrays = {name: a.tolist() for name, a in run.transform.arrays().items()}
            held_out = run.validation.read([(0, run.validation.rows)])
            found.append((arrays, run.witness.known, [part.tolist() for part in held_out]))
            for part in (run.data, run.validation):
                noted = part.notes()
                assert not noted or f": {part.rows} of the 1009 rows of 4 files, from" in noted[0]
            assert bool(noted) == (train_spec == listed(place))
    assert found[0] == found[1]


def test_evaluate_and_predict_take_them(place, tmp_path):
    run = {"run.directory": str(tmp_path / "run")}
    train(config_in(place, {**run, "data.train": pattern(place)}), SingleProcess())
    one = evaluate(tmp_path / "run", f"{place}/set.h5:/train", SingleProcess())
    assert evaluate(tmp_path / "run", pattern(place), SingleProcess()) == one
    assert evaluate(tmp_path / "run", listed(place), SingleProcess()) == one
    for spec, name in (
        (f"{place}/set.h5:/train", "a"),
        (pattern(place), "b"),
        (listed(place), "c"),
    ):
        assert predict(tmp_path / "run", spec, tmp_path / f"{name}.h5", SingleProcess()) == 1009
    with h5py.File(tmp_path / "a.h5") as a, h5py.File(tmp_path / "b.h5") as b:
        assert np.array_equal(a["a"][...], b["a"][...])
    with pytest.raises(InputError, match="which this command reads"):
        predict(
            tmp_path / "run", pattern(place), place / "part-1.h5", SingleProcess(), overwrite=True
        )


def test_text_in_several_files_is_one_list_of_classes(tmp_path):
    words = [["b", "a"], ["c", "b", "a"]]
    for number, some in enumerate(words):
        with h5py.File(tmp_path / f"{number}.h5", "w") as file:
            file["x"] = np.ones((len(some), 2))
            file["y"] = np.array(some, "S")
    with DataSet([f"{tmp_path}/{i}.h5:/" for i in range(2)]) as data:
        data.settle(3, "softmax", "auto")
        assert data.target_names == ["a", "b", "c"]
        assert data.read([(0, 5)])[1].tolist() == [1, 0, 2, 1, 0]


def two(place, x=None, y=None, names=(None, None), classes=(None, None)):
    for number in range(2):
        with h5py.File(place / f"{number}.h5", "w") as file:
            file["x"] = X[:10] if x is None or not number else x
            file["y"] = Y[:10] if y is None or not number else y
            if names[number]:
                file["x"].attrs["columns"] = [f"{names[number]}{i}" for i in range(20)]
            if classes[number]:
                file["y"].attrs["classes"] = classes[number]
    return f"{place}/?.h5:/"


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"x": X[:10, :5]}, [r"1.h5:/: the shape of a row of its inputs is \(5,\)", r"is \(20,\)"]),
        ({"x": X[:10].astype("f8")}, ["dtype of its inputs is float64", "is float32"]),
        ({"y": Y[:10].astype("u1")}, ["dtype of its targets is uint8"]),
        ({"y": np.array(["a"] * 10, "S")}, ["its targets are text", "are numbers"]),
        ({"names": ("a", "b")}, ["names of its inputs is b0, b1, b2, b3, b4, b5, …"]),
        ({"classes": (["a", "b"], ["b", "a"])}, ["names of the classes of its targets is b, a"]),
        ({"x": X[:0]}, [r"1.h5:/x has the shape \(0, 20\)"]),
        ({"y": Y[:9]}, ["1.h5:/: x has 10 rows, but y has 9"]),
    ],
)
def test_files_that_do_not_fit_are_refused(how, words, tmp_path):
    with pytest.raises(InputError) as refused:
        DataSet(two(tmp_path, **how))
    for word in words:
        refused.match(word)


def test_what_cannot_be_named_is_said(tmp_path):
    with pytest.raises(InputError, match="no file has such a name"):
        several_files.named(f"{tmp_path}/none-*.h5:/train")
    with pytest.raises(InputError, match=r"^/none\.h5:/x: no such file: /none\.h5$"):
        DataSet("/none.h5:/x")
    spec = two(tmp_path)
    with pytest.raises(InputError, match=r"0.h5:/: is named twice"):
        several_files.named([spec, f"{tmp_path}/0.h5:/"])
    (tmp_path / "odd[1].h5").write_bytes((tmp_path / "0.h5").read_bytes())
    assert several_files.named(f"{tmp_path}/odd[1].h5:/") == [f"{tmp_path}/odd[1].h5:/"]


def test_a_row_that_cannot_be_trained_on_is_named_in_its_file(tmp_path):
    x = X.copy()
    x[405, 3] = np.nan
    write_parts(tmp_path, x)
    with (
        pytest.raises(InputError, match=r"part-2.h5:/train: row 2: its inputs hold a NaN"),
        prepared(tmp_path, {"data.train": pattern(tmp_path)}),
    ):
        pass


def test_rows_that_are_not_there_are_found_in_any_file(tmp_path):
    write_parts(tmp_path)
    with h5py.File(tmp_path / "part-2.h5", "a") as file:
        del file["train/x"]
        file.create_dataset("train/x", (397, 20), "f4", chunks=(50, 20))[:100] = 1
    with (
        pytest.raises(InputError, match=r"part-2.h5:/train: rows 100 to 396 of train/x were never"),
        prepared(tmp_path, {"data.train": pattern(tmp_path)}),
    ):
        pass


def test_a_config_keeps_them(place):
    config = config_in(place, {"data.train": listed(place)})
    assert from_json(config.to_json()) == config
    assert config.data.train == tuple(listed(place))
