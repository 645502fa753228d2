"""What the tests of exact sums share: networks, samples, and what a state and a message say."""

import numpy as np

from distmlp.mathematics import exact, exact_costs
from distmlp.mathematics.initializers import initialize
from distmlp.mathematics.network import Network
from distmlp.training.state import State

INTEGERS = {"float32": np.dtype(np.int32), "float64": np.dtype(np.int64)}
NETWORKS = {
    "sigmoid": Network((12, 9, 5), "sigmoid", "sigmoid", "mse"),
    "relu, softmax": Network((10, 16, 8, 4), "relu", "softmax", "cross-entropy"),
    "softplus, numbers": Network((6, 11, 7, 2), "softplus", "identity", "mse"),
    "one layer": Network((8, 3), "tanh", "sigmoid", "cross-entropy"),
}


def problem(network, dtype, t, seed=0, scale=1.0):
    """v, and t samples."""
    random = np.random.default_rng(seed)
    v = scale * initialize(network.layout, "scaled-normal", seed + 1, dtype)
    x = random.normal(size=(t, network.layers[0])).astype(dtype)
    y = np.eye(network.layers[-1], dtype=dtype)[random.integers(0, network.layers[-1], t)]
    return v.astype(dtype), x, y


def fresh(v):
    return State(v.copy(), {}, {})


def content(network, buffer, counting=None):
    """What a message says.  Its cost as a number: limbs may carry or not, as the ranks added up their own.

    A gradient of two numbers an entry as the whole numbers that they are, since their lower parts may carry or not as well.
    """
    message = exact.Message(network.layout, buffer, counting)
    numbers = [part.tolist() for part in (message.units, message.alarms, message.totals[:2])]
    gradient = message.gradient.tobytes()
    if counting is not None and counting.lanes == 2:
        gradient = whole_numbers(message.gradient, network.layout.size)
    return gradient, numbers, exact_costs.mean_cost(message.totals)


def whole_numbers(total, k):
    """What a gradient of k entries counts, as Python's whole numbers."""
    numbers = total.tolist()
    return (
        numbers
        if len(numbers) == k
        else [a + (b << 32) for a, b in zip(numbers[:k], numbers[k:], strict=True)]
    )


def state_bytes(state):
    arrays = {name: array.tobytes() for name, array in state.arrays.items()}
    return (
        state.v.tobytes(),
        arrays,
        dict(state.scalars),
        state.grid,
        state.step,
        state.totals.tolist(),
    )


def counted(grid, largest):
    """The units that a message would carry for micro-batches with these largest entries, (s, tensors)."""
    return units_of(grid, (largest * np.array(grid.scales)).astype(grid.dtype))


def units_of(grid, largest):
    units = np.empty(largest.shape[1], INTEGERS[grid.dtype.name])
    assert grid.units(np.ascontiguousarray(largest.T), units) == np.isfinite(largest).all()
    return units
