"""Checkpoints that are not whole, and those of something else; what evaluate and predict are given."""

import json
import os
import shutil

import numpy as np
import pytest
from bad_cases import IN_ONE_PROCESS, SECONDS, contents, is_one_sentence
from example import CLASSES, COLUMNS, ROWS, checkpoint, lawful, rows, steps, write_config, write_set
from launching import distmlp, run_ranks

# Checkpoints that are not whole, and those of something else


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A directory with the set and a complete run of 2 epochs, with a checkpoint after each; not to be changed."""
    home = tmp_path_factory.mktemp("trained")
    write_set(home / "set.h5")
    done = distmlp("train", write_config(home / "config.toml"))
    assert done.status == 0 and steps(home / "run") == [21, 42], done.err
    return home


@pytest.fixture
def copied(trained, tmp_path):
    """A copy of it for one test."""
    return shutil.copytree(trained, tmp_path / "copy")


def flipped(path, position):
    """Turns one bit of one byte over."""
    with open(path, "r+b") as file:
        file.seek(position)
        (byte,) = file.read(1)
        file.seek(position)
        file.write(bytes([byte ^ 1 << position % 8]))


INSPECT_DAMAGED = """
path = sys.argv[1]
whole = open(path, "rb").read()
n = len(whole)

def tried(name, content):
    open(path, "wb").write(content)
    answer(name, *run(["inspect", path]))

tried("whole", whole)
for i in sorted({*range(0, 130, 9), 511, 512, 513, *range(514, n, n // 40), n - 1}):
    tried(f"byte {i} flipped", whole[:i] + bytes([whole[i] ^ 1 << i % 8]) + whole[i + 1:])
for i in sorted({0, 1, 100, 511, 512, 513, *range(514, n, n // 15), n - 1}):
    tried(f"cut to {i} bytes", whole[:i])
tried("one byte more", whole + b"x")
"""


@pytest.mark.slow
def test_every_damaged_byte_is_found(copied):
    path = checkpoint(copied / "run", 42)
    done = run_ranks(None, 1, ["-c", IN_ONE_PROCESS + INSPECT_DAMAGED, path])
    assert done.status == 0, done.err
    (_, first, _), *rest = map(json.loads, done.out.splitlines())
    assert first == 0 and len(rest) > 70
    for name, status, said in rest:
        assert status == 2, name
        is_one_sentence(said, ["step-000000042.h5"])


@pytest.mark.parametrize("damage", ["flipped", "cut"])
def test_a_damaged_checkpoint_is_refused_when_named(damage, copied, mpich):
    path = checkpoint(copied / "run", 42)
    if damage == "flipped":
        flipped(path, path.stat().st_size // 2)
    else:
        os.truncate(path, path.stat().st_size - 100)
    for words in (
        ["train", copied / "config.toml", "--resume", path],
        ["evaluate", path],
        ["predict", path, "--data", copied / "set.h5:/test", "--output", copied / "out.h5"],
        ["inspect", path],
    ):
        done = distmlp(*words, timeout=SECONDS)
        assert done.status == 2, words
        is_one_sentence(done.err, [str(path), "damaged or cut short"])
    three = distmlp("evaluate", path, mpi=mpich, ranks=3, timeout=SECONDS)
    assert three.status == 2
    is_one_sentence("\n".join(three.said), [str(path), "damaged or cut short"])
    assert not (copied / "out.h5").exists()


@pytest.mark.parametrize("ranks", [1, 3])
def test_resume_auto_takes_the_newest_good_one_and_says_so(ranks, copied, trained, mpich):
    flipped(checkpoint(copied / "run", 42), 3000)
    done = distmlp("train", copied / "config.toml", mpi=mpich if ranks > 1 else None, ranks=ranks)
    assert done.status == 0, done.err
    (warning,) = [line for line in done.said if "damaged" in line]
    assert "step-000000042.h5" in warning and "newest good one" in warning
    assert "step 21" in done.out
    assert lawful(copied / "run") == lawful(trained / "run")
    assert distmlp("inspect", checkpoint(copied / "run", 42)).status == 0


@pytest.mark.slow
def test_resume_auto_never_begins_anew_where_all_are_damaged(copied):
    for step in (21, 42):
        flipped(checkpoint(copied / "run", step), 3000)
    before = contents(copied)
    done = distmlp("train", copied / "config.toml")
    assert done.status == 2
    is_one_sentence(
        done.err,
        [
            "step-000000021.h5",
            "step-000000042.h5",
            "none of its checkpoints is good",
            "--resume never",
        ],
    )
    assert contents(copied) == before


# What evaluate and predict are given


def test_rows_that_cannot_be_evaluated(trained, tmp_path, mpich):
    x, classes = rows(600)
    x[555, 3] = np.nan
    write_set(tmp_path / "nan.h5", test=(x, classes))
    x, classes = rows(600)
    classes[555] = 9
    write_set(tmp_path / "class.h5", test=(x, classes))
    for name, mpi in (("nan", None), ("nan", mpich), ("class", None), ("class", mpich)):
        done = distmlp(
            "evaluate",
            trained / "run",
            "--data",
            tmp_path / f"{name}.h5:/test",
            mpi=mpi,
            ranks=3,
            timeout=SECONDS,
        )
        assert done.status == 2, done.out + done.err
        is_one_sentence("\n".join(done.said), [f"{name}.h5:/test", "row 555"])


@pytest.mark.slow
@pytest.mark.parametrize("output", ["set.h5", "no/where.h5", "run"])
def test_a_file_that_predict_cannot_write(output, copied):
    """Least of all over the set that it reads."""
    before = contents(copied)
    done = distmlp(
        "predict", "run", "--data", "set.h5:/test", "--output", output, cwd=copied, timeout=SECONDS
    )
    assert done.status == 2, done.out
    is_one_sentence(done.err, [output])
    assert contents(copied) == before


MISFITS = {
    "layers": ({"network.layers": [COLUMNS, 14, CLASSES]}, ["network.layers", "13", "14"]),
    "dtype": ({"dtype": "float64"}, ["dtype", "float32", "float64"]),
    "seed": ({"seed": 8}, ["seed", "7", "8"]),
    "batch": ({"training.batch_size": 51}, ["training.batch_size", "50", "51"]),
    "optimizer": ({"optimizer.name": "adam"}, ["optimizer.name", "sgd", "adam"]),
    "rate": ({"optimizer.learning_rate": 0.25}, ["optimizer.learning_rate", "0.3", "0.25"]),
    "rows": ({"data.train": "other.h5:/train"}, ["1009", "1008", "other.h5"]),
    "chunks": ({"data.train": "chunked.h5:/train"}, ["256", "50", "data.chunk_rows"]),
}


@pytest.mark.parametrize("name", MISFITS)
@pytest.mark.slow
def test_a_checkpoint_of_something_else(name, copied):
    changes, parts = MISFITS[name]
    write_set(copied / "other.h5", train=rows(ROWS - 1))
    write_set(copied / "chunked.h5", "chunked")
    before = contents(copied / "run")
    config = write_config(copied / "other.toml", changes)
    for words in ([], ["--resume", checkpoint(copied / "run", 21)]):
        done = distmlp("train", config, *words)
        assert done.status == 2
        is_one_sentence(done.err, [".h5: the checkpoint", *parts])
    assert contents(copied / "run") == before
