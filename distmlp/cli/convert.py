"""The command `distmlp convert`: its options, and what they ask data/conversion/ for."""

import argparse
import csv
from pathlib import Path
from typing import TYPE_CHECKING

from distmlp.data.conversion.options import (
    COMPRESSIONS,
    CSV_DTYPES,
    HEADERS,
    MISSING,
    TableOptions,
)
from distmlp.errors import COMPLETE, InputError

if TYPE_CHECKING:
    from distmlp.parallel.communicator import Communicator

HELP = "Write tables (CSV, Parquet, Excel), MNIST-style IDX, .npy or .npz files as HDF5 that can be trained on."

EPILOG = """examples:
  distmlp convert train-images-idx3-ubyte.gz train-labels-idx1-ubyte.gz mnist.h5
  distmlp convert t10k-images-idx3-ubyte.gz t10k-labels-idx1-ubyte.gz mnist.h5 --group /test --append
  distmlp convert mnist.npz mnist.h5
  distmlp convert houses.csv houses.h5 --targets price --regression --drop id --missing drop
  distmlp convert new.csv new.h5 --no-targets
  distmlp convert X.csv y.csv set.h5
  distmlp convert x.npy y.npy set.h5 --compression gzip
  distmlp convert data.mat:/ set.h5 --inputs X --targets Y --transposed
  distmlp convert part-1.h5:/train part-2.h5:/train whole.h5

The set is then named in a config like this (pixels 0 to 255 become 0 to 1):
  [data]
  train = "mnist.h5:/train"
  validation = 0.15      # this share of the training set, drawn by the seed, is validated on
  scale = "1/255"
The test set is for the end, once nothing is chosen any more: distmlp evaluate RUN --data mnist.h5:/test"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what `distmlp convert` takes."""
    parser.add_argument(
        "sources",
        metavar="SOURCE",
        nargs="+",
        type=Path,
        help="one table (.csv, .tsv, .parquet, .xlsx, …) or two, inputs then targets; two IDX files, images and labels in "
        "either order; one or two .npy files, inputs then targets; one .npz; FILE.h5:/group, a set to write anew, or several; "
        "IDX and text may be compressed with gzip",
    )
    parser.add_argument(
        "out",
        metavar="OUT.h5",
        type=Path,
        help="the file to write; it appears under this name when it is whole",
    )
    _add_reading(parser)
    _add_writing(parser)


def add_table_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds how tables are read, which other commands take as well."""
    columns = parser.add_argument_group(
        "columns of a table, by name, by index from 0 (negative from the end), or FIRST..LAST"
    )
    for option, words in (
        ("--inputs", "the inputs; by default all columns that are not named otherwise"),
        (
            "--targets",
            "the targets, as in price or 0 or --targets=-2,-1; the last column by default",
        ),
        ("--drop", "columns to leave out"),
        ("--categories", "columns of text, each of whose values becomes an input that is 0 or 1"),
    ):
        columns.add_argument(option, metavar="COLUMNS", type=_parted, help=words)
    columns.add_argument(
        "--no-targets", action="store_true", help="the set has inputs only, for predict"
    )
    columns.add_argument(
        "--classes",
        action="store_true",
        help="the target's values are names of classes, whatever they look like; columns of text always are",
    )
    columns.add_argument(
        "--regression",
        action="store_true",
        help="targets are numbers even where all are whole; without it, one column of whole numbers means classes 0, 1, 2, …",
    )
    columns.add_argument(
        "--missing",
        choices=MISSING,
        default="refuse",
        help="rows with an empty cell (or ?, NA, NULL, …): refuse, drop, or keep as NaN (%(default)s)",
    )
    text = parser.add_argument_group("text of a table, where what is found is wrong")
    text.add_argument(
        "--delimiter", metavar="C", help="what parts cells: a character, tab, or space"
    )
    text.add_argument("--decimal", choices=(".", ","), help="what parts a number's digits")
    text.add_argument(
        "--header", choices=HEADERS, default="auto", help="whether the first line holds names"
    )
    text.add_argument("--comment", metavar="MARK", help="leave out lines that begin so")
    text.add_argument("--encoding", metavar="NAME", help="of the text, such as latin-1")
    text.add_argument("--sheet", metavar="NAME", help="of a workbook; the first by default")


def table_options(args: argparse.Namespace) -> TableOptions:
    """What add_table_arguments' arguments ask for."""
    delimiter = {"tab": "\t", "\\t": "\t", "space": " "}.get(args.delimiter, args.delimiter)
    if args.no_targets and (args.targets or args.classes):
        raise InputError(
            "--no-targets says that there are none; leave --targets and --classes away"
        )
    return TableOptions(
        inputs=args.inputs,
        targets=() if args.no_targets else args.targets,
        drop=args.drop or (),
        categories=args.categories or (),
        regression=args.regression,
        by_name=args.classes,
        missing=args.missing,
        header=args.header,
        delimiter=delimiter,
        decimal=args.decimal,
        comment=args.comment,
        encoding=args.encoding,
        sheet=args.sheet,
    )


def _parted(text: str) -> list[str]:
    """Names parted by commas; one that has a comma stands in quotes."""
    return next(csv.reader([text], skipinitialspace=True), [])


def _add_reading(parser: argparse.ArgumentParser) -> None:
    """How the sources are read."""
    add_table_arguments(parser)
    parser.add_argument(
        "--dtype",
        choices=CSV_DTYPES,
        help="tables: what inputs are stored as, float64 by default; uint8 is an eighth of the size, and enough for pixels 0 to 255",
    )
    parser.add_argument(
        "--transposed",
        action="store_true",
        help="HDF5: the arrays have samples last, as MATLAB, Fortran and R write them",
    )
    parser.add_argument(
        "--keys",
        metavar="X,Y",
        type=lambda text: text.split(","),
        help=".npz: the names of the inputs and the targets, x,y by default; x_train, y_train, x_test and y_test together "
        "become /train and /test",
    )


def _add_writing(parser: argparse.ArgumentParser) -> None:
    """What the file becomes."""
    parser.add_argument(
        "--group",
        metavar="/NAME",
        help="the group of OUT.h5 that the set goes to, /train by default; a config names it as OUT.h5:/train",
    )
    parser.add_argument(
        "--chunk-rows",
        metavar="ROWS",
        type=int,
        help="rows of an HDF5 chunk, which are read together and stay together in an epoch's order; "
        "by default as many as make about 256 KiB",
    )
    parser.add_argument(
        "--compression",
        choices=COMPRESSIONS,
        default="none",
        help="none (default), or gzip: a smaller file, and more time for each epoch's reading",
    )
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument(
        "--append",
        action="store_true",
        help="add the group to OUT.h5 where that exists, beside its other groups",
    )
    existing.add_argument(
        "--overwrite", action="store_true", help="replace OUT.h5 where that exists"
    )


def run(args: argparse.Namespace, comm: "Communicator") -> int:
    """Converts on rank 0, and prints a line on each group.  Raises InputError."""
    from distmlp.data.conversion.convert import convert
    from distmlp.parallel.rank0 import on_rank_0

    options = table_options(args)
    sentences = on_rank_0(
        comm,
        lambda: convert(
            args.sources,
            args.out,
            group=args.group,
            keys=args.keys,
            dtype=args.dtype,
            table=options,
            chunk_rows=args.chunk_rows,
            compression=args.compression,
            append=args.append,
            overwrite=args.overwrite,
            transposed=args.transposed,
        ),
    )
    if comm.rank == 0:
        print("\n".join(sentences))
    return COMPLETE
