"""Holds how much memory a training takes: that of a batch of the whole set is that of a small one."""

import h5py
import numpy as np
import pytest
from example import write_config
from launching import run_ranks

#: Trains, and prints the most bytes that the process has had.
PEAK = """
import runpy, sys
sys.argv = ["distmlp", "train", sys.argv[1]]
try:
    runpy.run_module("distmlp", run_name="__main__", alter_sys=True)
except SystemExit as ended:
    assert not ended.code, ended.code
with open("/proc/self/status") as lines:
    print("PEAK", next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM")))
"""

ROWS, COLUMNS = 150_000, 200


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A directory with a set of 120 MB."""
    home = tmp_path_factory.mktemp("memory")
    with h5py.File(home / "set.h5", "w") as file:
        x = file.create_dataset("train/x", (ROWS, COLUMNS), np.float32)
        y = file.create_dataset("train/y", (ROWS,), np.int64)
        random = np.random.default_rng(1)
        for start in range(0, ROWS, 10_000):
            some = random.standard_normal((10_000, COLUMNS), np.float32)
            x[start : start + 10_000] = some
            y[start : start + 10_000] = np.argmax(some[:, :5], axis=1)
    return home


def peak(home, batch):
    changes = {
        "network.layers": [COLUMNS, 64, 5],
        "data.validation": None,
        "data.window": "32 MB",
        "training.batch_size": batch,
        "training.micro_batch_size": 128,
        "training.epochs": 1,
        "run.directory": f"run-{batch}",
    }
    config = write_config(home / f"{batch}.toml", changes)
    done = run_ranks(None, 1, ["-c", PEAK, config])
    assert done.status == 0, done.err
    return int(done.out.rpartition("PEAK")[2])


@pytest.mark.slow
def test_the_whole_set_as_a_batch_takes_the_memory_of_a_small_one(home):
    small, large, whole = (peak(home, batch) for batch in (512, 65_536, "all"))
    assert max(large, whole) - small < 50e6, (small, large, whole)
