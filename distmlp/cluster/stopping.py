"""What ends a launcher's work: signals that a user sends, and its own death.  Standard library only."""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable

#: From the C library of Linux, found before any process is made: between fork and exec nothing may be loaded.
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None

#: linux/prctl.h
_SET_PDEATHSIG = 1

#: Seconds within which two SIGINTs are one: a terminal and a script may both send it.
_ONE = 0.5


class StopRequest:
    """Whether SIGTERM, SIGINT, SIGUSR1 or SIGHUP (the terminal has closed) has come, and whether a second SIGINT asks for the end at once.

    since: when the first one came (time.monotonic), or None.
    """

    def __init__(self) -> None:
        self.since: float | None = None
        self.at_once = False
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN or number != signal.SIGHUP:  # nohup
                signal.signal(number, self._came)

    def _came(self, number: int, frame: object) -> None:
        now = time.monotonic()
        if number == signal.SIGINT and self.since is not None and now - self.since > _ONE:
            self.at_once = True
        self.since = self.since or now


def signal_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    """What a process that this one starts does first (preexec_fn), so that it gets a signal where this one dies, by kill -9 too.

    None where the system has no such thing; only Linux has.
    """
    if _prctl is None:
        return None
    parent, prctl = os.getpid(), _prctl

    def before_exec() -> None:
        prctl(_SET_PDEATHSIG, int(number))
        if os.getppid() != parent:  # it has died in the meantime
            os.kill(os.getpid(), number)

    return before_exec
