"""Training sets in HDF5: what is known of one, and its rows as they are stored.

A set is a group with two datasets, inputs (n, d) and targets (n,) or (n, k).  feed.py makes the network's
numbers of them.
"""

from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import h5py
import numpy as np
from numpy.typing import DTypeLike

from distmlp.data import several_files
from distmlp.data.columns import (
    AsClasses,
    Names,
    are_classes,
    columns_in,
    parts_of,
    row_bytes,
    target_columns_of,
    target_names_of,
    targets_in,
)
from distmlp.data.sample_weights import RowWeights
from distmlp.data.several_files import Files, Spec, Stacked
from distmlp.errors import InputError
from distmlp.mathematics.shards import rows_of

#: Rows of a block, and the most where so many bytes hold them: narrow rows cost little beside the call that reads them,
#: and a second look at them is to find them in a cache.
_BLOCK_ROWS, _MOST_BLOCK_ROWS, _BLOCK_BYTES = 1024, 4096, 2**18

#: Inputs, and targets where there are such.
Held = tuple[np.ndarray, np.ndarray | None]


def _columns_of(
    file: h5py.File,
    spec: str,
    group: str,
    inputs: str | Sequence[str],
    targets: str | Sequence[str] | None,
) -> tuple[Any, Any]:
    """The columns of one file's inputs, and of its targets, which may be None.  Raises InputError."""
    x = columns_in(file, spec, group, inputs)
    return x, None if targets is None else targets_in(file, spec, group, targets)


class DataSet:
    """One group of an HDF5 file, or of several whose rows follow one another, open for reading.

    spec: "FILE.h5:/group", or what several_files.py takes; then it is that for messages.  inputs, targets: what columns.py
    takes, or a list of such; targets may be None, for inputs alone.  files: these, open.  Raises InputError.

    rows: n.  width: d.  classes: whether the targets are (n,) integers, or `settle` has made classes of them.  outputs: k
    of (n, k) targets, 1 for (n,) floats, None for classes.  parts: the columns of each dataset.
    file_chunk_rows: rows of an HDF5 chunk of the inputs, 0 where the file has no chunks.  weights: of the rows, where
    sets.py has found some.  held: inputs (…, d) and targets, as stored.  is_shared: whether several ranks hold them.
    """

    _columns_in = staticmethod(_columns_of)

    def __init__(
        self,
        spec: Spec,
        inputs: str | Sequence[str] = "x",
        targets: str | Sequence[str] | None = "y",
    ) -> None:
        self.spec = several_files.shown(spec)
        self.files = Files(spec, inputs, targets, self._columns_in)
        self._x, self._y, self.parts = self.files.x, self.files.y, self.files.parts
        self.rows = self.all_rows = self._x.shape[0]
        self.width = self._row_width = int(np.prod(self._x.row))
        self.file_chunk_rows = self._x.chunks[0] if self._x.chunks else 0
        self.input_dtype = self._x.dtype
        self.weights: RowWeights | None = None
        self.held: Held | None = None
        self._places: np.ndarray | None = None  # in held, where that has all rows of the files
        self.is_shared = self._reorders = False
        self._asked = _hashable(inputs), _hashable(targets)
        y = self._y
        self._take_targets(y is not None and len(y.shape) == 1 and y.dtype.kind in "iub")

    def _take_targets(self, classes: bool) -> None:
        y = self._y
        self.classes = classes
        self.outputs = None if y is None or classes else int(np.prod(y.row))
        self._readers = [getattr(part, "plain", part) for part in (self._x, y)]
        self.stored_bytes = self.rows * (row_bytes(self._x) + row_bytes(y))

    def settle(self, outputs: int, output: str, how: str) -> None:
        """Decides whether the targets are classes, for a network with so many outputs, as `columns.are_classes` says.

        Raises InputError.
        """
        if self._y is None or isinstance(self._y, Names):
            return
        classes = are_classes(self._y, outputs, output, how, self.spec)
        if classes != self.classes:
            if classes and not isinstance(self._y, AsClasses):
                self._y = AsClasses(self._y)
            self._take_targets(classes)

    def check_whole(self) -> None:
        """Raises InputError where rows of the set are not there, or a program is writing them."""
        self.files.check_whole()

    def row_in_files(self, row: int) -> int:
        """The number of a row among all rows of the files."""
        return row

    def located(self, row: int) -> str:
        """A row in words: of several files, the one that has it, and its number there."""
        row = self.row_in_files(row)
        where = self._x.located(row) if isinstance(self._x, Stacked) else None
        return where or f"{self.spec}: row {row}"

    def picked(self, values: np.ndarray) -> np.ndarray:
        """Of one value for each row of the files, (all_rows,), those of this set's rows, (rows,)."""
        return values

    def notes(self) -> list[str]:
        """What people should know of how the set is read."""
        return self.files.notes(self.spec, self.rows)

    def hold(self, shared: Held | None = None, places: np.ndarray | None = None) -> None:
        """Reads the whole set into memory, as stored, unless ranks have read it into what they share; later reads come from there."""
        if self.held is None:
            self.held, self.is_shared = shared or self.read([(0, self.rows)]), shared is not None
            self._places = places

    def in_held(self, rows: np.ndarray) -> np.ndarray:
        """The places of some of the set's rows in what is held."""
        return rows if self._places is None else self._places[rows]

    @property
    def column_names(self) -> list[str] | None:
        """What the file calls the inputs, one name a column; None where it has no names for them."""
        names = self._x.names
        return names if names and len(names) == self._row_width else None

    @property
    def target_names(self) -> list[str] | None:
        """What the file calls the classes, or the columns of the targets; None where it has no names for them."""
        return target_names_of(self._y, self.classes)

    @property
    def target_columns(self) -> list[str] | None:
        """What the file calls the columns of the targets, of classes too; None where it has no names for them."""
        return target_columns_of(self._y, self.classes)

    def read(
        self,
        pieces: list[tuple[int, int]],
        into: Held | None = None,
    ) -> Held:
        """The rows of runs (first row, row after the last), end to end: inputs (…, d), targets.

        into: where they are put, a pair of arrays such as `memory` makes; else, and where the set is held in
        memory, they are new, as stored.
        """
        rows = sum(stop - start for start, stop in pieces)
        if self.held is not None:
            index = self.in_held(rows_of(pieces))
            held, targets = self.held
            return held[index], None if targets is None else targets[index]
        found: list[np.ndarray | None] = []
        for reader, target in zip(self._readers, into or self.memory(rows), strict=True):
            if reader is None or target is None:
                found.append(None)
                continue
            target = target[:rows].reshape(rows, *reader.row)
            _read_rows(reader, pieces, target, self.spec)
            found.append(target)
        x, y = found
        assert x is not None  # every set has inputs
        return x.reshape(rows, self._row_width), y

    def memory(self, rows: int, dtype: DTypeLike | None = None) -> Held:
        """Memory for so many rows: inputs (rows, d), targets.

        Their dtypes are as stored, but dtype where that takes less, for what are no classes.
        """
        x, y = np.empty((rows, self.width), _narrower(self._x.dtype, dtype)), self._y
        if y is None:
            return x, None
        kind = y.dtype if self.classes else _narrower(y.dtype, dtype)
        return x, np.empty((rows, *y.shape[1:]), kind)

    def close(self) -> None:
        """Closes the files; what is held in memory stays."""
        self.files.close()

    def __enter__(self) -> "DataSet":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def block_rows(data: DataSet) -> int:
    """Rows that are looked through at a time: their memory is small beside a window's."""
    row = max(1, data.stored_bytes // data.rows)
    return min(data.rows, max(_BLOCK_ROWS, min(_BLOCK_BYTES // row, _MOST_BLOCK_ROWS)))


def blocks_of(data: DataSet, rows: range) -> Iterator[tuple[int, int]]:
    """(first row, row after the last) of the blocks in which some of the set's rows are looked through."""
    size = block_rows(data)
    for start in range(rows.start, rows.stop, size):
        yield start, min(start + size, rows.stop)


def rows_of_files(data: DataSet) -> Hashable:
    """What all rows of a set's files are, as it reads them: equal for sets that one memory can hold."""
    kinds = [(part.dtype.str, part.row) for part in (data._x, data._y) if part is not None]
    own = id(data) if data._reorders else None
    return (tuple(data.files.specs), *data._asked, data.classes, data.all_rows, own, *kinds)


def _hashable(names: str | Sequence[str] | None) -> Hashable:
    return names if names is None or isinstance(names, str) else tuple(names)


def _narrower(stored: np.dtype, dtype: DTypeLike | None) -> DTypeLike:
    """The dtype that takes less, the stored one where there is no other."""
    return stored if dtype is None or stored.itemsize <= np.dtype(dtype).itemsize else dtype


def targets_as(data: DataSet, y: np.ndarray, outputs: int, dtype: DTypeLike) -> np.ndarray:
    """Stored targets of a set as the desired outputs, (rows, outputs): one-hot for classes, 0 or 1 for one output.

    Raises InputError for a class that has no output.
    """
    if not data.classes:
        return _padded(y.reshape(len(y), -1).astype(dtype), outputs)
    if outputs == 1:
        return y.reshape(-1, 1).astype(dtype)
    classes = y.astype(np.int64)
    # a negative one is a large unsigned one
    if len(y) and classes.view(np.uint64).max() >= outputs:
        raise InputError(
            f"{data.spec}: a class is not in 0 … {outputs - 1}; data.scan = true finds it before training"
        )
    made = np.zeros((len(y), outputs), dtype)
    made[np.arange(len(y)), classes] = 1
    return made


def _read_rows(reader: Any, pieces: list[tuple[int, int]], target: np.ndarray, spec: str) -> None:
    """The rows of runs (first row, row after the last), end to end, into target.  Raises InputError."""
    place = 0
    for start, stop in pieces:
        here = target[place : place + stop - start]
        part = here if here.dtype == reader.dtype else np.empty(here.shape, reader.dtype)
        try:
            reader.read(start, part)
        except (OSError, RuntimeError) as error:
            raise InputError(
                f"{spec}: rows {start} to {stop - 1} cannot be read (a damaged file, or no memory left?): {error}"
            ) from None
        if part is not here:
            np.copyto(here, part, casting="unsafe")
        place += stop - start


def _padded(y: np.ndarray, outputs: int) -> np.ndarray:
    """The columns of y, (rows, …), and zeros in those up to `outputs`."""
    missing = outputs - y.shape[1]
    return np.pad(y, ((0, 0), (0, missing))) if missing else y


def sample_shape(data: DataSet) -> tuple[int, ...]:
    """A row's shape before it was made flat, such as (8, 8) of pictures; (d,) where the file tells none."""
    x = data._x
    parts = parts_of(x.tables[0] if isinstance(x, Stacked) else x)
    if len(parts) != 1:
        return (data.width,)
    stored = parts[0].stored.attrs.get("sample_shape", parts[0].row)
    shape = tuple(int(number) for number in np.ravel(stored))
    return shape if np.prod(shape) == data.width else (data.width,)
