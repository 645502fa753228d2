"""Looking a set through before training: does it fit the network, and can every row be trained on?"""

import numpy as np

from distmlp.config.sections import Config
from distmlp.data.dataset import DataSet
from distmlp.data.transform import transform_of
from distmlp.errors import InputError

#: Rows that are looked through at a time: their memory is small beside a window's.
_BLOCK_ROWS = 1024


def check_against_network(data: DataSet, layers: tuple[int, ...], where: str) -> None:
    """InputError where the set's columns are not the network's inputs and outputs.  where: the config key."""
    if data.width != layers[0]:
        raise InputError(
            f"{where} {data.spec}: a sample has {data.width} inputs, but network.layers begins with {layers[0]}; they must be equal"
        )
    if data.outputs is not None and data.outputs != layers[-1]:
        raise InputError(
            f"{where} {data.spec}: a target has {data.outputs} numbers, but network.layers ends with {layers[-1]}; they must be equal"
        )


def scan(data: DataSet, rows: range, config: Config) -> tuple[int, str] | None:
    """The first row in `rows` that cannot be trained on, and the sentence that says why; None if all can.

    Inputs that are, or become when scaled, a NaN or an infinity; the same in targets; classes that the
    outputs have no place for; targets that the cost cannot take.
    """
    network, dtype = config.network, np.dtype(config.dtype)
    transform = transform_of(config.data)
    look_at_inputs = data.input_dtype.kind == "f"
    for start in range(rows.start, rows.stop, _BLOCK_ROWS):
        stop = min(start + _BLOCK_ROWS, rows.stop)
        x, y = data.read([(start, stop)])
        found = []
        if look_at_inputs:
            with np.errstate(over="ignore", invalid="ignore"):
                a = transform.applied(x, dtype)
            found.append(
                (
                    ~np.isfinite(a).all(axis=1),
                    f"its inputs hold a NaN or an infinity, or become one as {dtype} times data.scale",
                )
            )
        assert y is not None  # a set is looked through with its targets
        found += _target_faults(data, y, network.layers[-1], network.output, network.cost)
        rows_found = [(start + int(np.argmax(bad)), words) for bad, words in found if bad.any()]
        if rows_found:
            row, words = min(rows_found)
            return row, f"{data.spec}: row {row}: {words}"
    return None


def _target_faults(
    data: DataSet, y: np.ndarray, outputs: int, output: str, cost: str
) -> list[tuple[np.ndarray, str]]:
    """[(which rows, what is wrong with them)] of stored targets."""
    if data.classes:
        most = 2 if outputs == 1 else outputs
        y = y.astype(np.int64)
        return [
            (
                (y < 0) | (y >= most),
                f"its class is not in 0 … {most - 1}, the classes that network.layers ending with {outputs} can tell",
            )
        ]
    y = y.reshape(len(y), -1).astype(np.float64)
    faults = [(~np.isfinite(y).all(axis=1), "its targets hold a NaN or an infinity")]
    if cost == "cross-entropy":
        low, high = (y < 0).any(axis=1), (y > 1).any(axis=1)
        faults.append(
            (
                low | high,
                'a target is not between 0 and 1, which network.cost "cross-entropy" needs',
            )
        )
        if output == "softmax":
            sums = np.abs(y.sum(axis=1) - 1.0) > 1e-4
            faults.append(
                (sums, 'its targets do not add up to 1, which softmax with "cross-entropy" needs')
            )
    return faults
