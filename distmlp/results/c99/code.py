"""A trained network as a C99 file, its header, and a Fortran module that calls it.

The C file holds v and the arithmetic of docs/arithmetic.md, so it gives the bits of `distmlp predict`; its
function NAME_check says whether it does where it was compiled.  functions.c, header.h and module.f90 are its parts.
"""

import re

import numpy as np

from distmlp.data.transform import Transform
from distmlp.errors import InputError
from distmlp.mathematics.layout import Layout
from distmlp.results.c99.exported import Exported
from distmlp.results.c99.functions import array, functions, number, sections
from distmlp.results.c99.interfaces import class_names, filled
from distmlp.results.inference import network_outputs

#: Links of a chain (docs/arithmetic.md).
_CHAIN = 256

#: Samples that NAME_check computes: a tile, and one alone.
_CHECKED = 5


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
        f"{name}.h": filled("header.h", network),
        f"{name}_fortran.f90": filled("module.f90", network),
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
        _transform_arrays(network),
        _pass(network),
        found["predict"],
        *([found["classes"]] if network.classes else []),
        *([class_names(network)] if network.names_classes else []),
        _expected(network),
        found["check"],
    ]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def _macros(network: Exported) -> str:
    """The types, sizes and constants that all parts of the C file share."""
    single = network.real == "float"
    macros = {
        "FMA": "fmaf" if single else "fma",
        "FABS": "fabsf" if single else "fabs",
        "COPYSIGN": "copysignf" if single else "copysign",
        "INPUTS": network.columns,
        "OUTPUTS": network.layers[-1],
        "SCALE": f"({number(network.transform.factor(network.config.dtype), network.real)})",
        "CHAIN": _CHAIN,
        "PANEL": network.panel,
        "TILE": network.tile,
        "WIDEST": max(network.layers),
    }
    types = {
        "real": network.real,
        "input": network.input,
        "answer": network.answer,
        "word": f"uint{32 if single else 64}_t",
    }
    lines = [f"typedef {kind} {name};\n" for name, kind in types.items()]
    return "".join(lines + [f"#define {key} {value}\n" for key, value in macros.items()])


def _transform_arrays(network: Exported) -> str:
    """What inputs and outputs are scaled by, column by column."""
    t, parts = network.transform, []
    for name, affine in (("inputs", t.inputs), ("targets", t.targets)):
        if affine is not None:
            parts.append(array(f"{name}_shift", affine.shift, "double", "double"))
            parts.append(array(f"{name}_divisor", affine.divisor, "double", "double"))
    if t.fill is not None:
        parts.append(array("fill", t.fill, "double", "double"))
    if t.indicators is not None and len(t.indicators):
        columns = ", ".join(map(str, t.indicators))
        parts.append(f"static const size_t indicators[] = {{{columns}}};\n")
    return "".join(parts)


def _number_of_input(t: Transform) -> str:
    """The C expression of a(0)'s number from the raw input x[k] of a row."""
    value = "x[k]"
    if t.fill is not None:
        value = "(x[k] != x[k] ? fill[k] : x[k])"
    if t.inputs is not None:
        value = f"(({value} - inputs_shift[k]) / inputs_divisor[k])"
    return f"(real){value} * SCALE"


def _pass(network: Exported) -> str:
    """The C function that takes one sample or a tile of them through all layers."""
    layers, at, t = network.layers, ("even", "odd"), network.transform
    lines = []
    for l, sigma in enumerate(network.sigma, start=1):
        below, here = at[(l - 1) % 2], at[l % 2]
        lines.append(f"all_layer(tile, w{l}, b{l}, {layers[l]}, {layers[l - 1]}, {below}, {here});")
        if sigma != "identity":
            lines.append("for (size_t r = 0; r < rows; r++)")
            lines.append(f"    all_{sigma}({here} + r * WIDEST, {layers[l]});")
    body = "\n    ".join(lines)
    flags = "" if t.indicators is None else "\n" + " " * 8 + _indicators(len(t.indicators))
    last = at[(len(layers) - 1) % 2]
    answer = f"{last}[r * WIDEST + j]"
    if t.targets is not None:
        answer = f"(double){answer} * targets_divisor[j] + targets_shift[j]"
    return f"""\
/* The outputs of one row, or of a tile of rows. */
static void pass(int tile, size_t rows, const input *x, answer *a)
{{
    real even[TILE * WIDEST], odd[TILE * WIDEST];
    size_t row = 0;
    do {{
        for (size_t k = 0; k < INPUTS; k++)
            even[row * WIDEST + k] = {_number_of_input(t)};{flags}
        x += INPUTS;
    }} while (++row < rows);
    {body}
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < OUTPUTS; j++)
            a[r * OUTPUTS + j] = {answer};
}}
"""


def _indicators(count: int) -> str:
    """The C line that tells the network which inputs of a row were missing."""
    if not count:
        return ""
    return (
        f"for (size_t i = 0; i < {count}; i++)\n            "
        "even[row * WIDEST + INPUTS + i] = x[indicators[i]] != x[indicators[i]];"
    )


def _expected(network: Exported) -> str:
    """What NAME_check compares with: the outputs that `distmlp predict` gives for a few made-up rows."""
    t, dtype = network.transform, np.dtype(network.config.dtype)
    r, k = np.ogrid[:_CHECKED, : network.columns]
    u = (37 * k + 11 * r) % 64 - 32
    code = "(input)((37LL * k + 11 * row) % 64 - 32) * (input)0x1p-5"
    if t.is_plain:
        with np.errstate(all="ignore"):
            unit = dtype.type(1) / t.factor(dtype)
        unit = unit if np.isfinite(unit) else dtype.type(1)
        x = u.astype(dtype) * dtype.type(1 / 32) * unit
        code += f" * {number(unit, network.real)}"
    else:
        x = u / 32
        if t.inputs is not None:
            x = t.inputs.undone(x)
            code += " * inputs_divisor[k] + inputs_shift[k]"
        if t.fill is not None:
            x = np.where((r + k) % 7 == 3, np.nan, x)
            code = f"(row + k) % 7 == 3 ? (input)NAN : {code}"
    a = network_outputs(network.config, network.v, x, t)
    return f"""\
#define CHECKED {_CHECKED}
{array("expected", a, network.answer, "answer")}
/* Input k of a row that distmlp has computed the outputs of. */
static input known_input(int row, int k)
{{
    return {code};
}}
"""
