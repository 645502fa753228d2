"""One training step: the notes' four steps (section 3.4) over the ranks' micro-batches.

    1. forward pass    2. backward pass    3. gradient, summed exactly    4. update

Nothing of the training's state changes before the sum has arrived, so a step that fails leaves v,
the optimizer and the grid as they were on every rank.
"""

import functools
import zlib
from dataclasses import dataclass, field

import numpy as np

from distmlp import exact
from distmlp.dataset import MicroBatches
from distmlp.network import Network, Pass, Workspace, backward, bias_gradient, forward, weight_gradient

#: A weight gradient is made, cut to the grid and added in tiles of this size, which stay in a core's
#: cache.  The rows of a tile follow from the layer alone: they are part of a GEMM's shape.
TILE_BYTES = 2**20

#: v is updated in pieces of this many entries, for the same reason; elementwise, so any size will do.
PIECE = 2**16


@dataclass
class State:
    """What training changes: equal on every rank, bit for bit, whenever no step is under way.

    v: (k,).  arrays, scalars: the optimizer's.  grid: of the next step's sums, None before the first.
    step: steps done since the start.  totals: of the epoch under way.  last_cost: of the epoch before,
    last_change: |its cost − the one's before it|, each None until there is one.  stop, save: whether a
    rank asked for it in the last step.
    """

    v: np.ndarray
    arrays: dict[str, np.ndarray]
    scalars: dict[str, float]
    grid: exact.Grid | None = None
    step: int = 0
    totals: np.ndarray = field(default_factory=exact.no_totals)
    last_cost: float | None = None
    last_change: float | None = None
    stop: bool = False
    save: bool = False

    def begin_epoch(self, cost: float) -> None:
        """Puts the cost of the epoch that has ended on record, and the totals to nothing."""
        self.last_change = None if self.last_cost is None else abs(cost - self.last_cost)
        self.last_cost = cost
        self.totals = exact.no_totals()


class Step:
    """Takes steps of one network with one optimizer over a communicator.

    samples: the most that this rank's micro-batches of a step hold together.  micro_batches: those of
    a full step over all ranks, S.  audited: keep a checksum of this rank's part of each sum in
    `contribution`.
    """

    def __init__(self, network: Network, optimizer, dtype, exactly: bool, comm, samples: int, micro_batches: int):
        self.network, self.optimizer, self.comm = network, optimizer, comm
        self.dtype, self.exactly = np.dtype(dtype), exactly
        layout = network.layout
        self.message = exact.Message(layout, dtype, exactly)
        self._workspace = Workspace(network.layers, samples, dtype)
        self._log2_micro_batches = (micro_batches - 1).bit_length()
        entries = TILE_BYTES // self.dtype.itemsize
        self._rows = [None, *(max(1, entries // m) for m in network.layers[:-1])]
        self._tile = np.empty(max(entries, *network.layers), self.dtype)
        first = layout.slices[layout.N].start
        self._bias_parts = [slice(part.start - first, part.stop - first) for part in layout.slices[layout.N :]]
        self._bias_starts = [part.start for part in self._bias_parts]
        self._scaled_for = None
        self._biases = np.empty((micro_batches, layout.size - first), self.dtype)
        self._unit_grid = exact.Grid([0] * len(layout.slices), dtype)
        self._viewed = None
        self.audited, self.contribution = False, None
        self._pieces = [_piece(layout, start) for start in range(0, layout.size, PIECE)]
        self._g = np.empty(min(PIECE, layout.size), self.dtype)
        self._t = np.empty_like(self._g)

    def gradient(
        self, state: State, batches: list[MicroBatches], stop: bool = False, save: bool = False
    ) -> exact.Grid | None:
        """Σ ∇C_i over all ranks' micro-batches, left in `message`; returns the grid that it is counted on.

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

        message = self.message
        grid, fits = state.grid or self._unit_grid, False
        while not fits:
            largest = self._accumulate(passes, grid if self.exactly else None)
            if state.grid is None and grid is self._unit_grid and self.exactly:
                # The first step: no step before it tells how large its gradients are.
                grid = self._fitting_grid(grid, largest)
                continue
            not_finite = _count_not_finite(largest, costs)
            if self.exactly:
                message.units[:] = grid.units(largest)
            message.alarms[:] = not_finite, stop, save
            message.totals[:2] = samples, hits
            message.totals[2:] = exact.cost_limbs([] if not_finite else costs)
            if self.audited:
                parts = message.gradient, message.units, message.totals
                self.contribution = functools.reduce(lambda crc, part: zlib.crc32(part, crc), parts, 0)
            self.comm.sum(message.buffer)
            if message.alarms[0]:
                raise exact.NotFinite(f"{int(message.alarms[0])} micro-batches have a cost or a gradient that is not finite")
            if not self.exactly and not np.isfinite(np.add.reduce(message.gradient)):
                raise exact.NotFinite("the gradient's sum is not finite")
            fits = not self.exactly or grid.holds(message.units.tolist())
            if not fits:
                grid = self._fitting_grid(grid, largest)
        return grid if self.exactly else None

    def update(self, state: State, grid: exact.Grid | None, alpha: float) -> None:
        """∇C = (1/t) Σ ∇C_i from the message, and the parameter update: the state's one change in a step."""
        message = self.message
        t = int(message.totals[0])
        if grid is None:
            factors = [1.0 / t] * len(self.network.layout.slices)
        else:
            factors = [1.0 / (t * scale) for scale in grid.scales]
            state.grid = grid.next(message.units.tolist())
        self.optimizer.advance(state.scalars)
        for part, tensors in self._pieces:
            g, scratch = self._g[: part.stop - part.start], self._t[: part.stop - part.start]
            for tensor, inside, into in tensors:
                # notes: grad C = 1/t sum grad C_i
                np.multiply(message.gradient[inside], factors[tensor], out=g[into], dtype=self.dtype, casting="unsafe")
            arrays = {name: array[part] for name, array in state.arrays.items()}
            self.optimizer.update(state.v[part], g, scratch, arrays, state.scalars, alpha)
        state.step += 1
        state.stop, state.save = (alarm > 0 for alarm in message.alarms[1:].tolist())
        np.add(state.totals, message.totals, out=state.totals, casting="unsafe")

    def _views(self, v: np.ndarray):
        """w and b of v, made anew only for another v."""
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

        Returns the T_i, (s, 2N) float64, in the grid's units too; without a grid nothing is looked at.
        """
        N = self.network.layout.N
        count = sum(len(p.z) for p in passes)
        high = np.zeros((count, 2 * N), self.dtype)
        low = np.zeros_like(high)
        if not passes:
            self.message.gradient.fill(0)
            return high.astype(np.float64)
        self._accumulate_biases(passes, grid, high[:, N:], low[:, N:])
        for l in range(1, N + 1):
            factors = [(p.delta[l], p.a[l - 1]) for p in passes]
            if grid is not None:
                # 2^e folded into δ: the GEMM then counts in units, and no pass over ∇C is needed
                factors = [
                    (np.multiply(delta, grid.scales[l - 1], out=p.scratch[l]), a) for (delta, a), p in zip(factors, passes)
                ]
            self._accumulate_weights(l, factors, grid is not None, high[:, l - 1], low[:, l - 1])
        return np.maximum(high, -low).astype(np.float64)

    def _accumulate_biases(self, passes: list[Pass], grid, high, low) -> None:
        """The part of all b(l), which lie together at v's end; high, low: (s, N), each one's extreme entries."""
        biases = self._biases[: len(high)]
        row = 0
        for p in passes:
            rows = slice(row, row + len(p.z))
            for l, part in enumerate(self._bias_parts, start=1):
                bias_gradient(p.delta[l], biases[rows, part])
            row = rows.stop
        if grid is not None:
            np.multiply(biases, self._bias_scales(grid), out=biases)
            np.maximum.reduceat(biases, self._bias_starts, axis=1, out=high)
            np.minimum.reduceat(biases, self._bias_starts, axis=1, out=low)
        exact.add_micro_batches(biases, self.message.biases, first=True)

    def _bias_scales(self, grid) -> np.ndarray:
        """2^e for every bias, made anew only for another grid."""
        if self._scaled_for is not grid:
            widths = [part.stop - part.start for part in self._bias_parts]
            self._scaled_for, self._scales = grid, np.repeat(np.array(grid.scales[-len(widths) :], self.dtype), widths)
        return self._scales

    def _accumulate_weights(self, l: int, factors: list, look: bool, high, low) -> None:
        """The part of w(l), tile by tile: a tile is made, looked at and added while it is in a core's cache.

        factors: (δ, a) of each stack.  look: raise high and lower low, (s,), to each one's extreme entries.
        """
        n = len(self.message.w[l])
        for start in range(0, n, self._rows[l]):
            rows = slice(start, min(start + self._rows[l], n))
            total = self.message.w[l][rows]
            stack = max(1, self._tile.size // total.size)
            row = 0
            for delta, a in factors:
                for i in range(0, len(delta), stack):
                    block = delta[i : i + stack, :, rows]
                    G = self._tile[: len(block) * total.size].reshape(len(block), *total.shape)
                    weight_gradient(block, a[i : i + stack], G)
                    if look:
                        here = slice(row, row + len(block))
                        flat = G.reshape(len(block), -1)
                        np.maximum(high[here], np.maximum.reduce(flat, axis=1), out=high[here])
                        np.minimum(low[here], np.minimum.reduce(flat, axis=1), out=low[here])
                    exact.add_micro_batches(G, total, first=row == 0)
                    row += len(block)


def count_hits(a: np.ndarray, labels: np.ndarray) -> int:
    """How many outputs a, (…, outputs), tell the class in labels, (…); one output tells 0 from 1."""
    told = a[..., 0] > 0.5 if a.shape[-1] == 1 else a.argmax(axis=-1)
    return int(np.count_nonzero(told == labels))


def _count_not_finite(largest, costs) -> int:
    """How many micro-batches have a cost or a gradient that is a NaN or an infinity, or a cost beyond the limbs."""
    if float(largest.sum()) + sum(costs) < exact.LARGEST_COST:  # False for NaN as well
        return 0
    finite = np.isfinite(largest).all(axis=1) & (np.array(costs) < exact.LARGEST_COST)
    return int(np.count_nonzero(~finite))


def _piece(layout, start: int):
    """One piece of v, and where each tensor lies in it: (slice of v, [(tensor, slice of v, slice of the piece)])."""
    stop = min(start + PIECE, layout.size)
    tensors = []
    for tensor, part in enumerate(layout.slices):
        a, b = max(start, part.start), min(stop, part.stop)
        if a < b:
            tensors.append((tensor, slice(a, b), slice(a - start, b - start)))
    return slice(start, stop), tensors
