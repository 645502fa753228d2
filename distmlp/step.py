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
from distmlp.feed import MicroBatches
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
        self._addends = comm.addends(exact.Message.entries(layout), exact.carrier(dtype) if exactly else self.dtype)
        self.message = exact.Message(layout, self._addends.mine)
        self.total = exact.Message(layout, self._addends.total)
        self._workspace = Workspace(network.layers, samples, dtype)
        self._log2_micro_batches = (micro_batches - 1).bit_length()
        entries = TILE_BYTES // self.dtype.itemsize
        self._tiles = [None, *(_tiles(w, max(1, entries // w.shape[1])) for w in self.message.w[1:])]
        self._tile = np.empty(max(entries, *network.layers), self.dtype)
        self._biases = [self.message.gradient[part] for part in layout.slices[layout.N :]]
        self._works = {}
        self._unit_grid = exact.Grid([0] * len(layout.slices), dtype)
        self._viewed = None
        self.audited, self.contribution = False, None
        self._pieces = [_piece(layout, start) for start in range(0, layout.size, PIECE)]
        self._g = np.empty(min(PIECE, layout.size), self.dtype)
        self._t = np.empty_like(self._g)

    def gradient(
        self, state: State, batches: list[MicroBatches], stop: bool = False, save: bool = False
    ) -> exact.Grid | None:
        """Σ ∇C_i over all ranks' micro-batches, left in `total`; returns the grid that it is counted on.

        batches: this rank's, none where it is idle.  stop, save: this rank asks all to stop, or for a
        checkpoint, after the step.  Raises exact.NotFinite on every rank alike.
        """
        w, b = self._views(state.v)
        works, costs = [], []
        samples = hits = 0
        for batch in batches:
            s, M = batch.y.shape[:2]
            work = self._work(s, M, samples)
            p = work.p
            p.a[0] = batch.x
            forward(self.network, w, b, p)
            backward(self.network, w, p, batch.y)
            works.append(work)
            samples += s * M
            costs += self.network.C.value(p.z, p.a[-1], batch.y).tolist()
            if batch.labels is not None:
                hits += count_hits(p.a[-1], batch.labels)

        message, total = self.message, self.total
        grid, fits = state.grid or self._unit_grid, False
        while not fits:
            largest = self._accumulate(works, grid if self.exactly else None)
            if state.grid is None and grid is self._unit_grid and self.exactly:
                # The first step: no step before it tells how large its gradients are.
                grid = self._fitting_grid(grid, largest)
                continue
            all_finite = grid.units(largest, message.units) if self.exactly else True
            all_finite = all_finite and sum(costs) < exact.LARGEST_COST  # False for NaN as well
            not_finite = 0 if all_finite else _count_not_finite(largest, costs)
            message.alarms[:] = not_finite, stop, save
            message.totals[:2] = samples, hits
            message.totals[2:] = exact.cost_limbs([] if not_finite else costs)
            if self.audited:
                parts = message.gradient, message.units, message.totals
                self.contribution = functools.reduce(lambda crc, part: zlib.crc32(part, crc), parts, 0)
            self.comm.add_up(self._addends)
            if total.alarms[0]:
                raise exact.NotFinite(f"{int(total.alarms[0])} micro-batches have a cost or a gradient that is not finite")
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
            factors = [1.0 / (t * scale) for scale in grid.scales]  # notes: grad C = 1/t sum grad C_i
            state.grid = grid.next(total.units.tolist())
        self.optimizer.advance(state.scalars)
        if self.exactly and self.optimizer.is_plain:
            self._views(state.v)
            for (units, v), factor in zip(self._tensors, factors):
                exact.descend(units, factor, alpha, v)
        else:
            self._update_in_pieces(state, factors, alpha)
        state.step += 1
        state.stop, state.save = (alarm > 0 for alarm in total.alarms[1:].tolist())
        np.add(state.totals, total.totals, out=state.totals, casting="unsafe")

    def _update_in_pieces(self, state: State, factors: list[float], alpha: float) -> None:
        mean = exact.mean if self.exactly else exact.mean_in_numpy
        for part, tensors in self._pieces:
            g, scratch = self._g[: part.stop - part.start], self._t[: part.stop - part.start]
            for tensor, inside, into in tensors:
                mean(self.total.gradient[inside], factors[tensor], g[into])
            arrays = {name: array[part] for name, array in state.arrays.items()}
            self.optimizer.update(state.v[part], g, scratch, arrays, state.scalars, alpha)

    def _views(self, v: np.ndarray):
        """w and b of v, made anew only for another v; _tensors is each one's part of the sum, and of v."""
        if self._viewed is not v:
            layout = self.network.layout
            self._viewed, self._w_and_b = v, layout.views(v)
            self._tensors = [(self.total.gradient[part], v[part]) for part in layout.slices]
        return self._w_and_b

    def _fitting_grid(self, grid: exact.Grid, largest) -> exact.Grid:
        """The grid that this step's own gradients ask for, agreed on by all ranks; they were made on `grid`."""
        exponents = grid.largest_exponents(largest)
        self.comm.max(exponents)
        return exact.Grid.fitting((exponents + self._log2_micro_batches).tolist(), self.dtype)

    def _work(self, s: int, M: int, offset: int) -> "_Work":
        """Where the gradients of s micro-batches of M samples are made; the same views again for the same numbers."""
        key = (s, M, offset)
        if key not in self._works:
            p = self._workspace.view(s, M, offset)
            deltas = p.scratch if self.exactly else p.delta
            tiles = [None]
            for l in range(1, self.network.layout.N + 1):
                tiles.append([list(self._stacks(deltas[l], rows, total.size)) for rows, total in self._tiles[l]])
            self._works[key] = _Work(p, tiles, [np.empty((s, total.size), self.dtype) for total in self._biases])
        return self._works[key]

    def _stacks(self, delta, rows: slice, entries: int):
        """As many micro-batches at a time as fill a tile: (which, their δ, their ∇C, and this flat)."""
        stack = max(1, self._tile.size // entries)
        for i in range(0, len(delta), stack):
            block = delta[i : i + stack, :, rows]
            s, _, n = block.shape
            G = self._tile[: s * entries]
            yield slice(i, i + s), block, G.reshape(s, n, -1), G.reshape(s, -1)

    def _accumulate(self, works: list["_Work"], grid) -> np.ndarray:
        """message.gradient = Σ ∇C_i over this rank's micro-batches, in the grid's units.

        Returns the T_i, (s, 2N), in the grid's units too; without a grid nothing is looked at.
        """
        N = self.network.layout.N
        if not works:
            self.message.gradient.fill(0)
            return np.zeros((0, 2 * N), self.dtype)
        largest = [np.zeros((2 * N, len(work.p.z)), self.dtype) for work in works]
        for l in range(1, N + 1):
            self._accumulate_weights(l, works, grid, [T[l - 1] for T in largest])
        self._accumulate_biases(works, grid, [T[N:] for T in largest])
        return (largest[0] if len(largest) == 1 else np.concatenate(largest, axis=1)).T

    def _accumulate_weights(self, l: int, works: list["_Work"], grid, largest) -> None:
        """The part of w(l), tile by tile: a tile is made, looked at and added while it is in a core's cache."""
        if grid is not None:
            for work in works:
                # 2^e folded into δ: the GEMM then counts in units, and no pass over ∇C is needed
                np.multiply(work.p.delta[l], grid.scales[l - 1], out=work.p.scratch[l])
        for tile, (_, total) in enumerate(self._tiles[l]):
            first = True
            for work, T in zip(works, largest):
                for stack, delta, G, entries in work.tiles[l][tile]:
                    weight_gradient(delta, work.p.a[l - 1][stack], G)
                    self._add(entries, total, grid, T[stack], first)
                    first = False

    def _accumulate_biases(self, works: list["_Work"], grid, largest) -> None:
        """The part of all b(l); largest: an (N, s) for each work."""
        for number, (work, T) in enumerate(zip(works, largest)):
            for l, (G, total, T_b) in enumerate(zip(work.biases, self._biases, T), 1):
                bias_gradient(work.p.delta[l], G, 1.0 if grid is None else grid.scales[self.network.layout.N + l - 1])
                self._add(G, total, grid, T_b, first=number == 0)

    @staticmethod
    def _add(G, total, grid, largest, first: bool) -> None:
        """total += Σ_i G_i: (s, n) into (n,), on the grid or as plain floats."""
        if grid is not None:
            exact.count(G, total, largest, first)
        else:
            exact.add_floats(G, total, first)


@dataclass
class _Work:
    """What the gradients of one pass are made in.

    tiles: of w(l), for each tile the stacks of micro-batches that are made at a time, see `Step._stacks`.
    biases: of each layer, (s, neurons).
    """

    p: Pass
    tiles: list
    biases: list[np.ndarray]


def count_hits(a: np.ndarray, labels: np.ndarray) -> int:
    """How many outputs a, (…, outputs), tell the class in labels, (…); one output tells 0 from 1."""
    told = a[..., 0] > 0.5 if a.shape[-1] == 1 else a.argmax(axis=-1)
    return int(np.count_nonzero(told == labels))


def _count_not_finite(largest, costs) -> int:
    """How many micro-batches have a cost or a gradient that is a NaN or an infinity, or a cost beyond the limbs."""
    finite = np.isfinite(largest).all(axis=1) & (np.array(costs) < exact.LARGEST_COST)
    return int(np.count_nonzero(~finite))


def _tiles(w: np.ndarray, rows: int) -> list[tuple[slice, np.ndarray]]:
    """A weight matrix cut into tiles of so many rows: (rows, their entries, flat)."""
    starts = range(0, len(w), rows)
    return [(slice(start, min(start + rows, len(w))), w[start : start + rows].reshape(-1)) for start in starts]


def _piece(layout, start: int):
    """One piece of v, and where each tensor lies in it: (slice of v, [(tensor, slice of v, slice of the piece)])."""
    stop = min(start + PIECE, layout.size)
    tensors = []
    for tensor, part in enumerate(layout.slices):
        a, b = max(start, part.start), min(stop, part.stop)
        if a < b:
            tensors.append((tensor, slice(a, b), slice(a - start, b - start)))
    return slice(start, stop), tensors
