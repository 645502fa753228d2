"""Metrics of a set beside its cost, made of exact sums over blocks of rows and over ranks."""

from typing import Any

import numpy as np

from distmlp.config.sections import Config
from distmlp.data.dataset import DataSet, targets_as
from distmlp.data.transform import Transform
from distmlp.errors import InputError
from distmlp.kernels import numbers
from distmlp.mathematics.costs import Cost
from distmlp.mathematics.metrics import ClassTally, NumberTally
from distmlp.mathematics.network import Network, Pass
from distmlp.mathematics.roc import area_under_roc
from distmlp.parallel.communicator import Communicator

#: Up to so many outputs, rows times classes, the areas under ROC curves are found: all of them are kept for it.
MOST_SCORES = 2**27

#: What training.metrics may name for classes, beside "top_2", "top_3" …, and for numbers.
OF_CLASSES = ("balanced_accuracy", "precision", "recall", "f1", "roc_auc", "log_loss", "brier")
OF_NUMBERS = ("r2", "rmse", "mae", "largest_error")


class Scores:
    """What blocks of a set's outputs say, added up."""

    def __init__(
        self,
        network: Network,
        data: DataSet,
        with_areas: bool = True,
        transform: Transform | None = None,
    ) -> None:
        self._data, outputs, self._targets = data, network.layers[-1], network.targets
        self._transform = transform or Transform()
        self._tally: ClassTally | NumberTally
        self._log_loss: Cost | None = None
        self._with_areas = (
            with_areas and data.classes and data.rows * max(2, outputs) <= MOST_SCORES
        )
        self._kept: list[tuple[np.ndarray, np.ndarray]] = []
        if data.classes:
            self._log_loss = _log_loss_of(network)
            unit = None if data.weights is None else data.weights.unit
            self._tally = ClassTally(outputs, self._log_loss is not None, unit)
        else:
            self._tally = NumberTally(self._targets, data.weights is not None)

    def add(self, p: Pass, y: np.ndarray, weights: np.ndarray | None = None) -> None:
        """Adds a block: a pass of one stack, its stored targets, and, where the set has weights, their `scaled`."""
        a = p.a[-1][0]
        if isinstance(self._tally, NumberTally):
            answers = self._transform.answers(a)[:, : self._targets].astype(np.float64)
            self._tally.add(answers, y.reshape(answers.shape).astype(np.float64), weights)
            return
        losses = None
        if self._log_loss is not None:
            desired = targets_as(self._data, y, a.shape[1], a.dtype)
            losses = self._log_loss.of_samples(p.z, a[None], desired[None])[0]
        self._tally.add(a, y, losses, weights)
        if self._with_areas:
            self._kept.append((a.copy(), y.astype(np.int64)))

    def found(self, comm: Communicator) -> dict[str, Any]:
        """All metrics of what the ranks have added, by name; collective, the same on every rank."""
        comm.sum(self._tally.buffer)
        if isinstance(self._tally, ClassTally):
            found = self._tally.metrics(self._areas(comm))
        else:
            comm.max(self._tally.largest)
            found = self._tally.metrics()
        rows = found["by_class" if self._data.classes else "by_output"]
        names = self._data.target_names
        if names is not None and len(names) == len(rows):
            for row, name in zip(rows, names, strict=True):
                row["class" if self._data.classes else "output"] = name
        return found

    def top(self, k: int) -> float:
        """The share of rows whose class is among the k largest outputs, once `found` has added up."""
        assert isinstance(self._tally, ClassTally)
        return self._tally.top(k)

    def _areas(self, comm: Communicator) -> list[float | None] | None:
        """Each class's area under the ROC curve, which rank 0 finds."""
        if not self._with_areas:
            return None
        columns = self._kept[0][0].shape[1] if self._kept else 0
        columns = max(comm.all_gather(columns))
        labels = _joined(comm.gather([y for _, y in self._kept]))
        weights = None if self._data.weights is None else self._data.weights.scaled
        areas = []
        for k in range(columns):
            scores = _joined(comm.gather([a[:, k] for a, _ in self._kept]))
            if scores is not None and labels is not None:
                positive = labels == (1 if columns == 1 else k)
                areas.append(area_under_roc(scores, positive, weights))
        if columns == 1:
            areas = areas * 2  # 1 - a ranks the other class's rows the other way round
        return comm.broadcast(areas)


def _joined(parts: list[list[np.ndarray]] | None) -> np.ndarray | None:
    """All ranks' blocks, end to end, on rank 0."""
    return None if parts is None else np.concatenate([block for part in parts for block in part])


def _log_loss_of(network: Network) -> Cost | None:
    """What makes −ln of the probability of a row's class; None where outputs are no probabilities of classes."""
    if network.output == "softmax":
        return Cost(numbers.CostFunction.CATEGORICAL_CROSS_ENTROPY)
    if network.output == "sigmoid" and network.layers[-1] == 1:
        return Cost(numbers.CostFunction.BINARY_CROSS_ENTROPY)
    return None


def chosen(names: tuple[str, ...], scores: Scores, comm: Communicator) -> dict[str, float | None]:
    """The metrics that training.metrics names, by name; collective."""
    found = scores.found(comm)
    return {
        name: scores.top(int(name.removeprefix("top_"))) if name.startswith("top_") else found[name]
        for name in names
    }


def check_metrics(config: Config, validation: DataSet | None) -> None:
    """InputError where training.metrics asks for what the validation set cannot tell."""
    names = config.training.metrics
    if not names:
        return
    if validation is None:
        raise InputError(
            f"training.metrics is {list(names)}, but there is no validation set to measure: expected data.validation"
        )
    for name in names:
        of_classes = name in OF_CLASSES or name.startswith("top_")
        if of_classes != validation.classes:
            asked, are = ("classes", "numbers") if of_classes else ("numbers", "classes")
            expected = (*OF_CLASSES, "top_2") if validation.classes else OF_NUMBERS
            raise InputError(
                f'training.metrics has "{name}", a metric of {asked}, but the targets of '
                f"{validation.spec} are {are}: expected some of {', '.join(expected)}"
            )
