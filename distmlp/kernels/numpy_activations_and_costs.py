"""Activations and costs in numpy, bit for bit as activations.h, sums.h and costs.h make them."""

import numpy as np

from distmlp.kernels import numpy_functions as functions
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


#: Below zero leaky ReLU is so much of z.
LEAK = 0.01

#: 2 √(2/π), of the tanh form of GELU.
GELU_SCALE = 1.5957691216057308


def _gate_of_gelu(z: np.ndarray) -> np.ndarray:
    """σ(2 √(2/π) (z + 0.044715 z³))."""
    cubic = z + z * z * z * z.dtype.type(0.044715)
    return functions.sigmoid(cubic * z.dtype.type(GELU_SCALE))


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
        case Activation.LEAKY_RELU:
            z[...] = np.where(z < 0, z * z.dtype.type(LEAK), z)
        case Activation.ELU:
            below = functions.expm1_of_negative(np.where(z < 0, z, z.dtype.type(0)))
            z[...] = np.where(z < 0, below, z)
        case Activation.GELU:
            z *= _gate_of_gelu(z)
        case Activation.SILU:
            z *= functions.sigmoid(z)
        case Activation.SOFTMAX:
            z[...] = functions.exp_of_negative(z - _largest(z))
            z /= sum_in_lanes(z)[..., None]


@np.errstate(all="ignore")
def chain_rule(activation: int, a: np.ndarray, g: np.ndarray) -> None:
    """g = ∂C/∂a, (…, n), becomes δ = ∂C/∂z; the slope is taken from a = σ(z), of GELU and SiLU from a = z."""
    one = a.dtype.type(1)
    match activation:
        case Activation.RELU:
            g *= (a > 0).astype(a.dtype)
        case Activation.SIGMOID:
            g *= (1 - a) * a
        case Activation.TANH:
            g *= 1 - a * a
        case Activation.SOFTPLUS:
            g *= -functions.expm1_of_negative(-a)
        case Activation.LEAKY_RELU:
            g *= np.where(a < 0, a.dtype.type(LEAK), one)
        case Activation.ELU:
            g *= np.where(a < 0, a + one, one)
        case Activation.GELU:
            gate = _gate_of_gelu(a)
            growth = (one + a * a * a.dtype.type(0.134145)) * a.dtype.type(GELU_SCALE)
            g *= gate + a * (gate * (one - gate)) * growth
        case Activation.SILU:
            gate = functions.sigmoid(a)
            g *= gate * (one + a * (one - gate))
        case Activation.SOFTMAX:
            g -= sum_in_lanes(a * g)[..., None]
            g *= a


@np.errstate(all="ignore")
def cost_values(cost: int, z: np.ndarray, a: np.ndarray, y: np.ndarray, values: np.ndarray) -> None:
    """values, (s,) float64: C of each micro-batch, from z, a and y, (s, M, n); cost is a CostFunction.

    Over the outputs in lanes, then over the samples one after another, all in float64.
    """
    of_entropy = cost in (CostFunction.BINARY_CROSS_ENTROPY, CostFunction.CATEGORICAL_CROSS_ENTROPY)
    z, y = (z if of_entropy else a).astype(np.float64), y.astype(np.float64)
    match cost:
        case _ if not of_entropy:
            terms = _terms(cost, z, y)
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


def _terms(cost: int, a: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A term for each output, (s, M, n), of the costs that are no cross-entropy; of gaussian-nll for each mean, (s, M, n/2)."""
    size, n = np.abs(y - a), a.shape[-1] // 2
    match cost:
        case CostFunction.MAE:
            return size
        case CostFunction.HUBER:
            return np.where(size <= 1, size * size * 0.5, size - 0.5)
        case CostFunction.LOG_COSH:
            fraction = functions.exp_of_negative(size * -2.0)
            return (size + functions.log1p_of_fraction(fraction)) - float.fromhex(
                "0x1.62e42fefa39efp-1"
            )
        case CostFunction.GAUSSIAN_NLL:
            e, log = a[..., :n] - y[..., :n], a[..., n:]
            return (log + e * e * functions.exp(-log)) * 0.5
        case CostFunction.HINGE:
            missing = 1.0 - (2.0 * y - 1.0) * a
            return np.where(missing <= 0, 0.0, missing)
        case _:
            return (y - a) * (y - a)


@np.errstate(all="ignore")
def cost_gradient(cost: int, a: np.ndarray, y: np.ndarray, out: np.ndarray) -> None:
    """out = ∂C/∂a of the output layer, all (…, n); a saturated a is kept off 0 and 1, so that the quotient stays finite."""
    tiny, n, one = np.finfo(a.dtype).tiny, a.shape[-1] // 2, a.dtype.type(1)
    match cost:
        case CostFunction.MAE:
            np.subtract(a > y, a < y, out=out, dtype=a.dtype)
        case CostFunction.HUBER:
            out[...] = np.where(a - y > 1, one, np.where(a - y < -1, -one, a - y))
        case CostFunction.LOG_COSH:
            out[...] = functions.tanh(a - y)
        case CostFunction.GAUSSIAN_NLL:
            e, p = a[..., :n] - y[..., :n], functions.exp(-a[..., n:])
            out[..., :n] = e * p
            out[..., n:] = (one - e * e * p) * a.dtype.type(0.5)
        case CostFunction.HINGE:
            side = 2 * y - one
            out[...] = np.where(side * a < 1, -side, a.dtype.type(0))
        case CostFunction.MSE:
            np.subtract(a, y, out=out)
        case CostFunction.BINARY_CROSS_ENTROPY:
            slope = a * (1 - a)
            np.divide(a - y, np.where(slope < tiny, tiny, slope), out=out)
        case _:
            np.negative(y / np.where(a < tiny, tiny, a), out=out)


def hits(a: np.ndarray, labels: np.ndarray) -> int:
    """How many rows of a, (rows, n), have their largest entry, the first of equal ones, where labels, (rows,) int64, say.

    A single entry says 1 where it is above 1/2.
    """
    said = a[..., 0] > 0.5 if a.shape[-1] == 1 else a.argmax(axis=-1)
    return int(np.count_nonzero(said == labels))
