"""Tables: columns with names or without, read in blocks, and what a first look says of each column."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

import numpy as np

from distmlp.data.conversion import sources
from distmlp.data.conversion.dialects import number_of

#: What stands in a cell that has no value.
MISSING = frozenset(
    ["", "?", "NA", "N/A", "n/a", "#N/A", "NULL", "Null", "null", "None", "none", "<NA>", "-", "."]
)
#: What numpy and pandas write for a number that is none.
NANS = frozenset(["nan", "NaN", "NAN", "-nan", "+nan"])
#: Text columns with more values than this are no categories.
_MOST_VALUES = 10_000


@dataclass(frozen=True)
class Table:
    """A table of a source.

    name: as messages say it.  names: of the columns, "" for one without; None where none has one.
    blocks(rows, only, text): the columns `only` of at most so many rows at a time, in order, as one array a column:
    of numbers, or of text where it is in `text` or some cell is no number; a missing cell may be None there.
    place(row, column): where a cell is, in words, and what it holds.  decimal: what parts a number's digits.
    notes: what the user should be told of how the table was read.  check: raises ConversionError for a row that is
    shorter than the first, whose last cells look like missing ones.  parted: " parted by commas", where they are.
    nan_is_missing: whether a NaN in a block of numbers is a missing value, and not what somebody wrote.
    """

    name: str
    width: int
    names: tuple[str, ...] | None
    blocks: Callable[[int, Sequence[int], frozenset[int]], Iterator[list[np.ndarray]]]
    place: Callable[[int, int], tuple[str, str]]
    decimal: str = "."
    notes: tuple[str, ...] = ()
    check: Callable[[], None] = lambda: None
    parted: str = ""
    nan_is_missing: bool = False

    def called(self, column: int) -> str:
        """A column's name, or its index where it has none."""
        return (self.names[column] if self.names else "") or f"column {column}"


@dataclass
class Column:
    """What a column holds: so many numbers, NaNs, missing cells and texts, and which ones."""

    numbers: int = 0
    nans: int = 0
    missing: int = 0
    first_missing: int | None = None
    texts: int = 0
    first_text: int | None = None
    mixed: bool = False
    whole: bool = True
    rising: bool = True
    by_one: bool = True
    least: float = math.inf
    most: float = -math.inf
    values: Counter[str] = field(default_factory=Counter)

    @property
    def kind(self) -> str:
        """number, flag (true and false), text, mixed (numbers and text), or empty."""
        if not self.texts:
            return "number" if self.numbers or self.nans else "empty"
        if {value.lower() for value in self.values} <= {"true", "false"}:
            return "flag"
        return "mixed" if self.mixed else "text"

    @property
    def is_text(self) -> bool:
        """Whether it has words where an input has numbers."""
        return self.kind in ("text", "mixed")

    @property
    def counts_rows(self) -> bool:
        """Whether it holds whole numbers that only rise, as the numbers of rows do."""
        return (
            self.kind == "number" and self.rising and self.whole and not (self.missing or self.nans)
        )

    def note_numbers(self, values: np.ndarray) -> None:
        """Takes in a block's numbers."""
        values = values.astype(np.float64)
        finite = values[np.isfinite(values)]
        self.nans += int(np.isnan(values).sum())
        self.numbers += len(values) - int(np.isnan(values).sum())
        self.whole = (
            self.whole
            and not bool(np.isinf(values).any())
            and bool((finite == np.rint(finite)).all())
        )
        if len(finite):
            steps = (
                np.diff(finite, prepend=self.most) if math.isfinite(self.most) else np.diff(finite)
            )
            self.rising = self.rising and bool((steps > 0).all())
            self.by_one = self.by_one and bool((steps == 1).all())
            self.least, self.most = min(self.least, finite.min()), max(self.most, finite.max())

    def note_missing(self, row: int, values: np.ndarray) -> None:
        """Takes the NaNs of a block of numbers, the first of row `row`, for missing cells."""
        nans = np.isnan(values)
        if nans.any() and self.first_missing is None:
            self.first_missing = row + int(np.argmax(nans))
        self.missing += int(nans.sum())
        self.nans -= int(nans.sum())

    def note_texts(self, values: Sequence[object], row: int, decimal: str) -> None:
        """Takes in a block's cells of text, the first of row `row`; those that are numbers count as such."""
        counts = Counter(values)
        numbers = {
            value: number_of(str(value), decimal) for value in counts if not is_missing(value)
        }
        missing = sum(count for value, count in counts.items() if is_missing(value))
        if missing and self.first_missing is None:
            self.first_missing = row + next(
                i for i, value in enumerate(values) if is_missing(value)
            )
        self.missing += missing
        words = {value for value, number in numbers.items() if number is None}
        if words and self.first_text is None:
            self.first_text = row + next(i for i, value in enumerate(values) if value in words)
        self.texts += sum(counts[value] for value in words)
        # A NaN among names is what pandas writes for a missing one.
        self.mixed = self.mixed or any(
            number == number for number in numbers.values() if number is not None
        )
        found = np.array([numbers[v] for v in values if numbers.get(v) is not None], np.float64)
        if len(found):
            self.note_numbers(found)
        if len(self.values) <= _MOST_VALUES:
            self.values.update({str(v).strip(): counts[v] for v in numbers})


def is_missing(value: object) -> bool:
    """Whether a cell has no value."""
    return value is None or str(value).strip() in MISSING


def look(table: Table, by_name: frozenset[int] = frozenset()) -> tuple[int, list[Column]]:
    """The rows of a table and what its columns hold.

    by_name: columns whose cells are read as text whatever they look like.

    A column that turns out to hold text is read as text from its first row on, so that 01 and TRUE stay as they are.
    """
    text = set(by_name)
    while True:
        rows, columns, found = 0, [Column() for _ in range(table.width)], set()
        every = range(table.width)
        for block in table.blocks(block_rows(table.width), every, frozenset(text)):
            for number, values in enumerate(block):
                if values.dtype.kind in "iuf":
                    columns[number].note_numbers(values)
                    if table.nan_is_missing:
                        columns[number].note_missing(rows, values)
                else:
                    columns[number].note_texts(values.tolist(), rows, table.decimal)
                if values.dtype.kind == "b" or columns[number].texts:
                    found.add(number)
            rows += len(block[0])
        if found <= text:
            return rows, columns
        text |= found


def block_rows(width: int) -> int:
    """How many rows of a table are read at a time."""
    return max(1, sources.BLOCK_BYTES // (8 * width))


def numbers_in(table: Table, values: np.ndarray) -> np.ndarray:
    """A block's column as float64; NaN where a cell is missing."""
    if values.dtype.kind in "iufb":
        return values.astype(np.float64)
    known = {value: number_of(str(value), table.decimal) for value in set(values.tolist())}
    return np.array(
        [math.nan if (n := known[value]) is None else n for value in values.tolist()], np.float64
    )


def joined(x: Table, y: Table) -> Table:
    """Two tables side by side, row for row."""

    def blocks(rows: int, only: Sequence[int], text: frozenset[int]) -> Iterator[list[np.ndarray]]:
        parts = ([c for c in only if c < x.width], [c - x.width for c in only if c >= x.width])
        texts = (text, frozenset(c - x.width for c in text))
        streams = [
            t.blocks(rows, part, words)
            for t, part, words in zip((x, y), parts, texts, strict=True)
            if part
        ]
        for pieces in zip_longest(*streams, fillvalue=None):
            if None in [None if piece is None else 0 for piece in pieces] or (
                len({len(piece[0]) for piece in pieces}) > 1
            ):
                raise _unequal(x, y)
            yield [column for piece in pieces for column in piece]

    def place(row: int, column: int) -> tuple[str, str]:
        table, number = (x, column) if column < x.width else (y, column - x.width)
        where, cell = table.place(row, number)
        return f"{table.name}: {where}", cell

    def check() -> None:
        x.check()
        y.check()

    names = None
    if x.names or y.names:
        names = (*_names(x), *_names(y))
    return Table(
        f"{x.name} with {y.name}",
        x.width + y.width,
        names,
        blocks,
        place,
        x.decimal,
        x.notes + y.notes,
        check,
        nan_is_missing=x.nan_is_missing and y.nan_is_missing,
    )


def _names(table: Table) -> tuple[str, ...]:
    if table.names:
        return table.names
    stem = Path(table.name).name.partition(".")[0]
    return (stem,) if table.width == 1 else tuple(f"{stem} {i}" for i in range(table.width))


def _unequal(x: Table, y: Table) -> sources.ConversionError:
    rows = [
        sum(len(block[0]) for block in table.blocks(block_rows(table.width), [0], frozenset()))
        for table in (x, y)
    ]
    return sources.ConversionError(
        f"{x.name} has {rows[0]} rows, but {y.name} has {rows[1]}; expected one target a sample"
    )
