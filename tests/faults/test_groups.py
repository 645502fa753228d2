"""distmlp many, where a whole group of ranks is lost."""

import json
import os
import signal
import time

from broken import Resilient
from example import write_config, write_set
from launching import distmlp, started


def v_of(run):
    return json.loads((run / "finished.json").read_text())["v_sha256"]


def test_who_is_done_waits_for_the_others_though_a_rank_is_lost(tmp_path, openmpi):
    """Longer than run.stall_timeout: the rank of network 1 has nothing to do when that of network 2 is killed."""
    write_set(tmp_path / "set.h5")
    changes = {"run.directory": "many", "run.stall_timeout": "2 seconds"}
    write_config(tmp_path / "config.toml", changes)
    words = ["-m", "distmlp", "many", "config.toml", "--grid", "training.epochs=[1, 4000, 4000]"]
    second = tmp_path / "many" / "2"
    with started(Resilient("ulfm", openmpi.bin), 3, words, cwd=tmp_path) as running:
        running.until((second / "log.jsonl").exists)
        running.until((tmp_path / "many" / "1" / "finished.json").exists)
        os.kill(int((second / "lock").read_text().split()[1]), signal.SIGKILL)
        killed = time.monotonic()
        done = running.wait(200)
    assert time.monotonic() - killed > 4, "too short to show anything"
    assert done.status == 0 and "3 of 3 networks are complete" in done.out, done.out + done.err


def test_where_a_group_is_lost_the_others_train_its_network(tmp_path, openmpi):
    """Each of two groups is one rank; the one that trains network 1 is killed."""
    write_set(tmp_path / "set.h5")
    write_config(
        tmp_path / "config.toml", {"run.directory": "many", "training.epochs": 150, "seed": 7}
    )
    first = tmp_path / "many" / "1"
    words = ["-m", "distmlp", "many", "config.toml", "--seeds", 2]
    with started(Resilient("ulfm", openmpi.bin), 2, words, cwd=tmp_path) as running:
        running.until((first / "log.jsonl").exists)
        os.kill(int((first / "lock").read_text().split()[1]), signal.SIGKILL)
        done = running.wait(60)
    assert "1 go on" in done.out and "2 of 2 networks are complete" in done.out
    alone = distmlp("train", "config.toml", "--set", "run.directory=alone", cwd=tmp_path)
    assert alone.status == 0, alone.err
    assert v_of(first) == v_of(tmp_path / "alone")
