"""What ranks say to one another, in numpy, bit for bit as messages.h makes it."""

import numpy as np


@np.errstate(all="ignore")
def units(largest: np.ndarray, unit: float, most: float, out: np.ndarray) -> bool:
    """out[t] = Σ_i ⌈T_ti · unit⌉, each at most `most`, of largest, (tensors, s); returns whether all T are finite."""
    whole = np.ceil(largest.astype(np.float64) * unit)
    whole[~(whole < most)] = most
    out[:] = np.add.reduce(whole, axis=1)  # of whole numbers, so exact in any order
    return bool(np.isfinite(largest).all())


def add_rows(rows: np.ndarray, start: int, out: np.ndarray) -> None:
    """out = Σ of the rows, (s, n), in order, from column `start` on: whole numbers, which wrap, or floats, (k,)."""
    columns = slice(start, start + len(out))
    np.copyto(out, rows[0, columns])
    for row in rows[1:, columns]:
        np.add(out, row, out=out)
