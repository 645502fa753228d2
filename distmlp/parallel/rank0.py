"""What rank 0 does for all ranks: files, messages, checks."""

from collections.abc import Callable
from typing import Any, TypeVar

from distmlp.errors import InputError
from distmlp.parallel.communicator import Communicator

T = TypeVar("T")


def on_rank_0(comm: Communicator, function: Callable[[], T]) -> T:
    """Returns function() of rank 0 on every rank; collective.

    Raises InputError on every rank where rank 0 raised an InputError or an OSError.
    """
    outcome: Any = None
    if comm.rank == 0:
        try:
            outcome = (function(), None)
        except (InputError, OSError) as error:
            outcome = (None, str(error))
    value, fault = comm.broadcast(outcome)
    if fault is not None:
        raise InputError(fault)
    return value
