"""The kernels that run: the compiled ones at the CPU's full width, or their numpy twins, which give the same bits.

Two environment variables restrict the choice.  DISTMLP_WIDTH (512, 256, 128 or plain) names the width of the
registers.  DISTMLP_COMPILED=0 has the numpy twins run.
"""

import os
import platform
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np

from distmlp.errors import InputError
from distmlp.kernels import (
    numpy_activations_and_costs,
    numpy_hashes,
    numpy_messages,
    numpy_products,
    numpy_random,
    numpy_rows,
    numpy_updates,
)

#: What DISTMLP_WIDTH may be.
WIDTHS = ("512", "256", "128", "plain")


_HOME = Path(__file__).parents[2]
#: Why nothing compiled runs, where that is so.  Python takes a checkout's sources wherever it is started in the checkout.
NOT_COMPILED = (
    f"nothing is compiled in the sources in {_HOME}, which are imported: start in a different directory, where the "
    "installed distmlp is, or pip install -e the sources, with a C compiler and Python's headers"
    if (_HOME / "pyproject.toml").exists()
    else "nothing is compiled here: install distmlp again, with a C compiler and Python's headers"
)
NOT_WANTED = "DISTMLP_COMPILED is 0"
OF_OTHER_SOURCES = (
    "the compiled kernels are of other sources than the Python files: install distmlp again"
)

#: What _kernels.c says too: one more whenever a compiled function is called differently from then on.
INTERFACE = 4


def _compiled() -> tuple[ModuleType | None, str]:
    """The compiled module, or None and why it does not run."""
    if os.environ.get("DISTMLP_COMPILED") == "0":
        return None, NOT_WANTED
    try:
        from distmlp.kernels import _kernels
    except ImportError:
        return None, NOT_COMPILED
    if getattr(_kernels, "INTERFACE", 0) != INTERFACE:
        return None, OF_OTHER_SOURCES
    return _kernels, ""


def _chosen() -> tuple[ModuleType | None, str, str | None]:
    """What _compiled gives, at the width that is asked for; and why that cannot be had, None if it can."""
    module, reason = _compiled()
    width = os.environ.get("DISTMLP_WIDTH") or None
    if width not in (None, *WIDTHS):
        return None, reason, f"DISTMLP_WIDTH is {width!r}, but expected one of {', '.join(WIDTHS)}."
    if module is None:
        refused = f"DISTMLP_WIDTH is {width}, but {reason}." if width else None
        return None, reason, refused
    if width is not None and width not in module.widths():
        refused = (
            f"DISTMLP_WIDTH is {width}, but this CPU has no kernels of that width; "
            f"it has {', '.join(module.widths())}."
        )
        return None, reason, refused
    module.use(width)
    return module, reason, None


compiled, WHY_IN_NUMPY, _refused = _chosen()


def check() -> None:
    """Raises InputError where DISTMLP_WIDTH asks for what this CPU lacks.

    Importing does not raise it: all ranks must be there before one of them says it.
    """
    if _refused:
        raise InputError(_refused)


def slowness() -> str | None:
    """What people should know of the speed: None where something compiled runs."""
    if compiled is not None:
        return None
    return (
        f"the kernels run in numpy: to the same bits, but hundreds of times slower ({WHY_IN_NUMPY})"
    )


def warn_of_slowness(stacklevel: int) -> None:
    """Warns whoever trains from Python and did not ask for numpy's kernels; stacklevel: the caller's caller is 2."""
    words = slowness()
    if words and WHY_IN_NUMPY != NOT_WANTED:
        warnings.warn(words, stacklevel=stacklevel + 1)


def name() -> str:
    """What runs, for people: such as "256-bit (AVX2, FMA)"."""
    return "numpy (nothing compiled, so slow)" if compiled is None else compiled.name()


def describe() -> dict[str, str | bool]:
    """What computes in this process, for people and for checkpoints: it changes no bit."""
    return {
        "kernels": name(),
        "compiled": compiled is not None,
        "machine": platform.machine(),
        "numpy": np.__version__,
    }


_products: ModuleType = compiled or numpy_products
fma = _products.fma
forward, backward, gradient = _products.forward, _products.backward, _products.gradient
_layers: ModuleType = compiled or numpy_activations_and_costs
function = _layers.function
activate, chain_rule = _layers.activate, _layers.chain_rule
cost_values, cost_gradient = _layers.cost_values, _layers.cost_gradient
hits = _layers.hits
_updates: ModuleType = compiled or numpy_updates
update, squares, drop = _updates.update, _updates.squares, _updates.drop
_random: ModuleType = compiled or numpy_random
normals, shuffle, random_words = _random.normals, _random.shuffle, _random.random_words
hash_rows = (compiled or numpy_hashes).hash_rows
units, add_rows = (compiled or numpy_messages).units, (compiled or numpy_messages).add_rows
take_rows = (compiled or numpy_rows).take_rows
