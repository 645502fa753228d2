"""Costs: C of each micro-batch, and ∂C/∂a of the output layer.

A cost is two plain functions on stacks of micro-batches, shape (s, samples, outputs):

    value(z, a, y)      (s,) float64: the cost summed over each micro-batch's samples
    gradient(a, y, out) ∇_a C, written into out

z is the output layer's weighted sum, so that a logarithm of a is taken from z and stays finite.
A value is summed in float64 over one micro-batch at a time, in an order that the micro-batch's
shape alone decides.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Cost(NamedTuple):
    value: Callable
    gradient: Callable


def _by_micro_batch(terms):
    """Σ over samples and outputs of (s, samples, outputs) float64, for each of the s."""
    return np.add.reduce(terms.reshape(len(terms), -1), axis=1)


def _mse(z, a, y):
    d = np.subtract(y, a, dtype=np.float64).reshape(len(a), -1)
    return 0.5 * np.vecdot(d, d)  # notes: C = 1/2 sum |y_i - a_i(N)|^2


def _mse_gradient(a, y, out):
    np.subtract(a, y, out=out)  # notes: grad_a C = a(N) - y


def _binary_cross_entropy(z, a, y):
    # −y ln a − (1 − y) ln(1 − a) with a = σ(z) is max(z, 0) − y z + ln(1 + e^-|z|)
    z = z.astype(np.float64)
    terms = np.log1p(np.exp(-np.abs(z)))
    terms += np.maximum(z, 0.0)
    terms -= y * z
    return _by_micro_batch(terms)


def _binary_cross_entropy_gradient(a, y, out):
    # (a − y) / (a (1 − a)); a saturated a is kept off 0 and 1 so that the quotient stays finite
    tiny = np.finfo(a.dtype).tiny
    np.subtract(a, y, out=out)
    np.divide(out, np.maximum(a * (1.0 - a), tiny), out=out)


def _categorical_cross_entropy(z, a, y):
    # −Σ y ln a with a = softmax(z) is Σ y (ln Σ e^z − z)
    z = z.astype(np.float64)
    z -= z.max(axis=-1, keepdims=True)
    logarithm = np.log(np.add.reduce(np.exp(z), axis=-1, keepdims=True))
    return _by_micro_batch(y * (logarithm - z))


def _categorical_cross_entropy_gradient(a, y, out):
    np.divide(y, np.maximum(a, np.finfo(a.dtype).tiny), out=out)
    np.negative(out, out=out)


_MSE = Cost(_mse, _mse_gradient)

#: (cost, output activation) -> Cost.  A pair that is missing has no meaning: the logarithm of an
#: output that need not be positive.
COSTS = {
    ("mse", "sigmoid"): _MSE,
    ("mse", "tanh"): _MSE,
    ("mse", "relu"): _MSE,
    ("mse", "softplus"): _MSE,
    ("mse", "identity"): _MSE,
    ("mse", "softmax"): _MSE,
    ("cross-entropy", "sigmoid"): Cost(_binary_cross_entropy, _binary_cross_entropy_gradient),
    ("cross-entropy", "softmax"): Cost(
        _categorical_cross_entropy, _categorical_cross_entropy_gradient
    ),
}

#: Pairs whose σ' cancels the cost's own: δ(N) = ∇_a C ⊙ σ'(z) is a − y exactly.
MATCHED = {("mse", "identity"), ("cross-entropy", "sigmoid"), ("cross-entropy", "softmax")}
