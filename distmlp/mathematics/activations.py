"""Activations: a = σ(z), and the chain rule through it, each in place.

The derivative is taken from a, as in the notes ("specifically for a sigmoid neuron,
σ'(z) = a(1 − a)"), so z need not be kept.  kernels/activations.h computes them.
"""

from dataclasses import dataclass

import numpy as np

from distmlp.kernels import choice, numbers


@dataclass(frozen=True)
class Activation:
    """σ of a layer.

    number: what the kernels know it by.
    """

    number: numbers.Activation

    def apply(self, z: np.ndarray) -> None:
        """z, (…, neurons), becomes a = σ(z)."""
        choice.activate(self.number, z)  # notes: sigma(z) = 1/(1 + e^-z)

    def chain(self, a: np.ndarray, g: np.ndarray) -> None:
        """g = ∂C/∂a, (…, neurons), becomes δ = ∂C/∂z, where a = σ(z)."""
        choice.chain_rule(self.number, a, g)  # notes: sigma'(z) = a(1 - a)


ACTIVATIONS = {
    "sigmoid": Activation(numbers.Activation.SIGMOID),
    "tanh": Activation(numbers.Activation.TANH),
    "relu": Activation(numbers.Activation.RELU),
    "softplus": Activation(numbers.Activation.SOFTPLUS),
    "identity": Activation(numbers.Activation.IDENTITY),
    "softmax": Activation(numbers.Activation.SOFTMAX),
}
