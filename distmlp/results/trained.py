"""A trained network for inputs in memory: what `distmlp.load` gives."""

import os
import tempfile
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from distmlp.config.reading import from_json
from distmlp.config.sections import Config
from distmlp.data.transform import Transform, transform_of
from distmlp.errors import InputError
from distmlp.kernels import known_answers
from distmlp.mathematics.metrics import predicted_classes
from distmlp.mathematics.network import Network
from distmlp.parallel.communicator import SingleProcess
from distmlp.results import checkpoint_commands
from distmlp.results.inference import network_outputs, probabilities, rows_of_inputs
from distmlp.runs import checkpoint
from distmlp.training.evaluation import Metrics
from distmlp.training.parts import network_of


@dataclass(frozen=True)
class TrainedNetwork:
    """A network and its v, in one process; each call gives the bits that the commands give.

    path: the checkpoint that it is of.  config: what it was trained with.  v: (k,).  has_classes: whether its
    targets were classes.  facts: all that the checkpoint says, as `distmlp inspect --json` prints it.  transform: what
    is done to inputs, and to outputs.

    Several threads may call it at once.
    """

    path: Path
    config: Config
    v: np.ndarray
    has_classes: bool
    facts: dict[str, Any]
    transform: Transform = field(default_factory=Transform)

    @property
    def network(self) -> Network:
        """The layers, activations and cost."""
        return network_of(self.config)

    @property
    def columns(self) -> list[str] | None:
        """What the inputs are called, in order; None where the training set does not say."""
        return self.facts.get("columns")

    @property
    def target_names(self) -> list[str] | None:
        """What the classes, or the outputs, are called, in order; None where the training set does not say."""
        return self.facts.get("targets")

    def outputs(self, x: Any) -> np.ndarray:
        """The last layer's a, (n, outputs), or the targets' own units: what `distmlp predict` writes as `a`.

        x: (n, inputs) numbers as a set has them, before they are scaled; more dimensions are flattened.  Columns of a
        data frame are taken by name where the training set had names.  Raises InputError where they do not fit the
        network, or hold a NaN or an infinity.
        """
        return network_outputs(self.config, self.v, self._by_name(x), self.transform)

    def _by_name(self, x: Any) -> Any:
        """A data frame's columns in the network's order; anything else as it is.  Raises InputError."""
        there = list(getattr(x, "columns", ()))
        if not self.columns or not there or not all(isinstance(name, str) for name in there):
            return x
        lacking = [name for name in self.columns if name not in there]
        if lacking:
            raise InputError(f"x has no column {lacking[0]!r}, which the network was trained on")
        return x[self.columns]

    def labels(self, x: Any) -> np.ndarray:
        """The most likely class of each row by its name, (n,) text.

        x and errors: as for `outputs`; InputError too where classes have no names.
        """
        if not self.has_classes or not self.target_names:
            raise InputError(f"{self.path}: its classes have no names; predict gives their numbers")
        return np.array(self.target_names, object)[self.predict(x)]

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

        x: as for `outputs`.  y: (n,) whole numbers, which are classes, or their names where they have some; or (n,) or
        (n, outputs) numbers.  Raises InputError.
        """
        if self.has_classes and self.target_names:
            y = _numbers_of(y, self.target_names)
        with tempfile.TemporaryDirectory(prefix="distmlp-") as directory:
            spec = write_set(Path(directory) / "set.h5", self.config, self._by_name(x), y)
            return checkpoint_commands.evaluate(self.path, spec, SingleProcess(), names=("x", "y"))


def load(place: str | Path, which: str = "best") -> TrainedNetwork:
    """The network of a checkpoint, which is a file or a run directory; which: see `checkpoint.find`.

    Warns of damaged checkpoints that were passed over.  Raises InputError.
    """
    known_answers.check()
    good, passed_over = checkpoint.find(place, which)
    for words in passed_over:
        warnings.warn(f"{words}; passed over", stacklevel=2)
    found = checkpoint.averaged(good)
    facts = {**found.facts, "path": str(found.path)}
    config = from_json(facts["config"])
    return TrainedNetwork(
        found.path,
        config,
        found.v,
        bool(facts["classes"]),
        facts,
        transform_of(config.data, found.data),
    )


def _numbers_of(y: Any, names: list[str]) -> Any:
    """The numbers of classes that are given by name; what is no text as it is.  Raises InputError for an unknown name."""
    given = np.asarray(y)
    if given.dtype.kind not in "OUT":
        return y
    number = {name: place for place, name in enumerate(names)}
    unknown = next((name for name in given.flat if name not in number), None)
    if unknown is not None:
        raise InputError(f"y holds {unknown!r}, but the classes are {', '.join(names)}")
    return np.array([number[name] for name in given.flat], np.int64).reshape(given.shape)


def write_set(path: Path, config: Config, x: Any, y: Any) -> str:
    """Writes inputs and targets as x and y, and returns "FILE.h5:/set".

    Raises InputError where they are no numbers.
    """
    rows, targets = rows_of_inputs(x, config.network.layers[0]), np.asarray(y)
    if targets.dtype.kind not in "iubf":
        raise InputError(f"y has the dtype {targets.dtype}, but expected real numbers")
    with h5py.File(os.fspath(path), "w") as file:
        file["set/x"] = rows
        file["set/y"] = targets
    return f"{path}:/set"
