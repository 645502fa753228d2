"""Which samples make which micro-batch, and which rank computes it: integers only.

    n samples ──▶ S logical shards ──▶ one micro-batch a shard a step ──▶ ranks

S and every size follow from (n, batch size, micro-batch size) alone, the order from (seed, epoch)
alone.  The rank count appears in one function, `deal`, which hands out whole shards.

In an epoch the set's chunks (runs of neighbouring rows, the unit that a file is read in) are put in
random order, end to end; the stream of rows so made is cut into S runs, one a shard.  A shard reads
its run window by window and takes the rows of a window in random order.  So the file is read in
long pieces, each sample is met exactly once an epoch, and a set of any size needs the memory of the
windows only.
"""

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise

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
    quotient, remainder = divmod(total, parts)
    return [quotient + (i < remainder) for i in range(parts)]


def deal(shards: int, ranks: int) -> list[range]:
    """The shards of each rank: contiguous, as even as can be; ranks beyond the shards get none.

    >>> deal(8, 3)
    [range(0, 3), range(3, 6), range(6, 8)]
    """
    stops = list(accumulate(split(shards, ranks)))
    return [range(start, stop) for start, stop in pairwise([0, *stops])]


@dataclass(frozen=True)
class Group:
    """Neighbouring shards whose micro-batches have equal sizes, so that they are computed as one stack.

    shards: their numbers.  size: of each one's micro-batch in a full step.  last: in the epoch's last
    step, where that step is smaller (else 0).
    """

    shards: range
    size: int
    last: int


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

    @cached_property
    def sizes(self) -> list[int]:
        """Samples of each shard's micro-batch in a full step."""
        return split(self.batch_size, self.count)

    @cached_property
    def last_sizes(self) -> list[int]:
        """Samples of each shard's micro-batch in the smaller last step; all 0 where there is none."""
        return split(self.samples % self.batch_size, self.count)

    def length(self, shard: int) -> int:
        """Samples of a shard an epoch."""
        return self.full_steps * self.sizes[shard] + self.last_sizes[shard]

    @cached_property
    def starts(self) -> list[int]:
        """Where each shard's run begins in the epoch's stream of rows, and where the last one ends."""
        return list(accumulate((self.length(i) for i in range(self.count)), initial=0))

    def groups(self, shards: range) -> list[Group]:
        """These shards as at most three groups of equal micro-batches."""
        groups: list[Group] = []
        for i in shards:
            size, last = self.sizes[i], self.last_sizes[i]
            if groups and (groups[-1].size, groups[-1].last) == (size, last):
                groups[-1] = Group(range(groups[-1].shards.start, i + 1), size, last)
            else:
                groups.append(Group(range(i, i + 1), size, last))
        return groups


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
    def _ends(self) -> list[int]:
        """Where each chunk, in the epoch's order, ends in the stream."""
        starts = self._chunks * self.chunk_rows
        return np.cumsum(np.minimum(starts + self.chunk_rows, self.rows) - starts).tolist()

    def pieces(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Rows start … stop of the stream as runs (first row, row after the last) of the file, in the stream's order."""
        pieces = []
        place = bisect_right(self._ends, start)
        while start < stop:
            end = self._ends[place]
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
