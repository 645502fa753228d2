"""Training sets in HDF5: opening, checking, and feeding the steps window by window.

A set is a group with two datasets, inputs (n, d) and targets (n,) or (n, k).  Numbers are kept as
they are stored until a window is made; then they become the network's dtype, times the config's
scale.  Only this module and checkpoint open such files while training.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from distmlp.config import Config, DataConfig, InputError
from distmlp.shards import EpochOrder, Group, Shards

#: Rows that are read together from a file that has no chunks and where the config declares none.
CONTIGUOUS_CHUNK_ROWS = 256

#: Rows that are looked through at a time: their memory is small beside a window's.
_BLOCK_ROWS = 1024

#: Steps are converted together as far as they fit into this, about a core's cache.
_BLOCK_BYTES = 2**20


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
        except BaseException:
            self._file.close()
            raise
        self.rows = self._x.shape[0]
        self.width = int(np.prod(self._x.shape[1:]))
        y = self._y
        self.classes = y is not None and y.ndim == 1 and y.dtype.kind in "iub"
        self.outputs = None if y is None or self.classes else (1 if y.ndim == 1 else y.shape[1])
        self.file_chunk_rows = self._x.chunks[0] if self._x.chunks else 0
        self.input_dtype = self._x.dtype
        self.stored_bytes = sum(part.size * part.dtype.itemsize for part in (self._x, y) if part is not None)
        self._held = None

    def _find(self, group: str, name: str) -> h5py.Dataset:
        try:
            holder = self._file[group]
        except KeyError:
            raise InputError(f"{self.spec}: the file has no group {group}; it has {_listed(self._file)}") from None
        if not isinstance(holder, h5py.Group):
            raise InputError(f"{self.spec}: {group} is a dataset, but expected a group that holds the inputs and targets")
        if name not in holder or not isinstance(holder[name], h5py.Dataset):
            raise InputError(
                f"{self.spec}: the group has no dataset {name!r}; it has {_listed(holder)} "
                "(data.inputs and data.targets name the datasets)"
            )
        found = holder[name]
        if found.dtype.kind not in "iubf":
            raise InputError(f"{self.spec}/{name} has the dtype {found.dtype}, but expected real numbers")
        return found

    def _check_shapes(self, inputs: str, targets: str | None) -> None:
        x, y = self._x, self._y
        if x.ndim == 0 or x.shape[0] == 0 or x.size == 0:
            raise InputError(f"{self.spec}/{inputs} has the shape {x.shape}: the set is empty, but expected (samples, inputs)")
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

    def read(self, pieces: list[tuple[int, int]], into=None) -> tuple[np.ndarray, np.ndarray | None]:
        """The rows of runs (first row, row after the last), end to end: inputs (…, d), targets.

        into: where they are put, a pair of arrays such as `room` makes; else they are new, as stored.
        """
        rows = sum(stop - start for start, stop in pieces)
        if self._held is not None:
            index = np.concatenate([np.arange(*piece) for piece in pieces])
            return self._held[0][index], self._held[1][index]
        found = []
        for stored, target in zip((self._x, self._y), into or self.room(rows)):
            if stored is None:
                found.append(None)
                continue
            target = target[:rows].reshape(rows, *stored.shape[1:])
            part = target if target.dtype == stored.dtype else np.empty(target.shape, stored.dtype)
            place = 0
            for start, stop in pieces:
                try:
                    stored.read_direct(part, np.s_[start:stop], np.s_[place : place + stop - start])
                except OSError as error:
                    raise InputError(
                        f"{self.spec}: rows {start} to {stop - 1} cannot be read (a damaged file, or no memory left?): {error}"
                    ) from None
                place += stop - start
            if part is not target:
                np.copyto(target, part, casting="unsafe")
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
            raise InputError(f"{self.spec}: a class is not in 0 … {outputs - 1}; data.scan = true finds it before training")
        desired = np.zeros((len(y), outputs), dtype)
        desired[np.arange(len(y)), y.astype(np.intp)] = 1
        return desired

    def close(self) -> None:
        self._file.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


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
            reason = "it is not an HDF5 file (distmlp convert makes one from IDX, CSV, .npy and .npz)"
        else:
            reason = f"it may be cut short or damaged: {error}"
        raise InputError(f"{spec}: cannot be opened: {reason}") from None


def _listed(group: h5py.Group) -> str:
    return ", ".join(sorted(group)) or "nothing"


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
                scaled = np.multiply(x, dtype.type(config.data.scale), dtype=dtype, casting="unsafe")
            found.append((~np.isfinite(scaled).all(axis=1), f"its inputs hold a NaN or an infinity, or become one as {dtype} times data.scale"))
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
            ((y < 0) | (y >= most), f"its class is not in 0 … {most - 1}, the classes that network.layers ending with {outputs} can tell")
        ]
    y = y.reshape(len(y), -1).astype(np.float64)
    faults = [(~np.isfinite(y).all(axis=1), "its targets hold a NaN or an infinity")]
    if cost == "cross-entropy":
        low, high = (y < 0).any(axis=1), (y > 1).any(axis=1)
        faults.append((low | high, "a target is not between 0 and 1, which network.cost \"cross-entropy\" needs"))
        if output == "softmax":
            sums = np.abs(y.sum(axis=1) - 1.0) > 1e-4
            faults.append((sums, "its targets do not add up to 1, which softmax with \"cross-entropy\" needs"))
    return faults


@dataclass
class MicroBatches:
    """A stack of equal micro-batches of one step: x (s, M, d), y (s, M, outputs), labels (s, M) or None."""

    x: np.ndarray
    y: np.ndarray
    labels: np.ndarray | None


@dataclass
class _Window:
    """One window of one group, before it is converted.

    x, y: rows as stored.  order: (s, rows of the window), each shard's order in them.  rows: their
    numbers in the file.
    """

    x: np.ndarray
    y: np.ndarray
    order: np.ndarray
    rows: np.ndarray


def chunk_rows(data: DataSet, config: DataConfig) -> int:
    """Rows that stay together in an epoch's order: as declared, else the file's own, else 256."""
    return config.chunk_rows or data.file_chunk_rows or CONTIGUOUS_CHUNK_ROWS


class Feed:
    """The micro-batches of some shards, step after step.

    shards: which of cut's.  A window is as many steps of all shards as fit into the config's memory twice,
    so where it ends is no question of how many shards are here.  A thread reads the one after that in use
    meanwhile, unless the set is held in memory.  Rows become the network's numbers a few steps at a
    time, and so come to the step from a core's cache.
    """

    def __init__(self, data: DataSet, cut: Shards, shards: range, config: DataConfig, seed: int, outputs: int, dtype):
        self._data, self._cut, self._seed = data, cut, seed
        self._outputs, self._dtype = outputs, np.dtype(dtype)
        self._scale = self._dtype.type(config.scale)
        self._chunk_rows = chunk_rows(data, config)
        self._groups = cut.groups(shards)
        memory = config.window_bytes
        if data.stored_bytes <= memory // 2:
            data.hold()
            memory -= data.stored_bytes
        row = (data.width + outputs) * self._dtype.itemsize + 16
        stored = data.stored_bytes // data.rows * max(cut.sizes)
        self.steps = max(1, min(cut.steps, memory // (2 * cut.batch_size * row + stored)))
        self._windows = -(-cut.steps // self.steps)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="feed")
        self._place, self._now, self._coming = None, [], {}
        self._rooms, self._spare = self._new_rooms(), [self._new_rooms()]
        mine = sum(len(group.shards) * group.size for group in self._groups)
        self._block_steps = max(1, min(self.steps, _BLOCK_BYTES // max(1, mine * row)))
        self._block, self._blocks = None, [self._new_block(group) for group in self._groups]
        self._unseen = data.input_dtype.kind == "f" and not config.scan

    def step(self, epoch: int, step: int) -> list[MicroBatches]:
        """The stacks of micro-batches of one step (0, 1, …) of an epoch (0, 1, …); they last until the next is asked for."""
        window, inside = divmod(step, self.steps)
        block, inside = divmod(inside, self._block_steps)
        if (epoch, window) != self._place:
            self._advance((epoch, window))
        if (epoch, window, block) != self._block:
            self._convert(block)
            self._block = epoch, window, block
        full = step < self._cut.full_steps
        batches = []
        for group, made in zip(self._groups, self._blocks):
            start = inside * group.size
            stop = start + (group.size if full else group.last)
            if start < stop:
                labels = None if made.labels is None else made.labels[:, start:stop]
                batches.append(MicroBatches(made.x[:, start:stop], made.y[:, start:stop], labels))
        return batches

    def close(self) -> None:
        """Ends the thread, once it has read the window that it is at; nothing more can be asked for."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    # Windows

    def _advance(self, place) -> None:
        coming = self._coming.pop(place, None)
        # The window in use is let go of: its memory is the next one's, which is read from now on.
        self._spare.append(self._rooms)
        if coming is None:
            for other in self._coming.values():
                self._spare.append(other.result()[1])
            self._now, self._rooms = self._load(place, self._spare.pop())
        else:
            self._now, self._rooms = coming.result()
        self._place = place
        epoch, window = place
        after = (epoch, window + 1) if window + 1 < self._windows else (epoch + 1, 0)
        self._coming = {after: self._thread.submit(self._load, after, self._spare.pop())}

    def _new_rooms(self) -> list:
        """Memory for each group's rows of the longest window; none where the set is held."""
        if self._data.held is not None:
            return [self._data.held] * len(self._groups)
        return [self._data.room(len(group.shards) * self.steps * group.size, self._dtype) for group in self._groups]

    def _load(self, place, rooms: list) -> tuple[list[_Window], list]:
        """A window, read into rooms; and these."""
        epoch, number = place
        order = EpochOrder(self._seed, epoch, self._data.rows, self._chunk_rows)
        return [self._load_group(order, group, number, room) for group, room in zip(self._groups, rooms)], rooms

    def _load_group(self, order: EpochOrder, group: Group, number: int, room) -> _Window:
        first = number * self.steps
        stop = min(first + self.steps, self._cut.steps)
        rows = (min(stop, self._cut.full_steps) - first) * group.size
        if stop > self._cut.full_steps:
            rows += group.last
        x, y = room
        window = _Window(x, y, *np.empty((2, len(group.shards), rows), np.int64))
        for i, shard in enumerate(group.shards):
            start = self._cut.starts[shard] + first * group.size
            pieces, shuffle = order.pieces(start, start + rows), order.shuffle(shard, number, rows)
            if not rows:
                continue
            window.rows[i] = np.concatenate([np.arange(*piece) for piece in pieces])[shuffle]
            if self._data.held is not None:
                window.order[i] = window.rows[i]
            else:
                here = slice(i * rows, (i + 1) * rows)
                self._data.read(pieces, (x[here], y[here]))
                window.order[i] = here.start + shuffle
        return window

    # Blocks

    def _new_block(self, group: Group) -> MicroBatches:
        """Memory for the longest block of a group."""
        s, rows = len(group.shards), self._block_steps * group.size
        return MicroBatches(
            x=np.empty((s, rows, self._data.width), self._dtype),
            y=np.empty((s, rows, self._outputs), self._dtype),
            labels=np.empty((s, rows), np.int64) if self._data.classes else None,
        )

    def _convert(self, number: int) -> None:
        """Makes the window's block of that number: rows in their order, in the network's dtype, scaled."""
        for group, window, made in zip(self._groups, self._now, self._blocks):
            start = number * self._block_steps * group.size
            for i, order in enumerate(window.order):
                chosen = order[start : start + made.x.shape[1]]
                if not len(chosen):
                    continue
                x, y = made.x[i, : len(chosen)], window.y.take(chosen, axis=0)
                np.copyto(x, window.x.take(chosen, axis=0), casting="unsafe")
                if self._scale != 1:
                    np.multiply(x, self._scale, out=x)
                made.y[i, : len(chosen)] = self._data.targets_as(y, self._outputs, self._dtype)
                if made.labels is not None:
                    made.labels[i, : len(chosen)] = y
                if self._unseen:
                    self._check(x, window.rows[i, start : start + len(chosen)])

    def _check(self, x: np.ndarray, rows: np.ndarray) -> None:
        bad = ~np.isfinite(x).all(axis=1)
        if bad.any():
            raise InputError(
                f"{self._data.spec}: row {rows[bad].min()}: its inputs hold a NaN or an infinity, or become one as {self._dtype} times "
                "data.scale; data.scan = true finds it before training"
            )
