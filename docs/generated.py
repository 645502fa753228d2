"""The parts of the reference that are made of the code: a page has `<!-- generated: NAME -->` where one belongs.

The log and the checkpoint that are shown are those of a small run, which is trained meanwhile.
"""

import argparse
import json
import re
import tempfile
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import distmlp
from distmlp.cli import parser
from distmlp.config import keys, sections
from distmlp.runs.log import read_log

_PLACE = re.compile(r"^<!-- generated: (\w+) -->$", re.M)


def filled(text: str) -> str:
    """A page with what belongs in its places."""
    return _PLACE.sub(lambda found: PARTS[found[1]](), text)


def commands() -> str:
    """Each command's help."""
    parts = []
    for name, command in command_parsers().items():
        parts += [f"## {name}", "", "```text", _help(command).rstrip(), "```", ""]
    return "\n".join(parts)


def command_parsers() -> dict[str, argparse.ArgumentParser]:
    """The parser of each command, by its name."""
    (found,) = (
        action.choices
        for action in parser.make()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    return dict(found)


def _help(command: argparse.ArgumentParser) -> str:
    """The help that a terminal of 100 columns shows."""
    made = command.formatter_class

    def wide(prog: str) -> Any:
        return made(prog, width=100)

    command.formatter_class = wide  # type: ignore[assignment]
    try:
        return command.format_help()
    finally:
        command.formatter_class = made


def config_keys() -> str:
    """A table a section: each key, its default, what it takes, and whether it decides v."""
    parts = [*_table(sections.Config, "")]
    for section in fields(sections.Config):
        if section.name in _SECTIONS:
            parts += [f"## [{section.name}]", "", *_table(_SECTIONS[section.name], section.name)]
    return "\n".join(parts)


_SECTIONS = {
    f.name: f.default_factory for f in fields(sections.Config) if f.default_factory is not MISSING
}


def _table(section: Any, name: str) -> list[str]:
    declared = [f for f in fields(section) if f.name not in _SECTIONS]
    rows = [_row(f"{name}.{f.name}".lstrip("."), f) for f in declared]
    return ["| key | default | takes | decides v |", "|---|---|---|---|", *rows, ""]


def _row(name: str, declared: Field[Any]) -> str:
    default = "" if declared.default is None else f"`{_toml(declared.default)}`"
    decides = "" if keys.is_free(declared) else "yes"
    takes = keys.expected(declared).replace("*", r"\*").replace("|", r"\|").replace("_", r"\_")
    return f"| `{name}` | {default} | {takes} | {decides} |"


def _toml(value: Any) -> str:
    return json.dumps(list(value) if isinstance(value, tuple) else value)


def log() -> str:
    """A line of a log, an entry a line."""
    return "\n".join(["```json", json.dumps(small_run()[0], indent=2, ensure_ascii=False), "```"])


def events() -> str:
    """The events of a small run, as they stand in the file."""
    return "\n".join(["```json", *small_run()[2], "```"])


def checkpoint() -> str:
    """What is in a checkpoint's file, and its facts."""
    datasets, facts = small_run()[1]
    lines = [
        "```text",
        *datasets,
        "```",
        "",
        "```json",
        json.dumps(facts, indent=2, ensure_ascii=False),
        "```",
    ]
    return "\n".join(lines)


@cache
def small_run() -> tuple[dict[str, Any], tuple[list[str], dict[str, Any]], list[str]]:
    """The last record of a run's log, (datasets, facts) of its last checkpoint, and the lines of its events."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        x = np.linspace(-1, 1, 64)[:, None]
        with h5py.File(place / "waves.h5", "w") as file:
            for group in ("train", "test"):
                file[f"{group}/x"], file[f"{group}/y"] = x, np.sin(3 * x[:, 0])
        run = place / "runs" / "waves"
        distmlp.train(
            {
                "network": {"layers": [1, 8, 1], "activation": "tanh", "output": "identity"},
                "data": {
                    "train": f"{place}/waves.h5:/train",
                    "validation": f"{place}/waves.h5:/test",
                },
                "training": {"epochs": 2, "metrics": ["r2"]},
                "optimizer": {"name": "adam", "learning_rate": 0.01},
                "run": {"directory": str(run)},
            }
        )
        record = read_log(run / "log.jsonl")[-1]
        with h5py.File(run / "checkpoints" / "step-000000004.h5") as file:
            facts = json.loads(file.attrs["facts"])
            datasets = [f"/{name}  {d.shape} {d.dtype}" for name, d in sorted(_datasets(file))]
        lines = (run / "events.jsonl").read_text().splitlines()
    facts["config"] = "…"  # the config as one line of JSON
    facts["host"] = "node7"
    return record, (datasets, facts), [_somewhere(line, place) for line in lines]


def _somewhere(line: str, place: Path) -> str:
    """An event without the names of the machine that the site is built on."""
    event = json.loads(line.replace(str(place), ""))
    if "hosts" in event:
        event |= {"hosts": {"node7": 1}, "platform": "Linux"}
    return json.dumps(event)


def _datasets(file: h5py.File) -> Iterator[tuple[str, h5py.Dataset]]:
    found: list[tuple[str, h5py.Dataset]] = []
    file.visititems(
        lambda name, d: found.append((name, d)) if isinstance(d, h5py.Dataset) else None
    )
    return iter(found)


PARTS = {
    "commands": commands,
    "config_keys": config_keys,
    "log": log,
    "events": events,
    "checkpoint": checkpoint,
}
