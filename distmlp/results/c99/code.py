"""A trained network as a C99 file, its header, and a Fortran module that calls it.

The C file holds v and the arithmetic of docs/arithmetic.md, so it gives the bits of `distmlp predict`; its
function NAME_check says whether it does where it was compiled.  functions.c, header.h and module.f90 are its parts.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from distmlp.config.sections import Config
from distmlp.data.transform import transform_of
from distmlp.errors import InputError
from distmlp.mathematics.layout import Layout
from distmlp.results.c99.functions import array, functions, number, real_of, sections
from distmlp.results.inference import network_outputs

#: Links of a chain (docs/arithmetic.md).
_CHAIN = 256

#: Samples that the exported function computes together, where their activations fit into this many bytes of stack.
_TILE, _STACK = 4, 2**18

_PARTS = Path(__file__).parent

#: Samples that NAME_check computes: a tile, and one alone.
_CHECKED = 5


@dataclass(frozen=True)
class Exported:
    """What the three files say of a network.

    name: what the files' and the functions' names begin with.  classes: whether it tells classes apart.
    """

    name: str
    config: Config
    v: np.ndarray
    v_sha256: str
    classes: bool

    @property
    def layers(self) -> tuple[int, ...]:
        return tuple(self.config.network.layers)

    @property
    def real(self) -> str:
        return real_of(np.dtype(self.config.dtype))

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
        """The activation of each layer from the first hidden one on."""
        network = self.config.network
        return [*[network.activation] * (len(self.layers) - 2), network.output]


def files_of(network: Exported) -> dict[str, str]:
    """{file name: text} of the C file, the header and the Fortran module.

    Raises InputError where the network's name cannot be one in C and Fortran.
    """
    name = network.name
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,29}", name):
        raise InputError(
            f"{name}.c: the functions are named after the file, but {name!r} is no name in C and Fortran; "
            "expected letters, digits and _, a letter first, at most 30 in all"
        )
    return {
        f"{name}.c": _source(network),
        f"{name}.h": _filled("header.h", network),
        f"{name}_fortran.f90": _filled("module.f90", network),
    }


def in_panels(w: np.ndarray, panel: int) -> np.ndarray:
    """A layer's weights (n, m) in the order in which the C reads them: panel by panel, in each input by input."""
    parts, j = [], 0
    while j < len(w):
        width = panel
        while width > len(w) - j:
            width //= 2
        parts.append(w[j : j + width].T.ravel())
        j += width
    return np.concatenate(parts)


def _source(network: Exported) -> str:
    real, layers = network.real, network.layers
    w, b = Layout(layers).views(network.v)
    found = {name: code.replace("NAME", network.name) for name, (_, code) in sections().items()}
    tensors = [
        array(f"w{l}", in_panels(w[l], network.panel), real) + array(f"b{l}", b[l], real)
        for l in range(1, len(layers))
    ]
    parts = [
        f"/* Written by distmlp; {network.name}.h says what it is. */\n\n{found['preamble']}",
        _macros(network),
        functions(network.sigma, np.dtype(network.config.dtype)),
        *tensors,
        _pass(network),
        found["predict"],
        *([found["classes"]] if network.classes else []),
        _expected(network),
        found["check"],
    ]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def _macros(network: Exported) -> str:
    """The types, sizes and constants that all parts of the C file share."""
    single, scale = (
        network.real == "float",
        transform_of(network.config.data).factor(network.config.dtype),
    )
    macros = {
        "FMA": "fmaf" if single else "fma",
        "FABS": "fabsf" if single else "fabs",
        "COPYSIGN": "copysignf" if single else "copysign",
        "INPUTS": network.layers[0],
        "OUTPUTS": network.layers[-1],
        "SCALE": f"({number(scale, network.real)})",
        "CHAIN": _CHAIN,
        "PANEL": network.panel,
        "TILE": network.tile,
        "WIDEST": max(network.layers),
    }
    types = f"typedef {network.real} real;\ntypedef uint{32 if single else 64}_t word;\n"
    return types + "".join(f"#define {key} {value}\n" for key, value in macros.items())


def _pass(network: Exported) -> str:
    """The C function that takes one sample or a tile of them through all layers."""
    layers, at = network.layers, ("even", "odd")
    lines = []
    for l, sigma in enumerate(network.sigma, start=1):
        below, here = at[(l - 1) % 2], at[l % 2]
        lines.append(f"all_layer(tile, w{l}, b{l}, {layers[l]}, {layers[l - 1]}, {below}, {here});")
        if sigma != "identity":
            lines.append("for (size_t r = 0; r < rows; r++)")
            lines.append(f"    all_{sigma}({here} + r * WIDEST, {layers[l]});")
    body = "\n    ".join(lines)
    return f"""\
/* The outputs of one row, or of a tile of rows. */
static void pass(int tile, size_t rows, const real *x, real *a)
{{
    real even[TILE * WIDEST], odd[TILE * WIDEST];
    size_t row = 0;
    do
        for (size_t k = 0; k < INPUTS; k++)
            even[row * WIDEST + k] = x[row * INPUTS + k] * SCALE;
    while (++row < rows);
    {body}
    for (size_t r = 0; r < rows; r++)
        memcpy(a + r * OUTPUTS, {at[(len(layers) - 1) % 2]} + r * WIDEST, OUTPUTS * sizeof(real));
}}
"""


def _expected(network: Exported) -> str:
    """What NAME_check compares with: the outputs that `distmlp predict` gives for a few made-up rows."""
    config, dtype = network.config, np.dtype(network.config.dtype)
    with np.errstate(all="ignore"):
        unit = dtype.type(1) / transform_of(config.data).factor(dtype)
    if not np.isfinite(unit):
        unit = dtype.type(1)
    r, k = np.ogrid[:_CHECKED, : network.layers[0]]
    x = ((37 * k + 11 * r) % 64 - 32).astype(dtype) * dtype.type(1 / 32) * unit
    a = network_outputs(config, network.v, x, transform_of(config.data))
    return f"#define CHECKED {_CHECKED}\n#define UNIT ({number(unit, network.real)})\n" + array(
        "expected", a, network.real
    )


def _filled(file: str, network: Exported) -> str:
    """The header or the Fortran module; what is between @classes and @end is for networks with classes."""
    text = (_PARTS / file).read_text(encoding="utf-8")
    kept = r"\1" if network.classes else ""
    text = re.sub(r"^@classes\n(.*?)^@end\n", kept, text, flags=re.MULTILINE | re.DOTALL)
    size = np.dtype(network.config.dtype).itemsize
    words = {
        "V_SHA256": network.v_sha256,
        "INPUT_COUNT": str(network.layers[0]),
        "OUTPUT_COUNT": str(network.layers[-1]),
        "LAYERS": "-".join(map(str, network.layers)),
        "STACK": f"{2 * network.tile * max(network.layers) * size:,}",
        "REAL_KIND": f"c_{network.real}",
        "REAL": network.real,
        "UPPER": network.name.upper(),
        "NAME": network.name,
    }
    # a name may go on after _, as in NAME_predict; UPPER_V_SHA256 is the header's own
    names = "|".join(words)
    return re.sub(rf"(?<![A-Za-z_])({names})(?![A-Z])", lambda found: words[found[1]], text)
