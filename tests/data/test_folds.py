"""Folds: every row in one of them, evenly; a part of a set reads as those rows do."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
from example import rows, write_set
from preparing import prepared

from distmlp.config.sections import DataConfig
from distmlp.data.dataset import DataSet
from distmlp.data.folds import fold_of_rows
from distmlp.data.part import Part
from distmlp.errors import InputError


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("folds")
    write_set(place / "set.h5", "chunked")
    with h5py.File(place / "set.h5", "a") as file:
        file["train/patient"] = np.random.default_rng(0).integers(0, 60, 1009)
        file["train/twice"] = np.zeros((1009, 2))
    return place


def config(place, **more):
    return replace(DataConfig(train=f"{place}/set.h5:/train"), **{"folds": 4, "fold": 1, **more})


def folds(place, seed=7, **more):
    of = config(place, **more)
    with DataSet(of.train) as data:
        return fold_of_rows(data, of, seed)


def counts(of):
    return np.bincount(of, minlength=5)[1:]


def test_rows_are_spread_evenly_and_by_the_seed(place):
    of = folds(place)
    assert sorted(counts(of)) == [252, 252, 252, 253]
    assert np.array_equal(of, folds(place)) and not np.array_equal(of, folds(place, seed=8))
    assert of[:12].tolist() == FIRST


#: A constant: the same on every machine.
FIRST = [2, 4, 3, 3, 3, 1, 2, 3, 1, 2, 3, 1]


def test_each_class_is_spread_evenly(place):
    of, (_, labels) = folds(place, fold_by="classes"), rows(1009)
    assert np.ptp(counts(of)) == 1
    for k in range(5):
        assert np.ptp(counts(of[labels == k])) <= 1


def test_groups_stay_whole(place):
    of = folds(place, fold_by="patient")
    with h5py.File(place / "set.h5") as file:
        patient = file["train/patient"][...]
    assert all(len(set(of[patient == p])) == 1 for p in np.unique(patient))
    assert np.ptp(counts(of)) < 20


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"folds": 2000}, "has 1009 rows"),
        ({"fold_by": "patient", "folds": 61}, "groups"),
        ({"fold_by": "nobody"}, "no dataset 'nobody'"),
        ({"fold_by": "twice"}, "one number a row"),
        ({"fold_by": "classes", "targets": "x"}, "are numbers"),
    ],
)
def test_folds_that_cannot_be(place, more, words):
    of = config(place, **more)
    with DataSet(of.train, "x", of.targets) as data, pytest.raises(InputError) as error:
        fold_of_rows(data, of, 1)
    assert words in str(error.value)


@pytest.mark.parametrize("held", [False, True])
def test_a_part_reads_as_its_rows(place, held):
    index = np.flatnonzero(folds(place) == 2)
    spec = f"{place}/set.h5:/train"
    with DataSet(spec) as data, Part(spec, "x", "y", index, "fold 2") as part:
        x, y = data.read([(0, 1009)])
        if held:
            part.hold()
        assert (part.rows, part.spec) == (len(index), f"{spec}, fold 2")
        found = part.read([(200, 252), (0, 60)])
        into = part.memory(112, np.float32)
        again = part.read([(200, 252), (0, 60)], into)
    rows = np.concatenate([index[200:252], index[:60]])
    for a, b in (
        (found[0], x[rows]),
        (found[1], y[rows]),
        (again[0], x[rows]),
        (again[1], y[rows]),
    ):
        assert np.array_equal(a, b)


def test_a_run_is_validated_on_its_fold_and_trained_on_the_others(place):
    changes = {"data.validation": None, "data.folds": 4, "data.fold": 2}
    with prepared(place, changes) as run:
        assert (run.data.rows, run.validation.rows) == (757, 252)
        held_out, _ = run.validation.read([(0, 252)])
        trained_on, _ = run.data.read([(0, 757)])
    both = np.concatenate([held_out, trained_on])
    assert np.array_equal(np.unique(both, axis=0), np.unique(rows(1009)[0], axis=0))
