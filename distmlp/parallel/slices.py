"""Who adds up which part of a sum over several hosts, from the numbers of hosts and ranks alone.  Standard library only.

The ranks of a host cut what is added up into slices, one each.  The ranks of one place, the r-th of every host, then
add up the r-th slice between the hosts.  They do so in stages: the hosts are a grid of few in each direction, and a
stage is between those of one line of it.  Each stage cuts what a rank still has to add up.  Each host sends 2 (H −
1)/H times the numbers, the least that a sum can.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

#: Entries to which slices are rounded up: two cache lines of 4-byte numbers, so that no two ranks write to one.
WHOLE = 32

#: The most hosts of a stage where their number can be divided so: each sends every other one a message.
_WIDEST = 8

#: Bytes of a message that travel by themselves at least.
PIECE = 2**19

#: The most pieces of a message.
MOST_PIECES = 16


@dataclass(frozen=True)
class Stage:
    """One host's part in a stage.

    peers: the hosts it exchanges with.  parts: what each of them adds up.  own: what this one adds up.
    """

    peers: tuple[int, ...]
    parts: tuple[slice, ...]
    own: slice


def ranks_by_host(places: Sequence[object]) -> list[list[int]]:
    """The ranks of each host, hosts in the order of their first rank; places: each rank's host, by rank."""
    found: dict[object, list[int]] = {}
    for rank, place in enumerate(places):
        found.setdefault(place, []).append(rank)
    return list(found.values())


def cut(whole: slice, parts: int) -> list[slice]:
    """A slice in so many parts of about equal length, the last ones shorter or empty; starts are multiples of WHOLE away."""
    length = whole.stop - whole.start
    each = -(-length // (parts * WHOLE)) * WHOLE
    ends = [whole.start + min(i * each, length) for i in range(parts + 1)]
    return [slice(a, b) for a, b in itertools.pairwise(ends)]


def directions(hosts: int) -> list[int]:
    """How many hosts each direction of the grid has; their product is `hosts`.

    A prime that is too wide is one direction.
    """
    found, left = [], hosts
    while left > 1:
        wide = next((f for f in range(min(_WIDEST, left), 1, -1) if left % f == 0), None)
        if wide is None:
            wide = next(f for f in range(_WIDEST + 1, left + 1) if left % f == 0)
        found.append(wide)
        left //= wide
    return found


def stages(host: int, hosts: int, whole: slice) -> list[Stage]:
    """The stages in which a host adds up its part of a slice, one of `hosts` hosts."""
    found, stride = [], 1
    for wide in directions(hosts):
        place = host // stride % wide
        parts = cut(whole, wide)
        others = [(place + k) % wide for k in range(1, wide)]
        peers = tuple(host + (other - place) * stride for other in others)
        found.append(Stage(peers, tuple(parts[other] for other in others), parts[place]))
        whole, stride = parts[place], stride * wide
    return found


def pieces(n: int, itemsize: int) -> list[slice]:
    """A message of n entries in pieces that travel one after another, while what follows is still being computed."""
    return cut(slice(0, n), max(1, min(MOST_PIECES, n * itemsize // PIECE)))


def rounds(whole: slice, hosts: int, most: int) -> list[slice]:
    """A slice in parts none of whose messages has more than about `most` entries."""
    wide = next(iter(directions(hosts)), 1)
    return cut(whole, max(1, -(-(whole.stop - whole.start) // (most * wide))))
