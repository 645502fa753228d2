"""Σ ∇C_i over this rank's micro-batches: forward pass, backward pass and gradient, added to a message."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from distmlp.data.feed import MicroBatches
from distmlp.mathematics import exact
from distmlp.mathematics.dropout import Drawn, Dropout
from distmlp.mathematics.metrics import count_hits
from distmlp.mathematics.network import Network, Workspace, accumulate, backward, forward

#: Bytes of activations and errors that one pass makes, which then stay in a cache that cores share.
PASS_BYTES = 8 * 2**20


@dataclass
class Seen:
    """What a rank has seen of its micro-batches in a step, beside their gradients.

    largest: (2N, s), the largest |entry| of each micro-batch's gradient, tensor by tensor, in units of
    the grid.  costs: of each micro-batch.
    """

    largest: np.ndarray
    costs: list[float]
    samples: int = 0
    hits: int = 0

    def count_not_finite(self) -> int:
        """How many micro-batches have a cost or a gradient that is a NaN, an infinity or beyond a message."""
        finite = np.isfinite(self.largest).all(axis=0)
        return int(np.count_nonzero(~(finite & (np.abs(self.costs) < exact.LARGEST_COST))))


class GradientSum:
    """Adds up the gradients of stacks of micro-batches, a pass over as many as fit PASS_BYTES at a time.

    kept: the entries of the message that this rank itself reads next.
    """

    def __init__(
        self, network: Network, dtype: DTypeLike, kept: slice, dropout: Dropout | None = None
    ) -> None:
        self._network, self._kept, self._dropout = network, kept, dropout
        sample_bytes = 2 * sum(network.layers[1:]) * np.dtype(dtype).itemsize
        self._samples_a_pass = max(1, PASS_BYTES // sample_bytes)
        dropped = dropout.layers(network.layout.N) if dropout else ()
        self._workspace = Workspace(network.layers, dtype, network.of_z, dropped)

    def add_up(
        self,
        w: Sequence,
        b: Sequence,
        batches: list[MicroBatches],
        grid: exact.Grid | None,
        message: exact.Message,
        step: int = 0,
    ) -> Seen:
        """message.gradient = Σ ∇C_i over the micro-batches, in the grid's units; as plain floats without a grid.

        step: of the training, from which follows what is dropped.
        """
        passes = list(self._passes(batches))
        micro_batches = sum(len(batch.y) for batch in passes)
        seen = Seen(np.zeros((message.units.size, micro_batches), self._workspace.dtype), [])
        if not passes:
            message.gradient.fill(0)
        counted = 0
        for number, batch in enumerate(passes):
            s, M = batch.y.shape[:2]
            p = self._workspace.view(s, M, batch.x)
            drawn = None
            if self._dropout is not None:
                layers = self._network.layers
                drawn = Drawn(self._dropout, layers, step, batch.shard, s, M)
            forward(self._network, w, b, p, drawn)  # 1. forward pass
            backward(self._network, w, p, batch.y, drawn)  # 2. backward pass
            accumulate(  # 3. gradient calculation
                self._network,
                p,
                grid.scales if grid else None,
                message.gradient,
                seen.largest[:, counted : counted + s],
                first=number == 0,
                last=number == len(passes) - 1,
                kept=self._kept,
            )
            counted += s
            seen.samples += s * M
            seen.costs += self._network.C.value(p.z, p.a[-1], batch.y).tolist()
            if batch.labels is not None:
                seen.hits += count_hits(p.a[-1], batch.labels)
        return seen

    def _passes(self, batches: list[MicroBatches]) -> Iterator[MicroBatches]:
        """The stacks, cut into parts that fit a pass; a micro-batch stays whole."""
        for batch in batches:
            s, M = batch.y.shape[:2]
            size = max(1, self._samples_a_pass // M)
            if s <= size:
                yield batch
            else:
                yield from (batch.part(i, min(i + size, s)) for i in range(0, s, size))
