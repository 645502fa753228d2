"""A set as a network sees it: its metrics, the outputs of some rows, and those it is most wrong about."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from distmlp.data.dataset import DataSet, sample_shape
from distmlp.data.several_files import Spec
from distmlp.mathematics.metrics import predicted_classes
from distmlp.parallel.communicator import SingleProcess
from distmlp.results import checkpoint_commands, trained
from distmlp.results.trained import TrainedNetwork
from distmlp.training.evaluation import Metrics

#: Rows read at a time.
_BLOCK = 4096
#: Rows whose outputs are kept, evenly spaced over the set.
MOST_KEPT = 5000
#: Samples that are shown of those that the network is most wrong about.
MOST_WRONG = 12


@dataclass(frozen=True)
class Wrong:
    """A row that the network is wrong about: by how much, what it holds, what is true and what was predicted."""

    row: int
    by: float
    pixels: np.ndarray | None
    actual: str
    predicted: str


@dataclass(frozen=True)
class View:
    """A set through a network.

    spec, rows, width: the set.  names: of the classes or outputs.  metrics: with all scores.  y, a: (kept, outputs)
    the targets and outputs of some rows, None for classes.  wrong: the worst first.
    """

    spec: str
    rows: int
    width: int
    classes: bool
    names: list[str]
    metrics: Metrics
    y: np.ndarray | None
    a: np.ndarray | None
    wrong: list[Wrong]


def look(place: str | Path, which: str, spec: Spec | None) -> View | None:
    """A set, by default the config's validation set, through a checkpoint; None where there is no set.

    Raises InputError.
    """
    network, comm = trained.load(place, which), SingleProcess()
    with ExitStack() as stack:
        data = checkpoint_commands.open_asked(spec, (None, None), network.facts, comm, stack)
        if data is None:
            return None
        metrics = checkpoint_commands.evaluate(network.path, spec, comm)
        outputs = network.network.targets
        given = data.target_names or []
        # a network may have more outputs than there are classes with names
        names = given + _numbered(data.classes, max(outputs, 2), outputs)[len(given) :]
        wrong: list[Wrong] = []
        kept: list[tuple[np.ndarray, np.ndarray]] = []
        stride = -(-data.rows // MOST_KEPT)
        for start in range(0, data.rows, _BLOCK):
            x, y = data.read([(start, min(start + _BLOCK, data.rows))])
            assert y is not None  # the set was opened with its targets
            a = network.outputs(x)[:, :outputs]  # of gaussian-nll the means
            wrong += _worst_of(network, data, names, start, x, y, a)
            wrong = sorted(wrong, key=lambda each: (-each.by, each.row))[:MOST_WRONG]
            if not data.classes:
                some = slice(-start % stride, None, stride)
                kept.append((y.reshape(a.shape)[some].astype(float), a[some].astype(float)))
        y_kept = np.concatenate([y for y, _ in kept]) if kept else None
        a_kept = np.concatenate([a for _, a in kept]) if kept else None
        shape = (data.spec, data.rows, data.width, data.classes)
        return View(*shape, names, metrics, y_kept, a_kept, wrong)


def _numbered(classes: bool, count: int, outputs: int) -> list[str]:
    if classes:
        return [str(place) for place in range(count)]
    return ["output"] if outputs == 1 else [f"output {place}" for place in range(outputs)]


def _worst_of(
    network: TrainedNetwork,
    data: DataSet,
    names: list[str],
    first: int,
    x: np.ndarray,
    y: np.ndarray,
    a: np.ndarray,
) -> list[Wrong]:
    """The rows of a block that the network is most wrong about; of classes only those it gets wrong."""
    if network.has_classes:
        actual = y.astype(np.int64)
        predicted = predicted_classes(a)
        scores = np.hstack([1 - a, a]) if a.shape[1] == 1 else a
        rows = np.arange(len(a))
        by = np.where(predicted == actual, -1.0, scores[rows, predicted] - scores[rows, actual])
        words = [(names[i], names[j]) for i, j in zip(actual, predicted, strict=True)]
    else:
        errors = np.abs(a.astype(float) - y.reshape(a.shape))
        by, column = errors.max(axis=1), errors.argmax(axis=1)
        pairs = zip(y.reshape(a.shape), a, column, strict=True)
        words = [(f"{true[c]:.4g}", f"{found[c]:.4g}") for true, found, c in pairs]
    worst = np.argsort(-by, kind="stable")[:MOST_WRONG]
    return [
        Wrong(
            data.row_in_files(first + int(i)),
            float(by[i]),
            _pixels(x[i], sample_shape(data)),
            *words[i],
        )
        for i in worst
        if by[i] >= 0
    ]


def _pixels(row: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """A row as a picture, (height, width) or (height, width, 3); None where rows are no pictures."""
    if len(shape) == 3 and shape[2] == 1:
        shape = shape[:2]
    is_picture = len(shape) == 2 or (len(shape) == 3 and shape[2] == 3)
    if not is_picture or min(shape[:2]) < 4:
        return None
    return row.reshape(shape).astype(float)
