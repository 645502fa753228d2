"""Parquet: pyarrow reads it, a batch of rows at a time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from distmlp.data.conversion import sources
from distmlp.data.conversion.tables import Table

#: What pandas calls an index that has no name.
_INDEX = "__index_level_"


def table(path: Path) -> Table:
    """The table in a Parquet file.  Raises ConversionError."""
    arrow = sources.imported("pyarrow", path)
    parquet = sources.imported("pyarrow.parquet", path)
    with _opened(path, arrow, parquet) as file:
        schema = file.schema_arrow
    names = tuple("" if name.startswith(_INDEX) else name for name in schema.names)

    def blocks(rows: int, only: Sequence[int], text: frozenset[int]) -> Iterator[list[np.ndarray]]:
        with _opened(path, arrow, parquet) as file:
            wanted = [schema.names[column] for column in only]
            for batch in file.iter_batches(batch_size=rows, columns=wanted):
                by_name = dict(zip(batch.schema.names, batch.columns, strict=True))
                yield [
                    _values(by_name[name], column in text)
                    for name, column in zip(wanted, only, strict=True)
                ]

    def place(row: int, column: int) -> tuple[str, str]:
        start = 0
        for (values,) in blocks(2**16, [column], frozenset()):
            if row < start + len(values):
                value = values[row - start]
                return f"row {row}, column {column}", "" if value is None else str(value)
            start += len(values)
        raise IndexError(row)

    return Table(str(path), len(names), names, blocks, place)


@contextmanager
def _opened(path: Path, arrow: Any, parquet: Any) -> Iterator[Any]:
    try:
        with sources.reading(path), parquet.ParquetFile(path) as file:
            yield file
    except arrow.ArrowException as error:
        raise sources.ConversionError(
            f"{path}: is no whole Parquet file: {error}; copy or download it again"
        ) from None


def _values(column: Any, as_text: bool) -> np.ndarray:
    """A column as numbers or, with cells missing, of text, dates or lists, as text."""
    kind = str(column.type)
    if kind.startswith("dictionary"):
        column = column.dictionary_decode()
        kind = str(column.type)
    numeric = kind.startswith(("int", "uint", "float", "double", "halffloat", "decimal"))
    if numeric and not column.null_count and not as_text and not kind.startswith("decimal"):
        return column.to_numpy(zero_copy_only=False)
    cells = np.empty(len(column), object)
    cells[:] = [None if cell is None else str(cell) for cell in column.to_pylist()]
    return cells
