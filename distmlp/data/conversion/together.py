"""Several tables as one: below one another, or side by side."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from distmlp.data.conversion import sources
from distmlp.data.conversion.tables import Table, block_rows, joined


def several(tables: list[Table]) -> Table:
    """Tables with the same columns below one another, or with different ones side by side.  Raises ConversionError."""
    if any(set(t.names or ()) != set(tables[0].names or ()) for t in tables):
        return _beside(tables)
    return below(tables)


def below(tables: list[Table]) -> Table:
    """Tables with the same columns, whose order may differ where they have names.  Raises ConversionError."""
    first = tables[0]
    for t in tables[1:]:
        if sorted(t.names or ()) != sorted(first.names or ()) or t.width != first.width:
            raise sources.ConversionError(
                f"{t.name}: has the columns {_few(t)}, but {first.name} has {_few(first)}; expected the same of all"
            )
    orders = [
        [t.names.index(name) for name in first.names]
        if t.names and first.names
        else list(range(t.width))
        for t in tables
    ]

    def blocks(rows: int, only: Sequence[int], text: frozenset[int]) -> Iterator[list[np.ndarray]]:
        for t, order in zip(tables, orders, strict=True):
            words = frozenset(order[c] for c in text)
            yield from t.blocks(rows, [order[c] for c in only], words)

    def place(row: int, column: int) -> tuple[str, str]:
        for t, order in zip(tables, orders, strict=True):
            there = sum(len(block[0]) for block in t.blocks(block_rows(1), [0], frozenset()))
            if row < there:
                where, cell = t.place(row, order[column])
                return f"{where} of {t.name}", cell
            row -= there
        raise IndexError(row)

    def check() -> None:
        for t in tables:
            t.check()

    return Table(
        first.name if len(tables) == 1 else f"{first.name} and {len(tables) - 1} more",
        first.width,
        first.names,
        blocks,
        place,
        first.decimal,
        (*first.notes, f"{len(tables)} files, one below another"),
        check,
        first.parted,
        first.nan_is_missing,
    )


def _few(table: Table) -> str:
    if not table.names:
        return f"0 to {table.width - 1}, without names"
    return ", ".join(table.names[:8]) + ", …" * (table.width > 8)


def _beside(tables: list[Table]) -> Table:
    names = [name for t in tables for name in t.names or ()]
    again = [name for name, count in Counter(names).items() if count > 1]
    if again:
        raise sources.ConversionError(
            f"{tables[0].name} and others have {again[0]} in common, but not all variables; expected the same ones, or different ones"
        )
    whole = tables[0]
    for t in tables[1:]:
        whole = joined(whole, t)
    return whole
