"""Optimizers: updates of v from the summed gradient, with all state explicit.

An optimizer names its state arrays, each (k,) and in v's order, and its state scalars.  `advance`
steps the scalars once; `update` then changes v and the arrays.  kernels/updates.h does it in one pass,
entry by entry, so any part of v can be updated by itself.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from distmlp.kernels import choice
from distmlp.kernels.numbers import Rule


class Mean(NamedTuple):
    """∇C as a sum and what each entry of it is worth: parts of v, one after another, have one factor each.

    total: (k,), whole numbers as wide as v's dtype, or floats of it.  factors: (p,) float64.  ends: (p,)
    int64, each part's end.  penalties: (p, 3) float64, λ₂, λ₁ and αλ of each part, or None; clip: what ∇C is cut to.
    penalties.py tells what is made of these.  cost: C, for an optimizer that needs it.
    """

    total: np.ndarray
    factors: np.ndarray
    ends: np.ndarray
    penalties: np.ndarray | None = None
    clip: float = math.inf
    cost: float = math.nan


class Optimizer(Protocol):
    """What every optimizer of this module is."""

    @property
    def arrays(self) -> tuple[str, ...]:
        """The names of the state arrays."""

    @property
    def scalars(self) -> dict[str, float]:
        """The state scalars before the first step."""

    @property
    def needs_cost(self) -> bool:
        """Whether a mean must come with its cost."""

    def point(
        self, v: np.ndarray, arrays: Mapping[str, np.ndarray], scalars: Mapping[str, float]
    ) -> np.ndarray:
        """Where C and ∇C are to be evaluated next, (k,)."""

    def reason_to_end(self, scalars: Mapping[str, float]) -> str:
        """Why there is nothing more to do; "" where there is."""

    def advance(self, scalars: dict[str, float]) -> None:
        """Steps the scalars."""

    def update(
        self,
        v: np.ndarray,
        mean: Mean,
        arrays: Mapping[str, np.ndarray],
        scalars: dict[str, float],
        alpha: float,
    ) -> None:
        """Changes v, (k,), and the arrays in place."""


class OneStep:
    """An optimizer that changes v in each step, by ∇C at v alone, and never comes to an end."""

    @property
    def needs_cost(self) -> bool:
        """Whether a mean must come with its cost."""
        return False

    def point(
        self, v: np.ndarray, arrays: Mapping[str, np.ndarray], scalars: Mapping[str, float]
    ) -> np.ndarray:
        """Where C and ∇C are to be evaluated next: v."""
        return v

    def reason_to_end(self, scalars: Mapping[str, float]) -> str:
        """Why there is nothing more to do: there always is."""
        return ""


class WithoutScalars(OneStep):
    """An optimizer whose only state are its arrays."""

    @property
    def scalars(self) -> dict[str, float]:
        """The state scalars before the first step: there are none."""
        return {}

    def advance(self, scalars: dict[str, float]) -> None:
        """Steps the scalars: there are none."""


def update(
    rule: Rule,
    v: np.ndarray,
    mean: Mean,
    first: np.ndarray | None,
    second: np.ndarray | None,
    alpha: float,
    *constants: float,
) -> None:
    """The kernel's pass; constants: as many as the rule has, of eight."""
    how = mean.factors, mean.ends, mean.penalties, mean.clip
    missing = (0.0,) * (8 - len(constants))
    choice.update(rule, mean.total, v, first, second, alpha, *how, *constants, *missing)


@dataclass(frozen=True)
class SGD(WithoutScalars):
    """Gradient descent, v' = v − α ∇C; with momentum μ

        u' = μ u + ∇C,    v' = v − α u'

    and with Nesterov's look-ahead v' = v − α (∇C + μ u').  (Sutskever et al., ICML 2013, in the
    form with α outside the velocity.)  With the batch the whole set it is the notes' gradient descent.
    """

    momentum: float = 0.0
    nesterov: bool = False

    @property
    def arrays(self) -> tuple[str, ...]:
        """The names of the state arrays."""
        return ("velocity",) if self.momentum else ()

    def update(
        self,
        v: np.ndarray,
        mean: Mean,
        arrays: Mapping[str, np.ndarray],
        scalars: Mapping[str, float],
        alpha: float,
    ) -> None:
        """Changes v, (k,), and the arrays in place."""
        rule = (Rule.NESTEROV if self.nesterov else Rule.MOMENTUM) if self.momentum else Rule.SGD
        velocity = arrays.get("velocity")
        # notes: v' = v - alpha grad C
        update(rule, v, mean, velocity, None, alpha, self.momentum)


@dataclass(frozen=True)
class Adam(OneStep):
    """Adam (Kingma and Ba, arXiv:1412.6980, algorithm 1); its moments are `mean` and `square` here:

        mean'   = β₁ mean   + (1 − β₁) ∇C
        square' = β₂ square + (1 − β₂) ∇C²
        v'      = v − α (mean' / (1 − β₁ᵗ)) / (√(square' / (1 − β₂ᵗ)) + ε)

    βᵗ is a running product and not pow(), whose last bit depends on the machine's libm.
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
        return {"beta1_power": 1.0, "beta2_power": 1.0}

    def advance(self, scalars: dict[str, float]) -> None:
        """Steps the scalars: βᵗ becomes βᵗ⁺¹."""
        scalars["beta1_power"] *= self.beta1
        scalars["beta2_power"] *= self.beta2

    def update(
        self,
        v: np.ndarray,
        mean: Mean,
        arrays: Mapping[str, np.ndarray],
        scalars: Mapping[str, float],
        alpha: float,
    ) -> None:
        """Changes v, (k,), and the arrays in place."""
        update(
            Rule.ADAM,
            v,
            mean,
            arrays["mean"],
            arrays["square"],
            alpha / (1.0 - scalars["beta1_power"]),
            self.beta1,
            1.0 - self.beta1,
            self.beta2,
            1.0 - self.beta2,
            1.0 - scalars["beta2_power"],
            self.epsilon,
        )
