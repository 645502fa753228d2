"""Data frames that pandas wrote with to_hdf, as tables: read through h5py, since pandas would run what is pickled in them."""

import io
import pickle
from collections.abc import Iterator, Sequence
from typing import Any

import h5py
import numpy as np

from distmlp.data import opening
from distmlp.data.conversion import sources
from distmlp.data.conversion.tables import Table

#: A column: its dataset, and where in a row of that it stands: a field, and a place in it or in the row.
_Place = tuple[str, str | None, int | None]


class _OfPlainValues(pickle.Unpickler):
    """Reads lists of text and numbers, which need no code; refuses all else."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name} is no plain value")


def table(spec: str) -> Table:
    """The frame in a group of an HDF5 file, both formats of to_hdf, without its index.  Raises ConversionError."""
    path, group = opening.parted(spec)
    with opening.opened(path, spec) as file:
        holder = opening.group_in(file, spec, group)
        if "table" in holder:
            columns, rows = _of_table(spec, holder)
        else:
            columns, rows = _of_blocks(spec, holder)
    names, places = tuple(columns), list(columns.values())
    if not names:
        raise sources.ConversionError(f"{spec}: the data frame has no columns")

    def blocks(
        at_once: int, only: Sequence[int], text: frozenset[int]
    ) -> Iterator[list[np.ndarray]]:
        with opening.opened(path, spec) as file:
            holder = file[group]
            for start in range(0, rows, at_once):
                here = slice(start, min(start + at_once, rows))
                parts = {name: holder[name][here] for name in {places[c][0] for c in only}}
                yield [_values(parts, places[c], c in text) for c in only]

    def place(row: int, column: int) -> tuple[str, str]:
        with opening.opened(path, spec) as file:
            parts = {places[column][0]: file[group][places[column][0]][row : row + 1]}
        return f"row {row}, column {column}", str(_values(parts, places[column], True)[0])

    notes = ("the frame's index was left out",)
    return Table(spec, len(names), names, blocks, place, notes=notes)


def _of_blocks(spec: str, holder: h5py.Group) -> tuple[dict[str, _Place], int]:
    """Columns of the "fixed" format, in the frame's order: blocks of columns of one dtype, with their names beside them."""
    found: dict[str, _Place] = {}
    for name in holder:
        number = name.removeprefix("block").removesuffix("_items")
        if name != f"block{number}_items":
            continue
        values = holder[f"block{number}_values"]
        if h5py.check_vlen_dtype(values.dtype) is not None or values.dtype.kind not in "iufb":
            raise sources.ConversionError(
                f"{spec}: {', '.join(_texts(holder[name]))} hold Python objects, and reading those can run any code; "
                'save the frame with to_parquet, or to_hdf(…, format="table")'
            )
        for place, column in enumerate(_texts(holder[name])):
            found[column] = (f"block{number}_values", None, place)
    order = [column for column in _texts(holder["axis0"]) if column in found] if found else []
    rows = len(holder["axis1"]) if found else 0
    return {column: found[column] for column in order}, rows


def _of_table(spec: str, holder: h5py.Group) -> tuple[dict[str, _Place], int]:
    """Columns of the "table" format: fields of one column, or of several of one dtype, which an attribute names."""
    stored = holder["table"]
    found: dict[str, _Place] = {}
    for field in stored.dtype.names[1:]:  # the first is the index
        if not field.startswith("values_block_"):
            found[field] = ("table", field, None)
            continue
        try:
            kept = bytes(stored.attrs[f"{field}_kind"])
            names = _OfPlainValues(io.BytesIO(kept)).load()
        except (KeyError, TypeError, ValueError, EOFError, pickle.UnpicklingError) as error:
            raise sources.ConversionError(
                f"{spec}: the names of its columns in {field} cannot be read: {error}"
            ) from None
        for place, name in enumerate(names):
            found[str(name)] = ("table", field, place)
    return found, int(stored.shape[0])


def _texts(stored: h5py.Dataset) -> list[str]:
    return [x.decode("utf-8", "replace") if isinstance(x, bytes) else str(x) for x in stored[...]]


def _values(parts: dict[str, np.ndarray], place: _Place, as_text: bool) -> np.ndarray:
    """One column of some rows: numbers, or text where it is none or is asked for."""
    name, field, column = place
    values = parts[name] if field is None else parts[name][field]
    if column is not None:
        values = values[:, column]
    if values.dtype.kind in "iufb" and not as_text:
        return values.astype(np.uint8) if values.dtype.kind == "b" else values
    cells = np.empty(len(values), object)
    cells[:] = [x.decode("utf-8", "replace") if isinstance(x, bytes) else str(x) for x in values]
    return cells
