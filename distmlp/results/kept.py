"""What predict writes beside its answers, so that each row can be told: columns of the data, and the rows' numbers."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from distmlp.data import opening
from distmlp.data.columns import columns_in, names_in
from distmlp.data.conversion.columns import numbers_of
from distmlp.data.conversion.kinds import is_table, tables_in, whole_table
from distmlp.data.conversion.options import TableOptions
from distmlp.data.several_files import Files, Spec, len_of
from distmlp.errors import InputError

#: The group that has them.  Its datasets are in the order in which they were asked for.
GROUP = "kept"

#: What the rows' numbers are called.
_ROW = "row"

#: Rows that are read at a time.
_ROWS = 4096


@dataclass(frozen=True)
class Kept:
    """columns: as the table calls them, or as data.inputs names datasets.  row_numbers: whether those are written, from 0."""

    columns: Sequence[str] = ()
    row_numbers: bool = False


#: What keeps nothing.
NOTHING = Kept()


def write(file: h5py.File, spec: Spec, kept: Kept, rows: int) -> None:
    """Writes what is kept of a set, or of a table, of so many rows.

    Cells of a table are text, as they are written there: an identifier such as 007 stays what it is.  Raises InputError.
    """
    if not (kept.columns or kept.row_numbers):
        return
    group = file.create_group(GROUP, track_order=True)
    if kept.row_numbers:
        _described(group, _ROW, rows, (), np.dtype(np.int64))[...] = np.arange(rows)
    tables = tables_in(spec) if isinstance(spec, str) else []
    if tables and kept.columns:
        _write_cells(group, whole_table(tables, TableOptions()), kept.columns, rows)
        return
    for name in kept.columns:
        try:
            files = Files(spec, name, None, _columns_of)
        except InputError as error:
            raise InputError(f"--keep {name}: {error}{_where_else(spec)}") from None
        try:
            _write_columns(group, name, files.x, rows)
        finally:
            files.close()


def _where_else(spec: Spec) -> str:
    """Where the further columns of a set are that convert made of a table."""
    if not isinstance(spec, str):
        return ""
    path, group = opening.parted(spec)
    if not path.is_file():
        return ""
    with opening.opened(path, spec) as file:
        made = list(file[group].attrs.get("sources", ())) if group in file else []
    if not made or not is_table(Path(made[0])):
        return ""
    return f"; convert wrote only inputs and targets of {', '.join(made)}: with the table itself as --data, --keep finds its other columns"


def _write_cells(group: h5py.Group, table: Any, names: Sequence[str], rows: int) -> None:
    columns = numbers_of(table, "--keep", names)
    order = sorted(columns)  # as some tables give them
    there: dict[int, h5py.Dataset] = {}
    start = 0
    for block in table.blocks(_ROWS, order, frozenset(order)):
        by_number = dict(zip(order, block, strict=True))
        for number in columns:
            values = by_number[number]
            if number not in there:
                there[number] = _described(group, table.called(number), rows, (), values.dtype)
            there[number][start : start + len(values)] = _stored(values)
        start += len(block[0])


class _Texts:
    """A dataset of text, or of classes that have names, one a row: what `columns.Selected` is of numbers."""

    row: tuple[int, ...] = ()
    dtype = np.dtype(object)
    chunks = None

    def __init__(self, stored: h5py.Dataset) -> None:
        self.stored, self.shape = stored, (stored.shape[0],)
        self.names = names_in(stored, "columns")

    def read(self, start: int, out: np.ndarray) -> None:
        """The rows from `start` on, into out."""
        here, classes = slice(start, start + len(out)), names_in(self.stored, "classes")
        if classes is None:
            out[...] = self.stored.asstr(errors="replace")[here].reshape(len(out))
        else:
            called = dict(enumerate(classes))
            out[...] = [called.get(number, str(number)) for number in self.stored[here].tolist()]


def _columns_of(
    file: h5py.File, spec: str, group: str, name: str, targets: None
) -> tuple[Any, None]:
    if "[" not in name:
        stored = opening.dataset_in(file, spec, group, name)
        is_text = h5py.check_string_dtype(stored.dtype) is not None
        has_names = stored.dtype.kind in "iu" and names_in(stored, "classes") is not None
        if stored.size == stored.shape[0] and (is_text or has_names):
            return _Texts(stored), None
    return columns_in(file, spec, group, name), None


def _write_columns(group: h5py.Group, name: str, columns: Any, rows: int) -> None:
    if len_of(columns) != rows:
        raise InputError(
            f"--keep {name}: has {len_of(columns)} rows, but the inputs have {rows}; expected one a sample"
        )
    width, names = int(np.prod(columns.row)), columns.names
    called = names[0] if width == 1 and names else name.rpartition("/")[2]
    stored = _described(group, called, rows, (width,) if columns.row else (), columns.dtype)
    if names and len(names) == width > 1:
        stored.attrs.create("columns", names, dtype=h5py.string_dtype())
    for start in range(0, rows, _ROWS):
        made = np.empty((min(_ROWS, rows - start), *columns.row), columns.dtype)
        columns.read(start, made)
        stored[start : start + len(made)] = _stored(made).reshape(len(made), *stored.shape[1:])


def _described(
    group: h5py.Group, name: str, rows: int, row: tuple[int, ...], dtype: np.dtype
) -> h5py.Dataset:
    """A new dataset for a column of that name, which may have signs that HDF5's names have not.  Raises InputError."""
    place = re.sub(r"^\.+$|/", "_", name)
    if place in group:
        raise InputError(
            f"--keep {name}: what is kept has that name already"
            + "; leave --row-numbers away" * (name == _ROW)
        )
    text = dtype.kind in "OSU"
    stored = group.create_dataset(place, (rows, *row), h5py.string_dtype() if text else dtype)
    stored.attrs["name"] = name
    return stored


def _stored(values: np.ndarray) -> np.ndarray:
    """Values as a dataset takes them: of text str, and "" for what is missing."""
    if values.dtype.kind not in "OSU":
        return values
    made = np.empty(values.shape, object)
    made.ravel()[:] = [_text(value) for value in values.ravel().tolist()]
    return made


def _text(value: object) -> str:
    if value is None:
        return ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def datasets(file: h5py.File) -> Iterator[tuple[str, h5py.Dataset]]:
    """(name, dataset) of each column that a file keeps, in order."""
    for stored in file[GROUP].values() if GROUP in file else ():
        yield str(stored.attrs["name"]), stored
