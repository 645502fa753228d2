"""The processes of a run on this machine, found by a variable that all of them inherit.  Standard library only."""

import contextlib
import os
import re
import signal
import subprocess
import time
from pathlib import Path

#: The ranks' environment carries a run's own value of it.
MARK = "DISTMLP_LAUNCH"

_RANK = re.compile(rb"(^|\0)(OMPI_COMM_WORLD_RANK|PMI_RANK)=")


def _marked(mark: str) -> list[tuple[int, bytes]]:
    """(id, environment) of each process of a run."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            environment = entry.read_bytes()
        except OSError:
            continue  # ended in the meantime, or a different user's
        if f"{MARK}={mark}".encode() in environment.split(b"\0"):
            found.append((int(entry.parent.name), environment))
    return found


def has_ranks(mark: str) -> bool:
    """Whether a rank of this run is alive here."""
    return any(_RANK.search(environment) for _, environment in _marked(mark))


def end(mark: str, mpirun: subprocess.Popen[bytes]) -> None:
    """Ends what is left of a run here; elsewhere daemons end with the mpirun that started them."""
    for _ in range(100):
        left = [pid for pid, _ in _marked(mark)]
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not left and mpirun.poll() is not None:
            return
        time.sleep(0.02)
