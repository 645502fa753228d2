"""Optimizers: init and update on flat vectors, with all state explicit.

An optimizer names its state arrays, each (k,) and in v's order, and its state scalars.  `advance`
steps the scalars once; `update` then changes any part of v in place, given the same part of ∇C and
of each array.  Everything is elementwise, so the parts may be cut anywhere: cache-sized pieces, or
the part of one rank.  g and t (scratch) are overwritten.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SGD:
    """Gradient descent, v' = v − α ∇C; with momentum μ

        u' = μ u + ∇C,    v' = v − α u'

    and with Nesterov's look-ahead v' = v − α (∇C + μ u').  (Sutskever et al., ICML 2013, in the
    form with α outside the velocity.)  With the batch the whole set it is the notes' gradient descent.
    """

    momentum: float = 0.0
    nesterov: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether an update is v' = v − α ∇C and nothing else, and so can be made in one pass with the mean."""
        return not self.momentum

    @property
    def arrays(self) -> tuple[str, ...]:
        return ("velocity",) if self.momentum else ()

    @property
    def scalars(self) -> dict[str, float]:
        return {}

    def advance(self, scalars: dict[str, float]) -> None:
        pass

    def update(self, v, g, t, arrays, scalars, alpha: float) -> None:
        if self.momentum:
            u = arrays["velocity"]
            np.multiply(u, self.momentum, out=u)
            np.add(u, g, out=u)
            if self.nesterov:
                np.multiply(u, self.momentum, out=t)
                np.add(g, t, out=g)
            else:
                g = u
        np.multiply(g, alpha, out=t)
        np.subtract(v, t, out=v)  # notes: v' = v - alpha grad C


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma and Ba, arXiv:1412.6980, algorithm 1); its moments are `mean` and `square` here:

        mean'   = β₁ mean   + (1 − β₁) ∇C
        square' = β₂ square + (1 − β₂) ∇C²
        v'      = v − α (mean' / (1 − β₁ᵗ)) / (√(square' / (1 − β₂ᵗ)) + ε)

    βᵗ is a running product and not pow(), whose last bit depends on the machine's libm.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    is_plain = False

    @property
    def arrays(self) -> tuple[str, ...]:
        return ("mean", "square")

    @property
    def scalars(self) -> dict[str, float]:
        return {"beta1_power": 1.0, "beta2_power": 1.0}

    def advance(self, scalars: dict[str, float]) -> None:
        scalars["beta1_power"] *= self.beta1
        scalars["beta2_power"] *= self.beta2

    def update(self, v, g, t, arrays, scalars, alpha: float) -> None:
        mean, square = arrays["mean"], arrays["square"]
        np.multiply(mean, self.beta1, out=mean)
        np.multiply(g, 1.0 - self.beta1, out=t)
        np.add(mean, t, out=mean)
        np.multiply(square, self.beta2, out=square)
        np.multiply(g, g, out=t)
        np.multiply(t, 1.0 - self.beta2, out=t)
        np.add(square, t, out=square)
        np.divide(square, 1.0 - scalars["beta2_power"], out=t)
        np.sqrt(t, out=t)
        np.add(t, self.epsilon, out=t)
        np.divide(mean, t, out=g)
        np.multiply(g, alpha / (1.0 - scalars["beta1_power"]), out=g)
        np.subtract(v, g, out=v)
