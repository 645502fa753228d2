"""Some rows of a set, as a set of their own; and which rows a config's word for them selects."""

import re
from collections.abc import Sequence

import numpy as np

from distmlp.data.dataset import DataSet, Held
from distmlp.data.matching import Matched, Names
from distmlp.data.several_files import Spec, shown
from distmlp.errors import InputError

#: Rows of the file that are read at a time to pick some of them.
_SPAN = 4096

_RANGE = re.compile(r"\s*(-?\d*)\s*:\s*(-?\d*)\s*(?::\s*(\d+)\s*)?")


class Part(Matched):
    """Some rows of a set, in the set's order, as a set of their own.

    index: their numbers, ascending.  name: of the part, for people.  names: as for `Matched`.
    """

    def __init__(
        self,
        spec: Spec,
        inputs: str | Sequence[str],
        targets: str | Sequence[str] | None,
        index: np.ndarray,
        name: str,
        names: Names | None = None,
    ) -> None:
        super().__init__(spec, inputs, targets, names or Names())
        self.stored_bytes = self.stored_bytes * len(index) // self.rows
        self.spec = f"{self.spec}, {name}"
        self.index, self.rows = index, len(index)
        self.file_chunk_rows = 0  # its rows are no longer those of the file's chunks

    def row_in_files(self, row: int) -> int:
        return int(self.index[row])

    def picked(self, values: np.ndarray) -> np.ndarray:
        return values[self.index]

    def read(
        self,
        pieces: list[tuple[int, int]],
        into: Held | None = None,
    ) -> Held:
        if self.held is not None:
            return super().read(pieces, into)
        rows = sum(stop - start for start, stop in pieces)
        x, y = into or self.memory(rows)
        place = 0
        for start, stop in pieces:
            while start < stop:
                end = min(stop, int(np.searchsorted(self.index, self.index[start] + _SPAN)))
                here = slice(place, place + end - start)
                self._pick(self.index[start:end], x[here], None if y is None else y[here])
                start, place = end, here.stop
        return x[:rows], None if y is None else y[:rows]

    def _pick(self, index: np.ndarray, x: np.ndarray, y: np.ndarray | None) -> None:
        """The rows of these numbers in the file, into x and y."""
        first, last = int(index[0]), int(index[-1])
        if last - first + 1 == len(index):
            super().read([(first, last + 1)], (x, y))
            return
        found, targets = super().read([(first, last + 1)])
        np.copyto(x, found[index - first], casting="unsafe")
        if y is not None and targets is not None:
            np.copyto(y, targets[index - first].reshape(y.shape), casting="unsafe")


def column_of(data: DataSet, spec: Spec, name: str) -> np.ndarray:
    """One number of each row of a set, (rows,), as stored: a dataset beside its inputs, or a column of one.

    spec: where the set is.  name: as data.inputs names columns.  Raises InputError.
    """
    with DataSet(spec, name, None) as beside:
        rows = data.all_rows
        if beside.width != 1 or beside.rows != rows:
            raise InputError(
                f"{shown(spec)}/{name} has {beside.rows} rows of {beside.width} numbers, but expected one number a row, of {rows}"
            )
        beside.check_whole()
        found = beside.read([(0, rows)])[0].reshape(rows)
    return data.picked(found)


def selected(data: DataSet, spec: Spec, rows: str, key: str) -> np.ndarray:
    """The numbers of the rows of a set that a config selects, ascending: (selected,).  Raises InputError.

    rows: "FIRST:STOP" or "FIRST:STOP:STEP" as Python slices, or the name of a dataset that is 1 or true for them.  key:
    of the config.
    """
    matched = _RANGE.fullmatch(rows)
    if matched:
        index = _in_range(matched, data, f'{key} is "{rows}"')
    else:
        mask = column_of(data, spec, rows)
        odd = ~np.isin(mask, (0, 1))
        if odd.any():
            row = int(np.argmax(odd))
            raise InputError(
                f'{key} is "{rows}", but {shown(spec)}/{rows} is {mask[row]} in row {row}; expected true or false, or 1 or 0'
            )
        index = np.flatnonzero(mask)
    if not len(index):
        raise InputError(f'{key} is "{rows}", which selects no row of {shown(spec)}')
    return index


def _in_range(matched: re.Match[str], data: DataSet, words: str) -> np.ndarray:
    first, stop, step = (int(end) if end else None for end in matched.groups())
    if step == 0:
        raise InputError(f"{words}, but expected a step of at least 1")
    for end in (first, stop):
        if end is not None and not -data.rows <= end <= data.rows:
            raise InputError(
                f"{words}, but {data.spec} has {data.rows} rows: expected ends from {-data.rows} to {data.rows}"
            )
    return np.arange(data.rows)[first:stop:step]
