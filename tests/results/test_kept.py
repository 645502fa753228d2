"""What predict keeps of the data beside its answers: of tables, HDF5 and several files, as they have it."""

import csv
from pathlib import Path

import h5py
import numpy as np
import pandas
import pytest
from launching import distmlp

from distmlp.cli import main as cli
from distmlp.errors import InputError
from distmlp.results import answers, kept
from distmlp.results.kept import Kept

ROWS = 9001  # more than two blocks


def written(tmp_path, spec, columns, row_numbers=False, rows=ROWS):
    """(name, values) of what is kept, as lists."""
    with h5py.File(tmp_path / "out.h5", "w") as file:
        kept.write(file, spec, Kept(columns, row_numbers), rows)
    with h5py.File(tmp_path / "out.h5") as file:
        return [
            (
                name,
                (stored.asstr() if h5py.check_string_dtype(stored.dtype) else stored)[...].tolist(),
            )
            for name, stored in kept.datasets(file)
        ]


def refusal(tmp_path, spec, columns, **how):
    with pytest.raises(InputError) as caught:
        written(tmp_path, spec, columns, **how)
    return str(caught.value)


IDS = [f"{i:05d}" for i in range(ROWS)]
NAMES = [f'a "quoted", name {i}' if i % 3 else "" for i in range(ROWS)]


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "t.csv"
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(
            [("m/s", "id", "name"), *zip(range(ROWS), IDS, NAMES, strict=True)]
        )
    return str(path)


def test_cells_of_a_table_stay_as_they_are_written(tmp_path, table):
    """Zeros before a number, quotes, empty cells, a slash in a name; in the order that was asked for."""
    found = written(tmp_path, table, ["name", "id", "m/s"], row_numbers=True)
    assert found == [
        ("row", list(range(ROWS))),
        ("name", NAMES),
        ("id", IDS),
        ("m/s", [str(i) for i in range(ROWS)]),
    ]
    assert written(tmp_path, table, ["-2..2"]) == [("id", IDS), ("name", NAMES)]


@pytest.mark.parametrize("kind", ["parquet", "xlsx"])
def test_tables_of_other_kinds(tmp_path, kind):
    rows = 50
    frame = pandas.DataFrame({"x": np.arange(rows) / 4, "id": IDS[:rows], "n": range(rows)})
    path = tmp_path / f"t.{kind}"
    frame.to_parquet(path) if kind == "parquet" else frame.to_excel(path, index=False)
    found = written(tmp_path, str(path), ["n", "id"], rows=rows)
    assert found == [("n", [str(i) for i in range(rows)]), ("id", IDS[:rows])]


def test_several_tables_below_one_another(tmp_path):
    for part, order in (("a", ["id", "x"]), ("b", ["x", "id"])):
        frame = pandas.DataFrame({"x": range(3), "id": [f"{part}{i}" for i in range(3)]})
        frame[order].to_csv(tmp_path / f"part-{part}.csv", index=False)
    found = written(tmp_path, f"{tmp_path}/part-*.csv", ["id"], rows=6)
    assert found == [("id", ["a0", "a1", "a2", "b0", "b1", "b2"])]


@pytest.fixture
def file(tmp_path):
    """Identifiers as numbers, as text of both kinds, as a field, and classes with names."""
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["g/id"] = np.arange(ROWS, dtype="u8") + 2**63
        file["g/fixed"] = np.array(IDS, "S")
        file.create_dataset("g/text", data=NAMES, dtype=h5py.string_dtype())
        file["g/place"] = np.arange(2 * ROWS).reshape(ROWS, 2) / 3
        fields = np.zeros(ROWS, [("key", "i4"), ("pt", "f4")])
        fields["key"] = np.arange(ROWS)
        file["g/jets"], file["other/t"] = fields, np.arange(ROWS) % 7
        file["g/y"], file["g/few"] = np.arange(ROWS) % 3, np.zeros(5)
        file["g/y"].attrs.create("classes", ["ash", "elm"], dtype=h5py.string_dtype())
    return f"{tmp_path}/s.h5:/g"


def test_datasets_of_a_set(tmp_path, file):
    names = ["id", "fixed", "text", "place", "jets[key]", "/other/t", "y"]
    assert written(tmp_path, file, names) == [
        ("id", [2**63 + i for i in range(ROWS)]),
        ("fixed", IDS),
        ("text", NAMES),
        ("place", [[2 * i / 3, (2 * i + 1) / 3] for i in range(ROWS)]),
        ("key", list(range(ROWS))),
        ("t", [i % 7 for i in range(ROWS)]),
        ("y", [("ash", "elm", "2")[i % 3] for i in range(ROWS)]),
    ]


def test_several_files_of_a_set(tmp_path):
    for part in "ab":
        with h5py.File(tmp_path / f"p-{part}.h5", "w") as file:
            file.create_dataset("id", data=[f"{part}0", f"{part}1"], dtype=h5py.string_dtype())
            file["n"] = np.arange(2, dtype="i2" if part == "a" else "i8")
    specs = [f"{tmp_path}/p-b.h5:/", f"{tmp_path}/p-a.h5:/"]
    assert written(tmp_path, specs, ["id"], rows=4) == [("id", ["b0", "b1", "a0", "a1"])]


def test_what_is_refused(tmp_path, table, file):
    assert "--keep nmae: no column has that name; did you mean 'name'?" in refusal(
        tmp_path, table, ["nmae"]
    )
    assert "--keep id,id: names column 1 twice" in refusal(tmp_path, table, ["id", "id"])
    gone = refusal(tmp_path, file, ["gone"])
    assert gone.startswith("--keep gone: ") and "the group has no dataset 'gone'" in gone
    assert "--keep few: has 5 rows, but the inputs have 9001" in refusal(tmp_path, file, ["few"])
    assert "--keep t: what is kept has that name already" in refusal(
        tmp_path, file, ["/other/t", "/other/t"]
    )
    pandas.DataFrame({"row": [1, 2]}).to_csv(tmp_path / "r.csv", index=False)
    assert "leave --row-numbers away" in refusal(
        tmp_path, f"{tmp_path}/r.csv", ["row"], row_numbers=True
    )


def test_a_column_that_convert_left_behind(tmp_path, table, monkeypatch, capsys):
    """The refusal says where it is, and it is there."""
    monkeypatch.chdir(tmp_path)
    assert (
        cli.main(["convert", "t.csv", "t.h5", "--inputs", "m/s", "--no-targets", "--drop", "name"])
        == 0
    )
    said = refusal(tmp_path, "t.h5:/train", ["id"])
    assert said.endswith(
        "; convert wrote only inputs and targets of t.csv: with the table itself as --data, --keep finds its other columns"
    )
    assert written(tmp_path, "t.csv", ["id"]) == [("id", IDS)]


def test_heads_of_what_is_kept_and_of_answers_differ(tmp_path):
    """A target that is kept stands beside the answer of the same name."""
    frame = pandas.DataFrame({"price": [1.5, 2.5], "given": ["a", "b"], "class": ["x", "y"]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    with answers.created(tmp_path / "out.csv", overwrite=False) as file:
        file["a"], file["class"] = np.array([[1.25], [2.75]]), np.array([0, 1])
        file["a"].attrs.create("columns", ["price"], dtype=h5py.string_dtype())
        kept.write(file, str(tmp_path / "t.csv"), Kept(["price", "given", "class"], True), 2)
    assert Path(tmp_path / "out.csv").read_text().splitlines() == [
        "row,given price,given,given class,class,price",
        "0,1.5,a,x,0,1.25",
        "1,2.5,b,y,1,2.75",
    ]


def test_predict_keeps_rows_together_on_any_rank_count(tmp_path, openmpi):
    """Each identifier stands beside the answer to its own row."""
    rng = np.random.default_rng(1)
    frame = pandas.DataFrame(rng.normal(size=(1500, 2)), columns=["u", "v"])
    frame["id"] = [f"{i:04d}" for i in rng.permutation(1500)]
    frame["sum"] = frame["u"] + frame["v"]
    frame.to_csv(tmp_path / "t.csv", index=False)
    for words in (
        ["init", "t.csv", "--drop", "id"],
        ["train", "t.toml", "--progress", "none", "--set", "training.epochs=3"],
    ):
        done = distmlp(*words, cwd=tmp_path)
        assert done.status == 0, done.err
    frame[::-1].to_csv(tmp_path / "reversed.csv", index=False)
    ask = ["predict", "runs/t", "--keep", "id", "--keep", "sum", "--data"]
    for data, out, how in (
        ("t.csv", "one.csv", {}),
        ("reversed.csv", "two.csv", {"mpi": openmpi, "ranks": 2}),
    ):
        done = distmlp(*ask, data, "--output", out, cwd=tmp_path, **how)
        assert done.status == 0, done.err
    one, two = (
        list(csv.reader((tmp_path / name).read_text().splitlines()))
        for name in ("one.csv", "two.csv")
    )
    assert one[0] == two[0] == ["id", "given sum", "sum"]
    assert one[1:] == two[:0:-1]
    assert [row[0] for row in one[1:]] == frame["id"].tolist()
    assert [float(row[1]) for row in one[1:]] == frame["sum"].tolist()
    done = distmlp(*ask, "t.csv", "--keep", "idd", "--output", "no.csv", cwd=tmp_path)
    assert done.status == 2 and "did you mean 'id'?" in done.err
    assert not (tmp_path / "no.csv").exists()
