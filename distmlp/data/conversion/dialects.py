"""How a text file parts its cells: found in its first lines, and what is found is said."""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from distmlp.data.conversion.options import TableOptions
from distmlp.data.conversion.sources import ConversionError

#: What parts cells, each with the word for it; where two fit equally, the first is taken.
DELIMITERS = {"\t": "tabs", ";": "semicolons", "|": "bars", ",": "commas", " ": "spaces"}
#: Lines that are looked at.
_SAMPLE_LINES = 200
_COMMENT = "#"
_COMMA_NUMBER = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")
_POINT_NUMBER = re.compile(r"[+-]?\d*\.\d*([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Dialect:
    """delimiter: one of DELIMITERS or another character; a space stands for any run of blanks.

    decimal: "." or ",".  comment: what a line begins with that is left out, "" for none.
    """

    delimiter: str
    decimal: str
    comment: str = ""


def number_of(text: str, decimal: str = ".") -> float | None:
    """The number that a cell holds; None where it is none, as Python's 1_0 and digits of other scripts are not."""
    text = text.strip()
    if decimal != ".":
        text = text.replace(decimal, ".") if "." not in text else ""
    if not text.isascii() or "_" in text:
        return None
    try:
        return float(text)
    except ValueError:
        return None


def rows_of(lines: Iterable[str], dialect: Dialect, name: str) -> Iterator[tuple[int, list[str]]]:
    """(line number from 1, cells) of each line that is neither blank nor a comment.  Raises ConversionError."""
    line, begin = 0, 0

    def counted() -> Iterator[str]:
        nonlocal line, begin
        for text in lines:
            line += 1
            if not text.isspace() and not (dialect.comment and text.startswith(dialect.comment)):
                begin = begin or line
                yield text

    if dialect.delimiter == " ":
        for text in counted():
            yield line, text.split()
        return
    reader = csv.reader(counted(), delimiter=dialect.delimiter, strict=True, skipinitialspace=True)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise ConversionError(
                f"{name}: line {begin} is no row of cells parted by {word(dialect.delimiter)}: {error}"
            ) from None
        yield begin, [cell.strip() for cell in cells]
        begin = 0


def word(delimiter: str) -> str:
    """What a message calls what parts cells."""
    return DELIMITERS.get(delimiter, repr(delimiter))


def found_in(lines: list[str], options: TableOptions) -> Dialect:
    """The dialect of a file that begins with these lines, where the options do not say."""
    comment = options.comment
    if comment is None:
        first = next((line for line in lines if not line.isspace()), "")
        comment = _COMMENT if first.startswith(_COMMENT) else ""
    kept = [
        text for text in lines if not text.isspace() and not (comment and text.startswith(comment))
    ]
    sample = kept[:_SAMPLE_LINES]
    fits = {c: _fit(sample, c, options.decimal) for c in DELIMITERS}
    best = max(fits, key=lambda candidate: fits[candidate])
    delimiter = options.delimiter or (best if fits[best][0] else ",")
    decimal = options.decimal or _decimal(sample, delimiter)
    return Dialect(delimiter, decimal, comment)


def _cells(sample: list[str], delimiter: str) -> list[list[str]]:
    """The cells of lines; none of those that cannot be parted."""
    if delimiter == " ":
        return [text.split() for text in sample]
    rows = []
    for text in sample:
        try:
            rows.append(next(csv.reader([text], delimiter=delimiter, skipinitialspace=True), []))
        except csv.Error:
            rows.append([])
    return rows


def _fit(sample: list[str], delimiter: str, decimal: str | None) -> tuple[bool, float, float]:
    """How well a delimiter fits: are there cells, how many lines are as wide as most, how many cells are numbers."""
    rows = _cells(sample, delimiter)
    widths = [len(row) for row in rows]
    usual = max(set(widths), key=widths.count, default=0)
    if usual < 2:
        return False, 0.0, 0.0
    decimals = (decimal,) if decimal else (".",) if delimiter == "," else (".", ",")
    below = [cell for row in rows[1:] or rows for cell in row]
    numbers = sum(any(number_of(cell, d) is not None for d in decimals) for cell in below)
    share = widths.count(usual) / len(widths)
    # Blanks part words of a sentence as well, so they are taken only where all lines agree.
    plausible = delimiter != " " or (share == 1 and usual == min(map(len, rows)))
    return plausible, numbers / max(1, len(below)) if plausible else 0.0, share


def _decimal(sample: list[str], delimiter: str) -> str:
    """A comma where cells have one between digits and none has a point there; else a point."""
    if delimiter == ",":
        return "."
    cells = [cell.strip() for row in _cells(sample, delimiter) for cell in row]
    points = any(_POINT_NUMBER.fullmatch(cell) for cell in cells)
    return "," if not points and any(_COMMA_NUMBER.fullmatch(cell) for cell in cells) else "."
