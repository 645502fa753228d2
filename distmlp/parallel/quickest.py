"""Which of some ways is the quickest on this machine: the first steps try them in turn."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Way = TypeVar("Way")

#: Steps of a turn, and turns of each way.
TURN, TURNS = 8, 12

#: Steps at the begin of a turn that do not count, since the step before them went the other way.
_SETTLING = 2


class Trial(Generic[Way]):
    """Gives each of the ways some turns; then the one whose steps have the least median stays."""

    def __init__(self, ways: Sequence[Way], clock: Callable[[], float] = time.perf_counter) -> None:
        self._ways, self._clock = ways, clock
        self._seconds: list[list[float]] = [[] for _ in ways]
        self._steps = 0
        self._ended = 0.0

    def next(self) -> tuple[Way, bool]:
        """The way of the next step, and whether it stays.  Call it at the end of each step; the first step goes the first way."""
        now, way = self._clock(), self._steps // TURN % len(self._ways)
        if self._steps % TURN >= _SETTLING:
            self._seconds[way].append(now - self._ended)
        self._ended = now
        self._steps += 1
        if self._steps < TURN * TURNS * len(self._ways):
            return self._ways[self._steps // TURN % len(self._ways)], False
        medians = list(map(statistics.median, self._seconds))
        return self._ways[medians.index(min(medians))], True
