"""The parts of a training that a config's words stand for: network, optimizer, and what is done to ∇C and to activations."""

import numpy as np

from distmlp.config.sections import Config
from distmlp.errors import InputError
from distmlp.mathematics import exact
from distmlp.mathematics.adaptive import Adagrad, NAdam, RMSprop
from distmlp.mathematics.dropout import Dropout
from distmlp.mathematics.exact import Counting
from distmlp.mathematics.lbfgs import LBFGS
from distmlp.mathematics.network import Network
from distmlp.mathematics.optimizers import SGD, Adam, Optimizer
from distmlp.mathematics.penalties import Shaping
from distmlp.mathematics.schedules import Schedule
from distmlp.mathematics.shards import Shards, default_micro_batch_size
from distmlp.runs.checkpoint import AVERAGE


def network_of(config: Config) -> Network:
    n = config.network
    return Network(tuple(n.layers), n.activation, n.output, n.cost)


def optimizer_of(config: Config) -> Optimizer:
    o = config.optimizer
    match o.name:
        case "sgd":
            return SGD(o.momentum, o.nesterov)
        case "rmsprop":
            return RMSprop(o.rho, o.epsilon)
        case "adagrad":
            return Adagrad(o.epsilon)
        case "lbfgs":
            return LBFGS(o.memory, o.tolerance)
        case "nadam":
            return NAdam(o.beta1, o.beta2, o.epsilon)
        case _:  # adam, or adamw, which has its decay from the shaping
            return Adam(o.beta1, o.beta2, o.epsilon)


def schedule_of(config: Config, steps_per_epoch: int) -> Schedule:
    """α of each step."""
    o = config.optimizer
    return Schedule(
        o.schedule,
        o.learning_rate,
        config.training.epochs * steps_per_epoch,
        steps_per_epoch,
        o.schedule_by == "step",
        o.decay,
        o.milestones,
        o.period,
        o.period_growth,
        o.power,
        o.least_rate,
        o.rise,
        o.start_factor,
        o.warmup_steps(steps_per_epoch),
    )


def sharding_of(config: Config, samples: int) -> Shards:
    """How a training set of so many samples is cut into shards.  Raises InputError."""
    asked = config.training.batch_size
    batch = asked if isinstance(asked, int) else samples  # "all"
    if batch > samples:
        raise InputError(
            f"training.batch_size is {batch}, but data.train has {samples} samples; "
            'it can be at most that (or "all")'
        )
    micro = config.training.micro_batch_size or default_micro_batch_size(batch)
    if micro > batch:
        raise InputError(
            f"training.micro_batch_size is {micro}, "
            f"but it can be at most the batch, {batch} samples"
        )
    sharding = Shards(samples, batch, micro)
    if sharding.count > exact.MOST_MICRO_BATCHES:
        raise InputError(
            f"training.micro_batch_size is {micro}, which makes {sharding.count} micro-batches of a "
            f"batch of {batch}, but {exact.MOST_MICRO_BATCHES} is the most; "
            f"expected at least {-(-batch // exact.MOST_MICRO_BATCHES)}"
        )
    return sharding


def state_arrays(config: Config) -> tuple[str, ...]:
    """The names of a state's arrays beside v, each as long as v."""
    averaged = (AVERAGE,) if config.regularization.average else ()
    return (*optimizer_of(config).arrays, *averaged)


def memory_of(config: Config, parameters: int) -> int:
    """Bytes that a rank needs for v and the v that it began with, its own gradient and that of all ranks, and the state's arrays.

    Of a batch of "all" samples nobody knows the micro-batches yet; they are taken for few.
    """
    batch, size = config.training.batch_size, config.training.micro_batch_size
    micro_batches = (
        -(-batch // (size or default_micro_batch_size(batch))) if isinstance(batch, int) else 1
    )
    counting = Counting.of(config.dtype, micro_batches, config.reduction == "exact")
    more = bool(config.network.start_from) + bool(config.regularization.average)
    floats = 1 + len(state_arrays(config)) + 2 * counting.many + more
    gradients = 2 * counting.lanes * counting.carrier.itemsize
    return parameters * (floats * np.dtype(config.dtype).itemsize + gradients)


def shaping_of(config: Config) -> Shaping | None:
    """What is done to ∇C before the optimizer has it; None where that is nothing."""
    r = config.regularization
    frozen = tuple(sorted(set(config.training.frozen)))
    shaping = Shaping(r.l2, r.l1, r.weight_decay, r.clip_norm, r.clip_value, frozen)
    return None if shaping == Shaping() else shaping


def dropout_of(config: Config) -> Dropout | None:
    """What is dropped of the activations; None where that is nothing."""
    r = config.regularization
    if not (r.dropout or r.input_dropout):
        return None
    return Dropout(config.seed, r.dropout, r.input_dropout)


def smoothing_of(config: Config) -> tuple[float, float] | None:
    """(1 − ε, ε/K): a desired output y is y (1 − ε) + ε/K under label smoothing; None where there is none.

    K is 2 of a sigmoid, each of which tells two classes, and the number of classes of softmax.
    """
    epsilon, network = config.regularization.label_smoothing, config.network
    classes = network.layers[-1] if network.output == "softmax" else 2
    return (1.0 - epsilon, epsilon / classes) if epsilon else None
