"""The feed: a set's rows as the micro-batches of one step after another.

Which rows, and in what order, is shards.py's; windows.py reads them ahead; blocks.py makes the network's numbers of
them.  A step that is large comes piece by piece, so that its size is no question of memory.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import DTypeLike

from distmlp.config.sections import DataConfig
from distmlp.data.blocks import Block, Conversion
from distmlp.data.dataset import DataSet
from distmlp.data.digest import added
from distmlp.data.sample_weights import Weighting
from distmlp.data.transform import Transform, kept_dtype, transform_of
from distmlp.data.windows import Window, Windows
from distmlp.mathematics.shards import Group, Shards

#: Rows that are read together from a file that has no chunks and where the config declares none.
CONTIGUOUS_CHUNK_ROWS = 256

#: Steps are converted together as far as they fit into this, about a core's cache.
_BLOCK_BYTES = 2**20

#: Steps that are converted together at most, since each one's stacks are kept.
_BLOCK_STEPS = 1024

#: A step that takes more than this is converted in pieces of about as much, each large enough for a pass.
PIECE_BYTES = 2**22


@dataclass
class MicroBatches:
    """A stack of s equal micro-batches of one step: x (s, M, d), y (s, M, outputs), labels (s, M) or None.

    Each lies in memory without gaps.  shard: the number of the first one's shard; the others' follow.  ends: whether
    no more stacks of the step come after it; of no effect but on speed.  weights: of the samples, (s, M), None where all
    count the same.
    """

    x: np.ndarray
    y: np.ndarray
    labels: np.ndarray | None
    shard: int = 0
    ends: bool = True
    weights: np.ndarray | None = None

    def part(self, first: int, last: int) -> "MicroBatches":
        """The micro-batches first … last - 1 of a stack."""
        labels, weights = (
            None if part is None else part[first:last] for part in (self.labels, self.weights)
        )
        ends = self.ends and last == len(self.y)
        x, y = self.x[first:last], self.y[first:last]
        return MicroBatches(x, y, labels, self.shard + first, ends, weights)


def _stack(made: Block, start: int, s: int, M: int, shard: int, ends: bool = True) -> MicroBatches:
    """s micro-batches of M rows, from row `start` of a block on; shard: the first one's."""
    here = slice(start, start + s * M)
    labels, weights = (
        None if part is None else part[here].reshape(s, M) for part in (made.labels, made.weights)
    )
    x, y = made.x[here].reshape(s, M, -1), made.y[here].reshape(s, M, -1)
    return MicroBatches(x, y, labels, shard, ends, weights)


def _stacks_of_step(
    groups: list[Group], blocks: list[Block], inside: int, is_full: bool
) -> list[MicroBatches]:
    """The stacks of the step that is number `inside` of the blocks', one a group that has rows in it."""
    stacks = []
    for group, made in zip(groups, blocks, strict=True):
        s, M = len(group.shards), group.samples(is_full)
        if M:
            stacks.append(_stack(made, inside * s * group.size, s, M, group.shards.start))
    for stack in stacks[:-1]:
        stack.ends = False
    return stacks


@dataclass(frozen=True)
class _Pieces:
    """The stacks of one step, made while they are gone through, which can be done again."""

    feed: "Feed"
    epoch: int
    step: int

    def __iter__(self) -> Iterator[MicroBatches]:
        return self.feed.pieces(self.epoch, self.step)


def chunk_rows(data: DataSet, config: DataConfig) -> int:
    """Rows that stay together in an epoch's order: as declared, else the file's own, else 256."""
    return config.chunk_rows or data.file_chunk_rows or CONTIGUOUS_CHUNK_ROWS


#: Of data.window, what a training set and what a validation set may take to be held in memory.
TRAIN_PART, VALIDATION_PART = 1 / 2, 1 / 8


def is_held(data: DataSet, config: DataConfig, part: float = TRAIN_PART) -> bool:
    """Whether a set is held in memory: where it takes this part of the config's window at most."""
    return data.stored_bytes <= part * config.window_bytes


class Feed:
    """The micro-batches of some shards, step after step.

    shards: which of the sharding's.  smoothing: targets are multiplied by the first, and the second is added.  weighting:
    what rows count.

    A window is as many steps of all shards as fit into the config's memory twice, so where it ends is no question of how
    many shards are here.  Where not even one step fits, its shards have windows in turn.  Rows become the network's
    numbers a few steps at a time, or a piece of a step, and so come to the step from a core's cache.
    """

    def __init__(
        self,
        data: DataSet,
        sharding: Shards,
        shards: range,
        config: DataConfig,
        seed: int,
        outputs: int,
        dtype: DTypeLike,
        transform: Transform | None = None,
        smoothing: tuple[float, float] | None = None,
        weighting: Weighting | None = None,
    ) -> None:
        self._data, self._sharding = data, sharding
        self._kept = kept_dtype(config, np.dtype(dtype))
        looks = data.input_dtype.kind == "f" and not config.scan
        self._conversion = Conversion(
            data, transform or transform_of(config), outputs, dtype, smoothing, looks, weighting
        )
        groups = sharding.groups(shards)
        memory = config.window_bytes
        if is_held(data, config):
            data.hold()
            memory -= data.stored_bytes
        row = (data.width + outputs) * np.dtype(dtype).itemsize + 16
        stored = data.stored_bytes // data.rows * sharding.size(0)
        steps = memory // (2 * sharding.batch_size * row + stored)
        mine = sum(len(group.shards) * group.size for group in groups)
        self._parts = [groups]
        if not steps:  # this rank's part of what fits
            most = memory // (2 * row + data.stored_bytes // data.rows)
            self._parts = _cut(groups, most * mine // sharding.batch_size)
        self._window_steps = max(1, min(sharding.steps_per_epoch, steps))
        self._windows = Windows(
            data,
            sharding,
            self._parts,
            self._window_steps,
            seed,
            chunk_rows(data, config),
            self._kept,
        )
        self._window: tuple[int, int] | None = None
        self._read = (-1, -1, 0, 0)
        self._now: list[Window] = []
        self._in_pieces = len(self._parts) > 1 or mine * row > PIECE_BYTES
        fitting = min(_BLOCK_STEPS, _BLOCK_BYTES // max(1, mine * row))
        self._block_steps = max(1, min(self._window_steps, fitting))
        self._block: tuple[int, int, int] | None = None
        self._stacks: dict[tuple[int, bool], list[MicroBatches]] = {}
        if self._in_pieces:
            self._piece_rows = max(sharding.size(0), PIECE_BYTES // row)
            self._blocks = [self._conversion.block(self._piece_rows)]
        else:
            rows = [self._block_steps * len(group.shards) * group.size for group in groups]
            self._blocks = [self._conversion.block(n) for n in rows]

    def step(self, epoch: int, step: int) -> Iterable[MicroBatches]:
        """The stacks of micro-batches of one step (0, 1, …) of an epoch (0, 1, …).

        They last until the next step is asked for; a large step is read while it is gone through, and each of its stacks
        lasts until the next one.  Raises InputError, here or then.
        """
        if self._in_pieces:
            return _Pieces(self, epoch, step)
        window, inside = divmod(step, self._window_steps)
        block, inside = divmod(inside, self._block_steps)
        self._load(epoch, window)
        if (epoch, window, block) != self._block:
            self._convert(block)
            self._block = epoch, window, block
        # Blocks are made in the same memory again and again, so a place's stacks stay what they are.
        is_full = step < self._sharding.full_steps
        stacks = self._stacks.get((inside, is_full))
        if stacks is None:
            stacks = _stacks_of_step(self._parts[0], self._blocks, inside, is_full)
            self._stacks[inside, is_full] = stacks
        return stacks

    def pieces(self, epoch: int, step: int) -> Iterator[MicroBatches]:
        """The stacks of a step, each of which lasts until the next.  Raises InputError."""
        window, inside = divmod(step, self._window_steps)
        is_full = step < self._sharding.full_steps
        shards = [group for part in self._parts for group in part if group.samples(is_full)]
        left = sum(len(group.shards) for group in shards)
        (made,) = self._blocks
        for number, part in enumerate(self._parts):
            self._load(epoch, window * len(self._parts) + number)
            for group, here in zip(part, self._now, strict=True):
                M, most = group.samples(is_full), self._piece_rows // group.size
                columns = slice(inside * group.size, inside * group.size + M)
                for first in range(0, len(group.shards) if M else 0, most):
                    some = slice(first, min(first + most, len(group.shards)))
                    s = some.stop - first
                    left -= s
                    self._conversion.make(here, some, columns, M, made)
                    yield _stack(made, 0, s, M, group.shards.start + first, ends=not left)

    def read_in(self, epoch: int) -> tuple[int, int]:
        """The digest of the rows that were read in an epoch, and how many these were."""
        return self._read[2:] if self._read[0] == epoch else (0, 0)

    def as_read(self, x: np.ndarray, y: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        """Rows as stored, in the dtypes in which a window has them."""
        dtypes = [None if part is None else part.dtype for part in self._data.memory(0, self._kept)]
        with np.errstate(over="ignore", invalid="ignore"):
            return x.astype(dtypes[0], copy=False), None if y is None else y.astype(
                dtypes[1], copy=False
            )

    def close(self) -> None:
        """Ends the thread, once it has read the window that it is at; nothing more can be asked for."""
        self._windows.close()

    def _load(self, epoch: int, number: int) -> None:
        """Has the windows of that number in use, and adds up the digests of the epoch's windows."""
        if (epoch, number) == self._window:
            return
        self._now = self._windows.load(epoch, number)
        self._window = epoch, number
        of, last, parts, rows = self._read if self._read[0] == epoch else (epoch, -1, 0, 0)
        if number > last:  # a step that is gone through again reads its windows again
            for window in self._now:
                parts, rows = added([parts, window.digest]), rows + window.rows.size
            self._read = of, number, parts, rows

    def _convert(self, number: int) -> None:
        """Makes the windows' blocks of that number."""
        for group, window, made in zip(self._parts[0], self._now, self._blocks, strict=True):
            start = number * self._block_steps * group.size
            columns = slice(start, start + self._block_steps * group.size)
            self._conversion.make(window, slice(None), columns, group.size, made)


def _cut(groups: list[Group], rows: int) -> list[list[Group]]:
    """Groups in parts whose micro-batches have at most so many rows together, and each part has one at least."""
    parts: list[list[Group]] = [[]]
    left = rows
    for group in groups:
        first, stop = group.shards.start, group.shards.stop
        while first < stop:
            s = min(left // group.size, stop - first)
            if s < 1 and parts[-1]:
                parts.append([])
                left = rows
                continue
            s = max(s, 1)
            parts[-1].append(replace(group, shards=range(first, first + s)))
            first, left = first + s, left - s * group.size
    return parts
