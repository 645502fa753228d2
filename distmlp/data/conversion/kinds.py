"""Which kind a source is: told by its name, and in HDF5 by what is in it."""

from collections.abc import Sequence
from pathlib import Path

import h5py

from distmlp.data import opening, several_files
from distmlp.data.conversion import (
    csv_files,
    excel_files,
    netcdf_files,
    pandas_files,
    parquet_files,
    together,
)
from distmlp.data.conversion.options import TABLE_ENDINGS, TableOptions
from distmlp.data.conversion.tables import Table


def is_table(path: Path) -> bool:
    """Whether a file's name ends as those of tables do."""
    return _ending(path) in TABLE_ENDINGS


def tables_in(spec: str) -> list[Path]:
    """The tables that a spec names: a file, or a pattern, whose files are taken in the order of their names; [] of others."""
    if not is_table(Path(spec)) or ":/" in spec:
        return []
    if Path(spec).is_file():
        return [Path(spec)]
    return [Path(one) for one in several_files.matching(spec) or []]


def table_of(path: Path, options: TableOptions) -> Table:
    """The table in a file.  Raises ConversionError."""
    spec = spec_in(path)
    if spec is not None:
        return pandas_files.table(spec)
    match _ending(path):
        case "parquet":
            return parquet_files.table(path)
        case "nc" | "nc4":
            return netcdf_files.table(path)
        case "xlsx":
            return excel_files.table(path, options)
        case _:
            return csv_files.table(path, options)


def whole_table(paths: Sequence[Path], options: TableOptions) -> Table:
    """One table, or several as one: below one another, and NetCDF also side by side.  Raises ConversionError."""
    tables = [table_of(path, options) for path in paths]
    if len(tables) == 1:
        return tables[0]
    as_one = together.several if all(is_netcdf(path) for path in paths) else together.below
    return as_one(tables)


def is_netcdf(path: Path) -> bool:
    """Whether a file's name ends as those of NetCDF do."""
    return _ending(path) in ("nc", "nc4")


def spec_in(path: Path) -> str | None:
    """ "FILE.h5:/group" where a source is a set in HDF5, and the root where it is a file of it; None for others."""
    text = str(path)
    if text.endswith(":"):  # a path has lost the root's slash
        return f"{text}/"
    if ":/" in text:
        return text
    return text if not is_table(path) and path.is_file() and h5py.is_hdf5(path) else None


def _ending(path: Path) -> str:
    return Path(path.name.removesuffix(".gz")).suffix.lower()[1:]


def kind_of(path: Path) -> str:
    """table, npy, npz, hdf5, or idx: IDX files have no ending of their own."""
    ending = _ending(path)
    spec = spec_in(path)
    if spec is not None:
        return "table" if opening.is_frame(several_files.named(spec)[0]) else "hdf5"
    if is_table(path):
        return "table"
    return ending if ending in ("npy", "npz") else "idx"
