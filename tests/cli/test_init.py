"""`distmlp init`: a config that trains at once, from HDF5 and from a table."""

import csv
import json
import tomllib

import h5py
import numpy as np
import pytest
from converting import put

from distmlp.cli import main as cli
from distmlp.data.describing import describe
from distmlp.data.proposing import proposed, text

__all__ = ["put"]


def write(path, x, y, group="train"):
    with h5py.File(path, "a") as file:
        file[f"{group}/x"], file[f"{group}/y"] = x, y


def begin(*words):
    return cli.main(["init", *map(str, words)])


RNG = np.random.default_rng(3)
X = RNG.normal(size=(300, 3)) * [1e5, 1.0, 1e-3] + [1e6, 0.0, 5.0]
U = (X - X.mean(axis=0)) / X.std(axis=0)
CLASSES = (U[:, 0] > 0).astype("i8") + (U[:, 1] > 0)


@pytest.mark.parametrize(
    "y, layers, output, cost, held_out",
    [
        (
            CLASSES,
            [3, 100, 3],
            "softmax",
            "cross-entropy",
            {"folds": 10, "fold": 1, "fold_by": "classes"},
        ),
        (
            CLASSES > 0,
            [3, 100, 1],
            "sigmoid",
            "cross-entropy",
            {"folds": 10, "fold": 1, "fold_by": "classes"},
        ),
        (U[:, :2] * [1, 1e5], [3, 100, 2], "identity", "mse", {"folds": 10, "fold": 1}),
    ],
)
def test_what_a_set_asks_for(tmp_path, y, layers, output, cost, held_out):
    write(tmp_path / "s.h5", X, y.astype("u1") if y.dtype == bool else y)
    (found,) = describe(f"{tmp_path / 's.h5'}:/train")["sets"]
    config = tomllib.loads(text(proposed(found), "s.h5:/train", "", ("x", "y"), "runs/s"))
    assert config["network"]["layers"] == layers
    assert (config["network"]["output"], config["network"]["cost"]) == (output, cost)
    assert {"train": "s.h5:/train", "scale_inputs": "standardise"}.items() <= config["data"].items()
    assert held_out.items() <= config["data"].items()
    assert ("scale_targets" in config["data"]) == (output == "identity")
    assert "missing" not in config["data"] and config["optimizer"]["name"] == "adam"


@pytest.mark.slow
def test_init_train_evaluate(tmp_path, monkeypatch, capsys):
    """Inputs of sizes from 1e-3 to 1e6 train at once, as a set of its own validates."""
    monkeypatch.chdir(tmp_path)
    write("s.h5", X[:250], CLASSES[:250])
    write("s.h5", X[250:], CLASSES[250:], "test")
    assert begin("s.h5:/train", "s.h5:/test") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "distmlp train s.toml"
    assert begin("s.h5:/train") == 2
    assert "s.toml is there already, and init leaves it as it is: distmlp train s.toml" in (
        capsys.readouterr().err
    )
    words = ["s.toml", "--progress", "none", "--set", "training.epochs=200"]
    assert cli.main(["train", *words, "--set", "run.checkpoint_every=20 epochs"]) == 0
    capsys.readouterr()
    assert cli.main(["evaluate", "runs/s", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found.get("metrics", found)["accuracy"] > 0.75  # half of them are of one class


def test_a_table_with_missing_cells_and_names_of_classes(put, tmp_path, monkeypatch, capsys):
    rows = [
        f"{'' if i == 7 else f'{u:.4f}'},{v:.4f},{('low', 'middle', 'high')[c]}"
        for i, (u, v, c) in enumerate(zip(X[:, 0], X[:, 1], CLASSES, strict=True))
    ]
    table = put("people.csv", "a,b,kind\n" + "\n".join(rows) + "\n")
    monkeypatch.chdir(tmp_path)
    assert begin(table) == 0
    said = capsys.readouterr().out
    assert "classes   high" in said
    config = tomllib.loads((tmp_path / "people.toml").read_text())
    assert config["data"]["train"] == "people.h5:/train" and config["data"]["missing"] == "mean"
    assert config["network"]["layers"] == [2, 100, 3]
    words = ["people.toml", "--progress", "none", "--set", "training.epochs=2"]
    assert cli.main(["train", *words]) == 0


def test_a_second_init_of_a_table(put, tmp_path, monkeypatch, capsys):
    """It names what is there and each way on, and each way goes on."""
    monkeypatch.chdir(tmp_path)
    table = put("s.csv", "a,b\n" + "".join(f"{u},{v}\n" for u, v, _ in U))
    assert begin(table) == 0
    first = (tmp_path / "s.toml").read_bytes(), (tmp_path / "s.h5").read_bytes()
    assert begin(table) == 2
    said = capsys.readouterr().err
    assert "s.toml is there already" in said and "distmlp train s.toml trains with it" in said
    (tmp_path / "s.toml").rename(tmp_path / "mine.toml")
    assert begin(table) == 2
    said = capsys.readouterr().err
    assert "s.h5 is there already" in said and "distmlp init s.h5 begins with what is in it" in said
    assert (tmp_path / "s.h5").read_bytes() == first[1] and not (tmp_path / "s.toml").exists()
    assert begin(table, "--output", "new.toml") == 0
    config = tomllib.loads((tmp_path / "new.toml").read_text())
    assert (config["data"]["train"], config["run"]["directory"]) == ("new.h5:/train", "runs/new")
    assert begin("s.h5") == 0 and (tmp_path / "s.toml").read_bytes() == first[0]
    assert begin(table, "--overwrite") == 0 and (tmp_path / "s.toml").read_bytes() == first[0]


def test_whole_numbers_that_are_likely_to_be_no_classes(put, tmp_path, monkeypatch, capsys):
    """Prices without cents: a network with an output for each price up to the highest would be hopeless."""
    monkeypatch.chdir(tmp_path)
    prices = [int(200_000 + 50_000 * u) for u, _, _ in U]
    lines = "".join(f"{u:.4f},{v:.4f},{p}\n" for (u, v, _), p in zip(U, prices, strict=True))
    table = put("houses.csv", "a,b,price\n" + lines)
    assert begin(table) == 2
    said = capsys.readouterr().err
    assert f"houses.csv: price holds whole numbers up to {max(prices)}, of 300 rows" in said
    assert "--regression takes them as numbers" in said and not (tmp_path / "houses.h5").exists()
    assert begin(table, "--regression") == 0
    config = tomllib.loads((tmp_path / "houses.toml").read_text())
    assert (config["network"]["layers"], config["network"]["cost"]) == ([2, 100, 1], "mse")
    assert begin(table, "--classes", "--overwrite") == 0
    config = tomllib.loads((tmp_path / "houses.toml").read_text())
    assert config["network"]["layers"] == [2, 100, len(set(prices))]
    # up to 1000 classes, and where each has ten rows, nothing is asked
    few = put("few.csv", "a,b\n" + "".join(f"{i / 7},{i % 1000}\n" for i in range(1000)))
    many = put("many.csv", "a,b\n" + "".join(f"{i / 7},{i % 1001}\n" for i in range(10010)))
    for table in (few, many):
        assert cli.main(["convert", str(table), "out.h5", "--overwrite"]) == 0
    short = put("short.csv", "a,b\n" + "".join(f"{i / 7},{i % 1001}\n" for i in range(10009)))
    assert cli.main(["convert", str(short), "out.h5", "--overwrite"]) == 2


@pytest.mark.parametrize(
    "y, words, layers, output, why",
    [
        # as they stand in a table too: up to 300 000 in 300 rows
        (np.arange(300) * 1000 % 299_999, (), 1, "identity", "from 0 to 299000 are likely"),
        (np.arange(300) - 100, (), 1, "identity", "from -100 to 199 are likely"),
        (np.arange(300) % 3, ("--regression",), 1, "identity", "are classes without"),
        (np.arange(300) % 3, (), 3, "softmax", None),
        (np.arange(300) * 4 % 1001, ("--classes",), 1001, "softmax", None),
        (np.arange(300) % 1000, (), 300, "softmax", None),
    ],
)
def test_whole_numbers_of_hdf5(tmp_path, monkeypatch, capsys, y, words, layers, output, why):
    """Whole numbers that are likely to be no classes are taken as numbers, which is said, and options decide differently."""
    monkeypatch.chdir(tmp_path)
    write("s.h5", X, y)
    assert begin("s.h5:/train", *words) == 0
    said = capsys.readouterr().out
    text_of_config = (tmp_path / "s.toml").read_text()
    config = tomllib.loads(text_of_config)
    assert config["network"]["layers"] == [3, 100, layers]
    assert config["network"]["output"] == output
    if why is None:
        assert "targets_are" not in config["data"]
        return
    assert config["data"]["targets_are"] == "numbers" and why in text_of_config
    assert config["data"]["scale_targets"] == "standardise"
    assert ("--classes takes them as classes" in said) == (not words)
    assert cli.main(["train", "s.toml", "--progress", "none", "--set", "training.epochs=2"]) == 0


def test_what_is_refused(tmp_path, capsys):
    write(tmp_path / "s.h5", X, np.zeros(300, "i8"))
    with h5py.File(tmp_path / "s.h5", "a") as file:
        file["new/x"], file["bad/x"], file["bad/y"] = X, np.where(X > 2e6, np.inf, X), U
        file["bad/x"][0, 0] = np.inf
    for spec, part in (
        ("/train", "all targets are the same class, 0; there is nothing to learn"),
        ("/new", "has no targets to train on"),
        ("/bad", "0 holds values that are infinite"),
        ("/no", "the file has no group /no"),
    ):
        assert begin(f"{tmp_path / 's.h5'}:{spec}", "--output", tmp_path / "c.toml") == 2
        assert part in capsys.readouterr().err
        assert not (tmp_path / "c.toml").exists()


def test_what_is_no_set_is_named_before_the_config_of_its_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/water").mkdir(parents=True)
    for name in ("water.toml", "gone.toml"):
        (tmp_path / name).touch()
    assert begin("runs/water") == 2
    assert "runs/water: is a directory; expected FILE.h5:/group" in capsys.readouterr().err
    assert begin("gone.csv") == 2
    assert "gone.csv: no such file" in capsys.readouterr().err


@pytest.mark.slow
def test_predictions_in_the_words_of_the_table(put, tmp_path, monkeypatch, capsys):
    """Columns in a different order, one more of them, and no target: predictions are the same, by name."""
    monkeypatch.chdir(tmp_path)
    kinds = [("low", "middle", "high")[c] for c in CLASSES]
    lines = [f"{u:.4f},{v:.4f},{k}" for (u, v, _), k in zip(U, kinds, strict=True)]
    assert begin(put("s.csv", "a,b,kind\n" + "\n".join(lines) + "\n")) == 0
    words = ["s.toml", "--progress", "none", "--set", "training.epochs=200"]
    assert cli.main(["train", *words, "--set", "run.checkpoint_every=50 epochs"]) == 0
    new = [f"{v:.4f},7,{u:.4f}" for u, v, _ in U]
    table = put("new.csv", "b,more,a\n" + "\n".join(new) + "\n")
    assert cli.main(["convert", str(table), "new.h5", "--no-targets"]) == 0
    for spec, name in (("new.h5:/train", "new"), ("s.h5:/train", "s"), ("new.csv", "table")):
        assert cli.main(["predict", "runs/s", "--data", spec, "--output", f"out-{name}.h5"]) == 0
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]
    with h5py.File("out-table.h5") as found, h5py.File("out-new.h5") as same:
        assert found["a"][...].tobytes() == same["a"][...].tobytes()
        assert found.attrs["data"] == "new.csv"
    with h5py.File("out-new.h5") as found, h5py.File("out-s.h5") as same:
        assert list(found["a"].attrs["columns"]) == ["high", "low", "middle"]
        assert found["a"][...].tobytes() == same["a"][...].tobytes()
        labels = found["label"].asstr()[...].tolist()
    assert np.mean([a == b for a, b in zip(labels, kinds, strict=True)]) > 0.9
    poor = put("poor.csv", "a,c\n1,2\n")
    assert cli.main(["convert", str(poor), "poor.h5", "--no-targets"]) == 0
    capsys.readouterr()
    assert cli.main(["predict", "runs/s", "--data", "poor.h5:/train", "--output", "no.h5"]) == 2
    assert (
        "has no input 'b', which the network was trained on; it has a, c" in capsys.readouterr().err
    )


def test_metrics_of_rows_without_targets(put, tmp_path, monkeypatch, capsys):
    """The sentence names what was looked for, what is there, and both ways on."""
    monkeypatch.chdir(tmp_path)
    assert begin(put("s.csv", "a,b,sum\n" + "".join(f"{u},{v},{u + v}\n" for u, v, _ in U))) == 0
    words = ["s.toml", "--progress", "none", "--set", "training.epochs=2"]
    assert cli.main(["train", *words]) == 0
    put("new.csv", "a,b\n1,2\n3,4\n")
    put("bare.csv", "1,2\n3,4\n")
    put("named.csv", "a,b,total\n1,2,3\n3,4,7\n")
    assert cli.main(["convert", "new.csv", "new.h5", "--no-targets"]) == 0
    for data, part in (
        ("new.csv", "(looked for 'sum': no column has that name; the columns are a, b)"),
        ("bare.csv", "(looked for 'sum': the file has no header"),
        ("new.h5:/train", "(no dataset 'y', only x)"),
    ):
        capsys.readouterr()
        assert cli.main(["evaluate", "runs/s", "--data", data]) == 2
        said = capsys.readouterr().err
        assert f"{tmp_path / data}: has no targets {part}" in said
        assert "distmlp evaluate --targets NAME" in said and "distmlp predict answers rows" in said
    assert cli.main(["evaluate", "runs/s", "--data", "named.csv", "--targets", "total"]) == 0
    capsys.readouterr()
    assert cli.main(["evaluate", "runs/s", "--data", "named.csv", "--targets", "totl"]) == 2
    assert "did you mean 'total'?" in capsys.readouterr().err
    # what is missing of the inputs is said as such
    assert cli.main(["evaluate", "runs/s", "--data", "s.h5:/train", "--inputs", "z"]) == 2
    said = capsys.readouterr().err
    assert "no dataset 'z'; it has x, y" in said and "has no targets" not in said


#: A training that takes a second.
SHORT = ["--set", "training.epochs=40", "--set", "optimizer.learning_rate=0.01"]
SHORT += ["--set", "run.checkpoint_every=20 epochs"]


def test_three_commands_from_a_table_to_answers_in_its_words(put, tmp_path, monkeypatch, capsys):
    """Names of classes, missing cells, sizes from 1e-3 to 1e6; answers as a table, and metrics of a table."""
    monkeypatch.chdir(tmp_path)
    kinds = [("low", "middle", "high")[c] for c in CLASSES]
    cells = [[f"{value:.6g}" for value in row] for row in X]
    for row, column in ((3, 0), (40, 2), (41, 1)):
        cells[row][column] = ""
    lines = [",".join([*row, kind]) for row, kind in zip(cells, kinds, strict=True)]
    put("s.csv", "a,b,c,kind\n" + "\n".join(lines) + "\n")
    put("new.csv", "c,b,a\n" + "\n".join(",".join(row[::-1]) for row in cells) + "\n")
    assert begin("s.csv", "--targets", "kind") == 0
    assert cli.main(["train", "s.toml", "--progress", "none", *SHORT]) == 0
    assert cli.main(["predict", "runs/s", "--data", "new.csv", "--output", "answers.csv"]) == 0
    with open("answers.csv", newline="", encoding="utf-8") as file:
        answers = list(csv.DictReader(file))
    assert list(answers[0]) == ["label", "class", "high", "low", "middle"]
    assert np.mean([a["label"] == k for a, k in zip(answers, kinds, strict=True)]) > 0.8
    assert all(a["label"] == ["high", "low", "middle"][int(a["class"])] for a in answers)
    assert cli.main(["predict", "runs/s", "--data", "s.h5:/train", "--output", "a.h5"]) == 0
    with h5py.File("a.h5") as file:
        outputs = [[a[name] for name in ("high", "low", "middle")] for a in answers]
        assert np.array_equal(np.array(outputs, "f4"), file["a"][...])  # to the last digit
    capsys.readouterr()
    found = []
    for spec in ("s.csv", "s.h5:/train"):
        assert cli.main(["evaluate", "runs/s", "--data", spec, "--json"]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0] == found[1]
    assert cli.main(["predict", "runs/s", "--data", "new.csv", "--output", "answers.csv"]) == 2
    assert "exists already" in capsys.readouterr().err
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_three_commands_from_netcdf_files_to_answers(tmp_path, monkeypatch, capsys):
    """Five variables in three files, packed and with fill values."""
    monkeypatch.chdir(tmp_path)
    names = ("t2m", "sp", "u10", "v10")
    x = RNG.normal(size=(900, 4))
    target = (x[:, 0] - 0.5 * x[:, 1]) * 3 + 1
    for year, rows in ((2019, slice(0, 300)), (2020, slice(300, 600)), (2021, slice(600, 900))):
        with h5py.File(f"{year}.nc", "w") as file:
            for number, name in enumerate(names):
                stored = np.rint(x[rows, number] * 1000).astype("i2")
                stored[number] = -32767
                file[name] = stored
                file[name].attrs["scale_factor"], file[name].attrs["add_offset"] = 0.02, 280.0
                file[name].attrs["_FillValue"] = np.array([-32767], "i2")
            file["tp"] = target[rows]
    assert begin("20*.nc", "--targets", "tp", "--regression", "--output", "era.toml") == 0
    said = capsys.readouterr().out
    assert "3 files, one below another" in said
    assert cli.main(["train", "era.toml", "--progress", "none", *SHORT]) == 0
    run = tomllib.loads((tmp_path / "era.toml").read_text())["run"]["directory"]
    assert cli.main(["predict", run, "--data", "20*.nc", "--output", "tp.csv"]) == 0
    with open("tp.csv", newline="", encoding="utf-8") as file:
        answers = np.array([float(row["tp"]) for row in csv.DictReader(file)])
    assert np.corrcoef(answers, target)[0, 1] > 0.97


@pytest.mark.parametrize("option", [["--drop", "a"], ["--missing", "drop"], ["--header", "no"]])
def test_options_of_tables_are_refused_for_hdf5(tmp_path, monkeypatch, capsys, option):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "s.h5", np.eye(8), np.arange(8.0))
    assert begin("s.h5:/train", *option) == 2 and not (tmp_path / "s.toml").exists()
    said = capsys.readouterr().err
    assert f"{option[0]} is for tables such as .csv, but the source is s.h5:/train" in said
