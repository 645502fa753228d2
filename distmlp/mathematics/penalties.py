"""What is done to ∇C between the sum and the optimizer: clipping, penalties, decay, frozen layers.

In this order, entry by entry: ∇C is scaled so that its norm is clip_norm at most, or cut to ± clip_value.  Then the slopes of
the penalties are added, λ₂ w and λ₁ sign w; at last w loses α λ w, beside the optimizer's step.  Biases have no penalty.
kernels/updates.h does it in the optimizer's one pass over v.
"""

import functools
import math
import operator
from dataclasses import dataclass

import numpy as np

from distmlp.kernels import choice
from distmlp.mathematics.layout import Layout
from distmlp.mathematics.optimizers import Mean


def norm(mean: Mean) -> float:
    """|∇C|: of each part Σ x² in float64, in a fixed order, so the same bits wherever the sum is."""
    squares = np.empty(len(mean.ends))
    choice.squares(mean.total, mean.ends, squares)
    parts = zip(squares.tolist(), mean.factors.tolist(), strict=True)
    of_parts = [math.sqrt(square) * abs(factor) for square, factor in parts]
    # sum() of floats adds more exactly from Python 3.12 on: other bits
    return math.sqrt(functools.reduce(operator.add, [length * length for length in of_parts], 0.0))


@dataclass(frozen=True)
class Shaping:
    """What is done to ∇C; by default nothing.

    l2, l1: λ₂ and λ₁, the cost being C + ½ λ₂ Σ w² + λ₁ Σ |w|.  weight_decay: λ of the decoupled decay (Loshchilov and
    Hutter, arXiv:1711.05101).  clip_norm, clip_value: 0 is none.  frozen: the numbers of layers that stay as they are.
    """

    l2: float = 0.0
    l1: float = 0.0
    weight_decay: float = 0.0
    clip_norm: float = 0.0
    clip_value: float = 0.0
    frozen: tuple[int, ...] = ()

    def shaped(self, mean: Mean, layout: Layout, alpha: float) -> Mean:
        """The same mean, as the optimizer is to have it in a step with the rate α."""
        factors, clip = mean.factors, self.clip_value or math.inf
        if self.frozen:
            factors = factors.copy()
            factors[self.still(layout.N)] = 0.0
        if self.clip_norm:
            length = norm(mean._replace(factors=factors))
            if length > self.clip_norm:
                factors = factors * (self.clip_norm / length)
        penalties = _penalties(self, layout.N, alpha * self.weight_decay)
        return mean._replace(factors=factors, penalties=penalties, clip=clip)

    def still(self, N: int) -> list[int]:
        """The tensors of the frozen layers."""
        return [tensor for l in self.frozen for tensor in (l - 1, N + l - 1)]


@functools.lru_cache(maxsize=8)
def _penalties(shaping: Shaping, N: int, decay: float) -> np.ndarray | None:
    """λ₂, λ₁ and αλ of each tensor, (2N, 3); None where all are 0."""
    penalties = np.zeros((2 * N, 3))
    penalties[:N] = shaping.l2, shaping.l1, decay
    penalties[shaping.still(N)] = 0.0
    penalties.flags.writeable = False
    return penalties if penalties.any() else None
