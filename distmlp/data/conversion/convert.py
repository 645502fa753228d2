"""Conversion: IDX, .npy, .npz and tables (CSV, Parquet, Excel) become a group of an HDF5 file that can be trained on.

    /train/x   (n, d)   the inputs, in the dtype that the source stores; chunks of about 256 KiB
    /train/y   (n,)     integers: classes 0, 1, 2, …
               (n, k)   floats: numbers to be approached; no y in a set of inputs alone
    attributes of the group: "format", the line writing.FORMAT, and "sources", the names of the source files;
    of x: "sample_shape", what a row was in the source, such as (28, 28); of x and y: "columns", the names of the
    columns, where the source has some; of y: "classes", the names of the classes, where they are names

Rows keep the order of the source.  A source is read in blocks of a few MiB, so that a set may be
larger than memory.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import h5py

from distmlp.data.conversion import hdf5_files, idx, writing
from distmlp.data.conversion.kinds import (
    is_netcdf,
    kind_of,
    spec_in,
    table_of,
    tables_in,
    whole_table,
)
from distmlp.data.conversion.numpy_files import npy_array, npz_sets
from distmlp.data.conversion.options import (
    COMPRESSIONS,
    HEADERS,
    MISSING,
    TABLE_ENDINGS,
    TableOptions,
)
from distmlp.data.conversion.sources import ConversionError, SourceSet, inputs_alone, paired
from distmlp.data.conversion.table_sets import joined_set, table_set


def convert(
    sources: Sequence[Path],
    out: Path,
    *,
    group: str | None = None,
    targets: Sequence[str] | None = None,
    keys: Sequence[str] | None = None,
    dtype: str | None = None,
    regression: bool = False,
    table: TableOptions | None = None,
    chunk_rows: int | None = None,
    compression: str = "none",
    append: bool = False,
    overwrite: bool = False,
    transposed: bool = False,
) -> list[str]:
    """Writes the set that the sources hold to a group of the file out; returns a sentence on each group written.

    Lines that begin with two blanks follow a sentence: which columns were taken, which classes there are, and what is
    doubtful.

    sources: two IDX files in either order (the targets are the one with one dimension), one or two .npy files
    (inputs, then targets), one .npz, one table or two (inputs, then targets); a pattern such as "part-*.csv" for
    tables below one another; NetCDF files also side by side, where their variables differ; sets in HDF5, as
    FILE.h5:/group, below one another, and data frames of pandas in it.  IDX and text may be compressed with gzip.

    group: where the set goes, "/train" by default; an .npz that holds x_train, y_train, x_test and y_test
    becomes "/train" and "/test".  table: how a table becomes a set; targets, dtype and regression, where given,
    replace what it says.  keys: the inputs and the targets in an .npz, ("x", "y") by default.
    regression: whole-numbered targets are numbers (n, k) too, not classes.

    transposed: the arrays of HDF5 files have samples last.

    chunk_rows: rows of an HDF5 chunk; by default as many as make about 256 KiB.  compression: "none" or
    "gzip".  append: adds the group to out, if that exists.  overwrite: replaces out.

    Raises ConversionError; whatever stood under the name out before then still stands there.
    """
    sources, out = [Path(source) for source in sources], Path(out)
    _check_out(out, append, overwrite)
    options = table or TableOptions()
    if targets is not None:
        options = replace(options, targets=targets)
    if dtype is not None:
        options = replace(options, dtype=dtype)
    options = replace(options, regression=regression or options.regression)
    _check_options(group, chunk_rows, compression, options)
    given = len(sources)
    sources = [one for source in sources for one in tables_in(str(source)) or [source]]
    sets = _sets(sources, group, keys, options, transposed, len(sources) > given)
    names = [os.path.basename(str(source).rpartition(":/")[0]) or source.name for source in sources]
    kept = append and out.exists()
    return writing.write(sets, names, out, chunk_rows, compression, kept, overwrite)


def _check_options(
    group: str | None, chunk_rows: int | None, compression: str, options: TableOptions
) -> None:
    if group is not None and (not group.startswith("/") or not group.strip("/")):
        raise ConversionError(
            f'--group {group}: expected a name that begins with "/", such as /train'
        )
    if chunk_rows is not None and chunk_rows < 1:
        raise ConversionError(f"--chunk-rows {chunk_rows}: expected at least 1 row a chunk")
    for option, value, names in (
        ("--compression", compression, COMPRESSIONS),
        ("--missing", options.missing, MISSING),
        ("--header", options.header, HEADERS),
        ("--decimal", options.decimal or ".", (".", ",")),
    ):
        if value not in names:
            raise ConversionError(f"{option} {value}: expected one of {', '.join(names)}")
    if options.regression and (options.by_name or options.classes):
        raise ConversionError(
            "--regression takes targets as numbers, --classes as names; give one of the two"
        )
    if options.delimiter is not None and (
        len(options.delimiter) != 1 or options.delimiter in '"\r\n'
    ):
        raise ConversionError(
            f"--delimiter {options.delimiter}: expected one character, tab, or space for any run of blanks"
        )
    if options.delimiter == "," and options.decimal == ",":
        raise ConversionError(
            "--delimiter and --decimal are both a comma; give another for one of them"
        )


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
    keys: Sequence[str] | None,
    options: TableOptions,
    transposed: bool,
    below: bool,
) -> dict[str, SourceSet]:
    """The sets that the sources hold, by the group they go to.  below: tables follow one another, even if they are two."""
    for path in sources:
        if not path.is_file() and spec_in(path) is None:
            raise ConversionError(
                f"{path}: {'is no file' if path.exists() else 'no such file'}; expected a file to convert"
            )
    kinds = [kind_of(path) for path in sources]
    check_fit(sources, kinds, options, keys, transposed)
    regression, are_netcdf = options.regression, all(is_netcdf(path) for path in sources)
    sets: dict[str | None, SourceSet]
    match kinds:
        case ["table", *more] if set(more) <= {"table"} and (not more or below or are_netcdf):
            sets = {group: table_set(whole_table(sources, options), options)}
        case ["hdf5", *more] if set(more) <= {"hdf5"}:
            specs = [spec_in(path) or str(path) for path in sources]
            sets = {group: hdf5_files.stored_set(specs, options, transposed)}
        case ["table", "table"]:
            x, y = (table_of(path, options) for path in sources)
            sets = {group: joined_set(x, y, options)}
        case ["npz"]:
            sets = npz_sets(sources[0], group, keys, regression)
        case ["npy"]:
            sets = {group: inputs_alone(npy_array(sources[0]))}
        case ["npy", "npy"]:
            sets = {group: paired(npy_array(sources[0]), npy_array(sources[1]), regression)}
        case ["idx", "idx"]:
            sets = {group: idx.images_and_labels(sources, regression)}
        case _:
            raise ConversionError(
                f"cannot convert {' with '.join(map(str, sources)) or 'nothing'}; expected one .csv, one .npz, one .npy of inputs, "
                "two .npy or tables (inputs, then targets) or two IDX files (images and labels, any other ending); "
                f"tables end in {', '.join(f'.{ending}' for ending in TABLE_ENDINGS)}"
            )
    return {name or "/train": found for name, found in sets.items()}


#: Options of tables, and their names in TableOptions; those that sets in HDF5 take as well.
_OF_TABLES = {
    "--targets": "targets",
    "--inputs": "inputs",
    "--drop": "drop",
    "--categories": "categories",
    "--dtype": "dtype",
    "--classes": "by_name",
    "--missing": "missing",
    "--header": "header",
    "--delimiter": "delimiter",
    "--decimal": "decimal",
    "--comment": "comment",
    "--encoding": "encoding",
    "--sheet": "sheet",
}
_ALSO_HDF5 = ("--inputs", "--targets", "--classes")
#: Where nothing is asked for.
_PLAIN = TableOptions()


def check_fit(
    sources: Sequence[Path | str],
    kinds: list[str],
    options: TableOptions,
    keys: Sequence[str] | None = None,
    transposed: bool = False,
    plain: TableOptions = _PLAIN,
) -> None:
    """Raises ConversionError for options, those that are not as in `plain`, that the sources have no use for."""
    given = [
        (option, "table", "tables such as .csv")
        for option, name in _OF_TABLES.items()
        if getattr(options, name) != getattr(plain, name)
    ]
    if keys is not None:
        given.append(("--keys", "npz", ".npz sources"))
    if transposed:
        given.append(("--transposed", "hdf5", "arrays in HDF5"))
    for option, kind, words in given:
        if kind not in kinds and not ("hdf5" in kinds and option in _ALSO_HDF5):
            raise ConversionError(
                f"{option} is for {words}, but the source is {', '.join(map(str, sources))}; leave it away"
            )
