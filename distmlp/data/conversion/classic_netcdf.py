"""NetCDF-3, the classic format, as h5py gives NetCDF-4: scipy reads it, mapped into memory."""

from collections.abc import ItemsView, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from distmlp.data.conversion import sources


class Variable:
    """A variable of a file: its name, shape, dtype and attributes; an index reads some of it."""

    def __init__(self, file: Any, name: str) -> None:
        self._file, self.name = file, name
        stored = file.variables[name]
        self.shape = tuple(stored.shape)
        self.dtype = np.dtype(stored.data.dtype)
        self.attrs = dict(stored._attributes)
        if stored.dimensions == (name,):
            self.attrs["CLASS"] = b"DIMENSION_SCALE"  # as NetCDF-4 says that it is a coordinate

    def __getitem__(self, index: Any) -> np.ndarray:
        # a copy: the file can be closed only when nothing refers to what is mapped
        return np.array(self._file.variables[self.name].data[index])


class Classic:
    """A file's variables by name, open for reading.  Raises ConversionError."""

    def __init__(self, path: Path) -> None:
        netcdf = sources.imported("scipy.io", path)
        try:
            with sources.reading(path):
                self._file = netcdf.netcdf_file(path, "r", mmap=True, maskandscale=False)
        except (TypeError, ValueError, IndexError) as error:
            raise sources.ConversionError(
                f"{path}: is NetCDF-3; nccopy -k nc4 {path.name} new.nc makes the NetCDF-4 that is read, since scipy says of "
                f"this one: {error}"
            ) from None
        self._variables = {name: Variable(self._file, name) for name in self._file.variables}

    def items(self) -> ItemsView[str, Variable]:
        """Names and variables."""
        return self._variables.items()

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __getitem__(self, name: str) -> Variable:
        return self._variables[name]

    def __enter__(self) -> "Classic":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
