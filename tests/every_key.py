"""Every value of every key of the config, as small trainings; also a script that takes a whole list of them on any ranks.

    python tests/every_key.py DIRECTORY HOW LIST                   also under mpirun

trains {name: changes} of a JSON file, and prints as JSON what each has left in its log.  HOW: "straight"; "cut",
stopped after an odd step and resumed; "lost", a rank killed in each training as long as there are two.

Values follow from what a key declares: the names of a choice, both of a flag, some numbers.  What no declaration tells
is in LISTED; a key that is neither is an error, and so is a value that needs others beside it and has no line in NEEDS.
"""

import json
import os
import re
import signal
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path

import h5py
import numpy as np
from example import lawful
from preparing import Quiet

from distmlp.config import keys
from distmlp.config.reading import from_tables
from distmlp.config.sections import Config
from distmlp.errors import InputError
from distmlp.parallel.communicator import SingleProcess
from distmlp.parallel.launchers import of
from distmlp.runs import events
from distmlp.training.loop import train

#: A prime, so that no batch, micro-batch or rank count divides it; 4 steps of 7 micro-batches an epoch, the last of one row.
ROWS, INPUTS, CLASSES = 61, 6, 3
CUT = 3

BASE = {
    "seed": 5,
    "network.layers": [INPUTS, 5, CLASSES],
    "network.activation": "tanh",
    "network.output": "softmax",
    "network.cost": "cross-entropy",
    "training.batch_size": 20,
    "training.micro_batch_size": 3,
    "training.epochs": 2,
    "optimizer.learning_rate": 0.1,
}

#: What has no effect that could be compared, and why.
NOT_VARIED = {
    "reduction": "its other value is outside of the law",
    "data.train": "each run has the same set",
    "run.directory": "each run has its own",
    "run.time_limit": "the clock decides",
    "run.stall_timeout": "the clock decides",
}

#: Values of keys that declare neither names nor numbers, or not those that tell something.
LISTED = {
    "network.layers": [[INPUTS, CLASSES], [INPUTS, 4, 7, CLASSES]],
    "network.start_from": ["start"],
    "network.start_layers": [1],
    "data.validation": [""],
    "data.inputs": [["x[0:5]", "t"]],
    "data.targets": ["named", "turned"],
    "data.validation_inputs": ["x"],
    "data.validation_targets": ["y"],
    "data.window": ["1 kB"],
    "data.fold_by": ["classes", "group"],
    "data.rows": ["3:"],
    "data.validation_rows": ["2:9"],
    "data.validation_by": ["classes", "group"],
    "data.weights": ["group"],
    "data.validation_weights": ["y"],
    "data.class_weights": ["balanced", [1, 2, 0.5], {"1": 3}],
    "training.batch_size": [7, "all"],
    "training.epsilon": [0.001],  # more would end a run at once
    "training.frozen": [[1]],
    "training.monitor": ["none", "cost", "validation_cost", "accuracy"],
    "optimizer.warmup": ["3 steps"],
    "optimizer.milestones": [[1]],
    "optimizer.least_rate": [0.01],
    "optimizer.plateau_patience": [1],
    "run.checkpoint_every": ["2 steps", "1 minute"],
}

NUMBERS = {"network.cost": "mse", "network.output": "identity", "data.targets": "t"}
ONE = {**NUMBERS, "network.layers": [INPUTS, 5, 1]}
LBFGS = {"optimizer.name": "lbfgs", "training.batch_size": "all", "training.epochs": 8}
FOLDS = {"data.folds": 3, "data.fold": 2, "data.validation": ""}

CYCLES = {"optimizer.schedule": "cosine", "optimizer.schedule_by": "step"}
HALVES = {"optimizer.schedule": "step", "optimizer.decay": 0.5}
#: No epoch improves by so much, so the rate is reduced whenever the patience ends.
PLATEAU = {
    "optimizer.schedule": "plateau",
    "optimizer.decay": 0.5,
    "training.least_improvement": 10.0,
    "training.epochs": 4,
}

#: What a key, or one value of it, needs beside it.
NEEDS = {
    "network.start_layers": {"network.start_from": "start"},
    "network.output": {"network.cost": "mse"},
    "network.cost=mae": {"network.output": "identity"},
    "network.cost=huber": {"network.output": "identity"},
    "network.cost=log-cosh": {"network.output": "identity"},
    "network.cost=hinge": {"network.output": "identity"},
    "network.cost=gaussian-nll": {**NUMBERS, "network.layers": [INPUTS, 5, 2]},
    "data.targets_are=numbers": {**ONE, "data.targets": "y"},
    "data.scale_targets": ONE,
    "data.missing=mean": {"data.inputs": "holes"},
    "data.missing=mean-and-indicator": {
        "data.inputs": "holes",
        "network.layers": [INPUTS + 1, 5, CLASSES],
    },
    "data.folds": {"data.fold": 1, "data.validation": ""},
    "data.fold": {"data.folds": 4, "data.validation": ""},
    "data.fold_by": FOLDS,
    "data.validation_by": {"data.validation": 0.3},
    "training.batch_size=all": {"training.epochs": 8},
    "training.metrics=r2": ONE,
    "training.metrics=rmse": ONE,
    "training.metrics=mae": ONE,
    "training.metrics=largest_error": ONE,
    "training.monitor=validation_cost": {"training.patience": 1},
    "training.least_improvement": {"training.patience": 1},
    "optimizer.name=adamw": {"regularization.weight_decay": 0.1},
    "optimizer.name=lbfgs": LBFGS,
    "optimizer.schedule=exponential": {"optimizer.decay": 0.5},
    "optimizer.schedule=step": {**HALVES, "optimizer.period": 1},
    "optimizer.schedule=plateau": {**PLATEAU, "optimizer.plateau_patience": 1},
    "optimizer.schedule_by": {"optimizer.schedule": "linear"},
    "optimizer.decay": {"optimizer.schedule": "exponential"},
    "optimizer.milestones": HALVES,
    "optimizer.period": CYCLES,
    "optimizer.period_growth": {**CYCLES, "optimizer.period": 2},
    "optimizer.power": {"optimizer.schedule": "polynomial"},
    "optimizer.least_rate": {"optimizer.schedule": "polynomial"},
    "optimizer.rise": {"optimizer.schedule": "one-cycle", "optimizer.schedule_by": "step"},
    "optimizer.start_factor": {"optimizer.warmup": "3 steps"},
    "optimizer.plateau_patience": PLATEAU,
    "optimizer.nesterov=true": {"optimizer.momentum": 0.5},
    "optimizer.beta1": {"optimizer.name": "adam"},
    "optimizer.beta2": {"optimizer.name": "adam"},
    "optimizer.rho": {"optimizer.name": "rmsprop"},
    "optimizer.epsilon": {"optimizer.name": "adam"},
    "optimizer.memory": LBFGS,
    "optimizer.tolerance": LBFGS,
}

_INTEGERS, _FLOATS = (2, 3), (0.01, 0.5)


def declared():
    """{"section.key": its field} of the whole config."""
    found = {}
    for f in fields(Config):
        section = f.default_factory() if callable(f.default_factory) else None
        if is_dataclass(section):
            found.update({f"{f.name}.{key.name}": key for key in fields(section)})
        else:
            found[f.name] = f
    return found


def values(name, field):
    """The values of a key that are tried: TOML's, each of which the key accepts, the default among them or not."""
    if name in LISTED:
        return LISTED[name]
    kind = field.type if isinstance(field.type, type) else None
    words = re.match(r"one of (.*)|a list of some of (.*)", keys.expected(field))
    named = re.findall(r"[\w-]+", words[0]) if words else []
    for pool in (
        (False, True) if kind is bool else (),
        [word for word in named if kind is str or isinstance(field.default, str)],
        [[word] for word in named if isinstance(field.default, tuple)],
        [x for x in _INTEGERS if x != field.default] if kind is int else (),
        [x for x in _FLOATS if x != field.default] if kind is float else (),
    ):
        accepted = [x for x in pool if keys.accepts(field, x)]
        if accepted:
            return list(dict.fromkeys(map(_frozen, accepted)))
    raise AssertionError(
        f"{name} declares neither names nor numbers: give it values in LISTED of {Path(__file__).name}"
    )


def _frozen(value):
    return tuple(value) if isinstance(value, list) else value


def variants():
    """{"section.key=value": changes to BASE}, the key's own among them, of every value of every key."""
    found = {}
    for name, field in declared().items():
        if name in NOT_VARIED:
            continue
        for value in values(name, field):
            value = list(value) if isinstance(value, tuple) else value
            words = value[0] if name == "training.metrics" else value
            label = f"{name}={words if isinstance(words, str) else json.dumps(words)}"
            found[label] = {**NEEDS.get(name, {}), **NEEDS.get(label, {}), name: value}
    return found


def write_set(path):
    """A file with /train and /test: x, holes (x with missing numbers), y, the same as text and with turned names, t, and groups."""
    random = np.random.default_rng(3)
    with h5py.File(path, "w") as file:
        for group, count in (("train", ROWS), ("test", 23)):
            x = random.normal(size=(count, INPUTS)).astype(np.float32)
            y = np.argmax(x[:, :CLASSES] + 0.3 * random.normal(size=(count, CLASSES)), axis=1)
            holes = x.copy()
            holes[::7, 2] = np.nan
            names = np.array([b"ash", b"birch", b"cedar"])[y]
            t = (np.sin(x[:, :1]) + 0.5 * x[:, 1:2]).astype(np.float64)
            columns = {
                "x": x,
                "holes": holes,
                "y": y,
                "named": names,
                "turned": (y + 1) % CLASSES,
                "t": t,
                "group": np.arange(count) % 8,
            }
            for name, column in columns.items():
                file[f"{group}/{name}"] = column


def config_of(place, directory, changes):
    """The config of BASE with changes, with the set in `place` and a run directory.  Raises InputError."""
    tables = {}
    given = {
        "data.train": f"{place}/set.h5:/train",
        "data.validation": f"{place}/set.h5:/test",
        "run.directory": str(directory),
        **BASE,
        **changes,
    }
    for name, value in given.items():
        section, _, key = name.rpartition(".")
        if name == "network.start_from":
            value = str(place / value)
        (tables.setdefault(section, {}) if section else tables)[key] = value
    return from_tables(tables)


def write_start(place):
    """A run of a different seed, for others to start from."""
    train(config_of(place, place / "start", {"seed": 9}), SingleProcess(), report=Quiet())


def left(directory):
    """What a run has left that the law holds: its log, and how it ended."""
    ends = [event for event in events.since(directory, None) if event["event"] == "complete"]
    return {"log": lawful(directory), "step": ends[-1]["step"], "reason": ends[-1]["reason"]}


def run(place, name, changes, comm, how):
    """Trains one of them; returns what it has left, on rank 0."""
    directory = place / f"{how}-{comm.size}" / re.sub(r"\W+", "-", name)
    config = config_of(place, directory, changes)

    def begin(**more):
        return train(config, comm, report=Quiet() if comm.rank == 0 else None, **more)

    if how == "cut":
        begin(until=CUT)
    asked = []

    def stop():
        asked.append(1)
        if how == "lost" and len(asked) == CUT and comm.rank == comm.size - 1 > 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return False

    begin(should_stop=stop)
    return left(directory) if comm.rank == 0 else None


def main():
    place, how, asked = Path(sys.argv[1]), sys.argv[2], json.loads(Path(sys.argv[3]).read_text())
    comm = of(None)
    sizes = [comm.size]
    found = {}
    for name, changes in asked.items():
        try:
            found[name] = run(place, name, changes, comm, how)
        except InputError as error:
            found[name] = {"refused": str(error)}
        sizes.append(comm.size)
    if comm.rank == 0:
        print(json.dumps({"sizes": sizes, "found": found}))
    comm.leave(0)


if __name__ == "__main__":
    main()
