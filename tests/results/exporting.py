"""Networks to export that were never trained: a checkpoint in memory, and rows to try it on."""

import json
from pathlib import Path

import numpy as np

from distmlp import files
from distmlp.config.reading import from_tables
from distmlp.data.transform import transform_of
from distmlp.mathematics.initializers import initialize
from distmlp.results.export import contents
from distmlp.results.inference import network_outputs
from distmlp.runs.checkpoint import Checkpoint, v_sha256
from distmlp.training.parts import network_of

ACTIVATIONS = (
    *("sigmoid", "tanh", "relu", "softplus", "identity", "softmax"),
    *("leaky-relu", "elu", "gelu", "silu"),
)


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


def scaled_checkpoint(layers, output, dtype, classes=False, missing=False):
    """The same with inputs standardised, and targets where they are numbers; with missing, two indicators."""
    how = {
        "scale_inputs": "standardise",
        "scale_targets": "none" if classes else "standardise",
        "missing": "mean-and-indicator" if missing else "refuse",
    }
    found, _ = checkpoint(layers, "tanh", output, dtype, 1.0, classes)
    return transformed(found, how)


def transformed(found, how):
    """A checkpoint, its config and rows, with these keys of [data]; the last two inputs are indicators where they say so."""
    tables = json.loads(found.facts["config"])
    tables["data"] |= how
    config = from_tables(tables)
    missing, indicated = config.data.missing != "refuse", config.data.missing.endswith("indicator")
    layers, data = config.network.layers, {}
    columns = layers[0] - 2 * indicated
    k = np.arange(columns)
    shift, divisor = 10.0 ** (k % 5) + 0.1, 3.0 ** (k % 7 - 3)
    if config.data.scales_inputs:
        data |= {"inputs_shift": shift, "inputs_divisor": divisor}
    if config.data.scales_targets:
        data |= {
            "targets_shift": np.linspace(-1e5, 3, layers[-1]),
            "targets_divisor": np.linspace(0.1, 1e4, layers[-1]),
        }
    if missing:
        data["fill"] = shift + 0.3
    if indicated:
        data["indicators"] = np.array([1.0, columns - 1])
    facts = {**found.facts, "config": config.to_json()}
    x = np.random.default_rng(4).normal(size=(67, columns))
    x = x * divisor + shift
    if missing:
        x[np.random.default_rng(5).random(x.shape) < 0.1] = np.nan
    return Checkpoint(found.path, found.v, {}, facts, data), config, x


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
    return network_outputs(config, found.v, x, transform_of(config.data, found.data))
