"""Doubts: what tells of a training that comes to nothing, said while it runs and at its end.

All of it follows from records of epochs and from rows that rank 0 has looked at, so every rank has the same doubts.
Nothing of it changes v.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from distmlp.data.dataset import DataSet
from distmlp.data.transform import Transform
from distmlp.mathematics.network import Network, Workspace, forward
from distmlp.mathematics.shards import rows_of
from distmlp.parallel.rank0 import on_rank_0
from distmlp.runs.log import read_records
from distmlp.training.preparation import Prepared
from distmlp.training.state import State

#: Rows that are looked at, in pieces from all over the set.
_ROWS, _PIECE = 4096, 64
#: The cost has grown where it is this many times the least of all epochs.
_GROWN = 100.0
#: The cost has hardly changed where it differs by less than this part of it, from the first epoch to this one.
_STUCK, _STUCK_EPOCHS = 1e-3, 5
#: A cost is hardly better than a constant prediction's where it is above this part of that.
_BETTER = 0.99
#: a of the first layer is saturated where |a| (tanh), or |2a − 1| (sigmoid), is above this.
_SATURATED = 0.995


@dataclass
class Doubts:
    """What has been said of a run so far.

    constant: the cost of the best constant prediction, None where it is not known.  searches: a line search finds the length
    of each step, so an epoch may leave v as it is, and no rate is to blame.  seen: (step, cost, digest of v) of the
    epochs so far.  told: each doubt, by what it is about.
    """

    constant: float | None
    searches: bool = False
    seen: list[tuple[int, float, str]] = field(default_factory=list)
    told: dict[str, str] = field(default_factory=dict)

    def epoch(self, record: dict) -> list[str]:
        """What the end of an epoch gives cause to say, each once in a run."""
        before = len(self.told)
        # where a run has gone back, epochs come a second time
        self.seen = [seen for seen in self.seen if seen[0] < record["step"]]
        if not self.searches:
            self._look_for_growth(record)
            self._look_for_a_rate_that_does_nothing(record)
        self.note(record)
        return list(self.told.values())[before:]

    def note(self, record: dict) -> None:
        """Keeps an epoch's record in mind."""
        self.seen.append((record["step"], record["cost"], record["v_sha256"]))

    def _look_for_growth(self, record: dict) -> None:
        cost = record["cost"]
        least = min((seen[1] for seen in self.seen), default=cost)
        helps = f"a smaller optimizer.learning_rate than {record['learning_rate']:.4g} may help"
        if least > 0 and not cost <= _GROWN * least:
            where = f"in epoch {record['epoch']}"
            self._tell(
                "growth", f"the cost has grown from {least:.4g} to {cost:.4g} {where}: {helps}"
            )
        elif self.constant is not None and not cost <= _GROWN * self.constant:
            what = (
                f"more than {_GROWN:.0f} times that of a constant prediction, {self.constant:.4g}"
            )
            self._tell(
                "growth", f"epoch {record['epoch']} has the cost {cost:.4g}, {what}: {helps}"
            )

    def _look_for_a_rate_that_does_nothing(self, record: dict) -> None:
        cost, alpha = record["cost"], record["learning_rate"]
        if self.seen and self.seen[-1][2] == record["v_sha256"]:
            self._tell(
                "nothing",
                f"epoch {record['epoch']} has not changed one bit of v: optimizer.learning_rate, now {alpha:.4g}, is too small "
                "for the dtype, or every gradient is 0 (dead relu?)",
            )
        costs = [*(seen[1] for seen in self.seen), cost]
        hardly = max(costs) - min(costs) < _STUCK * abs(cost)
        if len(costs) == _STUCK_EPOCHS and hardly and self._is_poor(cost):
            self._tell(
                "stuck",
                f"the cost has hardly changed in {len(costs)} epochs ({costs[0]:.6g} to {cost:.6g}) and is {self._poor(cost)} better than a "
                f"constant prediction's ({self.constant:.6g}): a different optimizer.learning_rate than {alpha:.4g}, "
                "mostly a larger one, may help",
            )

    def end(self, record: dict | None) -> str | None:
        """What there is to say at the end of a run; None where there is nothing.

        record: the last epoch's; None where there is none.
        """
        if record is not None and self._is_poor(record["cost"]):
            poor = self._poor(record["cost"])
            learned = "nothing" if poor == "no" else "next to nothing"
            self._tell(
                "constant",
                f"the last epoch's cost, {record['cost']:.6g}, is {poor} better than that of a constant prediction, "
                f"{self.constant:.6g}: the network has learned {learned} from its inputs",
            )
        if not self.told:
            return None
        return f"complete, but doubtful: {'; '.join(self.told.values())}"

    def _is_poor(self, cost: float) -> bool:
        return self.constant is not None and not cost < _BETTER * self.constant

    def _poor(self, cost: float) -> str:
        """How little better than the constant prediction's a poor cost is."""
        return "hardly" if self.constant is not None and cost < self.constant else "no"

    def _tell(self, about: str, words: str) -> None:
        self.told.setdefault(about, words)


def first_doubts(run: Prepared, state: State) -> tuple[Doubts, list[str]]:
    """The doubts of a run that begins or goes on, and what is to be said at once; collective, the same on every rank."""

    def looked() -> tuple[Doubts, list[str]]:
        pieces = _sampled(run.data)
        x, y = run.data.read(pieces)
        constant = None
        if y is not None:
            w = None if run.weighting is None else _weights(run, pieces, y)
            constant = constant_cost(run.network, run.data, run.transform, y, w)
        doubts = Doubts(constant, run.optimizer.needs_cost)
        for record in read_records(run.directory.log):
            known = isinstance(record.get("cost"), float) and "v_sha256" in record
            if known and record["step"] <= state.step:
                doubts.note(record)
        words = None
        if state.step == 0:
            words = unfit_inputs(run, state.v, run.transform.applied(x, state.v.dtype))
        if words:
            doubts.told["inputs"] = words
        return doubts, [words] if words else []

    return on_rank_0(run.comm, looked)


def _sampled(data: DataSet) -> list[tuple[int, int]]:
    """Runs of rows from all over a set."""
    if data.rows <= _ROWS:
        return [(0, data.rows)]
    starts = np.linspace(0, data.rows - _PIECE, _ROWS // _PIECE).astype(int).tolist()
    return [(start, start + _PIECE) for start in starts]


def _weights(run: Prepared, pieces: list[tuple[int, int]], y: np.ndarray) -> np.ndarray:
    """What the training rows of these runs count; y: their stored targets."""
    assert run.weighting is not None
    labels = y.astype(np.intp) if run.data.classes else None
    return run.weighting.of(rows_of(pieces), labels, np.float64)


def constant_cost(
    network: Network,
    data: DataSet,
    transform: Transform,
    y: np.ndarray,
    weights: np.ndarray | None = None,
) -> float | None:
    """The mean cost of the best constant outputs for stored targets: their mean, or their median; None where none is finite.

    None too of gaussian-nll, whose costs may be negative, so that no part of one is a bound.  weights: of the rows.
    """
    if network.cost == "gaussian-nll":
        return None
    outputs = network.layers[-1]
    desired = transform.desired(data, y, outputs, np.float64)
    costs = []
    w = np.ones(len(desired)) if weights is None else weights
    if not w.any():
        return None
    middle = len(desired) // 2
    # numpy's median would load numpy.ma, for longer than all else here takes.
    median = np.partition(desired, middle, axis=0)[middle]
    for constant in (np.average(desired, axis=0, weights=w), median):
        if network.cost == "cross-entropy":
            p = np.clip(constant, 1e-12, 1 - 1e-12)
            z = np.log(p) if network.output == "softmax" else np.log(p / (1 - p))
        else:
            p = z = constant
        z, p = (np.broadcast_to(part, desired.shape)[None] for part in (z, p))
        cost = network.C.weighted(z, p, desired[None], w[None])[0] / w.sum()
        costs.append(float(cost))
    finite = [cost for cost in costs if math.isfinite(cost) and cost > 0]
    return min(finite, default=None)


def unfit_inputs(run: Prepared, v: np.ndarray, x: np.ndarray) -> str | None:
    """What is wrong with the scale of inputs x, (rows, inputs), as the first layer of a new network sees it, and the key that
    mends it; None where nothing is."""
    network, keys = run.network, run.config.data
    squares = sum(float(np.square(some, dtype=np.float64).sum()) for some in _blocks(x))
    size, largest = math.sqrt(squares / x.size), max(float(x.max()), -float(x.min()))
    if size == 0.0:
        return "all inputs that were looked at are 0"
    mends = f'data.scale = {keys.scale / size:.2g} or data.scale_inputs = "standardise" mends it'
    seen = f"the inputs' root mean square is {size:.3g}, the largest {largest:.3g}"
    first = network.activation if network.layout.N > 1 else ""
    if first in ("sigmoid", "tanh"):
        part = _saturated(network, v, x)
        if part > 0.5:
            return (
                f"{100 * part:.0f} % of the first layer's outputs are saturated before training, too far from 0 for "
                f'network.activation "{first}" to learn: {seen}; {mends}'
            )
    elif size > 100:
        return f"{seen}: too large for steps of any learning rate to be even; {mends}"
    if size < 1e-3:
        return f"{seen}: too small for the first layer to tell rows apart, so learning is slow; {mends}"
    return None


def _saturated(network: Network, v: np.ndarray, x: np.ndarray) -> float:
    """The part of the first layer's outputs, sigmoid's or tanh's, that is too far from 0 to learn."""
    first = Network(network.layers[:2], output=network.activation)
    w, b = network.layout.views(v)
    workspace, saturated = Workspace(first.layers, v.dtype), 0
    for some in _blocks(x):
        p = workspace.view(1, len(some), some[None])
        forward(first, w, b, p)
        a = p.a[1].astype(np.float64)
        size = np.abs(2 * a - 1 if network.activation == "sigmoid" else a)
        saturated += int(np.count_nonzero(size > _SATURATED))
    return saturated / (len(x) * network.layers[1])


def _blocks(x: np.ndarray) -> Iterator[np.ndarray]:
    """Inputs, some rows at a time: all at once would be the most memory that a run ever has."""
    for start in range(0, len(x), _PIECE):
        yield x[start : start + _PIECE]
