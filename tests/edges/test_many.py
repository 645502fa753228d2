"""Many networks at the edges: ranks that were given different things, a rank that stops, a directory from a stranger."""

import json
import os

import h5py
import pytest
from bad_cases import SECONDS, answers, is_one_sentence
from example import checkpoint as checkpoint_of
from example import steps, write_config, write_set, write_set_to_hold
from launching import run_ranks

from distmlp.config.reading import load
from distmlp.many import ensemble, plan
from distmlp.many.processes import run_as_processes
from distmlp.parallel.communicator import SingleProcess
from distmlp.runs import checkpoint

HOST = os.uname().nodename

#: Rank 1 gets words of its own; where they are "stopped" it stops for ever before its first network.
PROGRAM = """
import os, sys, time
from distmlp.cli import main as cli
own, *words = sys.argv[1:]
if os.environ.get("OMPI_COMM_WORLD_RANK", os.environ.get("PMI_RANK")) == "1":
    if own == "stopped":
        from distmlp.many import running
        running._trained = lambda *_: time.sleep(1000)
    else:
        words += own.split()
sys.exit(cli.main(words))
"""


@pytest.fixture
def home(tmp_path):
    write_set(tmp_path / "set.h5")
    write_config(tmp_path / "config.toml", {"run.stall_timeout": "4 seconds"})
    return tmp_path


def told(mpi, home, own, *words):
    done = run_ranks(mpi, 3, ["-c", PROGRAM, own, *words], timeout=SECONDS, cwd=home)
    return done, [line for line in done.said if "fault tolerance" not in line]


APART = {
    "a seed": (["many", "config.toml", "--seeds", "2"], "--set seed=8", ["seed = 8", "has 7"]),
    "a plan": (["many", "config.toml", "--seeds", "2"], "--plan", ["plan = True", "has False"]),
    "a length": (["find-rate", "config.toml"], "--steps 30", ["steps = 30", "has 200"]),
    "a resume": (["train", "config.toml"], "--resume never", ["resume = 'never'", "has 'auto'"]),
}


@pytest.mark.parametrize("name", APART)
def test_ranks_that_were_given_different_words(name, mpi, home):
    words, own, parts = APART[name]
    done, said = told(mpi, home, own, *words)
    assert done.status == 2
    is_one_sentence("\n".join(said), [f"rank 1 on {HOST} has", *parts])
    assert not (home / "run").exists()


def test_a_rank_that_stops_while_others_have_done_their_networks(mpi, home):
    done, said = told(mpi, home, "stopped", "many", "config.toml", "--seeds", "3")
    assert done.status not in (0, 2, 3, 75)
    assert any(f"no progress for 4 s in the training of many networks; waiting for rank 1 on {HOST}" in line for line in said)  # fmt: skip


def test_ranks_wait_for_a_network_that_takes_longer_than_a_step_may(mpi, home):
    """Two of three ranks have done their only network; the third goes on for longer than run.stall_timeout."""
    write_config(
        home / "config.toml",
        {"run.stall_timeout": "2 seconds", "data.window": "1 MB", "optimizer.learning_rate": 0.01},
    )
    own = ["--grid", "training.epochs=[1,1,20000]", "--grid", "network.layers=[[20,64,5]]"]
    done = run_ranks(mpi, 3, ["-m", "distmlp", "many", "config.toml", *own, "--set", 'run.time_limit="7 seconds"'], timeout=SECONDS, cwd=home)  # fmt: skip
    assert done.status == 75 and done.seconds > 7, done.err
    assert steps(home / "run" / "3")[-1] > 42


# What is kept of many networks


@pytest.fixture
def trained(home):
    config = load(home / "config.toml")
    members = plan.members_of(plan.seeds(config, 2))
    plan.keep(config, members)
    run_as_processes(config, members, 2, lambda: False, lambda words: None)
    return home


COMMANDS = (
    ["evaluate", "run"],
    ["predict", "run", "--data", "set.h5:/test", "--output", "out.h5", "--overwrite"],
    ["many", "config.toml", "--seeds", "2"],
)
PLANS = {
    "nothing": b"",
    "no text": b"\xff\xfe",
    "a list": b"[]",
    "deep": b"[" * 30000,
    "no members": b'{"members": []}',
    "a name that leads outside": b'{"members": [{"name": "../other", "settings": {}}]}',
    "a name that is none": b'{"members": [{"name": 1, "settings": {}}]}',
    "no settings": b'{"members": [{"name": "1", "settings": 3}]}',
}


@pytest.mark.slow
def test_a_plan_is_read_as_coming_from_a_stranger(trained):
    place = trained / "run" / "many.json"
    for name, content in PLANS.items():
        place.write_bytes(content)
        for status, said in answers(trained, *COMMANDS):
            assert status == 2, (name, said)
            is_one_sentence(said.splitlines()[-1], ["many.json is damaged" if name != "no text" else "many.json cannot be read"])  # fmt: skip
    place.unlink()
    os.mkfifo(place)
    for status, said in answers(trained, *COMMANDS):
        assert status == 2
        is_one_sentence(said.splitlines()[-1], ["many.json", "not a regular file"])


@pytest.mark.slow
def test_a_config_that_is_a_fifo_keeps_nobody_waiting(trained):
    for name in ("config.toml", "log.jsonl"):
        (trained / "run" / "1" / name).unlink()
        os.mkfifo(trained / "run" / "1" / name)
        for status, said in answers(
            trained, ["compare", "run"], ["report", "run/1"], ["watch", "run/1", "--once"]
        ):
            assert status in (0, 2), said
            assert "Traceback" not in said


def damage(path):
    content = bytearray(path.read_bytes())
    content[-9] ^= 4
    path.write_bytes(content)


@pytest.mark.slow
def test_an_older_checkpoint_is_never_taken_without_a_word(trained):
    run = trained / "run" / "1"
    damage(checkpoint_of(run, 42))  # whose file the best epoch's name is another name of
    good = checkpoint.read(checkpoint_of(trained / "run" / "2", 42))
    facts = {**good.facts, "step": 21, "epoch": 1}
    image = checkpoint.image(good.v, good.arrays, facts, good.data)
    checkpoint.write(run / "checkpoints", 21, image)
    start = ["--set", 'network.start_from="run/1"', "--set", 'run.directory="new"']
    commands = [
        ["evaluate", "run/1"],
        ["predict", "run/1", "--data", "set.h5:/test", "--output", "one.h5"],
        ["inspect", "run/1"],
        ["export", "run/1", "one.npz"],
        ["report", "run/1"],
        ["evaluate", "run"],
        ["predict", "run", "--data", "set.h5:/test", "--output", "out.h5"],
        ["train", "config.toml", *start],
    ]
    for words, (status, said) in zip(commands, answers(trained, *commands), strict=True):
        assert status == 0, (words, said)
        assert "step-000000042.h5" in said and "passed over" in said, (words, said)


@pytest.mark.slow
def test_each_checkpoint_of_many_is_read_once(trained, monkeypatch):
    read, found = [], checkpoint.read
    monkeypatch.setattr(checkpoint, "read", lambda path: read.append(path) or found(path))
    out = trained / "out.h5"
    given = trained / "run", f"{trained}/set.h5:/test", out, SingleProcess(), "last", print, False
    assert ensemble.predict(*given) == (301, 2)
    assert sorted(path.parent.parent.name for path in read) == ["1", "2"]
    with h5py.File(out) as file:
        assert file["a"].shape == (301, 5) and file.attrs["networks"] == 2


# Held once a host

#: While they train: the most memory of each rank's own, in all.
HELD = """
import json, os, sys
from distmlp.config.reading import load
from distmlp.many import plan, running
from distmlp.parallel import launchers

if sys.argv[2] == "apart":
    running.shelve = lambda *_: {}
most = 0

def look():
    global most
    with open("/proc/self/smaps_rollup") as file:
        (own,) = [line.split()[1] for line in file if line.startswith("Pss_Anon:")]
    most = max(most, int(own) * 1024)
    return False

comm, config = launchers.world(), load(sys.argv[1])
members = plan.members_of(json.loads(sys.argv[3]))
if comm.rank == 0:
    plan.keep(config, members)
comm.barrier()
found = running.run_in_groups(config, members, comm, 3, look, lambda words: None)
shares = comm.all_gather(most)
if comm.rank == 0:
    assert all(outcome.state == "complete" for outcome in found.values()), found
    ends = [open(f"{config.run.directory}/{m.name}/finished.json") for m in members]
    print(json.dumps([sum(shares), [json.load(end)["v_sha256"] for end in ends]]))
"""


@pytest.mark.parametrize("kind", ["seeds", "folds"])
def test_groups_hold_a_set_once(kind, mpi, tmp_path):
    rows, width = 20_000, 500
    held = write_set_to_hold(tmp_path / "set.h5", rows, width)
    config = load(write_config(tmp_path / "config.toml"))
    settings = plan.seeds(config, 3) if kind == "seeds" else plan.folds(3, "rows")
    found = {}
    for name in ("together", "apart"):
        changes = {**held, "training.epochs": 3, "run.directory": name}
        place = write_config(tmp_path / f"{name}.toml", changes)
        words = ["-c", HELD, place, name, json.dumps(settings)]
        done = run_ranks(mpi, 3, words, timeout=120)
        assert done.status == 0, done.err
        found[name] = json.loads(done.out.splitlines()[-1])
    (together, v), (apart, same) = found.values()
    assert v == same and len(set(v)) == 3
    # three sets, or three times two thirds of one and a third, are in no rank's own memory
    assert apart - together > 0.8 * 3 * rows * (width * 4 + 8) * (2 / 3 if kind == "folds" else 1)
