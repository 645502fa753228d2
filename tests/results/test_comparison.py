"""distmlp compare: which run is the best, and what is shown of each."""

import csv
import json

import pytest
import tomli_w
from example import tables
from launching import distmlp

from distmlp.errors import InputError
from distmlp.results import comparison


def a_run(place, changes={}, records=(), finished=False):
    """A run directory as training leaves it; records: (cost, validation_cost, accuracy) of each epoch."""
    place.mkdir(parents=True)
    (place / "config.toml").write_text(tomli_w.dumps(tables(changes)))
    lines = [
        {
            "epoch": i,
            "step": 21 * i,
            "cost": cost,
            "validation_cost": validation,
            "accuracy": accuracy,
            "seconds": 1.5,
            "v_sha256": f"{place.name}{i}" * 20,
        }
        for i, (cost, validation, accuracy) in enumerate(records, 1)
    ]
    if lines:
        (place / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if finished:
        (place / "finished.json").write_text('{"step": 42}')
    return place


def order(rows):
    return [row["run"] for row in rows]


def test_by_accuracy_of_the_last_epoch_then_by_cost(tmp_path):
    a_run(tmp_path / "a", records=[(9, 9, 0.99), (1, 1, 0.5)])
    a_run(tmp_path / "b", records=[(1, 0.2, 0.9)])
    a_run(tmp_path / "c", records=[(9, 0.1, 0.9)])
    assert order(comparison.compare([tmp_path])) == ["c", "b", "a"]


def test_by_validation_cost_where_there_are_no_classes(tmp_path):
    a_run(tmp_path / "a", records=[(1, 3, None)])
    a_run(tmp_path / "b", records=[(3, 1, None)])
    assert order(comparison.compare([tmp_path])) == ["b", "a"]


def test_by_training_cost_where_a_run_has_no_validation_set(tmp_path):
    a_run(tmp_path / "a", records=[(1, 3, None)])
    a_run(tmp_path / "b", records=[(3, None, None)])
    assert order(comparison.compare([tmp_path])) == ["a", "b"]


def test_runs_that_have_not_begun_come_last(tmp_path):
    a_run(tmp_path / "a")
    a_run(tmp_path / "b", records=[(1, float("nan"), None)])
    a_run(tmp_path / "c", records=[(1, 5.0, None)], finished=True)
    rows = comparison.compare([tmp_path])
    assert [(row["run"], row["state"]) for row in rows] == [
        ("c", "complete"),
        ("b", "not complete"),
        ("a", "no epoch yet"),
    ]


def test_columns_are_the_settings_that_differ(tmp_path):
    places = [
        a_run(
            tmp_path / "x" / "1",
            {"run.directory": "1", "optimizer.learning_rate": 0.5},
            [(1, 1, 0.5)],
        ),
        a_run(
            tmp_path / "y" / "2",
            {"run.directory": "2", "network.layers": [20, 9, 5]},
            [(1, 1, 0.6)],
        ),
    ]
    rows = comparison.compare(places)
    assert list(rows[0]) == [
        "run",
        "state",
        "epoch",
        "network.layers",
        "optimizer.learning_rate",
        "cost",
        "validation_cost",
        "accuracy",
        "seconds",
        "v_sha256",
    ]
    assert [
        (row["run"], row["network.layers"], row["optimizer.learning_rate"]) for row in rows
    ] == [
        ("y/2", [20, 9, 5], 0.3),
        ("x/1", [20, 13, 5], 0.5),
    ]


def test_the_runs_of_a_directory_are_in_their_numbers_order_where_equal(tmp_path):
    for name in ("10", "9", "1"):
        a_run(tmp_path / name, records=[(1, 1, 0.5)])
    assert order(comparison.compare([tmp_path])) == ["1", "9", "10"]


def test_the_table_and_every_digit_in_the_csv(tmp_path):
    a_run(tmp_path / "a", {"seed": 1}, [(0.5, 0.25, 1 / 3), (0.1, 0.2, 2 / 3)], finished=True)
    a_run(tmp_path / "b", {"seed": 2})
    done = distmlp("compare", tmp_path, "--output", tmp_path / "out.csv")
    assert (done.status, done.err) == (0, "")
    assert done.out == (
        "run  state         epoch  seed  cost      validation_cost  accuracy  seconds  v_sha256\n"
        "a    complete      2      1     0.100000  0.200000         66.67 %   3.0      a2a2a2a2a2a2\n"
        "b    no epoch yet  -      2     -         -                -         -        -\n"
        f"\nevery digit is in {tmp_path}/out.csv\n"
    )
    with open(tmp_path / "out.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert (rows[0]["accuracy"], rows[0]["v_sha256"]) == (str(2 / 3), "a2" * 20)
    assert rows[1]["cost"] == ""


def test_what_is_no_run_directory_is_said(tmp_path):
    with pytest.raises(InputError, match="no run directory, nor one in it"):
        comparison.compare([tmp_path])
    done = distmlp("compare", tmp_path / "nothing")
    assert done.status == 2
    assert done.said[0].startswith(f"distmlp: {tmp_path}/nothing: no run directory")
