"""Config keys: each has a default, what is expected in words, the test for it, and whether v is free of it.

A key that does not decide v may differ when a run is resumed; those are declared `free`.
"""

import math
import re
import sys
from collections.abc import Callable
from dataclasses import Field, field
from typing import Any

#: More than any count here can be, and still a whole number that numpy takes.
MOST = 2**62

_UNITS = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_SECONDS = {"second": 1, "seconds": 1, "minute": 60, "minutes": 60, "hour": 3600, "hours": 3600}
_STRETCHES = {"epoch", "epochs", "step", "steps"}
_EVERY = {"epoch", "epochs", "step", "steps", "minute", "minutes"}


# What a dataclass's fields are declared with.  Any, since each stands where its value's type does.


def key(default: Any, expected: str, accepts: Callable[[Any], bool], free: bool = False) -> Any:
    """A key; default: None where the config must give it.  accepts: the test of a value as TOML has it."""
    return field(default=default, metadata={"expected": expected, "accepts": accepts, "free": free})


def choice(default: str, *names: str, free: bool = False) -> Any:
    """A key that takes one of some names."""
    return key(default, f"one of {', '.join(names)}", lambda x: x in names, free)


def count(default: int, least: int = 1, free: bool = False) -> Any:
    """A key that takes a whole number."""
    return key(
        default,
        f"a whole number of at least {least} and at most 2**62",
        lambda x: is_int(x) and least <= x <= MOST,
        free,
    )


def number(
    default: float | None,
    words: str = "a number",
    test: Callable[[float], bool] = lambda x: True,
    free: bool = False,
) -> Any:
    """A key that takes a number; words: which, and test whether it is one of those."""
    return key(default, words, lambda x: is_number(x) and test(x), free)


def factor(default: float) -> Any:
    """A key that takes a number, or a quotient of two as text."""
    words = 'a number, or a quotient such as "1/255"'
    return key(default, words, lambda x: is_number(x) or _quotient(x) is not None)


def text(default: str | None, expected: str, free: bool = False) -> Any:
    """A key that takes text, which may be empty only where that is the default."""
    return key(default, expected, lambda x: is_text(x) and (x != "" or default == ""), free)


def names(
    default: tuple[str, ...], known: tuple[str, ...], pattern: str, free: bool = False
) -> Any:
    """A key that takes a list of names: known ones, and those that a pattern fits."""

    def accepts(x: object) -> bool:
        return isinstance(x, list) and all(
            isinstance(name, str) and (name in known or re.fullmatch(pattern, name)) for name in x
        )

    return key(
        default, f'a list of some of {", ".join(known)}, and "top_2", "top_3" …', accepts, free
    )


def flag(default: bool, free: bool = False) -> Any:
    """A key that takes true or false."""
    return key(default, "true or false", lambda x: isinstance(x, bool), free)


def size(default: str) -> Any:
    """A key that takes an amount of memory."""
    return key(default, 'a size such as "256 MB" or "2 GiB"', _is_size)


def columns(default: str, free: bool = False) -> Any:
    """A key that takes the name of a dataset, or a list of such, side by side."""

    def is_name(x: object) -> bool:
        return is_text(x) and (x != "" or default == "")

    return key(
        default,
        'the name of a dataset in the group, such as "x", "/other/x", "table[a,b]" or "x[0:4]", or a list of such',
        lambda x: is_name(x) or (is_list(x) and all(n != "" and is_name(n) for n in x)),
        free,
    )


def sets(default: str | None, example: str, share: bool = False) -> Any:
    """A key that takes the file and the group of a set, a pattern that fits several, or a list of either.

    share: or a share of the training set.
    """

    def is_set(x: object) -> bool:
        return is_text(x) and (x != "" or default == "") and not (share and is_number(x))

    def is_number(x: str) -> bool:  # a share in quotes, or in percent, is no file
        return bool(re.fullmatch(r"[\d.]+%?", x.rpartition("/")[2]))

    return key(
        default,
        f'a file and a group in it, such as "{example}", or a list of such'
        + (", or a share of the training set, such as 0.1" if share else ""),
        lambda x: (
            is_set(x)
            or (is_list(x) and all(n != "" and is_set(n) for n in x))
            or (share and isinstance(x, float) and 0 < x < 1)
        ),
        free=True,
    )


def rows(free: bool = False) -> Any:
    """A key that takes which rows of a set."""
    words = 'a range of rows such as "0:1000", or the name of a dataset of truth values'
    return text("", words, free)


def class_weights() -> Any:
    """A key that takes what classes count: by their frequency, a number for each, or a table of some."""

    def are_weights(x: list) -> bool:
        return len(x) > 0 and all(is_number(n) and n >= 0 for n in x) and any(x)

    return key(
        "",
        'balanced, a list with a number of at least 0 for each class, or a table such as {"cat" = 2.0}',
        lambda x: (
            x in ("", "balanced")
            if isinstance(x, str)
            else are_weights(list(x.values()) if isinstance(x, dict) else x)
            if isinstance(x, list | dict)
            else False
        ),
    )


def scaling() -> Any:
    """A key that takes how columns are scaled: one way for all, or one a column."""
    names = "none", "standardise", "min-max"
    return key(
        "none",
        f"one of {', '.join(names)}, or a list of them, one a column",
        lambda x: x in names if isinstance(x, str) else is_list(x) and all(n in names for n in x),
    )


def duration(default: str, free: bool = False) -> Any:
    """A key that takes a time."""
    words = 'a time such as "90 seconds", "30 minutes" or "12 hours", or "" for none'
    return key(default, words, lambda x: x == "" or _quantity(x, _SECONDS) is not None, free)


def stretch(default: str, free: bool = False) -> Any:
    """A key that takes a part of a training."""
    words = '"N steps" or "N epochs", or "" for none'
    return key(default, words, lambda x: x == "" or _is_stretch(x), free)


def interval(default: str, free: bool = False) -> Any:
    """A key that takes how often something is done."""
    return key(default, '"N epochs", "N steps" or "N minutes"', _is_interval, free)


# What was declared


def expected(declared: Field[Any]) -> str:
    """What a key expects, in words."""
    return declared.metadata["expected"]


def accepts(declared: Field[Any], value: object) -> bool:
    """Whether a key takes a value, as TOML has it."""
    return declared.metadata["accepts"](value)


def is_free(declared: Field[Any]) -> bool:
    """Whether v is the same for every value of a key."""
    return declared.metadata["free"]


# Tests of values


def is_int(x: object) -> bool:
    """Whether a value is a whole number; true and false are none."""
    return isinstance(x, int) and not isinstance(x, bool)


def is_list(x: object) -> bool:
    """Whether a value is a list that has something in it."""
    return isinstance(x, list) and len(x) > 0


def is_text(x: object) -> bool:
    """Whether a value is text that may be a file's name: Unicode without NUL."""
    if not isinstance(x, str) or "\0" in x:
        return False
    try:
        x.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_number(x: object) -> bool:
    """Whether a value is a number that float64 holds; TOML's whole numbers know no bound."""
    return isinstance(x, int | float) and not isinstance(x, bool) and abs(x) <= sys.float_info.max


def _quantity(x: object, units: dict | set) -> tuple[float, str] | None:
    """ "30 minutes" as (30.0, "minutes"); None where it is no such text."""
    if not isinstance(x, str):
        return None
    parts = x.split()
    if len(parts) != 2 or parts[1] not in units:
        return None
    try:
        value = float(parts[0])
    except ValueError:
        return None
    return (value, parts[1]) if value > 0 and math.isfinite(value) else None


def _is_size(x: object) -> bool:
    found = _quantity(x, _UNITS)
    return found is not None and found[0] * _UNITS[found[1]] <= MOST


def _is_interval(x: object) -> bool:
    found = _quantity(x, _EVERY)
    return found is not None and (found[1].startswith("minute") or found[0] == int(found[0]))


def _quotient(x: object) -> float | None:
    """ "1/255" as the float64 nearest to it; None where it is no such text."""
    found = re.fullmatch(r"\s*(-?\d{1,15})\s*/\s*(\d{1,15})\s*", x) if isinstance(x, str) else None
    if found is None or int(found[2]) == 0:
        return None
    return int(found[1]) / int(found[2])


def _is_stretch(x: object) -> bool:
    found = _quantity(x, _STRETCHES)
    return found is not None and found[0] <= MOST


# What values mean that have been accepted


def float_of(x: float | str) -> float:
    """The float64 of a number or a quotient."""
    quotient = _quotient(x)
    return float(x) if quotient is None else quotient


def bytes_of(x: str) -> int:
    """The bytes of a size."""
    value, unit = x.split()
    return int(float(value) * _UNITS[unit])


def seconds_of(x: str) -> float:
    """The seconds of a duration; infinity for "", which is none."""
    if not x:
        return math.inf
    value, unit = x.split()
    return float(value) * _SECONDS[unit]


def interval_of(x: str) -> tuple[float, str]:
    """An interval as (3.0, "epoch"), the unit in the singular."""
    value, unit = x.split()
    return float(value), unit.removesuffix("s")


def steps_of(x: str, steps_per_epoch: int) -> int:
    """The steps of a part of a training, the nearest whole number; 0 for "", which is none."""
    if not x:
        return 0
    value, unit = x.split()
    return round(float(value) * (steps_per_epoch if unit.startswith("epoch") else 1))
