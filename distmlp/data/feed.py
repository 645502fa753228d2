"""The feed: a set's rows as the micro-batches of one step after another, window by window, block by block.

Which rows, and in what order, is shards.py's; here they are read ahead, put in order, converted to the
network's dtype and scaled.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from distmlp.config.sections import DataConfig
from distmlp.data.dataset import DataSet
from distmlp.errors import InputError
from distmlp.mathematics.layout import aligned
from distmlp.mathematics.shards import EpochOrder, Group, Shards, rows_of

#: Rows that are read together from a file that has no chunks and where the config declares none.
CONTIGUOUS_CHUNK_ROWS = 256

#: Steps are converted together as far as they fit into this, about a core's cache.
_BLOCK_BYTES = 2**20


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

    shards: which of the sharding's.  A window is as many steps of all shards as fit into the config's memory twice,
    so where it ends is no question of how many shards are here.  A thread makes the one after that in use
    meanwhile: its order and, where the set is not held in memory, its rows.  Rows become the network's numbers a few steps at a
    time, and so come to the step from a core's cache.
    """

    def __init__(
        self,
        data: DataSet,
        sharding: Shards,
        shards: range,
        config: DataConfig,
        seed: int,
        outputs: int,
        dtype,
    ):
        self._data, self._sharding, self._seed = data, sharding, seed
        self._outputs, self._dtype = outputs, np.dtype(dtype)
        self._scale = self._dtype.type(config.scale)
        self._chunk_rows = chunk_rows(data, config)
        self._groups = sharding.groups(shards)
        memory = config.window_bytes
        if data.stored_bytes <= memory // 2:
            data.hold()
            memory -= data.stored_bytes
        row = (data.width + outputs) * self._dtype.itemsize + 16
        stored = data.stored_bytes // data.rows * max(sharding.sizes)
        self._window_steps = max(
            1, min(sharding.steps_per_epoch, memory // (2 * sharding.batch_size * row + stored))
        )
        self._windows = -(-sharding.steps_per_epoch // self._window_steps)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="feed")
        self._place, self._now, self._coming = None, [], {}
        self._rooms, self._spare = self._new_rooms(), [self._new_rooms()]
        mine = sum(len(group.shards) * group.size for group in self._groups)
        self._block_steps = max(1, min(self._window_steps, _BLOCK_BYTES // max(1, mine * row)))
        self._block, self._blocks = None, [self._new_block(group) for group in self._groups]
        self._unseen = data.input_dtype.kind == "f" and not config.scan

    def step(self, epoch: int, step: int) -> list[MicroBatches]:
        """The stacks of micro-batches of one step (0, 1, …) of an epoch (0, 1, …); they last until the next is asked for."""
        window, inside = divmod(step, self._window_steps)
        block, inside = divmod(inside, self._block_steps)
        if (epoch, window) != self._place:
            self._advance((epoch, window))
        if (epoch, window, block) != self._block:
            self._convert(block)
            self._block = epoch, window, block
        full = step < self._sharding.full_steps
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
        return [
            self._data.room(len(group.shards) * self._window_steps * group.size, self._dtype)
            for group in self._groups
        ]

    def _load(self, place, rooms: list) -> tuple[list[_Window], list]:
        """A window, read into rooms; and these."""
        epoch, number = place
        order = EpochOrder(self._seed, epoch, self._data.rows, self._chunk_rows)
        return [
            self._load_group(order, group, number, room) for group, room in zip(self._groups, rooms)
        ], rooms

    def _load_group(self, order: EpochOrder, group: Group, number: int, room) -> _Window:
        first = number * self._window_steps
        stop = min(first + self._window_steps, self._sharding.steps_per_epoch)
        rows = (min(stop, self._sharding.full_steps) - first) * group.size
        if stop > self._sharding.full_steps:
            rows += group.last
        x, y = room
        window = _Window(x, y, *np.empty((2, len(group.shards), rows), np.int64))
        for i, shard in enumerate(group.shards):
            if not rows:
                continue
            start = self._sharding.starts[shard] + first * group.size
            pieces, shuffle = order.pieces(start, start + rows), order.shuffle(shard, number, rows)
            window.rows[i] = rows_of(pieces)[shuffle]
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
            x=aligned((s, rows, self._data.width), self._dtype),
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
                if window.x.dtype == x.dtype:
                    # all of them are rows, so nothing is clipped; but where it might raise, numpy takes a copy first
                    window.x.take(chosen, axis=0, out=x, mode="clip")
                else:
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
