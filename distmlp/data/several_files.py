"""Several files as one set: which files a spec names, and their columns below one another.

A spec is "FILE.h5:/group", a pattern such as "part-*.h5:/train", or a list of either.  A pattern's files are taken in the
order of their names, a list's in its own.
"""

import glob
import os
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from distmlp.data import missing_rows, opening
from distmlp.data.columns import Names, Selected, parts_of, target_names_of
from distmlp.errors import InputError

#: One or more files, as above.
Spec = str | Sequence[str]

#: Names of columns that a message shows.
_SHOWN = 6


#: What gives the columns of inputs and targets of a file: of the file, its spec, its group, and the names of both.
Columns = Callable[..., tuple[Any, Any]]


class Files:
    """The files of a set, open for reading.

    specs: of each file.  x, y: the columns of all, y may be None.  parts: what reads a dataset each.  Raises
    InputError.
    """

    def __init__(
        self,
        spec: Spec,
        inputs: str | Sequence[str],
        targets: str | Sequence[str] | None,
        columns: Columns,
    ) -> None:
        self.specs = named(spec)
        self._open: list[h5py.File] = []
        self._parts: list[list[Any]] = []
        tables: list[tuple[Any, Any]] = []
        try:
            for one in self.specs:
                with _readable(one):
                    tables.append(self._opened(one, inputs, targets, columns))
            self.x: Any = stacked([x for x, _ in tables], self.specs, "inputs")
            self.y: Any = stacked([y for _, y in tables], self.specs, "targets")
        except InputError:
            self.close()
            raise
        self.parts = [part for parts in self._parts for part in parts]

    def _opened(
        self,
        spec: str,
        inputs: str | Sequence[str],
        targets: str | Sequence[str] | None,
        columns: Columns,
    ) -> tuple[Any, Any]:
        path, group = opening.parted(spec)
        file = opening.opened(path, spec, len(self.specs))
        self._open.append(file)
        x, y = columns(file, spec, group, inputs, targets)
        opening.check_shapes(spec, inputs, x, targets, y)
        self._parts.append([*parts_of(x), *parts_of(y)])
        return x, y

    def check_whole(self) -> None:
        """Raises InputError where rows are not there, or a program is writing them."""
        for spec, parts in zip(self.specs, self._parts, strict=True):
            missing_rows.check_no_writer(opening.parted(spec)[0], spec)
            for part in parts:
                missing_rows.check_whole(part.stored, spec)

    def notes(self, words: str, taken: int) -> list[str]:
        """What people should know of how the rows are read.  words: the set.  taken: how many of the files' rows are in it."""
        found = []
        if len(self.specs) > 1:
            rows = len_of(self.x)
            count = f"{rows}" if taken == rows else f"{taken} of the {rows}"
            files = f"{len(self.specs)} files"
            found.append(
                f"{words}: {count} rows of {files}, from {self.specs[0]} to {self.specs[-1]}"
            )
        for spec, parts in zip(self.specs, self._parts, strict=True):
            found += [
                f"{spec}: a row of {part.stored.name.lstrip('/')} lies in too many chunks to keep them, so each read "
                f"decompresses them again; distmlp convert {spec} OUT.h5 writes it with whole rows, once"
                for part in parts
                if opening.is_across_chunks(part.stored)
            ]
        return [*found, *(f"{words}: {said}" for said in self.unpacked())]

    def unpacked(self) -> list[str]:
        """What attributes have done to the numbers of each dataset, for people."""
        return list(dict.fromkeys(said_of(self.parts)))

    def close(self) -> None:
        """Closes the files."""
        for file in self._open:
            file.close()


@contextmanager
def _readable(spec: str) -> Iterator[None]:
    """Turns what h5py raises for a damaged file into an InputError."""
    try:
        yield
    except InputError:
        raise
    except (KeyError, OSError, RuntimeError, ValueError, TypeError) as error:  # h5py has them
        raise InputError(f"{spec}: cannot be opened: the file is damaged: {error}") from None


def said_of(parts: Sequence[Any]) -> list[str]:
    """What attributes have done to the numbers of each, for people."""
    return [
        f"{part.stored.name.rpartition('/')[2]}: {part.packing.words()}"
        for part in parts
        if isinstance(part, Selected) and not part.packing.is_plain
    ]


def named(spec: Spec) -> list[str]:
    """Each "FILE.h5:/group" that a spec names.  Raises InputError for a pattern without files, and a file named twice."""
    found = [one for given in _each(spec) for one in _matching(given)]
    seen: set[str] = set()
    for one in found:
        if one in seen:
            raise InputError(
                f"{one}: is named twice in one set, which would train on its rows twice"
            )
        seen.add(one)
    return found


def files_of(spec: Spec) -> list[Path]:
    """The files that a spec names, those that are not there too."""
    return [
        Path(path)
        for given in _each(spec)
        for path in matching(str(opening.path_of(given))) or [str(opening.path_of(given))]
    ]


def shown(spec: Spec) -> str:
    """A spec for people, in one line."""
    first, *more = _each(spec)
    return f"{first} and {len(more)} more" if more else first


def _each(spec: Spec) -> list[str]:
    return [spec] if isinstance(spec, str) else list(spec)


def _matching(spec: str) -> list[str]:
    path, group = opening.parted(spec)
    found = matching(str(path))
    if found is None:
        return [spec]
    if not found:
        raise InputError(f"{spec}: no file has such a name")
    return [f"{one}:{group}" for one in found]


def matching(path: str) -> list[str] | None:
    """The files whose names fit a pattern, by name; None where the path is none."""
    if not glob.has_magic(path) or os.path.exists(path):
        return None
    return sorted(glob.glob(path))


class Stacked:
    """Columns of several files below one another: what `Selected` is, of a list of them.

    tables: the files' columns.  parts: what reads a dataset each.  stored: of the first file, None where it is several
    datasets.  Raises InputError where the columns are not the same.
    """

    def __init__(self, tables: Sequence[Any], specs: Sequence[str], words: str) -> None:
        self.tables, self._specs = tables, specs
        self.parts = [part for table in tables for part in parts_of(table)]
        self.stored = getattr(tables[0], "stored", None)
        first = tables[0]
        for table, spec in zip(tables[1:], specs[1:], strict=True):
            _check_alike(first, table, words, (specs[0], spec))
        self.names: list[str] | None = next((t.names for t in tables if t.names), None)
        self.row = first.row
        kinds = {table.dtype for table in tables}
        self.dtype = first.dtype if len(kinds) == 1 else first.dtype.newbyteorder("=")
        self._starts = list(accumulate((len_of(table) for table in tables), initial=0))
        self.shape = (self._starts[-1], *self.row)
        rows = max((table.chunks[0] for table in tables if table.chunks), default=0)
        self.chunks = (rows, *self.row) if rows else None
        self._readers = [getattr(table, "plain", table) for table in tables]

    def read(self, start: int, out: np.ndarray) -> None:
        """The rows from `start` on, into out.  Raises OSError, which names the file."""
        stop, file = start + len(out), self.file_at(start)
        while start < stop:
            reader, end = self._readers[file], min(stop, self._starts[file + 1])
            here = out[len(out) - (stop - start) :][: end - start]
            part = here if reader.dtype == here.dtype else np.empty(here.shape, reader.dtype)
            try:
                reader.read(start - self._starts[file], part)
            except (OSError, RuntimeError) as error:
                raise OSError(f"{self._specs[file]}: {error}") from None
            if part is not here:
                here[...] = part
            start, file = end, file + 1

    def file_at(self, row: int) -> int:
        """Which file has a row."""
        return bisect_right(self._starts, row) - 1

    def located(self, row: int) -> str:
        """A row of the set as one of its file, in words."""
        file = self.file_at(row)
        return f"{self._specs[file]}: row {row - self._starts[file]}"


def len_of(columns: Any) -> int:
    """The rows of columns."""
    return int(columns.shape[0])


def stacked(tables: Sequence[Any], specs: Sequence[str], words: str) -> Any:
    """The columns of one file or, below one another, of several; None where there are none.

    words: what they are, for messages.  Raises InputError where the columns are not the same.
    """
    if len(tables) == 1 or tables[0] is None:
        return tables[0]
    texts = [isinstance(table, Names) for table in tables]
    if all(texts):
        return Names.together(tables)
    if any(texts):
        other = specs[texts.index(not texts[0])]
        raise InputError(
            f"{other}: its {words} are {'numbers' if texts[0] else 'text'}, but those of {specs[0]} are "
            f"{'text' if texts[0] else 'numbers'}; expected the same of all files of a set"
        )
    return Stacked(tables, specs, words)


def _check_alike(first: Any, other: Any, words: str, specs: tuple[str, str]) -> None:
    """Raises InputError where the columns of two files are no columns of one set."""
    facts = [
        ("shape of a row", first.row, other.row),
        ("dtype", first.dtype.newbyteorder("="), other.dtype.newbyteorder("=")),
    ]
    if first.names and other.names:
        facts.append(("names", first.names, other.names))
    classes = target_names_of(first, True), target_names_of(other, True)
    if all(classes):
        facts.append(("names of the classes", *classes))
    for what, one, two in facts:
        if one != two:
            raise InputError(
                f"{specs[1]}: the {what} of its {words} {_few(two)}, but that of {specs[0]} {_few(one)}; "
                "expected the same of all files of a set"
            )


def _few(value: Any) -> str:
    """A fact for people; of many names the first ones."""
    if not isinstance(value, list):
        return f"is {value}"
    return f"is {', '.join(map(str, value[:_SHOWN]))}{', …' * (len(value) > _SHOWN)}"
