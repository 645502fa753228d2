"""Evaluation and prediction: forward passes over a set, spread over the ranks.

A set is cut into blocks of BLOCK rows, whatever the number of ranks; a rank takes a contiguous run
of blocks.  Costs and hits are summed exactly, so the metrics are the same bits for any rank count.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from distmlp.data.dataset import DataSet
from distmlp.data.sample_weights import RowWeights
from distmlp.data.transform import Transform
from distmlp.mathematics import exact_costs
from distmlp.mathematics.costs import z_of
from distmlp.mathematics.metrics import count_hits, predicted_classes
from distmlp.mathematics.network import Network, Pass, Workspace, forward
from distmlp.mathematics.shards import share
from distmlp.mathematics.sums import Sums, rounded
from distmlp.parallel import progress
from distmlp.parallel.communicator import Communicator
from distmlp.runs import checkpoint
from distmlp.training.preparation import Prepared
from distmlp.training.set_metrics import Scores, chosen
from distmlp.training.state import State

#: Rows of one forward pass: a constant, since the costs of a block are added up in float64 before they are exact.
BLOCK = 256

#: A trained network: what it is, its v, and what is done to its inputs and answers.
Member = tuple[Network, np.ndarray, Transform]


@dataclass(frozen=True)
class Metrics:
    """What a set says of a v.

    cost: the mean over the samples.  accuracy: the share of right classes, None without classes.
    scores: further metrics by name, where they were asked for.  cost_name: which cost it is; "mse" is half of the squared
    error.  Where the set has weights all of them are weighted, and unweighted has cost and accuracy as they are without.
    """

    samples: int
    cost: float
    accuracy: float | None
    scores: dict[str, Any] | None = None
    cost_name: str = ""
    unweighted: "Metrics | None" = None


class _Weighed:
    """Σ w C and Σ w over right rows, exactly.

    buffer: to be added up over ranks.
    """

    def __init__(self, weights: RowWeights) -> None:
        self._weights = weights
        self.buffer = np.append(exact_costs.no_totals(), np.zeros(1 + Sums.entries(1), np.int64))
        self._totals, more = np.split(self.buffer, [len(exact_costs.no_totals())])
        self._not_finite, self._right = more[:1], Sums(1, more[1:])

    def add(self, cost: float, right: np.ndarray | None, w: np.ndarray) -> None:
        """Adds a block's Σ w C; right: which rows are, None without classes.  w: the block's weights, scaled."""
        finite = abs(cost) < exact_costs.LARGEST_COST
        self._not_finite += not finite
        self._totals[2:] += exact_costs.limbs_of(exact_costs.whole_cost([cost] if finite else []))
        if right is not None:
            self._right.add(w[right][:, None])

    def metrics(self, plain: Metrics) -> Metrics:
        """The weighted metrics; plain: those without weights."""
        total = self._weights.total / self._weights.unit
        cost = float("inf") if self._not_finite[0] else exact_costs.mean_cost(self._totals, total)
        right = None if plain.accuracy is None else rounded(self._right.values()[0] / total)
        return replace(plain, cost=cost, accuracy=right, unweighted=plain)


def _blocks(rows: int, comm: Communicator) -> range:
    """This rank's blocks."""
    return share(-(-rows // BLOCK), comm.size, comm.rank)


def _outputs(
    network: Network,
    v: np.ndarray,
    data: DataSet,
    transform: Transform,
    blocks: range,
    workspace: Workspace,
) -> Iterator[tuple[Pass, np.ndarray | None]]:
    """Yields (pass, stored targets) of each block; the next block overwrites the pass."""
    w, b = network.layout.views(v)
    for block in blocks:
        progress.made()
        start, stop = block * BLOCK, min((block + 1) * BLOCK, data.rows)
        x, y = data.read([(start, stop)])
        p = workspace.view(1, stop - start, transform.applied(x, v.dtype)[None])
        forward(network, w, b, p)
        yield p, y


def evaluate(
    network: Network,
    v: np.ndarray,
    data: DataSet,
    transform: Transform,
    comm: Communicator,
    scores: Scores | None = None,
    names: tuple[str, ...] | None = None,
) -> Metrics:
    """The mean cost and the accuracy of v on a set; collective, the same on every rank.

    scores: is given the set, where more is to be told of it.  names: which of training.metrics; None is all there are.
    """
    blocks, workspace = _blocks(data.rows, comm), Workspace(network.layers, v.dtype)
    outputs = _outputs(network, v, data, transform, blocks, workspace)
    return _measured(outputs, network, data, transform, comm, scores, names)


def evaluate_mean(
    members: Sequence[Member], data: DataSet, comm: Communicator, scores: Scores
) -> Metrics:
    """The same of the mean of several networks' answers, float64 in the targets' own units; collective.

    members: networks with the same output and cost.
    """
    blocks = _blocks(data.rows, comm)
    outputs = [
        _outputs(network, v, data, transform, blocks, Workspace(network.layers, v.dtype))
        for network, v, transform in members
    ]
    network = members[0][0]
    return _measured(_means(members, outputs), network, data, Transform(), comm, scores, None)


def _means(
    members: Sequence[Member], outputs: list[Iterator[tuple[Pass, np.ndarray | None]]]
) -> Iterator[tuple[Pass, np.ndarray | None]]:
    """Yields (pass of the mean answers, stored targets) of each block, added up from the first network to the last."""
    output = members[0][0].output
    for passes in zip(*outputs, strict=True):
        a = np.zeros(passes[0][0].z.shape)
        for (p, _), (_, _, transform) in zip(passes, members, strict=True):
            a += transform.answers(p.a[-1])
        a /= len(members)
        yield Pass([a], [None], z_of(output, a), [None], [None]), passes[0][1]


def _measured(
    outputs: Iterator[tuple[Pass, np.ndarray | None]],
    network: Network,
    data: DataSet,
    transform: Transform,
    comm: Communicator,
    scores: Scores | None,
    names: tuple[str, ...] | None,
) -> Metrics:
    """What blocks of outputs say, added up over the ranks; see `evaluate`."""
    totals, not_finite = exact_costs.no_totals(), 0
    weighed = None if data.weights is None else _Weighed(data.weights)
    for block, (p, y) in zip(_blocks(data.rows, comm), outputs, strict=True):
        assert y is not None  # it is None in a set that is opened without its targets
        a, w = p.a[-1], None
        desired = transform.desired(data, y, network.layers[-1], a.dtype)[None]
        cost = float(network.C.value(p.z, a, desired)[0])
        if weighed is not None and data.weights is not None:
            w = data.weights.scaled[block * BLOCK : (block + 1) * BLOCK]
            right = predicted_classes(a[0]) == y if data.classes else None
            weighed.add(float(network.C.weighted(p.z, a, desired, w[None])[0]), right, w)
        finite = abs(cost) < exact_costs.LARGEST_COST
        not_finite += not finite
        totals[0] += len(y)
        totals[1] += count_hits(a[0], y) if data.classes else 0
        totals[2:] += exact_costs.limbs_of(exact_costs.whole_cost([cost] if finite else []))
        if scores is not None:
            scores.add(p, y, w)
    everything = np.append(totals, not_finite)
    comm.sum(everything)
    samples, hits = everything[:2].tolist()
    cost = exact_costs.mean_cost(everything[:-1]) if everything[-1] == 0 else float("inf")
    right = hits / samples if data.classes else None
    found = Metrics(samples, cost, right, cost_name=network.cost)
    if weighed is not None:
        comm.sum(weighed.buffer)
        found = weighed.metrics(found)
    if scores is None:
        return found
    more = scores.found(comm) if names is None else chosen(names, scores, comm)
    return replace(found, scores=more)


def epoch_record(run: Prepared, state: State, steps: int, seconds: float) -> dict:
    """The log's record of the epoch that ends with a state; collective.

    Ranks may differ in what the clock says and in nothing else.
    steps, seconds: how many of its steps were timed together, and how long they took.
    """
    metrics = None
    names = run.config.training.metrics
    if run.validation is not None:
        metrics = evaluate(
            run.network,
            state.evaluated,
            run.validation,
            run.transform,
            run.comm,
            Scores(run.network, run.validation, "roc_auc" in names, run.transform)
            if names
            else None,
            names,
        )
    samples, hits = state.totals[:2].tolist()
    training_accuracy = hits / samples if run.data.classes else None
    steps_per_epoch = run.steps_per_epoch
    epoch = state.step // steps_per_epoch
    return {
        "epoch": epoch,
        "step": state.step,
        "cost": exact_costs.mean_cost(state.totals),
        "validation_cost": metrics.cost if metrics else None,
        "accuracy": metrics.accuracy if metrics else training_accuracy,
        "accuracy_of": "validation" if metrics else "training",
        "training_accuracy": training_accuracy,
        **(metrics.scores or {} if metrics else {}),
        "learning_rate": run.schedule.rate(state.step - 1, state.shown.reductions),
        "samples_per_second": samples * steps / steps_per_epoch / seconds,
        "ranks": run.comm.size,
        "seconds": seconds,
        "v_sha256": checkpoint.v_sha256(state.v),
    }


def predict(
    network: Network,
    v: np.ndarray,
    data: DataSet,
    transform: Transform,
    comm: Communicator,
    write: Callable[[int, np.ndarray], None],
) -> None:
    """Calls write(first row, outputs (rows, k)) on rank 0, so that each row comes once; collective.

    Rank 0 holds one block of each rank at a time.
    """
    blocks = _blocks(data.rows, comm)
    workspace = Workspace(network.layers, v.dtype)
    outputs = _outputs(network, v, data, transform, blocks, workspace)
    most = len(share(-(-data.rows // BLOCK), comm.size, 0))
    for turn in range(most):
        mine = None
        if turn < len(blocks):
            p, _ = next(outputs)
            mine = (blocks[turn] * BLOCK, transform.answers(p.a[-1][0].copy()))
        for found in comm.gather(mine) or []:
            if found is not None:
                write(*found)
