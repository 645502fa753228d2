"""Conversion: IDX, CSV, .npy and .npz files become a group of an HDF5 file that can be trained on.

    /train/x   (n, d)   the inputs, in the dtype that the source stores; chunks of about 256 KiB
    /train/y   (n,)     integers: classes 0, 1, 2, …
               (n, k)   floats: numbers to be approached
    attributes of the group: "format", the line FORMAT, and "sources", the names of the source files;
    of x: "sample_shape", what a row was in the source, such as (28, 28)

Rows keep the order of the source.  A source is read in blocks of a few MiB, so that a set may be
larger than memory.  The file is written under a temporary name, synced, and renamed when it is whole.

IDX is the format of Y. LeCun, C. Cortes and C. Burges, "The MNIST database of handwritten digits":
two zero bytes, a byte for the type, a byte for the number of dimensions, the dimensions as big-endian
32-bit integers, then the numbers, big-endian, the last dimension fastest.
"""

import argparse
import csv
import difflib
import gzip
import math
import os
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import TextIOWrapper
from itertools import islice
from pathlib import Path

import h5py
import numpy as np

from distmlp import files
from distmlp.errors import InputError

FORMAT = "distmlp set 1"

_CHUNK_BYTES = 2**18
_BLOCK_BYTES = 2**22
_HDF5_CHUNK_LIMIT = 2**32
_IDX_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_CSV_DTYPES = ("uint8", "float32", "float64")
_COMPRESSIONS = ("none", "gzip")


class ConversionError(InputError):
    """The sources cannot be converted; the message is one sentence that says what to do."""


@dataclass(frozen=True)
class _Array:
    """An array of a source, (n, …); blocks(rows) reads it in order, at most so many rows at a time."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    blocks: Callable[[int], Iterator[np.ndarray]]


@dataclass(frozen=True)
class _Set:
    """A set as it will be stored; blocks(rows) gives x (≤ rows, d) and y (≤ rows,) or (≤ rows, k) in order.

    outputs: k, or None for classes.  note: what the user should be told of how the source was read.
    """

    rows: int
    sample_shape: tuple[int, ...]
    x_dtype: np.dtype
    outputs: int | None
    y_dtype: np.dtype
    blocks: Callable[[int], Iterator[tuple[np.ndarray, np.ndarray]]]
    note: str = ""


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
    if compression not in _COMPRESSIONS:
        raise ConversionError(
            f"--compression {compression}: expected one of {', '.join(_COMPRESSIONS)}"
        )
    sets = _sets(sources, group, targets, keys, dtype, regression)
    names = [source.name for source in sources]
    kept = append and out.exists()
    return _write(sets, names, out, chunk_rows, compression, kept, overwrite)


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


# Sources


def _sets(sources, group, targets, keys, dtype, regression) -> dict[str, _Set]:
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
    match kinds:
        case ["csv"]:
            sets = {group: _csv_set(sources[0], targets or ["-1"], dtype or "float64", regression)}
        case ["npz"]:
            sets = _npz_sets(sources[0], group, keys, regression)
        case ["npy", "npy"]:
            sets = {group: _paired(_npy(sources[0]), _npy(sources[1]), regression)}
        case ["idx", "idx"]:
            arrays = sorted((_idx(path) for path in sources), key=lambda array: -len(array.shape))
            if [len(array.shape) == 1 for array in arrays] != [False, True]:
                shapes = " and ".join(f"{array.name} {array.shape}" for array in arrays)
                raise ConversionError(
                    f"cannot tell images from labels in {shapes}; expected one IDX file with one dimension, the labels, "
                    "and one with more, the images"
                )
            sets = {group: _paired(*arrays, regression)}
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


@contextmanager
def _reading(path: Path):
    """Turns what goes wrong while a source is read into a ConversionError."""
    again = "copy or download it again"
    try:
        yield
    except EOFError:
        raise ConversionError(
            f"{path}: ends in the middle of its compressed data; {again}"
        ) from None
    except (gzip.BadGzipFile, zlib.error, zipfile.BadZipFile) as error:
        raise ConversionError(
            f"{path}: its compressed data is damaged or cut short ({error}); {again}"
        ) from None
    except UnicodeDecodeError as error:
        raise ConversionError(
            f"{path}: is no text in UTF-8 ({error.reason}); expected numbers parted by commas"
        ) from None
    except OSError as error:
        raise ConversionError(f"{path}: cannot be read: {error.strerror or error}") from None


def _opened(path: Path):
    """The file's bytes, decompressed where they are gzip: told by the bytes, as downloads often keep or lose the .gz."""
    with open(path, "rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
    return gzip.open(path) if is_gzip else open(path, "rb")


def _paired(x: _Array, y: _Array, regression: bool) -> _Set:
    """Inputs x (n, …) and targets y (n,) or (n, k) as a set."""
    for array in (x, y):
        if array.dtype.kind not in "iubf":
            raise ConversionError(
                f"{array.name}: has the dtype {array.dtype}, but expected real numbers"
            )
        if math.prod(array.shape) == 0 or not array.shape:
            raise ConversionError(
                f"{array.name}: is empty, its shape is {array.shape}; expected one row or more"
            )
    if len(y.shape) > 2:
        raise ConversionError(
            f"{y.name}: has the shape {y.shape}, but expected targets (samples,) or (samples, outputs); inputs go before targets"
        )
    if x.shape[0] != y.shape[0]:
        raise ConversionError(
            f"{x.name} has {x.shape[0]} rows, but {y.name} has {y.shape[0]}; expected one target a sample"
        )
    width, outputs = math.prod(x.shape[1:]), math.prod(y.shape[1:])
    classes = outputs == 1 and y.dtype.kind in "iub" and not regression
    y_dtype = _stored_dtype(y.dtype) if classes or y.dtype.kind == "f" else np.dtype("<f8")

    def blocks(rows: int):
        # strict, so that both files are read to their ends, where faults show
        for inputs, desired in zip(x.blocks(rows), y.blocks(rows), strict=True):
            yield (
                inputs.reshape(-1, width),
                desired.reshape(-1) if classes else desired.reshape(-1, outputs),
            )

    return _Set(
        x.shape[0],
        x.shape[1:],
        _stored_dtype(x.dtype),
        None if classes else outputs,
        y_dtype,
        blocks,
    )


def _stored_dtype(dtype: np.dtype) -> np.dtype:
    """The dtype, little-endian; uint8 for bool, which HDF5 has none of."""
    return np.dtype("u1") if dtype.kind == "b" else dtype.newbyteorder("<")


def _stream_blocks(name: str, stream, shape, dtype: np.dtype, rows: int) -> Iterator[np.ndarray]:
    """Blocks of an array whose bytes follow in the stream, row after row, up to its end."""
    row_bytes = dtype.itemsize * math.prod(shape[1:])
    for start in range(0, shape[0], rows):
        count = min(rows, shape[0] - start)
        data = stream.read(count * row_bytes)
        if len(data) < count * row_bytes:
            raise ConversionError(
                f"{name}: is cut short: its header says {shape[0] * row_bytes} bytes of data for the shape {shape}, but there are "
                f"{start * row_bytes + len(data)}; copy or download it again"
            )
        yield np.frombuffer(data, dtype).reshape(count, *shape[1:])
    if stream.read(1):
        raise ConversionError(
            f"{name}: goes on after the {shape[0] * row_bytes} bytes that its header says for the shape {shape}"
        )


def _idx(path: Path) -> _Array:
    def header(stream) -> tuple[tuple[int, ...], np.dtype]:
        magic = stream.read(4)
        if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _IDX_DTYPES or magic[3] == 0:
            raise ConversionError(
                f"{path}: begins with the bytes {magic.hex(' ') or 'of an empty file'}, but an IDX file begins with 00 00, a type "
                "(08, 09 or 0b to 0e) and the number of dimensions; other formats are told by .csv, .npy or .npz"
            )
        dimensions = stream.read(4 * magic[3])
        if len(dimensions) < 4 * magic[3]:
            raise ConversionError(
                f"{path}: is cut short in its header of {magic[3]} dimensions; copy or download it again"
            )
        return struct.unpack(f">{magic[3]}I", dimensions), np.dtype(_IDX_DTYPES[magic[2]])

    def blocks(rows: int):
        with _reading(path), _opened(path) as stream:
            yield from _stream_blocks(str(path), stream, *header(stream), rows)

    with _reading(path), _opened(path) as stream:
        return _Array(str(path), *header(stream), blocks)


def _npy_header(name: str, stream) -> tuple[tuple[int, ...], bool, np.dtype]:
    """The shape, whether columns come first (Fortran's order), and the dtype; the stream is left at the data."""
    try:
        version = np.lib.format.read_magic(stream)
        read = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, by_columns, dtype = read(stream)
    except ValueError as error:
        raise ConversionError(
            f"{name}: is no whole .npy array, which numpy.save writes: {error}"
        ) from None
    if dtype.hasobject:
        # Objects are pickles, and reading a pickle can run any code.
        raise ConversionError(
            f"{name}: holds Python objects (dtype {dtype}), but expected numbers; save it as an array of a numeric dtype"
        )
    return shape, by_columns, dtype


def _npy(path: Path) -> _Array:
    with _reading(path), open(path, "rb") as stream:
        shape, by_columns, dtype = _npy_header(str(path), stream)
        offset = stream.tell()
        there, expected = (
            os.fstat(stream.fileno()).st_size - offset,
            dtype.itemsize * math.prod(shape),
        )
    if there < expected:
        raise ConversionError(
            f"{path}: is cut short: its header says {expected} bytes of data for the shape {shape}, but there are {there}; "
            "copy or download it again"
        )

    def blocks(rows: int):
        with _reading(path):
            table = np.memmap(path, dtype, "r", offset, shape, "F" if by_columns else "C")
        for start in range(0, shape[0], rows):
            yield table[start : start + rows]

    return _Array(str(path), shape, dtype, blocks)


def _npz_sets(
    path: Path, group: str | None, keys: Sequence[str] | None, regression: bool
) -> dict[str | None, _Set]:
    with _reading(path), zipfile.ZipFile(path) as archive:
        there = [name.removesuffix(".npy") for name in archive.namelist()]
    if keys is not None and len(keys) != 2:
        raise ConversionError(
            f"--keys {','.join(keys)}: expected two names, the inputs' and the targets', such as x,y"
        )
    if keys is None and set(there) >= {"x_train", "y_train", "x_test", "y_test"}:
        if group is not None:
            raise ConversionError(
                f"{path}: holds a training and a test set, which become /train and /test; leave --group {group} away, "
                "or pick one set, as in --keys x_test,y_test"
            )
        pairs = {"/train": ("x_train", "y_train"), "/test": ("x_test", "y_test")}
    else:
        pairs = {group: tuple(keys or ("x", "y"))}
    for key in sum(pairs.values(), ()):
        if key not in there:
            raise ConversionError(
                f"{path}: has no array {key!r}; it has {', '.join(there) or 'nothing'}; --keys INPUTS,TARGETS names the two to take"
            )
    return {
        name: _paired(_npz_array(path, x), _npz_array(path, y), regression)
        for name, (x, y) in pairs.items()
    }


def _npz_array(path: Path, key: str) -> _Array:
    name = f"{path}, array {key!r}"

    @contextmanager
    def opened():
        with _reading(path), zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as stream:
            yield stream, *_npy_header(name, stream)

    def blocks(rows: int):
        with opened() as (stream, shape, by_columns, dtype):
            if by_columns:
                # A row is spread over the whole of the data, and a zip archive cannot be mapped.
                columns = next(_stream_blocks(name, stream, (1, *shape[::-1]), dtype, 1))[0].T
                yield from (columns[start : start + rows] for start in range(0, shape[0], rows))
            else:
                yield from _stream_blocks(name, stream, shape, dtype, rows)

    with opened() as (_, shape, _, dtype):
        return _Array(name, shape, dtype, blocks)


# CSV


def _csv_set(path: Path, targets: Sequence[str], dtype: str, regression: bool) -> _Set:
    """A CSV as a set.  It is read twice: for its rows and what its targets are, then for its numbers."""
    if dtype not in _CSV_DTYPES:
        raise ConversionError(f"--dtype {dtype}: expected one of {', '.join(_CSV_DTYPES)}")
    x_dtype = np.dtype(dtype).newbyteorder("<")
    number, text = next(_csv_lines(path), (0, ""))
    if not text:
        raise ConversionError(f"{path}: is empty; expected rows of numbers parted by commas")
    first = [cell.strip() for cell in _cells(path, number, text)]
    # An empty cell makes no header: it is a number left out, or the name of an unnamed column.
    header = any(cell and not _is_number(cell) for cell in first)
    width = len(first)
    columns = _target_columns(path, targets, first if header else None, width)
    inputs = [column for column in range(width) if column not in columns]
    if not inputs:
        raise ConversionError(
            f"{path}: has {width} columns parted by commas, all of them targets; expected inputs beside them"
        )

    read = partial(_csv_tables, path, header, width)
    rows, classes = 0, len(columns) == 1 and not regression
    for _, y in read(max(1, _BLOCK_BYTES // (8 * width)), only=columns[0]):
        rows += len(y)
        classes = classes and bool(np.all(np.isfinite(y) & (y == np.rint(y))))
    if rows == 0:
        raise ConversionError(f"{path}: has a header but no rows; expected numbers below it")

    def blocks(block_rows: int):
        for numbers, table in read(block_rows):
            x = _as_dtype(path, numbers, inputs, table[:, inputs], x_dtype)
            yield x, table[:, columns[0]].astype(np.int64) if classes else table[:, columns]

    note = f"; line {number} of {path.name} was taken as the names of the columns" if header else ""
    y_dtype, outputs = (np.dtype("<i8"), None) if classes else (np.dtype("<f8"), len(columns))
    return _Set(rows, (len(inputs),), x_dtype, outputs, y_dtype, blocks, note)


def _csv_lines(path: Path) -> Iterator[tuple[int, str]]:
    """(line number from 1, line) of each line that is not blank."""
    # utf-8-sig: spreadsheets put a byte order mark before the first cell
    with _reading(path), TextIOWrapper(_opened(path), encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            if not line.isspace():
                yield number, line


def _csv_tables(path: Path, header: bool, width: int, rows: int, only: int | None = None):
    """(line numbers, numbers) of at most so many rows at a time: (≤ rows, width), or (≤ rows, 1) of one column."""
    lines = islice(_csv_lines(path), int(header), None)
    while block := list(islice(lines, rows)):
        numbers, texts = zip(*block)
        try:
            table = np.loadtxt(
                texts, delimiter=",", comments=None, quotechar='"', usecols=only, ndmin=2
            )
        except ValueError:
            table = None
        if table is None or table.shape != (len(block), width if only is None else 1):
            raise _csv_fault(path, block, width)
        yield numbers, table


def _csv_fault(path: Path, block: list[tuple[int, str]], width: int) -> ConversionError:
    """What the first fault in lines is that numpy could not read as rows of numbers."""
    for number, text in block:
        cells = _cells(path, number, text)
        if len(cells) != width:
            return ConversionError(
                f"{path}: line {number} has {len(cells)} columns, but the first line has {width}; expected as many"
            )
        for column, cell in enumerate(cells):
            if not _is_number(cell):
                return ConversionError(
                    f"{path}: line {number}, column {column} holds {cell.strip()!r}, but expected a number (columns count from 0)"
                )
    return ConversionError(
        f"{path}: lines {block[0][0]} to {block[-1][0]} cannot be read as numbers parted by commas"
    )


def _cells(path: Path, number: int, text: str) -> list[str]:
    try:
        return next(csv.reader([text], strict=True))
    except csv.Error as error:
        raise ConversionError(
            f"{path}: line {number} is no row of cells parted by commas: {error}"
        ) from None


def _is_number(cell: str) -> bool:
    """Whether numpy reads it as a number; Python's own numbers may have underscores and other digits."""
    try:
        float(cell)
    except ValueError:
        return False
    return cell.isascii() and "_" not in cell


def _target_columns(
    path: Path, targets: Sequence[str], names: list[str] | None, width: int
) -> list[int]:
    """Indices of the target columns, each given by a name in the header or by an index."""
    columns = []
    for target in targets:
        if names and target in names:
            column = names.index(target)
            if names.count(target) > 1:
                raise ConversionError(
                    f"{path}: --targets {target}: {names.count(target)} columns have that name; give the index"
                )
        elif target.removeprefix("-").isdecimal():
            column = int(target) + width * target.startswith("-")
            if not 0 <= column < width:
                raise ConversionError(
                    f"{path}: --targets {target}: expected an index from {-width} to {width - 1}"
                )
        elif names:
            near = difflib.get_close_matches(target, names, 1)
            hint = (
                f"did you mean {near[0]!r}?"
                if near
                else f"the columns are {', '.join(names[:8])}{', …' * (width > 8)}"
            )
            raise ConversionError(f"{path}: --targets {target}: no column has that name; {hint}")
        else:
            raise ConversionError(
                f"{path}: --targets {target}: the file has no header, so expected an index from {-width} to {width - 1}"
            )
        if column in columns:
            raise ConversionError(
                f"{path}: --targets {','.join(targets)}: names column {column} twice"
            )
        columns.append(column)
    return columns


def _as_dtype(
    path: Path, numbers, columns: list[int], table: np.ndarray, dtype: np.dtype
) -> np.ndarray:
    """The table in a dtype that holds all of it: integers exactly, floats rounded but not overflowing."""
    with np.errstate(invalid="ignore", over="ignore"):
        cast = table.astype(dtype)
    held = cast == table if dtype.kind == "u" else np.isfinite(cast) == np.isfinite(table)
    if not held.all():
        row, column = np.argwhere(~held)[0]
        raise ConversionError(
            f"{path}: line {numbers[row]}, column {columns[column]} holds {table[row, column]:g}, which {dtype.name} cannot hold; "
            "choose another --dtype (columns count from 0)"
        )
    return cast


# The file


def _write(
    sets: dict[str, _Set],
    sources: list[str],
    out: Path,
    chunk_rows: int | None,
    compression: str,
    kept: bool,
    overwrite: bool,
) -> list[str]:
    """Writes the sets to a new file or, kept, to a copy of the one that is there."""
    try:
        with files.replacing(out, must_not_exist=not (kept or overwrite)) as temporary:
            if kept:
                shutil.copy(out, temporary.name)
            with h5py.File(temporary.name, "r+" if kept else "w", locking=False) as file:
                return [
                    f"{out}:{name}: {_write_set(_new_group(file, name, out), found, sources, chunk_rows, compression)}"
                    for name, found in sets.items()
                ]
    except (OSError, RuntimeError) as error:
        # h5py reports a full disk as a RuntimeError when it is found while closing
        raise ConversionError(f"{out}: cannot be written: {error}") from error


def _new_group(file: h5py.File, name: str, out: Path) -> h5py.Group:
    try:
        return file.create_group(name)
    except ValueError:
        raise ConversionError(
            f"{out}: has {name} already, or a dataset on the way to it; name another with --group, or write the file anew with --overwrite"
        ) from None


def _write_set(
    group: h5py.Group, found: _Set, sources: list[str], chunk_rows: int | None, compression: str
) -> str:
    """Writes a set into an empty group, and describes it."""
    width = math.prod(found.sample_shape)
    row_bytes = max(width * found.x_dtype.itemsize, (found.outputs or 1) * found.y_dtype.itemsize)
    chunk = min(found.rows, chunk_rows or max(1, _CHUNK_BYTES // row_bytes))
    if chunk * row_bytes >= _HDF5_CHUNK_LIMIT:
        raise ConversionError(
            f"--chunk-rows {chunk}: a chunk would have {chunk * row_bytes} bytes, but HDF5 takes less than 4 GiB; give fewer rows"
        )
    # Byte shuffling lets gzip see the exponents of floats side by side.
    filters = {"compression": "gzip", "shuffle": True} if compression == "gzip" else {}
    y_tail = () if found.outputs is None else (found.outputs,)
    x, y = (
        group.create_dataset(
            name, (found.rows, *tail), dtype, chunks=(chunk, *tail), track_times=False, **filters
        )
        for name, tail, dtype in (("x", (width,), found.x_dtype), ("y", y_tail, found.y_dtype))
    )
    group.attrs["format"] = FORMAT
    group.attrs["sources"] = sources
    x.attrs["sample_shape"] = found.sample_shape

    row, largest = 0, 0
    # Whole chunks at a time, so that none is compressed twice.
    for inputs, desired in found.blocks(chunk * max(1, _BLOCK_BYTES // (chunk * row_bytes))):
        if found.outputs is None:
            if (desired < 0).any():
                place = int(np.argmax(desired < 0))
                raise ConversionError(
                    f"{', '.join(sources)}: the target of row {row + place} is {desired[place]}, but classes are 0, 1, 2, …; "
                    "number them so, or keep the targets as numbers with --regression"
                )
            largest = max(largest, int(desired.max()))
        x[row : row + len(inputs)] = inputs
        y[row : row + len(inputs)] = desired
        row += len(inputs)
    kind = f"classes 0 to {largest}" if found.outputs is None else f"{found.outputs} targets each"
    return f"{found.rows} samples, {width} inputs each ({found.x_dtype.name}), {kind} ({found.y_dtype.name}){found.note}"
