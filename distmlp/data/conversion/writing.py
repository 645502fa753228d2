"""Sets into HDF5: a new file or one more group, whole or not there."""

import math
import shutil
from pathlib import Path

import h5py
import numpy as np

from distmlp import files
from distmlp.data.conversion import sources

FORMAT = "distmlp set 1"

_CHUNK_BYTES = 2**18
_HDF5_CHUNK_LIMIT = 2**32


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
            with h5py.File(temporary.name, "r+" if kept else "w", locking=False) as file:
                return [
                    f"{out}:{name}: {_write_set(_new_group(file, name, out), found, names, chunk_rows, compression)}"
                    for name, found in sets.items()
                ]
    except (OSError, RuntimeError) as error:
        # h5py reports a full disk as a RuntimeError when it is found while closing
        raise sources.ConversionError(f"{out}: cannot be written: {error}") from error


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
) -> str:
    """Writes a set into an empty group, and describes it."""
    width = math.prod(found.sample_shape)
    row_bytes = max(width * found.x_dtype.itemsize, (found.outputs or 1) * found.y_dtype.itemsize)
    chunk = min(found.rows, chunk_rows or max(1, _CHUNK_BYTES // row_bytes))
    if chunk * row_bytes >= _HDF5_CHUNK_LIMIT:
        raise sources.ConversionError(
            f"--chunk-rows {chunk}: a chunk would have {chunk * row_bytes} bytes, but HDF5 takes less than 4 GiB; give fewer rows"
        )
    # Byte shuffling lets gzip see the exponents of floats side by side.
    filters = {"compression": "gzip", "shuffle": True} if compression == "gzip" else {}
    y_tail = () if found.outputs is None else (found.outputs,)
    x, y = (
        group.create_dataset(
            name, (found.rows, *tail), dtype, chunks=(chunk, *tail), track_times=False, **filters
        )
        for name, tail, dtype in (("x", (width,), found.x_dtype), ("y", y_tail, found.y_dtype))
    )
    group.attrs["format"] = FORMAT
    group.attrs["sources"] = names
    x.attrs["sample_shape"] = found.sample_shape

    row, largest = 0, 0
    # Whole chunks at a time, so that none is compressed twice.
    for inputs, desired in found.blocks(chunk * max(1, sources.BLOCK_BYTES // (chunk * row_bytes))):
        if found.outputs is None:
            if (desired < 0).any():
                place = int(np.argmax(desired < 0))
                raise sources.ConversionError(
                    f"{', '.join(names)}: the target of row {row + place} is {desired[place]}, but classes are 0, 1, 2, …; "
                    "number them so, or keep the targets as numbers with --regression"
                )
            largest = max(largest, int(desired.max()))
        x[row : row + len(inputs)] = inputs
        y[row : row + len(inputs)] = desired
        row += len(inputs)
    kind = f"classes 0 to {largest}" if found.outputs is None else f"{found.outputs} targets each"
    return f"{found.rows} samples, {width} inputs each ({found.x_dtype.name}), {kind} ({found.y_dtype.name}){found.note}"
