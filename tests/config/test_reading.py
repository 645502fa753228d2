"""reading.py: a config from TOML, overrides and JSON; how faults are named; what a resumed run must share.

Faults of single keys, as users see them, are in tests/bad_input/.
"""

import os
import re
from dataclasses import replace

import pytest
from example import write_config

from distmlp.config import comparing, reading
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


def test_a_byte_order_mark_before_a_config_is_no_part_of_it(file):
    plain = reading.load(file, [])
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert reading.load(file, []) == plain


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


def test_paths_of_a_config_in_a_pipe_are_taken_from_here(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    end, begin = os.pipe()
    try:
        os.write(begin, file.read_bytes())
        os.close(begin)
        assert reading.load(f"/dev/fd/{end}").data.train == f"{tmp_path}/a.h5:/train"
    finally:
        os.close(end)


@pytest.mark.parametrize("given", ["training.epochs=5\nseed=3", "training.epochs=5\n[run]\nkeep=2"])
def test_an_override_is_one_value_and_nothing_is_dropped_behind_it(file, given):
    with pytest.raises(InputError, match="expected a whole number"):
        reading.load(file, [given])


@pytest.mark.parametrize("given", ["0.1", ".1", "10%", "20"])
def test_a_share_that_is_written_as_text_is_no_file(file, given):
    with pytest.raises(InputError, match=r"or a share of the training set, such as 0\.1"):
        reading.load(file, [f'data.validation="{given}"'])


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


@pytest.mark.parametrize("name, content", [("rocks.csv", b"a,b\n1,2\n"), ("set.h5", b"\x89HDF")])
def test_data_in_the_place_of_a_config_are_told_of_init(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match="distmlp init makes one for a set or a table"):
        reading.load(tmp_path / name)


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
    assert comparing.differences(old, reading.from_tables({**TABLES, **same})) == []
    new = reading.from_tables({**TABLES, "seed": 5, "training": {"batch_size": 16, "epochs": 99}})
    assert comparing.differences(old, new) == [("seed", 1, 5), ("training.batch_size", 32, 16)]


def test_under_the_linear_schedule_the_epochs_decide_v():
    linear = reading.from_tables(
        {**TABLES, "optimizer": {"learning_rate": 1, "schedule": "linear"}}
    )
    longer = replace(linear, training=replace(linear.training, epochs=31))
    assert comparing.differences(linear, longer) == [("training.epochs", 30, 31)]


def test_only_the_run_directory_is_replaced():
    config = reading.from_tables(TABLES)
    moved = reading.with_run_directory(config, "elsewhere")
    assert moved.run.directory == "elsewhere"
    assert reading.with_run_directory(moved, "run") == config


def test_an_override_is_blamed_for_its_own_fault_and_the_file_for_the_files(tmp_path):
    file = tmp_path / "c.toml"
    text = '[network]\nlayers = [2, 1]\n[data]\ntrain = "a.h5:/b"\n[optimizer]\nlearning_rate = 1\n'
    file.write_text(text + '[run]\ndirectory = "r"\n')

    def said(*overrides):
        with pytest.raises(InputError) as found:
            reading.load(file, overrides)
        return str(found.value)

    assert said("training.epochs=0").startswith(
        "--set training.epochs=0: training.epochs is 0, but"
    )
    assert said("optimizer.lr=1").startswith("--set optimizer.lr=1: unknown key optimizer.lr; did")
    assert said("optimiser.name=adam").startswith("--set optimiser.name=adam: unknown section [opt")
    both = said("seed=3", "optimizer.nesterov=true")
    assert both.startswith(f"{file} with --set seed=3 --set optimizer.nesterov=true: optimizer.ne")
    file.write_text(text.replace("learning_rate = 1", "learning_rate = 0"))
    assert said("training.epochs=3").startswith(f"{file}: optimizer.learning_rate is 0, but")


@pytest.mark.parametrize(
    "name, words",
    [
        ("optimizer.lr", "did you mean optimizer.learning_rate?"),
        ("optimizer.epochs", "did you mean training.epochs?"),
        ("network.loss", "did you mean network.cost?"),
        ("training.learning_rat", "did you mean optimizer.learning_rate?"),
        ("run.colour", "the keys are run.directory, run.checkpoint_every"),
    ],
)
def test_hints_name_what_was_meant(name, words):
    section, _, key = name.partition(".")
    with pytest.raises(InputError, match=re.escape(f"unknown key {name}; {words}")):
        reading.from_tables({**TABLES, section: {**TABLES.get(section, {}), key: 1}})


@pytest.mark.parametrize(
    "given, scale", [("1/255", 1 / 255), (" -3 / 4 ", -0.75), (2, 2.0), (0.5, 0.5)]
)
def test_a_scale_may_be_a_quotient(given, scale):
    config = reading.from_tables({**TABLES, "data": {**TABLES["data"], "scale": given}})
    assert config.data.scale == scale and type(config.data.scale) is float
    assert reading.from_json(config.to_json()) == config


@pytest.mark.parametrize("given", ["1/0", "1/x", "255", "1//2", "", None, True, [1]])
def test_a_scale_that_is_no_number_is_refused(given):
    words = 'data.scale is .*, but expected a number, or a quotient such as "1/255"'
    with pytest.raises(InputError, match=words):
        reading.from_tables({**TABLES, "data": {**TABLES["data"], "scale": given}})


@pytest.mark.parametrize(
    "text", ["network=3", "network={layers=[3]}", "network={layer=[3, 2]}", "seed.x=3"]
)
def test_what_is_wrong_with_a_whole_section_is_blamed_on_the_option(text, tmp_path):
    path = write_config(tmp_path / "config.toml")
    with pytest.raises(InputError) as raised:
        reading.load(path, [text])
    assert str(raised.value).startswith(f"--set {text}: ")
