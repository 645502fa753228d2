"""Costs: C of each micro-batch, and ∂C/∂a of the output layer.  kernels/costs.h computes them.

| cost          | output  | C of a sample                            |
|---------------|---------|------------------------------------------|
| mse           | any     | ½ Σ (y − a)²                             |
| cross-entropy | sigmoid | −Σ (y ln a + (1 − y) ln(1 − a))          |
| cross-entropy | softmax | −Σ y ln a                                |

A logarithm of a is taken from z, so it stays finite where a is 0 or 1.
"""

from dataclasses import dataclass

import numpy as np

from distmlp.kernels import choice, numbers


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
        z, a, y = (np.ascontiguousarray(x) for x in (z, a, y))
        choice.cost_values(self.number, z, a, y, values)  # notes: C = 1/2 sum |y_i - a_i(N)|^2
        return values

    def gradient(self, a: np.ndarray, y: np.ndarray, out: np.ndarray) -> None:
        """∂C/∂a, written into out; all are (s, samples, outputs)."""
        choice.cost_gradient(
            self.number, a, np.ascontiguousarray(y), out
        )  # notes: grad_a C = a(N) - y


_MSE = Cost(numbers.CostFunction.MSE)

#: (cost, output activation) -> Cost.  A pair that is missing has no meaning: the logarithm of an
#: output that need not be positive.
COSTS = {
    ("mse", "sigmoid"): _MSE,
    ("mse", "tanh"): _MSE,
    ("mse", "relu"): _MSE,
    ("mse", "softplus"): _MSE,
    ("mse", "identity"): _MSE,
    ("mse", "softmax"): _MSE,
    ("cross-entropy", "sigmoid"): Cost(numbers.CostFunction.BINARY_CROSS_ENTROPY),
    ("cross-entropy", "softmax"): Cost(numbers.CostFunction.CATEGORICAL_CROSS_ENTROPY),
}

#: Pairs whose σ' cancels the cost's own: δ(N) = ∇_a C ⊙ σ'(z) is a − y exactly.
MATCHED = {("mse", "identity"), ("cross-entropy", "sigmoid"), ("cross-entropy", "softmax")}
