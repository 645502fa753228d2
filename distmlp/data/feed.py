"""The feed: a set's rows as the micro-batches of one step after another, block by block of a window.

Which rows, and in what order, is shards.py's; windows.py reads them ahead; here they are put in order and
become the network's numbers.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from distmlp.config.sections import DataConfig
from distmlp.data.dataset import DataSet
from distmlp.data.digest import added
from distmlp.data.transform import Transform, kept_dtype, transform_of
from distmlp.data.windows import Window, Windows
from distmlp.errors import InputError
from distmlp.mathematics.layout import aligned
from distmlp.mathematics.shards import Group, Shards

#: Rows that are read together from a file that has no chunks and where the config declares none.
CONTIGUOUS_CHUNK_ROWS = 256

#: Steps are converted together as far as they fit into this, about a core's cache.
_BLOCK_BYTES = 2**20


@dataclass
class MicroBatches:
    """A stack of s equal micro-batches of one step: x (s, M, d), y (s, M, outputs), labels (s, M) or None.

    Each lies in memory without gaps.  shard: the number of the first one's shard; the others' follow.
    """

    x: np.ndarray
    y: np.ndarray
    labels: np.ndarray | None
    shard: int = 0

    def part(self, first: int, last: int) -> "MicroBatches":
        """The micro-batches first … last - 1 of a stack."""
        labels = None if self.labels is None else self.labels[first:last]
        return MicroBatches(self.x[first:last], self.y[first:last], labels, self.shard + first)


@dataclass
class _Block:
    """Rows of a group's next steps, one after another: x (rows, d), y (rows, outputs), labels (rows,) or None."""

    x: np.ndarray
    y: np.ndarray
    labels: np.ndarray | None

    def stack(self, start: int, s: int, M: int, shard: int) -> MicroBatches:
        """s micro-batches of M rows, from row `start` on; shard: the first one's."""
        here = slice(start, start + s * M)
        labels = None if self.labels is None else self.labels[here].reshape(s, M)
        x, y = self.x[here].reshape(s, M, -1), self.y[here].reshape(s, M, -1)
        return MicroBatches(x, y, labels, shard)


def chunk_rows(data: DataSet, config: DataConfig) -> int:
    """Rows that stay together in an epoch's order: as declared, else the file's own, else 256."""
    return config.chunk_rows or data.file_chunk_rows or CONTIGUOUS_CHUNK_ROWS


def is_held(data: DataSet, config: DataConfig) -> bool:
    """Whether a training set is held in memory: where it takes half of the config's window at most."""
    return data.stored_bytes <= config.window_bytes // 2


class Feed:
    """The micro-batches of some shards, step after step.

    shards: which of the sharding's.  smoothing: targets are multiplied by the first, and the second is added.

    A window is as many steps of all shards as fit into the config's memory twice, so where it ends is no question of how
    many shards are here.  Rows become the network's numbers a few
    steps at a time, and so come to the step from a core's cache.
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
    ) -> None:
        self._data, self._sharding = data, sharding
        self._smoothing = smoothing
        self._outputs, self._dtype = outputs, np.dtype(dtype)
        self._transform = transform or transform_of(config)
        self._kept = kept_dtype(config, self._dtype)
        self._groups = sharding.groups(shards)
        memory = config.window_bytes
        if is_held(data, config):
            data.hold()
            memory -= data.stored_bytes
        row = (data.width + outputs) * self._dtype.itemsize + 16
        stored = data.stored_bytes // data.rows * max(sharding.sizes)
        self._window_steps = max(
            1, min(sharding.steps_per_epoch, memory // (2 * sharding.batch_size * row + stored))
        )
        self._windows = Windows(
            data,
            sharding,
            self._groups,
            self._window_steps,
            seed,
            chunk_rows(data, config),
            self._kept,
        )
        self._window: tuple[int, int] | None = None
        self._read = (-1, 0, 0)
        self._now: list[Window] = []
        mine = sum(len(group.shards) * group.size for group in self._groups)
        self._block_steps = max(1, min(self._window_steps, _BLOCK_BYTES // max(1, mine * row)))
        self._block: tuple[int, int, int] | None = None
        self._blocks = [self._new_block(group) for group in self._groups]
        self._unseen = data.input_dtype.kind == "f" and not config.scan

    def step(self, epoch: int, step: int) -> list[MicroBatches]:
        """The stacks of micro-batches of one step (0, 1, …) of an epoch (0, 1, …); they last until the next is asked for."""
        window, inside = divmod(step, self._window_steps)
        block, inside = divmod(inside, self._block_steps)
        if (epoch, window) != self._window:
            self._now = self._windows.load(epoch, window)
            self._note_digests(epoch)
            self._window = epoch, window
        if (epoch, window, block) != self._block:
            self._convert(block)
            self._block = epoch, window, block
        full = step < self._sharding.full_steps
        batches = []
        for group, made in zip(self._groups, self._blocks, strict=True):
            s, M = len(group.shards), group.size if full else group.last
            start = inside * s * group.size
            if M:
                batches.append(made.stack(start, s, M, group.shards.start))
        return batches

    def read_in(self, epoch: int) -> tuple[int, int]:
        """The digest of the rows that were read in an epoch, and how many these were."""
        return self._read[1:] if self._read[0] == epoch else (0, 0)

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

    def _note_digests(self, epoch: int) -> None:
        """Adds up the digests of the epoch's windows."""
        parts, rows = self._read[1:] if self._read[0] == epoch else (0, 0)
        for window in self._now:
            parts, rows = added([parts, window.digest]), rows + window.rows.size
        self._read = epoch, parts, rows

    def _new_block(self, group: Group) -> _Block:
        """Memory for the longest block of a group, row after row."""
        rows = len(group.shards) * self._block_steps * group.size
        return _Block(
            x=aligned((rows, self._transform.width(self._data.width)), self._dtype),
            y=np.empty((rows, self._outputs), self._dtype),
            labels=np.empty(rows, np.int64) if self._data.classes else None,
        )

    def _convert(self, number: int) -> None:
        """Makes the window's block of that number: rows step after step, in the network's dtype, scaled."""
        for group, window, made in zip(self._groups, self._now, self._blocks, strict=True):
            start = number * self._block_steps * group.size
            here = slice(start, start + self._block_steps * group.size)
            chosen = _by_steps(window.order[:, here], group.size)
            if not len(chosen):
                continue
            x, y = made.x[: len(chosen)], window.y.take(chosen, axis=0)
            if not self._transform.is_plain:
                x[:] = self._transform.applied(window.x.take(chosen, axis=0), self._dtype)
            elif window.x.dtype == x.dtype:
                # All of them are rows, so nothing is clipped; but where it might raise, numpy takes a copy first.
                window.x.take(chosen, axis=0, out=x, mode="clip")
            else:
                np.copyto(x, window.x.take(chosen, axis=0), casting="unsafe")
            if self._transform.is_plain:
                self._transform.apply(x)
            desired = self._transform.desired(self._data, y, self._outputs, self._dtype)
            made.y[: len(chosen)] = desired
            if self._smoothing:
                factor, shift = np.array(self._smoothing, self._dtype)
                made.y[: len(chosen)] *= factor
                made.y[: len(chosen)] += shift
            if made.labels is not None:
                made.labels[: len(chosen)] = y
            if self._unseen:
                self._check(x, _by_steps(window.rows[:, here], group.size))

    def _check(self, x: np.ndarray, rows: np.ndarray) -> None:
        bad = ~np.isfinite(x).all(axis=1)
        if bad.any():
            raise InputError(
                f"{self._data.spec}: row {rows[bad].min()}: its inputs hold a NaN or an infinity, or become one as {self._dtype} times "
                "data.scale; data.scan = true finds it before training"
            )


def _by_steps(order: np.ndarray, size: int) -> np.ndarray:
    """Each shard's rows, (s, rows), as one step's micro-batches after another's: `size` rows a shard.

    The epoch's last step may have fewer.
    """
    s, rows = order.shape
    whole = rows // size * size
    steps = order[:, :whole].reshape(s, -1, size).swapaxes(0, 1)
    return np.concatenate([steps.ravel(), order[:, whole:].ravel()])
