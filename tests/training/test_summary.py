"""The tables at a run's start and end, and the bar."""

import os
import pty
import re
import subprocess
import sys
import threading

import pytest
from preparing import config_in

import distmlp
from distmlp.parallel.communicator import SingleProcess
from distmlp.training import summary, terminal
from distmlp.training.reporting import Report

LABELS = [
    "data",
    "validation",
    "network",
    "parameters",
    "memory",
    "ranks",
    "batch",
    "training",
    "arithmetic",
    "saved",
]


def test_the_table_at_the_start(tmp_path, capsys):
    distmlp.train(config_in(tmp_path, {"training.epochs": 1}), report=Report(bar=False))
    said = capsys.readouterr().out.splitlines()
    head = said[: said.index("")]
    assert [line.split()[0] for line in head] == LABELS
    for words in (
        "set.h5:/train, 1,009 rows of 20 inputs (float32), targets: classes",
        "20 → 13 → 5, tanh, softmax output, cross-entropy cost",
        "343, float32",  # 13 × 20 + 13 + 5 × 13 + 5
        "50 samples in 8 micro-batches of 7; 21 steps an epoch",
        f"1 on 1 host ({os.uname().nodename}), no MPI",
        str(tmp_path / "run"),
    ):
        assert any(line.endswith(words) for line in head), words
    assert not any("lost" in line or "fault" in line for line in said)
    assert any(line.startswith("epoch 1/1") for line in said[len(head) :])


def test_a_start_that_goes_on_says_from_where(tmp_path, capsys):
    distmlp.train(config_in(tmp_path, {"training.epochs": 1}))
    distmlp.train(config_in(tmp_path, {"training.epochs": 2}), report=Report(bar=False))
    assert "begins     after step 21 of 42\n" in capsys.readouterr().out


def test_the_table_at_the_end(tmp_path):
    config = config_in(tmp_path)
    result = distmlp.train(config)
    record = {**result.record, "seconds": 2.0, "samples_per_second": 1000.0}
    slow = {**record, "step": 21, "epoch": 1, "samples_per_second": 500.0}
    rows = dict(summary.end_of(result.shown, [slow, record], 5.0))
    assert rows["best"].startswith(f"epoch {result.shown.best.step // 21}, step ")
    assert rows["time"] == "5.0 s; 4.0 s in 2 epochs, 750 samples/s"
    assert rows["last epoch"].startswith(f"cost {record['cost']:.6f}  validation cost ")


def test_where_a_start_ran_is_recorded(tmp_path):
    from distmlp.runs import events

    distmlp.train(config_in(tmp_path, {"training.epochs": 1}))
    (began, _) = events.since(tmp_path / "run", None)
    here = began["environment"]
    assert here == summary.environment(SingleProcess())
    assert here["hosts"] == {os.uname().nodename: 1} and here["numpy"]


@pytest.mark.parametrize(
    "seconds, words",
    [(1.25, "1.2 s"), (99.9, "99.9 s"), (100, "1 min 40 s"), (7321, "2 h 02 min")],
)
def test_durations(seconds, words):
    assert summary.duration(seconds) == words


@pytest.mark.parametrize("number, words", [(999, "999 bytes"), (1500, "1.5 kB"), (2e13, "20 TB")])
def test_bytes(number, words):
    assert summary.bytes_in_words(number) == words


SHOWN = """
import sys, time
from distmlp.training import terminal
sight = terminal.Sight(True)
sight.open(0, 100)
record = {"epoch": 2, "cost": 0.25, "validation_cost": 0.5}
sight.bar.update(40)
sight.epoch(record, 5)
sight.bar.refresh()
sight.line(terminal.text_of([("data", "word " * 30)]), sys.stdout)
sight.close()
"""


@pytest.mark.parametrize("columns", [40, 120])
def test_on_a_terminal_bar_and_table_keep_to_its_width(columns):
    import fcntl
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
    run = subprocess.Popen(
        [sys.executable, "-c", SHOWN], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    parts = []

    def read():
        try:
            while part := os.read(ours, 4096):
                parts.append(part)
        except OSError:
            return  # the terminal has gone with the program

    reader = threading.Thread(target=read)
    reader.start()
    assert run.wait(60) == 0
    reader.join(10)
    os.close(ours)
    said = b"".join(parts).decode().replace("\x1b[A", "")
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", said)]
    assert max(map(len, lines)) <= columns
    assert any(line.startswith("epoch 2/5  40%") for line in lines)
    if columns == 120:
        assert any("left, cost 0.25, validation 0.5, " in line for line in lines)
    assert [line for line in lines if line.startswith("data       word")]


def test_where_nobody_looks_there_is_no_bar(capsys):
    sight = terminal.Sight(False)
    sight.open(0, 10)
    sight.epoch({"epoch": 1}, 2)
    sight.close()
    assert capsys.readouterr() == ("", "")
