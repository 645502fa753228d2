"""Outputs of a network for inputs in memory, in one process: the bits of `distmlp predict`."""

from typing import Any

import numpy as np

from distmlp.config.sections import Config
from distmlp.data.transform import Transform, transform_of
from distmlp.errors import InputError
from distmlp.kernels.numpy_activations_and_costs import sum_in_lanes
from distmlp.mathematics.network import Workspace, forward
from distmlp.training.evaluation import BLOCK
from distmlp.training.parts import network_of


def network_outputs(
    config: Config, v: np.ndarray, x: Any, transform: Transform | None = None
) -> np.ndarray:
    """The outputs a, (n, outputs), of the network that a config describes, with parameters v, for inputs x.

    x and errors: as for `TrainedNetwork.outputs`.  transform: what is done to x and to a; where it is left out, what the
    config alone decides.
    """
    network, dtype = network_of(config), v.dtype
    transform = transform or transform_of(config.data)
    rows = rows_of_inputs(x, config.network.layers[0] - transform.width(0))
    w, b = network.layout.views(v)
    workspace = Workspace(network.layers, dtype)
    kind = dtype if transform.targets is None else np.dtype(np.float64)
    a = np.empty((len(rows), network.layers[-1]), kind)
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
            a[start : start + BLOCK] = transform.answers(p.a[-1][0])
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
