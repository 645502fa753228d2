"""Costs: C of each micro-batch, and ∂C/∂a of the output layer.  kernels/costs.h computes them.

| cost          | output  | C of a sample                            |
|---------------|---------|------------------------------------------|
| mse           | any     | ½ Σ (y − a)²                             |
| cross-entropy | sigmoid | −Σ (y ln a + (1 − y) ln(1 − a))          |
| cross-entropy | softmax | −Σ y ln a                                |
| mae           | any     | Σ abs(y − a)                             |
| huber         | any     | Σ ½ e², or e − ½ where e = abs(y − a) > 1 |
| log-cosh      | any     | Σ ln cosh(y − a)                         |
| gaussian-nll  | identity | ½ Σ (ln σ² + (y − μ)²/σ²), the outputs being μ, then ln σ² |
| hinge         | identity, tanh | Σ max(0, 1 − (2y − 1) a)          |

At a corner, where e = 0 or a is on the margin, the slope is 0.  gaussian-nll is the negative logarithm of a normal distribution's
likelihood, without its constant ½ ln 2π: one network gives a mean and a spread for each target, so it has two outputs a target.
A logarithm of a is taken from z, so it stays finite where a is 0 or 1.
"""

from dataclasses import dataclass

import numpy as np

from distmlp.kernels import choice, numbers
from distmlp.mathematics.activations import ACTIVATIONS


@dataclass(frozen=True)
class Cost:
    """C with one kind of output.

    number: what the kernels know it by.
    """

    number: numbers.CostFunction

    def value(self, z: np.ndarray, a: np.ndarray, y: np.ndarray) -> np.ndarray:
        """C summed over the samples of each micro-batch, (s,) float64, in a fixed order.

        z, the output layer's weighted sum, a and y are (s, samples, outputs).
        """
        values = np.empty(len(a), np.float64)
        if not (z.flags.c_contiguous and a.flags.c_contiguous and y.flags.c_contiguous):
            z, a, y = (np.ascontiguousarray(x) for x in (z, a, y))
        choice.cost_values(self.number, z, a, y, values)  # notes: C = 1/2 sum |y_i - a_i(N)|^2
        return values

    def of_samples(self, z: np.ndarray, a: np.ndarray, y: np.ndarray) -> np.ndarray:
        """C of each sample, (s, samples) float64; z, a and y as for `value`."""
        each = [x.reshape(-1, 1, x.shape[-1]) for x in (z, a, y)]
        return self.value(*each).reshape(a.shape[:2])

    def weighted(
        self, z: np.ndarray, a: np.ndarray, y: np.ndarray, weights: np.ndarray
    ) -> np.ndarray:
        """Σ w C over the samples of each micro-batch, (s,) float64, from the first to the last.

        z, a and y as for `value`; weights: (s, samples).
        """
        costs = self.of_samples(z, a, y) * weights
        return np.add.accumulate(costs, axis=1)[:, -1]

    def gradient(self, a: np.ndarray, y: np.ndarray, out: np.ndarray) -> None:
        """∂C/∂a, written into out; all are (s, samples, outputs)."""
        choice.cost_gradient(
            self.number, a, np.ascontiguousarray(y), out
        )  # notes: grad_a C = a(N) - y


_OF_ANY_OUTPUT = {
    "mse": Cost(numbers.CostFunction.MSE),
    "mae": Cost(numbers.CostFunction.MAE),
    "huber": Cost(numbers.CostFunction.HUBER),
    "log-cosh": Cost(numbers.CostFunction.LOG_COSH),
}
_HINGE = Cost(numbers.CostFunction.HINGE)

#: (cost, output activation) -> Cost.  A pair that is missing has no meaning: the logarithm of an
#: output that need not be positive.
COSTS = {
    **{(name, output): cost for name, cost in _OF_ANY_OUTPUT.items() for output in ACTIVATIONS},
    ("gaussian-nll", "identity"): Cost(numbers.CostFunction.GAUSSIAN_NLL),
    ("hinge", "identity"): _HINGE,
    ("hinge", "tanh"): _HINGE,
    ("cross-entropy", "sigmoid"): Cost(numbers.CostFunction.BINARY_CROSS_ENTROPY),
    ("cross-entropy", "softmax"): Cost(numbers.CostFunction.CATEGORICAL_CROSS_ENTROPY),
}

#: Pairs whose σ' cancels the cost's own: δ(N) = ∇_a C ⊙ σ'(z) is a − y exactly.
MATCHED = {("mse", "identity"), ("cross-entropy", "sigmoid"), ("cross-entropy", "softmax")}


def z_of(output: str, a: np.ndarray) -> np.ndarray:
    """A z whose output is a, for costs that look at it: of softmax and sigmoid; elsewhere a itself."""
    z = np.ascontiguousarray(a).copy()
    if output in ("softmax", "sigmoid"):
        choice.function(numbers.Function.LOG, z)
    if output == "sigmoid":
        rest = np.ascontiguousarray(1 - a)
        choice.function(numbers.Function.LOG, rest)
        z -= rest
    return z


def spread_of(a: np.ndarray) -> np.ndarray:
    """σ of each number of a target, (n, k), from the outputs (n, 2k) of a network trained with gaussian-nll."""
    spread = np.ascontiguousarray(a[..., a.shape[-1] // 2 :] * a.dtype.type(0.5))
    choice.function(numbers.Function.EXP, spread)
    return spread
