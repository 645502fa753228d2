"""The C functions of exported networks: their sections in functions.c, and the constants that they need."""

import re
from pathlib import Path
from textwrap import dedent

import numpy as np

from distmlp.kernels.numpy_functions import CONSTANTS

#: What the C calls each activation that works on one number alone; a config has - for _.
_FUNCTIONS = {
    "sigmoid": "sigmoid",
    "tanh": "hyperbolic_tangent",
    "relu": "relu",
    "softplus": "softplus",
    "leaky_relu": "leaky_relu",
    "elu": "elu",
    "gelu": "gelu",
    "silu": "silu",
}


def real_of(dtype: np.dtype) -> str:
    """C's name of a dtype."""
    return "float" if dtype == np.float32 else "double"


def number(x: np.floating, real: str) -> str:
    """A finite number as a C constant, every bit of it."""
    return float(x).hex() + ("f" if real == "float" else "")


def array(name: str, numbers: np.ndarray, real: str, kind: str = "real") -> str:
    """A C array of these numbers.  real: float or double; kind: what the file calls it."""
    words = [number(x, real) for x in numbers.ravel()]
    lines = [", ".join(words[i : i + 6]) for i in range(0, len(words), 6)]
    return f"static const {kind} {name}[] = {{\n    " + ",\n    ".join(lines) + "};\n"


def _constants(dtype: np.dtype) -> str:
    """The constants of the elementary functions, as numpy_functions.py has them."""
    C, suffix = CONSTANTS[dtype], "f" if real_of(dtype) == "float" else ""
    numbers = {
        "ROUND": C.round,
        "LOG2E": C.log2e,
        "LN2": C.ln2,
        "LN2_REST": C.ln2_rest,
        "LEAST_EXP": C.least_exp,
        "SATURATED_SIGMOID": C.saturated_sigmoid,
        "SATURATED_TANH": C.saturated_tanh,
        "SATURATED_EXPM1": C.saturated_expm1,
        "POWER_OF_OFFSET": 2.0**-C.offset,
    }
    whole = {
        "MANTISSA": C.mantissa,
        "BIAS": C.bias,
        "OFFSET": C.offset,
        "EXP_COUNT": len(C.exp),
        "LOG_COUNT": len(C.log),
    }
    return "".join(
        f"#define {name} ({value.hex()}{suffix})\n" for name, value in numbers.items()
    ) + "".join(f"#define {name} {value}\n" for name, value in whole.items())


def sections() -> dict[str, tuple[list[str], str]]:
    """{name: (what it needs, C)} of functions.c."""
    text = Path(__file__).with_name("functions.c").read_text(encoding="utf-8")
    parts = re.split(r"^/\*\*\* (\w+):([\w ]*)\*\*\*/\n", text, flags=re.MULTILINE)[1:]
    return {
        name: (needs.split(), code)
        for name, needs, code in zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    }


def _needed(names: list[str]) -> list[str]:
    """The sections that some activations need, each after those that it needs."""
    found = sections()
    order: list[str] = []

    def add(name: str) -> None:
        for needed in found[name][0]:
            add(needed)
        if name not in order:
            order.append(name)

    for name in names:
        add(name)
    return order


def functions(sigma: list[str], dtype: np.dtype) -> str:
    """The C of some activations and of the products, with all that they need, for numbers of a dtype."""
    names, real = sorted(set(sigma) - {"identity"}), real_of(dtype)
    order = _needed(names)
    found = sections()
    parts: list[str] = []
    if "exp_parts" in order:
        C = CONSTANTS[dtype]
        parts += [_constants(dtype), array("C_EXP", np.array(C.exp), real)]
        if "log1p_of_fraction" in order:
            parts.append(array("C_LOG", np.array(C.log), real))
        parts.append("\n")
    parts += [found[name][1] for name in order]
    for name in names:
        if name in _FUNCTIONS:
            parts.append(
                dedent(f"""\
                FULL_WIDTH static void all_{name}(real *z, size_t n)
                {{
                    for (size_t j = 0; j < n; j++)
                        z[j] = {_FUNCTIONS[name]}(z[j]);
                }}

                """)
            )
        else:
            parts.append(f"#define all_{name} {name}\n\n")
    return "".join([*parts, found["products"][1], "\n"])
