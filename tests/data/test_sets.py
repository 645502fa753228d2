"""Shares that are held out, row ranges and masks: the same rows at any rank count, and wherever the set is looked at."""

import shutil
from dataclasses import replace

import h5py
import numpy as np
import pytest
from example import lawful, rows, steps, tables, write_config, write_set
from launching import distmlp

from distmlp.config.reading import from_tables
from distmlp.data.sets import sets_of
from distmlp.errors import InputError
from distmlp.parallel.communicator import SingleProcess
from distmlp.results import checkpoint_commands, looking
from distmlp.training.loop import train

N = 1009
PATIENT = np.random.default_rng(0).integers(0, 60, N)
MASK = np.random.default_rng(1).random(N) < 0.4


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("sets")
    write_set(place / "set.h5", "chunked")
    with h5py.File(place / "set.h5", "a") as file:
        file["train/number"] = np.arange(N)
        file["train/patient"] = PATIENT
        file["train/name"] = np.array([f"p{p}" for p in PATIENT], "S4")
        file["train/table"] = np.column_stack([PATIENT, np.arange(N)])
        file["train/mask"], file["train/odd"] = MASK, np.where(np.arange(N) == 17, 2, 1)
        file["train/none"], file["train/float"] = np.zeros(N, bool), rows(N)[1].astype(float)
        file["test/mask"] = np.arange(301) % 3 == 0
    return place


def config(place, **more):
    changes = {"data.train": f"{place}/set.h5:/train", "run.directory": f"{place}/run"}
    changes |= {f"data.{key}": value for key, value in {"validation": 0.1, **more}.items()}
    return from_tables(tables(changes))


def numbers(place, **more):
    """The numbers of the rows that are trained on, and of those that are validated on."""
    asked = config(place, **more)
    x, _ = rows(N)
    where = {row.tobytes(): number for number, row in enumerate(x)}
    found = []
    for data in sets_of(asked):
        with data:
            read, labels = data.read([(0, data.rows)])
            here = [where[row.tobytes()] for row in read]
            assert labels.tolist() == rows(N)[1][here].tolist()
            found.append(np.array(here))
    return found


def test_a_share_is_drawn_by_the_seed(place):
    trained_on, out = numbers(place)
    assert len(out) == 101 and np.array_equal(np.sort(np.r_[trained_on, out]), np.arange(N))
    assert (np.diff(trained_on) > 0).all() and (np.diff(out) > 0).all()
    assert out[:8].tolist() == FIRST
    asked = replace(config(place), seed=8)
    with sets_of(asked)[1] as other:
        assert not np.array_equal(other.index, out)


#: A constant: the same on every machine.
FIRST = [6, 14, 25, 26, 30, 38, 40, 47]


@pytest.mark.parametrize("targets", ["y", "float"])
def test_each_class_gives_its_share(place, targets):
    _, out = numbers(place, validation_by="classes", targets=targets)
    _, labels = rows(N)
    assert len(out) == 101
    for k in range(5):
        assert abs(np.sum(labels[out] == k) - 0.1 * np.sum(labels == k)) <= 1


@pytest.mark.parametrize("by", ["patient", "name", "table[0]"])
@pytest.mark.parametrize("share", [0.1, 0.001])
def test_no_group_is_in_both(place, by, share):
    trained_on, out = numbers(place, validation=share, validation_by=by)
    assert not set(PATIENT[trained_on]) & set(PATIENT[out])
    assert len(out) and (share == 0.001 or abs(len(out) - 101) < 10)


RANGES = {"0:100": range(100), "900:": range(900, N), "-9:": range(1000, N), "::7": range(0, N, 7)}


@pytest.mark.parametrize("asked", [*RANGES, "mask"])
def test_rows_are_selected(place, asked):
    expected = np.array(RANGES[asked]) if asked in RANGES else np.flatnonzero(MASK)
    (found,) = numbers(place, validation="", rows=asked)
    assert np.array_equal(found, expected)
    trained_on, out = numbers(place, rows=asked, validation=0.2)
    assert np.array_equal(np.sort(np.r_[trained_on, out]), expected)
    if len(expected) > 60:
        trained_on, out = numbers(place, rows=asked, validation=0.2, validation_by="patient")
        assert not set(PATIENT[trained_on]) & set(PATIENT[out])
    fold = {"validation": "", "folds": 3, "fold": 2, "fold_by": "rows"}
    trained_on, out = numbers(place, rows=asked, **fold)
    assert np.array_equal(np.sort(np.r_[trained_on, out]), expected)


def test_one_set_gives_both_by_ranges(place):
    same = f"{place}/set.h5:/train"
    found = numbers(place, rows=":800", validation=same, validation_rows="800:")
    assert [len(part) for part in found] == [800, 209] and found[1][0] == 800


BAD = {
    "range": ({"rows": "0:2000"}, 'data.rows is "0:2000", but .* has 1009 rows: expected ends'),
    "empty": ({"rows": "5:5"}, "selects no row"),
    "none": ({"rows": "none"}, "selects no row"),
    "step": ({"rows": "0:9:0"}, "a step of at least 1"),
    "odd": ({"rows": "odd"}, "train/odd is 2 in row 17; expected true or false, or 1 or 0"),
    "wide": ({"rows": "table"}, "1009 rows of 2 numbers, but expected one number a row, of 1009"),
    "nobody": ({"rows": "nobody"}, "no dataset 'nobody'"),
    "share of one": ({"rows": "0:1"}, "which leaves none of the 1 rows"),
    "one group": ({"rows": "0:9", "validation_by": "none"}, "are of one group"),
    "numbers": ({"validation_by": "classes", "targets": "x"}, "are numbers"),
    "by": ({"validation": "", "validation_by": "classes"}, "it belongs to a share"),
    "rows of": ({"validation": 0.1, "validation_rows": "0:9"}, "expected the set whose rows"),
    "both": ({"folds": 3, "fold": 1}, "one of the two"),
    "share": ({"validation": 1.5}, "data.validation is 1.5, but expected .* such as 0.1"),
    "whole": ({"validation": 1}, "data.validation is 1, but expected"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_cannot_be_done_is_said(kind, place):
    changes, words = BAD[kind]
    with pytest.raises(InputError, match=words):
        sets_of(config(place, **changes))


#: Held out by class and selected by a mask, in windows that are smaller than the set.
CHANGES = {
    "data.validation": 0.2,
    "data.validation_by": "classes",
    "data.rows": "mask",
    "data.window": "0.02 MB",
    "training.metrics": ["f1", "roc_auc"],
    "training.batch_size": 31,
}


@pytest.fixture(scope="module")
def alone(place):
    """The log of one process."""
    return trained(place, "alone", 1)


def trained(place, name, ranks, mpi=None, changes=CHANGES):
    file = write_config(place / f"{name}.toml", {**changes, "run.directory": name})
    done = distmlp("train", file, mpi=mpi, ranks=ranks)
    assert done.status == 0, done.err
    return lawful(place / name)


@pytest.mark.parametrize("name, ranks", [("openmpi", 2), ("openmpi", 3), ("mpich", 4)])
def test_ranks_change_no_bit(name, ranks, launcher, place, alone):
    assert trained(place, f"{name}-{ranks}", ranks, launcher(name)) == alone


def test_a_resume_at_an_odd_step_changes_no_bit(place, alone, launcher):
    changes = {**CHANGES, "run.checkpoint_every": "3 steps", "run.keep": 100}
    trained(place, "parts", 1, changes=changes)
    kept = place / "parts" / "checkpoints"
    odd = next(step for step in steps(place / "parts") if step % 11)
    for path in kept.glob("*.h5"):
        if path.name != f"step-{odd:09d}.h5":
            path.unlink()
    (place / "parts" / "finished.json").unlink()
    trained(place, "parts", 3, launcher("openmpi"), changes)
    assert lawful(place / "parts") == alone


@pytest.mark.slow
def test_a_run_is_looked_at_on_the_rows_that_it_was_validated_on(place, alone):
    last = {"which": "last", "comm": SingleProcess()}
    found = checkpoint_commands.evaluate(place / "alone", None, **last)
    assert (found.cost, found.accuracy) == (alone[-1]["validation_cost"], alone[-1]["accuracy"])
    view = looking.look(place / "alone", "last", None)
    assert (view.rows, view.spec.rpartition("/")[2]) == (
        found.samples,
        "train, rows mask, a share of 0.2 of it",
    )
    whole = checkpoint_commands.evaluate(place / "alone", f"{place}/set.h5:/train", **last)
    assert whole.samples == N

    named = {"data.validation": "set.h5:/test", "data.validation_rows": "mask"}
    record = trained(place, "named", 1, changes=named)[-1]
    found = checkpoint_commands.evaluate(place / "named", None, **last)
    assert (found.samples, found.cost) == (101, record["validation_cost"])
    assert (
        checkpoint_commands.evaluate(place / "named", f"{place}/set.h5:/test", **last).samples
        == 301
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes, words",
    [
        ({"data.validation": 0.3}, r"data.validation"),
        ({"data.validation": "set.h5:/test", "data.validation_by": "rows"}, "data.validation"),
        ({"data.validation_by": "rows"}, "data.validation_by"),
        ({"data.rows": "0:900"}, "data.rows"),
    ],
)
def test_which_rows_are_a_part_of_what_a_run_is(place, alone, changes, words):
    shutil.copytree(place / "alone", place / "copy", dirs_exist_ok=True)
    more = {**CHANGES, "training.epochs": 3, "run.directory": "copy", **changes}
    done = distmlp("train", write_config(place / "copy.toml", more))
    assert done.status == 2 and words in done.err


def test_a_row_is_named_by_its_number_in_the_file(tmp_path):
    x, y = rows(N)
    x[700, 3] = np.nan
    write_set(tmp_path / "set.h5", train=(x, y))
    with pytest.raises(InputError, match="row 700: its inputs hold a NaN"):
        train(config(tmp_path, rows="600:"), SingleProcess())
