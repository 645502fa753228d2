"""HDF5 sets that are written anew: arrays whose samples come last, chunks of columns, several files, names of one's own."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import h5py
import numpy as np

from distmlp.data import opening
from distmlp.data.columns import SideBySide
from distmlp.data.conversion import sources
from distmlp.data.conversion.options import TableOptions
from distmlp.data.dataset import DataSet, sample_shape

#: What is read at a time where rows lie across chunks, each of which is decompressed once for all of it.
_LARGE_BLOCK = 2**28


class _Turned:
    """A dataset whose dimensions are the wrong way round, samples last: what `columns.Selected` is of others."""

    names = None

    def __init__(self, stored: h5py.Dataset) -> None:
        self.stored, self.dtype = stored, stored.dtype
        self.shape = stored.shape[::-1]
        self.row, self.chunks = self.shape[1:], None

    def read(self, start: int, out: np.ndarray) -> None:
        """The rows from `start` on, into out.  Raises OSError."""
        out[...] = self.stored[..., start : start + len(out)].T


class TransposedSet(DataSet):
    """A set whose arrays are transposed, as MATLAB, Fortran and R write them: each sample is a column of the last dimension."""

    @staticmethod
    def _columns_in(
        file: h5py.File,
        spec: str,
        group: str,
        inputs: str | Sequence[str],
        targets: str | Sequence[str] | None,
    ) -> tuple[_Turned | SideBySide, _Turned | SideBySide | None]:
        def turned(names: str | Sequence[str]) -> _Turned | SideBySide:
            every = [names] if isinstance(names, str) else list(names)
            parts = [
                _Turned(
                    opening.real(
                        opening.dataset_in(file, spec, group, name), opening.place_of(spec, name)
                    )
                )
                for name in every
            ]
            return parts[0] if len(parts) == 1 else SideBySide(parts, spec)

        return turned(inputs), None if targets is None else turned(targets)


def stored_set(specs: Sequence[str], options: TableOptions, transposed: bool) -> sources.SourceSet:
    """The set that HDF5 files hold.  Raises InputError.

    options: inputs and targets name datasets, x and y by default; by_name has each value of the targets be a class.
    """
    inputs = list(options.inputs or ["x"])
    named = list(options.targets if options.targets is not None else ["y"])
    kind = TransposedSet if transposed else DataSet

    def opened() -> DataSet:
        return kind(specs, _single(inputs), _single(named) if named else None)

    with opened() as data:
        data.check_whole()
        across = transposed or any(opening.is_across_chunks(part.stored) for part in data.parts)
        y = data.memory(0)[1]
        values = _values(data) if options.by_name and y is not None else None
        whole = y is not None and y.dtype.kind in "iub" and data.outputs in (None, 1)
        classes = values is not None or (whole and not options.regression)
        found = _described(data, y, classes, values)
    large = _LARGE_BLOCK if across else 0

    def blocks(at_once: int) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        with opened() as data:
            row_bytes = max(1, data.stored_bytes // data.rows)
            many = max(at_once, large // row_bytes // at_once * at_once)
            for start in range(0, data.rows, many):
                x, desired = data.read([(start, min(start + many, data.rows))])
                if desired is not None:
                    desired = desired.reshape(-1) if classes else desired.reshape(len(x), -1)
                    if values is not None:
                        desired = np.searchsorted(values, desired)
                for first in range(0, len(x), at_once):
                    here = slice(first, first + at_once)
                    yield x[here], None if desired is None else desired[here]

    return replace(found, blocks=blocks)


def _described(
    data: DataSet, y: np.ndarray | None, classes: bool, values: np.ndarray | None
) -> sources.SourceSet:
    """A set without its rows.  y: memory of its targets.  values: those that become classes, where they do."""
    names = data.target_names if data.classes else None
    if values is not None:
        names = [f"{value:g}" if value.dtype.kind == "f" else str(value) for value in values]
    columns = data.column_names
    target_columns = None if data.classes else data.target_names
    y_dtype = None
    if y is not None:
        as_stored = values is None and (classes or y.dtype.kind == "f")
        y_dtype = np.dtype("<i8" if classes else "<f8")
        y_dtype = sources.stored_dtype(y.dtype) if as_stored else y_dtype
    return sources.SourceSet(
        data.rows,
        sample_shape(data),
        sources.stored_dtype(data.input_dtype),
        None if y is None or classes else (data.outputs or 1),
        y_dtype,
        lambda rows: iter(()),
        columns=None if columns is None else tuple(columns),
        target_columns=None if target_columns is None else tuple(target_columns),
        class_names=None if not classes or names is None else tuple(names),
    )


def _single(names: list[str]) -> str | list[str]:
    return names[0] if len(names) == 1 else names


def _values(data: DataSet) -> np.ndarray:
    """The different values of the targets, sorted.  Raises InputError where they are more than one column, or too many."""
    if not data.classes and data.outputs != 1:
        raise sources.ConversionError(
            f"{data.spec}: --classes takes one column of targets, but there are {data.outputs}"
        )
    found = np.empty(0)
    for start in range(0, data.rows, 2**16):
        y = data.read([(start, min(start + 2**16, data.rows))])[1]
        assert y is not None  # the set was opened with its targets
        found = np.unique(np.concatenate([found.astype(y.dtype), y.reshape(-1)]))
        if len(found) > 2**16:
            raise sources.ConversionError(
                f"{data.spec}: its targets have more than {2**16} values; expected classes"
            )
    return found
