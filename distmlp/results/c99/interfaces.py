"""The header and the Fortran module of a network as C, and what its classes are called."""

import re
from pathlib import Path
from textwrap import fill

import numpy as np

from distmlp.results.c99.exported import Exported


def _escaped(text: str) -> str:
    """Text as it may stand in a C string, UTF-8 by its bytes."""
    plain = (
        chr(b) if 32 <= b < 127 and chr(b) not in '"\\?*' else f"\\{b:03o}" for b in text.encode()
    )
    return "".join(plain)


def _commented(text: str) -> str:
    """Text as it may stand in a comment, where people read it: what cannot end one stays as it is."""
    return "".join(c if c.isprintable() and c not in '"\\?*' else _escaped(c) for c in text)


def class_names(network: Exported) -> str:
    """The C function NAME_class_name."""
    names = ", ".join(f'"{_escaped(name)}"' for name in network.target_names)
    return f"""\
const char *{network.name}_class_name(int number)
{{
    static const char *const names[] = {{{names}}};
    return number < 0 || number >= {len(network.target_names)} ? 0 : names[number];
}}
"""


def _called(network: Exported) -> str:
    """What the header says of the names of inputs and outputs."""
    lines = [
        f"{what}, in order: {', '.join(map(_commented, names))}."
        for what, names in (
            ("Inputs", network.input_names),
            ("Classes" if network.classes else "Outputs", network.target_names),
        )
        if names
    ]
    if network.transform.fill is not None:
        lines.append("An input that is missing is a NaN.")
    category = next((name for name in network.input_names if "=" in name), None)
    if category:
        lines.append(
            f"Of a category, as in {_commented(category)}, the input of its value is 1 and the others are 0; where it is missing, all are 0."
        )
    return "\n".join(
        fill(line, 110, initial_indent="   ", subsequent_indent="   ") for line in lines
    )


def filled(file: str, network: Exported) -> str:
    """The header or the Fortran module; between @classes and @end stands what networks with classes have, for @named with names."""
    text = (Path(__file__).parent / file).read_text(encoding="utf-8")
    for mark, there in (("classes", network.classes), ("named", network.names_classes)):
        kept = r"\1" if there else ""
        text = re.sub(rf"^@{mark}\n(.*?)^@end\n", kept, text, flags=re.MULTILINE | re.DOTALL)
    size = np.dtype(network.config.dtype).itemsize
    words = {
        "V_SHA256": network.v_sha256,
        "CALLED": _called(network),
        "INPUT_COUNT": str(network.columns),
        "OUTPUT_COUNT": str(network.layers[-1]),
        "LAYERS": "-".join(map(str, network.layers)),
        "STACK": f"{2 * network.tile * max(network.layers) * size:,}",
        "ALL_KINDS": ", ".join(sorted({f"c_{network.input}", f"c_{network.answer}"})),
        "INPUT_KIND": f"c_{network.input}",
        "OUTPUT_KIND": f"c_{network.answer}",
        "INPUT_REAL": network.input,
        "OUTPUT_REAL": network.answer,
        "UPPER": network.name.upper(),
        "NAME": network.name,
    }
    # a name may go on after _, as in NAME_predict; UPPER_V_SHA256 is the header's own
    names = "|".join(words)
    return re.sub(rf"(?<![A-Za-z_])({names})(?![A-Z])", lambda found: words[found[1]], text)
