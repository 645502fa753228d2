"""Excel workbooks (.xlsx): openpyxl reads them, a row at a time."""

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from distmlp.data.conversion import sources
from distmlp.data.conversion.dialects import number_of
from distmlp.data.conversion.options import TableOptions
from distmlp.data.conversion.tables import MISSING, Table


def table(path: Path, options: TableOptions) -> Table:
    """The table on a sheet of a workbook, by default its first.  Raises ConversionError."""
    with _rows(path, options.sheet) as (titles, rows):
        first = next(rows, (0, ()))
    line, cells = first
    if not cells:
        raise sources.ConversionError(f"{path}: the sheet is empty; expected rows of numbers")
    names = [_text(cell) for cell in cells]
    header = options.header == "yes" or (
        options.header == "auto"
        and any(number_of(name) is None and name not in MISSING for name in names)
    )
    notes = [f"row {line} of {path.name} was taken as the names of the columns"] if header else []
    if options.sheet is None and len(titles) > 1:
        notes.append(f"sheet {titles[0]!r} of {len(titles)}; --sheet names another")

    def blocks(rows: int, only: Sequence[int], text: frozenset[int]) -> Iterator[list[np.ndarray]]:
        with _rows(path, options.sheet) as (_, found):
            lines = islice(found, int(header), None)
            while block := list(islice(lines, rows)):
                for number, cells in block:
                    if len(cells) > len(names):
                        raise sources.ConversionError(
                            f"{path}: row {number} has {len(cells)} columns, but the first has {len(names)}; expected as many"
                        )
                yield [_column([_at(cells, c) for _, cells in block], c in text) for c in only]

    def place(row: int, column: int) -> tuple[str, str]:
        with _rows(path, options.sheet) as (_, found):
            number, cells = next(islice(found, row + int(header), None))
        return f"row {number}, column {column}", _text(_at(cells, column))

    return Table(
        str(path), len(names), tuple(names) if header else None, blocks, place, notes=tuple(notes)
    )


@contextmanager
def _rows(
    path: Path, sheet: str | None
) -> Iterator[tuple[list[str], Iterator[tuple[int, tuple[object, ...]]]]]:
    """The titles of the sheets, and (row number from 1, cells up to the last that is filled) of each row with any."""
    openpyxl = sources.imported("openpyxl", path)
    try:
        with sources.reading(path):
            book = openpyxl.load_workbook(path, read_only=True, data_only=True)
            try:
                titles = book.sheetnames
                if sheet is not None and sheet not in titles:
                    raise sources.ConversionError(
                        f"{path}: --sheet {sheet}: the workbook has no such sheet; it has {', '.join(titles)}"
                    )
                yield titles, _filled(book[sheet or titles[0]])
            finally:
                book.close()
    except (openpyxl.utils.exceptions.InvalidFileException, KeyError, zipfile.BadZipFile) as error:
        raise sources.ConversionError(f"{path}: is no whole workbook: {error}") from None


def _filled(sheet: Any) -> Iterator[tuple[int, tuple[object, ...]]]:
    for number, cells in enumerate(sheet.iter_rows(values_only=True), 1):
        last = max((i for i, cell in enumerate(cells) if cell not in (None, "")), default=-1)
        if last >= 0:
            yield number, tuple(cells[: last + 1])


def _at(cells: tuple[object, ...], column: int) -> object:
    return cells[column] if column < len(cells) else None


def _text(cell: object) -> str:
    return "" if cell is None else str(cell).strip()


def _column(cells: list[object], as_text: bool) -> np.ndarray:
    if not as_text and all(type(cell) in (int, float) for cell in cells):
        return np.array(cells, np.float64)
    found = np.empty(len(cells), object)
    found[:] = [None if cell is None else str(cell) for cell in cells]
    return found
