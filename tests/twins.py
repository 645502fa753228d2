"""The compiled functions, each of which has a twin in numpy, and the mark of tests that need them."""

import pytest

from distmlp.mathematics import exact, network
from distmlp.parallel import hostmemory

#: The functions of each room; NAME_in_numpy is NAME's twin.
COMPILED = {
    exact: ("count", "count_products", "mean", "descend", "units"),
    network: ("weighted_sums", "outer_sums", "sample_sums"),
    hostmemory: ("add",),
}

compiled = pytest.mark.skipif(
    any(
        getattr(room, name) is getattr(room, f"{name}_in_numpy")
        for room, names in COMPILED.items()
        for name in names
    ),
    reason="the compiled parts are not there: install distmlp again, with a C compiler and Python's headers",
)
