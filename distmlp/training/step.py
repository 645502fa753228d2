"""One training step: the notes' four steps (section 3.4) over the ranks' micro-batches.

    1. forward pass    2. backward pass    3. gradient, summed exactly    4. update

Nothing of the training's state changes before the sum has arrived, so a step that fails leaves v,
the optimizer and the grid as they were on every rank.
"""

import functools
import math
import zlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import DTypeLike

from distmlp.data.feed import MicroBatches
from distmlp.mathematics import exact, exact_costs, wide
from distmlp.mathematics.dropout import Dropout
from distmlp.mathematics.network import Network
from distmlp.mathematics.optimizers import Mean, Optimizer
from distmlp.mathematics.penalties import Shaping
from distmlp.parallel.communicator import Communicator
from distmlp.runs.checkpoint import AVERAGE
from distmlp.training.gradient import GradientSum, Seen
from distmlp.training.state import State

#: What a rank adds to the alarm by which all stop: any rank where it is asked to, rank 0 where the time is up.
ASKED, TIME_IS_UP = 1, 2**20


def reason_to_stop(alarm: int) -> str:
    """Why all stop, from the sum of what the ranks have added: "signal", "time limit", or "" where they do not."""
    if alarm % TIME_IS_UP:
        return "signal"
    return "time limit" if alarm else ""


@functools.lru_cache(maxsize=64)
def _factors(t: int, exponents: tuple[int, ...]) -> np.ndarray:
    """1 / (t 2^e) for each tensor's e, (2N,): by which a sum of t samples' gradients, in units, becomes their mean."""
    factors = np.array([1.0 / (t * math.ldexp(1.0, e)) for e in exponents])
    factors.flags.writeable = False
    return factors


class Step:
    """Takes steps of one network with one optimizer over a communicator.

    micro_batches: those of a full step over all ranks, S.  shaping: what is done to ∇C.  dropout: what is dropped.
    average: d, with which v is averaged from step to step; 0 is not at all.  audited: keep a checksum of this rank's part of
    each sum in `contribution`.
    """

    def __init__(
        self,
        network: Network,
        optimizer: Optimizer,
        dtype: DTypeLike,
        exactly: bool,
        comm: Communicator,
        micro_batches: int,
        shaping: Shaping | None = None,
        dropout: Dropout | None = None,
        average: float = 0.0,
    ) -> None:
        self.network, self.optimizer, self.comm = network, optimizer, comm
        self.dtype, self.exactly = np.dtype(dtype), exactly
        self._shaping, self._average = shaping, average
        layout = network.layout
        self.counting = exact.Counting.of(dtype, micro_batches, exactly)
        entries = exact.Message.entries(layout, self.counting)
        self._addends = comm.addends(entries, self.counting.carrier)
        self.message = exact.Message(layout, self._addends.mine, self.counting)
        self.total = exact.Message(layout, self._addends.total, self.counting)
        frozen = shaping.frozen if shaping else ()
        self._gradient = GradientSum(network, dtype, self.counting, self._addends, dropout, frozen)
        self._log2_in_one = self.counting.log2_in_one(micro_batches)
        self._floats = np.empty(layout.size if self.counting.many else 0, self.dtype)
        self._parts_of_average = np.array([average, 1.0 - average], self.dtype)
        self._added = np.empty(layout.size if average else 0, self.dtype)
        self._ends = np.array([part.stop for part in layout.slices], np.int64)
        self._viewed: np.ndarray | None = None
        self.audited = False
        self.contribution: int | None = None

    def gradient(
        self, state: State, batches: Iterable[MicroBatches], stop: int = 0, save: bool = False
    ) -> exact.Grid | None:
        """Σ ∇C_i over all ranks' micro-batches, left in `total`; returns the grid that it is counted on.

        batches: this rank's, none where it is idle; gone through again where the grid was too fine.  stop, save: this
        rank asks all to stop (ASKED or TIME_IS_UP), or for a checkpoint, after the step.  Raises exact.NotFinite on every
        rank alike.
        """
        w, b = self._views(self.optimizer.point(state.v, state.arrays, state.scalars))
        grid = state.grid
        if self.counting.grid is not None and grid is None:
            # The first step: no step before it tells how large its gradients are.
            ones = self.counting.grid([0] * len(self.network.layout.slices), self.dtype)
            seen = self._gradient.add_up(w, b, batches, ones, self.message, state.step)
            grid = self._fitting_grid(ones, seen)
        again = False
        while True:
            seen = self._gradient.add_up(
                w, b, batches, grid, self.message, state.step, is_sent=True
            )
            self._fill_header(seen, stop, save)
            self.comm.add_up(self._addends)
            if self.total.alarms[0] and grid is not None and not again and grid.is_fine:
                # After zeros the unit is so fine that δ overflows in it, where the gradient does not.
                again, coarse = True, grid.coarser()
                seen = self._gradient.add_up(w, b, batches, coarse, self.message, state.step)
                grid = self._fitting_grid(coarse, seen)
                continue
            self._check_finite()
            if grid is None or grid.holds(self.total.units.tolist()):
                return grid
            grid = self._fitting_grid(grid, seen)

    def update(self, state: State, grid: exact.Grid | None, alpha: float) -> None:
        """∇C = (1/t) Σ ∇C_i from the total, and the parameter update: the state's one change in a step."""
        total = self.total
        t = int(total.totals[0])
        exponents = (0,) * len(self._ends)
        if grid is not None:
            exponents = grid.exponents
            state.grid = grid.next(total.units.tolist())
        self.optimizer.advance(state.scalars)
        gradient = self.sum_in(total)
        # notes: grad C = 1/t sum grad C_i
        mean = Mean(gradient, _factors(t, exponents), self._ends)
        if self.optimizer.needs_cost:
            mean = mean._replace(cost=exact_costs.mean_cost(total.totals))
        if self._shaping is not None:
            mean = self._shaping.shaped(mean, self.network.layout, alpha)
        self.optimizer.update(state.v, mean, state.arrays, state.scalars, alpha)
        if self._average:
            self._take_into_average(state)
        state.step += 1
        stop, save = total.alarms[1:].tolist()
        state.stop, state.save = reason_to_stop(int(stop)), save > 0
        np.add(state.totals, total.totals, out=state.totals, casting="unsafe")

    def sum_in(self, message: exact.Message) -> np.ndarray:
        """Σ ∇C_i of a message in the grid's units, (k,): whole numbers, or floats, which last until the next is asked for."""
        if not self.counting.many:
            return message.gradient
        wide.to_floats(message.gradient, self._floats)
        return self._floats

    def _take_into_average(self, state: State) -> None:
        """average' = d average + (1 − d) v; after the first step it is v."""
        average = state.arrays[AVERAGE]
        if state.step == 0:
            np.copyto(average, state.v)
            return
        d, rest = self._parts_of_average
        average *= d
        average += np.multiply(state.v, rest, out=self._added)

    def _views(self, v: np.ndarray) -> tuple[list, list]:
        """w and b of v, made anew only for another v."""
        if self._viewed is not v:
            self._viewed, self._w_and_b = v, self.network.layout.views(v)
        return self._w_and_b

    def _fitting_grid(self, grid: exact.Grid, seen: Seen) -> exact.Grid:
        """The grid that this step's own gradients ask for, agreed on by all ranks; they were made on `grid`."""
        largest = seen.largest or [np.zeros((len(grid.exponents), 0), self.dtype)]
        exponents = grid.largest_exponents(np.concatenate(largest, axis=1))
        self.comm.max(exponents)
        return type(grid).fitting((exponents + self._log2_in_one).tolist(), self.dtype)

    def _fill_header(self, seen: Seen, stop: int, save: bool) -> None:
        """What the message says beside the gradient and its units."""
        message = self.message
        message.facts[:] = seen.not_finite, stop, save, seen.samples, seen.hits
        message.limbs[:] = exact_costs.limbs_of(seen.cost)
        if self.audited:
            parts = message.gradient, message.units, message.totals
            self.contribution = functools.reduce(
                lambda crc, part: zlib.crc32(part.data, crc), parts, 0
            )

    def _check_finite(self) -> None:
        """Raises exact.NotFinite where a micro-batch of any rank had a NaN or an infinity."""
        total = self.total
        if total.alarms[0]:
            raise exact.NotFinite(
                f"{int(total.alarms[0])} micro-batches have a cost or a gradient that is not finite"
            )
        if not self.exactly and not np.isfinite(np.add.reduce(total.gradient)):
            raise exact.NotFinite("the gradient's sum is not finite")
