"""What the tests have in place of data and ranks: passes and micro-batches of arrays, and ranks within one process."""

import pickle
import threading

import numpy as np

from distmlp.data.feed import MicroBatches
from distmlp.kernels import choice as kernels
from distmlp.mathematics.network import Workspace, backward, forward
from distmlp.parallel.communicator import SingleProcess


def one_pass(network, v, x, y):
    """Forward and backward, in v's dtype, of x (s, M, inputs) and y (s, M, outputs)."""
    s, M = x.shape[:2]
    p = Workspace(network.layers, v.dtype, network.of_z).view(s, M, np.ascontiguousarray(x))
    w, b = network.layout.views(v)
    forward(network, w, b, p)
    backward(network, w, p, y)
    return p


def gradients(network, p):
    """Σ ∇C of each micro-batch of a pass, (s, k), as plain floats."""
    s, M = p.z.shape[:2]
    found, unseen = np.empty((s, network.layout.size), p.z.dtype), np.empty(1, p.z.dtype)
    N, slices = network.layout.N, network.layout.slices
    for i in range(s):
        for l in range(1, N + 1):
            w, b = found[i, slices[l - 1]], found[i, slices[N + l - 1]]
            delta, a = p.delta[l][i], p.a[l - 1][i]
            kernels.gradient(
                delta, a, M, 1.0, 1.0, w, b, unseen, unseen, True, False, 0, w.size, 0, b.size
            )
    return found


def sizes_of(cut, last=False):
    """Samples of each shard's micro-batch in a full step, or in the epoch's smaller last one."""
    return [(cut.last_size if last else cut.size)(shard) for shard in range(cut.count)]


def micro_batches(cut, shards, x, y, last=False):
    """The stacks of one step for these shards; shard 0 has the first rows of x and y, and so on.

    last: the epoch's smaller last step.
    """
    ends = np.cumsum([0, *sizes_of(cut, last)]).tolist()
    stacks = []
    for group in cut.groups(shards):
        M = group.last if last else group.size
        if M:
            rows = slice(ends[group.shards.start], ends[group.shards.stop])
            shape = (len(group.shards), M)
            mine = x[rows].reshape(*shape, x.shape[1])
            desired = y[rows].reshape(*shape, y.shape[1])
            stacks.append(MicroBatches(mine, desired, None))
    return stacks


class Counting(SingleProcess):
    """A communicator of one that counts its calls, and ends a step that is summed again and again."""

    def __init__(self):
        self.sums = self.maxes = 0

    def sum(self, buffer):
        self.sums += 1
        assert self.sums <= 10, "the step does not end"

    def max(self, buffer):
        self.maxes += 1


class Part(SingleProcess):
    """One rank of many, alone: keeps the message that it would have sent."""

    def sum(self, buffer):
        self.sent = buffer.copy()


class _Thread(SingleProcess):
    def __init__(self, rank, size, barrier, slots):
        self.rank, self.size, self._barrier, self._slots = rank, size, barrier, slots

    def _exchange(self, buffer, combine):
        self._slots[self.rank] = buffer.copy()
        self._barrier.wait()
        buffer[...] = combine(self._slots)
        self._barrier.wait()

    def sum(self, buffer):
        self._exchange(buffer, lambda all_ranks: np.sum(all_ranks, axis=0, dtype=buffer.dtype))

    def max(self, buffer):
        self._exchange(buffer, lambda all_ranks: np.max(all_ranks, axis=0))

    @property
    def hosts(self):
        return [f"host-{rank}" for rank in range(self.size)]

    @property
    def pids(self):
        return list(range(100, 100 + self.size))

    def all_gather(self, value):
        self._slots[self.rank] = pickle.dumps(value)
        self._barrier.wait()
        found = [pickle.loads(there) for there in self._slots]
        self._barrier.wait()
        return found

    def gather(self, value):
        found = self.all_gather(value)
        return found if self.rank == 0 else None

    def broadcast(self, value, root=0):
        return self.all_gather(value)[root]

    def barrier(self):
        self._barrier.wait()


def on_ranks(size, function):
    """function(comm) on so many ranks that are threads; what each returned or raised, by rank."""
    barrier, slots, outcomes = threading.Barrier(size, timeout=20), [None] * size, [None] * size

    def run(rank):
        try:
            outcomes[rank] = function(_Thread(rank, size, barrier, slots))
        except Exception as error:
            outcomes[rank] = error

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes
