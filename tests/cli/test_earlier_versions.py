"""A checkpoint of version 0.1.0 is of a different arithmetic: it is used, but not trained on."""

import json
from pathlib import Path

import h5py
import pytest
from example import write_config, write_set
from launching import distmlp

#: Of the example's config after 2 epochs, made by version 0.1.0; what that version said of it.
EARLIER = Path(__file__).with_name("checkpoint-0.1.0.h5")
SHA256 = "4c772062e0379ae30cb267ddf88000c68aafaff71d9f08fde24e6ec0e3fa02ff"


@pytest.fixture
def place(tmp_path):
    write_set(tmp_path / "set.h5")
    write_config(tmp_path / "config.toml")
    return tmp_path


@pytest.mark.slow
def test_it_evaluates_predicts_exports_and_is_inspected(place):
    done = distmlp("evaluate", EARLIER, "--data", "set.h5:/test", "--json", cwd=place)
    assert done.status == 0, done.err
    assert json.loads(done.out)["accuracy"] > 0.5
    done = distmlp("predict", EARLIER, "--data", "set.h5:/test", "--output", "a.h5", cwd=place)
    assert done.status == 0, done.err
    with h5py.File(place / "a.h5") as file:
        assert file["a"].shape == (301, 5)
    assert distmlp("export", EARLIER, "v.npz", cwd=place).status == 0
    done = distmlp("inspect", EARLIER, "--json", cwd=place)
    assert json.loads(done.out)["v_sha256"] == SHA256


@pytest.mark.slow
def test_training_does_not_go_on_from_it(place):
    done = distmlp("train", "config.toml", "--resume", EARLIER, cwd=place)
    assert done.status == 2, done.err
    (sentence,) = [line for line in done.err.splitlines() if line.startswith("distmlp: ")]
    assert "a different arithmetic and order of samples" in sentence
    assert "--resume never" in sentence
    assert not (place / "run").exists()


def test_a_config_with_its_key_is_told(place):
    with open(place / "config.toml", "r+") as file:
        text = file.read()
        file.seek(0)
        file.write('arithmetic = "portable"\n' + text)
    done = distmlp("train", "config.toml", cwd=place)
    assert done.status == 2
    (sentence,) = [line for line in done.err.splitlines() if line.startswith("distmlp: ")]
    assert "config.toml: arithmetic is a key no more" in sentence
