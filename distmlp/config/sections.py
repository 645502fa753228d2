"""The sections of a config, as frozen dataclasses: every key is declared here, with its default and its test."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise

from distmlp.config import keys

#: What training.metrics may name beside "top_2", "top_3" …
METRICS = (
    *("balanced_accuracy", "precision", "recall", "f1", "roc_auc", "log_loss", "brier"),
    *("r2", "rmse", "mae", "largest_error"),
)


ACTIVATIONS = (
    *("sigmoid", "tanh", "relu", "softplus", "identity", "softmax"),
    *("leaky-relu", "elu", "gelu", "silu"),
)
COSTS = ("mse", "cross-entropy", "mae", "huber", "log-cosh", "gaussian-nll", "hinge")
INITIALIZERS = (
    *("normal", "scaled-normal", "he-normal", "he-uniform", "glorot-normal", "glorot-uniform"),
    *("lecun-normal", "lecun-uniform", "orthogonal"),
)
OPTIMIZERS = ("sgd", "adam", "adamw", "rmsprop", "adagrad", "nadam", "lbfgs")
TRACKERS = ("tensorboard", "mlflow")
SCHEDULES = (
    *("constant", "linear", "exponential"),
    *("step", "polynomial", "cosine", "one-cycle", "plateau"),
)


@dataclass(frozen=True)
class NetworkConfig:
    """[network]: the network, and how its first v is drawn."""

    layers: tuple[int, ...] = keys.key(
        None,
        "a list of at least two whole numbers below 2**31, the neurons per layer, the input first, such as [64, 30, 10]",
        lambda x: (
            isinstance(x, list)
            and len(x) >= 2
            and all(keys.is_int(n) and 1 <= n < 2**31 for n in x)
        ),
    )
    activation: str = keys.choice("sigmoid", *ACTIVATIONS)
    output: str = keys.choice("sigmoid", *ACTIVATIONS)
    cost: str = keys.choice("mse", *COSTS)
    initializer: str = keys.choice("scaled-normal", *INITIALIZERS)
    start_from: str = keys.text("", "a run directory, or a checkpoint file", free=True)
    start_layers: int = keys.count(0, least=0)

    @property
    def targets(self) -> int:
        """Numbers of a target; gaussian-nll has two outputs for each, its mean and its spread."""
        return self.layers[-1] // 2 if self.cost == "gaussian-nll" else self.layers[-1]


@dataclass(frozen=True)
class DataConfig:
    """[data]: the sets, and how their rows are read."""

    train: str | tuple[str, ...] = keys.sets(None, "digits.h5:/train")
    validation: str | tuple[str, ...] | float = keys.sets("", "digits.h5:/test", share=True)
    inputs: str | tuple[str, ...] = keys.columns("x")
    targets: str | tuple[str, ...] = keys.columns("y")
    validation_inputs: str | tuple[str, ...] = keys.columns("", free=True)
    validation_targets: str | tuple[str, ...] = keys.columns("", free=True)
    rows: str = keys.rows()
    validation_rows: str = keys.rows(free=True)
    validation_by: str = keys.text("rows", '"rows", "classes" or the name of a dataset of groups')
    weights: str = keys.text("", 'the name of a dataset or a column, such as "w"')
    validation_weights: str = keys.text(
        "", 'the name of a dataset or a column, such as "w"', free=True
    )
    class_weights: str | tuple[float, ...] | Mapping[str, float] = keys.class_weights()
    targets_are: str = keys.choice("auto", "auto", "classes", "numbers")
    scale: float = keys.factor(1.0)
    scale_inputs: str | tuple[str, ...] = keys.scaling()
    scale_targets: str | tuple[str, ...] = keys.scaling()
    missing: str = keys.choice("refuse", "refuse", "mean", "mean-and-indicator")
    chunk_rows: int = keys.count(0, least=0)
    window: str = keys.size("256 MB")
    scan: bool = keys.flag(True, free=True)
    folds: int = keys.count(0, least=0)
    fold: int = keys.count(0, least=0)
    fold_by: str = keys.text("rows", '"rows", "classes" or the name of a dataset of groups')

    @property
    def share(self) -> float:
        """The share of the training set's rows that `validation` holds out of it; 0 where it names a set, or none."""
        return self.validation if isinstance(self.validation, float) else 0.0

    @property
    def validation_set(self) -> str | tuple[str, ...]:
        """The set that `validation` names, "" where it names none."""
        return "" if isinstance(self.validation, float) else self.validation

    @property
    def scales_inputs(self) -> bool:
        """Whether inputs are scaled by column."""
        return self.scale_inputs != "none"

    @property
    def scales_targets(self) -> bool:
        """Whether targets are scaled by column."""
        return self.scale_targets != "none"

    @property
    def fills(self) -> bool:
        """Whether missing inputs become the training mean."""
        return self.missing != "refuse"

    @property
    def window_bytes(self) -> int:
        """`window` in bytes."""
        return keys.bytes_of(self.window)


@dataclass(frozen=True)
class TrainingConfig:
    """[training]: how much of the set makes a step, and how long the training goes on."""

    batch_size: int | str = keys.key(
        32,
        'a whole number of at least 1, or "all"',
        lambda x: x == "all" or (keys.is_int(x) and x >= 1),
    )
    micro_batch_size: int = keys.count(0, least=0)
    epochs: int = keys.count(30, least=1, free=True)
    epsilon: float = keys.number(0.0, "a number of at least 0", lambda x: x >= 0, free=True)
    metrics: tuple[str, ...] = keys.names((), METRICS, r"top_[1-9]\d{0,8}", free=True)
    frozen: tuple[int, ...] = keys.key(
        (),
        "a list of layers' numbers, 1 the first behind the input, such as [1, 2]",
        lambda x: isinstance(x, list) and all(keys.is_int(l) and l >= 1 for l in x),
    )
    monitor: str = keys.key(
        "auto",
        "auto, none, cost, validation_cost, accuracy or one of training.metrics",
        lambda x: isinstance(x, str) and x != "",
        free=True,
    )
    patience: int = keys.count(0, least=0, free=True)
    least_improvement: float = keys.number(
        0.0, "a number of at least 0", lambda x: x >= 0, free=True
    )


@dataclass(frozen=True)
class OptimizerConfig:
    """[optimizer]: how v follows from the gradient."""

    name: str = keys.choice("sgd", *OPTIMIZERS)
    learning_rate: float = keys.number(None, "a number above 0", lambda x: x > 0)
    schedule: str = keys.choice("constant", *SCHEDULES)
    schedule_by: str = keys.choice("epoch", "epoch", "step")
    warmup: str = keys.stretch("")
    decay: float = keys.number(1.0, "a number above 0 and at most 1", lambda x: 0 < x <= 1)
    milestones: tuple[int, ...] = keys.key(
        (),
        "a list of growing whole numbers of at least 1, such as [30, 60, 80]",
        lambda x: (
            isinstance(x, list)
            and all(keys.is_int(t) and 1 <= t <= keys.MOST for t in x)
            and all(t < u for t, u in pairwise(x))
        ),
    )
    period: int = keys.count(0, least=0)
    period_growth: int = keys.count(1)
    power: float = keys.number(1.0, "a number above 0", lambda x: x > 0)
    least_rate: float = keys.number(0.0, "a number of at least 0", lambda x: x >= 0)
    rise: float = keys.number(0.3, "a number from 0 to 1", lambda x: 0 <= x <= 1)
    start_factor: float = keys.number(
        0.04, "a number of at least 0 and at most 1", lambda x: 0 <= x <= 1
    )
    plateau_patience: int = keys.count(10)
    momentum: float = keys.number(0.0, "a number from 0 to less than 1", lambda x: 0 <= x < 1)
    nesterov: bool = keys.flag(False)
    beta1: float = keys.number(0.9, "a number from 0 to less than 1", lambda x: 0 <= x < 1)
    beta2: float = keys.number(0.999, "a number from 0 to less than 1", lambda x: 0 <= x < 1)
    rho: float = keys.number(0.99, "a number from 0 to less than 1", lambda x: 0 <= x < 1)
    epsilon: float = keys.number(1e-8, "a number above 0", lambda x: x > 0)
    memory: int = keys.count(10)
    tolerance: float = keys.number(1e-5, "a number of at least 0", lambda x: x >= 0)

    @property
    def needs_length(self) -> bool:
        """Whether α follows from how long the training is."""
        endless_cosine = self.schedule == "cosine" and self.period
        return (
            self.schedule in ("linear", "polynomial", "cosine", "one-cycle") and not endless_cosine
        )

    def warmup_steps(self, steps_per_epoch: int) -> int:
        """`warmup` in steps."""
        return keys.steps_of(self.warmup, steps_per_epoch)


@dataclass(frozen=True)
class RegularizationConfig:
    """[regularization]: what keeps the network from learning its samples by heart, and steps from being too long."""

    l2: float = keys.number(0.0, "a number of at least 0", lambda x: x >= 0)
    l1: float = keys.number(0.0, "a number of at least 0", lambda x: x >= 0)
    weight_decay: float = keys.number(0.0, "a number of at least 0", lambda x: x >= 0)
    dropout: float = keys.number(0.0, "a number from 0 to less than 1", lambda x: 0 <= x < 1)
    input_dropout: float = keys.number(0.0, "a number from 0 to less than 1", lambda x: 0 <= x < 1)
    clip_norm: float = keys.number(0.0, "a number of at least 0", lambda x: x >= 0)
    clip_value: float = keys.number(0.0, "a number of at least 0", lambda x: x >= 0)
    label_smoothing: float = keys.number(
        0.0, "a number from 0 to less than 1", lambda x: 0 <= x < 1
    )
    average: float = keys.number(0.0, "a number from 0 to less than 1", lambda x: 0 <= x < 1)


@dataclass(frozen=True)
class RunConfig:
    """[run]: where a run leaves what it has, how often, and what it does when something breaks."""

    directory: str = keys.text(None, "a directory, which is made where it is missing", free=True)
    checkpoint_every: str = keys.interval("1 epoch", free=True)
    keep: int = keys.count(3, free=True)
    time_limit: str = keys.duration("", free=True)
    check_every: int = keys.count(100, least=0, free=True)
    on_corruption: str = keys.choice("repair", "repair", "stop", free=True)
    audit_every: int = keys.count(0, least=0, free=True)
    stall_timeout: str = keys.duration("10 minutes", free=True)
    trackers: tuple[str, ...] = keys.key(
        (),
        'a list of some of "tensorboard", "mlflow"',
        lambda x: isinstance(x, list) and all(name in TRACKERS for name in x),
        free=True,
    )

    @property
    def time_limit_seconds(self) -> float:
        """Infinity where there is none."""
        return keys.seconds_of(self.time_limit)

    @property
    def stall_seconds(self) -> float:
        """Infinity where a wait has no end."""
        return keys.seconds_of(self.stall_timeout)

    @property
    def every(self) -> tuple[float, str]:
        """checkpoint_every as (3.0, "epoch"), the unit in the singular."""
        return keys.interval_of(self.checkpoint_every)


@dataclass(frozen=True)
class Config:
    """A whole configuration; every key has been checked by itself, and keys against one another."""

    seed: int = keys.key(
        1, "a whole number from 0 to 2**64 - 1", lambda x: keys.is_int(x) and 0 <= x < 2**64
    )
    dtype: str = keys.choice("float32", "float32", "float64")
    reduction: str = keys.choice("exact", "exact", "float")
    network: NetworkConfig = field(default_factory=NetworkConfig)
    data: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    regularization: RegularizationConfig = field(default_factory=RegularizationConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def to_json(self) -> str:
        """The config as one line of JSON, which `reading.from_json` reads."""
        return json.dumps(asdict(self), sort_keys=True)
