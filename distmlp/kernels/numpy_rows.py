"""A set's rows on the way to the network, in numpy, bit for bit as rows.h makes them."""

import numpy as np


@np.errstate(all="ignore")
def take_rows(rows: np.ndarray, order: np.ndarray, scale: float, out: np.ndarray) -> None:
    """out, (k, n), = the rows, (R, n) of numbers, in an order, (k,) int64, made numbers of its dtype, times the scale."""
    np.copyto(out, rows.take(order, axis=0), casting="unsafe")
    out *= out.dtype.type(scale)
