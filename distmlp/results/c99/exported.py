"""What the three files of a network as C say of it."""

from dataclasses import dataclass

import numpy as np

from distmlp.config.sections import Config
from distmlp.data.transform import Transform
from distmlp.results.c99.functions import real_of

#: Samples that the exported function computes together, where their activations fit into this many bytes of stack.
_TILE, _STACK = 4, 2**18


@dataclass(frozen=True)
class Exported:
    """What the three files say of a network.

    name: what the files' and the functions' names begin with.  classes: whether it tells classes apart.
    transform: what is done to inputs, and to outputs.  input_names, target_names: what inputs, and classes or outputs, are called,
    empty where nothing says.
    """

    name: str
    config: Config
    v: np.ndarray
    v_sha256: str
    classes: bool
    transform: Transform
    input_names: list[str]
    target_names: list[str]

    @property
    def layers(self) -> tuple[int, ...]:
        return tuple(self.config.network.layers)

    @property
    def real(self) -> str:
        return real_of(np.dtype(self.config.dtype))

    @property
    def columns(self) -> int:
        """Raw inputs of a sample."""
        return self.layers[0] - self.transform.width(0)

    @property
    def input(self) -> str:
        """C's type of raw inputs: double where they are scaled by column or filled, as these are float64's."""
        return self.real if self.transform.is_plain else "double"

    @property
    def answer(self) -> str:
        """C's type of what NAME_predict gives: double where it is in the targets' own units."""
        return self.real if self.transform.targets is None else "double"

    @property
    def names_classes(self) -> bool:
        """Whether the classes have names."""
        return self.classes and len(self.target_names) == max(2, self.layers[-1])

    @property
    def panel(self) -> int:
        """Neurons computed together: two registers of 256 bits."""
        return 16 if self.config.dtype == "float32" else 8

    @property
    def tile(self) -> int:
        """Samples computed together, as far as the stack takes them."""
        bytes_of_one = 2 * max(self.layers) * np.dtype(self.config.dtype).itemsize
        return _TILE if _TILE * bytes_of_one <= _STACK else 1

    @property
    def sigma(self) -> list[str]:
        """The activation of each layer from the first hidden one on, as C names it."""
        network = self.config.network
        names = [*[network.activation] * (len(self.layers) - 2), network.output]
        return [name.replace("-", "_") for name in names]
