"""Activations and costs in numpy, bit for bit as activations.h, sums.h and costs.h make them."""

import numpy as np

from distmlp.kernels import function_twins as functions
from distmlp.kernels.numbers import Activation, CostFunction, Function

#: Sums over outputs run in this many lanes side by side, whatever the width of the registers.
SUM_LANES = 8

_FUNCTIONS = {
    Function.EXP: functions.exp,
    Function.EXP_OF_NEGATIVE: functions.exp_of_negative,
    Function.EXPM1_OF_NEGATIVE: functions.expm1_of_negative,
    Function.LOG: functions.log,
    Function.LOG1P_OF_FRACTION: functions.log1p_of_fraction,
}


def function(number: int, x: np.ndarray) -> None:
    """x becomes an elementary function of x; number is a Function."""
    x[...] = _FUNCTIONS[Function(number)](x)


def sum_in_lanes(x: np.ndarray) -> np.ndarray:
    """Σ over the last dimension, (…,) from (…, n).

    Lane i adds x_i, x_(i+8), … to +0 in order.  Then the upper half of the lanes is added to the lower, three times.
    """
    n = x.shape[-1]
    lanes = np.zeros((*x.shape[:-1], SUM_LANES), x.dtype)
    for start in range(0, n, SUM_LANES):
        part = x[..., start : start + SUM_LANES]
        lanes[..., : part.shape[-1]] += part
    while lanes.shape[-1] > 1:
        half = lanes.shape[-1] // 2
        lanes = lanes[..., :half] + lanes[..., half:]
    return lanes[..., 0]


def _largest(z: np.ndarray) -> np.ndarray:
    """The largest entry of each row, (…, 1); a NaN is passed over."""
    with np.errstate(invalid="ignore"):
        return np.fmax.reduce(z, axis=-1, keepdims=True)


@np.errstate(all="ignore")
def activate(activation: int, z: np.ndarray) -> None:
    """z, (…, n), becomes a = σ(z); activation is an Activation."""
    match activation:
        case Activation.RELU:
            z[...] = np.where(z < 0, z.dtype.type(0), z)
        case Activation.SIGMOID:
            z[...] = functions.sigmoid(z)
        case Activation.TANH:
            z[...] = functions.tanh(z)
        case Activation.SOFTPLUS:
            z[...] = functions.softplus(z)
        case Activation.SOFTMAX:
            z[...] = functions.exp_of_negative(z - _largest(z))
            z /= sum_in_lanes(z)[..., None]


@np.errstate(all="ignore")
def chain_rule(activation: int, a: np.ndarray, g: np.ndarray) -> None:
    """g = ∂C/∂a, (…, n), becomes δ = ∂C/∂z; the slope is taken from a = σ(z)."""
    match activation:
        case Activation.RELU:
            g *= (a > 0).astype(a.dtype)
        case Activation.SIGMOID:
            g *= (1 - a) * a
        case Activation.TANH:
            g *= 1 - a * a
        case Activation.SOFTPLUS:
            g *= -functions.expm1_of_negative(-a)
        case Activation.SOFTMAX:
            g -= sum_in_lanes(a * g)[..., None]
            g *= a


@np.errstate(all="ignore")
def cost_values(cost: int, z: np.ndarray, a: np.ndarray, y: np.ndarray, values: np.ndarray) -> None:
    """values, (s,) float64: C of each micro-batch, from z, a and y, (s, M, n); cost is a CostFunction.

    Over the outputs in lanes, then over the samples one after another, all in float64.
    """
    z, y = (z if cost != CostFunction.MSE else a).astype(np.float64), y.astype(np.float64)
    match cost:
        case CostFunction.MSE:
            terms = (y - z) * (y - z)
        case CostFunction.BINARY_CROSS_ENTROPY:
            terms = functions.softplus(z) - y * z
        case _:
            z -= _largest(z)
            logarithm = functions.log(sum_in_lanes(functions.exp_of_negative(z)))
            terms = y * (logarithm[..., None] - z)
    values[:] = 0.0
    of_samples = sum_in_lanes(terms)
    for sample in range(of_samples.shape[1]):
        values += of_samples[:, sample]
    if cost == CostFunction.MSE:
        values *= 0.5


@np.errstate(all="ignore")
def cost_gradient(cost: int, a: np.ndarray, y: np.ndarray, out: np.ndarray) -> None:
    """out = ∂C/∂a of the output layer; a saturated a is kept off 0 and 1, so that the quotient stays finite."""
    tiny = np.finfo(a.dtype).tiny
    match cost:
        case CostFunction.MSE:
            np.subtract(a, y, out=out)
        case CostFunction.BINARY_CROSS_ENTROPY:
            slope = a * (1 - a)
            np.divide(a - y, np.where(slope < tiny, tiny, slope), out=out)
        case _:
            np.negative(y / np.where(a < tiny, tiny, a), out=out)
