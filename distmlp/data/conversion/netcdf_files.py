"""NetCDF as a table: each variable is a column, with the CF conventions' attributes applied.

NetCDF-4 is read through h5py, NetCDF-3 through scipy.

Variables on a grid become columns of as many rows as the grid has points.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from distmlp.data.conversion import sources
from distmlp.data.conversion.classic_netcdf import Classic, Variable
from distmlp.data.conversion.tables import Table

#: What netCDF writes where a program has written nothing, by kind and size of number.
_NEVER_WRITTEN = {
    "f4": 9.969209968386869e36,
    "f8": 9.969209968386869e36,
    "i2": -32767,
    "i4": -2147483647,
}


def table(path: Path) -> Table:
    """The variables of a NetCDF file that have the most common shape.  Raises ConversionError."""
    with _opened(path) as file:
        shapes = {
            name: stored.shape
            for name, stored in file.items()
            if isinstance(stored, h5py.Dataset | Variable)
            and stored.dtype.kind in "iuf"
            and stored.shape
            and not _is_scale(stored)
        }
        left_out = sorted(set(file) - set(shapes))
    if not shapes:
        raise sources.ConversionError(f"{path}: has no variables of numbers along a dimension")
    shape = Counter(shapes.values()).most_common(1)[0][0]
    names = tuple(name for name in shapes if shapes[name] == shape)
    left_out += [name for name in shapes if shapes[name] != shape]
    inner = math.prod(shape[1:])

    def blocks(rows: int, only: Sequence[int], text: frozenset[int]) -> Iterator[list[np.ndarray]]:
        at_once = max(1, rows // inner)
        with _opened(path) as file:
            for start in range(0, shape[0], at_once):
                yield [_decoded(path, file[names[c]], slice(start, start + at_once)) for c in only]

    def place(row: int, column: int) -> tuple[str, str]:
        return f"row {row}, column {column} ({names[column]})", "a fill value"

    notes = [f"variables of the shape {shape}"]
    if left_out:
        notes.append(f"left out {', '.join(left_out)}")
    return Table(
        str(path), len(names), names, blocks, place, notes=tuple(notes), nan_is_missing=True
    )


def _opened(path: Path) -> h5py.File | Classic:
    with sources.reading(path), open(path, "rb") as file:
        begin = file.read(4)
    if begin[:3] == b"CDF":
        return Classic(path)
    try:
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        raise sources.ConversionError(
            f"{path}: is no whole NetCDF-4 file: {error}; copy or download it again"
        ) from None


def _is_scale(stored: h5py.Dataset | Variable) -> bool:
    """Whether it holds the coordinates of a dimension."""
    return stored.attrs.get("CLASS") in (b"DIMENSION_SCALE", "DIMENSION_SCALE")


def _decoded(path: Path, stored: h5py.Dataset | Variable, rows: slice) -> np.ndarray:
    """Values of a variable as float64, flat; NaN where they are missing."""
    try:
        raw = stored[rows].reshape(-1)
    except (OSError, RuntimeError) as error:
        raise sources.ConversionError(f"{path}: {stored.name} cannot be read: {error}") from None
    missing = np.zeros(len(raw), bool)
    fills = [value for key in ("_FillValue", "missing_value") for value in _attribute(stored, key)]
    if not fills:
        fills = [value for kind, value in _NEVER_WRITTEN.items() if raw.dtype.str[1:] == kind]
    for value in fills:
        missing |= raw == np.asarray(value, raw.dtype)
    low, high = (*_attribute(stored, "valid_range"), None, None)[:2]
    low = (*_attribute(stored, "valid_min"), low)[0]
    high = (*_attribute(stored, "valid_max"), high)[0]
    if low is not None:
        missing |= raw < low
    if high is not None:
        missing |= raw > high
    x = raw.astype(np.float64)
    for value in _attribute(stored, "scale_factor"):
        x *= float(value)
    for value in _attribute(stored, "add_offset"):
        x += float(value)
    x[missing] = np.nan
    return x


def _attribute(stored: h5py.Dataset | Variable, key: str) -> list[Any]:
    """The numbers of an attribute, none where it is not there."""
    return list(np.atleast_1d(stored.attrs[key])) if key in stored.attrs else []
