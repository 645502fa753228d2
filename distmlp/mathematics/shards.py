"""Which samples make which micro-batch, and which rank computes it: integers only.

    n samples ──▶ S logical shards ──▶ one micro-batch a shard a step ──▶ ranks

S and every size follow from (n, batch size, micro-batch size) alone, the order from (seed, epoch)
alone.  The rank count appears in one function, `share`, which hands out whole shards.

In an epoch the set's chunks (runs of neighbouring rows, the unit that a file is read in) are put in random order, end
to end; the stream of rows so made is cut into S runs, one a shard.  A shard reads its run window by window and takes
the rows of a window in random order.  So the file is read in long pieces, and each sample is met exactly once an
epoch.  A set of any size needs the memory of the windows only.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from distmlp.mathematics.randomness import Purpose, permutation, stream


def default_micro_batch_size(batch_size: int) -> int:
    """A quarter of the batch, but 64 to 128 samples, and never more than half of the batch.

    A function of the batch size alone.  Smaller micro-batches let more ranks take part, larger ones make
    faster GEMMs: below 64 samples they are slow, beyond 128 they gain little.

    >>> [default_micro_batch_size(batch_size) for batch_size in (10, 128, 512, 4096)]
    [5, 64, 128, 128]
    """
    return min(-(-batch_size // 2), max(64, min(-(-batch_size // 4), 128)))


def split(total: int, parts: int) -> list[int]:
    """total as `parts` whole numbers, the larger ones first, that differ by one at most.

    >>> split(11, 4)
    [3, 3, 3, 2]
    """
    return [len(part) for part in deal(total, parts)]


def share(total: int, parts: int, number: int) -> range:
    """Part `number` of 0 … total − 1: contiguous, as even as can be; parts beyond the total get nothing.

    >>> share(8, 3, 2)
    range(6, 8)
    """
    quotient, remainder = divmod(total, parts)
    start = number * quotient + min(number, remainder)
    return range(start, start + quotient + (number < remainder))


def deal(shards: int, ranks: int) -> list[range]:
    """The shards of each rank.

    >>> deal(8, 3)
    [range(0, 3), range(3, 6), range(6, 8)]
    """
    return [share(shards, ranks, rank) for rank in range(ranks)]


@dataclass(frozen=True)
class Group:
    """Neighbouring shards whose micro-batches have equal sizes, so that they are computed as one stack.

    shards: their numbers.  size: of each one's micro-batch in a full step.  last: in the epoch's last
    step, where that step is smaller (else 0).
    """

    shards: range
    size: int
    last: int

    def samples(self, is_full: bool) -> int:
        """Samples of each micro-batch in a full step, or in the epoch's last one."""
        return self.size if is_full else self.last


@dataclass(frozen=True)
class Shards:
    """How n samples are cut into logical shards.

    samples: n.  batch_size: samples a step.  micro_batch_size: the most that one micro-batch has.
    """

    samples: int
    batch_size: int
    micro_batch_size: int

    @property
    def count(self) -> int:
        """S, the number of logical shards."""
        return -(-self.batch_size // self.micro_batch_size)

    @cached_property
    def full_steps(self) -> int:
        return self.samples // self.batch_size

    @cached_property
    def steps_per_epoch(self) -> int:
        """Steps an epoch; the last is smaller where the batch size does not divide n."""
        return -(-self.samples // self.batch_size)

    def size(self, shard: int) -> int:
        """Samples of a shard's micro-batch in a full step."""
        return len(share(self.batch_size, self.count, shard))

    def last_size(self, shard: int) -> int:
        """Samples of a shard's micro-batch in the smaller last step; 0 where there is none."""
        return len(share(self.samples % self.batch_size, self.count, shard))

    def start(self, shard: int) -> int:
        """Where a shard's run begins in the epoch's stream of rows; of S, where the last one ends."""
        full, last = (
            share(samples, self.count, shard).start
            for samples in (self.batch_size, self.samples % self.batch_size)
        )
        return self.full_steps * full + last

    def groups(self, shards: range) -> list[Group]:
        """These shards as at most three groups of equal micro-batches."""
        larger = self.batch_size % self.count, self.samples % self.batch_size % self.count
        ends = [*sorted({i for i in larger if shards.start < i < shards.stop}), shards.stop]
        return [
            Group(range(start, stop), self.size(start), self.last_size(start))
            for start, stop in pairwise([shards.start, *ends])
            if start < stop
        ]


def rows_of(pieces: list[tuple[int, int]]) -> np.ndarray:
    """The rows of runs (first row, row after the last), end to end: (…,) whole numbers.

    >>> rows_of([(4, 6), (0, 3)])
    array([4, 5, 0, 1, 2])
    """
    return np.concatenate([np.arange(*piece) for piece in pieces])


@dataclass(frozen=True)
class EpochOrder:
    """The order of the rows in one epoch.

    rows: of the set.  chunk_rows: rows of a chunk; the last chunk may be shorter.
    """

    seed: int
    epoch: int
    rows: int
    chunk_rows: int

    @cached_property
    def _chunks(self) -> np.ndarray:
        count = -(-self.rows // self.chunk_rows)
        return permutation(stream(self.seed, Purpose.ORDER_CHUNKS, self.epoch), count)

    @cached_property
    def _ends(self) -> np.ndarray:
        """Where each chunk, in the epoch's order, ends in the stream, (chunks,)."""
        starts = self._chunks * self.chunk_rows
        return np.cumsum(np.minimum(starts + self.chunk_rows, self.rows) - starts)

    def pieces(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Rows start … stop of the stream as runs (first row, row after the last) of the file, in the stream's order."""
        pieces = []
        place = int(np.searchsorted(self._ends, start, "right"))
        while start < stop:
            end = int(self._ends[place])
            first = int(self._chunks[place]) * self.chunk_rows
            length = min(first + self.chunk_rows, self.rows) - first
            inside = start - (end - length)
            taken = min(stop, end) - start
            pieces.append((first + inside, first + inside + taken))
            start += taken
            place += 1
        return pieces

    def shuffle(self, shard: int, window: int, rows: int) -> np.ndarray:
        """The order, (rows,), in which a shard takes the rows of one of its windows."""
        words = stream(self.seed, Purpose.ORDER_ROWS, self.epoch, shard, window)
        return permutation(words, rows)
