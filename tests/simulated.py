"""What the tests have in place of data and ranks: passes and micro-batches of arrays, and ranks within one process."""

import pickle
import threading

import numpy as np

from distmlp.data.feed import MicroBatches
from distmlp.mathematics.network import Workspace, backward, bias_gradient, forward, weight_gradient
from distmlp.parallel.communicator import SingleProcess


def one_pass(network, v, x, y):
    """Forward and backward, in v's dtype, of x (s, M, inputs) and y (s, M, outputs)."""
    s, M = x.shape[:2]
    p = Workspace(network.layers, s * M, v.dtype).view(s, M)
    p.a[0] = x
    w, b = network.layout.views(v)
    forward(network, w, b, p)
    backward(network, w, p, y)
    return p


def gradients(network, p):
    """Σ ∇C of each micro-batch of a pass, (s, k), as the GEMMs and sums of its dtype give it."""
    parts = []
    for l in range(1, network.layout.N + 1):
        G = np.empty((len(p.z), network.layers[l], network.layers[l - 1]), p.z.dtype)
        weight_gradient(p.delta[l], p.a[l - 1], G)
        parts.append(G.reshape(len(G), -1))
    for delta in p.delta[1:]:
        parts.append(np.empty((len(delta), delta.shape[2]), delta.dtype))
        bias_gradient(delta, parts[-1])
    return np.concatenate(parts, axis=1)


def micro_batches(cut, shards, x, y, last=False):
    """The stacks of one step for these shards; shard 0 has the first rows of x and y, and so on.

    last: the epoch's smaller last step.
    """
    sizes = cut.last_sizes if last else cut.sizes
    ends = np.cumsum([0, *sizes]).tolist()
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
