"""What ends a command early: signals that ask a run to stop, and waits that take too long."""

import contextlib
import faulthandler
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # it needs numpy, which must not be imported yet
    from distmlp.parallel.communicator import Communicator

#: Standard error itself, whatever stands in for sys.stderr.
STDERR = 2


@contextlib.contextmanager
def bounded(seconds: float) -> Iterator[None]:
    """Ends this process where what is inside takes longer, with its traceback: for waits in C that hold Python up.

    Where a rank dies before MPI has come up, the others wait for it there.
    """
    if seconds < threading.TIMEOUT_MAX:
        faulthandler.dump_traceback_later(seconds, exit=True, file=STDERR)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


class StopFlag:
    """Whether SIGTERM, SIGINT, SIGUSR1 or SIGHUP (the terminal has closed) has come; a second SIGINT ends all ranks at once.

    A handler in Python would wait until MPI returns from what it does, so the handlers do nothing and
    a thread reads the signals' numbers from the pipe that C writes them to.
    """

    #: Seconds within which two SIGINTs are one: a terminal sends it to the ranks, and so may mpirun.
    ONE = 0.5

    def __init__(self) -> None:
        #: Of all ranks, once there is one.
        self.comm: Communicator | None = None
        self._came: dict[int, float] = {}
        self._reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing)
        threading.Thread(target=self._read, name="signals", daemon=True).start()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN or number != signal.SIGHUP:  # nohup
                signal.signal(number, _ignore)

    def __call__(self) -> bool:
        return bool(self._came)

    def _read(self) -> None:
        while True:
            for number in os.read(self._reading, 64):
                first = self._came.setdefault(number, time.monotonic())
                if number == signal.SIGINT and time.monotonic() - first > self.ONE:
                    if self.comm:
                        self.comm.abort(128 + number)
                    os._exit(128 + number)


def _ignore(number: int, frame: object) -> None:
    """A handler of Python, without which C would write no number."""
