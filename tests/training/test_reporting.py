"""What is said: by rank 0 alone, and in which words."""

import re
from types import SimpleNamespace

import pytest
from example import log
from launching import ROOT
from preparing import Heard, config_in

import distmlp
from distmlp.training.reporting import OnRank0, Report, Together

RECORD = {
    "epoch": 3,
    "step": 63,
    "cost": 0.25,
    "validation_cost": 0.5,
    "accuracy": 0.875,
    "accuracy_of": "validation",
    "samples_per_second": 12345.6,
}


def tell_everything(report, log):
    report.start(log, 5, 63)
    report.warn("a warning")
    report.say("a sentence")
    report.note("a note")
    report.advance()
    report.epoch(RECORD, 30)


def test_only_rank_0_is_heard_also_one_that_becomes_rank_0(tmp_path):
    comm, heard = SimpleNamespace(rank=1), Heard()
    report = OnRank0(heard, comm)
    tell_everything(report, tmp_path / "log.jsonl")
    assert heard.said == []
    comm.rank = 0
    tell_everything(report, tmp_path / "log.jsonl")
    assert heard.said == [
        ("start", 5, 63),
        ("warn", "a warning"),
        ("say", "a sentence"),
        ("note", "a note"),
        ("epoch", 3, 30),
    ]


def test_together_each_is_told_everything(tmp_path):
    heard = Heard(), Heard()
    report = Together(*heard)
    tell_everything(report, tmp_path / "log.jsonl")
    report.doubt("a doubt", 7)
    report.close()
    assert heard[0].said == heard[1].said
    assert heard[0].said[-3:] == [("epoch", 3, 30), ("warn", "a doubt"), ("close",)]


def test_a_report_of_ones_own_hears_the_run_and_the_log_is_kept(tmp_path):
    """Every method that the docs name is called, on rank 0 of a training that resumes."""
    names = re.findall(r"^\| (`\w+\(.*`) \|", (ROOT / "docs/python.md").read_text(), re.M)
    methods = re.findall(r"(\w+)\(", " ".join(names))
    assert set(methods) == {name for name in vars(distmlp.Report) if not name.startswith("_")}
    called = []

    def noting(name):
        return lambda self, *_, **__: called.append(name)

    Noting = type("Noting", (distmlp.Report,), {name: noting(name) for name in methods})
    config = config_in(tmp_path, {"training.epochs": 1})
    distmlp.train(config, report=Noting())
    assert called[0] == "begin" and called[-1] == "close"
    assert called.count("advance") == 21 and called.count("epoch") == 1
    distmlp.train(config_in(tmp_path, {"training.epochs": 2}), report=Noting())
    assert {"begin", "start", "advance", "epoch", "say", "event", "close"} <= set(called)
    assert len(log(tmp_path / "run")) == 2


def test_every_rank_closes_its_own(tmp_path):
    heard = Heard()
    OnRank0(heard, SimpleNamespace(rank=2)).close()
    assert heard.said == [("close",)]


def test_lines_for_people(tmp_path, capsys):
    report = Report(bar=False)
    tell_everything(report, tmp_path / "log.jsonl")
    report.epoch({**RECORD, "epoch": 30, "validation_cost": None, "accuracy": None}, 30)
    report.close()
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "a sentence",
        "epoch  3/30  cost 0.250000  validation cost 0.500000  validation accuracy 87.50 %  "
        "12,346 samples/s",
        "epoch 30/30  cost 0.250000  12,346 samples/s",
    ]
    assert err.splitlines() == ["distmlp: a warning", "distmlp: a note"]


def test_a_report_is_an_object_and_not_its_class(tmp_path):
    with pytest.raises(
        distmlp.InputError, match=r"is the class Report, .* object of it: Report\(\)"
    ):
        distmlp.train(config_in(tmp_path, {}), report=Report)
    assert not (tmp_path / "run").exists()
