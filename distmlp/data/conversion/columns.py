"""Which columns of a table are inputs, which are targets, and which are left out: as asked, and never by a bad guess."""

import difflib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from distmlp.data.conversion.options import TableOptions
from distmlp.data.conversion.sources import ConversionError
from distmlp.data.conversion.tables import NANS, Column, Table

#: What targets are called; where such a column is not the last, nothing is guessed.
_TARGET_NAMES = frozenset(
    ["label", "labels", "class", "classes", "target", "targets", "y", "outcome"]
)
_NAMES_SHOWN = 8


class NoColumn(ConversionError):
    """A table has no column of a name that an option has.  why: without the table and the option."""

    def __init__(self, words: str, option: str = "", name: str = "", why: str = "") -> None:
        super().__init__(words)
        self.option, self.name, self.why = option, name, why


@dataclass(frozen=True)
class Input:
    """One input: a column's numbers, or 1 where the column holds a value and 0 elsewhere."""

    column: int
    name: str
    value: str | None = None


@dataclass(frozen=True)
class Choice:
    """inputs and targets, the columns that give each; words: why, for the user."""

    inputs: tuple[Input, ...]
    targets: tuple[int, ...]
    words: tuple[str, ...]


def numbers_of(table: Table, option: str, wanted: Sequence[str]) -> list[int]:
    """Indices of the columns that an option names.  Raises ConversionError."""
    columns: list[int] = []
    for word in wanted:
        for column in _span(table, option, word):
            if column in columns:
                raise ConversionError(
                    f"{table.name}: {option} {','.join(wanted)}: names column {column} twice"
                )
            columns.append(column)
    return columns


def _span(table: Table, option: str, word: str) -> range:
    first, dots, last = word.partition("..")
    if not dots or (table.names and word in table.names):
        column = _one(table, option, word)
        return range(column, column + 1)
    a, b = _one(table, option, first), _one(table, option, last)
    if a > b:
        raise ConversionError(f"{table.name}: {option} {word}: {last} comes before {first}")
    return range(a, b + 1)


def _one(table: Table, option: str, word: str) -> int:
    names, width = table.names, table.width
    if names and word in names:
        if names.count(word) > 1:
            raise ConversionError(
                f"{table.name}: {option} {word}: {names.count(word)} columns have that name; give the index"
            )
        return names.index(word)
    if word.removeprefix("-").isdecimal():
        column = int(word) + width * word.startswith("-")
        if not 0 <= column < width:
            raise ConversionError(
                f"{table.name}: {option} {word}: expected an index from {-width} to {width - 1}"
            )
        return column
    if names:
        near = difflib.get_close_matches(word, names, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"the columns are {shown(names)}"
        why = f"no column has that name; {hint}"
    elif option.startswith("--"):
        why = f"the file has no header, so expected an index from {-width} to {width - 1}"
    else:  # a trained network's column, which is found by its name alone
        why = "the file has no header; give it a first line with the names of its columns"
    raise NoColumn(f"{table.name}: {option} {word}: {why}", option, word, why)


def shown(names: Sequence[str]) -> str:
    """Names for a message; of many the first."""
    return ", ".join(names[:_NAMES_SHOWN]) + ", …" * (len(names) > _NAMES_SHOWN)


def cure_of_text(names: Sequence[str]) -> str:
    """What to do with columns of text that would be inputs: of many, with the first."""
    named = shlex.quote(",".join(names[:_NAMES_SHOWN]))
    rest = f"it out, --targets {named} makes it the target" if len(names) == 1 else "them out"
    return f"--categories {named} makes an input of each value, --drop {named} leaves {rest}"


def chosen(table: Table, columns: list[Column], options: TableOptions) -> Choice:
    """The columns of a table that a set is made of.  Raises ConversionError."""
    dropped = set(numbers_of(table, "--drop", options.drop))
    named = numbers_of(table, "--targets", options.targets or ())
    asked = None if options.inputs is None else _asked_inputs(table, columns, options)
    taken = {*named, *(i.column for i in asked or ())}
    if twice := sorted(taken & dropped):
        raise ConversionError(
            f"{table.name}: --drop {table.called(twice[0])}: that column is also to be used"
        )
    words = []
    left = [c for c in range(table.width) if c not in dropped and c not in taken]
    for column in list(left) if asked is None else ():
        reason = _left_out(table, columns[column], column)
        if reason:
            left.remove(column)
            words.append(reason)
    if options.targets is None:
        named, more = _guessed_target(table, columns, left, taken)
        words += more
    inputs = asked
    if inputs is None:
        inputs = _all_inputs(table, columns, [c for c in left if c not in named], options)
    if both := [i.name for i in inputs if i.column in named]:
        raise ConversionError(f"{table.name}: {both[0]} is both an input and a target")
    if not inputs:
        raise ConversionError(
            f"{table.name}: has {table.width} columns{table.parted}, all of them targets; expected inputs beside them"
        )
    words += _doubts(table, columns, inputs)
    return Choice(tuple(inputs), tuple(named), tuple(words))


def _asked_inputs(table: Table, columns: list[Column], options: TableOptions) -> list[Input]:
    inputs: list[Input] = []
    who = "the network's input" if options.of_network else "--inputs"
    wanted = options.inputs or ()
    for word in wanted:
        name, equals, value = word.partition("=")
        category = equals and table.names and word not in table.names and name in table.names
        if category:
            inputs.append(Input(_one(table, who, name), word, value))
        else:
            inputs += [Input(c, table.called(c)) for c in _span(table, who, word)]
    if len({i.name for i in inputs}) < len(inputs):
        raise ConversionError(f"{table.name}: {who} {','.join(wanted)}: names a column twice")
    if options.of_network:
        _check_categories(table, columns, inputs)
    return inputs


def _check_categories(table: Table, columns: list[Column], inputs: list[Input]) -> None:
    """Raises ConversionError where a column holds a value that no input stands for."""
    for number in dict.fromkeys(i.column for i in inputs if i.value is not None):
        known = [str(i.value) for i in inputs if i.column == number]
        unknown = sorted(set(columns[number].values) - {*known} - NANS)
        if unknown:
            raise ConversionError(
                f"{table.name}: {table.called(number)} holds {unknown[0]!r}, but the network knows {shown(known)}; "
                "an empty cell is none of them"
            )


def _left_out(table: Table, column: Column, number: int) -> str:
    """Why a column without a name is left out, "" for one that has one.  Raises ConversionError where it is in doubt."""
    if table.names is None or not (
        table.names[number] == "" or table.names[number].startswith("Unnamed:")
    ):
        return ""
    if column.kind == "empty":
        return f"left out  column {number}, which has no name and is empty"
    if column.counts_rows:
        return f"left out  column {number}, which has no name and numbers the rows ({column.least:g} to {column.most:g}); --inputs can take it"
    raise ConversionError(
        f"{table.name}: column {number} has no name; --drop {number} leaves it out, --inputs names what to take"
    )


def _guessed_target(
    table: Table, columns: list[Column], left: list[int], taken: set[int]
) -> tuple[list[int], list[str]]:
    """The last column, and what is said of it.  Raises ConversionError where that is likely to be wrong."""
    if not left:
        raise ConversionError(
            f"{table.name}: all columns are inputs; --targets names the targets, or --no-targets says there are none"
        )
    last = left[-1]
    called = table.called(last)
    if table.names and table.names[last].lower() not in _TARGET_NAMES:
        better = [c for c in left if table.names[c].lower() in _TARGET_NAMES]
        if better:
            why = ""
            if columns[last].least == columns[last].most:
                why = f"all targets would be the same class, {columns[last].least:g}, and "
            raise ConversionError(
                f"{table.name}: the target would be {called}, the last column, but {why}{table.called(better[0])} is the name of a target; "
                f"--targets {table.names[better[0]]} or --targets {table.names[last]} says which"
            )
    if len(left) == 1 and not taken:
        return [last], []
    return [last], [f"target    {called}, since it is the last column; --targets names another"]


def _all_inputs(
    table: Table, columns: list[Column], left: list[int], options: TableOptions
) -> list[Input]:
    categories = numbers_of(table, "--categories", options.categories)
    inputs = []
    for column in left:
        if column in categories:
            values = sorted(columns[column].values)
            inputs += [Input(column, f"{table.called(column)}={value}", value) for value in values]
        else:
            inputs.append(Input(column, table.called(column)))
    return inputs


def _doubts(table: Table, columns: list[Column], inputs: Sequence[Input]) -> list[str]:
    words = []
    for given in inputs:
        column = columns[given.column]
        if column.counts_rows and column.by_one and column.numbers > 2 and given.value is None:
            words.append(
                f"doubtful  {given.name} numbers the rows ({column.least:g} to {column.most:g}); --drop {given.column} leaves it out"
            )
        elif column.kind == "number" and column.least == column.most and column.numbers > 1:
            words.append(f"doubtful  {given.name} is {column.least:g} in every row")
    return words
