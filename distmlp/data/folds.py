"""Folds of a set for cross-validation: which fold a row is in, and the rows of some folds as a set."""

from collections.abc import Sequence

import numpy as np

from distmlp.config.sections import DataConfig
from distmlp.data import opening, several
from distmlp.data.dataset import DataSet
from distmlp.data.several import Spec
from distmlp.errors import InputError
from distmlp.mathematics.randomness import Purpose, permutation, stream

#: Rows that are picked at a time, from the run of rows that they lie in.
_PICKED = 4096


class Part(DataSet):
    """Some rows of a set, in the set's order, as a set of their own.

    index: their numbers, ascending.  name: of the part, for people.
    """

    def __init__(
        self,
        spec: Spec,
        inputs: str | Sequence[str],
        targets: str | Sequence[str] | None,
        index: np.ndarray,
        name: str,
    ) -> None:
        super().__init__(spec, inputs, targets)
        self.stored_bytes = self.stored_bytes * len(index) // self.rows
        self.spec = f"{self.spec}, {name}"
        self._index, self.rows = index, len(index)
        self.file_chunk_rows = 0  # its rows are no longer those of the file's chunks

    def located(self, row: int) -> str:
        return super().located(int(self._index[row]))

    def read(
        self,
        pieces: list[tuple[int, int]],
        into: tuple[np.ndarray, np.ndarray | None] | None = None,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        if self.held is not None:
            return super().read(pieces, into)
        rows = sum(stop - start for start, stop in pieces)
        x, y = into or self.memory(rows)
        place = 0
        for start, stop in pieces:
            for first in range(start, stop, _PICKED):
                index = self._index[first : min(first + _PICKED, stop)]
                found, targets = super().read([(int(index[0]), int(index[-1]) + 1)])
                here = slice(place, place + len(index))
                np.copyto(x[here], found[index - index[0]], casting="unsafe")
                if y is not None and targets is not None:
                    np.copyto(y[here], targets[index - index[0]], casting="unsafe")
                place += len(index)
        return x[:rows], None if y is None else y[:rows]


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
        if not data.classes:
            raise InputError(
                f'data.fold_by is "classes", but the targets of {data.spec} are numbers: expected "rows" or the name of a '
                "dataset of groups"
            )
        labels = data.read([(0, data.rows)])[1]
        assert labels is not None  # there are classes
        return _dealt(order[np.argsort(labels[order], kind="stable")], count)
    groups = _numbers(data, config, config.fold_by)
    names, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(names) < count:
        raise InputError(
            f"data.folds is {count}, but {config.fold_by} of {data.spec} has {len(names)} groups; it can be at most that"
        )
    filled, fold_of = [0] * count, np.empty(len(names), np.int64)
    by_chance = permutation(words, len(names))
    for one in by_chance[np.argsort(-sizes[by_chance], kind="stable")].tolist():
        least = filled.index(min(filled))
        fold_of[one] = least + 1
        filled[least] += int(sizes[one])
    return fold_of[group]


def _numbers(data: DataSet, config: DataConfig, name: str) -> np.ndarray:
    """All of a dataset in the training set's group, one number a row.  Raises InputError."""
    found = []
    for spec in several.named(config.train):
        path, group = opening.parted(spec)
        with opening.opened(path, spec) as file:
            stored = opening.dataset_in(file, spec, group, name)
            if stored.ndim != 1:
                raise InputError(
                    f"{spec}/{name} has the shape {stored.shape}, but expected one number a row"
                )
            found.append(stored[...])
    rows = sum(map(len, found))
    if rows != data.rows:
        raise InputError(
            f"{data.spec}/{name} has {rows} numbers, but expected one a row, of {data.rows}"
        )
    return np.concatenate(found)


def _dealt(order: np.ndarray, count: int) -> np.ndarray:
    """Rows dealt to the folds in turn, in this order."""
    fold = np.empty(len(order), np.int64)
    fold[order] = np.arange(len(order)) % count + 1
    return fold


def parted(config: DataConfig, seed: int) -> tuple[Part, Part]:
    """The training set without the fold that data.fold names, and that fold, both open.  Raises InputError."""
    with DataSet(config.train, config.inputs, config.targets) as data:
        fold = fold_of_rows(data, config, seed)
    name = f"fold {config.fold} of {config.folds}"
    rest = Part(
        config.train,
        config.inputs,
        config.targets,
        np.flatnonzero(fold != config.fold),
        f"without {name}",
    )
    try:
        held_out = np.flatnonzero(fold == config.fold)
        return rest, Part(config.train, config.inputs, config.targets, held_out, name)
    except InputError:
        rest.close()
        raise
