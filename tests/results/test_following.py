"""`distmlp watch`: what a run's files say, until it ends."""

import json
import threading

import pytest
from example import tables, write_set
from launching import distmlp

from distmlp.config.reading import from_tables
from distmlp.errors import COMPLETE, CRASHED, STOPPED, InputError
from distmlp.results import following
from distmlp.results.following import Follower, follow
from distmlp.runs import events
from distmlp.runs.directory import RunDirectory


def record(epoch):
    return {
        "epoch": epoch,
        "step": 10 * epoch,
        "cost": 1 / epoch,
        "validation_cost": None,
        "accuracy": None,
        "accuracy_of": "training",
        "training_accuracy": None,
        "learning_rate": 0.1,
        "samples_per_second": 1000.0,
        "ranks": 2,
        "seconds": 1.0,
        "v_sha256": "0" * 64,
    }


@pytest.fixture
def run(tmp_path):
    """A run that is at work: its directory is taken."""
    write_set(tmp_path / "set.h5")
    at = {"data.train": str(tmp_path / "set.h5:/train"), "run.directory": str(tmp_path / "run")}
    config = from_tables(tables({**at, "training.epochs": 20}))
    taken = RunDirectory(tmp_path / "run")
    taken.prepare(config, anew=False)
    yield taken
    taken.release()


def append(run, *epochs):
    with open(run.log, "a") as file:
        file.writelines(json.dumps(record(epoch)) + "\n" for epoch in epochs)


def began(run, step):
    events.append(run.path, events.began(step, 200, 2, "plain"))


def test_what_is_new_is_said_once(run):
    said = []
    follower = Follower(run.path, said.append)
    assert follower.look() is None and said == []
    began(run, 0)
    append(run, 1)
    assert follower.look() is None
    assert said[0].endswith("began after step 0 of 200 with 2 ranks")
    assert said[1:] == ["epoch  1/20  cost 1.000000  1,000 samples/s"]
    assert follower.look() is None and len(said) == 2
    append(run, 2)
    events.append(run.path, events.lost(["rank 1 on b"], 1, 25))
    assert follower.look() is None
    assert said[2].startswith("epoch  2/20") and said[3].endswith("lost rank 1 on b; 1 go on")


@pytest.mark.parametrize(
    "event, status, words",
    [
        (events.complete(200), COMPLETE, "complete after step 200"),
        (events.stopped(40), STOPPED, "stopped after step 40, to go on later"),
        (events.failed(1, "trace\nno memory", None), CRASHED, "failed: no memory"),
    ],
)
def test_the_end_is_the_runs(run, event, status, words):
    said = []
    began(run, 0)
    follower = Follower(run.path, said.append)
    assert follower.look() is None
    events.append(run.path, event)
    assert follower.look() is None  # it has yet to let go of its directory
    run.release()
    assert follower.look() == status
    assert said[-1].endswith(words)


def test_a_run_that_was_killed(run):
    said = []
    began(run, 0)
    follower = Follower(run.path, said.append)
    assert follower.look() is None
    run.release()
    assert follower.look() == CRASHED and "killed" in said[-1]


@pytest.mark.parametrize("epochs", ["inf", "nan", "[]", '"many"'])
def test_a_config_that_tells_no_epochs(run, epochs):
    """A run's files may be anyone's."""
    (run.path / "config.toml").write_text(f"[training]\nepochs = {epochs}\n")
    said = []
    began(run, 0)
    follower = Follower(run.path, said.append)
    assert follower.look() is None and "began after step 0" in said[0]


def test_a_second_start_is_followed_from_its_step(run):
    began(run, 0)
    append(run, *range(1, 16))
    events.append(run.path, events.stopped(150))
    began(run, 150)
    said = []
    follower = Follower(run.path, said.append)
    assert follower.look() is None  # the stop was the first start's
    assert said[0].endswith("began after step 150 of 200 with 2 ranks")
    assert said[1] == "… 5 epochs before" and said[2].startswith("epoch  6/20")
    append(run, 16)
    assert follower.look() is None
    assert said[-1].startswith("epoch 16/20") and len(said) == 13


def test_a_run_is_followed_to_its_end_while_it_writes(run, capsys):
    began(run, 0)

    def work():
        append(run, 1, 2)
        events.append(run.path, events.complete(20))
        run.release()

    timer = threading.Timer(0.3, work)
    timer.start()
    assert follow(run.path, seconds=0.05, bar=True) == COMPLETE
    timer.join()
    out, err = capsys.readouterr()
    assert "epoch  2/20" in out and "complete after step 20" in out
    assert "0/200" in err or "0%" in err


def test_no_directory(tmp_path):
    with pytest.raises(InputError, match="no such directory"):
        follow(tmp_path / "nothing")


@pytest.mark.slow
def test_the_command(tmp_path, run):
    began(run, 0)
    append(run, 1)
    events.append(run.path, events.complete(10))
    run.release()
    done = distmlp("watch", run.path, "--once")
    assert done.status == 0 and "complete after step 10" in done.out
    assert distmlp("watch", tmp_path / "nothing").status == 2


def test_a_log_that_may_not_be_read_is_not_waited_for(run, monkeypatch):
    def locked(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(following, "read_records", locked)
    with pytest.raises(InputError, match=r"log\.jsonl cannot be read: Permission denied"):
        follow(run.path)
