"""Runs side by side: how far each is, what sets it apart, what it reached; the best first."""

import csv
import io
import math
import os
import tomllib
from pathlib import Path
from typing import Any

from distmlp import files
from distmlp.config.sections import METRICS
from distmlp.errors import InputError
from distmlp.results.outputs import check_output
from distmlp.runs import events
from distmlp.runs.directory import end_of
from distmlp.runs.log import read_log

# What tells nothing about a result, or is the run's name already.
_LEFT_OUT = ("run.", "data.scan")


def compare(places: list[str]) -> list[dict[str, Any]]:
    """A row for each run directory, the best first: run, state, epoch, the settings that differ, and the results.

    A place that is no run directory stands for those in it.  The best has the highest accuracy of its
    last epoch, or, where a run has none or they are equal, the lowest cost (that of the validation set,
    where every run has one).  Runs without a whole epoch come last.  Raises InputError.
    """
    runs = [run for place in places for run in _run_directories(Path(place))]
    names = _names(runs)
    settings = [_settings(run) for run in runs]
    known = {key: None for of in settings for key in of if not key.startswith(_LEFT_OUT)}
    apart = [key for key in known if len({str(of.get(key)) for of in settings}) > 1]
    logs = [read_log(run / "log.jsonl") for run in runs]
    lasts: list[dict[str, Any]] = [log[-1] if log else {} for log in logs]
    metrics = {key: None for last in lasts for key in last if is_metric(key)}
    rows = []
    for run, name, of, log, last in zip(runs, names, settings, logs, lasts, strict=True):
        rows.append(
            {
                "run": name,
                "state": _state(run, bool(log)),
                "epoch": last.get("epoch"),
                **{key: of.get(key) for key in apart},
                "cost": last.get("cost"),
                "validation_cost": last.get("validation_cost"),
                "accuracy": last.get("accuracy"),
                **{key: last.get(key) for key in metrics},
                "seconds": sum(record["seconds"] for record in log) if log else None,
                "v_sha256": last.get("v_sha256"),
            }
        )
    begun = [row for row in rows if row["epoch"] is not None]
    cost = "validation_cost" if all(row["validation_cost"] is not None for row in begun) else "cost"
    by_accuracy = all(row["accuracy"] is not None for row in begun)

    def rank(row: dict[str, Any]) -> tuple[bool, float, float]:
        return (
            row["epoch"] is None,
            -row["accuracy"] if by_accuracy and row["epoch"] else 0.0,
            _or_last(row[cost]),
        )

    return sorted(rows, key=rank)


def text(rows: list[dict[str, Any]]) -> str:
    """The rows as an aligned table, without columns that are empty throughout."""
    keys = [key for key in rows[0] if any(row[key] is not None for row in rows)]
    cells = [keys, *([_short(key, row[key]) for key in keys] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(keys))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )


def write(rows: list[dict[str, Any]], path: Path, overwrite: bool = False) -> None:
    """The rows as CSV, every digit of them; a file that is there stays unless `overwrite` says so.  Raises InputError."""
    check_output(path, overwrite)
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, list(rows[0]))
    table.writeheader()
    table.writerows(rows)
    content = text.getvalue().encode()
    try:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            path.write_bytes(content)  # such as /dev/stdout, which must stay what it is
        else:
            files.write(path, content, must_not_exist=not overwrite)
    except OSError as error:
        raise InputError(
            f"{path} cannot be written: {error.strerror or error}; --output names another file"
        ) from None


def is_metric(key: str) -> bool:
    """Whether a key of the log is one that training.metrics asks for."""
    return key in METRICS or key.startswith("top_")


def is_result(key: str) -> bool:
    """Whether a column tells how good a run is."""
    return key in ("cost", "validation_cost", "accuracy") or is_metric(key)


def _state(run: Path, has_log: bool) -> str:
    """How far a run is, for people."""
    if end_of(run):
        return "complete"
    happened = events.since(run, None)
    if happened and happened[-1]["event"] == "failed":
        return "diverged" if "diverged" in happened[-1]["words"] else "failed"
    return "not complete" if has_log else "no epoch yet"


def _run_directories(place: Path) -> list[Path]:
    if (place / "config.toml").exists():
        return [place]
    found = sorted((path.parent for path in place.glob("*/config.toml")), key=_natural)
    if not found:
        raise InputError(
            f"{place}: no run directory, nor one in it; expected a directory with config.toml and log.jsonl"
        )
    return found


def _natural(path: Path) -> tuple[Path, bool, int, str]:
    """10 comes after 9."""
    return (
        path.parent,
        not path.name.isdigit(),
        int(path.name) if path.name.isdigit() else 0,
        path.name,
    )


def _names(runs: list[Path]) -> list[str]:
    """Each run's path without the directories that all have in common."""
    whole = [str(run.resolve()) for run in runs]
    common = os.path.commonpath([os.path.dirname(path) for path in whole])
    return [os.path.relpath(path, common) for path in whole]


def _settings(run: Path) -> dict[str, Any]:
    """{"section.key": value} of a run's config as resolved."""
    path = run / "config.toml"
    try:
        tables = tomllib.loads(files.text_in(path))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as a config: {error}") from None
    flat = {}
    for name, value in tables.items():
        flat.update(
            {f"{name}.{key}": of for key, of in value.items()}
            if isinstance(value, dict)
            else {name: value}
        )
    return flat


def _or_last(cost: float | None) -> float:
    return math.inf if cost is None or math.isnan(cost) else cost


def _short(key: str, value: Any) -> str:
    if value is None:
        return "-"
    if key == "v_sha256":
        return value[:12]
    if key == "accuracy":
        return f"{100 * value:.2f} %"
    if key == "seconds":
        return f"{value:.1f}"
    if is_result(key):
        return f"{value:.6f}"
    if isinstance(value, (list, tuple)):
        return "-".join(map(str, value))
    return str(value)
