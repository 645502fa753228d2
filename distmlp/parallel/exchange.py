"""The second level of a sum over several hosts: the ranks of one place add up their slice between the hosts.

Messages travel over the ranks' one communicator.  A communicator more would have to be made again after
each loss, and Open MPI 5.0 survives fewer losses with it (docs/measurements/hosts.md).
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from distmlp.kernels import choice as kernels
from distmlp.parallel import slices
from distmlp.parallel.meeting import LOOK, SPINNING, GivenUp

#: Bytes of a message at most, about.  One that travels in pieces can lose its sender unnoticed (Open MPI 5.0),
#: and while one is on its way the next is added up.
MESSAGE = 2**20

#: Rounds that are under way at a time.
_UNDER_WAY = 4

#: Seconds that a rank sleeps between two looks at what has come.
_NAP = 50e-6

_TAG = 1000

#: Sums whose messages are on their way.  One that fails stays here, so that nothing is freed that MPI may still come to.
_unfinished: set["Exchange"] = set()


class Exchange:
    """Adds up slices of the rows of this rank's host, and then between the hosts.

    comm: an mpi4py communicator.  kind: MPI's type of the numbers.  peers: the ranks of this rank's place,
    by host; host: which of them this rank is.  rows: (ranks of the host, n), what they add; total: (n,),
    where the sum is made.  mine: the slices, in the order in which they are written.  is_lost: asked every LOOK seconds
    of waiting, whether a rank will never come.
    """

    def __init__(
        self,
        comm: Any,
        kind: Any,
        peers: Sequence[int],
        host: int,
        rows: np.ndarray,
        total: np.ndarray,
        mine: Sequence[slice],
        is_lost: Callable[[], bool],
    ) -> None:
        self._comm, self._kind, self._peers = comm, kind, peers
        self._rows, self._total, self._is_lost = rows, total, is_lost
        most = MESSAGE // total.itemsize
        self._rounds = [
            (part, slices.stages(host, len(peers), part))
            for whole in mine
            for part in slices.rounds(whole, len(peers), most)
            if part.stop > part.start
        ]
        longest = max(
            (s.own.stop - s.own.start for _, made in self._rounds for s in made), default=0
        )
        widest = max(slices.directions(len(peers)), default=1)
        self._arrived = np.empty((_UNDER_WAY, widest - 1, longest), total.dtype)
        #: Seconds of the last `finish` in which this rank slept or looked at the clock, and in which it did something.
        self.waited = self.worked = 0.0
        self._begin()

    def _begin(self) -> None:
        """Nothing of the next sum is made yet."""
        self._next, self._free = 0, list(range(_UNDER_WAY))
        self._under_way: list[tuple[int, Iterator[list[Any]], list[Any]]] = []
        self._requests: list[Any] = []

    def go_on(self, end: int) -> bool:
        """Does what needs no waiting, where every rank of the host has written its row up to `end`; whether that was anything.

        Raises an exception of MPI where a rank is lost.
        """
        _unfinished.add(self)
        gone_on = False
        while self._free and self._next < len(self._rounds):
            part, made = self._rounds[self._next]
            if part.stop > end:
                break
            place = self._free.pop()
            steps = self._round(self._next, part, made, self._arrived[place])
            self._next += 1
            self._under_way.append((place, steps, next(steps)))
            gone_on = True
        for one in list(self._under_way):
            place, steps, requests = one
            if not requests[0].Testall(requests):
                continue
            gone_on = True
            self._under_way.remove(one)
            more = next(steps, None)
            if more is None:
                self._free.append(place)
            else:
                self._under_way.append((place, steps, more))
        return gone_on

    def finish(self) -> None:
        """total's slices become the sum over all hosts, once every rank of the host has written its row.

        Raises GivenUp or an exception of MPI where a rank is lost.
        """
        self.waited = 0.0
        began = since = looked = time.monotonic()
        while self._under_way or self._next < len(self._rounds):
            if self.go_on(len(self._total)):
                since = looked = time.monotonic()
            else:
                before = time.monotonic()
                looked = self._wait_a_little(since, looked)
                self.waited += time.monotonic() - before
        self.worked = time.monotonic() - began - self.waited
        self._begin()
        _unfinished.discard(self)

    def _wait_a_little(self, since: float, looked: float) -> float:
        """Lets others have the core after a while without news; returns when it was last asked who is lost."""
        now = time.monotonic()
        if now - since > SPINNING:
            time.sleep(_NAP)
        if now - looked < LOOK:
            return looked
        if self._is_lost():
            raise GivenUp("MPI knows of a loss, while this rank waited for another host")
        return now

    def _round(
        self, number: int, whole: slice, made: list[slices.Stage], arrived: np.ndarray
    ) -> Iterator[list[Any]]:
        """One round: what it waits for, step after step."""
        total = self._total
        kernels.add_rows(self._rows, whole.start, total[whole])
        tag = _TAG + 2 * number * len(made)
        for stage in made:
            length = stage.own.stop - stage.own.start
            come = arrived[: len(stage.peers), :length]
            requests = [
                self._receive(row, peer, tag) for row, peer in zip(come, stage.peers, strict=True)
            ]
            for part, peer in zip(stage.parts, stage.peers, strict=True):
                requests.append(self._send(total[part], peer, tag))
            yield requests
            for row in come:
                np.add(total[stage.own], row, out=total[stage.own])
            tag += 1
        for stage in reversed(made):
            requests = []
            for part, peer in zip(stage.parts, stage.peers, strict=True):
                requests.append(self._receive(total[part], peer, tag))
                requests.append(self._send(total[stage.own], peer, tag))
            yield requests
            tag += 1

    def _send(self, numbers: np.ndarray, host: int, tag: int) -> Any:
        request = self._comm.Isend([numbers, self._kind], self._peers[host], tag)
        self._requests.append(request)
        return request

    def _receive(self, numbers: np.ndarray, host: int, tag: int) -> Any:
        request = self._comm.Irecv([numbers, self._kind], self._peers[host], tag)
        self._requests.append(request)
        return request
