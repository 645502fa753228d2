"""reading.py: a config from TOML, overrides and JSON; how faults are named; what a resumed run must share.

Faults of single keys, as users see them, are in tests/bad_input/.
"""

import re
from dataclasses import replace

import pytest

from distmlp.config import reading
from distmlp.config.sections import Config
from distmlp.errors import InputError

TABLES = {
    "network": {"layers": [2, 3, 2]},
    "data": {"train": "a.h5:/train"},
    "optimizer": {"learning_rate": 1},
    "run": {"directory": "run"},
}
TOML = """
seed = 3
[network]
layers = [2, 3, 2]
[data]
train = "sets/../a.h5:/train"
[optimizer]
learning_rate = 1
[run]
directory = "/run"
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(TOML, encoding="utf-8")
    return path


def test_values_come_in_the_types_of_the_dataclasses():
    config = reading.from_tables(TABLES)
    assert config.network.layers == (2, 3, 2)
    assert type(config.optimizer.learning_rate) is float
    assert config.seed == Config().seed


def test_paths_are_taken_from_the_file_and_those_of_overrides_from_here(
    file, tmp_path, monkeypatch
):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    config = reading.load(file, ["data.validation=b.h5:/test"])
    assert config.data.train == f"{tmp_path}/a.h5:/train"
    assert config.data.validation == f"{elsewhere}/b.h5:/test"
    assert config.run.directory == "/run"


@pytest.mark.parametrize(
    ("override", "section", "key", "value"),
    [
        ("training.epochs=5", "training", "epochs", 5),
        ("training.batch_size=all", "training", "batch_size", "all"),
        ('training.batch_size="all"', "training", "batch_size", "all"),
        (" data.scan = false ", "data", "scan", False),
        ("network.layers=[4, 2]", "network", "layers", (4, 2)),
        ("run.time_limit=2 hours", "run", "time_limit", "2 hours"),
    ],
)
def test_overrides_are_toml_or_else_text(file, override, section, key, value):
    assert getattr(getattr(reading.load(file, [override]), section), key) == value


def test_an_override_of_a_key_without_a_section(file):
    assert reading.load(file, ["seed=9", "seed=10"]).seed == 10


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        (
            {"optimizer": {"learning_rat": 1}},
            "optimizer.learning_rat; did you mean optimizer.learning_rate?",
        ),
        (
            {"learning_rate": 1.0},
            "unknown key learning_rate; did you mean optimizer.learning_rate?",
        ),
        ({"trainnig": {}}, "unknown section [trainnig]; did you mean [training]?"),
        ({"qqq": {}}, "unknown section [qqq]; the sections are network, data"),
        ({"zzz": 1}, "unknown key zzz; the keys are seed, dtype"),
        ({"network": 3}, "network is 3, but expected a section [network]"),
        ({"data": {"train": "a.h5:/x", "scan": 1}}, "data.scan is 1, but expected true or false"),
        ({"run": {}}, "run.directory is missing; expected a directory"),
    ],
)
def test_faults_are_named_with_the_nearest_key(tables, words):
    with pytest.raises(InputError, match=f"^here: .*{re.escape(words)}"):
        reading.from_tables({**TABLES, **tables}, "here")


def test_json_and_back():
    config = reading.from_tables({**TABLES, "seed": 2**64 - 1})
    assert reading.from_json(config.to_json()) == config


def test_differences_are_of_keys_that_decide_v():
    old = reading.from_tables(TABLES)
    same = {"training": {"epochs": 99}, "run": {"directory": "b", "keep": 1}}
    assert reading.differences(old, reading.from_tables({**TABLES, **same})) == []
    new = reading.from_tables({**TABLES, "seed": 5, "training": {"batch_size": 16, "epochs": 99}})
    assert reading.differences(old, new) == [("seed", 1, 5), ("training.batch_size", 32, 16)]


def test_under_the_linear_schedule_the_epochs_decide_v():
    linear = reading.from_tables(
        {**TABLES, "optimizer": {"learning_rate": 1, "schedule": "linear"}}
    )
    longer = replace(linear, training=replace(linear.training, epochs=31))
    assert reading.differences(linear, longer) == [("training.epochs", 30, 31)]


def test_only_the_run_directory_is_replaced():
    config = reading.from_tables(TABLES)
    moved = reading.with_run_directory(config, "elsewhere")
    assert moved.run.directory == "elsewhere"
    assert reading.with_run_directory(moved, "run") == config
