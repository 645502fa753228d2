"""The networks that the benchmarks train, and the sets that they learn.

Needs numpy, and h5py where a file is written; neither distmlp nor MPI, so peers can be trained by an
environment of their own.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

#: By optimizer: the learning rate at which the networks below learn.
RATES = {"sgd": 0.5, "momentum": 0.02, "nesterov": 0.02, "adam": 0.001}
MOMENTUM = 0.9
#: No more samples of a set than this are different.
DIFFERENT = 65536


@dataclass(frozen=True)
class Case:
    """A network, how it is trained, and how many steps of it a round has.

    steps: about a second's on two cores of 2022.  activation: of the hidden layers.  output: softmax
    has the categorical cross-entropy for its cost; identity the notes' C on real targets; any other the
    notes' C on classes.  optimizer: a key of RATES.
    """

    layers: tuple[int, ...]
    batch: int
    steps: int
    activation: str = "sigmoid"
    output: str = "sigmoid"
    optimizer: str = "sgd"
    dtype: str = "float32"

    @property
    def name(self) -> str:
        return "-".join(map(str, self.layers))

    @property
    def kind(self) -> str:
        """What a table says of it, such as "batch 128, relu, softmax, adam, float32"."""
        words = (self.activation, self.output, self.optimizer, self.dtype)
        return f"batch {self.batch}, {', '.join(words)}"

    @property
    def cost(self) -> str:
        return "cross-entropy" if self.output == "softmax" else "mse"

    @property
    def is_regression(self) -> bool:
        return self.output == "identity"

    @property
    def rate(self) -> float:
        return RATES[self.optimizer]

    @property
    def momentum(self) -> float:
        return MOMENTUM if self.optimizer in ("momentum", "nesterov") else 0.0

    @property
    def warm_up(self) -> int:
        return max(3, self.steps // 20)

    @property
    def weights(self) -> int:
        return sum(m * n for m, n in pairwise(self.layers))

    @property
    def parameters(self) -> int:
        return self.weights + sum(self.layers[1:])

    @property
    def flop(self) -> int:
        """Of a step's products: forward, backward to every layer but the input, and the gradient."""
        return 2 * self.batch * (3 * self.weights - self.layers[0] * self.layers[1])

    def shortened(self, quick: bool) -> "Case":
        return replace(self, steps=max(3, self.steps // 20)) if quick else self


CASES = {
    case.name: case
    for case in (
        Case((784, 30, 10), 10, 6000),
        Case((784, 100, 10), 128, 900),
        Case((784, 512, 512, 10), 512, 40),
        Case((784, 2048, 2048, 10), 512, 8),
    )
}

#: Of the kinds that people train: few inputs and many, deep and shallow, small batches and large,
#: regression and classes, either dtype.
KINDS = {
    case.name: case
    for case in (
        Case((8, 64, 64, 1), 128, 5000, "tanh", "identity", "adam"),
        Case((16, 64, 32, 1), 32, 8000, "tanh", "identity", "adam", "float64"),
        Case((784, 300, 100, 10), 32, 1000, "relu", "softmax", "nesterov"),
        Case((64, 128, 128, 128, 128, 128, 10), 64, 1000, "tanh", "softmax", "momentum"),
        Case((784, 256, 128, 10), 128, 400, "relu", "softmax", "adam"),
        Case((2048, 256, 10), 256, 150, "relu", "softmax", "momentum"),
        Case((32, 256, 256, 256, 4), 256, 250, "relu", "identity", "adam"),
        Case((256, 512, 512, 64), 1024, 12, "relu", "identity", "momentum", "float64"),
    )
}

_WORDS = {
    "activation": ("sigmoid", "tanh", "relu"),
    "output": ("softmax", "identity"),
    "optimizer": tuple(RATES),
    "dtype": ("float32", "float64"),
}


def case(text: str) -> Case:
    """A case by its name, "784-30-10", or any "LAYERS@BATCH[@STEPS][@WORD]…", such as "8-5-1@32@100@tanh@identity@adam"."""
    for known in (CASES, KINDS):
        if text in known:
            return known[text]
    layers, batch, *words = text.split("@")
    found = Case(tuple(map(int, layers.split("-"))), int(batch), 100)
    for word in words:
        if word.isdigit():
            found = replace(found, steps=int(word))
            continue
        fields = [field for field, known in _WORDS.items() if word in known]
        if not fields:
            raise ValueError(f"{word!r} in {text!r} is not one of {sum(_WORDS.values(), ())}")
        found = replace(found, **{fields[0]: word})
    return found


# Sets


def images(
    random: np.random.Generator, rows: int, width: int, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """(rows, width) uint8 of which about a fifth is not zero, and (rows,) classes, which can be learnt from them.

    A class lights a third of the pixels of its own, a sample a part of those: MNIST's share of zeros.
    """
    lit = np.random.default_rng(0).random((classes, width)) < 1 / 3
    labels = random.integers(0, classes, rows, dtype=np.uint8)
    x = random.integers(1, 256, (rows, width), dtype=np.uint8)
    x *= lit[labels]
    x *= random.integers(0, 5, (rows, width), dtype=np.uint8) > 1
    return x, labels


def curves(rows: int, width: int, outputs: int) -> tuple[np.ndarray, np.ndarray]:
    """(rows, width) normal inputs and (rows, outputs) smooth functions of them, float64."""
    random = np.random.default_rng(2)
    inner = random.standard_normal((width, 16)) / width**0.5
    outer = random.standard_normal((16, outputs)) / 4
    x = random.standard_normal((rows, width))
    return x, np.tanh(2 * x @ inner) @ outer


def rows_of(case: Case) -> int:
    """Samples of the set with which one epoch is the steps of a round and those before it."""
    return case.batch * (case.steps + case.warm_up)


def floats_of(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """x, (rows, inputs) in the case's dtype, and y: classes, (rows,) int64, or targets in the case's dtype."""
    rows, width = rows_of(case), case.layers[0]
    different = min(rows, DIFFERENT)
    if case.is_regression:
        x, y = curves(different, width, case.layers[-1])
        y = y.astype(case.dtype)
    else:
        pixels, labels = images(np.random.default_rng(1), different, width, case.layers[-1])
        x, y = pixels / np.float32(256), labels.astype(np.int64)
    which = np.arange(rows) % different
    return x.astype(case.dtype)[which], y[which]


def write_floats_of(case: Case, path, x: np.ndarray, y: np.ndarray) -> None:
    """The set that `floats_of` gives at /train of an HDF5 file, as floats of the case's dtype."""
    import h5py

    with h5py.File(path, "w") as file:
        file["train/x"], file["train/y"] = x, y


def write_set(path, rows: int, width: int, classes: int, dtype="uint8", **storage) -> None:
    """A training set at /train of an HDF5 file, x as `images` or, for floats, those over 256.

    storage: h5py's, for x; chunks: their rows.  No more than 65536 samples are different.
    """
    import h5py

    random = np.random.default_rng(1)
    if "chunks" in storage:
        storage["chunks"] = (min(storage["chunks"], rows), width)
    with h5py.File(path, "w") as file:
        group = file.create_group("train")
        x = group.create_dataset("x", (rows, width), dtype, **storage)
        y = group.create_dataset("y", (rows,), "uint8")
        blocks = []
        for start in range(0, rows, 4096):
            if len(blocks) < DIFFERENT // 4096:
                pixels, labels = images(random, 4096, width, classes)
                blocks.append(
                    (pixels if x.dtype.kind in "iu" else pixels / np.float32(256), labels)
                )
            pixels, labels = blocks[start // 4096 % len(blocks)]
            part = slice(start, min(start + 4096, rows))
            x[part], y[part] = pixels[: part.stop - start], labels[: part.stop - start]


def write_set_of(case: Case, path) -> None:
    """As `write_set`, uint8 as MNIST is; a regression's as floats."""
    if case.is_regression:
        write_floats_of(case, path, *floats_of(case))
    else:
        write_set(path, rows_of(case), case.layers[0], case.layers[-1])
