"""Disks that fill up under commands that write HDF5: a sentence, and what was there stays."""

import subprocess
import sys

import h5py
import numpy as np
import pytest
from bad_cases import SECONDS, is_one_sentence
from example import rows, write_config, write_set
from launching import distmlp

#: Files may have 200 kB at most, as on a full disk; the signal that comes first is ignored.
LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
from distmlp.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def home(tmp_path):
    write_set(tmp_path / "set.h5", test=rows(20000))
    config = write_config(tmp_path / "config.toml", {"data.validation": None, "training.epochs": 1})
    assert distmlp("train", config).status == 0
    return tmp_path


def limited(home, *words):
    command = [sys.executable, "-c", LIMITED, *words]
    return subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=SECONDS)


@pytest.mark.slow
def test_predict_on_a_full_disk_leaves_what_was_there(home):
    (home / "out.h5").write_text("precious")
    words = ("predict", "run", "--data", "set.h5:/test", "--output", "out.h5", "--overwrite")
    done = limited(home, *words)
    assert done.returncode == 2 and not done.stdout, done.stdout + done.stderr
    is_one_sentence(done.stderr, ["out.h5", "File too large"])
    assert (home / "out.h5").read_text() == "precious"
    assert not list(home.glob("*.writing"))
    assert distmlp(*words, cwd=home).status == 0
    with h5py.File(home / "out.h5") as file:
        assert file["a"].shape == (20000, 5) and np.all(np.sum(file["a"], axis=1) > 0.99)


@pytest.mark.slow
def test_convert_on_a_full_disk_leaves_what_was_there(home):
    np.savez(
        home / "many.npz", x=np.random.default_rng(1).random((5000, 20)), y=np.arange(5000) % 5
    )
    done = limited(home, "convert", "many.npz", "new.h5")
    assert done.returncode == 2, done.stdout + done.stderr
    is_one_sentence(done.stderr, ["new.h5", "File too large"])
    assert not (home / "new.h5").exists()
