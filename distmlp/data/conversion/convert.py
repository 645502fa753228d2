"""Conversion: IDX, CSV, .npy and .npz files become a group of an HDF5 file that can be trained on.

    /train/x   (n, d)   the inputs, in the dtype that the source stores; chunks of about 256 KiB
    /train/y   (n,)     integers: classes 0, 1, 2, …
               (n, k)   floats: numbers to be approached
    attributes of the group: "format", the line writing.FORMAT, and "sources", the names of the source files;
    of x: "sample_shape", what a row was in the source, such as (28, 28)

Rows keep the order of the source.  A source is read in blocks of a few MiB, so that a set may be
larger than memory.
"""

from collections.abc import Sequence
from pathlib import Path

import h5py

from distmlp.data.conversion import idx, writing
from distmlp.data.conversion.csv_files import csv_set
from distmlp.data.conversion.numpy_files import npy_array, npz_sets
from distmlp.data.conversion.options import COMPRESSIONS
from distmlp.data.conversion.sources import ConversionError, SourceSet, paired


def convert(
    sources: Sequence[Path],
    out: Path,
    *,
    group: str | None = None,
    targets: Sequence[str] | None = None,
    keys: Sequence[str] | None = None,
    dtype: str | None = None,
    regression: bool = False,
    chunk_rows: int | None = None,
    compression: str = "none",
    append: bool = False,
    overwrite: bool = False,
) -> list[str]:
    """Writes the set that the sources hold to a group of the file out; returns a sentence on each group written.

    sources: two IDX files in either order (the targets are the one with one dimension), two .npy files
    (inputs, then targets), one .npz, or one .csv; IDX and CSV may be compressed with gzip.

    group: where the set goes, "/train" by default; an .npz that holds x_train, y_train, x_test and y_test
    becomes "/train" and "/test".  targets: the target columns of a CSV, by name or by index from 0, negative
    from the end; the last by default.  keys: the inputs and the targets in an .npz, ("x", "y") by default.
    dtype: what CSV inputs are stored as: "uint8", "float32" or "float64", the default.
    regression: whole-numbered targets are numbers (n, k) too, not classes.

    chunk_rows: rows of an HDF5 chunk; by default as many as make about 256 KiB.  compression: "none" or
    "gzip".  append: adds the group to out, if that exists.  overwrite: replaces out.

    Raises ConversionError; whatever stood under the name out before then still stands there.
    """
    sources, out = [Path(source) for source in sources], Path(out)
    _check_out(out, append, overwrite)
    if group is not None and (not group.startswith("/") or not group.strip("/")):
        raise ConversionError(
            f'--group {group}: expected a name that begins with "/", such as /train'
        )
    if chunk_rows is not None and chunk_rows < 1:
        raise ConversionError(f"--chunk-rows {chunk_rows}: expected at least 1 row a chunk")
    if compression not in COMPRESSIONS:
        raise ConversionError(
            f"--compression {compression}: expected one of {', '.join(COMPRESSIONS)}"
        )
    sets = _sets(sources, group, targets, keys, dtype, regression)
    names = [source.name for source in sources]
    kept = append and out.exists()
    return writing.write(sets, names, out, chunk_rows, compression, kept, overwrite)


def _check_out(out: Path, append: bool, overwrite: bool) -> None:
    if out.suffix not in (".h5", ".hdf5"):
        raise ConversionError(
            f"{out}: the last path is the file to write; expected a name that ends in .h5 or .hdf5"
        )
    if append and overwrite:
        raise ConversionError(
            "--append keeps what the file holds and --overwrite replaces it; give one of the two"
        )
    if not out.parent.is_dir():
        raise ConversionError(f"{out}: there is no directory {out.parent}; make it first")
    if out.is_dir():
        raise ConversionError(f"{out}: is a directory, but expected the name of a file to write")
    if out.exists() and not (append or overwrite):
        raise ConversionError(
            f"{out}: exists already; --append adds a group to it, --overwrite replaces it"
        )
    if out.exists() and append and not h5py.is_hdf5(out):
        raise ConversionError(
            f"{out}: is no HDF5 file, so no group can be added to it; --overwrite replaces it"
        )


def _sets(
    sources: Sequence[Path],
    group: str | None,
    targets: Sequence[str] | None,
    keys: Sequence[str] | None,
    dtype: str | None,
    regression: bool,
) -> dict[str, SourceSet]:
    """The sets that the sources hold, by the group they go to."""
    for path in sources:
        if not path.is_file():
            raise ConversionError(
                f"{path}: {'is no file' if path.exists() else 'no such file'}; expected a file to convert"
            )
    kinds = [_kind(path) for path in sources]
    for option, value, kind, name in (
        ("--targets", targets, "csv", ".csv"),
        ("--dtype", dtype, "csv", ".csv"),
        ("--keys", keys, "npz", ".npz"),
    ):
        if value is not None and kind not in kinds:
            raise ConversionError(
                f"{option} is for {name} sources, but the source is {', '.join(map(str, sources))}; leave it away"
            )
    sets: dict[str | None, SourceSet]
    match kinds:
        case ["csv"]:
            sets = {group: csv_set(sources[0], targets or ["-1"], dtype or "float64", regression)}
        case ["npz"]:
            sets = npz_sets(sources[0], group, keys, regression)
        case ["npy", "npy"]:
            sets = {group: paired(npy_array(sources[0]), npy_array(sources[1]), regression)}
        case ["idx", "idx"]:
            arrays = sorted(
                (idx.array(path) for path in sources), key=lambda array: -len(array.shape)
            )
            if [len(array.shape) == 1 for array in arrays] != [False, True]:
                shapes = " and ".join(f"{array.name} {array.shape}" for array in arrays)
                raise ConversionError(
                    f"cannot tell images from labels in {shapes}; expected one IDX file with one dimension, the labels, "
                    "and one with more, the images"
                )
            images, labels = arrays
            sets = {group: paired(images, labels, regression)}
        case _:
            raise ConversionError(
                f"cannot convert {' with '.join(map(str, sources)) or 'nothing'}; expected one .csv, one .npz, two .npy (inputs, "
                "then targets) or two IDX files (images and labels, any other ending)"
            )
    return {name or "/train": found for name, found in sets.items()}


def _kind(path: Path) -> str:
    """csv, npy, npz, or idx: IDX files have no ending of their own."""
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    return suffix[1:] if suffix in (".csv", ".npy", ".npz") else "idx"
