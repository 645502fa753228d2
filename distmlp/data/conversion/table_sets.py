"""A table, or one of inputs beside one of targets, as a set: what its columns become, and what is said of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from distmlp.data.conversion import sources
from distmlp.data.conversion.columns import Choice, Input, chosen, cure_of_text, numbers_of, shown
from distmlp.data.conversion.options import CSV_DTYPES, TableOptions
from distmlp.data.conversion.tables import (
    NANS,
    Column,
    Table,
    block_rows,
    is_missing,
    joined,
    look,
    numbers_in,
)
from distmlp.data.data_warnings import are_likely_numbers
from distmlp.wording import counted


@dataclass(frozen=True)
class _Targets:
    """columns: which; classes: names, () where the numbers themselves are the classes, None for no classes."""

    columns: tuple[int, ...]
    classes: tuple[str, ...] | None


def table_set(table: Table, options: TableOptions) -> sources.SourceSet:
    """The set that a table holds.  Raises ConversionError."""
    if options.dtype is not None and options.dtype not in CSV_DTYPES:
        raise sources.ConversionError(
            f"--dtype {options.dtype}: expected one of {', '.join(CSV_DTYPES)}"
        )
    by_name = _named_targets(table, options)
    rows, columns = look(table, by_name)
    if rows == 0:
        raise sources.ConversionError(
            f"{table.name}: has a header but no rows; expected numbers below it"
        )
    if columns[-1].missing and options.missing != "refuse":
        table.check()
    choice = chosen(table, columns, options)
    if options.by_name or options.classes:
        more = frozenset(choice.targets) - by_name
        if more:
            rows, columns = look(table, frozenset(choice.targets))
    for given in choice.inputs:
        _check_input(table, columns, given, choice, options)
    targets = _targets(table, columns, choice, options)
    kept = rows
    if options.missing == "drop":
        used = _used(choice)
        kept = sum(
            len(block[0]) - int(lost.sum())
            for block, lost in _without(table, used, columns, targets)
        )
        if kept == 0:
            raise sources.ConversionError(
                f"{table.name}: --missing drop leaves no row: each lacks a cell"
            )
    return _as_set(table, columns, choice, targets, options, rows, kept)


def _named_targets(table: Table, options: TableOptions) -> frozenset[int]:
    """Target columns that are known before the table is read, and whose values are names."""
    if not (options.by_name or options.classes) or options.targets is None:
        return frozenset()
    return frozenset(numbers_of(table, "--targets", options.targets))


def _used(choice: Choice) -> list[int]:
    return sorted({*(given.column for given in choice.inputs), *choice.targets})


def _check_input(
    table: Table, columns: list[Column], given: Input, choice: Choice, options: TableOptions
) -> None:
    column = columns[given.column]
    _check_missing(table, column, given.column, options)
    if given.value is not None:
        return
    if column.is_text:
        assert column.first_text is not None
        where, cell = table.place(column.first_text, given.column)
        text = [i.name for i in choice.inputs if i.value is None and columns[i.column].is_text]
        raise sources.ConversionError(
            f"{table.name}: {where} holds {cell!r}, but expected a number (columns count from 0); {cure_of_text(text)}"
        )
    if column.kind == "empty":
        raise sources.ConversionError(
            f"{table.name}: {given.name} has no value in any row; --drop {given.name} leaves the column out"
        )


def _check_missing(table: Table, column: Column, number: int, options: TableOptions) -> None:
    if not column.missing or options.missing != "refuse":
        return
    assert column.first_missing is not None
    where, cell = table.place(column.first_missing, number)
    missing = counted(column.missing, "cell")
    raise sources.ConversionError(
        f"{table.name}: {where} holds {cell!r}, but expected a number (columns count from 0); missing from "
        f"{table.called(number)}: {missing}; --missing drop leaves such rows out, "
        "--missing keep stores NaN"
    )


def _targets(
    table: Table, columns: list[Column], choice: Choice, options: TableOptions
) -> _Targets | None:
    if not choice.targets:
        return None
    for number in choice.targets:
        _check_missing(table, columns[number], number, options)
    first = columns[choice.targets[0]]
    alone = len(choice.targets) == 1
    if alone and (options.by_name or options.classes or first.kind in ("text", "flag")):
        if options.missing == "keep" and first.missing:
            raise sources.ConversionError(
                f"{table.name}: {table.called(choice.targets[0])} lacks {first.missing} cells, and no class can be missing; --missing drop leaves such rows out"
            )
        found = tuple(sorted(set(first.values) - NANS, key=_order))
        if options.classes and (unknown := [name for name in found if name not in options.classes]):
            raise sources.ConversionError(
                f"{table.name}: {table.called(choice.targets[0])} holds {unknown[0]!r}, but the classes are {shown(list(options.classes))}"
            )
        return _Targets(choice.targets, tuple(options.classes or found))
    for number in choice.targets:
        if columns[number].kind not in ("number", "flag"):
            row = columns[number].first_text
            where, cell = table.place(row or 0, number)
            raise sources.ConversionError(
                f"{table.name}: {where} holds {cell!r}, but expected a number (columns count from 0); --classes takes a target's values as names of classes"
            )
    lacking = (first.nans or first.missing) and options.missing != "drop"
    whole = alone and first.whole and not lacking and not options.regression
    if whole and not options.of_network:
        _check_few_classes(table, first, choice.targets[0])
    return _Targets(choice.targets, () if whole else None)


def _check_few_classes(table: Table, column: Column, number: int) -> None:
    """Raises ConversionError for whole numbers that are likely to be no classes."""
    # what is below 0 is refused with its row
    if are_likely_numbers(0, column.most, column.numbers):
        raise sources.ConversionError(
            f"{table.name}: {table.called(number)} holds whole numbers up to {column.most:.0f}, of {column.numbers} rows; "
            "--regression takes them as numbers to be approached, --classes as names of classes"
        )


def _order(name: str) -> tuple[float, str]:
    """Names in order: numbers by size, then others by letters."""
    try:
        return float(name), name
    except ValueError:
        return float("inf"), name


def _without(
    table: Table, used: list[int], columns: list[Column], targets: _Targets | None
) -> Iterator[tuple[list[np.ndarray], np.ndarray]]:
    """(columns, which rows lack a cell) of each block."""
    text = _text(columns, used, targets)
    for block in table.blocks(block_rows(table.width), used, text):
        lost = np.zeros(len(block[0]), bool)
        for values in block:
            if values.dtype.kind == "f":
                lost |= np.isnan(values)
            elif values.dtype.kind == "O":
                gone = {v: is_missing(v) or str(v).strip() in NANS for v in set(values.tolist())}
                lost |= np.array([gone[v] for v in values.tolist()], bool)
        yield block, lost


def _text(columns: list[Column], used: Sequence[int], targets: _Targets | None) -> frozenset[int]:
    """The columns that are read as text: those of names and categories."""
    found = {n for n in used if columns[n].texts}
    return frozenset(found | set(targets.columns if targets and targets.classes else ()))


def _as_set(
    table: Table,
    columns: list[Column],
    choice: Choice,
    targets: _Targets | None,
    options: TableOptions,
    rows: int,
    kept: int,
) -> sources.SourceSet:
    used = _used(choice)
    x_dtype = np.dtype(options.dtype or "float64").newbyteorder("<")
    text = _text(columns, used, targets)

    def read(at_once: int) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        row = 0
        blocks = table.blocks(at_once, used, text) if kept == rows else None
        pairs = ((b, None) for b in blocks) if blocks else _without(table, used, columns, targets)
        for block, lost in pairs:
            by_number = dict(zip(used, block, strict=True))
            x = np.stack([_input(table, by_number[i.column], i) for i in choice.inputs], axis=1)
            y = None if targets is None else _desired(table, by_number, targets)
            left = np.arange(len(x)) if lost is None else np.flatnonzero(~lost)
            yield (
                _as_dtype(table, row + left, [i.column for i in choice.inputs], x[left], x_dtype),
                None if y is None else y[left],
            )
            row += len(block[0])

    notes = list(choice.words)
    if kept < rows:
        notes.append(f"left out  {rows - kept} of {rows} rows, which lack a cell")
    plain = [(given.name, columns[given.column]) for given in choice.inputs if given.value is None]
    holes = [f"{name} ({c.missing + c.nans})" for name, c in plain if c.missing or c.nans]
    if holes and options.missing != "drop":
        notes.append(f'NaN       {shown(holes)}; data.missing = "mean" fills them')
    classes = targets is not None and targets.classes is not None
    names = None if table.names is None else tuple(given.name for given in choice.inputs)
    target_names = (
        None if table.names is None or not targets else tuple(map(table.called, targets.columns))
    )
    return sources.SourceSet(
        kept,
        (len(choice.inputs),),
        x_dtype,
        None if classes or targets is None else len(targets.columns),
        None if targets is None else np.dtype("<i8") if classes else np.dtype("<f8"),
        lambda at_once: sources.of_size(read(block_rows(table.width)), at_once),
        "; ".join(table.notes),
        columns=names,
        target_columns=target_names,
        class_names=targets.classes or None if targets else None,
        words=tuple(notes),
    )


def _input(table: Table, values: np.ndarray, given: Input) -> np.ndarray:
    if given.value is not None:
        return np.array([str(v).strip() == given.value for v in values.tolist()], np.float64)
    if values.dtype.kind == "O":
        known = {"true": 1.0, "false": 0.0}
        words = {str(v).strip().lower() for v in values.tolist() if not is_missing(v)}
        if words <= known.keys():
            return np.array([known.get(str(v).strip().lower(), np.nan) for v in values.tolist()])
    return numbers_in(table, values)


def _desired(table: Table, by_number: dict[int, np.ndarray], targets: _Targets) -> np.ndarray:
    if targets.classes:
        index = {name: number for number, name in enumerate(targets.classes)}
        cells = by_number[targets.columns[0]].tolist()
        return np.array([index.get(str(cell).strip(), -1) for cell in cells], np.int64)
    parts = [_input(table, by_number[n], Input(n, "")) for n in targets.columns]
    if targets.classes is None:
        return np.stack(parts, axis=1)
    with np.errstate(invalid="ignore"):  # a row that lacks its class is dropped
        return parts[0].astype(np.int64)


def _as_dtype(
    table: Table, rows: np.ndarray, columns: list[int], x: np.ndarray, dtype: np.dtype
) -> np.ndarray:
    """Inputs in a dtype that holds all of them: integers exactly, floats rounded but not overflowing."""
    with np.errstate(invalid="ignore", over="ignore"):
        cast = x.astype(dtype)
    held = cast == x if dtype.kind == "u" else np.isfinite(cast) == np.isfinite(x)
    if not held.all():
        i, j = np.argwhere(~held)[0]
        where, _ = table.place(int(rows[i]), columns[j])
        raise sources.ConversionError(
            f"{table.name}: {where} holds {x[i, j]:g}, which {dtype.name} cannot hold; choose another --dtype (columns count from 0)"
        )
    return cast


def joined_set(x: Table, y: Table, options: TableOptions) -> sources.SourceSet:
    """The set of inputs from one table and targets from another, row for row.  Raises ConversionError.

    --targets and --inputs name columns of the second and the first; by default all are taken.
    """
    if options.targets is None:
        _, columns = look(y)
        targets = [
            n for n in range(y.width) if not (y.names and not y.names[n] and columns[n].counts_rows)
        ]
    else:
        targets = numbers_of(y, "--targets", options.targets)
    left = [str(x.width + n) for n in range(y.width) if n not in targets]
    dropped = [str(n) for n in numbers_of(x, "--drop", options.drop)]
    chosen_targets = [str(x.width + n) for n in targets]
    return table_set(joined(x, y), replace(options, targets=chosen_targets, drop=[*dropped, *left]))
