"""A run that begins with another's v: what is taken over, what is refused, and that it is the same bits everywhere."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from example import lawful, rows, write_set
from preparing import Heard, config_in
from simulated import on_ranks

from distmlp.errors import InputError
from distmlp.mathematics.layout import Layout
from distmlp.parallel.communicator import SingleProcess
from distmlp.results import checkpoint_commands
from distmlp.results.verification import verify
from distmlp.runs import checkpoint
from distmlp.training.loop import train
from distmlp.training.reporting import LogOnly

LAYERS = [20, 13, 5]


def run(place, name, size=1, changes={}, report=None, **more):
    config = config_in(place, {"run.directory": str(place / name), **changes})
    found = on_ranks(
        size,
        lambda comm: train(
            config, comm, report=(report or LogOnly()) if comm.rank == 0 else None, **more
        ),
    )
    for outcome in found:
        if isinstance(outcome, Exception):
            raise outcome
    assert len({outcome.v_sha256 for outcome in found}) == 1
    return found[0]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A directory with the run "old", of standardised inputs, and other rows of the same kind."""
    place = tmp_path_factory.mktemp("starting")
    run(place, "old", changes={"data.scale_inputs": "standardise", "training.epochs": 1})
    x, y = rows(500, seed=5)
    write_set(place / "new.h5", train=(3 * x + 1, y))
    return place


def tuning(place, **more):
    """Fine-tuning: a different rate, batch, optimizer and data."""
    return {
        "network.start_from": str(place / "old"),
        "data.scale_inputs": "standardise",
        "data.train": f"{place}/new.h5:/train",
        "training.batch_size": 30,
        "optimizer.name": "adam",
        "optimizer.learning_rate": 0.01,
        **more,
    }


def old_v(place):
    return checkpoint.averaged(checkpoint.find(place / "old", "best")[0])


def tensors(v, layers=LAYERS):
    return Layout(tuple(layers)).views(v)


@pytest.mark.slow
@pytest.mark.parametrize("layers", [LAYERS, [20, 13, 7, 5]])
def test_the_same_bits_on_any_ranks_and_after_a_resume(tmp_path, place, layers):
    name = f"tuned-{len(layers)}"
    changes = tuning(place, **{"network.layers": layers, "run.keep": 9})
    alone = run(place, name, 1, changes)
    assert lawful(place / name)[-1]["cost"] < lawful(place / name)[0]["cost"]
    for ranks, until in ((2, 3), (4, 19)):
        run(place, f"{name}-{ranks}", ranks, changes, until=until)
        assert run(place, f"{name}-{ranks}", 5 - ranks, changes).v_sha256 == alone.v_sha256
        assert lawful(place / f"{name}-{ranks}") == lawful(place / name)
    drawn = {**changes, "network.start_from": ""}
    assert run(place, f"{name}-drawn", 1, drawn).v_sha256 != alone.v_sha256
    verdict = verify(place / name, SingleProcess(), whole=True)
    assert verdict.differing is None and verdict.compared >= 2
    assert verify(place / name, SingleProcess()).differing is None


def begun(place, name, changes, report=None):
    """The v of a run after no step at all, for its only learning rate is as good as none."""
    still = {**changes, "training.epochs": 1, "optimizer.name": "sgd"}
    still |= {"optimizer.learning_rate": 1e-300}
    return run(place, name, 1, still, report or Heard()).v


def test_layers_of_the_same_shape_are_taken_over(place):
    old = old_v(place)
    heard = Heard()
    v = begun(place, "whole", tuning(place))
    assert v.tobytes() == old.v.tobytes()
    v = begun(place, "head", tuning(place, **{"network.layers": [20, 13, 4, 5]}), heard)
    (w, b), (old_w, old_b) = tensors(v, [20, 13, 4, 5]), tensors(old.v)
    assert (w[1] == old_w[1]).all() and (b[1] == old_b[1]).all()
    assert not b[2].any() and not b[3].any()
    drawn = begun(
        place,
        "drawn",
        {**tuning(place), "network.start_from": "", "network.layers": [20, 13, 4, 5]},
    )
    assert (tensors(drawn, [20, 13, 4, 5])[0][2] == w[2]).all()
    v = begun(place, "one", tuning(place, **{"network.start_layers": 1}))
    assert (tensors(v)[0][1] == old_w[1]).all() and (tensors(v)[0][2] != old_w[2]).any()
    v = begun(place, "wide", tuning(place, dtype="float64"))
    assert (v == old.v).all() and v.dtype == np.float64


def test_what_is_kept_and_said(place):
    old = old_v(place)
    start = checkpoint_commands.inspect(place / "whole")["start"]
    assert start == {
        "path": str(old.path),
        "step": old.facts["step"],
        "v_sha256": old.facts["v_sha256"],
        "layers": 2,
        "arrays": ["inputs_divisor", "inputs_shift"],
    }
    kept = checkpoint.find(place / "whole")[0].data
    for name in ("inputs_divisor", "inputs_shift"):
        assert kept[name].tobytes() == old.data[name].tobytes()
    # ... though the new rows have means of their own
    assert checkpoint_commands.inspect(place / "drawn")["start"] is None
    drawn = checkpoint.find(place / "drawn")[0].data
    assert np.abs(drawn["inputs_shift"] - old.data["inputs_shift"]).max() > 0.5


def test_frozen_layers_are_the_old_runs(place):
    changes = tuning(place, **{"training.frozen": [1], "network.layers": [20, 13, 5]})
    result = run(place, "frozen", 2, changes)
    w, old_w = tensors(result.v)[0], tensors(old_v(place).v)[0]
    assert (w[1] == old_w[1]).all() and (w[2] != old_w[2]).any()


def test_a_run_goes_on_without_the_old_one(place, tmp_path):
    shutil.copytree(place / "old", tmp_path / "old")
    changes = {**tuning(place), "network.start_from": str(tmp_path / "old")}
    whole = run(place, "uninterrupted", 1, changes)
    run(place, "moved", 1, tuning(place), until=5)
    with pytest.raises(
        InputError, match=r"give a new run\.directory for a run that begins with it"
    ):
        run(place, "moved", 1, {**changes, "network.start_from": str(place / "drawn")})
    shutil.rmtree(tmp_path / "old")
    with pytest.raises(InputError, match=r"network\.start_from: .* no such"):
        run(place, "moved", 1, changes)
    run(place, "gone", 1, tuning(place), until=5)
    (place / "old").rename(place / "away")
    try:
        assert run(place, "gone", 2, tuning(place)).v_sha256 == whole.v_sha256
        with pytest.raises(InputError, match="no such checkpoint"):
            verify(place / "gone", SingleProcess(), whole=True)
    finally:
        (place / "away").rename(place / "old")


def test_a_verification_from_the_start_needs_the_same_v(place, tmp_path):
    shutil.copytree(place / "old", tmp_path / "old")
    run(place, "verified", 1, {**tuning(place), "network.start_from": str(tmp_path / "old")})
    run(place, "changed", 1, {"data.scale_inputs": "standardise", "seed": 3, "training.epochs": 1})
    for path in Path(tmp_path / "old" / "checkpoints").glob("*"):
        shutil.copy(place / "changed" / "checkpoints" / "step-000000021.h5", path)
    with pytest.raises(InputError, match="cannot be trained again from the start"):
        verify(place / "verified", SingleProcess(), whole=True)


def test_a_run_that_was_drawn_does_not_become_one_that_was_not(place):
    run(place, "plain", 1, {"training.epochs": 1})
    with pytest.raises(InputError, match="did not begin with another's v"):
        run(place, "plain", 1, {"network.start_from": str(place / "old"), "training.epochs": 1})
    run(place, "started", 1, tuning(place), until=3)
    with pytest.raises(InputError, match=r"network\.start_from is empty"):
        run(place, "started", 1, {**tuning(place), "network.start_from": ""})


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"network.start_from": "nowhere"}, "network.start_from: nowhere: no such checkpoint"),
        ({"network.layers": [20, 12, 5]}, "its first layer does not fit"),
        ({"network.start_layers": 2, "network.layers": [20, 13, 4, 5]}, "only layer 1 would fit"),
        ({"network.activation": "relu"}, 'the config has "relu"; expected the same'),
        ({"data.scale_inputs": "none"}, 'data.scale_inputs = "standardise"'),
        ({"network.start_layers": 3}, "2 layers behind the input"),
        ({"network.start_layers": 1, "network.start_from": ""}, "network.start_from is empty"),
    ],
)
@pytest.mark.parametrize("ranks", [1, 2])
def test_what_does_not_fit_is_refused(place, changes, words, ranks):
    with pytest.raises(InputError) as error:
        run(place, "refused", ranks, tuning(place, **changes))
    assert words in str(error.value)
    assert not (place / "refused").exists()


def test_targets_are_scaled_as_there_where_the_output_layer_is_taken_over(place, tmp_path):
    (x, _), (x_new, _) = rows(400), rows(300, seed=4)
    write_set(tmp_path / "a.h5", train=(x, 7.0 * x[:, 0] + 2.0))
    write_set(tmp_path / "b.h5", train=(x_new, x_new[:, 1]))
    numbers = {
        "data.validation": "",
        "data.scale_targets": "standardise",
        "network.layers": [20, 13, 1],
        "network.cost": "mse",
        "network.output": "identity",
        "optimizer.learning_rate": 0.1,
        "training.epochs": 4,
    }
    run(tmp_path, "old", 1, {**numbers, "data.train": f"{tmp_path}/a.h5:/train"})
    new = {**numbers, "network.start_from": str(tmp_path / "old")}
    new["data.train"] = f"{tmp_path}/b.h5:/train"
    with pytest.raises(
        InputError, match=r"network\.start_layers = 1, which draws the output layer"
    ):
        run(tmp_path, "refused", 1, {**new, "data.scale_targets": "none"})
    then = checkpoint.find(tmp_path / "old")[0].data
    for name, layers, same in (("all", 0, True), ("head", 1, False)):
        run(tmp_path, name, 1, {**new, "network.start_layers": layers}, Heard())
        now = checkpoint.find(tmp_path / name)[0].data
        assert (now["targets_shift"] == then["targets_shift"]).all() == same


def test_inputs_with_different_names_are_told(tmp_path):
    for name, columns in (("a", "abcdefghijklmnopqrst"), ("b", "bacdefghijklmnopqrst")):
        write_set(tmp_path / f"{name}.h5")
        with h5py.File(tmp_path / f"{name}.h5", "r+") as file:
            for group in ("train", "test"):
                file[f"{group}/x"].attrs["columns"] = list(columns)
    run(tmp_path, "old", 1, {"data.train": f"{tmp_path}/a.h5:/train", "data.validation": ""})
    heard = Heard()
    for name in ("a", "b"):
        changes = {"data.train": f"{tmp_path}/{name}.h5:/train", "data.validation": ""}
        run(tmp_path, name, 1, {**changes, "network.start_from": str(tmp_path / "old")}, heard)
    warnings = [said[1] for said in heard.said if said[0] == "warn"]
    assert [words for words in warnings if "names, or the order" in words] == warnings[-1:]
    assert "b.h5" in warnings[-1]


def test_a_refused_resume_names_the_way(place):
    run(place, "refusing", 1, {"training.epochs": 1})
    for changes in ({"optimizer.learning_rate": 0.1}, {"data.train": f"{place}/new.h5:/train"}):
        with pytest.raises(InputError) as error:
            run(place, "refusing", 1, {"training.epochs": 2, **changes})
        assert f'network.start_from = "{place}/refusing"' in str(error.value)
