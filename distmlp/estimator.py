"""scikit-learn estimators: `MLPClassifier` and `MLPRegressor`, trained from arrays to the bits of a run on a file.

They work in pipelines, in searches and pickled, in one process and in every rank of mpirun.  Under mpirun each rank
calls the same methods with the same arrays, and each `fit` is one training over all ranks.
"""

import hashlib
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from distmlp.config.reading import from_json, from_tables
from distmlp.data.transform import transform_of
from distmlp.errors import InputError
from distmlp.kernels import choice
from distmlp.mathematics.metrics import predicted_classes
from distmlp.parallel import launchers
from distmlp.parallel.communicator import Communicator
from distmlp.parallel.rank0 import on_rank_0
from distmlp.results.inference import network_outputs, probabilities
from distmlp.runs import checkpoint
from distmlp.training import loop
from distmlp.training.reporting import Silent


class _History(Silent):
    """Keeps the log's records; warnings are Python's."""

    def __init__(self) -> None:
        self.records: list[dict] = []

    def warn(self, text: str) -> None:
        warnings.warn(text, stacklevel=2)

    def epoch(self, record: dict, epochs: int) -> None:
        self.records.append(record)


class _MLP(BaseEstimator):
    """What both estimators share: parameters, training, outputs."""

    def __init__(
        self,
        hidden: tuple[int, ...] = (100,),
        *,
        activation: str = "relu",
        optimizer: str = "adam",
        learning_rate: float = 0.001,
        batch_size: int | str = 32,
        epochs: int = 200,
        dtype: str = "float32",
        random_state: int = 1,
        settings: dict[str, Any] | None = None,
    ) -> None:
        self.hidden = hidden
        self.activation = activation
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.epochs = epochs
        self.dtype = dtype
        self.random_state = random_state
        self.settings = settings

    def _tables(self, inputs: int, outputs: int, last: dict[str, str], samples: int) -> dict:
        """The config's sections.  last: what [network] says of the output.  Raises InputError."""
        if not isinstance(self.hidden, Iterable):
            raise InputError(
                f"hidden is {self.hidden!r}, but expected the neurons of each hidden layer, such as (100,) or (64, 32)"
            )
        asked = self.batch_size
        tables: dict[str, Any] = {
            "seed": _plain(self.random_state),
            "dtype": self.dtype,
            "network": {
                "layers": [inputs, *map(_plain, self.hidden), outputs],
                "activation": self.activation,
                "initializer": "he-normal" if self.activation == "relu" else "glorot-uniform",
                **last,
            },
            "data": {},
            "training": {
                "batch_size": asked if isinstance(asked, str) else min(_plain(asked), samples),
                "epochs": _plain(self.epochs),
            },
            "optimizer": {
                "name": self.optimizer,
                "learning_rate": _plain(self.learning_rate),
            },
            "run": {"checkpoint_every": f"{_plain(self.epochs)} epochs", "keep": 1},
        }
        for name, value in (self.settings or {}).items():
            section, _, key = name.rpartition(".")
            table = tables.setdefault(section, {}) if section else tables
            if name in _OWN or (key in table and name not in _DEFAULTS):
                raise InputError(
                    f"settings: {name} is decided by the estimator's own parameters or by its data"
                )
            table[key] = _plain(value)
        return tables

    def _train(
        self,
        x: np.ndarray,
        y: np.ndarray,
        outputs: int,
        last: dict[str, str],
        sample_weight: Any = None,
    ) -> None:
        """Trains on x (n, inputs) and y; collective over all ranks.  Raises InputError and Diverged."""
        arrays = {"x": x, "y": y}
        if sample_weight is not None:
            arrays["w"] = _check_sample_weight(sample_weight, x, dtype=np.float64)
        comm, report = launchers.of(), _History()
        if comm.rank == 0:
            choice.warn_of_slowness(stacklevel=3)  # whoever called fit
        tables = self._tables(x.shape[1], outputs, last, len(x))
        with _directory(comm) as directory:
            tables["data"]["train"] = f"{directory}/set.h5:/set"
            tables["data"]["weights"] = "w" if "w" in arrays else ""
            tables["run"]["directory"] = f"{directory}/run"
            config = from_tables(tables, type(self).__name__)
            _write(directory, comm, arrays)
            loop.train(config, comm, resume="never", report=report)
            kept = on_rank_0(comm, lambda: checkpoint.find(directory / "run", "best")[0])
        self.history_: list[dict] = on_rank_0(comm, lambda: report.records)
        self.v_, self.v_sha256_ = kept.v, kept.facts["v_sha256"]
        self.config_, self.scaling_ = config.to_json(), kept.data

    def _outputs(self, X: Any) -> np.ndarray:
        """The outputs a, (n, outputs), in the network's dtype."""
        check_is_fitted(self)
        x = validate_data(self, X, reset=False, dtype=(np.float64, np.float32))
        config = from_json(self.config_)
        return network_outputs(config, self.v_, x, transform_of(config.data, self.scaling_))


#: Keys that only the data or the estimator's own parameters decide, and those that the estimator gives a default.
_OWN = ("data.train", "data.inputs", "data.targets", "data.weights", "run.directory")
_DEFAULTS = ("network.initializer", "run.checkpoint_every", "run.keep")


class MLPClassifier(ClassifierMixin, _MLP):
    """Tells classes apart; the same arguments and data give the same bits, on any machine and any number of ranks.

    hidden: neurons of each hidden layer.  activation, optimizer, learning_rate, batch_size, epochs, dtype: as in
    docs/config.md.  A batch has all samples where there are fewer.  random_state: the config's seed, a whole number.
    settings: further keys of the config, such as {"optimizer.beta1": 0.8, "data.scale_inputs": "standardise"}.

    Two classes have one sigmoid output, more a softmax, with the cross-entropy.

    After `fit`: `classes_`; `v_`, the parameters; `v_sha256_`; `history_`, the log's object of each epoch; `config_`, as
    JSON, and `scaling_`, what rows are scaled by; `n_features_in_` and, of a DataFrame, `feature_names_in_`.
    """

    classes_: np.ndarray

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "MLPClassifier":
        """Trains on X (n, inputs) and the classes y (n,), which may be text.

        sample_weight: (n,), what each row counts; they are divided by their mean.
        Raises ValueError for arrays that cannot be trained on, and `distmlp.errors.Diverged`.
        """
        X, y = validate_data(self, X, y, dtype=(np.float64, np.float32))
        check_classification_targets(y)
        self.classes_, numbers = np.unique(column_or_1d(y, warn=True), return_inverse=True)
        count = len(self.classes_)
        if count < 2:
            raise InputError(f"y has one class, {self.classes_[0]!r}, but expected two or more")
        output = "sigmoid" if count == 2 else "softmax"
        last = {"output": output, "cost": "cross-entropy"}
        outputs = 1 if count == 2 else count
        self._train(X, numbers.astype(np.int64), outputs, last, sample_weight)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The most likely class of each row, (n,), as y had it."""
        a = self._outputs(X)
        return self.classes_[predicted_classes(a)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class, (n, classes) float64, in the order of `classes_`."""
        a = self._outputs(X).astype(np.float64)
        p = probabilities(from_json(self.config_), a, "predict_proba")
        return p / p.sum(axis=1, keepdims=True)


class MLPRegressor(RegressorMixin, _MLP):
    """Predicts numbers; the same arguments and data give the same bits, on any machine and any number of ranks.

    Its parameters, and what it has after `fit`, are those of `MLPClassifier`, without `classes_`.  The output is the
    identity and the cost half the squared error.  Targets far from 1 want {"data.scale_targets": "standardise"}.
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "MLPRegressor":
        """Trains on X (n, inputs) and y, (n,) or (n, outputs) numbers.

        sample_weight: as for `MLPClassifier.fit`.
        Raises ValueError for arrays that cannot be trained on, and `distmlp.errors.Diverged`.
        """
        X, y = validate_data(
            self, X, y, dtype=(np.float64, np.float32), multi_output=True, y_numeric=True
        )
        y = np.asarray(y, np.float64)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        self.n_outputs_ = 1 if y.ndim == 1 else y.shape[1]
        self._flat = y.ndim == 1
        last = {"output": "identity", "cost": "mse"}
        self._train(X, y, self.n_outputs_, last, sample_weight)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The outputs, (n,) or (n, outputs) as y had them, as float64."""
        a = self._outputs(X).astype(np.float64)
        return a[:, 0] if self._flat else a

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _plain(value: Any) -> Any:
    """A number of numpy's as Python's, which configs take."""
    return value.item() if isinstance(value, np.generic) else value


@contextmanager
def _directory(comm: Communicator) -> Iterator[Path]:
    """A directory of this training, under one name on every host; gone at the end."""
    place = Path(on_rank_0(comm, lambda: tempfile.mkdtemp(prefix="distmlp-")))
    place.mkdir(exist_ok=True)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _write(directory: Path, comm: Communicator, arrays: dict[str, np.ndarray]) -> None:
    """Writes the set where this rank reads it.  Raises InputError, on every rank, where ranks have different arrays."""
    digest = hashlib.sha256()
    for array in arrays.values():
        digest.update(np.ascontiguousarray(array).data)
    digests = comm.all_gather(digest.hexdigest())
    if len(set(digests)) > 1:
        rank = next(i for i, found in enumerate(digests) if found != digests[0])
        raise InputError(
            f"rank {rank} called fit with different data from rank 0's; expected the same X, y and sample_weight"
        )
    mine = directory / f"set.{comm.rank}"
    with h5py.File(mine, "w") as file:
        for name, array in arrays.items():
            file[f"set/{name}"] = array
    os.replace(mine, directory / "set.h5")
    comm.barrier()
