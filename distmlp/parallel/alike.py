"""What every rank must have alike: what differs, or fails on one of them, is an error on all, with the host."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from distmlp.errors import InputError
from distmlp.parallel.communicator import Communicator

T = TypeVar("T")


def on_every_rank(comm: Communicator, function: Callable[[], T]) -> T:
    """Returns function() on each rank; collective.

    Raises InputError on every rank where one raised an InputError or an OSError; it names the first such rank.
    """
    fault, value = None, None
    try:
        value = function()
    except (InputError, OSError) as error:
        fault = str(error)
    raise_first(comm, comm.all_gather(fault))
    return value  # type: ignore[return-value]  # where function failed, the line before has raised


def raise_first(comm: Communicator, faults: list[str | None]) -> None:
    """InputError with the first of the ranks' faults, by rank; with the rank's name where rank 0 has none."""
    if comm.size == 1 or faults[0] is not None:
        names = [""] * comm.size
    else:
        names = [f"rank {rank} of {comm.size} on {comm.hosts[rank]}: " for rank in range(comm.size)]
    for name, fault in zip(names, faults, strict=True):
        if fault is not None:
            raise InputError(f"{name}{fault}")


def check_same(comm: Communicator, given: Mapping[str, Any], what: str) -> None:
    """InputError on every rank where the ranks were given different things; names the first that differs, and the host.

    given: {name: value}.  what: where it comes from, such as "config".  Collective.
    """
    if comm.size == 1:
        return
    # What is the same takes two numbers a rank, however many ranks there are.
    digest = hashlib.sha256(repr(sorted(given.items())).encode()).digest()
    mine = int.from_bytes(digest[:7], "little")
    both = np.array([mine, -mine], np.int64)
    comm.max(both)
    if both[0] == -both[1]:
        return
    first, *others = comm.all_gather(dict(given))
    for rank, other in enumerate(others, 1):
        for name in [*first, *(name for name in other if name not in first)]:
            if name in first and name in other and first[name] == other[name]:
                continue
            here, there = (
                f"{found[name]!r:.60}" if name in found else "nothing" for found in (first, other)
            )
            raise InputError(
                f"the ranks were not given the same {what}: rank {rank} on {comm.hosts[rank]} has "
                f"{name} = {there}, but rank 0 on {comm.hosts[0]} has {here}"
            )
