"""Sets into HDF5: a new file or one more group, whole or not there."""

import math
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from distmlp import files
from distmlp.data import hdf5_writing
from distmlp.data.conversion import sources
from distmlp.wording import counted

FORMAT = "distmlp set 1"

_CHUNK_BYTES = 2**18
_HDF5_CHUNK_LIMIT = 2**32
#: HDF5 keeps attributes of up to 64 KiB, and each name takes 16 bytes of it.
_MOST_NAMES = 4000
#: Names that a line shows.
_SHOWN = 12


def write(
    sets: dict[str, sources.SourceSet],
    names: list[str],
    out: Path,
    chunk_rows: int | None,
    compression: str,
    kept: bool,
    overwrite: bool,
) -> list[str]:
    """Writes the sets to a new file or, kept, to a copy of the one that is there."""
    try:
        with files.replacing(out, must_not_exist=not (kept or overwrite)) as temporary:
            if kept:
                shutil.copy(out, temporary.name)
            with hdf5_writing.written(temporary.name, "r+" if kept else "w") as file:
                said = []
                for name, found in sets.items():
                    first, *more = _write_set(
                        _new_group(file, name, out), found, names, chunk_rows, compression
                    )
                    said += [f"{out}:{name}: {first}", *(f"  {words}" for words in more)]
                return said
    except (OSError, RuntimeError) as error:
        # h5py reports a full disk as a RuntimeError when it is found while closing
        why: object = error
        if isinstance(error, OSError) and error.errno is not None:  # h5py's own have no number
            why = f"[Errno {error.errno}] {error.strerror}"
        raise sources.ConversionError(f"{out}: cannot be written: {why}") from error


def _new_group(file: h5py.File, name: str, out: Path) -> h5py.Group:
    try:
        return file.create_group(name)
    except ValueError:
        raise sources.ConversionError(
            f"{out}: has {name} already, or a dataset on the way to it; name another with --group, or write the file anew with --overwrite"
        ) from None


def _write_set(
    group: h5py.Group,
    found: sources.SourceSet,
    names: list[str],
    chunk_rows: int | None,
    compression: str,
) -> list[str]:
    """Writes a set into an empty group, and describes it, in lines."""
    width = math.prod(found.sample_shape)
    y_bytes = found.y_dtype.itemsize * (found.outputs or 1) if found.y_dtype else 0
    row_bytes = max(width * found.x_dtype.itemsize, y_bytes)
    chunk = min(found.rows, chunk_rows or max(1, _CHUNK_BYTES // row_bytes))
    if chunk * row_bytes >= _HDF5_CHUNK_LIMIT:
        raise sources.ConversionError(
            f"--chunk-rows {chunk}: a chunk would have {chunk * row_bytes} bytes, but HDF5 takes less than 4 GiB; give fewer rows"
        )
    # Byte shuffling lets gzip see the exponents of floats side by side.
    filters = {"compression": "gzip", "shuffle": True} if compression == "gzip" else {}

    def dataset(name: str, tail: tuple[int, ...], dtype: np.dtype) -> h5py.Dataset:
        shape, chunks = (found.rows, *tail), (chunk, *tail)
        return group.create_dataset(name, shape, dtype, chunks=chunks, track_times=False, **filters)

    x = dataset("x", (width,), found.x_dtype)
    y_tail = () if found.outputs is None else (found.outputs,)
    y = None if found.y_dtype is None else dataset("y", y_tail, found.y_dtype)
    group.attrs["format"] = FORMAT
    group.attrs["sources"] = names
    x.attrs["sample_shape"] = found.sample_shape
    _write_names(found, x, y)
    # Whole chunks at a time, so that none is compressed twice.
    counts = _write_rows(
        found, names, x, y, chunk * max(1, sources.BLOCK_BYTES // (chunk * row_bytes))
    )
    return [_sentence(found, width, counts), *_lines(found, counts)]


def _write_names(found: sources.SourceSet, x: h5py.Dataset, y: h5py.Dataset | None) -> None:
    text = h5py.string_dtype()
    for stored, key, value in (
        (x, "columns", found.columns),
        (y, "columns", found.target_columns),
        (y, "classes", found.class_names),
    ):
        if stored is not None and value is not None and len(value) <= _MOST_NAMES:
            stored.attrs.create(key, list(value), dtype=text)


def _write_rows(
    found: sources.SourceSet,
    names: list[str],
    x: h5py.Dataset,
    y: h5py.Dataset | None,
    rows: int,
) -> Counter[int]:
    """Writes all rows; how often each class occurs."""
    row, counts = 0, Counter[int]()
    for inputs, desired in found.blocks(rows):
        x[row : row + len(inputs)] = inputs
        if y is not None and desired is not None:
            if found.outputs is None:
                if (desired < 0).any():
                    place = int(np.argmax(desired < 0))
                    raise sources.ConversionError(
                        f"{', '.join(names)}: the target of row {row + place} is {desired[place]}, but classes are 0, 1, 2, …; "
                        "number them so, or keep the targets as numbers with --regression"
                    )
                values, times = np.unique(desired, return_counts=True)
                counts.update(dict(zip(values.tolist(), times.tolist(), strict=True)))
            y[row : row + len(inputs)] = desired
        row += len(inputs)
    return counts


def _sentence(found: sources.SourceSet, width: int, counts: Counter[int]) -> str:
    if found.y_dtype is None:
        kind = "no targets"
    elif found.outputs is None:
        kind = f"classes 0 to {max(counts)} ({found.y_dtype.name})"
    else:
        kind = f"{counted(found.outputs, 'target')} each ({found.y_dtype.name})"
    note = f"; {found.note}" if found.note else ""
    inputs = f"{counted(width, 'input')} each"
    return f"{counted(found.rows, 'sample')}, {inputs} ({found.x_dtype.name}), {kind}{note}"


def _lines(found: sources.SourceSet, counts: Counter[int]) -> list[str]:
    """What was taken, and what is doubtful about it."""
    lines = []
    if found.columns:
        lines.append(f"inputs    {_shown(found.columns)}")
    if found.target_columns and not any(words.startswith("target ") for words in found.words):
        lines.append(
            f"target{'s' * (len(found.target_columns) > 1):<4}{_shown(found.target_columns)}"
        )
    if found.columns and len(found.columns) > _MOST_NAMES:
        lines.append(f"doubtful  names of more than {_MOST_NAMES} columns are not kept in the file")
    lines += found.words
    if counts:
        names = found.class_names or ()
        called = [f"{names[c] if c < len(names) else c} ({counts[c]})" for c in sorted(counts)]
        lines.append(f"classes   {_shown(called)}")
    if len(counts) == 1:
        lines.append(f"doubtful  all targets are the same class, {called[0].rpartition(' ')[0]}")
    gaps = max(counts, default=-1) + 1 - len(counts)
    if counts and gaps and not found.class_names:
        lines.append(
            f"doubtful  {gaps} of the classes 0 to {max(counts)} never occur; --classes numbers those of a table that do, --regression takes targets as numbers"
        )
    return lines


def _shown(words: Sequence[str]) -> str:
    return ", ".join(words[:_SHOWN]) + f", … ({len(words)} in all)" * (len(words) > _SHOWN)
