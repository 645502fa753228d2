"""Training sets in HDF5: what is known of one, and its rows as they are stored.

A set is a group with two datasets, inputs (n, d) and targets (n,) or (n, k).  feed.py makes the network's
numbers of them.
"""

import h5py
import numpy as np
from numpy.typing import DTypeLike

from distmlp.data import opening, whole
from distmlp.data.rows import RowReader
from distmlp.errors import InputError
from distmlp.mathematics.shards import rows_of


class DataSet:
    """One group of an HDF5 file, open for reading.

    spec: "FILE.h5:/group".  inputs, targets: the names of its datasets; targets may be None, for inputs
    alone.  Raises InputError.

    rows: n.  width: d.  classes: whether the targets are (n,) integers.  outputs: k of (n, k)
    targets, 1 for (n,) floats, None for classes.  file_chunk_rows: rows of an HDF5 chunk of the
    inputs, 0 where the file has no chunks.
    """

    def __init__(self, spec: str, inputs: str = "x", targets: str | None = "y") -> None:
        self.spec = spec
        path, group = opening.parted(spec)
        self._file = opening.opened(path, spec)
        try:
            self._x = opening.dataset_in(self._file, spec, group, inputs)
            self._y = (
                None if targets is None else opening.dataset_in(self._file, spec, group, targets)
            )
            opening.check_shapes(spec, inputs, self._x, targets, self._y)
            self._readers = [
                None if stored is None else RowReader(stored) for stored in (self._x, self._y)
            ]
        except InputError:
            self._file.close()
            raise
        except (KeyError, OSError, RuntimeError, ValueError) as error:  # h5py has all of them
            self._file.close()
            raise InputError(f"{spec}: cannot be opened: the file is damaged: {error}") from None
        self.rows = self._x.shape[0]
        self.width = self._row_width = int(np.prod(self._x.shape[1:]))
        y = self._y
        self.classes = y is not None and y.ndim == 1 and y.dtype.kind in "iub"
        self.outputs = None if y is None or self.classes else (1 if y.ndim == 1 else y.shape[1])
        self.file_chunk_rows = self._x.chunks[0] if self._x.chunks else 0
        self.input_dtype = self._x.dtype
        self.stored_bytes = sum(
            part.size * part.dtype.itemsize for part in (self._x, y) if part is not None
        )
        self._held: tuple[np.ndarray, np.ndarray | None] | None = None

    def check_whole(self) -> None:
        """Raises InputError where rows of the set are not there, or a program is writing them."""
        whole.check_no_writer(opening.parted(self.spec)[0], self.spec)
        for stored in (self._x, self._y):
            if stored is not None:
                whole.check_whole(stored, self.spec)

    def hold(self) -> None:
        """Reads the whole set into memory, as stored; later reads come from there."""
        if self._held is None:
            self._held = self.read([(0, self.rows)])

    @property
    def column_names(self) -> list[str] | None:
        """What the file calls the inputs, one name a column; None where it has no names for them."""
        names = _names_in(self._x, "columns")
        return names if names and len(names) == self._row_width else None

    @property
    def target_names(self) -> list[str] | None:
        """What the file calls the classes, or the columns of the targets; None where it has no names for them."""
        key = "classes" if self.classes else "columns"
        return None if self._y is None else _names_in(self._y, key)

    @property
    def held(self) -> tuple[np.ndarray, np.ndarray | None] | None:
        """All inputs (n, d) and targets, as stored, where they are held in memory."""
        return self._held

    def read(
        self,
        pieces: list[tuple[int, int]],
        into: tuple[np.ndarray, np.ndarray | None] | None = None,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """The rows of runs (first row, row after the last), end to end: inputs (…, d), targets.

        into: where they are put, a pair of arrays such as `memory` makes; else, and where the set is held in
        memory, they are new, as stored.
        """
        rows = sum(stop - start for start, stop in pieces)
        if self._held is not None:
            index = rows_of(pieces)
            held, targets = self._held
            return held[index], None if targets is None else targets[index]
        found: list[np.ndarray | None] = []
        for reader, target in zip(self._readers, into or self.memory(rows), strict=True):
            if reader is None or target is None:
                found.append(None)
                continue
            target = target[:rows].reshape(rows, *reader.row)
            place = 0
            for start, stop in pieces:
                here = target[place : place + stop - start]
                part = here if here.dtype == reader.dtype else np.empty(here.shape, reader.dtype)
                try:
                    reader.read(start, part)
                except (OSError, RuntimeError) as error:
                    raise InputError(
                        f"{self.spec}: rows {start} to {stop - 1} cannot be read (a damaged file, or no memory left?): {error}"
                    ) from None
                if part is not here:
                    np.copyto(here, part, casting="unsafe")
                place += stop - start
            found.append(target)
        x, y = found
        assert x is not None  # every set has inputs
        return x.reshape(rows, self._row_width), y

    def memory(
        self, rows: int, dtype: DTypeLike | None = None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Memory for so many rows: inputs (rows, d), targets.

        Their dtypes are as stored, but dtype where that takes less, for what are no classes.
        """

        def narrower(stored: np.dtype) -> DTypeLike:
            return stored if dtype is None or stored.itemsize <= np.dtype(dtype).itemsize else dtype

        x = np.empty((rows, self.width), narrower(self._x.dtype))
        y = self._y
        if y is None:
            return x, None
        return x, np.empty((rows, *y.shape[1:]), y.dtype if self.classes else narrower(y.dtype))

    def targets_as(self, y: np.ndarray, outputs: int, dtype: DTypeLike) -> np.ndarray:
        """Stored targets as the desired outputs, (rows, outputs): one-hot for classes, 0 or 1 for one output."""
        if not self.classes:
            return y.reshape(len(y), outputs).astype(dtype)
        if outputs == 1:
            return y.reshape(-1, 1).astype(dtype)
        if len(y) and not 0 <= int(y.min()) <= int(y.max()) < outputs:
            raise InputError(
                f"{self.spec}: a class is not in 0 … {outputs - 1}; data.scan = true finds it before training"
            )
        desired = np.zeros((len(y), outputs), dtype)
        desired[np.arange(len(y)), y.astype(np.intp)] = 1
        return desired

    def close(self) -> None:
        """Closes the file; what is held in memory stays."""
        self._file.close()

    def __enter__(self) -> "DataSet":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _names_in(stored: h5py.Dataset, key: str) -> list[str] | None:
    """The texts of an attribute, None where it has none."""
    found = stored.attrs.get(key)
    if not isinstance(found, np.ndarray) or found.ndim != 1 or found.dtype.kind not in "OSU":
        return None
    return [
        name.decode(errors="replace") if isinstance(name, bytes) else str(name) for name in found
    ]
