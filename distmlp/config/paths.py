"""Names of files and groups as people write them: ~, $VARIABLES and relative paths."""

import os
import posixpath
from collections.abc import Sequence
from pathlib import Path

from distmlp.errors import InputError


def spec_of(text: str, base: Path) -> str:
    """ "FILE:/group" with the file's whole path, taken from base; what names no group is a file's path alone.

    Raises InputError for a variable that is not set.
    """
    path, colon, group = text.rpartition(":/")
    if not colon:
        return path_of(text, base)
    return f"{path_of(path, base)}:{posixpath.normpath('/' + group.strip('/'))}"


def specs_of(given: str | Sequence[str], base: Path) -> str | tuple[str, ...]:
    """The same of a set of one file, or of several; one alone is no list.  Raises InputError."""
    if isinstance(given, str):
        return spec_of(given, base)
    found = tuple(spec_of(one, base) for one in given)
    return found[0] if len(found) == 1 else found


def path_of(text: str, base: Path) -> str:
    """A file's whole path, taken from base.  Raises InputError for a variable that is not set."""
    literal = os.path.normpath(base / text)
    if not ("$" in text or text.startswith("~")) or os.path.exists(literal):
        return literal
    found = os.path.expanduser(os.path.expandvars(text))
    if "$" in found:
        name = found[found.index("$") :].partition("/")[0]
        raise InputError(f"{text}: the variable {name} is not set; expected a file's path")
    return os.path.normpath(base / found)
