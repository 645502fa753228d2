"""What the training set decides of how rows are transformed: means, deviations and the like, by all ranks."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from distmlp.config.sections import Config
from distmlp.data.dataset import DataSet, blocks_of
from distmlp.data.statistics import ColumnStatistics
from distmlp.data.transform import Affine, Transform, transform_of
from distmlp.errors import InputError
from distmlp.parallel.communicator import Communicator


def fitted(
    config: Config,
    data: DataSet,
    rows: range,
    comm: Communicator,
    kept: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> Transform:
    """How the rows of the training set, and of every other, are transformed; collective, the same on every rank.

    rows: those that this rank looks at.  kept: what another run's training set has decided, by name, and this one's
    does not.  Raises InputError on every rank.
    """
    asked = config.data
    if not (asked.scales_inputs or asked.scales_targets or asked.fills):
        return transform_of(asked)
    if asked.scales_targets and data.classes:
        raise InputError(
            f"{data.spec}: its targets are classes, but data.scale_targets is for numbers: leave it out"
        )
    inputs, targets = _statistics(data, rows, comm, asked.scales_targets)
    arrays = {}
    if asked.fills:
        arrays["fill"] = inputs.means()
        if np.isnan(arrays["fill"]).any():
            column = int(np.argmax(np.isnan(arrays["fill"])))
            raise InputError(f"{data.spec}: column {column} of the inputs has no value at all")
    if asked.missing == "mean-and-indicator":
        arrays["indicators"] = np.flatnonzero(inputs.count < data.rows).astype(np.float64)
    for name, how, found in (
        ("inputs", asked.scale_inputs, inputs),
        ("targets", asked.scale_targets, targets),
    ):
        if how != "none" and found is not None:
            affine = _affine(found, how, f"data.scale_{name}", data.spec)
            arrays |= {f"{name}_shift": affine.shift, f"{name}_divisor": affine.divisor}
    transform = transform_of(asked, {**arrays, **kept})
    width, begins = transform.width(data.width), config.network.layers[0]
    if width != begins:
        raise InputError(
            f"{data.spec}: {data.width} inputs and {width - data.width} indicators of missing ones make {width}, "
            f"but network.layers begins with {begins}; they must be equal"
        )
    return transform


def _statistics(
    data: DataSet, rows: range, comm: Communicator, with_targets: bool
) -> tuple[ColumnStatistics, ColumnStatistics | None]:
    """Of the inputs and the targets, over all ranks' rows."""
    inputs = ColumnStatistics(data.width)
    targets = ColumnStatistics(data.outputs or 1) if with_targets else None
    fault = None
    try:
        for block in blocks_of(data, rows):
            x, y = data.read([block])
            inputs.add(x)
            if targets is not None and y is not None:
                targets.add(y.reshape(len(y), -1))
    except InputError as error:
        fault = f"{data.spec}: {error}"
    faults = [fault for fault in comm.all_gather(fault) if fault]
    if faults:
        raise InputError(faults[0])
    for found in filter(None, (inputs, targets)):
        comm.sum(found.whole)
        for ends in comm.all_gather(found.ends):
            np.minimum(found.ends, ends, out=found.ends)
    return inputs, targets


def _affine(found: ColumnStatistics, how: str | tuple[str, ...], key: str, spec: str) -> Affine:
    columns = len(found.count)
    ways = (how,) * columns if isinstance(how, str) else how
    if len(ways) != columns:
        raise InputError(f"{key} has {len(ways)} entries, but {spec} has {columns} columns there")
    shift, divisor = np.zeros(columns), np.ones(columns)
    for way, begins, spread in (
        ("standardise", found.means(), found.deviations()),
        ("min-max", found.lows, found.highs - found.lows),
    ):
        chosen = np.array([way == name for name in ways])
        shift[chosen] = begins[chosen]
        divisor[chosen] = np.where(spread > 0, spread, 1.0)[chosen]
    return Affine(shift, divisor)
