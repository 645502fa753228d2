"""The parameter vector v and its named parts (notes, section 3.3, "Define").

v is one flat vector of k entries: first every weight matrix w(1) … w(N), row-major, then every
bias vector b(1) … b(N).  w[l] and b[l] are views of v, so that an update of v is an update of the
network, and ∇C, the optimizer's state and the checkpoint share the one order.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import DTypeLike

from distmlp.mathematics.shards import deal

#: Bytes of a cache line, or of the widest registers.
LINE = 64


@dataclass(frozen=True)
class Layout:
    """Where each tensor of a network with these layers lies in v.

    layers: neurons per layer, the input first; N = len(layers) - 1.  Tensors are numbered in v's
    order: w(1) … w(N) are 0 … N-1, b(1) … b(N) are N … 2N-1.

    >>> layout = Layout((3, 4, 2))
    >>> layout.shapes
    ((4, 3), (2, 4), (4,), (2,))
    >>> layout.size
    26
    >>> w, b = layout.views(np.arange(layout.size))
    >>> w[2]
    array([[12, 13, 14, 15],
           [16, 17, 18, 19]])
    >>> b[2]
    array([24, 25])
    """

    layers: tuple[int, ...]

    @cached_property
    def N(self) -> int:
        """The last layer's number."""
        return len(self.layers) - 1

    @cached_property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of each tensor in v's order: w(l) is (n, m), b(l) is (n,)."""
        weights = [(n, m) for m, n in pairwise(self.layers)]
        biases = [(n,) for n in self.layers[1:]]
        return (*weights, *biases)  # notes: v = (w(1) ... w(N), b(1) ... b(N))

    @cached_property
    def slices(self) -> tuple[slice, ...]:
        """Each tensor's part of v, in v's order."""
        ends = np.cumsum([0, *(int(np.prod(shape)) for shape in self.shapes)]).tolist()
        return tuple(slice(start, stop) for start, stop in pairwise(ends))

    @property
    def size(self) -> int:
        """k, the number of parameters."""
        return self.slices[-1].stop

    def blocks(self, entries: int) -> list[list[range]]:
        """The neurons of each layer, index 0 that of w(1), in blocks whose weights have about so many entries.

        >>> Layout((3, 4, 2)).blocks(6)
        [[range(0, 2), range(2, 4)], [range(0, 2)]]
        """
        return [deal(n, min(n, max(1, round(n * m / entries)))) for m, n in pairwise(self.layers)]

    def parts(self, v: np.ndarray) -> list[np.ndarray]:
        """Each tensor's part of v, (k,), in v's order: flat views."""
        return [v[part] for part in self.slices]

    def views(self, v: np.ndarray) -> tuple[list, list]:
        """w and b as lists of views of v, indexed as in the notes: w[l], b[l], l = 1 … N (w[0] and b[0] are None).

        v: (k,) or anything laid out like it, such as ∇C.
        """
        tensors = [
            part.reshape(shape) for part, shape in zip(self.parts(v), self.shapes, strict=True)
        ]
        return [None, *tensors[: self.N]], [None, *tensors[self.N :]]


def aligned(shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
    """Like numpy's empty, but it begins with a cache line, so that no register's worth of a row of whole lines lies in two."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.empty(size + LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    return memory[start : start + size].view(dtype).reshape(shape)
