"""The pages say enough to compute the same bits: training that is written from them alone ends with the digests.

from_the_page.py has it.  Where the pages and the code part, one of these tests fails.
"""

import re
import shutil
from pathlib import Path

import arithmetic_from_the_page
import from_the_page
import h5py
import numpy as np
import pytest
from small_runs import DIGESTS, SMALL, write_set

import distmlp

needs_c = pytest.mark.skipif(
    not shutil.which("cc"), reason="fused multiply-adds need a C compiler: no cc on the path"
)


def set_of(name, directory):
    """The file with the data of a small run."""
    layers = SMALL[name]["network"]["layers"]
    write_set(directory / "set.h5", layers[0], layers[-1])
    return directory / "set.h5"


@needs_c
@pytest.mark.parametrize("name", SMALL)
def test_a_small_run_ends_with_its_digest(name, tmp_path):
    found = from_the_page.train(SMALL[name], set_of(name, tmp_path))
    assert found == {key: DIGESTS[name][key] for key in found}


@needs_c
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:complete, but doubtful")  # how well it learns is no matter
@pytest.mark.parametrize("name, rate", [("float32-adam", 0.02), ("float64-adam", 0.01)])
def test_many_small_steps_end_with_the_same_v(name, rate, tmp_path):
    """Here gradients outgrow the grid, and one unit of Σ Tᵢ decides a grid; in the small runs neither happens."""
    path, small = set_of(name, tmp_path), SMALL[name]
    config = small | {
        "training": small["training"] | {"batch_size": 10, "micro_batch_size": 2},
        "optimizer": small["optimizer"] | {"learning_rate": rate},
    }
    places = {"data": {"train": f"{path}:/train"}, "run": {"directory": str(tmp_path / "run")}}
    record = distmlp.train(config | places, resume="never").record
    found = from_the_page.train(config, path)
    assert found == {key: record[key] for key in found}


#: A window of some steps for a set that is held, and all that is done to inputs, activations and gradients on the way.
MORE = {
    "data": {"scale_inputs": "standardise", "missing": "mean", "window": "0.45 MB"},
    "regularization": {"dropout": 0.25, "input_dropout": 0.1, "l2": 0.01, "clip_norm": 0.1},
}


@needs_c
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:complete, but doubtful")
@pytest.mark.parametrize("name", ["float32-sgd", "float64-sgd", "float64-adam"])
def test_more_keys_end_with_the_same_v(name, tmp_path):
    path, config = set_of(name, tmp_path), SMALL[name] | MORE
    with h5py.File(path, "a") as file:
        x = file["train/x"][...].astype("<f8")
        x[::7, 3] = np.nan
        del file["train/x"]
        file["train/x"] = x
    places = {"data": MORE["data"] | {"train": f"{path}:/train"}}
    run = {"run": {"directory": str(tmp_path / "run")}}
    record = distmlp.train(config | places | run, resume="never").record
    found = from_the_page.train(config, path)
    assert found == {key: record[key] for key in found}


@pytest.mark.parametrize("module", [from_the_page, arithmetic_from_the_page])
def test_nothing_of_distmlp_is_imported(module):
    source = Path(module.__file__).read_text(encoding="utf-8")
    imported = set(re.findall(r"^(?:import|from) (\w+)", source, re.M))
    assert "numpy" in imported
    assert not imported & {"distmlp", "small_runs"}
