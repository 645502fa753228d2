"""Writing HDF5 files on disks that may be full: what goes wrong is an OSError, and never ends the process.

HDF5 that cannot write what it has kept back leaves a file half closed, and crashes when the process ends.
So it writes to a file that takes everything, and what the disk refused is said once it is closed.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py


class _Patient(io.RawIOBase):
    """A file whose writes do not fail: it keeps the first OSError as `fault`, and what follows goes nowhere."""

    def __init__(self, file: io.FileIO) -> None:
        self._file = file
        self.fault: OSError | None = None

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        count = self._file.readinto(buffer) or 0
        if self.fault is not None and count < len(buffer):
            memoryview(buffer).cast("B")[count:] = bytes(
                len(buffer) - count
            )  # it was to be written
            count = len(buffer)
        return count

    def write(self, content: Any) -> int:
        left = memoryview(content).cast("B")
        whole = len(left)
        try:
            while left and self.fault is None:
                left = left[self._file.write(left) or 0 :]
        except OSError as error:
            self.fault = error
        return whole

    def truncate(self, size: int | None = None) -> int:
        try:
            return self._file.truncate(size)
        except OSError as error:
            self.fault = self.fault or error
            return size or 0

    def flush(self) -> None:
        """Nothing is kept back."""


@contextmanager
def written(path: str | Path, mode: str = "w") -> Iterator[h5py.File]:
    """The HDF5 file of that name, which is there, open for writing.

    Raises OSError, once the file is closed, where the disk refused anything.
    """
    with open(path, "r+b", buffering=0) as file:
        patient = _Patient(file)
        with h5py.File(patient, mode) as opened:
            yield opened
        if patient.fault is not None:
            raise patient.fault
