"""What is done to a set's rows on the way to the network, and to its outputs on the way back, wherever they go.

A missing value, which is a NaN, becomes the training mean; then inputs are scaled column by column, or all by one
factor.  Targets are scaled column by column, and outputs back into the targets' own units.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from distmlp.config.sections import DataConfig
from distmlp.data.dataset import DataSet, targets_as
from distmlp.errors import InputError
from distmlp.kernels import choice, numpy_rows

#: The types of rows that the compiled kernels take; float16 is not among them.
_TAKEN = "?bBhHiIlLqQfd"


@dataclass(frozen=True, eq=False)
class Affine:
    """(x − shift) / divisor by column, in float64; both are (columns,)."""

    shift: np.ndarray
    divisor: np.ndarray

    def applied(self, x: np.ndarray) -> np.ndarray:
        """x (…, columns) float64, scaled."""
        return (x - self.shift) / self.divisor

    def undone(self, x: np.ndarray) -> np.ndarray:
        """What was scaled, in its own units: float64."""
        return x.astype(np.float64) * self.divisor + self.shift


@dataclass(frozen=True)
class Transform:
    """Stored rows become a^(0) and y.

    scale: a factor for all inputs, in the network's dtype.  inputs, targets: by column.  fill: (columns,), what missing
    inputs become, None where they are refused.  indicators: the columns, whole numbers, that have another column
    behind the inputs which is 1 where they were missing.
    """

    scale: float = 1.0
    inputs: Affine | None = None
    targets: Affine | None = None
    fill: np.ndarray | None = None
    indicators: np.ndarray | None = None

    @property
    def is_plain(self) -> bool:
        """Whether inputs only become numbers of the network's dtype, times the scale."""
        return self.inputs is None and self.fill is None

    def width(self, columns: int) -> int:
        """Inputs of the network for so many columns of the set."""
        return columns + (0 if self.indicators is None else len(self.indicators))

    def applied(self, x: np.ndarray, dtype: DTypeLike) -> np.ndarray:
        """a^(0), (rows, width), of inputs x, (rows, columns): a new array of the dtype."""
        made = np.empty((len(x), self.width(x.shape[1])), dtype)
        self.take(x, np.arange(len(x)), made, looks=False)
        return made

    def take(self, x: np.ndarray, order: np.ndarray, out: np.ndarray, looks: bool) -> bool:
        """out, (k, width), = a^(0) of the rows of x, (rows, columns), in an order, (k,) int64.

        looks: whether somebody wants to know if all is finite, which is returned; True where nobody does.
        """
        in_place = x.flags.c_contiguous and x.dtype.isnative and x.dtype.char in _TAKEN
        take_rows = choice.take_rows if in_place else numpy_rows.take_rows
        shift, divisor = (self.inputs.shift, self.inputs.divisor) if self.inputs else (None, None)
        finite = take_rows(x, order, self.scale, shift, divisor, self.fill, self.indicators, out)
        return finite or not looks

    def factor(self, dtype: DTypeLike) -> Any:
        """The scale as a number of the network's dtype."""
        return np.asarray(self.scale, dtype)[()]

    def desired(self, data: DataSet, y: np.ndarray, outputs: int, dtype: DTypeLike) -> np.ndarray:
        """y of a set's stored targets, (rows, outputs): what the network is to give."""
        if self.targets is None:
            return targets_as(data, y, outputs, dtype)
        return self.targets.applied(targets_as(data, y, outputs, np.float64)).astype(dtype)

    def answers(self, a: np.ndarray) -> np.ndarray:
        """Outputs a (…, outputs) in the targets' own units: float64 where these were scaled."""
        return a if self.targets is None else self.targets.undone(a)

    def arrays(self) -> dict[str, np.ndarray]:
        """What a checkpoint keeps of it, beside the config: float64 arrays by name."""
        found: dict[str, np.ndarray | None] = {"fill": self.fill, "indicators": self.indicators}
        for name, affine in (("inputs", self.inputs), ("targets", self.targets)):
            if affine is not None:
                found |= {f"{name}_shift": affine.shift, f"{name}_divisor": affine.divisor}
        return {
            name: np.asarray(array, np.float64)
            for name, array in found.items()
            if array is not None
        }


def transform_of(config: DataConfig, arrays: Mapping[str, np.ndarray] | None = None) -> Transform:
    """What a config's [data] says is done to rows; arrays: what `Transform.arrays` gave where the set decides it.

    Raises InputError where the config needs them and they are not there.
    """
    arrays = arrays or {}

    def affine(name: str, wanted: bool) -> Affine | None:
        if not wanted:
            return None
        return Affine(_taken(arrays, f"{name}_shift"), _taken(arrays, f"{name}_divisor"))

    indicators = arrays.get("indicators")
    return Transform(
        config.scale,
        affine("inputs", config.scales_inputs),
        affine("targets", config.scales_targets),
        _taken(arrays, "fill") if config.fills else None,
        None if indicators is None else indicators.astype(np.int64),
    )


def _taken(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    if name not in arrays:
        raise InputError(f"the checkpoint lacks {name}, which its config's [data] needs")
    return arrays[name]


def kept_dtype(config: DataConfig, dtype: DTypeLike) -> np.dtype:
    """What rows are at most rounded to before they are transformed: float64 where that is done in float64."""
    wide = config.scales_inputs or config.scales_targets or config.fills
    return np.dtype(np.float64 if wide else dtype)
