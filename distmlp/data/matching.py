"""Sets whose columns and classes are those of a trained network by name, whatever their order in the file."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from distmlp.data.dataset import DataSet, Held
from distmlp.data.several_files import Spec
from distmlp.errors import InputError

#: Names that a message shows.
_SHOWN = 8


@dataclass(frozen=True)
class Names:
    """What inputs, and classes or targets, are called; None where nothing says.

    renamed: whether targets that have none of these names are taken in their own order, since somebody has named them.
    """

    columns: list[str] | None = None
    targets: list[str] | None = None
    renamed: bool = False


class Matched(DataSet):
    """A set as one with these names would have it: columns in that order, without others, and classes numbered so.

    Where the names of either are not known, columns and classes are taken as they stand.  Raises InputError for a
    column that the set lacks, and for a class that the names lack.
    """

    def __init__(
        self,
        spec: Spec,
        inputs: str | Sequence[str],
        targets: str | Sequence[str] | None,
        names: Names,
    ) -> None:
        super().__init__(spec, inputs, targets)
        self._columns: np.ndarray | None = None
        self._targets: np.ndarray | None = None
        try:
            if names.columns and self.column_names and names.columns != self.column_names:
                self._columns = _places(self.spec, "input", names.columns, self.column_names)
                self.width = len(names.columns)
            own = self.target_names
            if names.targets and own and names.targets != own:
                if self.classes:
                    self._targets = _places(self.spec, "class", own, names.targets)
                elif not (names.renamed and set(own).isdisjoint(names.targets)):
                    self._targets = _places(self.spec, "target", names.targets, own)
                    self.outputs = len(names.targets)
        except InputError:
            self.close()
            raise
        self._reorders = self._columns is not None or self._targets is not None

    def read(
        self,
        pieces: list[tuple[int, int]],
        into: Held | None = None,
    ) -> Held:
        """As DataSet.read, with columns and classes in the order of the names."""
        if self.held is not None or not self._reorders:
            return super().read(pieces, into)
        rows = sum(stop - start for start, stop in pieces)
        x, y = super().read(pieces, self._as_stored(rows))
        if self._columns is not None:
            x = x[:, self._columns]
        if y is not None and self._targets is not None:
            y = self._renumbered(y) if self.classes else y.reshape(rows, -1)[:, self._targets]
        if into is None:
            return x, y
        np.copyto(into[0][:rows], x, casting="unsafe")
        if into[1] is not None and y is not None:
            np.copyto(into[1][:rows], y.reshape(rows, *into[1].shape[1:]), casting="unsafe")
        return into[0][:rows], None if into[1] is None else into[1][:rows]

    def _as_stored(self, rows: int) -> Held:
        """Memory for so many rows as the file has them."""
        y = self._y
        return (
            np.empty((rows, self._row_width), self._x.dtype),
            None if y is None else np.empty((rows, *y.shape[1:]), y.dtype),
        )

    def _renumbered(self, y: np.ndarray) -> np.ndarray:
        assert self._targets is not None
        if len(y) and not 0 <= int(y.min()) <= int(y.max()) < len(self._targets):
            raise InputError(
                f"{self.spec}: a class is not in 0 … {len(self._targets) - 1}, the classes that the file names"
            )
        return self._targets[y.astype(np.intp)].astype(y.dtype)


def _places(spec: str, kind: str, wanted: list[str], there: list[str]) -> np.ndarray:
    """Where each name that is wanted is among those that are there.  Raises InputError."""
    place = {name: number for number, name in enumerate(there)}
    lacking = [name for name in wanted if name not in place]
    if lacking:
        few = ", ".join(there[:_SHOWN]) + ", …" * (len(there) > _SHOWN)
        if kind == "class":
            raise InputError(
                f"{spec}: has the class {lacking[0]!r}, but the network knows only {few}"
            )
        raise InputError(
            f"{spec}: has no {kind} {lacking[0]!r}, which the network was trained on; it has {few}"
        )
    return np.array([place[name] for name in wanted], np.intp)
