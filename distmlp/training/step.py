"""One training step: the notes' four steps (section 3.4) over the ranks' micro-batches.

    1. forward pass    2. backward pass    3. gradient, summed exactly    4. update

Nothing of the training's state changes before the sum has arrived, so a step that fails leaves v,
the optimizer and the grid as they were on every rank.
"""

import functools
import zlib
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from distmlp.data.feed import MicroBatches
from distmlp.mathematics import exact
from distmlp.mathematics.layout import aligned
from distmlp.mathematics.metrics import count_hits
from distmlp.mathematics.network import (
    FEW_SAMPLES,
    Network,
    Pass,
    Workspace,
    backward,
    bias_gradient,
    forward,
    weight_gradient,
)
from distmlp.mathematics.optimizers import Mean
from distmlp.training.state import State

#: A weight gradient is made, cut to the grid and added in tiles of this size, which stay in a core's
#: cache.  The rows of a tile follow from the layer alone: they are part of a GEMM's shape.
TILE_BYTES = 2**20


class Step:
    """Takes steps of one network with one optimizer over a communicator.

    samples: the most that this rank's micro-batches of a step hold together.  micro_batches: those of
    a full step over all ranks, S.  audited: keep a checksum of this rank's part of each sum in
    `contribution`.
    """

    def __init__(
        self,
        network: Network,
        optimizer,
        dtype,
        exactly: bool,
        comm,
        samples: int,
        micro_batches: int,
    ):
        self.network, self.optimizer, self.comm = network, optimizer, comm
        self.dtype, self.exactly = np.dtype(dtype), exactly
        layout = network.layout
        self._addends = comm.addends(
            exact.Message.entries(layout), exact.carrier(dtype) if exactly else self.dtype
        )
        self.message = exact.Message(layout, self._addends.mine)
        self.total = exact.Message(layout, self._addends.total)
        self._workspace = Workspace(network.layers, samples, dtype)
        self._log2_micro_batches = (micro_batches - 1).bit_length()
        self._tile_entries = TILE_BYTES // self.dtype.itemsize
        # Two micro-batches' tiles at least, which are added in the one pass that stores their sum.
        self._G = aligned((2 * max(self._tile_entries, *network.layers),), self.dtype)
        self._plans = {}
        self._unit_grid = exact.Grid([0] * len(layout.slices), dtype)
        self._viewed = None
        self.audited, self.contribution = False, None
        self._ends = np.array([part.stop for part in layout.slices], np.int64)

    def gradient(
        self, state: State, batches: list[MicroBatches], stop: bool = False, save: bool = False
    ) -> exact.Grid | None:
        """Σ ∇C_i over all ranks' micro-batches, left in `total`; returns the grid that it is counted on.

        batches: this rank's, none where it is idle.  stop, save: this rank asks all to stop, or for a
        checkpoint, after the step.  Raises exact.NotFinite on every rank alike.
        """
        w, b = self._views(state.v)
        passes, costs = [], []
        samples = hits = 0
        for batch in batches:
            s, M = batch.y.shape[:2]
            p = self._workspace.view(s, M, samples)
            p.a[0] = batch.x
            forward(self.network, w, b, p)
            backward(self.network, w, p, batch.y)
            passes.append(p)
            samples += s * M
            costs += self.network.C.value(p.z, p.a[-1], batch.y).tolist()
            if batch.labels is not None:
                hits += count_hits(p.a[-1], batch.labels)

        message, total = self.message, self.total
        grid, fits = state.grid or self._unit_grid, False
        while not fits:
            largest = self._accumulate(passes, grid if self.exactly else None)
            if state.grid is None and grid is self._unit_grid and self.exactly:
                # The first step: no step before it tells how large its gradients are.
                grid = self._fitting_grid(grid, largest)
                continue
            all_finite = grid.units(largest, message.units) if self.exactly else True
            all_finite = all_finite and sum(costs) < exact.LARGEST_COST  # False for NaN as well
            not_finite = 0 if all_finite else _count_not_finite(largest, costs)
            message.facts[:] = not_finite, stop, save, samples, hits
            message.totals[2:] = exact.cost_limbs([] if not_finite else costs)
            if self.audited:
                parts = message.gradient, message.units, message.totals
                self.contribution = functools.reduce(
                    lambda crc, part: zlib.crc32(part, crc), parts, 0
                )
            self.comm.add_up(self._addends)
            if total.alarms[0]:
                raise exact.NotFinite(
                    f"{int(total.alarms[0])} micro-batches have a cost or a gradient that is not finite"
                )
            if not self.exactly and not np.isfinite(np.add.reduce(total.gradient)):
                raise exact.NotFinite("the gradient's sum is not finite")
            fits = not self.exactly or grid.holds(total.units.tolist())
            if not fits:
                grid = self._fitting_grid(grid, largest)
        return grid if self.exactly else None

    def update(self, state: State, grid: exact.Grid | None, alpha: float) -> None:
        """∇C = (1/t) Σ ∇C_i from the total, and the parameter update: the state's one change in a step."""
        total = self.total
        t = int(total.totals[0])
        if grid is None:
            factors = [1.0 / t] * len(self.network.layout.slices)
        else:
            factors = [
                1.0 / (t * scale) for scale in grid.scales
            ]  # notes: grad C = 1/t sum grad C_i
            state.grid = grid.next(total.units.tolist())
        self.optimizer.advance(state.scalars)
        mean = Mean(total.gradient, np.array(factors), self._ends)
        self.optimizer.update(state.v, mean, state.arrays, state.scalars, alpha)
        state.step += 1
        state.stop, state.save = (alarm > 0 for alarm in total.alarms[1:].tolist())
        np.add(state.totals, total.totals, out=state.totals, casting="unsafe")

    def _views(self, v: np.ndarray):
        """w and b of v, made anew only for a different v."""
        if self._viewed is not v:
            self._viewed, self._w_and_b = v, self.network.layout.views(v)
        return self._w_and_b

    def _fitting_grid(self, grid: exact.Grid, largest) -> exact.Grid:
        """The grid that this step's own gradients ask for, agreed on by all ranks; they were made on `grid`."""
        exponents = grid.largest_exponents(largest)
        self.comm.max(exponents)
        return exact.Grid.fitting((exponents + self._log2_micro_batches).tolist(), self.dtype)

    def _accumulate(self, passes: list[Pass], grid) -> np.ndarray:
        """message.gradient = Σ ∇C_i over this rank's micro-batches, in the grid's units.

        Returns the T_i, (s, 2N), in the grid's units too; without a grid nothing is looked at.
        """
        N = self.network.layout.N
        if not passes:
            self.message.gradient.fill(0)
            return np.zeros((0, 2 * N), self.dtype)
        plan = self._plan(passes)
        plan.largest.fill(0)
        add = exact.add_floats if grid is None else exact.count
        for l in range(1, N + 1):
            if plan.products is not None:
                for p, total, T, start, *how in plan.products[l]:
                    exact.count_products(
                        p.delta[l], p.a[l - 1], total, T, grid.scales[l - 1], start, *how
                    )
            elif grid is not None:
                for p in passes:
                    # 2^e folded into δ: the GEMM then counts in units, and no pass over ∇C is needed
                    np.multiply(p.delta[l], grid.scales[l - 1], out=p.scratch[l])
            for p, which, delta, G, addends in plan.weights[l]:
                weight_gradient(delta, p.a[l - 1][which], G)
                for addend in addends:
                    add(*addend)
            for p, G, addends in plan.biases[l]:
                bias_gradient(p.delta[l], G, 1.0 if grid is None else grid.scales[N + l - 1])
                for addend in addends:
                    add(*addend)
        return plan.largest.T

    def _plan(self, passes: list[Pass]) -> "_Plan":
        """Of these passes, which lie in the workspace one after another; the same again for passes of the same shapes."""
        key = tuple(p.z.shape for p in passes)
        if key not in self._plans:
            N, samples = self.network.layout.N, [p.z.shape[0] for p in passes]
            largest = np.zeros((2 * N, sum(samples)), self.dtype)
            T = [largest[:, stop - s : stop] for s, stop in zip(samples, accumulate(samples))]
            few = self.exactly and all(p.z.shape[1] <= FEW_SAMPLES for p in passes)
            products, weights, biases = [None] if few else None, [None], [None]
            for l in range(1, N + 1):
                of_w, of_b = [part[l - 1] for part in T], [part[N + l - 1] for part in T]
                if few:
                    products.append(list(self._products(l, passes, of_w)))
                weights.append([] if few else list(self._weights(l, passes, of_w)))
                biases.append(list(self._biases(l, passes, of_b)))
            self._plans[key] = _Plan(largest, products, weights, biases)
        return self._plans[key]

    def _products(self, l: int, passes: list[Pass], largest: list):
        """Yields _Plan.products[l]: products of few samples are counted as they are made."""
        part = self.network.layout.slices[l - 1]
        for number, (p, T) in enumerate(zip(passes, largest), 1):
            for a, b, past_caches in self._cuts(part.start, part.stop, number == len(passes)):
                yield p, self.message.gradient[a:b], T, a - part.start, number == 1, past_caches

    def _weights(self, l: int, passes: list[Pass], largest: list):
        """Yields _Plan.weights[l], a tile of w(l) after another, which is made, looked at and added while it is in a core's cache."""
        n, m = self.network.layout.shapes[l - 1]
        start = self.network.layout.slices[l - 1].start
        rows = max(1, self._tile_entries // m)
        for first_row in range(0, n, rows):
            tile = slice(first_row, min(first_row + rows, n))
            entries = (tile.stop - tile.start) * m
            size = self._G.size // entries  # as many micro-batches as fill G
            stacks = []
            for p, T in zip(passes, largest):
                delta = (p.scratch if self.exactly else p.delta)[l]
                for i in range(0, len(delta), size):
                    which = slice(i, min(i + size, len(delta)))
                    stacks.append((p, which, delta[which, :, tile], T[which]))
            for number, (p, which, delta, T) in enumerate(stacks, 1):
                G = self._G[: len(delta) * entries].reshape(len(delta), -1, m)
                at = start + tile.start * m
                yield (
                    p,
                    which,
                    delta,
                    G,
                    self._addends_of(
                        G.reshape(len(delta), -1), at, T, number == 1, number == len(stacks)
                    ),
                )

    def _biases(self, l: int, passes: list[Pass], largest: list):
        """Yields _Plan.biases[l]."""
        part = self.network.layout.slices[self.network.layout.N + l - 1]
        for number, (p, T) in enumerate(zip(passes, largest), 1):
            G = np.empty((p.z.shape[0], part.stop - part.start), self.dtype)
            yield p, G, self._addends_of(G, part.start, T, number == 1, number == len(passes))

    def _addends_of(
        self, G: np.ndarray, start: int, T: np.ndarray, first: bool, last: bool
    ) -> list[tuple]:
        """What exact.count is called with to add the G_i, (s, n), to the message from entry `start` on.

        first, last: of what is added there in a step.
        """
        return [
            (G[:, a - start : b - start], self.message.gradient[a:b], T, first, past_caches)
            for a, b, past_caches in self._cuts(start, start + G.shape[1], last)
        ]

    def _cuts(self, start: int, stop: int, last: bool) -> list[tuple[int, int, bool]]:
        """Entries of the message as runs (first, after the last, whether they go past this rank's caches).

        Those that another rank adds up do, when what is added there is the last.
        """
        kept = self._addends.kept
        cuts = [start, *(cut for cut in (kept.start, kept.stop) if start < cut < stop), stop]
        return [(a, b, last and not kept.start <= a < kept.stop) for a, b in pairwise(cuts)]


@dataclass
class _Plan:
    """How the gradients of a step's passes are made and added.

    largest: (2N, s), the T_i of all of them.  products[l]: where all passes are of few samples, for each pass (it, and
    what exact.count_products is called with but for the numbers), else None.  weights[l]: where they are not, for each
    tile of w(l) and each stack of micro-batches that is made at a time (their pass, which of it, their δ, their ∇C, what
    is added).  biases[l]: for each pass (it, its ∇C, what is added).
    """

    largest: np.ndarray
    products: list | None
    weights: list
    biases: list


def _count_not_finite(largest, costs) -> int:
    """How many micro-batches have a cost or a gradient that is a NaN or an infinity, or a cost beyond the limbs."""
    finite = np.isfinite(largest).all(axis=1) & (np.array(costs) < exact.LARGEST_COST)
    return int(np.count_nonzero(~finite))
