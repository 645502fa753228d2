"""What predict answers: an HDF5 file or, where its name ends so, CSV."""

import csv
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from distmlp import files
from distmlp.data import hdf5_writing
from distmlp.mathematics.costs import spread_of
from distmlp.mathematics.metrics import predicted_classes
from distmlp.results import kept
from distmlp.runs.checkpoint import Checkpoint

#: How the names of such files end.
ENDINGS = (".h5", ".hdf5", ".csv")

#: Rows that become text at a time.
_ROWS = 4096


@contextmanager
def created(out: Path, overwrite: bool) -> Iterator[h5py.File]:
    """An HDF5 file to write answers to, which is at `out` once it is closed, whole or not at all.

    CSV is made of it then: rows come in any order, and a line of text has its place only where the others are there.
    """
    with files.replacing(out, must_not_exist=not overwrite) as temporary:
        if out.suffix != ".csv":
            with hdf5_writing.written(temporary.name) as file:
                yield file
            return
        scratch = out.with_name(f".{out.name}.{os.urandom(4).hex()}.h5")
        scratch.touch()
        try:
            with hdf5_writing.written(scratch) as file:
                yield file
            with h5py.File(scratch) as file:
                _write_csv(file, Path(temporary.name))
        finally:
            scratch.unlink(missing_ok=True)


def describe(
    file: h5py.File, found: Checkpoint, rows: int, targets: int, dtype: np.dtype, data: str
) -> None:
    """Makes the datasets for so many rows of answers, and says what they are.  targets: numbers of a target."""
    outputs, names = found.facts["layers"][-1], found.facts.get("targets")
    file.create_dataset("a", (rows, outputs), dtype)
    for name in ("mean", "spread") if targets < outputs else ():
        file.create_dataset(name, (rows, targets), dtype)
    if found.facts["classes"]:
        file.create_dataset("class", (rows,), np.int64)
        if names:
            file.create_dataset("label", (rows,), h5py.string_dtype())
    for stored in (file[name] for name in ("a", "mean", "spread") if name in file):
        if names and stored.shape[1] == len(names):
            stored.attrs.create("columns", names, dtype=h5py.string_dtype())
    file.attrs["checkpoint"] = str(found.path)
    file.attrs["v_sha256"] = found.facts["v_sha256"]
    file.attrs["data"] = data


def labels_of(found: Checkpoint) -> np.ndarray:
    """What each class is called; its number where it has no name."""
    names, outputs = found.facts.get("targets") or [], found.facts["layers"][-1]
    return np.array([*names, *map(str, range(len(names), outputs))], object)


def write_rows(file: h5py.File, row: int, a: np.ndarray, labels: np.ndarray) -> None:
    """Writes outputs from a row on, and what is told of them.  labels: see `labels_of`."""
    here = slice(row, row + len(a))
    file["a"][here] = a
    if "class" in file:
        predicted = predicted_classes(a)
        file["class"][here] = predicted
        if "label" in file:
            file["label"][here] = labels[predicted]
    if "mean" in file:
        file["mean"][here], file["spread"][here] = a[:, : file["mean"].shape[1]], spread_of(a)


def _write_csv(file: h5py.File, path: Path) -> None:
    """Writes the answers in an HDF5 file as a table: numbers with as many digits as tell them from all others.

    What is kept of the data stands first; where an answer has the same name, it is called "given …".  Of a mean and a
    spread the outputs themselves say nothing more, and are left out.
    """
    names = [name for name in ("label", "class", "mean", "a", "spread") if name in file]
    if "mean" in names:
        names.remove("a")
    told = [head for name in names for head in _heads(file[name], name)]
    given = [(stored, _heads(stored, name)) for name, stored in kept.datasets(file)]
    heads = [f"given {head}" if head in told else head for _, some in given for head in some] + told
    columns = [stored for stored, _ in given] + [file[name] for name in names]
    with open(path, "w", newline="", encoding="utf-8") as text:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(heads)
        for start in range(0, len(file["a"]), _ROWS):
            here = slice(start, start + _ROWS)
            parts = [_cells(stored, here) for stored in columns]
            writer.writerows(np.column_stack(parts).tolist())


def _heads(stored: h5py.Dataset, name: str) -> list[str]:
    if stored.ndim == 1:
        return [name]
    columns = [str(column) for column in stored.attrs.get("columns", range(stored.shape[1]))]
    if name == "a" and "columns" in stored.attrs:
        return columns
    return [f"{name} {column}" for column in columns] if len(columns) > 1 else [name]


def _cells(stored: h5py.Dataset, rows: slice) -> np.ndarray:
    if h5py.check_string_dtype(stored.dtype):
        return np.asarray(stored.asstr()[rows], object)
    cells: np.ndarray = stored[rows].astype(str).astype(object)
    return cells
