"""Activations: a = σ(z), and the chain rule through it, each in place.

The derivative is taken from a, as in the notes ("specifically for a sigmoid neuron,
σ'(z) = a(1 − a)"), so z need not be kept.  GELU and SiLU fall and rise, so a does not tell the slope: theirs is taken
from z.  kernels/activations.h computes them.

| name       | σ(z)                                                              |
|------------|-------------------------------------------------------------------|
| leaky-relu | z, below 0 z/100 (Maas, Hannun, Ng, 2013)                         |
| elu        | z, below 0 e^z − 1 (Clevert et al., arXiv:1511.07289)             |
| gelu       | ½ z (1 + tanh(√(2/π) (z + 0.044715 z³))) (arXiv:1606.08415)       |
| silu       | z/(1 + e^−z) (the same)                                           |
"""

from dataclasses import dataclass

import numpy as np

from distmlp.kernels import choice, numbers


@dataclass(frozen=True)
class Activation:
    """σ of a layer.

    number: what the kernels know it by.  of_z: whether the slope is taken from z.
    """

    number: numbers.Activation
    of_z: bool = False

    def apply(self, z: np.ndarray) -> None:
        """z, (…, neurons), becomes a = σ(z)."""
        choice.activate(self.number, z)  # notes: sigma(z) = 1/(1 + e^-z)

    def chain(self, a: np.ndarray, g: np.ndarray) -> None:
        """g = ∂C/∂a, (…, neurons), becomes δ = ∂C/∂z, where a = σ(z), or a is z itself where `of_z`."""
        choice.chain_rule(self.number, a, g)  # notes: sigma'(z) = a(1 - a)


ACTIVATIONS = {
    "sigmoid": Activation(numbers.Activation.SIGMOID),
    "tanh": Activation(numbers.Activation.TANH),
    "relu": Activation(numbers.Activation.RELU),
    "softplus": Activation(numbers.Activation.SOFTPLUS),
    "identity": Activation(numbers.Activation.IDENTITY),
    "softmax": Activation(numbers.Activation.SOFTMAX),
    "leaky-relu": Activation(numbers.Activation.LEAKY_RELU),
    "elu": Activation(numbers.Activation.ELU),
    "gelu": Activation(numbers.Activation.GELU, of_z=True),
    "silu": Activation(numbers.Activation.SILU, of_z=True),
}
