"""No command replaces a file: predict, export and compare, with and without --overwrite."""

import pytest
from example import tables, write_set

import distmlp
from distmlp.cli import main as cli
from distmlp.errors import InputError
from distmlp.results.outputs import check_output


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("outputs")
    write_set(place / "set.h5")
    distmlp.train(
        tables(
            {
                "data.train": f"{place}/set.h5:/train",
                "data.validation": f"{place}/set.h5:/test",
                "training.epochs": 1,
                "run.directory": str(place / "run"),
            }
        )
    )
    return place


COMMANDS = {
    "predict": (["predict", "run", "--data", "set.h5:/test", "--output"], "out.h5"),
    "export": (["export", "run"], "out.npz"),
    "compare": (["compare", "run", "--output"], "out.csv"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_is_replaced_only_where_that_is_asked_for(command, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    words, name = COMMANDS[command]
    assert cli.main([*words, name]) == 0
    made = (place / name).read_bytes()
    (place / name).write_bytes(b"somebody's")
    assert cli.main([*words, name]) == 2
    assert f"{name}: exists already; --overwrite replaces it" in capsys.readouterr().err
    assert (place / name).read_bytes() == b"somebody's"
    assert cli.main([*words, name, "--overwrite"]) == 0
    assert len((place / name).read_bytes()) == len(made)


NEVER = ["set.h5", "run/config.toml", "run/log.jsonl", "newest"]


@pytest.mark.parametrize("name", NEVER)
def test_data_and_runs_are_never_replaced(name, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    path = next(place.glob("run/checkpoints/*.h5")) if name == "newest" else place / name
    before = path.read_bytes()
    for words, _ in COMMANDS.values():
        status = cli.main([*words, str(path), "--overwrite"])
        if not (name == "set.h5" and words[0] == "compare"):
            assert status == 2, words
        assert "Traceback" not in capsys.readouterr().err
        assert path.read_bytes() == before or words[0] == "compare"


@pytest.mark.parametrize("name", ["out.txt", "out"])
def test_an_ending_that_is_not_what_is_written(name, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    assert cli.main([*COMMANDS["predict"][0], name]) == 2
    assert "ends with .h5 or .hdf5" in capsys.readouterr().err


def test_the_table_is_printed_where_the_default_file_exists(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    for words in ("every digit is in comparison.csv", "--overwrite writes every digit"):
        assert cli.main(["compare", "run"]) == 0
        assert words in capsys.readouterr().out


def test_a_directory_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="there is no directory"):
        check_output(tmp_path / "no" / "out.h5", overwrite=True)
