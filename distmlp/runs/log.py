"""log.jsonl: one JSON object an epoch, which rank 0 appends and anybody may read."""

import contextlib
import json
import math
import os
from pathlib import Path
from typing import Any, BinaryIO

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
        # A link under the log's name is not followed: its target is nothing of this run's.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        self._file = os.fdopen(os.open(path, flags, 0o666), "ab", buffering=0)

    def append(self, record: dict) -> None:
        """One object, which a reader sees at once.  Raises OSError."""
        self._unwritten += as_json(record).encode() + b"\n"
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
    """The records of a log.jsonl.  Lines that are none, such as a last one that a crash cut short, are left out.

    Raises OSError.
    """
    try:
        with files.open_regular(path) as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return []
    return [record for record in map(_parsed, lines) if _is_record(record)]


def read_records(path: Path) -> list[dict]:
    """The records that have all that a run writes into one; a line that was changed may lack some.  Raises OSError."""
    return [record for record in read_log(path) if _is_whole(record)]


def as_json(value: Any) -> str:
    """A value as JSON, which has neither NaN nor infinity: null stands for them."""
    return json.dumps(_finite(value), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(of) for key, of in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(of) for of in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _parsed(line: bytes) -> Any:
    """What a line says; None where it is no JSON."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _is_record(value: Any) -> bool:
    """Whether a line's value is a record of an epoch, as far as others read it."""

    def is_int(x: Any) -> bool:
        return isinstance(x, int) and not isinstance(x, bool)

    def is_number(x: Any) -> bool:
        return is_int(x) or isinstance(x, float)

    return (
        isinstance(value, dict)
        and is_int(value.get("step"))
        and is_int(value.get("epoch", 0))
        and is_number(value.get("seconds", 0))
        and isinstance(value.get("v_sha256", ""), str)
        and all(
            value.get(key) is None or is_number(value[key])
            for key in ("cost", "validation_cost", "accuracy")
        )
    )


def _keep_records(path: Path, step: int, record: dict | None) -> None:
    """Rewrites a log with its records up to a step only, and with this one, if it belongs there."""
    records = [old for old in read_log(path) if old["step"] <= step]
    if record and record["step"] <= step and all(old["step"] < record["step"] for old in records):
        records.append(record)
    content = "".join(f"{as_json(record)}\n" for record in records).encode()
    try:
        with files.open_regular(path) as file:
            if file.read() == content and not path.is_symlink():
                return
    except FileNotFoundError:
        if not records:
            return
    files.write(path, content)


def _is_whole(record: dict) -> bool:
    numbers = ("epoch", "cost", "learning_rate", "samples_per_second", "ranks", "seconds")
    others = ("validation_cost", "accuracy", "accuracy_of", "training_accuracy", "v_sha256")
    return all(isinstance(record.get(key), int | float) for key in numbers) and all(
        key in record for key in others
    )
