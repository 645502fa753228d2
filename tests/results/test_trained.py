"""Holds that a loaded network gives in memory the bits that the commands give, and says what it cannot take."""

import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import h5py
import numpy as np
import pandas as pd
import pytest
from example import rows, tables, write_set

import distmlp
from distmlp.errors import InputError
from distmlp.parallel.communicator import SingleProcess
from distmlp.results import checkpoint_commands


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(directory, the network loaded) of a short run on classes."""
    place = tmp_path_factory.mktemp("trained")
    write_set(place / "set.h5")
    config = tables(
        {
            "data.train": f"{place}/set.h5:/train",
            "data.validation": f"{place}/set.h5:/test",
            "run.directory": str(place / "run"),
            "training.epochs": 1,
        }
    )
    distmlp.train(config)
    return place, distmlp.load(place / "run")


def test_outputs_and_classes_are_those_of_the_command(trained):
    place, network = trained
    checkpoint_commands.predict(
        place / "run", f"{place}/set.h5:/test", place / "out.h5", SingleProcess()
    )
    x, _ = rows(301, seed=1)
    with h5py.File(place / "out.h5") as file:
        assert network.outputs(x).tobytes() == file["a"][...].tobytes()
        assert network.predict(x).tolist() == file["class"][...].tolist()
    assert network.predict_proba(x).tobytes() == network.outputs(x).tobytes()
    assert network.outputs(x[7:8]).tobytes() == network.outputs(x)[7:8].tobytes()
    assert network.outputs(x.reshape(301, 4, 5)).tobytes() == network.outputs(x).tobytes()
    assert network.predict(x[:0]).shape == (0,)


def test_evaluate_gives_the_metrics_of_the_command(trained):
    place, network = trained
    assert network.evaluate(*rows(301, seed=1)) == checkpoint_commands.evaluate(
        place / "run", None, SingleProcess()
    )


def test_evaluate_takes_the_columns_of_a_data_frame_by_name(tmp_path):
    x, y = rows(301, seed=1)
    names = [f"c{i}" for i in range(x.shape[1])]
    write_set(tmp_path / "set.h5")
    with h5py.File(tmp_path / "set.h5", "a") as file:
        for group in file.values():
            group["x"].attrs["columns"] = names
    places = {"data.train": f"{tmp_path}/set.h5:/train", "data.validation": None}
    distmlp.train(tables({**places, "run.directory": str(tmp_path / "run"), "training.epochs": 1}))
    network = distmlp.load(tmp_path / "run")
    frame = pd.DataFrame(x, columns=names)
    there = frame[names[::-1]].assign(note="text")
    assert network.evaluate(there, y) == network.evaluate(x, y) == network.evaluate(frame, y)


def test_evaluate_takes_the_names_of_classes(trained):
    _, network = trained
    x, y = rows(301, seed=1)
    names = list("vwxyz")
    named = replace(network, facts={**network.facts, "targets": names})
    labels = pd.Series([names[k] for k in y])
    assert named.evaluate(x, labels) == network.evaluate(x, y) == named.evaluate(x, y)
    with pytest.raises(InputError, match="y holds 'q', but the classes are v, w, x, y, z"):
        named.evaluate(x, labels.replace("w", "q"))


def test_threads_may_share_it(trained):
    _, network = trained
    x, _ = rows(1009)
    alone = network.outputs(x).tobytes()
    with ThreadPoolExecutor(4) as threads:
        assert {a.tobytes() for a in threads.map(network.outputs, [x] * 8)} == {alone}


def test_columns_are_taken_by_name_and_classes_have_theirs(trained):
    _, network = trained
    x, _ = rows(50)
    names, classes = [f"c{k}" for k in range(20)], list("vwxyz")
    named = replace(network, facts={**network.facts, "columns": names, "targets": classes})
    frame = pd.DataFrame(x, columns=names)[names[::-1]].assign(more=1.0)
    assert named.predict(frame).tolist() == network.predict(x).tolist()
    assert named.labels(frame).tolist() == [classes[k] for k in network.predict(x)]
    assert named.outputs(pd.DataFrame(x)).tobytes() == network.outputs(x).tobytes()
    with pytest.raises(InputError, match="x has no column 'c3', which the network was trained on"):
        named.predict(frame.drop(columns="c3"))
    with pytest.raises(InputError, match="its classes have no names; predict gives their numbers"):
        network.labels(x)


@pytest.mark.parametrize(
    "x, words",
    [
        (np.zeros(20), r"shape \(20,\), but expected \(samples, 20\); one sample is x\[None\]"),
        (np.zeros((3, 19)), "x has 19 inputs a sample, but network.layers begins with 20"),
        (np.full((3, 20), "a"), "x has the dtype <U1, but expected real numbers"),
        ([[0.0] * 20, [0.0] * 19 + [np.nan]], "x: row 1 holds a NaN or an infinity"),
        ([[1e300] * 20], "x: row 0 holds a NaN or an infinity, or becomes one as float32"),
    ],
)
def test_inputs_that_do_not_fit_are_named(trained, x, words):
    _, network = trained
    with pytest.raises(InputError, match=words):
        network.predict(x)


@pytest.mark.filterwarnings("ignore:complete, but doubtful")
def test_probabilities_of_other_outputs(tmp_path):
    write_set(tmp_path / "set.h5")

    def of(output, layers, y=None):
        config = tables(
            {
                "data.train": f"{tmp_path}/set.h5:/train",
                "data.validation": "",
                "run.directory": f"{tmp_path}/{output}{layers}",
                "network.layers": layers,
                "network.output": output,
                "network.cost": "mse",
                "training.epochs": 1,
            }
        )
        distmlp.train(config)
        return distmlp.load(config["run"]["directory"])

    x, _ = rows(20)
    some = of("sigmoid", [20, 5]).predict_proba(x)
    np.testing.assert_allclose(some.sum(axis=1), 1, rtol=1e-6)
    with pytest.raises(InputError, match=r'network.output is "tanh", whose outputs are no prob'):
        of("tanh", [20, 5]).predict_proba(x)
    write_set(tmp_path / "set.h5", train=(rows(99)[0], rows(99)[1] > 2))
    network = of("sigmoid", [20, 1])
    a = network.outputs(x)
    assert network.predict_proba(x)[:, 1].tolist() == a[:, 0].tolist()
    assert network.predict(x).tolist() == (a[:, 0] > 0.5).tolist()
    write_set(tmp_path / "set.h5", train=(rows(99)[0], rows(99)[1] * 0.5))
    numbers = of("identity", [20, 1])
    assert numbers.predict(x).shape == (20, 1)
    with pytest.raises(InputError, match="trained on numbers, so it has no classes"):
        numbers.predict_proba(x)


def test_a_complete_run_gives_its_record_again(tmp_path):
    write_set(tmp_path / "set.h5")
    config = tables(
        {
            "data.train": f"{tmp_path}/set.h5:/train",
            "data.validation": f"{tmp_path}/set.h5:/test",
            "run.directory": f"{tmp_path}/run",
            "training.epochs": 1,
        }
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first, second = distmlp.train(config), distmlp.train(config)
    assert first.record == second.record
    assert first.v_sha256 == second.v_sha256
