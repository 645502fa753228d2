"""Whether the first line of a text file holds the names of the columns; where that is in doubt, the user is asked."""

from pathlib import Path

from distmlp.data.conversion.dialects import Dialect, number_of
from distmlp.data.conversion.sources import ConversionError
from distmlp.data.conversion.tables import MISSING

#: Rows that decide whether whole numbers above decimal fractions are names.
_ENOUGH = 3


def is_header(path: Path, rows: list[list[str]], dialect: Dialect, asked: str) -> bool:
    """Whether the first row holds the names of the columns.

    An empty cell makes no header: it is a number left out, or the name of an unnamed column.
    """
    if asked != "auto":
        return asked == "yes"
    first, below = rows[0], rows[1:]
    kept = [cell for cell in first if cell]
    words = [
        i for i, cell in enumerate(first) if cell not in MISSING and not _is_number(cell, dialect)
    ]
    if words:
        return _words_are_names(path, words, first, below, dialect)
    if not all(cell.lstrip("+-").isdecimal() for cell in kept) or not below:
        return False
    if (
        len(kept) >= _ENOUGH
        and kept == [str(i) for i in range(len(kept))]
        and first[-len(kept) :] == kept
    ):
        return True  # what pandas names the columns of an array
    fractions = [
        all(_has_fraction(row[i]) for row in below)
        for i in range(len(first))
        if first[i] and all(i < len(row) for row in below)
    ]
    if len(below) >= _ENOUGH and any(fractions):
        raise ConversionError(
            f"{path}: line 1 holds whole numbers, {', '.join(kept[:4])}{', …' * (len(kept) > 4)}, above decimal fractions; "
            "--header yes takes them as names of the columns, --header no as a sample"
        )
    return False


def _words_are_names(
    path: Path, words: list[int], first: list[str], below: list[list[str]], dialect: Dialect
) -> bool:
    """Whether a first row that holds words, in these columns, holds names and not a sample with names of classes."""

    def column(i: int) -> list[str]:
        return [row[i] for row in below if i < len(row)]

    if any(_is_number(cell, dialect) for i in words for cell in column(i)):
        return True
    others = [i for i, cell in enumerate(first) if _is_number(cell, dialect)]
    if not below or not others:
        return True
    if any(first[i] in column(i) for i in words) or any(_has_fraction(first[i]) for i in others):
        return False
    raise ConversionError(
        f"{path}: line 1 may hold names of columns or a sample: {', '.join(first[:4])}{', …' * (len(first) > 4)}; "
        "--header yes or --header no says which"
    )


def _is_number(cell: str, dialect: Dialect) -> bool:
    return number_of(cell, dialect.decimal) is not None


def _has_fraction(cell: str) -> bool:
    return any(mark in cell for mark in ".,eE")


def names(first: list[str], below: list[list[str]]) -> tuple[str, ...]:
    """The names in a header; R leaves out that of the first column, and some programs end each row with a delimiter."""
    if below and all(len(row) == len(first) + 1 for row in below):
        ends_empty = all(not row[-1] for row in below)
        return (*first, "") if ends_empty else ("", *first)
    return tuple(first)


def in_comment(comments: list[str], dialect: Dialect, width: int) -> str:
    """The last comment above the rows, where it names each column; "" elsewhere."""
    if not comments:
        return ""
    text = comments[-1].lstrip(dialect.comment).strip()
    cells = text.split(dialect.delimiter if dialect.delimiter != " " else None)
    named = all(cell.strip() and number_of(cell, dialect.decimal) is None for cell in cells)
    return text if len(cells) == width > 1 and named else ""
