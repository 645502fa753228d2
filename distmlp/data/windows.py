"""A set's rows window by window: which rows a window has, and a thread that reads the next one ahead."""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from distmlp.data.dataset import DataSet
from distmlp.data.digest import RowHash, added
from distmlp.mathematics.shards import EpochOrder, Group, Shards, rows_of

#: Inputs and targets of a group's rows, as stored; the targets are there, since a set that trains has them.
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
    """The windows of some groups of shards.

    steps: of an epoch, so many to a window.  The thread makes the window after the one in use: its order
    and, where the set is not held in memory, its rows.
    """

    def __init__(
        self,
        data: DataSet,
        sharding: Shards,
        groups: list[Group],
        steps: int,
        seed: int,
        chunk_rows: int,
        dtype: DTypeLike,
    ) -> None:
        self._data, self._sharding, self._groups = data, sharding, groups
        self._steps, self._seed, self._chunk_rows, self._dtype = steps, seed, chunk_rows, dtype
        self._windows = -(-sharding.steps_per_epoch // steps)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="feed")
        self._coming: dict[tuple[int, int], Future[tuple[list[Window], list[_Memory]]]] = {}
        self._hashes = RowHash(*data.memory(0, dtype))
        self._memory, self._spare = self._new_memory(), [self._new_memory()]

    def load(self, epoch: int, number: int) -> list[Window]:
        """A window of each group, which lasts until the next is loaded; that after it is read from now on."""
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

    def _new_memory(self) -> list[_Memory]:
        """Memory for each group's rows of the longest window; the set's own where that is held."""
        found = []
        for group in self._groups:
            rows = len(group.shards) * self._steps * group.size
            x, y = self._data.held or self._data.memory(rows, self._dtype)
            assert y is not None
            found.append((x, y))
        return found

    def _load(
        self, epoch: int, number: int, memory: list[_Memory]
    ) -> tuple[list[Window], list[_Memory]]:
        """A window of each group, read into memory; and that memory."""
        order = EpochOrder(self._seed, epoch, self._data.rows, self._chunk_rows)
        return [
            self._load_group(order, group, number, here)
            for group, here in zip(self._groups, memory, strict=True)
        ], memory

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
            start = self._sharding.starts[shard] + first * group.size
            pieces, shuffle = order.pieces(start, start + rows), order.shuffle(shard, number, rows)
            window.rows[i] = rows_of(pieces)[shuffle]
            if self._data.held is not None:
                window.order[i] = window.rows[i]
            else:
                here = slice(i * rows, (i + 1) * rows)
                self._data.read(pieces, (x[here], y[here]))
                part = self._hashes.sum(rows_of(pieces), x[here], y[here])
                window.digest = added([window.digest, part])
                window.order[i] = here.start + shuffle
        return window
