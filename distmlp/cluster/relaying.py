"""What ranks print, passed on as it comes.  Standard library only."""

import contextlib
import re
import threading
from collections.abc import Iterator
from typing import IO

# Open MPI says this of every recovery, and of its end over several hosts; it is of no use to anyone.
_NOISE = re.compile(rb"^(NBC_Progress: .*|\[warn\] Epoll .*|\s*)$")


def relay(pipe: IO[bytes], out: IO[bytes]) -> threading.Thread:
    """Starts a thread that passes on what comes through a pipe, but for noise, until the pipe ends."""
    thread = threading.Thread(target=_pass_on, args=(pipe, out), daemon=True)
    thread.start()
    return thread


def _pass_on(pipe: IO[bytes], out: IO[bytes]) -> None:
    for part in without_noise(iter(lambda: pipe.read1(65536), b"")):  # type: ignore[attr-defined]
        # Nobody may listen any more, which must not end a training.
        with contextlib.suppress(BrokenPipeError, ValueError):
            out.write(part)
            out.flush()


def without_noise(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The lines of these bytes but for noise, each as soon as it ends; a progress bar, which ends none, at once."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line + b"\n" for line in lines if not _NOISE.match(line))
        if b"\r" in rest:
            yield rest
            rest = b""
    if rest:
        yield rest
