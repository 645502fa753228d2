"""What many networks have come to: their table, and the mean and the spread of what they reached."""

import math
from pathlib import Path
from typing import Any

from distmlp.many.plan import Member
from distmlp.many.running import Outcome
from distmlp.results import comparison
from distmlp.runs.directory import end_of


def summary(directory: Path, members: list[Member], outcomes: dict[str, Outcome]) -> str:
    """The table of a directory's networks, the best first, and what the complete ones of an ensemble or of folds reached on average.

    Writes members.csv, with every digit.  outcomes: of the networks trained now, by name.  Raises InputError.
    """
    if not any((directory / member.name / "config.toml").exists() for member in members):
        return f"0 of {len(members)} networks are complete: none has begun"
    rows = comparison.compare([str(directory)])
    complete = []
    for row in rows:
        name = Path(row["run"]).name
        if end_of(directory / name):
            complete.append(row)
        elif name in outcomes:
            row["state"] = outcomes[name].state
    comparison.write(rows, directory / "members.csv", overwrite=True)
    lines = [comparison.text(rows), ""]
    if any({"seed", "data.fold"} & set(member.settings) for member in members):
        lines += _averages(complete)
    where = directory / "members.csv"
    lines.append(
        f"{len(complete)} of {len(members)} networks are complete; every digit is in {where}"
    )
    return "\n".join(lines)


def _averages(rows: list[dict[str, Any]]) -> list[str]:
    """A line for each metric that at least two networks have."""
    lines = []
    for name in rows[0] if rows else []:
        values = [row[name] for row in rows if row[name] is not None]
        if len(values) > 1 and comparison.is_result(name):
            mean, spread = mean_and_spread(values)
            lines.append(f"{name:<18} {mean:.6g} ± {spread:.2g}")
    return lines


def mean_and_spread(values: list[float]) -> tuple[float, float]:
    """The mean and the standard deviation (with n − 1) of at least two numbers.

    >>> mean_and_spread([1.0, 2.0, 3.0])
    (2.0, 1.0)
    """
    mean = math.fsum(values) / len(values)
    return mean, math.sqrt(math.fsum((x - mean) ** 2 for x in values) / (len(values) - 1))
