"""JAX with optax: one jitted function is the whole step, and parameters and state are donated to it.

The set is on the device, shuffled, and a batch is a slice of it inside the function, which also counts
the steps: so a call has nothing to convert.  A gather by index in the function, or batches handed over
as numpy arrays, were slower.  task["scan"]: so many steps in one call, by lax.scan.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from trainers.problem import answer, first_parameters, load, timed

ACTIVATIONS = {"sigmoid": jax.nn.sigmoid, "tanh": jnp.tanh, "relu": jax.nn.relu}


def train(task: dict) -> dict:
    problem = load(task)
    case = problem.case
    jax.config.update("jax_enable_x64", case.dtype == "float64")
    classes = case.cost == "cross-entropy"
    x, y = jnp.asarray(problem.x), jnp.asarray(problem.y if classes else problem.targets)
    layers = [(jnp.asarray(w.T), jnp.asarray(b)) for w, b in first_parameters(case)]
    optimizer = _optimizer(case)
    now = (layers, optimizer.init(layers), jnp.int32(0))
    steps = min(task["scan"], case.steps)
    advance = _jitted(case, optimizer, len(problem.x) // case.batch, steps)

    def call(number: int) -> None:
        nonlocal now
        now = advance(now, x, y)

    seconds = timed(case, call, of=steps, finish=lambda: jax.block_until_ready(now))
    parameters = [(np.asarray(w).T, np.asarray(b)) for w, b in now[0]]
    return answer(problem, seconds, parameters)


def _optimizer(case):
    if case.optimizer == "adam":
        return optax.adam(case.rate)
    return optax.sgd(case.rate, case.momentum or None, case.optimizer == "nesterov")


def _jitted(case, optimizer, batches: int, steps: int):
    """(layers, state, number), x, y → the same after `steps` steps, compiled."""

    def cost(layers, x, y):
        a = x
        for l, (w, b) in enumerate(layers, start=1):
            a = a @ w + b
            if l < len(layers):
                a = ACTIVATIONS[case.activation](a)
        if case.cost == "cross-entropy":
            return optax.softmax_cross_entropy_with_integer_labels(a, y).mean()
        if case.output == "sigmoid":
            a = jax.nn.sigmoid(a)
        return 0.5 * jnp.sum((a - y) ** 2) / case.batch

    def one(now, x, y):
        layers, state, number = now
        start = number % batches * case.batch
        x, y = (lax.dynamic_slice_in_dim(whole, start, case.batch) for whole in (x, y))
        gradient = jax.grad(cost)(layers, x, y)
        updates, state = optimizer.update(gradient, state, layers)
        return optax.apply_updates(layers, updates), state, number + 1

    @partial(jax.jit, donate_argnums=0)
    def many(now, x, y):
        if steps == 1:
            return one(now, x, y)
        return lax.scan(lambda now, _: (one(now, x, y), None), now, length=steps)[0]

    return many
