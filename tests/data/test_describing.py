"""What is in a file: by column and by class, and what is doubtful about it."""

import json

import h5py
import numpy as np
import pytest

from distmlp.cli import main as cli
from distmlp.data.describing import MOST_DISTINCT, describe
from distmlp.errors import InputError


@pytest.fixture
def measured(tmp_path):
    """A file with a set of five columns, each with something of its own, and one of inputs alone."""
    rows = 3000  # more than a block
    n = np.arange(rows)
    x = np.stack([n, np.full(rows, 7.0), n % 3 * 1e5, np.sin(n), 1e8 + n % 2], axis=1)
    x[2, 3], x[5, 3], x[6, 2] = np.nan, np.nan, np.inf
    with h5py.File(tmp_path / "m.h5", "w") as file:
        stored = file.create_dataset("train/x", data=x, chunks=(100, 5), compression="gzip")
        stored.attrs["columns"] = ["row", "seven", "steps", "sine", "clock"]
        file["train/y"] = np.where(n == 0, 3, n % 2)
        file["new/x"] = x[:4, :2].astype("f4")
    return tmp_path / "m.h5"


def test_columns(measured):
    found = describe(f"{measured}:/train")
    (whole,) = found["sets"]
    row, seven, steps, sine, clock = whole["columns"]
    assert [c["name"] for c in whole["columns"]] == ["row", "seven", "steps", "sine", "clock"]
    assert (row["least"], row["most"], row["mean"], row["distinct"]) == (0, 2999, 1499.5, None)
    assert MOST_DISTINCT < 3000 and row["numbers_rows"] and not seven["numbers_rows"]
    assert (seven["constant"], seven["spread"], seven["distinct"]) == (True, 0, 1)
    assert (steps["infinite"], steps["missing"], steps["distinct"]) == (1, 0, 3)
    assert sine["missing"] == 2 and sine["infinite"] == 0
    assert clock["mean"] == 1e8 + 0.5 and clock["spread"] == 0.5
    assert whole["classes"] == {"0": 1499, "1": 1500, "3": 1}
    assert found["file"][0] == {
        "name": "/train/x",
        "shape": [3000, 5],
        "dtype": "float64",
        "chunks": [100, 5],
        "filters": ["deflate"],
    }


def test_what_is_doubtful(measured):
    said = describe(f"{measured}:/train")["sets"][0]["doubtful"]
    for part in (
        "seven: constant",
        "row: numbers the rows",
        "sine: lacks values",
        "steps: infinite",
        "clock: all but constant to float32",
        'data.scale_inputs = "standardise"',
        "1 of the classes 0 to 3 never occur",
        "classes 3 are 20 times rarer",
    ):
        assert any(part in words for words in said), part


def test_targets_that_are_numbers(tmp_path):
    with h5py.File(tmp_path / "r.h5", "w") as file:
        file["x"] = np.random.default_rng(1).normal(size=(35, 2))
        file["y"] = np.stack([np.arange(35.0) % 7, 1e5 * (np.arange(35.0) % 5)], axis=1)
    (whole,) = describe(f"{tmp_path / 'r.h5'}:/")["sets"]
    assert [t["most"] for t in whole["targets"]] == [6, 4e5]
    assert whole["doubtful"] == [
        'targets spread by 2 to 1.414e+05: data.scale_targets = "standardise" makes them count alike'
    ]


def test_tables(tmp_path):
    table = tmp_path / "s.csv"
    table.write_text("a,b,kind\n1,2.5,x\n2,?,y\n3,0.5,x\n")
    (whole,) = describe(str(table))["sets"]
    a, b, kind = whole["columns"]
    assert (a["mean"], a["numbers_rows"], b["missing"], b["mean"]) == (2, True, 1, 1.5)
    assert kind["text"] == {"x": 2, "y": 1} and kind["mean"] is None
    assert not any("text" in words for words in whole["doubtful"]), "the last column is the target"


def test_a_table_with_inputs_of_text(tmp_path):
    table = tmp_path / "p.csv"
    table.write_text("island,sex,size,kind\nDream,m,1.5,a\nBiscoe,,,b\nDream,f,0.5,a\n")
    (whole,) = describe(str(table))["sets"]
    assert [words for words in whole["doubtful"] if "island" in words] == [
        "island, sex: text, which is no input as it is; --categories island,sex makes an input of each value, "
        "--drop island,sex leaves them out"
    ]
    missing = [words for words in whole["doubtful"] if "lacks values" in words]
    assert [words.split(":")[0] for words in missing] == ["size", "sex"]
    assert "data.missing" in missing[0] and "data.missing" not in missing[1]


def test_the_command(measured, capsys):
    assert cli.main(["data", str(measured)]) == 0
    said = capsys.readouterr().out
    assert "/train/x  (3000, 5) float64, chunks (100, 5), deflate" in said
    assert f"{measured}:/new: 4 rows, 2 columns" in said and "  class 3: 1 (0.0 %)" in said
    assert cli.main(["data", f"{measured}:/new", "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == describe(f"{measured}:/new")


@pytest.mark.parametrize(
    "spec, part", [("no.h5", "no such file"), ("{}:/no", "has no group /no; it has new, train")]
)
def test_what_cannot_be_described(measured, spec, part):
    with pytest.raises(InputError, match=part):
        describe(spec.format(measured))
