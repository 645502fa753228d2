"""Which rows of a training set are held out of it: a fold for cross-validation, or a share."""

import math
from fractions import Fraction

import numpy as np

from distmlp.config.sections import DataConfig
from distmlp.data import opening, several_files
from distmlp.data.dataset import DataSet
from distmlp.data.part import column_of
from distmlp.errors import InputError
from distmlp.mathematics.randomness import Purpose, permutation, stream


def fold_of_rows(data: DataSet, config: DataConfig, seed: int) -> np.ndarray:
    """Which fold, 1 to data.folds, each row of a set is in: (n,).  A function of the config, the set's rows and the seed.

    Rows are spread at random and evenly; by classes, those of each class are; by groups, whole groups are put into the
    fold that has the fewest rows, the largest first.  Raises InputError.
    """
    words, count = stream(seed, Purpose.FOLDS), config.folds
    if count > data.rows:
        raise InputError(
            f"data.folds is {count}, but {data.spec} has {data.rows} rows; it can be at most that"
        )
    order = permutation(words, data.rows)
    if config.fold_by == "rows":
        return _dealt(order, count)
    if config.fold_by == "classes":
        return _dealt(_by_class(data, order, "data.fold_by"), count)
    groups = _groups(data, config, config.fold_by)
    names, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(names) < count:
        raise InputError(
            f"data.folds is {count}, but {config.fold_by} of {data.spec} has {len(names)} groups; it can be at most that"
        )
    filled, fold_of = [0] * count, np.empty(len(names), np.int64)
    for one in _largest_first(words, sizes).tolist():
        least = filled.index(min(filled))
        fold_of[one] = least + 1
        filled[least] += int(sizes[one])
    return fold_of[group]


def held_out(data: DataSet, config: DataConfig, seed: int) -> np.ndarray:
    """Whether each row of a training set is in the share that validates: (n,).  Raises InputError.

    A function of the config, the set's rows and the seed.  Of n rows ⌈share · n⌉ are, drawn at random; by classes, as
    large a share of each; by groups, whole ones as `_filled` takes them.
    """
    words, share = stream(seed, Purpose.SHARE), Fraction(repr(config.share))
    count = math.ceil(share * data.rows)
    if count == data.rows:
        raise InputError(
            f"data.validation is {config.share}, which leaves none of the {data.rows} rows of {data.spec} to train on"
        )
    if config.validation_by not in ("rows", "classes"):
        return _filled(_groups(data, config, config.validation_by), count, words, config, data)
    order = permutation(words, data.rows)
    if config.validation_by == "classes":
        order = _by_class(data, order, "data.validation_by")
    out = np.zeros(data.rows, bool)
    # evenly spaced, so that each run of equal classes gives its part
    place = np.arange(data.rows)
    out[order] = (place + 1) * count // data.rows > place * count // data.rows
    return out


def _filled(
    groups: np.ndarray, count: int, words: np.random.Philox, config: DataConfig, data: DataSet
) -> np.ndarray:
    """Whether each row is in one of the groups that are held out, of at most `count` rows together.

    Groups come in random order, and each is taken that still fits; where none does, the smallest one is.
    """
    names, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(names) < 2:
        raise InputError(
            f"data.validation_by is {config.validation_by!r}, but all rows of {data.spec} are of one group; "
            "expected two or more"
        )
    taken, rows = np.zeros(len(names), bool), 0
    for one in permutation(words, len(names)).tolist():
        if rows + sizes[one] <= count:
            taken[one], rows = True, rows + int(sizes[one])
    if not rows:
        taken[np.argmin(sizes)] = True
    return taken[group]


def _by_class(data: DataSet, order: np.ndarray, key: str) -> np.ndarray:
    """Rows in this order, those of one class after those of another.  Raises InputError where there are no classes."""
    if not data.classes:
        raise InputError(
            f'{key} is "classes", but the targets of {data.spec} are numbers: expected "rows" or the name of a '
            "dataset of groups"
        )
    labels = data.read([(0, data.rows)])[1]
    assert labels is not None  # there are classes
    return order[np.argsort(labels[order], kind="stable")]


def _largest_first(words: np.random.Philox, sizes: np.ndarray) -> np.ndarray:
    """The groups of these sizes, the largest first, equal ones at random."""
    by_chance = permutation(words, len(sizes))
    return by_chance[np.argsort(-sizes[by_chance], kind="stable")]


def _groups(data: DataSet, config: DataConfig, name: str) -> np.ndarray:
    """Each row's group: a column, or a dataset in the training set's group, which may be text.  Raises InputError."""
    if "[" in name:
        return column_of(data, config.train, name)
    found = []
    for spec in several_files.named(config.train):
        path, group = opening.parted(spec)
        with opening.opened(path, spec) as file:
            stored = opening.dataset_in(file, spec, group, name)
            if stored.ndim != 1:
                raise InputError(
                    f"{opening.place_of(spec, name)} has the shape {stored.shape}, but expected one number a row"
                )
            found.append(stored[...])
    groups = np.concatenate(found)
    if len(groups) != data.all_rows:
        raise InputError(
            f"{name} of {data.spec} has {len(groups)} numbers, but expected one a row, of {data.all_rows}"
        )
    return data.picked(groups)


def _dealt(order: np.ndarray, count: int) -> np.ndarray:
    """Rows dealt to the folds in turn, in this order."""
    fold = np.empty(len(order), np.int64)
    fold[order] = np.arange(len(order)) % count + 1
    return fold
