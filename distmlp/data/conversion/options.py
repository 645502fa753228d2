"""What a conversion can be asked for; standard library only, for the command line."""

from collections.abc import Sequence
from dataclasses import dataclass

#: What the inputs of a table can be stored as.
CSV_DTYPES = ("uint8", "float32", "float64")
#: How chunks can be compressed.
COMPRESSIONS = ("none", "gzip")
#: What is done with rows in which a cell is missing.
MISSING = ("refuse", "drop", "keep")
#: Whether the first line of a table holds names.
HEADERS = ("auto", "yes", "no")
#: How files of text that hold tables end.
TEXT_ENDINGS = ("csv", "tsv", "tab", "data", "dat", "txt")
#: How files end that hold tables.
TABLE_ENDINGS = (*TEXT_ENDINGS, "parquet", "xlsx", "nc", "nc4")


@dataclass(frozen=True)
class TableOptions:
    """How tables become sets.  None, or "auto": as the table says.

    Columns are given by name, by index from 0, negative from the end, or as FIRST..LAST.

    inputs: all that are neither targets nor dropped.  targets: the last column; () for a set without targets.
    drop: columns that are left out.  categories: text columns that become one input of 0 or 1 for each value.
    dtype: what inputs are stored as, float64 by default.  regression: whole-numbered targets are numbers too.
    by_name: the target's values are names of classes, whatever they look like.  classes: the names, in order.
    of_network: the inputs are those of a trained network, which knows no other values of a category than they name.
    missing: one of MISSING.  header: one of HEADERS.  sheet: of a workbook.
    """

    inputs: Sequence[str] | None = None
    targets: Sequence[str] | None = None
    drop: Sequence[str] = ()
    categories: Sequence[str] = ()
    dtype: str | None = None
    regression: bool = False
    by_name: bool = False
    classes: Sequence[str] | None = None
    of_network: bool = False
    missing: str = "refuse"
    header: str = "auto"
    delimiter: str | None = None
    decimal: str | None = None
    comment: str | None = None
    encoding: str | None = None
    sheet: str | None = None
