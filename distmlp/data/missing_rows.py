"""Whether all of a dataset is there: HDF5 gives zeros for rows that were never written or whose file is gone.

A fill value that the file's author asked for is no hole: it is what the author says the rows hold.
"""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from distmlp.errors import InputError


def check_no_writer(path: Path, spec: str) -> None:
    """Raises InputError where a program has the file open for writing: its rows may be half written."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return  # opening it says what is wrong
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(
            f"{spec}: another program has {path} open for writing; wait until it has closed the file"
        ) from None
    except OSError:
        pass  # a file system without locks: nobody can tell
    finally:
        os.close(handle)


def check_whole(stored: h5py.Dataset, spec: str) -> None:
    """Raises InputError where rows of a dataset are not in the file, nor in the files that it names."""
    for start, stop, why in _holes(stored):
        raise InputError(
            f"{spec}: rows {start} to {stop - 1} of {stored.name.lstrip('/')} {why}; "
            "HDF5 gives zeros for them, and they would be trained on"
        )


def _holes(stored: h5py.Dataset) -> Iterator[tuple[int, int, str]]:
    """(first row, row after the last, what is wrong with them) of rows that are not there."""
    if not stored.shape or not stored.size or _has_own_fill_value(stored):
        if stored.is_virtual:
            yield from _missing_sources(stored)
        return
    if stored.is_virtual:
        yield from _missing_sources(stored)
        yield from _unmapped(stored)
    elif stored.external:
        yield from _missing_externals(stored)
    elif stored.chunks:
        yield from _unwritten_chunks(stored)
    elif stored.id.get_space_status() == h5py.h5d.SPACE_STATUS_NOT_ALLOCATED:
        yield 0, stored.shape[0], "were never written"


def _has_own_fill_value(stored: h5py.Dataset) -> bool:
    plan = stored.id.get_create_plist()
    return plan.fill_value_defined() == h5py.h5d.FILL_VALUE_USER_DEFINED


def _unwritten_chunks(stored: h5py.Dataset) -> Iterator[tuple[int, int, str]]:
    grid = [-(-n // c) for n, c in zip(stored.shape, stored.chunks, strict=True)]
    total = int(np.prod(grid))
    there = stored.id.get_num_chunks()
    if there == total:
        return
    written = np.zeros(grid, bool)
    for offset in _chunk_offsets(stored):
        place = tuple(o // c for o, c in zip(offset, stored.chunks, strict=True))
        if all(p < g for p, g in zip(place, grid, strict=True)):
            written[place] = True
    bands = written.reshape(grid[0], -1).all(axis=1)
    for start, stop in _runs(np.logical_not(bands)):
        rows = stored.chunks[0]
        why = f"were never written ({total - int(written.sum())} of {total} chunks are missing in the file)"
        yield start * rows, min(stop * rows, stored.shape[0]), why


def _chunk_offsets(stored: h5py.Dataset) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = []
    if hasattr(stored.id, "chunk_iter"):
        stored.id.chunk_iter(lambda chunk: found.append(chunk.chunk_offset))
        return found
    return [stored.id.get_chunk_info(i).chunk_offset for i in range(stored.id.get_num_chunks())]


def _runs(chosen: np.ndarray) -> list[tuple[int, int]]:
    """(first, after the last) of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], chosen, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _missing_externals(stored: h5py.Dataset) -> Iterator[tuple[int, int, str]]:
    prefix = os.environ.get("HDF5_EXTFILE_PREFIX", "").replace("${ORIGIN}", _directory(stored))
    row_bytes = max(1, stored.id.get_type().get_size() * int(np.prod(stored.shape[1:])))
    place = 0
    for name, offset, size in stored.external:
        text = name if isinstance(name, str) else os.fsdecode(name)
        path = Path(text) if os.path.isabs(text) else Path(prefix or ".") / text
        rows = place // row_bytes, min(-(-(place + size) // row_bytes), stored.shape[0])
        wanted = min(size, row_bytes * stored.shape[0] - place)
        if not path.is_file():
            yield *rows, f"lie in {text}, which is not there"
        elif path.stat().st_size < offset + wanted:
            yield *rows, f"lie in {text}, which ends before them"
        place += size


def _directory(stored: h5py.Dataset) -> str:
    return os.path.dirname(os.path.abspath(stored.file.filename))


def _missing_sources(stored: h5py.Dataset) -> Iterator[tuple[int, int, str]]:
    """Parts of a virtual dataset whose source is not there, or is itself not whole."""
    for mapped in stored.virtual_sources():
        for number, (start, stop) in enumerate(_mapped_rows(mapped, stored)):
            name = _numbered(mapped.file_name, number)
            inside = _numbered(mapped.dset_name, number)
            if name == ".":
                why = _fault_inside(stored.file, inside, mapped)
            else:
                why = _fault_in(name, inside, mapped, stored)
            if why:
                yield start, stop, f"come from {inside.lstrip('/')} of {name}, {why}"


def _mapped_rows(mapped: Any, stored: h5py.Dataset) -> Iterator[tuple[int, int]]:
    """The rows that each block of one mapping fills; a mapping of numbered files has a block a file."""
    rows = stored.shape[0]
    if not _is_numbered(mapped):
        low, high = _corners(mapped.vspace, stored.shape)
        yield low[0], min(high[0] + 1, rows)
        return
    (start, *_), (step, *_), _, (block, *_) = mapped.vspace.get_regular_hyperslab()
    for first in range(start, rows, step):
        yield first, min(first + block, rows)


def _is_numbered(mapped: Any) -> bool:
    return "%" in mapped.file_name + mapped.dset_name


def _corners(space: h5py.h5s.SpaceID, shape: tuple[int, ...]) -> tuple[list[int], list[int]]:
    """The first and the last place of a selection; one without an end goes to that of the shape."""
    if space.get_select_type() == h5py.h5s.SEL_ALL:
        return [0] * len(shape), [n - 1 for n in shape]
    if not space.is_regular_hyperslab():
        low, high = space.get_select_bounds()
        return list(low), list(high)
    low, high = [], []
    for start, step, count, block, n in zip(*space.get_regular_hyperslab(), shape, strict=True):
        endless = h5py.h5s.UNLIMITED in (count, block)
        low.append(start)
        high.append(n - 1 if endless else start + (count - 1) * step + block - 1)
    return low, high


def _points(space: h5py.h5s.SpaceID, shape: tuple[int, ...], rows: int) -> int:
    """Numbers that a selection has in each of its rows, of which it has so many."""
    if space.get_select_type() != h5py.h5s.SEL_ALL and space.is_regular_hyperslab():
        _, _, count, block = space.get_regular_hyperslab()
        return int(np.prod([c * b for c, b in zip(count[1:], block[1:], strict=True)]))
    return -(-space.get_select_npoints() // max(1, rows))


def _numbered(name: str, number: int) -> str:
    return name.replace("%b", str(number)).replace("%%", "%")


def _fault_in(name: str, inside: str, mapped: Any, stored: h5py.Dataset) -> str | None:
    path = _source_path(name, stored)
    if path is None:
        return "a file that is not there"
    try:
        with h5py.File(path, "r", locking=False) as file:
            return _fault_inside(file, inside, mapped)
    except OSError as error:
        return f"a file that cannot be opened: {error}"


def _source_path(name: str, stored: h5py.Dataset) -> Path | None:
    """Where HDF5 looks for a source.

    It looks in the current directory too, in which every process has other files: that is left out.
    """
    here = _directory(stored)
    places = [os.environ.get("HDF5_VDS_PREFIX", ""), here]
    if os.path.isabs(name):
        return Path(name) if Path(name).is_file() else None
    for place in filter(None, places):
        path = Path(place.replace("${ORIGIN}", here)) / name
        if path.is_file():
            return path
    return None


def _fault_inside(file: h5py.File, inside: str, mapped: Any) -> str | None:
    source = file.get(inside)
    if not isinstance(source, h5py.Dataset):
        return "a dataset that is not there"
    low, high = _corners(mapped.src_space, source.shape)
    if source.ndim != len(high) or any(h >= n for h, n in zip(high, source.shape, strict=True)):
        return f"whose shape is {source.shape}, which ends before them"
    for start, stop, why in _holes(source):
        if start <= high[0] and low[0] < stop:
            return f"whose rows {start} to {stop - 1} {why}"
    return None


def _unmapped(stored: h5py.Dataset) -> Iterator[tuple[int, int, str]]:
    """Rows of a virtual dataset that no source fills, in whole or in part."""
    filled = np.zeros(stored.shape[0], np.int64)
    for mapped in stored.virtual_sources():
        for start, stop in _mapped_rows(mapped, stored):
            filled[start:stop] += _points(mapped.vspace, stored.shape, stop - start)
    row = int(np.prod(stored.shape[1:]))
    for start, stop in _runs(filled < row):
        yield start, stop, "are mapped to no source"
