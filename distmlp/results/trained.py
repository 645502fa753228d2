"""A trained network for inputs in memory: what `distmlp.load` gives."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from distmlp.config.reading import from_json
from distmlp.config.sections import Config
from distmlp.data.transform import transform_of
from distmlp.errors import InputError
from distmlp.kernels import known_answers
from distmlp.kernels.layer_twins import sum_in_lanes
from distmlp.mathematics.metrics import predicted_classes
from distmlp.mathematics.network import Network, Workspace, forward
from distmlp.parallel.communicator import SingleProcess
from distmlp.runs import checkpoint
from distmlp.training.evaluation import BLOCK, Metrics
from distmlp.training.preparation import network_of


@dataclass(frozen=True)
class TrainedNetwork:
    """A network and its v, in one process; each call gives the bits that the commands give.

    path: the checkpoint that it is of.  config: what it was trained with.  v: (k,).  has_classes: whether its
    targets were classes.  facts: all that the checkpoint says, as `distmlp inspect --json` prints it.

    Several threads may call it at once.
    """

    path: Path
    config: Config
    v: np.ndarray
    has_classes: bool
    facts: dict[str, Any]

    @property
    def network(self) -> Network:
        """The layers, activations and cost."""
        return network_of(self.config)

    def outputs(self, x: Any) -> np.ndarray:
        """The last layer's a, (n, outputs) in the network's dtype: what `distmlp predict` writes as `a`.

        x: (n, inputs) numbers as a set has them, before `scale`; more dimensions are flattened.  Raises InputError
        where they do not fit the network, or hold a NaN or an infinity.
        """
        return network_outputs(self.config, self.v, x)

    def predict(self, x: Any) -> np.ndarray:
        """The most likely class of each row, (n,) whole numbers; without classes the outputs, (n, outputs).

        x and errors: as for `outputs`.
        """
        a = self.outputs(x)
        return predicted_classes(a) if self.has_classes else a

    def predict_proba(self, x: Any) -> np.ndarray:
        """The probability of each class, (n, classes) in the network's dtype.

        x and errors: as for `outputs`; InputError too for a network that gives no probabilities.
        """
        if not self.has_classes:
            raise InputError(
                f"{self.path}: the network was trained on numbers, so it has no classes; predict gives its outputs"
            )
        return probabilities(self.config, self.outputs(x), str(self.path))

    def evaluate(self, x: Any, y: Any) -> Metrics:
        """The cost, and the accuracy where y are classes; what `distmlp evaluate` prints for such a set.

        x: as for `outputs`.  y: (n,) whole numbers, which are classes, or (n,) or (n, outputs) numbers.
        Raises InputError.
        """
        from distmlp.results import scoring

        with tempfile.TemporaryDirectory(prefix="distmlp-") as directory:
            spec = write_set(Path(directory) / "set.h5", self.config, x, y)
            return scoring.evaluate(self.path, spec, SingleProcess())


def load(place: str | Path, which: str = "best") -> TrainedNetwork:
    """The network of a checkpoint, which is a file or a run directory; which: see `checkpoint.find`.  Raises InputError."""
    known_answers.check()
    found, _ = checkpoint.find(place, which)
    facts = {**found.facts, "path": str(found.path)}
    config = from_json(facts["config"])
    return TrainedNetwork(found.path, config, found.v, bool(facts["classes"]), facts)


def network_outputs(config: Config, v: np.ndarray, x: Any) -> np.ndarray:
    """The outputs a, (n, outputs), of the network that a config describes, with parameters v, for inputs x.

    x and errors: as for `TrainedNetwork.outputs`.
    """
    network, rows = network_of(config), rows_of_inputs(x, config.network.layers[0])
    transform, dtype = transform_of(config.data), v.dtype
    w, b = network.layout.views(v)
    workspace = Workspace(network.layers, dtype)
    a = np.empty((len(rows), network.layers[-1]), dtype)
    with np.errstate(all="ignore"):
        for start in range(0, len(rows), BLOCK):
            block = transform.applied(rows[start : start + BLOCK], dtype)
            bad = ~np.isfinite(block).all(axis=1)
            if bad.any():
                raise InputError(
                    f"x: row {start + int(np.argmax(bad))} holds a NaN or an infinity, or becomes one "
                    f"as {dtype} times data.scale"
                )
            p = workspace.view(1, len(block), block[None])
            forward(network, w, b, p)
            a[start : start + BLOCK] = p.a[-1][0]
    return a


def probabilities(config: Config, a: np.ndarray, where: str) -> np.ndarray:
    """The classes' probabilities, (n, classes), from outputs a, (n, outputs).

    Softmax outputs are probabilities.  One sigmoid output is that of class 1.  Several sigmoid outputs are divided
    by their sum.  where: what an error names.  Raises InputError for other outputs.
    """
    output = config.network.output
    if output == "softmax":
        return a
    if output != "sigmoid":
        raise InputError(
            f'{where}: network.output is "{output}", whose outputs are no probabilities; '
            'expected "softmax" or "sigmoid"'
        )
    if a.shape[1] == 1:
        return np.hstack([1 - a, a])
    total = sum_in_lanes(a)[:, None]
    even = a.dtype.type(1 / a.shape[1])
    return np.where(total > 0, a / np.where(total > 0, total, 1), even)


def rows_of_inputs(x: Any, width: int) -> np.ndarray:
    """Inputs as rows of numbers, (n, width).  Raises InputError where they are none."""
    rows = np.asarray(x)
    if rows.dtype.kind not in "iubf":
        raise InputError(f"x has the dtype {rows.dtype}, but expected real numbers")
    if rows.ndim < 2:
        raise InputError(
            f"x has the shape {rows.shape}, but expected (samples, {width}); one sample is x[None]"
        )
    found = int(np.prod(rows.shape[1:]))
    if found != width:
        raise InputError(
            f"x has {found} inputs a sample, but network.layers begins with {width}; they must be equal"
        )
    return rows.reshape(len(rows), width)


def write_set(path: Path, config: Config, x: Any, y: Any) -> str:
    """Writes inputs and targets under the names that a config has for them, and returns "FILE.h5:/set".

    Raises InputError where they are no numbers.
    """
    rows, targets = rows_of_inputs(x, config.network.layers[0]), np.asarray(y)
    if targets.dtype.kind not in "iubf":
        raise InputError(f"y has the dtype {targets.dtype}, but expected real numbers")
    with h5py.File(os.fspath(path), "w") as file:
        file[f"set/{config.data.inputs}"] = rows
        file[f"set/{config.data.targets}"] = targets
    return f"{path}:/set"
