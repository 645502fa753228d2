"""Training sets in HDF5: opening, reading and checking them.

A set is a group with two datasets, inputs (n, d) and targets (n,) or (n, k).  Numbers are kept as they
are stored; feed.py makes the network's of them.  Only this module and checkpoint open such files
while training.
"""

import os
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np

from distmlp.config.sections import Config
from distmlp.errors import InputError
from distmlp.mathematics.shards import rows_of

#: Rows that are looked through at a time: their memory is small beside a window's.
_BLOCK_ROWS = 1024


class DataSet:
    """One group of an HDF5 file, open for reading.

    spec: "FILE.h5:/group".  inputs, targets: the names of its datasets; targets may be None, for inputs
    alone.  Raises InputError.

    rows: n.  width: d.  classes: whether the targets are (n,) integers.  outputs: k of (n, k)
    targets, 1 for (n,) floats, None for classes.  file_chunk_rows: rows of an HDF5 chunk of the
    inputs, 0 where the file has no chunks.
    """

    def __init__(self, spec: str, inputs: str = "x", targets: str | None = "y"):
        self.spec = spec
        path, group = _parted(spec)
        self._file = _opened(path, spec)
        try:
            self._x = self._find(group, inputs)
            self._y = None if targets is None else self._find(group, targets)
            self._check_shapes(inputs, targets)
            self._readers = [
                None if stored is None else _Reader(stored) for stored in (self._x, self._y)
            ]
        except InputError:
            self._file.close()
            raise
        except (KeyError, OSError, RuntimeError, ValueError) as error:  # h5py has all of them
            self._file.close()
            raise InputError(f"{spec}: cannot be opened: the file is damaged: {error}") from None
        self.rows = self._x.shape[0]
        self.width = int(np.prod(self._x.shape[1:]))
        y = self._y
        self.classes = y is not None and y.ndim == 1 and y.dtype.kind in "iub"
        self.outputs = None if y is None or self.classes else (1 if y.ndim == 1 else y.shape[1])
        self.file_chunk_rows = self._x.chunks[0] if self._x.chunks else 0
        self.input_dtype = self._x.dtype
        self.stored_bytes = sum(
            part.size * part.dtype.itemsize for part in (self._x, y) if part is not None
        )
        self._held = None

    def _find(self, group: str, name: str) -> h5py.Dataset:
        try:
            holder = self._file[group]
        except KeyError:
            raise InputError(
                f"{self.spec}: the file has no group {group}; it has {_listed(self._file)}"
            ) from None
        if not isinstance(holder, h5py.Group):
            raise InputError(
                f"{self.spec}: {group} is a dataset, but expected a group that holds the inputs and targets"
            )
        if name not in holder or not isinstance(holder[name], h5py.Dataset):
            raise InputError(
                f"{self.spec}: the group has no dataset {name!r}; it has {_listed(holder)} "
                "(data.inputs and data.targets name the datasets)"
            )
        found = holder[name]
        if found.dtype.kind not in "iubf":
            raise InputError(
                f"{self.spec}/{name} has the dtype {found.dtype}, but expected real numbers"
            )
        return found

    def _check_shapes(self, inputs: str, targets: str | None) -> None:
        x, y = self._x, self._y
        if x.ndim == 0 or x.shape[0] == 0 or x.size == 0:
            raise InputError(
                f"{self.spec}/{inputs} has the shape {x.shape}: the set is empty, but expected (samples, inputs)"
            )
        if y is None:
            return
        if y.ndim not in (1, 2):
            raise InputError(
                f"{self.spec}/{targets} has the shape {y.shape}, but expected (samples,) classes or (samples, outputs) numbers"
            )
        if x.shape[0] != y.shape[0]:
            raise InputError(
                f"{self.spec}: {inputs} has {x.shape[0]} rows, but {targets} has {y.shape[0]}; expected one target a sample"
            )

    def hold(self) -> None:
        """Reads the whole set into memory, as stored; later reads come from there."""
        if self._held is None:
            self._held = self.read([(0, self.rows)])

    @property
    def held(self) -> tuple[np.ndarray, np.ndarray | None] | None:
        """All inputs (n, d) and targets, as stored, where they are held in memory."""
        return self._held

    def read(
        self, pieces: list[tuple[int, int]], into=None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """The rows of runs (first row, row after the last), end to end: inputs (…, d), targets.

        into: where they are put, a pair of arrays such as `room` makes; else, and where the set is held in
        memory, they are new, as stored.
        """
        rows = sum(stop - start for start, stop in pieces)
        if self._held is not None:
            index = rows_of(pieces)
            return self._held[0][index], self._held[1][index]
        found = []
        for reader, target in zip(self._readers, into or self.room(rows)):
            if reader is None:
                found.append(None)
                continue
            target = target[:rows].reshape(rows, *reader.row)
            place = 0
            for start, stop in pieces:
                here = target[place : place + stop - start]
                part = here if here.dtype == reader.dtype else np.empty(here.shape, reader.dtype)
                try:
                    reader.read(start, part)
                except (OSError, RuntimeError) as error:
                    raise InputError(
                        f"{self.spec}: rows {start} to {stop - 1} cannot be read (a damaged file, or no memory left?): {error}"
                    ) from None
                if part is not here:
                    np.copyto(here, part, casting="unsafe")
                place += stop - start
            found.append(target)
        x, y = found
        return x.reshape(rows, self.width), y

    def room(self, rows: int, dtype=None) -> tuple[np.ndarray, np.ndarray | None]:
        """Memory for so many rows: inputs (rows, d), targets.

        Their dtypes are as stored, but dtype where that takes less, for what are no classes.
        """

        def narrower(stored):
            return stored if dtype is None or stored.itemsize <= np.dtype(dtype).itemsize else dtype

        x = np.empty((rows, self.width), narrower(self._x.dtype))
        y = self._y
        if y is None:
            return x, None
        return x, np.empty((rows, *y.shape[1:]), y.dtype if self.classes else narrower(y.dtype))

    def targets_as(self, y: np.ndarray, outputs: int, dtype) -> np.ndarray:
        """Stored targets as the desired outputs, (rows, outputs): one-hot for classes, 0 or 1 for one output."""
        if not self.classes:
            return y.reshape(len(y), outputs).astype(dtype)
        if outputs == 1:
            return y.reshape(-1, 1).astype(dtype)
        if len(y) and not 0 <= int(y.min()) <= int(y.max()) < outputs:
            raise InputError(
                f"{self.spec}: a class is not in 0 … {outputs - 1}; data.scan = true finds it before training"
            )
        desired = np.zeros((len(y), outputs), dtype)
        desired[np.arange(len(y)), y.astype(np.intp)] = 1
        return desired

    def close(self) -> None:
        self._file.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class _Reader:
    """Reads rows of one HDF5 dataset.  row: the shape of one.  dtype: as stored.

    Where the file has whole rows as they are, without filters, HDF5 is asked where they lie and they are read from
    there: through HDF5 it takes two to three times as long (docs/performance.md).
    """

    def __init__(self, stored: h5py.Dataset):
        self.row, self.dtype = stored.shape[1:], stored.dtype
        self._stored = stored
        self._row_bytes = int(np.prod(self.row)) * self.dtype.itemsize
        self._chunk_rows = stored.chunks[0] if stored.chunks else stored.shape[0]
        self._descriptor = stored.file.id.get_vfd_handle()

    @cached_property
    def _places(self) -> list[int | None] | None:
        """Where in the file each chunk's rows begin, None if nowhere yet; None where they are not there as they are."""
        stored = self._stored
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
        places = [None] * -(-stored.shape[0] // self._chunk_rows)

        def note(chunk):
            places[chunk.chunk_offset[0] // self._chunk_rows] = chunk.byte_offset

        # All of them at once: asked for one, HDF5 goes through the chunks until it comes by.
        stored.id.chunk_iter(note)
        return places

    def read(self, start: int, out: np.ndarray) -> None:
        """The rows from `start` on, into out: (rows, …) of the dtype.  Raises OSError."""
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
            count = os.preadv(self._descriptor, [left], place)
            if count == 0:
                raise OSError(f"the file ends at byte {place}")
            left, place = left[count:], place + count

    def _through_hdf5(self, start: int, out: np.ndarray) -> None:
        # h5py's own slicing takes longer to understand a slice than HDF5 takes to read it.
        space = self._stored.id.get_space()
        space.select_hyperslab((start, *(0 for _ in self.row)), out.shape)
        self._stored.id.read(h5py.h5s.create_simple(out.shape), space, out)


def _parted(spec: str) -> tuple[Path, str]:
    path, colon, group = spec.rpartition(":")
    if not colon or not group.startswith("/"):
        raise InputError(f'{spec}: expected a file and a group in it, such as "digits.h5:/train"')
    return Path(path), group


def _opened(path: Path, spec: str) -> h5py.File:
    if not path.exists():
        raise InputError(f"{spec}: no such file: {path}")
    try:
        # A reader needs no lock, and some network file systems have none to give.  The chunk cache
        # holds the chunk that a window ends in until the next window begins in it.
        return h5py.File(path, "r", locking=False, rdcc_nbytes=16 * 2**20)
    except OSError as error:
        if path.is_dir():
            reason = "it is a directory"
        elif not h5py.is_hdf5(path):
            reason = (
                "it is not an HDF5 file (distmlp convert makes one from IDX, CSV, .npy and .npz)"
            )
        else:
            reason = f"it may be cut short or damaged: {error}"
        raise InputError(f"{spec}: cannot be opened: {reason}") from None


def _listed(group: h5py.Group) -> str:
    return ", ".join(sorted(map(str, group))) or "nothing"


def check_against_network(data: DataSet, layers: tuple[int, ...], where: str) -> None:
    """InputError where the set's columns are not the network's inputs and outputs.  where: the config key."""
    if data.width != layers[0]:
        raise InputError(
            f"{where} {data.spec}: a sample has {data.width} inputs, but network.layers begins with {layers[0]}; they must be equal"
        )
    if data.outputs is not None and data.outputs != layers[-1]:
        raise InputError(
            f"{where} {data.spec}: a target has {data.outputs} numbers, but network.layers ends with {layers[-1]}; they must be equal"
        )


def scan(data: DataSet, rows: range, config: Config) -> tuple[int, str] | None:
    """The first row in `rows` that cannot be trained on, and the sentence that says why; None if all can.

    Inputs that are, or become when scaled, a NaN or an infinity; the same in targets; classes that the
    outputs have no place for; targets that the cost cannot take.
    """
    network, dtype = config.network, np.dtype(config.dtype)
    look_at_inputs = data.input_dtype.kind == "f"
    for start in range(rows.start, rows.stop, _BLOCK_ROWS):
        stop = min(start + _BLOCK_ROWS, rows.stop)
        x, y = data.read([(start, stop)])
        found = []
        if look_at_inputs:
            with np.errstate(over="ignore", invalid="ignore"):
                scaled = np.multiply(
                    x, dtype.type(config.data.scale), dtype=dtype, casting="unsafe"
                )
            found.append(
                (
                    ~np.isfinite(scaled).all(axis=1),
                    f"its inputs hold a NaN or an infinity, or become one as {dtype} times data.scale",
                )
            )
        found += _target_faults(data, y, network.layers[-1], network.output, network.cost)
        rows_found = [(start + int(np.argmax(bad)), words) for bad, words in found if bad.any()]
        if rows_found:
            row, words = min(rows_found)
            return row, f"{data.spec}: row {row}: {words}"
    return None


def _target_faults(data: DataSet, y, outputs: int, output: str, cost: str):
    """[(which rows, what is wrong with them)] of stored targets."""
    if data.classes:
        most = 2 if outputs == 1 else outputs
        y = y.astype(np.int64)
        return [
            (
                (y < 0) | (y >= most),
                f"its class is not in 0 … {most - 1}, the classes that network.layers ending with {outputs} can tell",
            )
        ]
    y = y.reshape(len(y), -1).astype(np.float64)
    faults = [(~np.isfinite(y).all(axis=1), "its targets hold a NaN or an infinity")]
    if cost == "cross-entropy":
        low, high = (y < 0).any(axis=1), (y > 1).any(axis=1)
        faults.append(
            (
                low | high,
                'a target is not between 0 and 1, which network.cost "cross-entropy" needs',
            )
        )
        if output == "softmax":
            sums = np.abs(y.sum(axis=1) - 1.0) > 1e-4
            faults.append(
                (sums, 'its targets do not add up to 1, which softmax with "cross-entropy" needs')
            )
    return faults
