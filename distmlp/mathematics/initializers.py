"""The first v: a table of how far w and b are spread, and from which distribution.

| name           | w(l), an n × m matrix        | b(l)    |
|----------------|------------------------------|---------|
| normal         | N(0, 1)                      | N(0, 1) |
| scaled-normal  | N(0, 1/m)                    | 0       |
| he-normal      | N(0, 2/m), for ReLU          | 0       |
| he-uniform     | U(±√(6/m)), for ReLU         | 0       |
| glorot-normal  | N(0, 2/(n + m))              | 0       |
| glorot-uniform | U(±√(6/(n + m)))             | 0       |
| lecun-normal   | as scaled-normal             | 0       |
| lecun-uniform  | U(±√(3/m))                   | 0       |
| orthogonal     | rows or columns orthonormal  | 0       |

He et al., arXiv:1502.01852, eq. 10; Glorot and Bengio, AISTATS 2010, eq. 16; LeCun et al., Efficient BackProp, 1998,
section 4.6; Saxe et al., arXiv:1312.6120.
"""

import math

import numpy as np
from numpy.random import Philox
from numpy.typing import DTypeLike

from distmlp.mathematics.layout import Layout
from distmlp.mathematics.orthogonal import orthonormalize
from distmlp.mathematics.randomness import Purpose, normals, stream, uniform


def _normal(words: Philox, n: int, m: int) -> np.ndarray:
    return normals(words, n * m)


def _scaled_normal(words: Philox, n: int, m: int) -> np.ndarray:
    return normals(words, n * m) / math.sqrt(m)


def _he_normal(words: Philox, n: int, m: int) -> np.ndarray:
    return normals(words, n * m) * math.sqrt(2.0 / m)


def _he_uniform(words: Philox, n: int, m: int) -> np.ndarray:
    return uniform(words, n * m) * math.sqrt(6.0 / m)


def _glorot_normal(words: Philox, n: int, m: int) -> np.ndarray:
    return normals(words, n * m) * math.sqrt(2.0 / (n + m))


def _glorot_uniform(words: Philox, n: int, m: int) -> np.ndarray:
    return uniform(words, n * m) * math.sqrt(6.0 / (n + m))


def _lecun_uniform(words: Philox, n: int, m: int) -> np.ndarray:
    return uniform(words, n * m) * math.sqrt(3.0 / m)


def _orthogonal(words: Philox, n: int, m: int) -> np.ndarray:
    rows = normals(words, n * m).reshape(min(n, m), max(n, m))
    orthonormalize(rows)
    return (rows if n <= m else rows.T).reshape(-1)


def _zero(words: Philox, n: int) -> np.ndarray:
    return np.zeros(n)


def _normal_bias(words: Philox, n: int) -> np.ndarray:
    return normals(words, n)


INITIALIZERS = {
    "normal": (_normal, _normal_bias),
    "scaled-normal": (_scaled_normal, _zero),
    "he-normal": (_he_normal, _zero),
    "he-uniform": (_he_uniform, _zero),
    "glorot-normal": (_glorot_normal, _zero),
    "glorot-uniform": (_glorot_uniform, _zero),
    "lecun-normal": (_scaled_normal, _zero),
    "lecun-uniform": (_lecun_uniform, _zero),
    "orthogonal": (_orthogonal, _zero),
}


def initialize(layout: Layout, name: str, seed: int, dtype: DTypeLike) -> np.ndarray:
    """The first v, (k,) of dtype: drawn in float64, each tensor from a stream of its own, then rounded."""
    draw_weights, draw_biases = INITIALIZERS[name]
    v = np.empty(layout.size, dtype)
    for tensor, (part, shape) in enumerate(zip(layout.slices, layout.shapes, strict=True)):
        draw = draw_weights if len(shape) == 2 else draw_biases
        v[part] = draw(stream(seed, Purpose.INITIALIZE, tensor), *shape)
    return v
