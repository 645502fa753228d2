"""The command `distmlp data`: what is in files, for people or as JSON."""

import argparse
import json
from typing import TYPE_CHECKING, Any

from distmlp.errors import COMPLETE

if TYPE_CHECKING:
    from distmlp.parallel.communicator import Communicator

HELP = (
    "Say what is in a file: its datasets, each column's numbers, the classes, and what is doubtful."
)

EPILOG = """examples:
  distmlp data measured.h5
  distmlp data measured.h5:/train houses.csv --json

A column's spread is its standard deviation; distinct counts different values, up to 1000."""

#: Columns that are shown to people.
_MOST_SHOWN = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what `distmlp data` takes."""
    parser.add_argument(
        "specs",
        metavar="SPEC",
        nargs="+",
        help="FILE.h5:/group, FILE.h5 for all of its sets, or a table that convert takes",
    )
    parser.add_argument(
        "--inputs", default="x", metavar="NAME", help="the dataset of inputs (default x)"
    )
    parser.add_argument(
        "--targets", default="y", metavar="NAME", help="the dataset of targets (default y)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a line and SPEC")


def run(args: argparse.Namespace, comm: "Communicator") -> int:
    """Looks through the files on rank 0, and prints what it found.  Raises InputError."""
    from distmlp.data.describing import describe
    from distmlp.parallel.rank0 import on_rank_0

    found = on_rank_0(
        comm, lambda: [describe(spec, args.inputs, args.targets) for spec in args.specs]
    )
    if comm.rank == 0:
        for described in found:
            print(json.dumps(described) if args.json else _text(described))
    return COMPLETE


def _text(described: dict[str, Any]) -> str:
    lines = []
    for dataset in described["file"]:
        chunks = f", chunks {_shape(dataset['chunks'])}" if dataset["chunks"] else ""
        filters = f", {' '.join(dataset['filters'])}" if dataset["filters"] else ""
        lines.append(
            f"{dataset['name']}  {_shape(dataset['shape'])} {dataset['dtype']}{chunks}{filters}"
        )
    if not described["sets"]:
        lines.append("no group has a dataset of inputs; --inputs names it")
    for found in described["sets"]:
        lines += ["", f"{found['spec']}: {found['rows']} rows, {len(found['columns'])} columns"]
        lines += [f"  {note}" for note in found.get("notes", ())]
        lines += _columns("column", found["columns"])
        if found["targets"]:
            lines += _columns("target", found["targets"])
        if found["classes"]:
            total = sum(found["classes"].values())
            shown = list(found["classes"].items())[:_MOST_SHOWN]
            lines += [f"  class {name}: {n} ({100 * n / total:.1f} %)" for name, n in shown]
        lines += [f"  doubtful: {words}" for words in found["doubtful"]]
    return "\n".join(lines).lstrip("\n")


def _shape(shape: list[int] | None) -> str:
    return "no shape" if shape is None else f"({', '.join(map(str, shape))})"


def _columns(kind: str, columns: list[dict[str, Any]]) -> list[str]:
    heads = [kind, "least", "most", "mean", "spread", "missing", "distinct"]
    rows = [heads]
    for column in columns[:_MOST_SHOWN]:
        if "text" in column:
            words = ", ".join(f"{name} ({n})" for name, n in list(column["text"].items())[:4])
            rows.append(
                [
                    column["name"],
                    "text",
                    "",
                    words,
                    "",
                    str(column["missing"]),
                    str(column["distinct"]),
                ]
            )
            continue
        numbers = [column[name] for name in heads[1:5]]
        shown = ["-" if n is None else f"{n:.6g}" for n in numbers]
        many = column["distinct"]
        rows.append(
            [
                column["name"],
                *shown,
                str(column["missing"] + column["infinite"]),
                "many" if many is None else str(many),
            ]
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
    lines = [
        "  " + "  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    if len(columns) > _MOST_SHOWN:
        lines.append(f"  … {len(columns) - _MOST_SHOWN} more; --json has all")
    return lines
