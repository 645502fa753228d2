"""Standard streams that nobody may listen to any more: what is said goes nowhere then, and the work goes on."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO


class Heard:
    """A stream that writes as long as somebody listens, and then to nowhere; all else is the stream's own.

    Nobody listens where the stream is closed, its pipe has no reader, or its device is full.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Writes text, and says that all of it was written."""
        try:
            return self._stream.write(text)
        except UnicodeEncodeError:
            return self.write(text.encode("ascii", "backslashreplace").decode())
        except (OSError, ValueError):
            self._to_nowhere()
            return len(text)

    def flush(self) -> None:
        """Writes what has been kept back."""
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self._to_nowhere()

    def _to_nowhere(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


def open_all() -> None:
    """Opens the three standard descriptors, where they are closed, on /dev/null.

    A file that is opened later would be one of them, and C would write messages into it.
    """
    while True:
        handle = os.open(os.devnull, os.O_RDWR)
        if handle > 2:
            os.close(handle)
            break
        os.set_inheritable(handle, True)
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w", closefd=False))  # noqa: SIM115  (until the process ends)


@contextlib.contextmanager
def heard_or_not() -> Iterator[None]:
    """Inside, what is written to the standard streams never fails."""
    kept = sys.stdout, sys.stderr
    open_all()
    sys.stdout, sys.stderr = Heard(sys.stdout), Heard(sys.stderr)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = (
            was or now for was, now in zip(kept, (sys.stdout, sys.stderr), strict=True)
        )
