"""Every way in which the kernels can be computed here, for tests that hold each to the numpy twins."""

import contextlib
import os

import pytest

try:
    from distmlp.kernels import _kernels
except ImportError:
    _kernels = None

compiled = pytest.mark.skipif(
    _kernels is None,
    reason="the compiled kernels are not there: install distmlp again, with a C compiler and Python's headers",
)

#: A test of each width that this CPU has.
each_width = pytest.mark.parametrize("width", _kernels.widths() if _kernels else [])


@contextlib.contextmanager
def running(width):
    """The compiled module, which runs the kernels of this width meanwhile."""
    _kernels.use(width)
    try:
        yield _kernels
    finally:
        _kernels.use(os.environ.get("DISTMLP_WIDTH") or None)


def assert_same_bits(found, expected):
    """The bits of two arrays are the same; but any NaN is as good as any other."""
    assert found.dtype == expected.dtype
    both_nan = (found != found) & (expected != expected)
    unsigned = f"u{found.dtype.itemsize}"
    differ = (found.view(unsigned) != expected.view(unsigned)) & ~both_nan
    assert not differ.any(), (found[differ][:5], expected[differ][:5])
