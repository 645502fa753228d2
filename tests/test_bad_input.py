"""Bad input: exit status 2, one sentence that names what is wrong, within seconds, and nothing written.

CASES has every kind of it.  All of them go through the command's own code in one process, which is
fast; then the first of each kind goes through the real command, alone and on three ranks.
"""

import json
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass, field

import h5py
import numpy as np
import pytest
from example import CLASSES, COLUMNS, ROWS, checkpoint, lawful, rows, steps, write_config, write_set
from launching import distmlp, run_ranks, started

SECONDS = 30  # "within seconds", on a machine that does other things as well


@dataclass
class Case:
    """What is wrong, and the parts that the sentence must have.

    changes: to the config.  files: {name: function that writes it to a path}.  words: the command line,
    where it is not `train config.toml`.
    """

    kind: str
    parts: list
    changes: dict = field(default_factory=dict)
    files: dict = field(default_factory=dict)
    words: list = field(default_factory=lambda: ["train", "config.toml"])


CASES = []


def case(kind, parts, changes={}, files={}, words=["train", "config.toml"]):
    CASES.append(Case(kind, parts, changes, files, words))


def bad_set(kind, parts, x=None, y=None, changes={}, group="train"):
    """A case with a set of its own: x(x) and y(y) change the good rows in place, or return others."""
    inputs, classes = rows(200)
    pair = []
    for array, change in ((inputs, x), (classes, y)):
        changed = change(array) if change else None
        pair.append(array if changed is None else changed)
    places = (
        {"data.validation": "bad.h5:/test"}
        if group == "test"
        else {"data.train": "bad.h5:/train", "data.validation": None}
    )
    case(
        kind,
        ["bad.h5", *parts],
        {**places, **changes},
        {"bad.h5": lambda path: write_set(path, **{group: tuple(pair)})},
    )


def put(row, value, column=None):
    """A function that puts a value into a row of an array."""

    def change(array):
        array[row if column is None else (row, column)] = value

    return change


def numbers(change=lambda y: None):
    """Targets as (n, CLASSES) floats, one-hot, with a change made to them."""

    def made(classes):
        y = np.eye(CLASSES)[classes]
        change(y)
        return y

    return made


def write_text(text):
    return lambda path: path.write_text(text)


def cut_short(path):
    write_set(path)
    os.truncate(path, path.stat().st_size // 2)


def damaged_chunk(path):
    """A file that opens well, and a gzip chunk in its middle that cannot be decompressed."""
    write_set(path, "gzip")
    with h5py.File(path) as file:
        chunk = file["train/x"].id.get_chunk_info(3)
    with open(path, "r+b") as file:
        file.seek(chunk.byte_offset + chunk.size // 2)
        file.write(bytes(20))


# The config

case(
    "unknown key",
    ["config.toml", "unknown key training.epoch", "did you mean training.epochs?"],
    {"training.epoch": 3},
)
case("unknown key", ["unknown key network.layer", "network.layers"], {"network.layer": [20, 5]})
case("unknown key", ["unknown key sede", "did you mean seed?"], {"sede": 1})
case(
    "unknown key",
    ["unknown key network.learning_rate", "optimizer.learning_rate"],
    {"network.learning_rate": 1.0},
)
case("unknown key", ["unknown section [traning]", "[training]"], {"traning.epochs": 3})
case(
    "unknown key",
    ["learnign_rate", "optimizer.learning_rate"],
    words=["train", "config.toml", "--set", "optimizer.learnign_rate=1"],
)

case("wrong type", ["training.epochs", '"ten"', "whole number"], {"training.epochs": "ten"})
case("wrong type", ["training.epochs", "2.5", "whole number"], {"training.epochs": 2.5})
case("wrong type", ["training.epochs", "true", "whole number"], {"training.epochs": True})
case("wrong type", ["training.epochs", "0", "at least 1"], {"training.epochs": 0})
case("wrong type", ["network.layers", "64", "list"], {"network.layers": 64})
case("wrong type", ["network.layers", "[20]", "at least two"], {"network.layers": [20]})
case("wrong type", ["network.layers", "[20, 0, 5]"], {"network.layers": [20, 0, 5]})
case(
    "wrong type",
    ["network.activation", "swish", "sigmoid, tanh, relu"],
    {"network.activation": "swish"},
)
case("wrong type", ["optimizer.learning_rate", "-1", "above 0"], {"optimizer.learning_rate": -1})
case("wrong type", ["optimizer.learning_rate", "number"], {"optimizer.learning_rate": float("nan")})
case("wrong type", ["optimizer.learning_rate", "missing"], {"optimizer.learning_rate": None})
case("wrong type", ["network.layers", "missing"], {"network.layers": None})
case("wrong type", ["dtype", "float16", "float32, float64"], {"dtype": "float16"})
case("wrong type", ["seed", "-1", "2**64"], {"seed": -1})
case("wrong type", ["data.window", "much", "256 MB"], {"data.window": "much"})
case("wrong type", ["run.checkpoint_every", "often", "N epochs"], {"run.checkpoint_every": "often"})
case("wrong type", ["run.keep", "0", "at least 1"], {"run.keep": 0})
case("wrong type", ["run.directory", '""'], {"run.directory": ""})
case("wrong type", ["data.train", '""'], {"data.train": ""})
case("wrong type", ["network", "3", "section [network]"], {"network.layers": None, "network": 3})

case(
    "contradiction",
    ["network.cost", "cross-entropy", "network.output", "tanh"],
    {"network.output": "tanh"},
)
case(
    "contradiction",
    ["optimizer.momentum", "adam", "sgd"],
    {"optimizer.name": "adam", "optimizer.momentum": 0.5},
)
case("contradiction", ["optimizer.nesterov", "momentum"], {"optimizer.nesterov": True})
case("contradiction", ["optimizer.decay", "exponential"], {"optimizer.decay": 0.5})
case("contradiction", ["softmax", "one output"], {"network.layers": [20, 1]})

# TOML's whole numbers have no end; the machine has one.
case("beyond any machine", ["optimizer.learning_rate"], {"optimizer.learning_rate": 10**400})
case("beyond any machine", ["network.layers"], {"network.layers": [COLUMNS, 10**13, CLASSES]})
case("beyond any machine", ["network.layers"], {"network.layers": [COLUMNS, 10**30, CLASSES]})
case("beyond any machine", ["data.chunk_rows"], {"data.chunk_rows": 10**20})
case("beyond any machine", ["data.window"], {"data.window": "1e300 GB"})

case(
    "not a config",
    ["config.toml", "not valid TOML", "line 2"],
    files={"config.toml": write_text("layers = [64,\nepochs == 3")},
)
case(
    "not a config",
    ["config.toml", "cannot be read"],
    files={"config.toml": lambda path: path.write_bytes(b"seed = \xff\xfe")},
)

# The data against the network and the batch

case(
    "layers against the data",
    ["set.h5:/train", "20 inputs", "network.layers begins with 64"],
    {"network.layers": [64, 5]},
)
bad_set(
    "layers against the data",
    ["5 numbers", "network.layers ends with 3"],
    y=numbers(),
    changes={"network.layers": [COLUMNS, 3]},
)
bad_set(
    "layers against the data",
    ["data.validation", "19 inputs", "20"],
    x=lambda x: x[:, :19],
    group="test",
)
bad_set("layers against the data", ["set.h5", "classes", "numbers"], y=numbers(), group="test")

case(
    "batch larger than the set",
    ["training.batch_size", "1010", "1009 samples"],
    {"training.batch_size": 1010},
)
case(
    "micro-batch larger than the batch",
    ["training.micro_batch_size", "51", "50"],
    {"training.micro_batch_size": 51},
)
case(
    "micro-batch larger than the batch",
    ["training.micro_batch_size", "1010", "1009"],
    {"training.micro_batch_size": 1010, "training.batch_size": "all"},
)

# The files

case("missing file", ["no.h5:/train", "no such file"], {"data.train": "no.h5:/train"})
case("missing file", ["no.h5:/test", "no such file"], {"data.validation": "no.h5:/test"})
case(
    "missing group",
    ["set.h5:/trian", "no group /trian", "test, train"],
    {"data.train": "set.h5:/trian"},
)
case("missing group", ["/train/x is a dataset", "group"], {"data.train": "set.h5:/train/x"})
case("missing group", ["set.h5", "a file and a group"], {"data.train": "set.h5"})
case(
    "missing dataset",
    ["set.h5:/train", "no dataset 'images'", "it has x, y", "data.inputs"],
    {"data.inputs": "images"},
)
case(
    "missing dataset",
    ["set.h5:/train", "no dataset 'labels'", "data.targets"],
    {"data.targets": "labels"},
)
case(
    "not an HDF5 file",
    ["text.h5:/train", "not an HDF5 file"],
    {"data.train": "text.h5:/train"},
    {"text.h5": write_text("1,2,3\n" * 999)},
)
case(
    "not an HDF5 file",
    ["empty.h5:/train", "not an HDF5 file"],
    {"data.train": "empty.h5:/train"},
    {"empty.h5": write_text("")},
)
case(
    "not an HDF5 file",
    ["directory.h5:/train", "directory"],
    {"data.train": "directory.h5:/train"},
    {"directory.h5": os.mkdir},
)
case(
    "truncated file",
    ["cut.h5:/train", "cut short"],
    {"data.train": "cut.h5:/train"},
    {"cut.h5": cut_short},
)

case(
    "damaged chunk",
    ["damaged.h5:/train", "rows", "cannot be read"],
    {"data.train": "damaged.h5:/train"},
    {"damaged.h5": damaged_chunk},
)

bad_set("different length", ["x has 199 rows", "y has 200"], x=lambda x: x[:199])
bad_set("empty set", ["empty"], x=lambda x: x[:0], y=lambda y: y[:0])
bad_set("empty set", ["empty"], x=lambda x: x[:, :0])
bad_set("no numbers", ["x has the dtype", "real numbers"], x=lambda x: x.astype(complex))
bad_set("no numbers", ["y has the dtype", "real numbers"], y=lambda y: y.astype("S3"))
bad_set("no numbers", ["y has the shape (200, 1, 1)"], y=lambda y: y.reshape(-1, 1, 1))

# The rows

bad_set("NaN or infinity", ["row 137", "inputs", "NaN"], x=put(137, np.nan, 3))
bad_set("NaN or infinity", ["row 0", "infinity"], x=put(0, -np.inf, 0))
bad_set(
    "NaN or infinity",
    ["row 5:"],
    x=lambda x: (put(5, np.inf, 0)(x), put(199, np.nan, 0)(x))[2:] or None,
)
bad_set("NaN or infinity", ["bad.h5:/test", "row 199"], x=put(199, np.nan, 19), group="test")
bad_set(
    "NaN or infinity",
    ["row 42", "targets"],
    y=numbers(put(42, np.nan, 1)),
    changes={"network.cost": "mse"},
)
bad_set(
    "NaN or infinity", ["row 7"], x=lambda x: [a := x.astype(np.float64), put(7, 1e300, 2)(a)][0]
)
bad_set("NaN or infinity", ["row"], changes={"data.scale": 1e300})

bad_set("class out of range", ["row 31", "0 … 4", "network.layers ending with 5"], y=put(31, 5))
bad_set("class out of range", ["row 199", "class"], y=put(199, -1))
bad_set("class out of range", ["bad.h5:/test", "row 3:"], y=put(3, 99), group="test")
bad_set(
    "class out of range",
    ["0 … 1", "row"],
    changes={"network.layers": [COLUMNS, 1], "network.output": "sigmoid"},
)

bad_set(
    "target that the cost cannot take",
    ["row 12", "between 0 and 1", "cross-entropy"],
    y=numbers(put(12, -1.0, 2)),
    changes={"network.output": "sigmoid"},
)
bad_set(
    "target that the cost cannot take", ["row 13", "between 0 and 1"], y=numbers(put(13, 1.5, 2))
)
bad_set(
    "target that the cost cannot take",
    ["row 14", "add up to 1", "softmax"],
    y=numbers(put(14, 0.5, 2)),
)

# The command line and the places that it names

case("command line", ["--epochs", "--help"], words=["train", "config.toml", "--epochs", "3"])
case("command line", ["CONFIG.toml", "train --help"], words=["train"])
case("command line", ["no.toml", "no such config"], words=["train", "no.toml"])
case("command line", ["."], words=["train", "."])
case("command line", ["COMMAND", "--help"], words=[])
case("command line", ["tarin"], words=["tarin", "config.toml"])
case(
    "command line",
    ["--set training.epochs", "section.key=value"],
    words=["train", "config.toml", "--set", "training.epochs"],
)
case(
    "command line",
    ["--progress", "sometimes"],
    words=["train", "config.toml", "--progress", "sometimes"],
)
case(
    "command line",
    ["--data", "predict --help"],
    words=["predict", "config.toml", "--output", "out.h5"],
)
case(
    "missing checkpoint",
    ["no-run", "no such checkpoint"],
    words=["train", "config.toml", "--resume", "no-run"],
)
case("missing checkpoint", ["no-run", "no such checkpoint"], words=["evaluate", "no-run"])
case(
    "missing checkpoint",
    ["no-run", "no such checkpoint"],
    words=["predict", "no-run", "--data", "set.h5:/test", "--output", "out.h5"],
)
case("missing checkpoint", ["no-run", "no such checkpoint"], words=["inspect", "no-run"])
case("missing checkpoint", ["no-run"], words=["verify", "no-run"])
case("missing checkpoint", ["no checkpoint"], words=["inspect", "."])
case("missing checkpoint", ["set.h5", "not a checkpoint"], words=["evaluate", "set.h5"])
case("convert", ["no.npy"], words=["convert", "no.npy", "out.h5"])

case(
    "run directory below a file",
    ["run.directory", "set.h5/run", "cannot be written"],
    {"run.directory": "set.h5/run"},
)
case(
    "run directory below a file",
    ["run.directory", "set.h5", "cannot be written"],
    {"run.directory": "set.h5"},
)

NAMES = [f"{i}-{case.kind.replace(' ', '-')}" for i, case in enumerate(CASES)]
FIRST = {case.kind: name for name, case in reversed(list(zip(NAMES, CASES, strict=True)))}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A directory for each case, with all that it needs and a good set beside."""
    home = tmp_path_factory.mktemp("bad")
    for name, case in zip(NAMES, CASES, strict=True):
        place = home / name
        place.mkdir()
        write_set(place / "set.h5")
        if case.words[1:2] == ["config.toml"] or case.changes:
            write_config(place / "config.toml", case.changes)
        for file, write in case.files.items():
            write(place / file)
    return home


def contents(place):
    """Everything in a directory, with its size."""
    return {
        str(path.relative_to(place)): path.stat().st_size
        for path in place.rglob("*")
        if path.is_file()
    }


#: What runs commands one after the other in one process: `run` returns the exit status and what was said
#: on standard error.
IN_ONE_PROCESS = """
import json, os, sys, tempfile
from distmlp.cli.main import main

answers = os.fdopen(os.dup(1), "w")
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

def leave(status):
    raise SystemExit(f"the rank ends its process with {status}")

os._exit = leave

def run(words):
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            status = main(words)
        except BaseException as error:
            status = repr(error)
        sys.stderr.flush()
        said.seek(0)
        return status, said.read().decode()

def answer(*found):
    print(json.dumps(found), file=answers, flush=True)
"""

ALL_CASES = """
for place, words in json.load(open(sys.argv[1])):
    os.chdir(place)
    answer(*run(words))
"""


@pytest.fixture(scope="module")
def outcomes(home):
    """{name: (files before, exit status, what was said on standard error)} of all cases, run in one process."""
    before = [contents(home / name) for name in NAMES]
    todo = [(str(home / name), case.words) for name, case in zip(NAMES, CASES, strict=True)]
    (home / "todo.json").write_text(json.dumps(todo))
    done = run_ranks(None, 1, ["-c", IN_ONE_PROCESS + ALL_CASES, home / "todo.json"], timeout=120)
    found = [json.loads(line) for line in done.out.splitlines()]
    assert len(found) == len(CASES), f"the process ended at {NAMES[len(found)]}: {done.err}"
    return {
        name: (files, status, said)
        for name, files, (status, said) in zip(NAMES, before, found, strict=True)
    }


@pytest.mark.parametrize("name", NAMES)
def test_every_case(name, home, outcomes):
    case = CASES[NAMES.index(name)]
    before, status, said = outcomes[name]
    assert status == 2, said
    is_one_sentence(said, case.parts)
    assert contents(home / name) == before, "something was written"
    assert not (home / name / "run").exists()


def is_one_sentence(said, parts):
    lines = said.splitlines()
    assert len(lines) == 1 and lines[0].startswith("distmlp: "), said
    missing = [part for part in parts if part not in lines[0]]
    assert not missing, f"{missing} not in: {lines[0]}"


@pytest.mark.parametrize("kind", FIRST)
@pytest.mark.slow
def test_each_kind_by_the_real_command(kind, home):
    name = FIRST[kind]
    case, before = CASES[NAMES.index(name)], contents(home / name)
    done = distmlp(*case.words, cwd=home / name, timeout=SECONDS)
    assert done.status == 2, done.err
    is_one_sentence(done.err, case.parts)
    assert contents(home / name) == before and not (home / name / "run").exists()


@pytest.mark.parametrize("i, kind", list(enumerate(FIRST)))
def test_each_kind_on_three_ranks(i, kind, home, launcher):
    """One of the two MPIs in turn: rank 0 alone says it, and every rank ends with 2."""
    mpi = launcher(("openmpi", "mpich")[i % 2])
    name = FIRST[kind]
    case, before = CASES[NAMES.index(name)], contents(home / name)
    done = distmlp(*case.words, mpi=mpi, ranks=3, cwd=home / name, timeout=SECONDS)
    assert done.status == 2, done.err
    is_one_sentence("\n".join(done.said), case.parts)
    assert contents(home / name) == before and not (home / name / "run").exists()


# More ranks than there is work for


def test_more_ranks_than_micro_batches(tmp_path, mpi):
    """A warning that says how many idle and what would help; the bits are those of one rank."""
    write_set(tmp_path / "set.h5")
    changes = {"training.micro_batch_size": 25}
    done = distmlp(
        "train",
        write_config(tmp_path / "a.toml", {**changes, "run.directory": "a"}),
        mpi=mpi,
        ranks=3,
    )
    assert done.status == 0, done.err
    (warning,) = [line for line in done.said if "idle" in line]
    assert (
        "3 ranks" in warning
        and "2 micro-batches" in warning
        and "1 rank" in warning
        and "training.micro_batch_size" in warning
    )
    assert (
        distmlp(
            "train", write_config(tmp_path / "b.toml", {**changes, "run.directory": "b"})
        ).status
        == 0
    )
    assert lawful(tmp_path / "a") == lawful(tmp_path / "b")


# File systems that do not take what is written


@pytest.fixture
def mounted(tmp_path):
    """mounted(options): a new tmpfs, mounted for the test; root only."""
    places = []

    def mounted(options):
        place = tmp_path / f"mount-{len(places)}"
        place.mkdir()
        done = (
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", options, "tmpfs", place],
                capture_output=True,
                text=True,
            )
            if os.getuid() == 0
            else None
        )
        if done is None or done.returncode:
            pytest.skip(
                f"a file system must be mounted, which takes root and a leave to mount: {done.stderr if done else 'not root'}"
            )
        places.append(place)
        return place

    yield mounted
    for place in places:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.parametrize("ranks", [1, 3])
def test_read_only_file_system(ranks, mounted, tmp_path, mpich):
    place = mounted("ro")
    write_set(tmp_path / "set.h5")
    done = distmlp(
        "train",
        write_config(tmp_path / "c.toml", {"run.directory": f"{place}/run"}),
        mpi=mpich if ranks > 1 else None,
        ranks=ranks,
    )
    assert done.status == 2
    is_one_sentence(
        "\n".join(done.said), ["run.directory", f"{place}/run", "Read-only file system"]
    )


@pytest.mark.parametrize("ranks", [1, 3])
def test_full_disk(ranks, mounted, tmp_path, openmpi):
    """A checkpoint that does not fit is a warning, the last one an error; the old one stays, and with space the run goes on."""
    mpi = openmpi if ranks > 1 else None
    place = mounted("size=1m")
    write_set(tmp_path / "set.h5")
    # 78,005 parameters: 0.3 MB a checkpoint, so that the third or fourth finds the disk full
    changes = {
        "network.layers": [COLUMNS, 3000, CLASSES],
        "training.batch_size": 500,
        "training.micro_batch_size": 125,
        "training.epochs": 8,
    }
    full = write_config(
        tmp_path / "full.toml",
        {
            **changes,
            "run.directory": f"{place}/run",
            "run.keep": 10,
            "run.checkpoint_every": "1 step",
        },
    )
    done = distmlp("train", full, mpi=mpi, ranks=ranks)
    assert done.status == 1, done.err
    assert "could not be written" in done.said[-1] and "No space left" in done.said[-1], done.err
    kept = steps(place / "run")
    assert kept and kept[-1] < 24
    assert f"step-{kept[-1]:09d}.h5" in done.said[-1]
    assert not list(place.rglob("*.writing"))
    assert distmlp("inspect", place / "run").status == 0

    subprocess.run(["mount", "-o", "remount,size=20m", place], check=True)
    gone_on = distmlp("train", full, mpi=mpi, ranks=ranks)
    assert gone_on.status == 0, gone_on.err
    assert (
        distmlp(
            "train", write_config(tmp_path / "good.toml", {**changes, "run.directory": "good"})
        ).status
        == 0
    )
    assert lawful(place / "run") == lawful(tmp_path / "good")


def test_disk_that_fills_up_and_is_freed_again(mounted, tmp_path):
    """While not one byte can be written the training goes on, and says so; in the end the log has every epoch."""
    place = mounted("size=2m")
    write_set(tmp_path / "set.h5")
    run = place / "run"
    endless = write_config(
        tmp_path / "full.toml", {"training.epochs": 10**6, "run.directory": str(run)}
    )
    with started(None, 1, ["-m", "distmlp", "train", endless]) as running:
        running.until(lambda: steps(run))
        fill(place)
        running.until(
            lambda: (
                "checkpoint could not be written" in running.err
                and "log cannot be written" in running.err
            )
        )
        (place / "filler").unlink()
        os.kill(running.process.pid, signal.SIGTERM)
        done = running.wait(SECONDS)
    assert done.status == 75, done.err
    assert "No space left on device" in done.err and "Traceback" not in done.err
    changes = {"training.epochs": steps(run)[-1] // 21 + 2}
    assert (
        distmlp(
            "train", write_config(tmp_path / "full.toml", {**changes, "run.directory": str(run)})
        ).status
        == 0
    )
    assert (
        distmlp(
            "train", write_config(tmp_path / "good.toml", {**changes, "run.directory": "good"})
        ).status
        == 0
    )
    assert lawful(run) == lawful(tmp_path / "good")


def fill(place):
    with open(place / "filler", "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(512))
        except OSError:
            pass


def test_no_space_from_the_start(mounted, tmp_path):
    place = mounted("size=64k")
    fill(place)
    write_set(tmp_path / "set.h5")
    done = distmlp("train", write_config(tmp_path / "c.toml", {"run.directory": f"{place}/run"}))
    assert done.status == 2, done.err
    is_one_sentence("\n".join(done.said), ["run.directory", "No space left"])


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


# One rank alone


ONE_RANK_RAISES = """
import os, sys
from distmlp.cli import main as cli
from distmlp.training import evaluation, preparation
rank = os.environ.get("OMPI_COMM_WORLD_RANK", os.environ.get("PMI_RANK"))
room, name, whose = sys.argv[1:4]
if rank == whose:
    holder = getattr(preparation, room, None) or getattr(evaluation, room)
    real = getattr(holder, name)
    calls = []
    def faulty(*arguments, **more):
        calls.append(1)
        if len(calls) == 5:
            raise MemoryError("injected into rank " + rank)
        return real(*arguments, **more)
    setattr(holder, name, faulty)
sys.exit(cli.main(sys.argv[4:]))
"""


@pytest.mark.parametrize(
    "room, name, whose",
    [
        ("Step", "gradient", "1"),
        ("Step", "update", "2"),
        ("Feed", "step", "0"),
        ("checkpoint", "v_sha256", "1"),
    ],
)
def test_an_exception_on_one_rank_ends_all(room, name, whose, mpi, tmp_path):
    write_set(tmp_path / "set.h5")
    config = write_config(tmp_path / "config.toml", {"training.epochs": 10**6})
    done = run_ranks(
        mpi, 3, ["-c", ONE_RANK_RAISES, room, name, whose, "train", config], timeout=SECONDS
    )
    assert done.status == 1, done.err
    (sentence,) = [line for line in done.said if "fault tolerance" not in line]
    assert sentence.startswith(f"distmlp: rank {whose} of 3 on ")
    assert f"MemoryError: injected into rank {whose}" in done.err


def test_data_that_one_rank_cannot_open_ends_all(mpi, tmp_path):
    write_set(tmp_path / "set.h5")
    config = write_config(tmp_path / "config.toml")
    program = ONE_RANK_RAISES.replace("len(calls) == 5", "True").replace(
        "MemoryError", "preparation.InputError"
    )
    done = run_ranks(
        mpi, 3, ["-c", program, "DataSet", "__init__", "2", "train", config], timeout=SECONDS
    )
    assert done.status == 2, done.err
    assert done.said == [
        f"distmlp: rank 2 of 3 on {os.uname().nodename}: rank 0 could open the data, but this rank cannot: injected into rank 2"
    ]
    assert not (tmp_path / "run").exists()
