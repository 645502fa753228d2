"""What each training row counts: sample and class weights, normalised over the training set, the same on every rank."""

from fractions import Fraction

import numpy as np

from distmlp.config.sections import Config
from distmlp.data.dataset import DataSet, blocks_of
from distmlp.data.sample_weights import Weighting, exact_sum
from distmlp.errors import InputError
from distmlp.mathematics.sums import rounded
from distmlp.parallel.alike import on_every_rank
from distmlp.parallel.communicator import Communicator


def weighting_of(
    config: Config, data: DataSet, rows: range, comm: Communicator
) -> Weighting | None:
    """What the training rows count, None where all count the same; collective, the same on every rank.

    rows: those that this rank looks at.  Raises InputError on every rank.
    """
    if not config.data.class_weights:
        if data.weights is None:
            return None
        return Weighting(data.weights, _normalised([Fraction(1)], [data.weights.total], data))
    count = max(2, config.network.layers[-1])
    given = _given(config, data, count)
    mine = on_every_rank(comm, lambda: _by_class(data, rows, count))
    parts = comm.all_gather(mine)
    sums = [sum(part[k] for part in parts) for k in range(count)]
    if given is None:
        given = [1 / Fraction(total) if total else Fraction(0) for total in sums]
    return Weighting(data.weights, _normalised(given, sums, data))


def _given(config: Config, data: DataSet, count: int) -> list[Fraction] | None:
    """The weight of each class as the config has it; None where they are to be balanced.  Raises InputError."""
    asked = config.data.class_weights
    if not data.classes:
        raise InputError(
            f"data.class_weights is set, but the targets of {data.spec} are no classes: leave it out"
        )
    if isinstance(asked, str):
        return None
    if isinstance(asked, tuple):
        if len(asked) != count:
            raise InputError(
                f"data.class_weights has {len(asked)} entries, but there are {count} classes; expected one for each"
            )
        return [Fraction(weight) for weight in asked]
    names = data.target_names or []
    found = [Fraction(1)] * count
    for name, weight in asked.items():
        place = names.index(name) if name in names else int(name) if name.isdecimal() else count
        if place >= count:
            known = ", ".join(names) or f"0 to {count - 1}"
            raise InputError(
                f"data.class_weights has the class {name!r}, but the classes of {data.spec} are {known}"
            )
        found[place] = Fraction(weight)
    return found


def _by_class(data: DataSet, rows: range, count: int) -> list[Fraction]:
    """The weights of these rows, added up by class.  Raises InputError."""
    blocks = [np.empty(0, np.int64)]
    for block in blocks_of(data, rows):
        labels = data.read([block])[1]
        assert labels is not None  # a set that trains has targets
        blocks.append(labels.astype(np.int64))
    labels = np.concatenate(blocks)
    bad = (labels < 0) | (labels >= count)
    if bad.any():
        row = rows.start + int(np.argmax(bad))
        raise InputError(f"{data.located(row)}: its class is not in 0 … {count - 1}")
    sizes = np.bincount(labels, minlength=count)
    if data.weights is None:
        return [Fraction(size) for size in sizes.tolist()]
    ordered = data.weights.rows[rows.start : rows.stop][np.argsort(labels, kind="stable")]
    return [exact_sum(part) for part in np.split(ordered, np.cumsum(sizes)[:-1])]


def _normalised(classes: list[Fraction], sums: list[Fraction], data: DataSet) -> np.ndarray:
    """The classes' weights, multiplied so that the mean over all rows is 1: the nearest float64.

    sums: of the rows' weights, by class.  Raises InputError where all are 0, or too small.
    """
    total = sum((one * of for one, of in zip(classes, sums, strict=True)), Fraction(0))
    if not total:
        raise InputError(f"{data.spec}: data.class_weights leaves all rows the weight 0")
    factors = np.array([rounded(one * data.rows / total) for one in classes])
    if not np.isfinite(factors).all():
        raise InputError(f"{data.spec}: its weights are too small to be made 1 on average")
    return factors
