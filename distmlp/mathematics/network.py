"""Forward pass, backward pass and gradient of stacks of micro-batches.

Arrays are stacks (s, M, neurons): s micro-batches of M samples.  Each number of a product is a chain of additions of
its own (docs/arithmetic.md), so it does not depend on what is computed beside it.  That is what lets any rank compute
any micro-batch.

Each line that is an equation of the notes' summary carries it as a tag, `# notes: …`; a test holds
the tags against docs/notes-to-code.md.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import DTypeLike

from distmlp.kernels import choice as kernels
from distmlp.mathematics.activations import ACTIVATIONS, Activation
from distmlp.mathematics.costs import COSTS, MATCHED, Cost
from distmlp.mathematics.dropout import Drawn
from distmlp.mathematics.layout import Layout, aligned


@dataclass(frozen=True)
class Network:
    """What the network is; its parameters are v.

    layers: neurons per layer, the input first.  activation: of the hidden layers.  output: of the
    last layer.  cost: a name of costs.COSTS, as the pair with the output.
    """

    layers: tuple[int, ...]
    activation: str = "sigmoid"
    output: str = "sigmoid"
    cost: str = "mse"

    @cached_property
    def layout(self) -> Layout:
        return Layout(self.layers)

    @cached_property
    def sigma(self) -> list[Activation]:
        """The activation of each layer; index 0, the input, has none."""
        hidden = [ACTIVATIONS[self.activation]] * (self.layout.N - 1)
        return [ACTIVATIONS["identity"], *hidden, ACTIVATIONS[self.output]]

    @cached_property
    def C(self) -> Cost:
        return COSTS[self.cost, self.output]

    @property
    def of_z(self) -> tuple[int, ...]:
        """The hidden layers whose slope is taken from z, which a pass back must therefore have kept."""
        return tuple(l for l in range(1, self.layout.N) if self.sigma[l].of_z)

    @property
    def targets(self) -> int:
        """Numbers of a target; gaussian-nll has two outputs for each, its mean and its spread."""
        return self.layers[-1] // 2 if self.cost == "gaussian-nll" else self.layers[-1]

    @cached_property
    def matched(self) -> bool:
        """Whether δ(N) is a − y, without σ'."""
        return (self.cost, self.output) in MATCHED


@dataclass
class Pass:
    """The arrays of one pass over s micro-batches of M samples: a[l] and delta[l], each (s, M, neurons of l).

    a[0] is the input; delta[0] is None.  z is the output layer's weighted sum.  kept[l] is that of a hidden layer
    whose slope is taken from it, else None.  dropped[l] is a[l] with dropout, None where nothing is dropped of it.
    below[l] is what layer l + 1 is given of layer l, and slopes[l] what the slope of a hidden layer l is taken from.
    """

    a: list
    delta: list
    z: np.ndarray
    kept: list
    dropped: list

    def __post_init__(self) -> None:
        pairs = zip(self.dropped, self.a, strict=True)
        self.below = [a if dropped is None else dropped for dropped, a in pairs]
        pairs = zip(self.kept, self.a, strict=True)
        self.slopes = [a if kept is None else kept for kept, a in pairs]

    def given(self, x: np.ndarray) -> "Pass":
        """The pass, with other inputs."""
        self.a[0] = x
        if self.dropped[0] is None:
            self.below[0] = x
        return self

    def part(self, first: int, last: int) -> "Pass":
        """The micro-batches first … last − 1 of the pass."""

        def of(arrays: list) -> list:
            return [None if array is None else array[first:last] for array in arrays]

        return Pass(of(self.a), of(self.delta), self.z[first:last], of(self.kept), of(self.dropped))


class Workspace:
    """Memory for passes, which grows with the largest of them and is viewed in any (s, M).

    kept: the layers whose z a pass back needs (`Network.of_z`).  dropped: the layers of which something is dropped.
    """

    def __init__(
        self,
        layers: tuple[int, ...],
        dtype: DTypeLike,
        kept: tuple[int, ...] = (),
        dropped: tuple[int, ...] = (),
    ) -> None:
        self.dtype = np.dtype(dtype)
        self._layers, self._kept, self._dropped = layers, kept, dropped
        self._samples = 0
        self._memory: list[list[np.ndarray | None]] = []
        self._passes: dict[tuple[int, int], Pass] = {}

    def view(self, s: int, M: int, x: np.ndarray) -> Pass:
        """The arrays for s micro-batches of M samples with the inputs x, (s, M, m); they last until the next view."""
        if s * M > self._samples:
            self._grow(s * M)
        p = self._passes.get((s, M))
        if p is None:
            a, delta, (z,), kept, dropped = (
                [None if rows is None else rows[: s * M].reshape(s, M, -1) for rows in part]
                for part in self._memory
            )
            assert z is not None
            p = self._passes[s, M] = Pass([None, *a], [None, *delta], z, kept, dropped)
        return p.given(x)

    def _grow(self, samples: int) -> None:
        self._samples = samples
        self._passes = {}

        def rows(n: int) -> np.ndarray:
            return aligned((samples, n), self.dtype)

        layers = self._layers
        self._memory = [
            [rows(n) for n in layers[1:]],
            [rows(n) for n in layers[1:]],
            [rows(layers[-1])],
            *(
                [rows(n) if l in some else None for l, n in enumerate(layers)]
                for some in (self._kept, self._dropped)
            ),
        ]


def forward(
    network: Network, w: Sequence, b: Sequence, p: Pass, drawn: Drawn | None = None
) -> None:
    """a[1] … a[N] from a[0] (notes, section 3.4, "Forward Pass"); p.z keeps z(N).  drawn: what is dropped."""
    N = network.layout.N
    for l in range(1, N + 1):
        if drawn is not None and l - 1 in drawn.layers:
            drawn.drop(l - 1, p.a[l - 1], p.dropped[l - 1])
        kernels.forward(
            # notes: z(L) = w(L) a(L-1) + b(L)
            w[l],
            b[l],
            p.below[l - 1],
            # notes: a(L) = sigma(z(L))
            p.a[l],
            p.z if l == N else p.kept[l],
            network.sigma[l].number,
        )


def backward(
    network: Network,
    w: Sequence,
    p: Pass,
    y: np.ndarray,
    drawn: Drawn | None = None,
    weights: np.ndarray | None = None,
    lowest: int = 1,
) -> None:
    """delta[N] … delta[lowest] from a and the desired output y, (s, M, outputs) (notes, section 3.3).

    drawn: as for `forward`.  weights: of the samples, (s, M), by which their costs are multiplied, and so is delta[N].
    """
    N = network.layout.N
    if network.matched:
        np.subtract(p.a[N], y, out=p.delta[N])  # sigma'(z) cancels
    else:
        network.C.gradient(p.a[N], y, p.delta[N])
        # notes: delta(N) = grad_a C * sigma'(z(N))
        network.sigma[N].chain(p.z if network.sigma[N].of_z else p.a[N], p.delta[N])
    if weights is not None:
        np.multiply(p.delta[N], weights[..., None], out=p.delta[N])
    for l in range(N - 1, lowest - 1, -1):
        # notes: delta(L) = (w(L+1)^T delta(L+1)) * sigma'(z(L))
        kernels.backward(w[l + 1], p.delta[l + 1], p.slopes[l], p.delta[l], network.sigma[l].number)
        if drawn is not None and l in drawn.layers:
            drawn.drop(l, p.delta[l], p.delta[l])


def accumulate(
    network: Network,
    p: Pass,
    scales: list[float] | None,
    totals: Sequence[np.ndarray],
    largest: np.ndarray,
    *,
    first: bool,
    last: bool,
    kept: slice,
    blocks: Sequence[Sequence[range]],
    written: Callable[[int], None] | None = None,
    frozen: Collection[int] = (),
) -> None:
    """totals += Σ ∇C over the pass's micro-batches, or totals = Σ ∇C where it is the first pass.

    totals: of each tensor in v's order, flat (`Layout.parts`).  scales: how many units of the grid 1.0 is, tensor by tensor;
    totals then count whole units and largest, (2N, s), becomes each micro-batch's largest |entry|, in units.  Without
    scales, totals are plain floats and nothing is looked at.  last: nothing is added after this pass; kept: the entries that
    are stored in this rank's caches (`Addends.kept`).  blocks: the neurons of each layer whose gradients are made at a
    time (`Layout.blocks`).  written: told after each block how many entries, from the first one on, this pass is done with.
    frozen: layers whose gradient nobody asks for, and is 0.
    """
    N, M = network.layout.N, p.z.shape[1]
    raised = list(largest)
    for l in range(1, N + 1):
        w, b = l - 1, N + l - 1
        start = network.layout.slices[w].start
        if l in frozen:
            if first:
                totals[w].fill(0)
                totals[b].fill(0)
            continue
        for neurons in blocks[l - 1]:
            kernels.gradient(
                p.delta[l],  # notes: dC/db(L) = delta(L)
                p.below[l - 1],  # notes: dC/dw(L) = delta(L) a(L-1)^T
                M,
                1.0 if scales is None else scales[w],
                1.0 if scales is None else scales[b],
                totals[w],
                totals[b],
                raised[w],
                raised[b],
                first,
                last,
                kept.start - start,
                kept.stop - start,
                neurons.start,
                neurons.stop,
            )
            if written is not None:
                written(start + neurons.stop * network.layers[l - 1])
