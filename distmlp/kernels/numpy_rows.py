"""A set's rows on the way to the network, in numpy, bit for bit as rows.h makes them."""

import numpy as np


@np.errstate(all="ignore")
def take_rows(
    rows: np.ndarray,
    order: np.ndarray,
    scale: float,
    shift: np.ndarray | None,
    divisor: np.ndarray | None,
    fill: np.ndarray | None,
    indicators: np.ndarray | None,
    out: np.ndarray,
) -> bool:
    """out, (k, n + i), = the rows, (R, n) of numbers, in an order, (k,) int64, as numbers of its dtype.

    An x becomes (x − shift) / divisor in float64, (n,) each or None, after fill, (n,) or None, has taken the place of a NaN.
    Then it is rounded and multiplied by the scale.  indicators: columns, (i,) int64 or None, that have another one behind
    all n, which is 1 where they were a NaN.  Returns whether all are finite; True for whole numbers that are only scaled.
    """
    x, plain = rows.take(order, axis=0), shift is None and fill is None
    made, missing = out[:, : x.shape[1]], np.isnan(x)
    if not plain:
        x = x.astype(np.float64)
    if fill is not None:
        x = np.where(missing, fill, x)
    if shift is not None:
        x = (x - shift) / divisor
    np.copyto(made, x, casting="unsafe")
    made *= out.dtype.type(scale)
    if indicators is not None:
        out[:, x.shape[1] :] = missing[:, indicators]
    return (plain and rows.dtype.kind != "f") or bool(np.isfinite(out).all())
