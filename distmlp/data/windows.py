"""A set's rows window by window: which rows a window has, and a thread that reads the next one ahead."""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import DTypeLike

from distmlp.data.dataset import DataSet
from distmlp.data.digest import RowHash, added
from distmlp.mathematics.shards import EpochOrder, Group, Shards, rows_of

#: Inputs and targets of a window's rows, as stored; the targets are there, since a set that trains has them.
_Memory = tuple[np.ndarray, np.ndarray]


@dataclass
class Window:
    """One window of one group, before it is converted.

    x, y: rows as stored.  order: (s, rows of the window), each shard's order in them.  rows: their
    numbers in the file.  digest: of the rows, where they were read for this window.
    """

    x: np.ndarray
    y: np.ndarray
    order: np.ndarray
    rows: np.ndarray
    digest: int = 0


class Windows:
    """The windows of some shards.

    parts: these shards in groups, so many of them to a window as belong to one part.  steps: of an epoch, so many to a
    window; where there are several parts, each step's or steps' windows follow one another.  The thread makes the window
    after the one in use: its order and, where the set is not held in memory, its rows.
    """

    def __init__(
        self,
        data: DataSet,
        sharding: Shards,
        parts: list[list[Group]],
        steps: int,
        seed: int,
        chunk_rows: int,
        dtype: DTypeLike,
    ) -> None:
        self._data, self._sharding, self._parts = data, sharding, parts
        self._steps, self._dtype = steps, dtype
        self._windows = -(-sharding.steps_per_epoch // steps) * len(parts)
        self._order = EpochOrder(seed, 0, data.rows, chunk_rows)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="feed")
        self._coming: dict[tuple[int, int], Future[tuple[list[Window], _Memory]]] = {}
        self._hashes = RowHash(*data.memory(0, dtype))
        self._memory, self._spare = self._new_memory(), [self._new_memory()]

    def load(self, epoch: int, number: int) -> list[Window]:
        """A window of each group of a part, which lasts until the next is loaded; that after it is read from now on."""
        coming = self._coming.pop((epoch, number), None)
        # The window in use is let go of: its memory is the next one's.
        self._spare.append(self._memory)
        if coming is None:
            for unused in self._coming.values():
                self._spare.append(unused.result()[1])
            windows, self._memory = self._load(epoch, number, self._spare.pop())
        else:
            windows, self._memory = coming.result()
        after = (epoch, number + 1) if number + 1 < self._windows else (epoch + 1, 0)
        self._coming = {after: self._thread.submit(self._load, *after, self._spare.pop())}
        return windows

    def close(self) -> None:
        """Ends the thread, once it has read the window that it is at; nothing more can be loaded."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _new_memory(self) -> _Memory:
        """Memory for the rows of the longest window; the set's own where that is held."""
        rows = (
            self._steps * sum(len(group.shards) * group.size for group in part)
            for part in self._parts
        )
        x, y = self._data.held or self._data.memory(max(rows), self._dtype)
        assert y is not None
        return x, y

    def _load(self, epoch: int, number: int, memory: _Memory) -> tuple[list[Window], _Memory]:
        """A window of each group of a part, read into memory; and that memory."""
        if epoch != self._order.epoch:
            self._order = replace(self._order, epoch=epoch)
        place, part = divmod(number, len(self._parts))
        windows, start = [], 0
        for group in self._parts[part]:
            here = memory
            if self._data.held is None:
                rows = slice(start, start + self._steps * len(group.shards) * group.size)
                start, here = rows.stop, (memory[0][rows], memory[1][rows])
            windows.append(self._load_group(self._order, group, place, here))
        return windows, memory

    def _load_group(self, order: EpochOrder, group: Group, number: int, memory: _Memory) -> Window:
        first = number * self._steps
        stop = min(first + self._steps, self._sharding.steps_per_epoch)
        rows = (min(stop, self._sharding.full_steps) - first) * group.size
        if stop > self._sharding.full_steps:
            rows += group.last
        x, y = memory
        window = Window(x, y, *np.empty((2, len(group.shards), rows), np.int64))
        for i, shard in enumerate(group.shards):
            if not rows:
                continue
            start = self._sharding.start(shard) + first * group.size
            pieces, shuffle = order.pieces(start, start + rows), order.shuffle(shard, number, rows)
            window.rows[i] = rows_of(pieces)[shuffle]
            if self._data.held is not None:
                window.order[i] = self._data.in_held(window.rows[i])
            else:
                here = slice(i * rows, (i + 1) * rows)
                self._data.read(pieces, (x[here], y[here]))
                part = self._hashes.sum(rows_of(pieces), x[here], y[here])
                window.digest = added([window.digest, part])
                window.order[i] = here.start + shuffle
        return window
