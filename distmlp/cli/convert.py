"""The command `distmlp convert`: its options, and what they ask data/conversion/ for."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from distmlp.data.conversion.options import COMPRESSIONS, CSV_DTYPES
from distmlp.errors import COMPLETE

if TYPE_CHECKING:
    from distmlp.parallel.communicator import Communicator

HELP = "Write MNIST-style IDX, CSV, .npy or .npz files as HDF5 that can be trained on."

EPILOG = """examples:
  distmlp convert train-images-idx3-ubyte.gz train-labels-idx1-ubyte.gz mnist.h5
  distmlp convert t10k-images-idx3-ubyte.gz t10k-labels-idx1-ubyte.gz mnist.h5 --group /test --append
  distmlp convert mnist.npz mnist.h5
  distmlp convert houses.csv houses.h5 --targets price --regression
  distmlp convert x.npy y.npy set.h5 --compression gzip

The set is then named in a config like this (pixels 0 to 255 become 0 to 1):
  [data]
  train = "mnist.h5:/train"
  validation = "mnist.h5:/test"
  scale = 0.00392156862745098"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what `distmlp convert` takes."""
    parser.add_argument(
        "sources",
        metavar="SOURCE",
        nargs="+",
        type=Path,
        help="two IDX files, images and labels in either order; two .npy files, inputs then targets; one .npz; or one .csv; "
        "IDX and CSV may be compressed with gzip",
    )
    parser.add_argument(
        "out",
        metavar="OUT.h5",
        type=Path,
        help="the file to write; it appears under this name when it is whole",
    )
    _add_reading(parser)
    _add_writing(parser)


def _add_reading(parser: argparse.ArgumentParser) -> None:
    """How the sources are read."""
    parser.add_argument(
        "--targets",
        metavar="COLUMNS",
        type=lambda text: text.split(","),
        help="CSV: the target columns, by name or by index from 0, negative from the end, as in price or 0 or --targets=-2,-1; "
        "the last column by default; all others are inputs",
    )
    parser.add_argument(
        "--regression",
        action="store_true",
        help="targets are numbers even where all are whole; without it, one column of whole numbers means classes 0, 1, 2, …",
    )
    parser.add_argument(
        "--dtype",
        choices=CSV_DTYPES,
        help="CSV: what inputs are stored as, float64 by default; uint8 is an eighth of the size, and enough for pixels 0 to 255",
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

    sentences = on_rank_0(
        comm,
        lambda: convert(
            args.sources,
            args.out,
            group=args.group,
            targets=args.targets,
            keys=args.keys,
            dtype=args.dtype,
            regression=args.regression,
            chunk_rows=args.chunk_rows,
            compression=args.compression,
            append=args.append,
            overwrite=args.overwrite,
        ),
    )
    if comm.rank == 0:
        print("\n".join(sentences))
    return COMPLETE
