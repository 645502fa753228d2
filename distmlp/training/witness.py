"""Whether the rows that a run trains on are those that it began with: v is a function of the data too."""

import numpy as np

from distmlp.data import digest
from distmlp.data.dataset import DataSet, blocks_of
from distmlp.data.feed import Feed
from distmlp.errors import InputError
from distmlp.mathematics.shards import share
from distmlp.parallel.communicator import Communicator

_LIMBS = 4


class Witness:
    """Knows the digest of the training rows, and compares what is read with it.

    known: the digest, None until the set has been looked through.  Equal on every rank.
    """

    def __init__(self, data: DataSet, known: int | None) -> None:
        self._data, self.known = data, known

    def began(self, feed: Feed, comm: Communicator) -> None:
        """Compares a set that is held in memory from now on; collective.  Raises InputError on every rank."""
        if self._data.held is None:
            return
        rows, part = share(self._data.rows, comm.size, comm.rank), 0
        hashes = digest.RowHash(*feed.as_read(*self._data.memory(0)))
        for start, stop in blocks_of(self._data, rows):
            x, y = feed.as_read(*self._data.read([(start, stop)]))
            part = digest.added([part, hashes.sum(start, x, y)])
        self._compare(part, len(rows), comm)

    def epoch_ended(self, feed: Feed, epoch: int, comm: Communicator) -> None:
        """Compares the rows that were read in an epoch; collective.  Raises InputError on every rank."""
        if self._data.held is None:
            self._compare(*feed.read_in(epoch), comm)

    def _compare(self, part: int, rows: int, comm: Communicator) -> None:
        """Adds up all ranks' parts, which are compared where every row is in one of them."""
        limbs = [part >> 16 * i & 0xFFFF for i in range(_LIMBS)]
        total = np.array([rows, *limbs], np.int64)
        comm.sum(total)
        if int(total[0]) != self._data.rows:
            return  # the epoch began before this process, or before a rank was lost
        found = digest.added([int(limb) << 16 * i for i, limb in enumerate(total[1:])])
        if self.known is None:
            self.known = found
        if found != self.known:
            raise InputError(
                f"{self._data.spec}: the data changed: its rows have the digest {digest.text(found)}, but this run began with "
                f"{digest.text(self.known)}; bring the old data back, or --resume never begins anew"
            )
