"""What the user asks a launcher for by signals.  Standard library only."""

import signal
import time

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
