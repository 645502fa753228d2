"""Text files that hold tables, such as CSV and TSV: pandas reads them, in blocks.

pandas, since it takes every dialect that is met (blanks as delimiters, decimal commas, any encoding) a block at a
time, and its numbers are the nearest float64.
"""

import codecs
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOBase, TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from distmlp.data.conversion import dialects, headers, sources
from distmlp.data.conversion.dialects import Dialect
from distmlp.data.conversion.options import TableOptions
from distmlp.data.conversion.tables import Table

#: Lines that are read to find the dialect and the header.
_HEAD_LINES = 200


@dataclass(frozen=True)
class _Head:
    """What the first lines say.  header: whether the first row holds names, comment: whether a comment above does."""

    dialect: Dialect
    encoding: str
    width: int
    names: tuple[str, ...] | None
    header: bool
    comments: int
    note: str


def table(path: Path, options: TableOptions) -> Table:
    """The table in a text file, which may be compressed with gzip.  Raises ConversionError."""
    head = _head(path, options)

    def blocks(rows: int, only: Sequence[int], text: frozenset[int]) -> Iterator[list[np.ndarray]]:
        return _blocks(path, head, rows, only, text)

    def place(row: int, column: int) -> tuple[str, str]:
        return _place(path, head, row, column)

    def check() -> None:
        for _ in _raw(path, head):
            pass

    notes = (head.note,) if head.note else ()
    return Table(
        str(path),
        head.width,
        head.names,
        blocks,
        place,
        head.dialect.decimal,
        notes,
        check,
        f" parted by {dialects.word(head.dialect.delimiter)}",
    )


@contextmanager
def _lines(path: Path, encoding: str) -> Iterator[TextIOWrapper]:
    try:
        codecs.lookup(encoding)
    except LookupError:
        raise sources.ConversionError(
            f"--encoding {encoding}: there is no such encoding; latin-1, cp1252 and utf-8 are some"
        ) from None
    with (
        sources.reading(path),
        TextIOWrapper(sources.opened(path), encoding=encoding, newline="") as lines,
    ):
        yield lines


def _encoding(path: Path, options: TableOptions) -> str:
    if options.encoding:
        return options.encoding
    with sources.reading(path), sources.opened(path) as stream:
        begin = stream.read(2)
    # utf-8-sig: spreadsheets put a byte order mark before the first cell
    return "utf-16" if begin in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"


def _head(path: Path, options: TableOptions) -> _Head:
    encoding = _encoding(path, options)
    with _lines(path, encoding) as stream:
        lines = list(islice(stream, _HEAD_LINES))
    dialect = dialects.found_in(lines, options)
    if len(lines) == _HEAD_LINES:
        lines = _whole(lines, dialect)
    rows = [cells for _, cells in dialects.rows_of(lines, dialect, str(path))]
    comments = [text for text in lines if dialect.comment and text.startswith(dialect.comment)]
    if not rows:
        raise sources.ConversionError(
            f"{path}: is empty; expected rows of numbers parted by {dialects.word(dialect.delimiter)}"
        )
    above = headers.in_comment(comments, dialect, len(rows[0]))
    header = not above and headers.is_header(path, rows, dialect, options.header)
    names = headers.names(rows[0], rows[1:]) if header else None
    width = len(names or rows[0])
    if above:
        names = tuple(
            cell.strip()
            for cell in above.split(dialect.delimiter if dialect.delimiter != " " else None)
        )
    note = _note(path, lines, dialect, header, bool(above), len(comments))
    return _Head(dialect, encoding, width, names, header, len(comments), note)


def _whole(lines: list[str], dialect: Dialect) -> list[str]:
    """The lines without those at the end that an open quote may go on after."""
    while lines and sum(text.count('"') for text in lines) % 2 and dialect.delimiter != " ":
        lines = lines[:-1]
    return lines


def _note(
    path: Path, lines: list[str], dialect: Dialect, header: bool, above: bool, comments: int
) -> str:
    parts = []
    if header or above:
        number = next(dialects.rows_of(lines, dialect, str(path)))[0]
        if above:
            number = max(i for i, text in enumerate(lines, 1) if text.startswith(dialect.comment))
        parts.append(f"line {number} of {path.name} was taken as the names of the columns")
    if dialect.delimiter != ",":
        parts.append(f"cells parted by {dialects.word(dialect.delimiter)}")
    if dialect.decimal == ",":
        parts.append("decimals after a comma")
    if comments:
        parts.append(f"lines that begin with {dialect.comment} were left out")
    return ", ".join(parts)


class _WithoutComments(TextIOBase):
    """A text stream without the lines that begin with a mark; pandas' own comments begin anywhere in a line."""

    def __init__(self, lines: TextIOWrapper, mark: str) -> None:
        self._kept = (text for text in lines if not text.startswith(mark))
        self._rest = ""

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> str:
        parts, there = [self._rest], len(self._rest)
        while size is None or size < 0 or there < size:
            text = next(self._kept, "")
            if not text:
                break
            parts.append(text)
            there += len(text)
        whole = "".join(parts)
        end = len(whole) if size is None or size < 0 else size
        self._rest = whole[end:]
        return whole[:end]


def _blocks(
    path: Path, head: _Head, rows: int, only: Sequence[int], text: frozenset[int]
) -> Iterator[list[np.ndarray]]:
    pandas = sources.imported("pandas", path)
    with _lines(path, head.encoding) as stream, _said(path, head, pandas):
        kept = _WithoutComments(stream, head.dialect.comment) if head.dialect.comment else stream
        reader = pandas.read_csv(
            kept,
            header=0 if head.header else None,
            names=list(range(head.width)),
            # Where pandas is to leave columns out, it says nothing of rows that are too long.
            usecols=sorted(only) if len(only) < head.width else None,
            index_col=False,
            chunksize=rows,
            na_filter=False,
            low_memory=False,
            skipinitialspace=True,
            decimal=head.dialect.decimal,
            dtype={column: str for column in text if column in only},
            **_parting(head.dialect),
            **_exact(pandas),
        )
        for frame in reader:
            yield [_values(frame[column]) for column in only]


def _parting(dialect: Dialect) -> dict[str, str]:
    return {"sep": r"\s+"} if dialect.delimiter == " " else {"sep": dialect.delimiter}


def _exact(pandas: Any) -> dict[str, str]:
    """What makes pandas read the nearest float64: since 3.1 it always does, and warns where it is asked."""
    old = tuple(map(int, pandas.__version__.split(".")[:2])) < (3, 1)
    return {"float_precision": "round_trip"} if old else {}


def _values(column: Any) -> np.ndarray:
    values = column.to_numpy()
    return values if values.dtype.kind in "iufb" else column.astype(object).to_numpy()


@contextmanager
def _said(path: Path, head: _Head, pandas: Any) -> Iterator[None]:
    """Turns pandas' faults into sentences that name the line."""
    try:
        yield
    except (pandas.errors.ParserError, pandas.errors.ParserWarning) as error:
        for _ in _raw(path, head):
            pass
        raise sources.ConversionError(
            f"{path}: cannot be read as cells parted by {dialects.word(head.dialect.delimiter)}: {error}"
        ) from None
    except pandas.errors.EmptyDataError:
        return


def _raw(path: Path, head: _Head) -> Iterator[tuple[int, list[str]]]:
    """(line number, cells) of each row; raises ConversionError at the first that is not as wide as the first."""
    with _lines(path, head.encoding) as stream:
        rows = dialects.rows_of(stream, head.dialect, str(path))
        for line, cells in islice(rows, int(head.header), None):
            if len(cells) != head.width:
                raise sources.ConversionError(
                    f"{path}: line {line} has {len(cells)} columns, but the first line has {head.width}; expected as many"
                )
            yield line, cells


def _place(path: Path, head: _Head, row: int, column: int) -> tuple[str, str]:
    line, cells = next(islice(_raw(path, head), row, None))
    return f"line {line}, column {column}", cells[column]
