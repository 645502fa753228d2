"""Rows of a window become the network's numbers, a block at a time: in the order of the steps, transformed, checked."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from distmlp.data.dataset import DataSet
from distmlp.data.sample_weights import Weighting
from distmlp.data.transform import Transform
from distmlp.data.windows import Window
from distmlp.errors import InputError
from distmlp.mathematics.layout import aligned


@dataclass
class Block:
    """Memory for rows, one after another: x (rows, d), y (rows, outputs), labels and weights (rows,) or None."""

    x: np.ndarray
    y: np.ndarray
    labels: np.ndarray | None
    weights: np.ndarray | None


class Conversion:
    """What is done to the rows of a set on the way to a network with so many outputs.

    smoothing: targets are multiplied by the first, and the second is added.  looks: whether inputs are looked through
    for what is not finite.  weighting: what rows count.
    """

    def __init__(
        self,
        data: DataSet,
        transform: Transform,
        outputs: int,
        dtype: DTypeLike,
        smoothing: tuple[float, float] | None,
        looks: bool,
        weighting: Weighting | None = None,
    ) -> None:
        self._data, self._transform, self._outputs = data, transform, outputs
        self._weighting = weighting
        self._dtype, self._smoothing, self._looks = np.dtype(dtype), smoothing, looks

    def block(self, rows: int) -> Block:
        """Memory for so many rows."""
        return Block(
            x=aligned((rows, self._transform.width(self._data.width)), self._dtype),
            y=np.empty((rows, self._outputs), self._dtype),
            labels=np.empty(rows, np.int64) if self._data.classes else None,
            weights=None if self._weighting is None else np.empty(rows, self._dtype),
        )

    def make(self, window: Window, shards: slice, columns: slice, size: int, made: Block) -> None:
        """Some of a window's shards and of its columns become the first rows of `made`, step after step.

        size: of a micro-batch.  Raises InputError where an input is not finite.
        """
        chosen = _by_steps(window.order[shards, columns], size)
        if not len(chosen):
            return
        x, y = made.x[: len(chosen)], window.y.take(chosen, axis=0)
        doubtful = not self._transform.take(window.x, chosen, x, self._looks)
        desired = self._transform.desired(self._data, y, self._outputs, self._dtype)
        made.y[: len(chosen)] = desired
        if self._smoothing:
            factor, shift = np.array(self._smoothing, self._dtype)
            made.y[: len(chosen)] *= factor
            made.y[: len(chosen)] += shift
        if made.labels is not None:
            made.labels[: len(chosen)] = y
        if self._weighting is None and not doubtful:
            return
        rows = _by_steps(window.rows[shards, columns], size)
        if self._weighting is not None and made.weights is not None:
            labels = None if made.labels is None else made.labels[: len(rows)]
            made.weights[: len(rows)] = self._weighting.of(rows, labels, self._dtype)
        if doubtful:
            self._check(x, rows)

    def _check(self, x: np.ndarray, rows: np.ndarray) -> None:
        bad = ~np.isfinite(x).all(axis=1)
        if bad.any():
            raise InputError(
                f"{self._data.located(int(rows[bad].min()))}: its inputs hold a NaN or an infinity, or become one as {self._dtype} times "
                "data.scale; data.scan = true finds it before training"
            )


def _by_steps(order: np.ndarray, size: int) -> np.ndarray:
    """Each shard's rows, (s, rows), as one step's micro-batches after another's: `size` rows a shard.

    The epoch's last step may have fewer.
    """
    s, rows = order.shape
    whole = rows // size * size
    steps = order[:, :whole].reshape(s, -1, size).swapaxes(0, 1)
    if whole == rows:
        return steps.ravel()
    return np.concatenate([steps.ravel(), order[:, whole:].ravel()])
