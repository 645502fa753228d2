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
        passes, bounds, costs = [], [], []
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
            if self.exactly:
                bounds.append(self._bounds(p, batch.largest))
        bounds = np.concatenate(bounds) if bounds else np.empty((0, len(self.network.layout.slices)))
        not_finite = _count_not_finite(bounds, costs)
        limbs = exact.cost_limbs([] if not_finite else costs)

        message = self.message
        grid = state.grid
        if self.exactly and grid is None:
            grid = self._fitting_grid(bounds)
        while True:
            self._accumulate(passes, grid)
            if self.exactly:
                message.units[:] = grid.units(bounds)
            message.alarms[:] = not_finite, stop, save
            message.totals[:2] = samples, hits
            message.totals[2:] = limbs
            if self.audited:
                parts = message.gradient, message.units, message.totals
                self.contribution = functools.reduce(lambda crc, part: zlib.crc32(part, crc), parts, 0)
            self.comm.sum(message.buffer)
            if message.alarms[0]:
                raise exact.NotFinite(f"{int(message.alarms[0])} micro-batches have a cost or a gradient that is not finite")
            if not self.exactly or grid.holds(message.units.tolist()):
                return grid
            grid = self._fitting_grid(bounds)

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

    def _bounds(self, p: Pass, largest_input) -> np.ndarray:
        """B of this stack's micro-batches, (s, 2N)."""
        N = self.network.layout.N
        errors = [exact.error_sums(p.delta[l], p.scratch[l]) for l in range(1, N + 1)]
        activations = [
            None if self.network.sigma[l].bounded else exact.largest_activation(p.a[l], p.scratch[l]) for l in range(1, N)
        ]
        return exact.gradient_bounds(errors, [largest_input, *activations])

    def _fitting_grid(self, bounds) -> exact.Grid:
        """The grid that this step's own bounds ask for, agreed on by all ranks."""
        exponents = exact.largest_exponents(bounds)
        self.comm.max(exponents)
        if (exponents >= exact.NOT_FINITE).any():
            raise exact.NotFinite("a gradient is not finite")
        return exact.Grid.fitting((exponents + self._log2_micro_batches).tolist(), self.dtype)

    def _accumulate(self, passes: list[Pass], grid) -> None:
        """message.gradient = Σ ∇C_i over this rank's micro-batches, in the grid's units."""
        N = self.network.layout.N
        if not passes:
            self.message.gradient.fill(0)
            return
        for l in range(1, N + 1):
            w_total, b_total = self.message.w[l], self.message.b[l]
            n, m = w_total.shape
            deltas = [p.delta[l] for p in passes]
            for i, delta in enumerate(deltas):
                bias = bias_gradient(delta)
                if grid is not None:
                    # 2^e folded into δ: the GEMM then counts in units, and no pass over ∇C is needed
                    bias *= grid.scales[N + l - 1]
                    deltas[i] = passes[i].scratch[l]
                    np.multiply(delta, grid.scales[l - 1], out=deltas[i])
                exact.add_micro_batches(bias, b_total, first=i == 0)
            for start in range(0, n, self._rows[l]):
                rows = slice(start, min(start + self._rows[l], n))
                total = w_total[rows]
                stack = max(1, self._tile.size // total.size)
                first = True
                for delta, p in zip(deltas, passes):
                    for i in range(0, len(delta), stack):
                        block = delta[i : i + stack, :, rows]
                        G = self._tile[: len(block) * total.size].reshape(len(block), *total.shape)
                        weight_gradient(block, p.a[l - 1][i : i + stack], G)
                        exact.add_micro_batches(G, total, first)
                        first = False


def count_hits(a: np.ndarray, labels: np.ndarray) -> int:
    """How many outputs a, (…, outputs), tell the class in labels, (…); one output tells 0 from 1."""
    told = a[..., 0] > 0.5 if a.shape[-1] == 1 else a.argmax(axis=-1)
    return int(np.count_nonzero(told == labels))


def _count_not_finite(bounds, costs) -> int:
    if float(bounds.sum()) + sum(costs) < exact.LARGEST_COST:  # False for NaN as well
        return 0
    fine = [cost < exact.LARGEST_COST for cost in costs]
    finite = np.isfinite(bounds).all(axis=1) if len(bounds) else [True] * len(fine)
    return max(1, sum(not (a and b) for a, b in zip(fine, finite)))


def _piece(layout, start: int):
    """One piece of v, and where each tensor lies in it: (slice of v, [(tensor, slice of v, slice of the piece)])."""
    stop = min(start + PIECE, layout.size)
    tensors = []
    for tensor, part in enumerate(layout.slices):
        a, b = max(start, part.start), min(stop, part.stop)
        if a < b:
            tensors.append((tensor, slice(a, b), slice(a - start, b - start)))
    return slice(start, stop), tensors
