"""CSV: rows of numbers parted by commas, with a line of names above them or without."""

import csv
import difflib
from collections.abc import Iterator, Sequence
from functools import partial
from io import TextIOWrapper
from itertools import islice
from pathlib import Path

import numpy as np

from distmlp.data.conversion import sources
from distmlp.data.conversion.options import CSV_DTYPES


def csv_set(path: Path, targets: Sequence[str], dtype: str, regression: bool) -> sources.SourceSet:
    """A CSV as a set.  It is read twice: for its rows and what its targets are, then for its numbers."""
    if dtype not in CSV_DTYPES:
        raise sources.ConversionError(f"--dtype {dtype}: expected one of {', '.join(CSV_DTYPES)}")
    x_dtype = np.dtype(dtype).newbyteorder("<")
    number, text = next(_lines(path), (0, ""))
    if not text:
        raise sources.ConversionError(
            f"{path}: is empty; expected rows of numbers parted by commas"
        )
    first = [cell.strip() for cell in _cells(path, number, text)]
    # An empty cell makes no header: it is a number left out, or the name of an unnamed column.
    header = any(cell and not _is_number(cell) for cell in first)
    width = len(first)
    columns = _target_columns(path, targets, first if header else None, width)
    inputs = [column for column in range(width) if column not in columns]
    if not inputs:
        raise sources.ConversionError(
            f"{path}: has {width} columns parted by commas, all of them targets; expected inputs beside them"
        )

    read = partial(_tables, path, header, width)
    rows, classes = 0, len(columns) == 1 and not regression
    for _, y in read(max(1, sources.BLOCK_BYTES // (8 * width)), only=columns[0]):
        rows += len(y)
        classes = classes and bool(np.all(np.isfinite(y) & (y == np.rint(y))))
    if rows == 0:
        raise sources.ConversionError(
            f"{path}: has a header but no rows; expected numbers below it"
        )

    def blocks(block_rows: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for numbers, table in read(block_rows):
            x = _as_dtype(path, numbers, inputs, table[:, inputs], x_dtype)
            yield x, table[:, columns[0]].astype(np.int64) if classes else table[:, columns]

    note = f"; line {number} of {path.name} was taken as the names of the columns" if header else ""
    y_dtype, outputs = (np.dtype("<i8"), None) if classes else (np.dtype("<f8"), len(columns))
    return sources.SourceSet(rows, (len(inputs),), x_dtype, outputs, y_dtype, blocks, note)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """(line number from 1, line) of each line that is not blank."""
    # utf-8-sig: spreadsheets put a byte order mark before the first cell
    with sources.reading(path), TextIOWrapper(sources.opened(path), encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            if not line.isspace():
                yield number, line


def _tables(
    path: Path, header: bool, width: int, rows: int, only: int | None = None
) -> Iterator[tuple[Sequence[int], np.ndarray]]:
    """(line numbers, numbers) of at most so many rows at a time: (≤ rows, width), or (≤ rows, 1) of one column."""
    lines = islice(_lines(path), int(header), None)
    while block := list(islice(lines, rows)):
        numbers, texts = zip(*block, strict=True)
        try:
            table = np.loadtxt(
                texts, delimiter=",", comments=None, quotechar='"', usecols=only, ndmin=2
            )
        except ValueError:
            table = None
        if table is None or table.shape != (len(block), width if only is None else 1):
            raise _fault(path, block, width)
        yield numbers, table


def _fault(path: Path, block: list[tuple[int, str]], width: int) -> sources.ConversionError:
    """What the first fault in lines is that numpy could not read as rows of numbers."""
    for number, text in block:
        cells = _cells(path, number, text)
        if len(cells) != width:
            return sources.ConversionError(
                f"{path}: line {number} has {len(cells)} columns, but the first line has {width}; expected as many"
            )
        for column, cell in enumerate(cells):
            if not _is_number(cell):
                return sources.ConversionError(
                    f"{path}: line {number}, column {column} holds {cell.strip()!r}, but expected a number (columns count from 0)"
                )
    return sources.ConversionError(
        f"{path}: lines {block[0][0]} to {block[-1][0]} cannot be read as numbers parted by commas"
    )


def _cells(path: Path, number: int, text: str) -> list[str]:
    try:
        return next(csv.reader([text], strict=True))
    except csv.Error as error:
        raise sources.ConversionError(
            f"{path}: line {number} is no row of cells parted by commas: {error}"
        ) from None


def _is_number(cell: str) -> bool:
    """Whether numpy reads it as a number; Python's own numbers may have underscores and other digits."""
    try:
        float(cell)
    except ValueError:
        return False
    return cell.isascii() and "_" not in cell


def _target_columns(
    path: Path, targets: Sequence[str], names: list[str] | None, width: int
) -> list[int]:
    """Indices of the target columns, each given by a name in the header or by an index."""
    columns = []
    for target in targets:
        if names and target in names:
            column = names.index(target)
            if names.count(target) > 1:
                raise sources.ConversionError(
                    f"{path}: --targets {target}: {names.count(target)} columns have that name; give the index"
                )
        elif target.removeprefix("-").isdecimal():
            column = int(target) + width * target.startswith("-")
            if not 0 <= column < width:
                raise sources.ConversionError(
                    f"{path}: --targets {target}: expected an index from {-width} to {width - 1}"
                )
        elif names:
            near = difflib.get_close_matches(target, names, 1)
            hint = (
                f"did you mean {near[0]!r}?"
                if near
                else f"the columns are {', '.join(names[:8])}{', …' * (width > 8)}"
            )
            raise sources.ConversionError(
                f"{path}: --targets {target}: no column has that name; {hint}"
            )
        else:
            raise sources.ConversionError(
                f"{path}: --targets {target}: the file has no header, so expected an index from {-width} to {width - 1}"
            )
        if column in columns:
            raise sources.ConversionError(
                f"{path}: --targets {','.join(targets)}: names column {column} twice"
            )
        columns.append(column)
    return columns


def _as_dtype(
    path: Path,
    numbers: Sequence[int],
    columns: list[int],
    table: np.ndarray,
    dtype: np.dtype,
) -> np.ndarray:
    """The table in a dtype that holds all of it: integers exactly, floats rounded but not overflowing."""
    with np.errstate(invalid="ignore", over="ignore"):
        cast = table.astype(dtype)
    held = cast == table if dtype.kind == "u" else np.isfinite(cast) == np.isfinite(table)
    if not held.all():
        row, column = np.argwhere(~held)[0]
        raise sources.ConversionError(
            f"{path}: line {numbers[row]}, column {columns[column]} holds {table[row, column]:g}, which {dtype.name} cannot hold; "
            "choose another --dtype (columns count from 0)"
        )
    return cast
