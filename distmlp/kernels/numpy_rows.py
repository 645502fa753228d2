"""A set's rows on the way to the network, in numpy, bit for bit as rows.h makes them."""

import numpy as np


@np.errstate(all="ignore")
def take_rows(rows: np.ndarray, order: np.ndarray, scale: float, out: np.ndarray) -> bool:
    """out, (k, n), = the rows, (R, n) of numbers, in an order, (k,) int64, made numbers of its dtype, times the scale.

    Returns whether all that come from floats are finite.
    """
    np.copyto(out, rows.take(order, axis=0), casting="unsafe")
    out *= out.dtype.type(scale)
    return rows.dtype.kind != "f" or bool(np.isfinite(out).all())
