"""Where the ranks of one host meet, in memory that they share and without MPI.

A rank that waits spins for a moment, and then sleeps in the kernel until it is woken: what else the
machine does gets the core meanwhile.  MPI's own barrier spins for as long as it waits.
"""

import os
from collections.abc import Callable

import numpy as np

from distmlp.kernels import choice as kernels

#: Whole numbers of 32 bits that a meeting is, zeros at first.
WORDS = 32

#: Seconds that a rank spins: about as long as it takes to fall asleep and to be woken.
SPINNING = 50e-6

#: Seconds after which a rank that sleeps looks whether a rank is lost.
LOOK = 0.02

#: What a rank is told that need not wait: all have met, where this is not it.
_GIVEN_UP = -2


class GivenUp(Exception):
    """The ranks of this host do not meet any more: one of them has given up, or is lost."""


class Meeting:
    """One rank's part in the meetings of its host.

    words: (WORDS,) uint32, shared by the host's ranks.  ranks: how many they are.  is_lost: asked every
    `LOOK` seconds of waiting, whether a rank will never come.
    """

    def __init__(self, words: np.ndarray, ranks: int, is_lost: Callable[[], bool]) -> None:
        assert kernels.compiled is not None
        self._compiled = kernels.compiled
        self._words, self._ranks, self._is_lost = words, ranks, is_lost
        # Where ranks share cores, whoever spins keeps those from coming whom it waits for.
        self._spinning = SPINNING if ranks <= _cores() else 0.0

    @staticmethod
    def is_possible() -> bool:
        """Whether this rank can meet others: numpy has no atomic operations, so something must be compiled."""
        return kernels.compiled is not None

    def meet(self) -> None:
        """Returns once every rank of the host has come as often as this one.

        Raises GivenUp on every rank that waits here or comes later, where a rank is lost or gives up.
        Either all survivors have met or none has.
        """
        ticket = self._compiled.meet(self._words, self._ranks, -1, self._spinning, LOOK)
        while ticket >= 0:
            if self._is_lost() and not self._compiled.give_up(self._words, ticket):
                raise GivenUp("MPI knows of a loss, while this rank waited for others of its host")
            ticket = self._compiled.meet(self._words, self._ranks, ticket, 0.0, LOOK)
        if ticket == _GIVEN_UP:
            raise GivenUp("another rank of this host has given up")

    def come(self) -> None:
        """Comes to the meeting without waiting for the others; nobody gives up a meeting that is used so."""
        self._ticket = self._compiled.meet(self._words, self._ranks, -1, 0.0, 0.0)

    def is_met(self) -> bool:
        """Whether all others have come as well, after `come`."""
        self._ticket = self._compiled.meet(self._words, self._ranks, self._ticket, 0.0, 0.0)
        return self._ticket < 0

    def give_up(self) -> None:
        """Ends the meetings for the others, where this rank cannot come any more."""
        self._compiled.give_up(self._words, -1)


def _cores() -> int:
    """The cores of this machine; a rank may be bound to one of them, and the others to the rest."""
    return os.cpu_count() or 1
