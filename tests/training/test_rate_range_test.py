"""The learning-rate range test: the same numbers on any ranks, a sensible suggestion, and nothing written."""

import json

import pytest
from preparing import config_in
from simulated import on_ranks

from distmlp.cli.main import main
from distmlp.errors import InputError
from distmlp.parallel.communicator import SingleProcess
from distmlp.training.loop import train
from distmlp.training.rate_range_test import RateTest, find_rates
from distmlp.training.reporting import Silent


def rates_of(place, changes={}, comm=None, least=1e-4, most=100.0, steps=60):
    return find_rates(
        config_in(place, changes), comm or SingleProcess(), least, most, steps, Silent()
    )


def test_the_same_numbers_on_any_ranks_and_nothing_is_written(tmp_path):
    alone = rates_of(tmp_path)
    for ranks in (2, 3, 4):
        assert on_ranks(ranks, lambda comm: rates_of(tmp_path, {}, comm)) == [alone] * ranks
    assert not (tmp_path / "run").exists()
    assert alone.rates[0] == 1e-4
    assert alone.rates[30] / alone.rates[29] == pytest.approx(1e6 ** (1 / 59), rel=1e-12)


def test_the_suggestion_trains_and_a_rate_beyond_the_end_does_not(tmp_path):
    found = rates_of(tmp_path, steps=150)
    assert found.suggestion is not None and 0.01 < found.suggestion < 3.0
    assert found.tenth_of_lowest < found.rates[found.lowest]
    costs = {}
    for name, rate in (("suggested", found.suggestion), ("too small", found.rates[0])):
        changes = {"optimizer.learning_rate": rate, "run.directory": str(tmp_path / name)}
        costs[name] = train(config_in(tmp_path, changes), SingleProcess()).record["cost"]
    assert costs["suggested"] < 0.7 * costs["too small"]


def test_it_ends_where_the_cost_blows_up(tmp_path):
    relu = {"network.activation": "relu", "network.output": "identity", "network.cost": "mse"}
    found = rates_of(tmp_path, relu, least=1e-3, most=1e8, steps=200)
    assert found.end in ("cost", "not finite") and len(found.rates) < 200
    assert found.rates[found.lowest] < found.rates[-1]


def test_steepest_and_lowest():
    smoothed = [5.0, 5.0, 4.9, 4.0, 2.0, 1.5, 1.4, 3.0, 9.0]
    found = RateTest([10.0**i for i in range(9)], smoothed, smoothed, "cost")
    assert (found.steepest, found.lowest) == (3, 6)
    assert (found.suggestion, found.tenth_of_lowest) == (1e3, 1e5)
    rising = RateTest([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0], "steps")
    assert rising.suggestion is None and rising.tenth_of_lowest is None


@pytest.mark.slow
def test_the_command(tmp_path, capsys):
    from example import write_config, write_set

    write_set(tmp_path / "set.h5")
    config = str(write_config(tmp_path / "config.toml"))
    figure = tmp_path / "rates.png"
    words = ["find-rate", config, "--steps", "60", "--least", "1e-4"]
    pytest.importorskip("matplotlib")
    assert main([*words, "--output", str(figure)]) == 0
    said = capsys.readouterr().out
    assert "suggested: optimizer.learning_rate = " in said and "careful" in said
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert len(told["rates"]) == len(told["costs"]) == len(told["smoothed"])
    assert main([*words, "--output", str(figure)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    for more, part in (
        (["--most", "1e-5"], "the least first"),
        (["--steps", "3"], "at least 10"),
        (["--output", str(tmp_path / "rates.jpg")], ".png or .svg or .pdf"),
    ):
        assert main([*words, *more]) == 2
        assert part in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_trained_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"network\.layers"):
        rates_of(tmp_path, {"network.layers": [19, 13, 5]})
    with pytest.raises(InputError, match="no rate to find"):
        rates_of(tmp_path, {"optimizer.name": "lbfgs", "training.batch_size": "all"})
