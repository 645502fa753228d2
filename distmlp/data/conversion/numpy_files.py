"""numpy's own files: one array in an .npy, named ones in an .npz."""

import math
import os
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO

import numpy as np

from distmlp.data.conversion import sources


def _npy_header(name: str, stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
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
        raise sources.ConversionError(
            f"{name}: is no whole .npy array, which numpy.save writes: {error}"
        ) from None
    if dtype.hasobject:
        # Objects are pickles, and reading a pickle can run any code.
        raise sources.ConversionError(
            f"{name}: holds Python objects (dtype {dtype}), but expected numbers; save it as an array of a numeric dtype"
        )
    return shape, by_columns, dtype


def npy_array(path: Path) -> sources.Array:
    """The array in an .npy file.  Raises ConversionError."""
    with sources.reading(path), open(path, "rb") as stream:
        shape, by_columns, dtype = _npy_header(str(path), stream)
        offset = stream.tell()
        there, expected = (
            os.fstat(stream.fileno()).st_size - offset,
            dtype.itemsize * math.prod(shape),
        )
    if there < expected:
        raise sources.ConversionError(
            f"{path}: is cut short: its header says {expected} bytes of data for the shape {shape}, but there are {there}; "
            "copy or download it again"
        )

    def blocks(rows: int) -> Iterator[np.ndarray]:
        with sources.reading(path):
            table = np.memmap(path, dtype, "r", offset, shape, "F" if by_columns else "C")
        for start in range(0, shape[0], rows):
            yield table[start : start + rows]

    return sources.Array(str(path), shape, dtype, blocks)


def npz_sets(
    path: Path, group: str | None, keys: Sequence[str] | None, regression: bool
) -> dict[str | None, sources.SourceSet]:
    """The sets in an .npz file, by the group they go to (None where none is asked for).  Raises ConversionError."""
    with sources.reading(path), zipfile.ZipFile(path) as archive:
        there = [name.removesuffix(".npy") for name in archive.namelist()]
    if keys is not None and len(keys) != 2:
        raise sources.ConversionError(
            f"--keys {','.join(keys)}: expected two names, the inputs' and the targets', such as x,y"
        )
    pairs: dict[str | None, tuple[str, str]]
    if keys is None and set(there) >= {"x_train", "y_train", "x_test", "y_test"}:
        if group is not None:
            raise sources.ConversionError(
                f"{path}: holds a training and a test set, which become /train and /test; leave --group {group} away, "
                "or pick one set, as in --keys x_test,y_test"
            )
        pairs = {"/train": ("x_train", "y_train"), "/test": ("x_test", "y_test")}
    else:
        x, y = keys or ("x", "y")
        pairs = {group: (x, y)}
    for key in chain.from_iterable(pairs.values()):
        if key not in there:
            raise sources.ConversionError(
                f"{path}: has no array {key!r}; it has {', '.join(there) or 'nothing'}; --keys INPUTS,TARGETS names the two to take"
            )
    return {
        name: sources.paired(_npz_array(path, x), _npz_array(path, y), regression)
        for name, (x, y) in pairs.items()
    }


def _npz_array(path: Path, key: str) -> sources.Array:
    name = f"{path}, array {key!r}"

    @contextmanager
    def opened() -> Iterator[tuple[IO[bytes], tuple[int, ...], bool, np.dtype]]:
        with (
            sources.reading(path),
            zipfile.ZipFile(path) as archive,
            archive.open(f"{key}.npy") as stream,
        ):
            yield stream, *_npy_header(name, stream)

    def blocks(rows: int) -> Iterator[np.ndarray]:
        with opened() as (stream, shape, by_columns, dtype):
            if by_columns:
                # A row is spread over the whole of the data, and a zip archive cannot be mapped.
                columns = next(sources.stream_blocks(name, stream, (1, *shape[::-1]), dtype, 1))[
                    0
                ].T
                yield from (columns[start : start + rows] for start in range(0, shape[0], rows))
            else:
                yield from sources.stream_blocks(name, stream, shape, dtype, rows)

    with opened() as (_, shape, _, dtype):
        return sources.Array(name, shape, dtype, blocks)
