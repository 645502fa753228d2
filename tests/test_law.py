"""The one law: v, every logged cost and every metric are a pure function of (config, data, seed).

Every run here is the real command, and compared bit by bit with one process alone.
"""

from itertools import pairwise

import h5py
import numpy as np
import pytest
from example import LAYOUTS, ROWS, checkpoint, lawful, log, rows, steps, write_config, write_set
from launching import distmlp, run_ranks, started

SGD = {"optimizer.momentum": 0.9, "optimizer.learning_rate": 0.05}
ADAM = {"optimizer.name": "adam", "optimizer.learning_rate": 0.01}
KINDS = {
    "float32-sgd": {"dtype": "float32", **SGD},
    "float64-adam": {"dtype": "float64", **ADAM},
    "float64-sgd": {"dtype": "float64", **SGD},
    "float32-adam": {"dtype": "float32", **ADAM},
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A directory with the set."""
    home = tmp_path_factory.mktemp("law")
    write_set(home / "set.h5")
    return home


@pytest.fixture(scope="module")
def train(home):
    """train(name, changes, mpi, ranks): a complete run in the directory `name`, and its log without speed."""

    def train(name, changes={}, mpi=None, ranks=1, **more):
        config = write_config(home / f"{name}.toml", {**changes, "run.directory": name})
        done = distmlp("train", config, mpi=mpi, ranks=ranks, **more)
        assert done.status == 0, done.err
        assert {record["ranks"] for record in log(home / name)} == {ranks}
        return lawful(home / name)

    return train


@pytest.fixture(scope="module")
def alone(train):
    """alone(kind): the log of one process without mpirun, made once."""
    made = {}

    def alone(kind):
        if kind not in made:
            made[kind] = train(f"alone-{kind}", KINDS[kind])
        return made[kind]

    return alone


# Each launcher and rank count with both dtypes and both optimizers, in two runs instead of four.
COVER = [
    (name, ranks, kind)
    for name in ("openmpi", "mpich")
    for i, ranks in enumerate((1, 2, 3, 4, 5, 7))
    for kind in list(KINDS)[2 * (i % 2) :][:2]
]

#: The one that is in `launch/test --fast`.
FAST = ("openmpi", 2, "float32-adam")


@pytest.mark.parametrize(
    "name, ranks, kind",
    [pytest.param(*each, marks=[pytest.mark.fast] * (each == FAST)) for each in COVER],
)
def test_any_rank_count_under_any_mpi(name, ranks, kind, launcher, train, alone):
    assert train(f"{name}-{ranks}-{kind}", KINDS[kind], launcher(name), ranks) == alone(kind)


@pytest.mark.slow
def test_the_comparison_can_fail(train, alone):
    """What v is a function of does change it: the seed, the dtype, the batch."""
    found = {alone(kind)[-1]["v_sha256"] for kind in KINDS}
    for name, change in (("seed", {"seed": 8}), ("batch", {"training.batch_size": 49})):
        found.add(train(f"other-{name}", {**KINDS["float32-sgd"], **change})[-1]["v_sha256"])
    assert len(found) == 6


@pytest.mark.slow
def test_the_runs_learn(alone):
    """Equal nonsense would be equal too."""
    for kind in KINDS:
        first, last = alone(kind)
        assert last["cost"] < first["cost"] < 1.7
        assert last["accuracy"] > 0.6


CRASHES = [
    ("openmpi", 2, "mpich", 3, "float32-adam"),
    ("mpich", 4, "alone", 1, "float64-sgd"),
    ("alone", 1, "openmpi", 3, "float64-adam"),
    ("mpich", 3, "mpich", 2, "float32-sgd"),
]


@pytest.mark.parametrize("name, ranks, then, then_ranks, kind", CRASHES)
def test_killed_and_resumed(name, ranks, then, then_ranks, kind, home, train, launcher):
    """kill -9 of everything in the middle of an epoch; another MPI and rank count go on."""
    first, second = launcher(name), launcher(then)
    here = f"killed-{name}-{ranks}-{kind}"
    changes = {**KINDS[kind], "run.directory": here, "run.checkpoint_every": "4 steps"}
    # The number of epochs decides no bit here, so the first run may be endless: it cannot end too early.
    endless = write_config(home / f"{here}.toml", {**changes, "training.epochs": 10**6})
    with started(first, ranks, ["-m", "distmlp", "train", endless]) as run:
        run.until(lambda: any(step > 30 for step in steps(home / here)))
        run.kill()
    newest = steps(home / here)[-1]
    if newest % 21 == 0:  # 21 steps an epoch: not its middle, so go on from the one before
        checkpoint(home / here, newest).unlink()
        newest = steps(home / here)[-1]
    assert newest % 21

    epochs = newest // 21 + 2
    some = write_config(home / f"{here}.toml", {**changes, "training.epochs": epochs})
    done = distmlp("train", some, mpi=second, ranks=then_ranks)
    assert done.status == 0, done.err
    assert f"step {newest}" in done.out
    assert log(home / here)[-1]["ranks"] == then_ranks
    uninterrupted = train(
        f"un{here}", {**KINDS[kind], "training.epochs": epochs, "run.checkpoint_every": "1 epoch"}
    )
    assert lawful(home / here) == uninterrupted


def test_any_storage_of_the_same_rows(train, launcher, home, mpich):
    """With data.chunk_rows declared, the file's own layout decides nothing."""
    logs = []
    for layout in LAYOUTS:
        write_set(home / f"{layout}.h5", layout)
        changes = {"data.train": f"{layout}.h5:/train", "data.chunk_rows": 50}
        logs.append(train(f"stored-{layout}", changes))
        logs.append(train(f"stored-{layout}-3", changes, mpich, 3))
    assert all(found == logs[0] for found in logs)
    # ... and where it is not declared, it is the file's own.
    assert train("stored-own", {"data.train": "chunked.h5:/train"}) == logs[0]
    assert train("stored-gzip-own", {"data.train": "gzip.h5:/train"}) != logs[0]


#: What is made of the rows of several files on the way in, all at once.
ROWS_OF_FILES = {
    **ADAM,
    "data.train": "parts/part-*.h5:/",
    "data.chunk_rows": 16,
    "data.rows": "kept",
    "data.validation": 0.2,
    "data.validation_by": "group",
    "data.weights": "w",
    "data.class_weights": "balanced",
    "data.missing": "mean-and-indicator",
    "data.scale_inputs": "standardise",
    "data.window": "60 kB",
    "network.layers": [21, 13, 5],
    "training.metrics": ["f1", "roc_auc"],
}


def write_parts(place):
    """Five files of unequal length, one of a single row, with missing inputs, weights, groups and a mask; and one of all."""
    place.mkdir()
    x, y = rows(ROWS)
    x[::7, 2] = np.nan
    w = np.random.default_rng(4).exponential(size=ROWS)
    table = {"x": x, "y": y, "w": w, "group": np.arange(ROWS) // 9, "kept": np.arange(ROWS) % 5 > 0}
    ends = [0, 13, 14, 420, 777, ROWS]
    spans = [*pairwise(ends), (0, ROWS)]
    for name, (start, stop) in zip([*map("part-{}".format, range(5)), "all"], spans, strict=True):
        with h5py.File(place / f"{name}.h5", "w") as file:
            for key, values in table.items():
                file[key] = values[start:stop]


@pytest.mark.parametrize(
    "name, ranks", [(name, ranks) for name in ("openmpi", "mpich") for ranks in (1, 2, 3, 4)]
)
def test_several_files_whose_rows_are_chosen_weighted_and_filled(
    name, ranks, train, launcher, home
):
    if not (home / "of-all").exists():
        write_parts(home / "parts")
        train("of-all", {**ROWS_OF_FILES, "data.train": "parts/all.h5:/"})
    found = train(f"files-{name}-{ranks}", ROWS_OF_FILES, launcher(name), ranks)
    assert found == lawful(home / "of-all")


def test_several_files_killed_and_resumed_elsewhere(home, train, launcher):
    first, second = launcher("openmpi"), launcher("mpich")
    if not (home / "parts").exists():
        write_parts(home / "parts")
    changes = {**ROWS_OF_FILES, "run.checkpoint_every": "4 steps", "run.directory": "files-killed"}
    endless = write_config(home / "files-killed.toml", {**changes, "training.epochs": 10**6})
    with started(first, 3, ["-m", "distmlp", "train", endless]) as run:
        run.until(lambda: any(step > 30 for step in steps(home / "files-killed")))
        run.kill()
    newest = steps(home / "files-killed")[-1]
    epochs = newest // 13 + 2
    some = write_config(home / "files-killed.toml", {**changes, "training.epochs": epochs})
    done = distmlp("train", some, mpi=second, ranks=2)
    assert done.status == 0 and f"step {newest}" in done.out, done.err
    assert lawful(home / "files-killed") == train(
        "files-unkilled", {**ROWS_OF_FILES, "training.epochs": epochs}
    )


@pytest.mark.parametrize("name, ranks", [("mpich", 2), ("mpich", 3), ("openmpi", 5)])
def test_several_windows_an_epoch(name, ranks, train, launcher, home):
    changes = {**KINDS["float32-sgd"], "data.window": "60 kB"}
    if not (home / "windows").exists():
        train("windows", changes)
    assert lawful(home / "windows") != lawful_default(train, home), (
        "the window is not small enough to matter"
    )
    assert train(f"windows-{name}-{ranks}", changes, launcher(name), ranks) == lawful(
        home / "windows"
    )


@pytest.mark.parametrize(
    "name, ranks, kind", [("mpich", 3, "float32-adam"), ("openmpi", 2, "float64-sgd")]
)
def test_a_batch_of_the_whole_set_that_fits_no_window(name, ranks, kind, train, launcher):
    """Of 145 micro-batches, read in parts, whose counts are added up in twice the bits."""
    changes = {**KINDS[kind], "training.batch_size": "all", "training.epochs": 5}
    expected = train(f"whole-{kind}", changes)
    assert expected[-1]["step"] == 5
    changes["data.window"] = "20 kB"
    assert train(f"whole-{name}-{ranks}", changes, launcher(name), ranks) == expected


def lawful_default(train, home):
    if not (home / "one-window").exists():
        train("one-window", KINDS["float32-sgd"])
    return lawful(home / "one-window")


def test_plain_float_reduction_is_close(train, alone, mpich):
    """reduction = "float" is no other training: it differs by rounding only."""
    changes = {**KINDS["float32-sgd"], "reduction": "float"}
    exact = alone("float32-sgd")[-1]
    for ranks in (1, 3):
        plain = train(f"float-{ranks}", changes, mpich, ranks)[-1]
        assert plain["cost"] == pytest.approx(exact["cost"], rel=1e-3)
        assert plain["validation_cost"] == pytest.approx(exact["validation_cost"], rel=1e-3)
        assert plain["v_sha256"] != exact["v_sha256"]


FROM_PYTHON = """
import sys
import distmlp
config = distmlp.load_config(sys.argv[1], ["run.directory=" + sys.argv[2]])
result = distmlp.train(config)
assert result.complete and result.v_sha256 == result.record["v_sha256"]
print(result.v_sha256)
"""


def test_from_python(home, train, alone):
    """distmlp.train gives the command's v, and warns of nothing."""
    config = write_config(home / "python.toml", {**KINDS["float64-adam"], "run.directory": "never"})
    done = run_ranks(None, 1, ["-c", FROM_PYTHON, config, home / "python"])
    assert done.status == 0, done.err
    assert done.out.split() == [alone("float64-adam")[-1]["v_sha256"]]
    assert lawful(home / "python") == alone("float64-adam")
    assert not (home / "never").exists()
    assert "Warning" not in done.err
