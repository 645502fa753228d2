"""What is in a file: its datasets, and by column what the numbers of a set are, with what is doubtful about them."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from distmlp.data import opening, several_files
from distmlp.data.conversion.columns import cure_of_text, shown
from distmlp.data.conversion.kinds import is_table, table_of
from distmlp.data.conversion.options import TableOptions
from distmlp.data.conversion.tables import Table, block_rows, look, numbers_in
from distmlp.data.data_warnings import are_likely_numbers, doubts
from distmlp.data.dataset import DataSet, blocks_of
from distmlp.data.statistics import ColumnStatistics
from distmlp.errors import InputError

#: Different values of a column that are counted.
MOST_DISTINCT = 1000
#: Numbers beyond this are infinite to the statistics, which square them.
_LARGEST = 2.0**480


def check_there(spec: str) -> None:
    """Raises InputError where a spec is a directory, or no file's name and without a colon.

    Groups, and the files of a pattern, are looked for when they are opened.
    """
    path, expected = Path(spec), "expected FILE.h5:/group, FILE.h5 or a table"
    if path.is_dir():
        raise InputError(f"{spec}: is a directory; {expected}")
    if ":" not in spec and not path.is_file():
        raise InputError(f"{spec}: no such file; {expected}")


def describe(
    spec: str, inputs: str = "x", targets: str = "y", options: TableOptions | None = None
) -> dict[str, Any]:
    """What a file holds, as one JSON-like object.  Raises InputError.

    spec: "FILE.h5:/group", also with * in the name, for the rows of several files, whose first one is described;
    "FILE.h5" for all of its sets, or a table that convert takes.

    file: its datasets, as {name, shape, dtype, chunks, filters}.  sets: of each group with inputs and, where there are
    any, targets: {spec, rows, columns, targets, classes, doubtful}; a column is {name, least, most, mean, spread,
    missing, infinite, distinct, constant}, where distinct is None above 1000, and numbers are None where there are none.
    """
    path = Path(spec)
    if path.is_file() and is_table(path):
        return {"file": [], "sets": [_table(spec, table_of(path, options or TableOptions()))]}
    group, names = None, [spec]
    if not path.is_file():
        check_there(spec)
        names = several_files.named(spec)
        path, group = opening.parted(names[0])
    with opening.opened(path, spec) as file:
        if group is not None and group not in file:
            opening.dataset_in(file, spec, group, inputs)  # which says what there is
        datasets = _datasets(file[group or "/"])
        groups = [group] if group else _groups(file, inputs)
        sets = [spec if len(names) > 1 else f"{path}:{name}" for name in groups]
        with_targets = [targets in file[name] for name in groups]
    described = [
        _set(name, inputs, targets if there else None)
        for name, there in zip(sets, with_targets, strict=True)
    ]
    return {"file": datasets, "sets": described}


def _datasets(group: h5py.Group) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    def note(_: str, thing: Any) -> None:
        if isinstance(thing, h5py.Dataset):
            found.append(
                {
                    "name": thing.name,
                    "shape": list(thing.shape) if thing.shape is not None else None,
                    "dtype": str(thing.dtype),
                    "chunks": list(thing.chunks) if thing.chunks else None,
                    "filters": _filters(thing),
                }
            )

    group.visititems(note)
    return found


def _filters(dataset: h5py.Dataset) -> list[str]:
    plist = dataset.id.get_create_plist()
    found = [plist.get_filter(i) for i in range(plist.get_nfilters())]
    return [name.decode(errors="replace") or f"filter {code}" for code, _, _, name in found]


def _groups(file: h5py.File, inputs: str) -> list[str]:
    """The groups that have a dataset of the inputs' name."""
    return [
        name
        for name in ["/", *_all_groups(file)]
        if inputs in file[name] and isinstance(file[name][inputs], h5py.Dataset)
    ]


def _all_groups(file: h5py.File) -> list[str]:
    names: list[str] = []
    file.visititems(
        lambda name, thing: names.append(f"/{name}") if isinstance(thing, h5py.Group) else None
    )
    return names


class _Columns:
    """What columns of numbers are, from blocks of their rows."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.statistics = ColumnStatistics(len(names))
        self.rows = 0
        self.infinite = np.zeros(len(names), np.int64)
        self.distinct: list[set[float] | None] = [set() for _ in names]
        self.rising = np.full(len(names), True)
        self._last = np.full(len(names), -np.inf)

    def add(self, x: np.ndarray) -> None:
        """Takes in rows (n, columns)."""
        x = x.astype(np.float64)
        with np.errstate(invalid="ignore"):
            too_large = np.abs(x) > _LARGEST
            steps = (
                np.diff(x, axis=0, prepend=self._last[None]) if self.rows else np.diff(x, axis=0)
            )
            self.rising &= (steps == 1).all(axis=0) & ~np.isnan(x).any(axis=0)
        self.infinite += too_large.sum(axis=0)
        x[too_large] = np.nan
        self.statistics.add(x)
        self._last = x[-1].copy()
        self.rows += len(x)
        for column, seen in enumerate(self.distinct):
            if seen is not None:
                seen.update(np.unique(x[~np.isnan(x[:, column]), column]).tolist())
                if len(seen) > MOST_DISTINCT:
                    self.distinct[column] = None

    def described(self) -> list[dict[str, Any]]:
        """One object a column."""
        s = self.statistics
        means, deviations = s.means(), s.deviations()
        columns = []
        for i, name in enumerate(self.names):
            seen, least, most = self.distinct[i], float(s.lows[i]), float(s.highs[i])
            columns.append(
                {
                    "name": name,
                    "least": _finite(least),
                    "most": _finite(most),
                    "mean": _finite(float(means[i])),
                    "spread": _finite(float(deviations[i])),
                    "missing": self.rows - int(s.count[i]) - int(self.infinite[i]),
                    "infinite": int(self.infinite[i]),
                    "distinct": None if seen is None else len(seen),
                    "constant": least == most,
                    "numbers_rows": bool(self.rising[i]) and self.rows > 2,
                }
            )
        return columns


def _finite(x: float) -> float | None:
    return x if math.isfinite(x) else None


def _set(spec: str, inputs: str, targets: str | None) -> dict[str, Any]:
    with DataSet(spec, inputs, targets) as data:
        names, target_names, class_names = _names(data)
        columns, desired = _Columns(names), _Columns(target_names)
        classes: Counter[int] = Counter()
        for block in blocks_of(data, range(data.rows)):
            x, y = data.read([block])
            columns.add(x)
            if y is not None and data.classes:
                values, counts = np.unique(y, return_counts=True)
                classes.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
            elif y is not None:
                desired.add(y.reshape(len(y), -1))
        dtype = str(data.input_dtype)
    called = {
        class_names[c] if 0 <= c < len(class_names) else str(c): classes[c] for c in sorted(classes)
    }
    found = {
        "spec": spec,
        "rows": columns.rows,
        "dtype": dtype,
        "columns": columns.described(),
        "targets": desired.described() if desired.rows else [],
        "classes": called,
        "least_class": min(classes, default=None),
        "most_class": max(classes, default=None),
        "likely_numbers": bool(classes)
        and not class_names
        and are_likely_numbers(min(classes), max(classes), columns.rows),
    }
    return {**found, "doubtful": doubts(found, gaps=not class_names)}


def _names(data: DataSet) -> tuple[list[str], list[str], list[str]]:
    """The names of inputs, targets and classes, where the file has some; else numbers."""
    outputs, named = data.outputs or 0, data.target_names or []
    return (
        data.column_names or [str(i) for i in range(data.width)],
        named if not data.classes and len(named) == outputs else [str(i) for i in range(outputs)],
        named if data.classes else [],
    )


def _table(spec: str, table: Table) -> dict[str, Any]:
    rows, found = look(table)
    if rows == 0:
        raise InputError(f"{spec}: has a header but no rows; expected numbers below it")
    numeric = [i for i, column in enumerate(found) if column.kind == "number"]
    numbers = _Columns([table.called(i) for i in numeric])
    for block in _number_blocks(table, numeric) if numeric else ():
        numbers.add(block)
    described = dict(zip(numeric, numbers.described(), strict=True)) if numeric else {}
    columns = []
    for i, column in enumerate(found):
        text: dict[str, Any] = {
            "name": table.called(i),
            "text": dict(column.values.most_common(10)),
            "missing": column.missing,
            "infinite": 0,
            "distinct": len(column.values),
            "constant": len(column.values) == 1,
            "numbers_rows": False,
            **dict.fromkeys(("least", "most", "mean", "spread")),
        }
        columns.append(described.get(i, text))
    whole: dict[str, Any] = {"spec": spec, "rows": rows, "dtype": "table", "columns": columns}
    whole |= {"targets": [], "classes": {}, "notes": list(table.notes)}
    # A last column of text is the target, unless an option names a different one.
    worded = [table.called(i) for i, column in enumerate(found[:-1]) if column.is_text]
    more = (
        [f"{shown(worded)}: text, which is no input as it is; {cure_of_text(worded)}"]
        if worded
        else []
    )
    return {**whole, "doubtful": doubts(whole, gaps=False) + more}


def _number_blocks(table: Table, columns: list[int]) -> Iterator[np.ndarray]:
    for block in table.blocks(block_rows(table.width), columns, frozenset()):
        yield np.stack([numbers_in(table, values) for values in block], axis=1)
