"""The command `distmlp init`: from data to a config that trains at once."""

import argparse
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from distmlp.cli.convert import add_table_arguments, table_options
from distmlp.data.conversion.options import TableOptions
from distmlp.errors import COMPLETE, InputError

if TYPE_CHECKING:
    from distmlp.parallel.communicator import Communicator

HELP = "Write a commented config that trains on a set sensibly at once."

EPILOG = """examples:
  distmlp init measured.h5:/train
  distmlp init measured.h5:/train measured.h5:/test --output measured.toml
  distmlp init houses.csv --targets price        also writes houses.h5, by convert

A second SPEC is the validation set; without it, a tenth of the rows is held out."""


#: What is done with a table where nothing is asked for.
PLAIN = TableOptions(missing="keep")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what `distmlp init` takes."""
    parser.add_argument(
        "specs", metavar="SPEC", nargs="+", help="FILE.h5:/group, or a table that convert takes"
    )
    parser.add_argument(
        "--output",
        metavar="CONFIG.toml",
        type=Path,
        help="the file to write; by default it has the name of the data.  A table's HDF5 file and the run are named after it",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the config, and a table's HDF5 file"
    )
    add_table_arguments(parser)
    parser.set_defaults(missing=PLAIN.missing)


def run(args: argparse.Namespace, comm: "Communicator") -> int:
    """Writes the config on rank 0, and prints what to do with it.  Raises InputError."""
    from distmlp.parallel.rank0 import on_rank_0

    options = table_options(args)
    lines = on_rank_0(comm, lambda: _begin(args.specs, args.output, args.overwrite, options))
    if comm.rank == 0:
        print("\n".join(lines))
    return COMPLETE


def _begin(specs: list[str], out: Path | None, overwrite: bool, options: TableOptions) -> list[str]:
    from distmlp import files
    from distmlp.data import opening, proposing
    from distmlp.data.conversion.convert import check_fit, convert
    from distmlp.data.conversion.kinds import tables_in
    from distmlp.data.describing import check_there, describe

    if len(specs) > 2:
        raise InputError(
            f"{' '.join(specs)}: expected one set, or one to train and one to validate"
        )
    tables = [bool(tables_in(spec)) for spec in specs]
    for spec, table in zip(specs, tables, strict=True):
        if not table:
            check_there(spec)
    if not any(tables):
        check_fit(specs[:1], ["hdf5"], options, plain=PLAIN)
    path = Path(specs[0]) if tables[0] else opening.parted(specs[0])[0]
    stem = path.name.removesuffix(".gz").rpartition(".")[0] or path.name
    stem = re.sub(r"[-_.]*[*?\[\]][-_.]*", "", stem) or "set"  # of a pattern for several files
    out = out or Path(f"{stem}.toml")
    stem, whole = out.stem, out.parent / f"{out.stem}.h5"
    _check_new(out, whole if any(tables) else None, overwrite)
    said: list[str] = []
    sets: list[str] = []
    for spec, table, group in zip(specs, tables, ("/train", "/validation"), strict=False):
        if table:
            second = bool(sets) and tables[0]
            said += convert(
                [Path(spec)],
                whole,
                group=group,
                table=options,
                append=second,
                overwrite=overwrite and not second,
            )
            spec = f"{whole}:{group}"
        sets.append(spec)
    names = ("x", "y") if tables[0] else (_name(options.inputs, "x"), _name(options.targets, "y"))
    found = describe(sets[0], *names)["sets"]
    if not found:
        raise InputError(f"{sets[0]}: has no dataset {names[0]!r}; --inputs names the inputs")
    if ":/" not in sets[0]:
        sets[0] = found[0]["spec"]  # a file alone: the first of its sets
    targets_are = "numbers" if options.regression else "classes" if options.by_name else "auto"
    proposal = proposing.proposed(found[0], targets_are)
    places = [_from(spec, out.parent) for spec in sets]
    config = proposing.text(proposal, places[0], "".join(places[1:]), names, f"runs/{stem}")
    files.write(out, config.encode(), must_not_exist=not overwrite)
    doubts = [f"  doubtful  {words}" for words in proposal.doubtful]
    said += [f"{out}: {'-'.join(map(str, proposal.layers))}, {proposal.output}, {proposal.cost}"]
    return [*said, *doubts, f"distmlp train {out}"]


def _check_new(out: Path, whole: Path | None, overwrite: bool) -> None:
    """Raises InputError where the config, or the HDF5 file of a table, is there, and says what to do with what is there."""
    from distmlp.results.outputs import check_output

    check_output(out, True, [".toml"])
    if overwrite:
        return
    renamed = "--output NEW.toml gives all that init writes a new name"
    if out.exists():
        raise InputError(
            f"{out} is there already, and init leaves it as it is: distmlp train {out} trains with it, --overwrite writes it "
            f"anew, {renamed}"
        )
    if whole is not None and whole.exists():
        raise InputError(
            f"{whole} is there already, where init would write the table: distmlp init {whole} begins with what is in it, "
            f"--overwrite writes it anew, {renamed}"
        )


def _name(asked: Sequence[str] | None, default: str) -> str:
    return asked[0] if asked else default


def _from(spec: str, directory: Path) -> str:
    """A set as a config in a directory names it."""
    path, colon, group = spec.rpartition(":/")
    if not colon:
        return os.path.relpath(spec, directory)
    return f"{os.path.relpath(path, directory)}{colon}{group}"
