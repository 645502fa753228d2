"""Rows of one HDF5 dataset, read past HDF5 where the file has them as they are."""

import os
from functools import cached_property
from typing import Any

import h5py
import numpy as np

from distmlp.parallel import progress


def is_plain(stored: h5py.Dataset) -> bool:
    """Whether the file's bytes are the numbers of the dtype.

    They are not where the file has a different width, precision, offset, sign or layout of the exponent: bfloat16 and
    12 bits of 16 are such.  A different byte order is in the dtype.
    """
    kept, dtype = stored.id.get_type(), stored.dtype
    if isinstance(kept, h5py.h5t.TypeEnumID):
        kept, dtype = kept.get_super(), np.dtype(np.int8) if dtype.kind == "b" else dtype
    return bool(kept == h5py.h5t.py_create(np.dtype(dtype.str)))


class RowReader:
    """Reads rows of one HDF5 dataset.  row: the shape of one.  dtype: as stored.

    Where the file has whole rows as they are, without filters and as this machine has numbers, HDF5 is asked where they
    lie and they are read from there: through HDF5 it takes two to three times as long.
    """

    def __init__(self, stored: h5py.Dataset) -> None:
        self.row, self.dtype = stored.shape[1:], stored.dtype
        self._stored = stored
        self._row_bytes = int(np.prod(self.row)) * self.dtype.itemsize
        self._chunk_rows = stored.chunks[0] if stored.chunks else stored.shape[0]
        self._descriptor = stored.file.id.get_vfd_handle()

    @cached_property
    def _places(self) -> list[int | None] | None:
        """Where in the file each chunk's rows begin, None if nowhere yet; None where they are not there as they are."""
        stored = self._stored
        if not is_plain(stored):
            return None
        if stored.file.userblock_size:
            return None  # older HDF5 counts the places of chunks from its end
        if not stored.chunks:
            place = stored.id.get_offset()  # None of what is in another file, too
            return None if place is None else [place]
        if (
            stored.chunks[1:] != self.row
            or stored.id.get_create_plist().get_nfilters()
            or not hasattr(stored.id, "chunk_iter")
        ):
            return None
        places: list[int | None] = [None] * -(-stored.shape[0] // self._chunk_rows)

        def note(chunk: Any) -> None:
            places[chunk.chunk_offset[0] // self._chunk_rows] = chunk.byte_offset

        # All of them at once: asked for one, HDF5 goes through the chunks until it comes by.
        stored.id.chunk_iter(note)
        return places

    def read(self, start: int, out: np.ndarray) -> None:
        """The rows from `start` on, into out: (rows, …) of the dtype.  Raises OSError."""
        progress.made()
        stop = start + len(out)
        if self._places is None:
            self._through_hdf5(start, out)
            return
        for first in range(start - start % self._chunk_rows, stop, self._chunk_rows):
            a, b = max(first, start), min(first + self._chunk_rows, stop)
            part, place = out[a - start : b - start], self._places[first // self._chunk_rows]
            if place is None:  # never written
                self._through_hdf5(a, part)
            else:
                self._from_file(place + (a - first) * self._row_bytes, part)

    def _from_file(self, place: int, out: np.ndarray) -> None:
        left = out.reshape(-1).view(np.uint8)
        while left.size:
            count = os.preadv(self._descriptor, [left.data], place)
            if count == 0:
                raise OSError(f"the file ends at byte {place}")
            left, place = left[count:], place + count

    def _through_hdf5(self, start: int, out: np.ndarray) -> None:
        # h5py's own slicing takes longer to understand a slice than HDF5 takes to read it.
        space = self._stored.id.get_space()
        space.select_hyperslab((start, *(0 for _ in self.row)), out.shape)
        self._stored.id.read(h5py.h5s.create_simple(out.shape), space, out)
