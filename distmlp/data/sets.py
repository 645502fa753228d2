"""The training and the validation set that a config's [data] names or draws, open."""

from collections.abc import Sequence

import numpy as np

from distmlp.config.sections import Config, DataConfig
from distmlp.data import opening
from distmlp.data.dataset import DataSet
from distmlp.data.folds import fold_of_rows, held_out
from distmlp.data.matching import Matched, Names
from distmlp.data.part import Part, column_of, selected
from distmlp.data.sample_weights import RowWeights
from distmlp.data.several_files import Spec, named
from distmlp.errors import InputError

#: Of what the config says of columns: a name or several.
_Columns = str | Sequence[str]

#: What names the datasets of a set, by the key that selects its rows.
_NAMED_BY = {
    "data.rows": "data.inputs and data.targets",
    "data.validation_rows": "data.validation_inputs and data.validation_targets, or --inputs and --targets of --data,",
}


def opened(
    spec: Spec, inputs: _Columns, targets: _Columns | None, names: Names, rows: str, key: str
) -> Matched:
    """A set, or the rows of it that the key of a config selects, all of them where `rows` is empty.  Raises InputError."""
    try:
        data = Matched(spec, inputs, targets, names)
    except opening.NoDataset as error:
        words = f"{error}; {_NAMED_BY[key]} name the datasets"
        raise opening.NoDataset(words, error.name, error.there) from None
    if not rows:
        return data
    with data:
        index = selected(data, spec, rows, key)
    return Part(spec, inputs, targets, index, f"rows {rows}", names)


def sets_of(config: Config) -> list[DataSet]:
    """The training set, and the validation set where there is one.  Raises InputError."""
    asked = config.data
    data = opened(asked.train, asked.inputs, asked.targets, Names(), asked.rows, "data.rows")
    sets: list[DataSet] = [data]
    try:
        if asked.fold or asked.share:
            with data:
                sets = _parted(data, config)
        elif asked.validation_set:
            names = Names(data.column_names, data.target_names)
            inputs = asked.validation_inputs or asked.inputs
            targets = asked.validation_targets or asked.targets
            how = names, asked.validation_rows, "data.validation_rows"
            sets.append(opened(asked.validation_set, inputs, targets, *how))
            weigh(sets[1], asked.validation_set, asked)
        if asked.weights:
            for one in sets[: 1 if asked.validation_set else 2]:
                one.weights = weights_of(one, asked.train, asked.weights)
    except InputError:
        for one in sets:
            one.close()
        raise
    return sets


def weigh(data: DataSet, spec: Spec, asked: DataConfig) -> None:
    """Gives a set that is looked at its own weights: those that the config names for it, else those of training where it has such.

    spec: where the set is.  Raises InputError.
    """
    own = asked.validation_weights if spec == asked.validation_set else ""
    if own or (asked.weights and _has(spec, asked.weights)):
        data.weights = weights_of(data, spec, own or asked.weights)


def weights_of(data: DataSet, spec: Spec, name: str) -> RowWeights:
    """The weights of a set's rows.

    spec: where the set is.  name: of a dataset beside its inputs, or of a column.  Raises InputError for weights that no
    training can take; it names the row.
    """
    rows = column_of(data, spec, name).astype(np.float64)
    bad = ~(np.isfinite(rows) & (rows >= 0))
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(
            f"{data.located(row)}: its weight in {name} is {rows[row]:g}, but expected a finite number of at least 0"
        )
    if not rows.any():
        raise InputError(f"{data.spec}: all weights in {name} are 0, but expected one above 0")
    return RowWeights(rows)


def _has(spec: Spec, name: str) -> bool:
    """Whether a set has a dataset of that name, or the one whose column it names.  Raises InputError."""
    for one in named(spec):
        path, group = opening.parted(one)
        with opening.opened(path, one) as file:
            if name.partition("[")[0] not in opening.group_in(file, one, group):
                return False
    return True


def _parted(data: Matched, config: Config) -> list[DataSet]:
    """The training set without what the config holds out of it, and that."""
    asked, network = config.data, config.network
    if "classes" in (asked.fold_by, asked.validation_by) and not data.classes:
        data.settle(network.targets, network.output, asked.targets_are)
    if asked.fold:
        out = fold_of_rows(data, asked, config.seed) == asked.fold
        name = f"fold {asked.fold} of {asked.folds}"
    else:
        out = held_out(data, asked, config.seed)
        name = f"a share of {asked.share} of it"
    index, before = data.picked(np.arange(data.all_rows)), f"rows {asked.rows}, " * bool(asked.rows)
    rest = Part(asked.train, asked.inputs, asked.targets, index[~out], f"{before}without {name}")
    try:
        return [rest, Part(asked.train, asked.inputs, asked.targets, index[out], before + name)]
    except InputError:
        rest.close()
        raise
