"""Columns as people name them: a dataset, some of its columns or fields, or several of these side by side.

"x" is a dataset, "/other/x" one in a different group; "jets[pt,eta]" are fields of a compound dataset, "x[0:4,7]"
columns by number, and by name where the dataset has the attribute `columns`.
"""

import re
from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np

from distmlp.data import opening
from distmlp.data.packing import Packing, packing_of
from distmlp.data.rows import RowReader
from distmlp.errors import InputError

#: Different texts that are still taken for the names of classes.
_MOST_CLASSES = 2**16

_CHOSEN = re.compile(r"(.+)\[([^\[\]]+)\]")


class Selected:
    """Some columns of one dataset, as numbers.

    row, dtype, shape, chunks: as of a dataset that has only them.  stored: the dataset.  packing: what its attributes
    say.
    """

    def __init__(self, stored: h5py.Dataset, chosen: list[str] | list[int] | None) -> None:
        self.stored, self._chosen = stored, chosen
        self.packing = packing_of(stored) if stored.dtype.kind in "iuf" else Packing()
        self._reader = RowReader(stored)
        if chosen is None:
            self.row, kind = stored.shape[1:], stored.dtype
        else:
            self.row = () if len(chosen) == 1 else (len(chosen),)
            fields = [stored.dtype[name] for name in chosen if isinstance(name, str)]
            kind = np.result_type(*fields) if fields else stored.dtype
        self.dtype = np.dtype(np.float64) if self._unpacks(kind) else np.dtype(kind)
        self.shape = (stored.shape[0], *self.row)
        self.chunks = stored.chunks and (stored.chunks[0], *self.row)

    @property
    def names(self) -> list[str] | None:
        """What the file calls its columns, None where it has no names for them."""
        named, chosen = names_in(self.stored, "columns"), self._chosen
        if chosen is None:
            return named
        if isinstance(chosen[0], str):
            return [str(name) for name in chosen]
        return named and [named[int(place)] for place in chosen]

    @property
    def plain(self) -> "RowReader | Selected":
        """What reads its rows: the dataset's own reader where nothing is chosen or unpacked."""
        return self if self._chosen is not None or self.dtype != self.stored.dtype else self._reader

    def _unpacks(self, kind: np.dtype) -> bool:
        return not self.packing.is_plain and kind.kind in "iuf"

    def read(self, start: int, out: np.ndarray) -> None:
        """The rows from `start` on, into out.  Raises OSError."""
        found = self._raw(start, len(out))
        if self._unpacks(self.stored.dtype):
            found = self.packing.decoded(found)
        out[...] = found.reshape(out.shape)

    def _raw(self, start: int, rows: int) -> np.ndarray:
        """The chosen columns as stored."""
        chosen = self._chosen
        if chosen and isinstance(chosen[0], str):
            table = self.stored.fields(chosen)[start : start + rows]
            return np.column_stack([table[name] for name in chosen])
        whole = np.empty((rows, *self.stored.shape[1:]), self.stored.dtype)
        self._reader.read(start, whole)
        return whole if chosen is None else whole.reshape(rows, -1)[:, np.array(chosen)]


class SideBySide:
    """Columns of several datasets, one after another: what `Selected` is, of a list of them."""

    def __init__(self, parts: Sequence[Any], spec: str) -> None:
        self.parts = parts
        rows = {part.shape[0] for part in parts}
        if len(rows) > 1:
            names = ", ".join(f"{part.stored.name} has {part.shape[0]}" for part in parts)
            raise InputError(f"{spec}: columns of one sample have different rows: {names}")
        self._widths = [int(np.prod(part.row)) for part in parts]
        self.row = (sum(self._widths),)
        self.dtype = np.result_type(*(part.dtype for part in parts))
        self.shape = (rows.pop(), *self.row)
        self.chunks = parts[0].chunks and (parts[0].chunks[0], *self.row)

    @property
    def names(self) -> list[str] | None:
        """What the file calls the columns, a dataset of one column by its own name; None where some have no name."""
        found: list[str] = []
        for part, width in zip(self.parts, self._widths, strict=True):
            own = part.stored.name.rpartition("/")[2]
            named = part.names or ([own] if width == 1 else None)
            if named is None:
                return None
            found += named
        return found

    def read(self, start: int, out: np.ndarray) -> None:
        """The rows from `start` on, into out, (rows, columns).  Raises OSError."""
        place = 0
        for part, width in zip(self.parts, self._widths, strict=True):
            made = np.empty((len(out), *part.row), part.dtype)
            part.read(start, made)
            out[:, place : place + width] = made.reshape(len(out), width)
            place += width


class AsClasses:
    """Targets of whole numbers, stored as whatever they are, as classes: (n,) int64; −1 for what is no whole number."""

    row: tuple[int, ...] = ()
    dtype = np.dtype(np.int64)

    def __init__(self, inner: "Selected | SideBySide") -> None:
        self._inner, self.shape, self.chunks = inner, (inner.shape[0],), None
        self.stored = getattr(inner, "stored", None)
        self.names: list[str] | None = None

    def read(self, start: int, out: np.ndarray) -> None:
        """The rows from `start` on, into out.  Raises OSError."""
        made = np.empty((len(out), *self._inner.row), self._inner.dtype)
        self._inner.read(start, made)
        numbers = made.reshape(len(out))
        with np.errstate(invalid="ignore"):
            whole = numbers.astype(np.int64)
        out[...] = np.where(whole == numbers, whole, -1)


class Names:
    """Targets of text as classes, (n,) int64: their places among the names.

    names: the texts that there are, sorted.  stored: a dataset that holds them.
    """

    row: tuple[int, ...] = ()
    dtype = np.dtype(np.int64)
    chunks = None

    def __init__(self, stored: h5py.Dataset, names: list[str], codes: np.ndarray) -> None:
        self.stored, self.names, self._codes = stored, names, codes
        self.shape = (len(codes),)

    @classmethod
    def of(cls, stored: h5py.Dataset, spec: str) -> "Names":
        """The texts of a dataset, one a row.  Raises InputError where they are too many to be classes."""
        text = stored.asstr() if h5py.check_string_dtype(stored.dtype) else stored
        found = np.asarray(text[...]).astype(str).reshape(stored.shape[0])
        there, codes = np.unique(found, return_inverse=True)
        if len(there) > _MOST_CLASSES:
            raise InputError(
                f"{spec}: {stored.name} has {len(there)} different texts; expected classes"
            )
        return cls(stored, [str(name) for name in there], codes.astype(np.int64))

    @classmethod
    def together(cls, parts: "Sequence[Names]") -> "Names":
        """The texts of several datasets, one after another, as one dataset has them."""
        names = sorted({name for part in parts for name in part.names})
        place = {name: number for number, name in enumerate(names)}
        codes = [np.array([place[n] for n in part.names], np.int64)[part._codes] for part in parts]
        return cls(parts[0].stored, names, np.concatenate(codes))

    def read(self, start: int, out: np.ndarray) -> None:
        """The rows from `start` on, into out."""
        out[...] = self._codes[start : start + len(out)]


def names_in(stored: h5py.Dataset, key: str) -> list[str] | None:
    """The texts of an attribute, None where it has none."""
    found = stored.attrs.get(key)
    if not isinstance(found, np.ndarray) or found.ndim != 1 or found.dtype.kind not in "OSU":
        return None
    return [
        name.decode(errors="replace") if isinstance(name, bytes) else str(name) for name in found
    ]


def parts_of(columns: Any) -> list[Any]:
    """What reads a dataset each, of columns that may be None."""
    return [part for part in getattr(columns, "parts", [columns]) if part is not None]


def row_bytes(columns: Any) -> int:
    """Bytes of a row of columns that may be None."""
    return 0 if columns is None else int(np.prod(columns.row)) * columns.dtype.itemsize


def target_names_of(y: Any, classes: bool) -> list[str] | None:
    """What the file calls the classes, or the columns, of targets that may be None."""
    if y is None or isinstance(y, Names) or not classes:
        return None if y is None else y.names
    stored = getattr(y, "stored", None)  # none of several datasets side by side
    return None if stored is None else names_in(stored, "classes")


def target_columns_of(y: Any, classes: bool) -> list[str] | None:
    """What the file calls the columns of targets that may be None, of classes too."""
    if y is None or not (classes or isinstance(y, Names)):
        return target_names_of(y, classes)
    stored = getattr(y, "stored", None)
    return None if stored is None else names_in(stored, "columns")


def are_classes(y: Any, outputs: int, output: str, how: str, spec: str) -> bool:
    """Whether targets y are classes to a network with so many outputs.

    output: its last activation.  how: "classes", "numbers", or "auto": whole numbers (n,) are classes, and so is any
    column where there is more than one output.  Raises InputError.
    """
    column, whole = int(np.prod(y.row)) == 1, y.dtype.kind in "iub"
    if how == "classes" and not column:
        raise InputError(
            f'{spec}: data.targets_are is "classes", but the targets have the shape {y.shape}, and expected one column'
        )
    if how != "auto" or not column:
        return how == "classes"
    return outputs > 1 or (whole and (len(y.shape) == 1 or output == "sigmoid"))


def columns_in(
    file: h5py.File, spec: str, group: str, names: str | Sequence[str]
) -> Selected | SideBySide:
    """The columns of that name, or of these names side by side.  Raises InputError."""
    if isinstance(names, str):
        return _selected(file, spec, group, names)
    return SideBySide([_selected(file, spec, group, name) for name in names], spec)


def targets_in(
    file: h5py.File,
    spec: str,
    group: str,
    names: str | Sequence[str],
) -> Selected | SideBySide | Names:
    """The targets of that name, or of these names; text becomes classes.  Raises InputError."""
    if isinstance(names, str) and _CHOSEN.fullmatch(names) is None:
        stored = opening.dataset_in(file, spec, group, names)
        is_text = stored.dtype.kind == "S" or h5py.check_string_dtype(stored.dtype) is not None
        if is_text and stored.ndim and stored.size == stored.shape[0]:
            return Names.of(stored, spec)
    return columns_in(file, spec, group, names)


def _selected(file: h5py.File, spec: str, group: str, text: str) -> Selected:
    matched = _CHOSEN.fullmatch(text)
    if matched is None or text in opening.group_in(file, spec, group):
        stored = opening.dataset_in(file, spec, group, text)
        if stored.dtype.kind == "V" and stored.dtype.names:
            raise InputError(
                f"{opening.place_of(spec, text)} has the fields {', '.join(stored.dtype.names)}: expected which of them, such as "
                f'"{text}[{",".join(stored.dtype.names[:2])}]"'
            )
        return Selected(opening.real(stored, opening.place_of(spec, text)), None)
    stored = opening.dataset_in(file, spec, group, matched[1])
    words = [word.strip() for word in matched[2].split(",")]
    if stored.dtype.names:
        for word in words:
            if word not in stored.dtype.names:
                raise InputError(
                    f"{opening.place_of(spec, matched[1])} has no field {word!r}; it has {', '.join(stored.dtype.names)}"
                )
        return Selected(stored, words)
    opening.real(stored, opening.place_of(spec, matched[1]))
    width = int(np.prod(stored.shape[1:]))
    named = names_in(stored, "columns") or []
    chosen: list[int] = []
    for word in words:
        chosen += _numbers(word, width, named, opening.place_of(spec, text))
    return Selected(stored, chosen)


def _numbers(word: str, width: int, named: list[str], where: str) -> list[int]:
    """The columns that one word names: a column's name, its number, or a range of numbers."""
    if word in named:
        return [named.index(word)]
    first, colon, last = word.partition(":")
    try:
        if not colon:
            return [range(width)[int(word)]]
        found = list(
            range(width)[slice(*(int(end) if end.strip() else None for end in (first, last)))]
        )
    except (ValueError, IndexError):
        found = []
    if not found:
        has = f"columns {', '.join(named)}" if named else f"columns 0 to {width - 1}"
        raise InputError(f"{where}: there is no column {word}; the dataset has {has}")
    return found
