"""log.jsonl: one JSON object an epoch, which rank 0 appends and anybody may read."""

import contextlib
import json
import os
from pathlib import Path
from typing import BinaryIO

from distmlp import files


class Log:
    """A run's log, open to append to.

    A line that the disk refuses is kept, and written with a later one; there is never half a line.
    """

    def __init__(self) -> None:
        self._file: BinaryIO | None = None
        self._unwritten = b""

    @property
    def unwritten(self) -> int:
        """How many records the disk has refused so far."""
        return self._unwritten.count(b"\n")

    def open(self, path: Path, step: int, record: dict | None = None) -> None:
        """Opens a log without its records after a step, which will be made again.  Raises OSError.

        record: of the last epoch settled, put in where the log has lost it.
        """
        _keep_records(path, step, record)
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115  (closed by `close`)

    def append(self, record: dict) -> None:
        """One object, which a reader sees at once.  Raises OSError."""
        self._unwritten += json.dumps(record).encode() + b"\n"
        self._write()

    def close(self) -> None:
        """Writes what is left, and makes it last.  Raises OSError."""
        if self._file is None:
            return
        try:
            if self._unwritten:
                self._write()
            os.fsync(self._file.fileno())
        finally:
            self._file.close()
            self._file = None

    def _write(self) -> None:
        if self._file is None:
            return
        # not tell(), which after half a line that was taken back is beyond the end
        end = self._file.seek(0, os.SEEK_END)
        try:
            rest = memoryview(self._unwritten)
            while rest:
                rest = rest[self._file.write(rest) :]
            self._unwritten = b""
        except OSError:
            with contextlib.suppress(OSError):
                self._file.truncate(end)  # no half a line
            raise


def read_log(path: Path) -> list[dict]:
    """The objects of a log.jsonl; a last line that a crash cut short is left out."""
    records = []
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError:
                break
    return records


def _keep_records(path: Path, step: int, record: dict | None) -> None:
    """Rewrites a log with its records up to a step only, and with this one, if it belongs there."""
    records = [old for old in read_log(path) if old["step"] <= step]
    if record and record["step"] <= step and all(old["step"] < record["step"] for old in records):
        records.append(record)
    if not path.exists() and not records:
        return
    files.write(path, "".join(f"{json.dumps(record)}\n" for record in records).encode())
