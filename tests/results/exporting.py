"""Networks to export that were never trained: a checkpoint in memory, and rows to try it on."""

from pathlib import Path

import numpy as np

from distmlp import files
from distmlp.config.reading import from_tables
from distmlp.mathematics.initializers import initialize
from distmlp.results.export import contents
from distmlp.results.inference import network_outputs
from distmlp.runs.checkpoint import Checkpoint, v_sha256
from distmlp.training.preparation import network_of

ACTIVATIONS = ("sigmoid", "tanh", "relu", "softplus", "identity", "softmax")


def checkpoint(layers, hidden, output, dtype, scale=1.0, classes=False, cost="mse"):
    """A Checkpoint of a network with these activations, v as an initializer draws it."""
    config = from_tables(
        {
            "dtype": dtype,
            "network": {
                "layers": list(layers),
                "activation": hidden,
                "output": output,
                "cost": cost,
                "initializer": "normal",
            },
            "data": {"train": "set.h5:/train", "scale": scale},
            "optimizer": {"learning_rate": 0.1},
            "run": {"directory": "run"},
        }
    )
    v = initialize(network_of(config).layout, "normal", 7, dtype)
    facts = {"config": config.to_json(), "v_sha256": v_sha256(v), "classes": classes}
    return Checkpoint(Path("made-up.h5"), v, {}, facts), config


def some_rows(inputs, dtype, scale=1.0, count=67):
    """(count, inputs) raw inputs, which are about 1 when scaled, and one row of large ones."""
    x = np.random.default_rng(3).normal(size=(count, inputs)) / scale
    x[count // 2] *= 200
    return x.astype(dtype)


def export(found, out):
    """Writes the network's files, and returns their paths."""
    written = contents(found, out)
    for path, content in written.items():
        files.write(path, content)
    return list(written)


def predicted(found, config, x):
    """What distmlp's own predict gives."""
    return network_outputs(config, found.v, x)
