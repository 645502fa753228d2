"""Looking a set through before training: does it fit the network, and can every row be trained on?"""

import math
import shlex
import zlib
from dataclasses import dataclass

import numpy as np

from distmlp.config.sections import Config
from distmlp.data import digest
from distmlp.data.dataset import DataSet, block_rows, blocks_of
from distmlp.data.transform import Affine, Transform, kept_dtype
from distmlp.errors import InputError
from distmlp.mathematics import exact_costs

#: A column that keeps fewer steps than this between its least and its largest number is worth a warning.
_FEW_STEPS = 256

#: What outputs can be, by activation; what is missing can be anything.
_REACH = {
    "sigmoid": (0.0, 1.0),
    "softmax": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "relu": (0.0, np.inf),
    "softplus": (0.0, np.inf),
}
#: Above this Σ y² a sample's cost leaves no room to add up others beside it.
_LARGEST = math.ldexp(exact_costs.LARGEST_COST, -20)

#: Rows, and one more, by which copies of a set on different hosts are compared.
_SAMPLED = 16


def facts_of(data: DataSet) -> dict[str, object]:
    """What two copies of a set have alike: their form, and checksums of their names and of some rows.  Raises InputError."""
    places = sorted({i * (data.rows - 1) // _SAMPLED for i in range(_SAMPLED + 1)})
    x, y = data.read([(place, place + 1) for place in places])
    crc = zlib.crc32(x.tobytes(), 0 if y is None else zlib.crc32(y.tobytes()))
    return {
        "rows": data.rows,
        "inputs": data.width,
        "outputs": data.outputs,
        "dtype": str(data.input_dtype),
        "rows of a chunk": data.file_chunk_rows,
        "checksum of the names": zlib.crc32(repr((data.column_names, data.target_names)).encode()),
        "checksum of some rows": crc,
        "digest of the weights": data.weights and data.weights.digest,
    }


def check_against_network(data: DataSet, config: Config, where: str) -> None:
    """InputError where the set's columns are not the network's inputs and outputs.  where: the config key."""
    layers, gaussian = config.network.layers, config.network.cost == "gaussian-nll"
    # the network may have further inputs, which say where values are missing
    indicators = config.data.missing == "mean-and-indicator"
    if gaussian and data.classes:
        raise InputError(
            f'{where} {data.spec}: its targets are classes, but network.cost "gaussian-nll" is of numbers; '
            'use "cross-entropy"'
        )
    if data.width != layers[0] and not (indicators and data.width < layers[0] <= 2 * data.width):
        raise InputError(
            f"{where} {data.spec}: a sample has {data.width} inputs, but network.layers begins with {layers[0]}; they must be equal"
        )
    if data.outputs is not None and gaussian and 2 * data.outputs != layers[-1]:
        raise InputError(
            f"{where} {data.spec}: a target has {data.outputs} numbers, but network.layers ends with {layers[-1]}; "
            f'expected {2 * data.outputs}, since network.cost "gaussian-nll" has a mean and a spread for each'
        )
    if data.outputs is not None and not gaussian and data.outputs != layers[-1]:
        raise InputError(
            f"{where} {data.spec}: a target has {data.outputs} numbers, but network.layers ends with {layers[-1]}; they must be equal"
        )


@dataclass
class Columns:
    """What is known of the columns of some rows: (columns,) each.

    low, high: the least and the largest number.  rounded: whether any number is a different one in the network's dtype.
    """

    low: np.ndarray
    high: np.ndarray
    rounded: np.ndarray

    @staticmethod
    def of(stored: np.ndarray, dtype: np.dtype) -> "Columns":
        columns = stored.reshape(len(stored), -1)
        rounded = columns != columns.astype(dtype)
        return Columns(columns.min(axis=0), columns.max(axis=0), rounded.any(axis=0))

    def add(self, other: "Columns") -> None:
        """Takes in other rows' columns."""
        np.minimum(self.low, other.low, out=self.low)
        np.maximum(self.high, other.high, out=self.high)
        self.rounded |= other.rounded


@dataclass
class Seen:
    """What looking through some rows of a set has shown.

    fault: the first row that cannot be trained on, and the sentence that says why.  digest: of the rows.  inputs,
    targets: of the columns, None where nothing can be lost or said.
    """

    fault: tuple[int, str] | None = None
    digest: int = 0
    inputs: Columns | None = None
    targets: Columns | None = None

    def add(self, other: "Seen") -> None:
        """Takes in what was seen of other rows."""
        self.fault = min(filter(None, (self.fault, other.fault)), default=None)
        self.digest = digest.added([self.digest, other.digest])
        self.inputs = _added(self.inputs, other.inputs)
        self.targets = _added(self.targets, other.targets)


def _added(one: Columns | None, other: Columns | None) -> Columns | None:
    if one is None or other is None:
        return one or other
    one.add(other)
    return one


def scan(data: DataSet, rows: range, config: Config) -> Seen:
    """What the rows in `rows` show, up to the first block with a row that cannot be trained on.

    Such are inputs that are, or become when scaled, a NaN or an infinity; the same in targets; classes that the
    outputs have no place for; targets that the cost cannot take.
    """
    dtype, seen = np.dtype(config.dtype), Seen()
    memory = data.memory(block_rows(data))
    kept = data.memory(0, kept_dtype(config.data, dtype))
    hashes = digest.RowHash(*kept)
    wide = data.input_dtype.itemsize > dtype.itemsize or (
        data.input_dtype.kind in "iu" and (data.input_dtype.itemsize >= dtype.itemsize)
    )
    for start, stop in blocks_of(data, rows):
        x, y = data.read([(start, stop)], memory)
        seen.fault = _first_fault(data, start, x, y, config)
        if seen.fault:
            break
        with np.errstate(over="ignore"):
            narrow = x.astype(kept[0].dtype, copy=False)
            desired = None if y is None or kept[1] is None else y.astype(kept[1].dtype, copy=False)
            seen.digest = digest.added([seen.digest, hashes.sum(start, narrow, desired)])
            if wide:
                seen.inputs = _added(seen.inputs, Columns.of(x, dtype))
            if y is not None and not data.classes:
                seen.targets = _added(seen.targets, Columns.of(y, dtype))
    return seen


def _first_fault(
    data: DataSet, start: int, x: np.ndarray, y: np.ndarray | None, config: Config
) -> tuple[int, str] | None:
    """The first of these rows that cannot be trained on, and why; they begin with row `start`."""
    dtype, scale = np.dtype(config.dtype), Transform(config.data.scale)
    found = []
    if data.input_dtype.kind == "f" or scale.scale != 1:
        with np.errstate(over="ignore", invalid="ignore"):
            a = x
            if not config.data.scales_inputs and (scale.scale != 1 or x.dtype != dtype):
                a = scale.applied(x, dtype)
        finite = np.isfinite(a)
        if config.data.fills:
            finite |= np.isnan(x)
        if not finite.all():
            # attributes of the file make a NaN of a number that it stores
            unpacked = "".join(f"; {said}" for said in data.files.unpacked() if np.isnan(x).any())
            found.append(
                (
                    ~finite.all(axis=1),
                    f"its inputs hold a NaN or an infinity, or become one as {dtype} times data.scale; "
                    f'data.missing = "mean" fills a NaN{unpacked}',
                )
            )
    if y is not None:
        found += _target_faults(data, y, config)
    rows = [(start + int(np.argmax(bad)), words) for bad, words in found if bad.any()]
    if not rows:
        return None
    row, words = min(rows)
    return row, f"{data.located(row)}: {words}"


def _target_faults(data: DataSet, y: np.ndarray, config: Config) -> list[tuple[np.ndarray, str]]:
    """[(which rows, what is wrong with them)] of stored targets."""
    outputs, output, cost = config.network.layers[-1], config.network.output, config.network.cost
    if data.classes:
        return [_class_fault(data, y.astype(np.int64), outputs)]
    y = y.reshape(len(y), -1).astype(np.float64)
    finite = np.isfinite(y).all(axis=1)
    faults = [(~finite, "its targets hold a NaN or an infinity")]
    if not config.data.scales_targets:
        with np.errstate(over="ignore", invalid="ignore"):
            fits = np.isfinite(y.astype(config.dtype)).all(axis=1)
            fits &= (y * y).sum(axis=1) < _LARGEST
        faults.append((finite & ~fits, f"its targets are too large to train on as {config.dtype}"))
    if cost == "hinge":
        faults.append(
            (
                ~np.isin(y, (0, 1)).all(axis=1),
                'a target is not 0 or 1, which network.cost "hinge" needs',
            )
        )
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


def _class_fault(data: DataSet, y: np.ndarray, outputs: int) -> tuple[np.ndarray, str]:
    """Which rows have a class that no output tells, and the first one's fault."""
    most, way_out = outputs, ""
    if outputs == 1:
        most, way_out = 2, '; data.targets_are = "numbers" takes whole numbers as numbers'
    bad = (y < 0) | (y >= most)
    first = int(y[np.argmax(bad)])
    # what is no whole number is read as -1
    words = "is -1, or no whole number" if first == -1 else f"is {first}"
    return bad, (
        f"its class {words}; it is not in 0 … {most - 1}, the classes that network.layers ending with {outputs} can tell; "
        f"distmlp data {shlex.quote(data.files.specs[0])} lists all classes{way_out}"
    )


def doubts(data: DataSet, seen: Seen, config: Config, transform: Transform) -> list[str]:
    """Sentences on a training set that can be trained on, but not to any use."""
    found = []
    low, high = _REACH.get(config.network.output, (-np.inf, np.inf))
    targets = seen.targets
    least, largest = _reached(targets, transform.targets)
    if least < low or largest > high:
        found.append(
            f"{data.spec}: targets reach from {least:.6g} to {largest:.6g}, but network.output "
            f'"{config.network.output}" gives {low:g} to {high:g}: no training can reach them; '
            'use network.output "identity"'
        )
    names, outputs = data.target_names if data.classes else None, config.network.layers[-1]
    if names and len(names) < outputs:
        found.append(
            f"{data.spec}: has {len(names)} classes, but network.layers ends with {outputs}: "
            "no row is of the classes beyond"
        )
    dtype = np.dtype(config.dtype)
    for name, columns, scaled in (
        ("inputs", seen.inputs, transform.inputs),
        ("targets", targets, transform.targets),
    ):
        if columns is not None and scaled is None:
            found += _indistinct(data.spec, name, columns, dtype)
    return found


def _reached(targets: Columns | None, scaled: Affine | None) -> tuple[float, float]:
    """The least and the largest target that the network is to give."""
    if targets is None:
        return 0.0, 0.0
    low, high = targets.low, targets.high
    if scaled is not None:
        low, high = (scaled.applied(ends.astype(np.float64)) for ends in (low, high))
    return float(low.min()), float(high.max())


def _indistinct(spec: str, name: str, columns: Columns, dtype: np.dtype) -> list[str]:
    """A sentence where different numbers become equal ones of the network's dtype."""
    low, high = (np.asarray(ends, np.float64) for ends in (columns.low, columns.high))
    step = np.spacing(np.maximum(np.abs(low), np.abs(high)).astype(dtype)).astype(np.float64)
    steps = np.floor((high - low) / step) + 1
    few = columns.rounded & (high > low) & (steps < _FEW_STEPS)
    if not few.any():
        return []
    column = int(np.argmin(np.where(few, steps, np.inf)))
    return [
        f"{spec}: column {column} of the {name} goes from {low[column]:.15g} to {high[column]:.15g}, "
        f'where {dtype} tells only {int(steps[column])} apart: use dtype = "float64", or data.scale_{name} = "standardise"'
    ]
