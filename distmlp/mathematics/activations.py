"""Activations: a = σ(z), and the chain rule through it, each in place.

An activation is two plain functions on stacks of micro-batches, shape (…, samples, neurons):

    apply(z)            z becomes a = σ(z)
    chain(a, g, t)      g = ∂C/∂a becomes δ = ∂C/∂z; t is scratch of g's shape

The derivative is taken from a, as in the notes ("specifically for a sigmoid neuron,
σ'(z) = a(1 − a)"), so z need not be kept.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Activation(NamedTuple):
    apply: Callable
    chain: Callable


def _sigmoid(z):
    # σ(z) = (1 + tanh(z/2)) / 2 = 1 / (1 + e^-z): the same function, but no z overflows, and
    # numpy's tanh has the same bits on every SIMD width where its float64 exp has not.
    halve(z)
    np.tanh(z, out=z)
    sigmoid_of_tanh(z)  # notes: sigma(z) = 1/(1 + e^-z)


def halve_in_numpy(z):
    """z becomes z/2."""
    np.multiply(z, 0.5, out=z)


def sigmoid_of_tanh_in_numpy(z):
    """tanh(z/2) becomes σ(z)."""
    np.multiply(z, 0.5, out=z)
    np.add(z, 0.5, out=z)


def sigmoid_chain_in_numpy(a, g, t):
    """The sigmoid's `chain`."""
    np.subtract(1.0, a, out=t)
    np.multiply(t, a, out=t)  # notes: sigma'(z) = a(1 - a)
    np.multiply(g, t, out=g)


try:
    # The same in one pass over memory, from _activations.c; it is there if a C compiler was when this was installed.
    from distmlp.kernels._activations import halve, sigmoid_chain, sigmoid_of_tanh
except ImportError:
    halve, sigmoid_chain, sigmoid_of_tanh = (
        halve_in_numpy,
        sigmoid_chain_in_numpy,
        sigmoid_of_tanh_in_numpy,
    )


def _tanh(z):
    np.tanh(z, out=z)


def _tanh_chain(a, g, t):
    np.multiply(a, a, out=t)
    np.subtract(1.0, t, out=t)
    np.multiply(g, t, out=g)


def _relu(z):
    np.maximum(z, 0.0, out=z)


def _relu_chain(a, g, t):
    np.greater(a, 0.0, out=t, casting="unsafe")
    np.multiply(g, t, out=g)


def _softplus(z):
    # ln(1 + e^z) = max(z, 0) + ln(1 + e^-|z|), where the exponential cannot overflow
    tail = np.abs(z)
    np.negative(tail, out=tail)
    np.exp(tail, out=tail)
    np.add(tail, 1.0, out=tail)
    np.log(tail, out=tail)
    np.maximum(z, 0.0, out=z)
    np.add(z, tail, out=z)


def _softplus_chain(a, g, t):
    np.negative(a, out=t)
    np.exp(t, out=t)
    np.subtract(1.0, t, out=t)  # σ(z) = 1 − e^-a
    np.multiply(g, t, out=g)


def _identity(z):
    pass


def _identity_chain(a, g, t):
    pass


def _softmax(z):
    np.subtract(z, z.max(axis=-1, keepdims=True), out=z)
    np.exp(z, out=z)
    np.divide(z, np.add.reduce(z, axis=-1, keepdims=True), out=z)


def _softmax_chain(a, g, t):
    # the Jacobian is not diagonal: ∂C/∂z_j = a_j (g_j − Σ_k a_k g_k)
    np.multiply(a, g, out=t)
    np.subtract(g, np.add.reduce(t, axis=-1, keepdims=True), out=g)
    np.multiply(g, a, out=g)


ACTIVATIONS = {
    "sigmoid": Activation(_sigmoid, sigmoid_chain),
    "tanh": Activation(_tanh, _tanh_chain),
    "relu": Activation(_relu, _relu_chain),
    "softplus": Activation(_softplus, _softplus_chain),
    "identity": Activation(_identity, _identity_chain),
    "softmax": Activation(_softmax, _softmax_chain),
}
