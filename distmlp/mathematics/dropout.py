"""Dropout from counters: which activations are 0 in a step is a function of the seed, the step and the micro-batch.

So any rank drops the same ones (Srivastava et al., JMLR 15, 2014, in the form that scales while it trains: what stays is
divided by the part that stays).  A micro-batch draws 16 bits for each entry, layer after layer, each layer from a whole word
on; an entry stays where its draw is below 65536 times that part, rounded.
"""

from dataclasses import dataclass
from itertools import accumulate, pairwise, starmap

import numpy as np

from distmlp.kernels import choice
from distmlp.mathematics.randomness import Purpose, draw

_DRAWS = 2**16


@dataclass(frozen=True)
class Rate:
    """A part p of the activations that is dropped, as the draws have it.

    keep: the draws, of 65536, with which an entry stays.  scale: what is left is multiplied by it.
    """

    keep: int
    scale: float


def rate(p: float) -> Rate:
    """p is rounded to a multiple of 2^-16, and below 1."""
    keep = max(1, round((1.0 - p) * _DRAWS))
    return Rate(keep, _DRAWS / keep)


@dataclass(frozen=True)
class Dropout:
    """What is dropped of the input and of each hidden layer: parts from 0 to less than 1."""

    seed: int
    hidden: float = 0.0
    inputs: float = 0.0

    def layers(self, N: int) -> tuple[int, ...]:
        """The layers of which something is dropped, 0 the input; the last one is N."""
        return (*((0,) if self.inputs else ()), *(range(1, N) if self.hidden else ()))


class Drawn:
    """The random words of a pass, which forward and backward use alike; the memory of one pass serves the next.

    neurons: of all layers.  layers: those of which something is dropped.
    """

    def __init__(self, dropout: Dropout, neurons: tuple[int, ...]) -> None:
        self._seed, self._neurons = dropout.seed, neurons
        self.layers = dropout.layers(len(neurons) - 1)
        self._rates = {l: rate(dropout.hidden if l else dropout.inputs) for l in self.layers}
        self._memory = np.empty(0, np.uint64)
        self._parts_of: dict[int, dict[int, slice]] = {}
        self._words: np.ndarray
        self._parts: dict[int, slice]

    def draw(self, step: int, shard: int, s: int, M: int) -> None:
        """Draws for s micro-batches of M samples.  step: of the training.  shard: the number of the first micro-batch."""
        if M not in self._parts_of:
            counts = [-(-M * self._neurons[l] // 4) for l in self.layers]
            places = pairwise(accumulate(counts, initial=0))
            self._parts_of[M] = dict(zip(self.layers, starmap(slice, places), strict=True))
        self._parts = self._parts_of[M]
        words = max((part.stop for part in self._parts.values()), default=0)
        if self._memory.size < s * words:
            self._memory = np.empty(s * words, np.uint64)
        self._words = self._memory[: s * words].reshape(s, words)
        draw(self._seed, Purpose.DROPOUT, (step, shard), self._words)

    def drop(self, l: int, x: np.ndarray, out: np.ndarray) -> None:
        """out = x, (s, M, neurons of l), with the dropped entries 0 and the others scaled; x may be out."""
        of, part = self._rates[l], self._parts[l]
        for i, words in enumerate(self._words):
            choice.drop(x[i], words[part], of.keep, of.scale, out[i])
