"""What the tests of bad input share: the list of cases, what makes bad files, and what a good answer is."""

import json
import os
from dataclasses import dataclass, field

import h5py
import numpy as np
from example import CLASSES, rows, write_set
from launching import run_ranks

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


def contents(place):
    """Everything in a directory, with its size."""
    return {
        str(path.relative_to(place)): path.stat().st_size
        for path in place.rglob("*")
        if path.is_file()
    }


#: What runs commands one after the other in one process: `run` returns the exit status and what was said
#: on standard error.


def is_one_sentence(said, parts):
    lines = said.splitlines()
    assert len(lines) == 1 and lines[0].startswith("distmlp: "), said
    missing = [part for part in parts if part not in lines[0]]
    assert not missing, f"{missing} not in: {lines[0]}"


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


EACH_COMMAND = (
    IN_ONE_PROCESS
    + """
os.chdir(sys.argv[1])
for words in json.loads(sys.argv[2]):
    answer(*run(words))
"""
)


def answers(place, *commands):
    """What commands that are given one after the other in a directory end with: (status, what they said)."""
    done = run_ranks(None, 1, ["-c", EACH_COMMAND, place, json.dumps(commands)], timeout=SECONDS)
    assert done.status == 0, done.err
    found = [json.loads(line) for line in done.out.splitlines()]
    assert len(found) == len(commands)
    return found
