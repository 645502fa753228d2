"""What is done to a set's inputs on the way to the network, wherever they go that way."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from distmlp.config.sections import DataConfig


@dataclass(frozen=True)
class Transform:
    """Stored inputs become a^(0): each number becomes one of the network's dtype, then it is multiplied by scale."""

    scale: float = 1.0

    def applied(self, x: np.ndarray, dtype: DTypeLike) -> np.ndarray:
        """a^(0) of inputs x, in rows as x has them: a new array of the dtype."""
        return np.multiply(x, self.factor(dtype), dtype=dtype, casting="unsafe", order="C")

    def apply(self, x: np.ndarray) -> None:
        """The same in place, for inputs that have become numbers of the network's dtype."""
        if self.scale != 1:
            np.multiply(x, self.factor(x.dtype), out=x)

    def factor(self, dtype: DTypeLike) -> Any:
        """The scale as a number of the network's dtype."""
        return np.asarray(self.scale, dtype)[()]


def transform_of(config: DataConfig) -> Transform:
    """What a config's [data] says is done to inputs."""
    return Transform(config.scale)
