"""Σ ∇C_i over this rank's micro-batches: forward pass, backward pass and gradient, added to a message."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from distmlp.data.feed import MicroBatches
from distmlp.mathematics import exact, exact_costs, wide
from distmlp.mathematics.dropout import Drawn, Dropout
from distmlp.mathematics.metrics import count_hits
from distmlp.mathematics.network import Network, Pass, Workspace, accumulate, backward, forward
from distmlp.mathematics.shards import deal
from distmlp.parallel import progress
from distmlp.parallel.addends import Addends

#: Bytes of activations and errors that one pass makes, which then stay in a cache that cores share.
PASS_BYTES = 8 * 2**20


#: Passes whose largest entries are kept one by one.
_KEPT = 64


@dataclass
class Seen:
    """What a rank has seen of its micro-batches in a step, beside their gradients.

    largest: arrays (2N, …), the largest |entry| of each tensor of gradients, in units of the grid, of one or of several
    micro-batches.  cost: their sum, as exact_costs.whole_cost gives it.  not_finite: micro-batches that have a cost or a
    gradient that is a NaN, an infinity or beyond a message; then the cost means nothing.
    """

    largest: list[np.ndarray]
    cost: int = 0
    samples: int = 0
    hits: int = 0
    not_finite: int = 0

    def add_costs(self, costs: list[float], largest: np.ndarray, finite: bool) -> None:
        """Adds those of a pass.  largest: (2N, s), of each micro-batch; finite: whether all of them are."""
        bad = 0
        # costs have either sign; False for a NaN as well
        if not (finite and sum(map(abs, costs)) < exact_costs.LARGEST_COST):
            good = np.isfinite(largest).all(axis=0) & (np.abs(costs) < exact_costs.LARGEST_COST)
            bad = int(np.count_nonzero(~good))
        self.not_finite += bad
        self.cost += 0 if bad else exact_costs.whole_cost(costs)
        self.largest.append(largest)
        if len(self.largest) > _KEPT:  # of millions of micro-batches no number each is kept
            self.largest = [np.concatenate(self.largest, axis=1).max(axis=1, keepdims=True)]


class _Counts:
    """What the gradients of a rank's micro-batches are added to: the message itself, or a few at a time before that.

    addends: what the ranks add up, which has the message.  frozen: the layers whose gradients are not made.
    """

    def __init__(
        self,
        network: Network,
        counting: exact.Counting,
        addends: Addends,
        frozen: Collection[int],
    ) -> None:
        self._network, self._addends, self._together = network, addends, counting.together
        self._frozen = frozen
        self._few = np.empty(network.layout.size if self._together else 0, counting.counted)
        self._parts_of_few = network.layout.parts(self._few)
        self._whole = network.layout.blocks(network.layout.size)
        self._blocks = network.layout.blocks(addends.piece)
        self.micro_batches = 0

    def begin(self, message: exact.Message, is_sent: bool) -> None:
        """What is added from now on makes a new sum in this message.  is_sent: whether the ranks add it up then."""
        self._message, self._is_sent, self.micro_batches = message, is_sent, 0

    def add(self, p: Pass, scales: list[float] | None, largest: np.ndarray, ends: bool) -> None:
        """Adds the gradients of a pass.  ends: whether none comes after it; the others as for `network.accumulate`."""
        if not self._together:
            travels = ends and self._is_sent and self._addends.early
            accumulate(
                self._network,
                p,
                scales,
                self._message.parts,
                largest,
                first=self.micro_batches == 0,
                last=ends,
                kept=self._addends.kept,
                blocks=self._blocks if travels else self._whole,
                written=self._addends.written if travels else None,
                frozen=self._frozen,
            )
            self.micro_batches += len(p.z)
            return
        start, s, everything = 0, len(p.z), slice(0, len(self._few))
        while start < s:
            before = self.micro_batches % self._together
            stop = min(start + self._together - before, s)
            part, of_part = p.part(start, stop), largest[:, start:stop]
            accumulate(
                self._network,
                part,
                scales,
                self._parts_of_few,
                of_part,
                first=before == 0,
                last=False,
                kept=everything,
                blocks=self._whole,
                frozen=self._frozen,
            )
            self.micro_batches += stop - start
            start = stop
            if self.micro_batches % self._together == 0:
                self._pass_on()

    def end(self) -> None:
        """The message has the sum of all that was added."""
        if not self.micro_batches:
            self._message.gradient.fill(0)
        elif self._together and self.micro_batches % self._together:
            self._pass_on()

    def _pass_on(self) -> None:
        """Adds the last few to the message, or stores them there where they are the first."""
        wide.add(self._few, self._message.gradient, self.micro_batches <= self._together)


class GradientSum:
    """Adds up the gradients of stacks of micro-batches, a pass over as many as fit PASS_BYTES at a time.

    counting: how they are counted.  addends: what the ranks add up, which has the message.  frozen: the layers that stay
    as they are, whose gradients are left out as 0.
    """

    def __init__(
        self,
        network: Network,
        dtype: DTypeLike,
        counting: exact.Counting,
        addends: Addends,
        dropout: Dropout | None = None,
        frozen: Collection[int] = (),
    ) -> None:
        self._network = network
        self._drawn = Drawn(dropout, network.layers) if dropout else None
        self._counts = _Counts(network, counting, addends, frozen)
        self._lowest = min(set(range(1, network.layout.N + 1)).difference(frozen))
        sample_bytes = 2 * sum(network.layers[1:]) * np.dtype(dtype).itemsize
        self._samples_a_pass = max(1, PASS_BYTES // sample_bytes)
        dropped = self._drawn.layers if self._drawn else ()
        self._workspace = Workspace(network.layers, dtype, network.of_z, dropped)

    def add_up(
        self,
        w: Sequence,
        b: Sequence,
        batches: Iterable[MicroBatches],
        grid: exact.Grid | None,
        message: exact.Message,
        step: int = 0,
        is_sent: bool = False,
    ) -> Seen:
        """message.gradient = Σ ∇C_i over the micro-batches, in the grid's units; as plain floats without a grid.

        The message's units are filled in as well.  step: of the training, from which follows what is dropped.  is_sent:
        whether the ranks add up the message next; then what is finished of it may travel while the rest is computed.
        """
        seen, counts = Seen([]), self._counts
        scales, tensors = grid.scales if grid else None, 2 * self._network.layout.N
        counts.begin(message, is_sent)
        for batch in self._passes(batches):
            first = counts.micro_batches == 0
            p = self._errors(w, b, batch, step)
            largest = np.zeros((tensors, len(batch.y)), self._workspace.dtype)
            counts.add(p, scales, largest, batch.ends)  # 3. gradient calculation
            finite = True
            if grid is not None:
                units = message.units if first else np.empty_like(message.units)
                finite = grid.units(largest, units)
                if not first:
                    message.units += units
            seen.add_costs(_costs(self._network, p, batch), largest, finite)
            seen.samples += batch.y.shape[0] * batch.y.shape[1]
            if batch.labels is not None:
                seen.hits += count_hits(p.a[-1], batch.labels)
        counts.end()
        if not counts.micro_batches:
            message.units.fill(0)
        return seen

    def _errors(self, w: Sequence, b: Sequence, batch: MicroBatches, step: int) -> Pass:
        """a and δ of every layer; they last until the next pass."""
        progress.made()
        s, M = batch.y.shape[:2]
        p = self._workspace.view(s, M, batch.x)
        drawn = self._drawn
        if drawn is not None:
            drawn.draw(step, batch.shard, s, M)
        forward(self._network, w, b, p, drawn)  # 1. forward pass
        backward(  # 2. backward pass
            self._network, w, p, batch.y, drawn, batch.weights, self._lowest
        )
        return p

    def _passes(self, batches: Iterable[MicroBatches]) -> Iterator[MicroBatches]:
        """The stacks, cut into equal parts that fit a pass; a micro-batch stays whole."""
        for batch in batches:
            s, M = batch.y.shape[:2]
            parts = -(-s // max(1, self._samples_a_pass // M))
            if parts == 1:
                yield batch
            else:
                for some in deal(s, parts):
                    yield batch.part(some.start, some.stop)


def _costs(network: Network, p: Pass, batch: MicroBatches) -> list[float]:
    """C of each micro-batch, with what its samples count."""
    z, a, y = p.z, p.a[-1], batch.y
    if batch.weights is None:
        return network.C.value(z, a, y).tolist()
    return network.C.weighted(z, a, y, batch.weights).tolist()
