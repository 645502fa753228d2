"""What a source is to a conversion: arrays that are read in blocks, and the set that two of them make."""

import gzip
import importlib
import math
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import numpy as np

from distmlp.errors import InputError

#: Dimensions that an array of numpy can have.
_MOST_DIMENSIONS = 64

#: How much of a source is read at a time, so that a set may be larger than memory.
BLOCK_BYTES = 2**22


class ConversionError(InputError):
    """The sources cannot be converted; the message is one sentence that says what to do."""


@dataclass(frozen=True)
class Array:
    """An array of a source, (n, …); blocks(rows) reads it in order, at most so many rows at a time."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    blocks: Callable[[int], Iterator[np.ndarray]]


@dataclass(frozen=True)
class SourceSet:
    """A set as it will be stored; blocks(rows) gives x (≤ rows, d) and y (≤ rows,) or (≤ rows, k) in order.

    outputs: k, or None for classes.  y_dtype: None for inputs alone, and y is then None.  note: what the user
    should be told of how the source was read; words: further lines of that.  columns, target_columns: names.
    class_names: what class 0, 1, … is called.
    """

    rows: int
    sample_shape: tuple[int, ...]
    x_dtype: np.dtype
    outputs: int | None
    y_dtype: np.dtype | None
    blocks: Callable[[int], Iterator[tuple[np.ndarray, np.ndarray | None]]]
    note: str = ""
    words: tuple[str, ...] = ()
    columns: tuple[str, ...] | None = None
    target_columns: tuple[str, ...] | None = None
    class_names: tuple[str, ...] | None = None


@contextmanager
def reading(path: Path) -> Iterator[None]:
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
            f"{path}: is no text in {error.encoding.upper()} ({error.reason}); --encoding names another, such as latin-1"
        ) from None
    except OSError as error:
        raise ConversionError(f"{path}: cannot be read: {error.strerror or error}") from None


def opened(path: Path) -> BinaryIO:
    """The file's bytes, decompressed where they are gzip: told by the bytes, as downloads often keep or lose the .gz."""
    with open(path, "rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
    return cast(BinaryIO, gzip.open(path)) if is_gzip else open(path, "rb")


def paired(x: Array, y: Array, regression: bool) -> SourceSet:
    """Inputs x (n, …) and targets y (n,) or (n, k) as a set; y may hold names of classes."""
    _check_numbers(x)
    if y.dtype.kind not in "US" or len(y.shape) != 1:
        _check_numbers(y)
    if len(y.shape) > 2:
        raise ConversionError(
            f"{y.name}: has the shape {y.shape}, but expected targets (samples,) or (samples, outputs); inputs go before targets"
        )
    if x.shape[0] != y.shape[0]:
        raise ConversionError(
            f"{x.name} has {x.shape[0]} rows, but {y.name} has {y.shape[0]}; expected one target a sample"
        )
    names = _names_in(y) if y.dtype.kind in "US" else None
    width, outputs = math.prod(x.shape[1:]), math.prod(y.shape[1:])
    classes = names is not None or (outputs == 1 and y.dtype.kind in "iub" and not regression)
    y_dtype = (
        stored_dtype(y.dtype)
        if names is None and (classes or y.dtype.kind == "f")
        else np.dtype("<i8" if classes else "<f8")
    )

    def blocks(rows: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        # strict, so that both files are read to their ends, where faults show
        for inputs, desired in zip(x.blocks(rows), y.blocks(rows), strict=True):
            if names is not None:
                desired = np.searchsorted(names, desired)
            yield (
                inputs.reshape(-1, width),
                desired.reshape(-1) if classes else desired.reshape(-1, outputs),
            )

    return SourceSet(
        x.shape[0],
        x.shape[1:],
        stored_dtype(x.dtype),
        None if classes else outputs,
        y_dtype,
        blocks,
        class_names=None if names is None else tuple(map(_text, names)),
    )


def inputs_alone(x: Array) -> SourceSet:
    """Inputs x (n, …) as a set without targets."""
    _check_numbers(x)
    width = math.prod(x.shape[1:])

    def blocks(rows: int) -> Iterator[tuple[np.ndarray, None]]:
        for inputs in x.blocks(rows):
            yield inputs.reshape(-1, width), None

    return SourceSet(x.shape[0], x.shape[1:], stored_dtype(x.dtype), None, None, blocks)


def _check_numbers(array: Array) -> None:
    if len(array.shape) > _MOST_DIMENSIONS:
        raise ConversionError(
            f"{array.name}: has {len(array.shape)} dimensions, but expected {_MOST_DIMENSIONS} at most"
        )
    if array.dtype.kind not in "iubf":
        raise ConversionError(
            f"{array.name}: has the dtype {array.dtype}, but expected real numbers"
        )
    if math.prod(array.shape) == 0 or not array.shape:
        raise ConversionError(
            f"{array.name}: is empty, its shape is {array.shape}; expected one row or more"
        )


def _names_in(y: Array) -> np.ndarray:
    """The values of an array of text, sorted."""
    names = np.empty(0, y.dtype)
    for block in y.blocks(max(1, BLOCK_BYTES // y.dtype.itemsize)):
        names = np.unique(np.concatenate([names, block]))
    return names


def _text(name: str | bytes) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)


def stored_dtype(dtype: np.dtype) -> np.dtype:
    """The dtype, little-endian; uint8 for bool, which HDF5 has none of."""
    return np.dtype("u1") if dtype.kind == "b" else dtype.newbyteorder("<")


def stream_blocks(
    name: str, stream: IO[bytes], shape: tuple[int, ...], dtype: np.dtype, rows: int
) -> Iterator[np.ndarray]:
    """Blocks of an array whose bytes follow in the stream, row after row, up to its end."""
    row_bytes = dtype.itemsize * math.prod(shape[1:])
    for start in range(0, shape[0], rows):
        count = min(rows, shape[0] - start)
        data = _read(stream, count * row_bytes)
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


def _read(stream: IO[bytes], size: int) -> bytes:
    """So many bytes, or all that are left; the memory taken is that of what is there."""
    parts = []
    while size and (part := stream.read(min(size, BLOCK_BYTES))):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def of_size(
    blocks: Iterator[tuple[np.ndarray, np.ndarray | None]], rows: int
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """The same rows in blocks of so many, so that whole chunks are written."""
    x: list[np.ndarray] = []
    y: list[np.ndarray] = []
    there = 0
    for inputs, desired in blocks:
        x.append(inputs)
        if desired is not None:
            y.append(desired)
        there += len(inputs)
        if there < rows:
            continue
        all_x, all_y = np.concatenate(x), np.concatenate(y) if y else None
        full = there - there % rows
        for start in range(0, full, rows):
            yield (
                all_x[start : start + rows],
                None if all_y is None else all_y[start : start + rows],
            )
        x, y = [all_x[full:]], [] if all_y is None else [all_y[full:]]
        there -= full
    if there:
        yield np.concatenate(x), np.concatenate(y) if y else None


def imported(name: str, path: Path) -> Any:
    """A library that reads tables, imported.  Raises ConversionError where it is not there."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ConversionError(
            f'{path}: needs {name} to be read, which is not installed; pip install "distmlp[tables]" brings it'
        ) from None
