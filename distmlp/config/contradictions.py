"""What no key of a config can tell by itself: values that do not go together.  Each function raises InputError."""

import json
from dataclasses import fields

from distmlp.config.sections import Config, DataConfig
from distmlp.errors import InputError

#: Which optimizers a key is for.
_BELONGS_TO = {
    "momentum": ("sgd",),
    "nesterov": ("sgd",),
    "beta1": ("adam", "adamw", "nadam"),
    "beta2": ("adam", "adamw", "nadam"),
    "rho": ("rmsprop",),
    "memory": ("lbfgs",),
    "tolerance": ("lbfgs",),
}

#: What changes the function from one evaluation to the next, or has no slope, or is no part of it: no line search can follow it.
_NOT_SEARCHED = (
    *("regularization.l1", "regularization.weight_decay", "regularization.dropout"),
    *("regularization.input_dropout", "regularization.clip_norm", "regularization.clip_value"),
    "regularization.average",
)

#: Which schedules a key is for.
_BELONGS_TO_SCHEDULE = {
    "schedule_by": ("linear", "exponential", "step", "polynomial", "cosine", "one-cycle"),
    "decay": ("exponential", "step", "plateau"),
    "milestones": ("step",),
    "period": ("step", "cosine"),
    "period_growth": ("cosine",),
    "power": ("polynomial",),
    "least_rate": ("polynomial", "cosine", "one-cycle", "plateau"),
    "rise": ("one-cycle",),
    "plateau_patience": ("plateau",),
}


def check_together(config: Config, where: str) -> None:
    """where: how messages name the config."""
    _check_network(config, where)
    _check_training(config, where)
    _check_optimizer(config, where)
    _check_line_search(config, where)
    _check_schedule(config, where)
    _check_regularization(config, where)
    _check_scaling(config, where)
    _check_folds(config.data, where)


def _check_network(config: Config, where: str) -> None:
    network = config.network
    if network.cost == "cross-entropy" and network.output not in ("sigmoid", "softmax"):
        raise InputError(
            f'{where}: network.cost is "cross-entropy" with network.output "{network.output}", but its '
            'logarithm needs outputs between 0 and 1: use output "sigmoid" (binary) or "softmax" (categorical)'
        )
    if network.output == "softmax" and network.layers[-1] == 1:
        raise InputError(
            f'{where}: network.output is "softmax" with one output neuron, whose output is always 1: '
            'use "sigmoid", or one neuron a class'
        )
    if network.cost == "gaussian-nll":
        if network.output != "identity":
            raise InputError(
                f'{where}: network.cost is "gaussian-nll" with network.output "{network.output}", but its outputs, '
                'means and logarithms of variances, can be any number: use output "identity"'
            )
        if network.layers[-1] % 2:
            raise InputError(
                f'{where}: network.cost is "gaussian-nll", but network.layers ends with {network.layers[-1]}: expected an '
                "even number, for each number of a target its mean and its spread"
            )
    if network.cost == "hinge":
        if network.output not in ("identity", "tanh"):
            raise InputError(
                f'{where}: network.cost is "hinge" with network.output "{network.output}", but its margins lie on both '
                'sides of 0: use output "identity" or "tanh"'
            )
        if network.layers[-1] == 1:
            raise InputError(
                f'{where}: network.cost is "hinge" with one output neuron: use one neuron a class, so two for two classes'
            )

    _check_start(config, where)


def _check_start(config: Config, where: str) -> None:
    """What network.start_from and network.start_layers can only be together."""
    network, N = config.network, len(config.network.layers) - 1
    if network.start_layers and not network.start_from:
        raise InputError(
            f"{where}: network.start_layers is {network.start_layers}, but network.start_from is empty: expected the run "
            "whose layers are taken over"
        )
    if network.start_layers > N:
        raise InputError(
            f"{where}: network.start_layers is {network.start_layers}, but network.layers has {N} layers behind the input"
        )


def _check_training(config: Config, where: str) -> None:
    training = config.training
    batch_size = training.batch_size
    if isinstance(batch_size, int) and training.micro_batch_size > batch_size:
        raise InputError(
            f"{where}: training.micro_batch_size is {training.micro_batch_size}, but it can be at most "
            f"training.batch_size, {batch_size}"
        )
    known = "auto", "none", "cost", "validation_cost", "accuracy", *training.metrics
    if training.monitor not in known:
        raise InputError(
            f'{where}: training.monitor is "{training.monitor}", but expected one of {", ".join(known)}; '
            "training.metrics says what else is measured"
        )
    if training.monitor == "none" and training.patience:
        raise InputError(
            f'{where}: training.patience is {training.patience}, but training.monitor is "none": '
            "patience needs a metric to wait for"
        )
    N = len(config.network.layers) - 1
    if training.frozen and (max(training.frozen) > N or len(set(training.frozen)) == N):
        raise InputError(
            f"{where}: training.frozen is {list(training.frozen)}, but expected some of the layers 1 … {N} of "
            "network.layers, and not all of them"
        )


def _check_optimizer(config: Config, where: str) -> None:
    optimizer = config.optimizer
    for name, needed in _BELONGS_TO.items():
        declared = next(f for f in fields(optimizer) if f.name == name)
        if getattr(optimizer, name) != declared.default and optimizer.name not in needed:
            raise InputError(
                f'{where}: optimizer.{name} is set, but optimizer.name is "{optimizer.name}": '
                f"it belongs to {' and '.join(map(repr, needed))}".replace("'", '"')
            )
    if optimizer.nesterov and not optimizer.momentum:
        raise InputError(
            f"{where}: optimizer.nesterov is true, but optimizer.momentum is 0: expected a momentum above 0"
        )
    if optimizer.name == "adamw" and not config.regularization.weight_decay:
        raise InputError(
            f'{where}: optimizer.name is "adamw", which is adam with a decay of the weights, but '
            "regularization.weight_decay is 0: expected a number above 0, such as 0.01"
        )


def _check_line_search(config: Config, where: str) -> None:
    """What lbfgs cannot go with."""
    if config.optimizer.name != "lbfgs":
        return
    begins = f'{where}: optimizer.name is "lbfgs"'
    batch_size = config.training.batch_size
    if batch_size != "all":
        raise InputError(
            f"{begins}, whose line search needs the cost of the whole set, but training.batch_size is {batch_size}: "
            'expected "all"'
        )
    for name, fixed in (("schedule", "constant"), ("warmup", "")):
        value = getattr(config.optimizer, name)
        if value != fixed:
            raise InputError(
                f'{begins}, whose line search finds the length of each step, but optimizer.{name} is "{value}": '
                f'expected "{fixed}"'
            )
    if config.optimizer.warmup:
        raise InputError(
            f'{begins}, whose line search finds the length of each step, but optimizer.warmup is "{config.optimizer.warmup}": '
            "leave it out"
        )
    if config.training.epsilon:
        raise InputError(
            f"{begins}, which evaluates several points a step, but training.epsilon is {config.training.epsilon}: "
            "optimizer.tolerance says when it ends"
        )
    for key in _NOT_SEARCHED:
        section, name = key.split(".")
        value = getattr(getattr(config, section), name)
        if value:
            raise InputError(
                f"{begins}, whose line search needs a smooth cost that stays the same, but {key} is {value}: "
                "expected 0; regularization.l2 goes with it"
            )


def _check_schedule(config: Config, where: str) -> None:
    o, default = config.optimizer, {f.name: f.default for f in fields(config.optimizer)}
    for name, schedules in _BELONGS_TO_SCHEDULE.items():
        value = getattr(o, name)
        if value != default[name] and o.schedule not in schedules:
            listed = ", ".join(f'"{schedule}"' for schedule in schedules)
            raise InputError(
                f"{where}: optimizer.{name} is {json.dumps(value)}, but it belongs to optimizer.schedule {listed}, "
                f'and the schedule is "{o.schedule}"'
            )
    if o.start_factor != default["start_factor"] and not o.warmup and o.schedule != "one-cycle":
        raise InputError(
            f"{where}: optimizer.start_factor is {o.start_factor}, but nothing begins with it: it belongs to "
            'optimizer.warmup, and to optimizer.schedule "one-cycle"'
        )
    if o.schedule in ("step", "plateau") and o.decay == 1.0:
        raise InputError(
            f'{where}: optimizer.schedule is "{o.schedule}", but optimizer.decay is 1, which changes no rate: '
            "expected a number below 1, such as 0.1"
        )
    if o.schedule == "step" and bool(o.milestones) == bool(o.period):
        raise InputError(
            f'{where}: optimizer.schedule is "step" with optimizer.milestones {list(o.milestones)} and optimizer.period '
            f"{o.period}: expected one of the two, such as period = 10"
        )
    if o.period_growth != 1 and not o.period:
        raise InputError(
            f"{where}: optimizer.period_growth is {o.period_growth}, but optimizer.period is 0: expected the length of the "
            "first cycle"
        )
    if o.least_rate > o.learning_rate:
        raise InputError(
            f"{where}: optimizer.least_rate is {o.least_rate}, but it can be at most optimizer.learning_rate, "
            f"{o.learning_rate}"
        )
    if o.schedule == "plateau" and config.training.monitor == "none":
        raise InputError(
            f'{where}: optimizer.schedule is "plateau", but training.monitor is "none": expected a metric to wait for'
        )


def _check_regularization(config: Config, where: str) -> None:
    network, r = config.network, config.regularization
    if r.clip_norm and r.clip_value:
        raise InputError(
            f"{where}: regularization.clip_norm and regularization.clip_value are both set: expected one of them"
        )
    if r.dropout and network.activation == "softmax":
        raise InputError(
            f'{where}: regularization.dropout is {r.dropout} with network.activation "softmax", whose outputs add up to 1: '
            "use a different activation, or no dropout"
        )
    if r.dropout and len(network.layers) == 2:
        raise InputError(
            f"{where}: regularization.dropout is {r.dropout}, but network.layers has no hidden layer: "
            "regularization.input_dropout drops inputs"
        )
    if r.label_smoothing and network.cost != "cross-entropy":
        raise InputError(
            f'{where}: regularization.label_smoothing is {r.label_smoothing}, but network.cost is "{network.cost}": '
            'it belongs to "cross-entropy"'
        )


def _check_folds(data: DataConfig, where: str) -> None:
    """What data.folds, data.fold and data.fold_by can only be together."""
    if bool(data.folds) != bool(data.fold) or data.folds == 1 or data.fold > data.folds:
        raise InputError(
            f"{where}: data.fold is {data.fold} and data.folds is {data.folds}, but expected 0 and 0, or a fold from 1 to "
            "data.folds, of which there are at least 2"
        )
    if data.fold_by != "rows" and not data.folds:
        raise InputError(
            f'{where}: data.fold_by is "{data.fold_by}", but data.folds is 0: expected how many folds there are'
        )
    if data.validation_by != "rows" and not data.share:
        raise InputError(
            f'{where}: data.validation_by is "{data.validation_by}", but data.validation is {json.dumps(data.validation)}: '
            "it belongs to a share of the training set, such as data.validation = 0.1"
        )
    if data.validation_rows and not data.validation_set:
        raise InputError(
            f'{where}: data.validation_rows is "{data.validation_rows}", but data.validation is {json.dumps(data.validation)}: '
            "expected the set whose rows these are, which may be that of data.train"
        )
    if data.validation_weights and not data.validation_set:
        raise InputError(
            f'{where}: data.validation_weights is "{data.validation_weights}", but data.validation is '
            f"{json.dumps(data.validation)}: it belongs to a set of its own; data.weights are those of a part of the training set"
        )
    if data.fold and data.validation:
        raise InputError(
            f"{where}: data.fold is {data.fold}, the fold to validate on, but data.validation is {json.dumps(data.validation)}: "
            "expected one of the two"
        )


def _check_scaling(config: Config, where: str) -> None:
    data = config.data
    if data.scale != 1 and data.scales_inputs:
        raise InputError(
            f"{where}: data.scale is {data.scale} and data.scale_inputs is {json.dumps(data.scale_inputs)}: "
            "expected one of the two"
        )
    cost = config.network.cost
    if cost in ("cross-entropy", "hinge", "gaussian-nll") and data.scales_targets:
        raise InputError(
            f'{where}: data.scale_targets is {json.dumps(data.scale_targets)}, but network.cost "{cost}" '
            "needs targets as they are"
        )
