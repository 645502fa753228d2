"""Optimizers that take each entry's own step from its squares: RMSprop, Adagrad, NAdam (optimizers.py has Adam)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from distmlp.kernels.numbers import Rule
from distmlp.mathematics.optimizers import Mean, OneStep, WithoutScalars, update


@dataclass(frozen=True)
class RMSprop(WithoutScalars):
    """RMSprop (Tieleman and Hinton, 2012), with ε outside of the root:

    square' = ρ square + (1 − ρ) ∇C²,    v' = v − α ∇C / (√square' + ε)
    """

    rho: float = 0.99
    epsilon: float = 1e-8

    @property
    def arrays(self) -> tuple[str, ...]:
        """The names of the state arrays."""
        return ("square",)

    def update(
        self,
        v: np.ndarray,
        mean: Mean,
        arrays: Mapping[str, np.ndarray],
        scalars: Mapping[str, float],
        alpha: float,
    ) -> None:
        """Changes v, (k,), and the arrays in place."""
        constants = self.rho, 1.0 - self.rho, 0.0, 0.0, 0.0, self.epsilon
        update(Rule.RMSPROP, v, mean, arrays["square"], None, alpha, *constants)


@dataclass(frozen=True)
class Adagrad(WithoutScalars):
    """Adagrad (Duchi, Hazan, Singer, JMLR 12, 2011): square' = square + ∇C², v' = v − α ∇C / (√square' + ε)."""

    epsilon: float = 1e-8

    @property
    def arrays(self) -> tuple[str, ...]:
        """The names of the state arrays."""
        return ("square",)

    def update(
        self,
        v: np.ndarray,
        mean: Mean,
        arrays: Mapping[str, np.ndarray],
        scalars: Mapping[str, float],
        alpha: float,
    ) -> None:
        """Changes v, (k,), and the arrays in place."""
        constants = 0.0, 0.0, 0.0, 0.0, 0.0, self.epsilon
        update(Rule.ADAGRAD, v, mean, arrays["square"], None, alpha, *constants)


#: 0.96^0.004, by whose powers NAdam's momentum grows; a constant, since a power's last bit depends on the machine's libm.
_NADAM_DECAY = 0.9998367253526753


@dataclass(frozen=True)
class NAdam(OneStep):
    """Adam with Nesterov's look-ahead (Dozat, 2016), its momentum growing with the step t as in his report:

        μ_t = β₁ (1 − ½ 0.96^(0.004 t)),    Π_t = μ_1 … μ_t
        v' = v − α (∇C (1 − μ_t)/(1 − Π_t) + mean' μ_(t+1)/(1 − Π_(t+1))) / (√(square' / (1 − β₂ᵗ)) + ε)

    with Adam's mean' and square'.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    @property
    def arrays(self) -> tuple[str, ...]:
        """The names of the state arrays."""
        return ("mean", "square")

    @property
    def scalars(self) -> dict[str, float]:
        """The state scalars before the first step."""
        return {"decay_power": 1.0, "momentum_product": 1.0, "beta2_power": 1.0}

    def advance(self, scalars: dict[str, float]) -> None:
        """Steps the scalars: the powers, and Π."""
        scalars["decay_power"] *= _NADAM_DECAY
        scalars["momentum_product"] *= self._momentum(scalars["decay_power"])
        scalars["beta2_power"] *= self.beta2

    def _momentum(self, decay_power: float) -> float:
        return self.beta1 * (1.0 - 0.5 * decay_power)

    def update(
        self,
        v: np.ndarray,
        mean: Mean,
        arrays: Mapping[str, np.ndarray],
        scalars: Mapping[str, float],
        alpha: float,
    ) -> None:
        """Changes v, (k,), and the arrays in place."""
        power, product = scalars["decay_power"], scalars["momentum_product"]
        mu, next_mu = self._momentum(power), self._momentum(power * _NADAM_DECAY)
        update(
            Rule.NADAM,
            v,
            mean,
            arrays["mean"],
            arrays["square"],
            alpha,
            self.beta1,
            1.0 - self.beta1,
            self.beta2,
            1.0 - self.beta2,
            1.0 - scalars["beta2_power"],
            self.epsilon,
            (1.0 - mu) / (1.0 - product),
            next_mu / (1.0 - product * next_mu),
        )
