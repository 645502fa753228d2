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

#: What a failed sum's messages may still be written to, which must not be freed: MPI may still come to it.
_failed: list[Any] = []


class Exchange:
    """Adds up a slice of the rows of this rank's host, and then between the hosts.

    comm: an mpi4py communicator.  kind: MPI's type of the numbers.  peers: the ranks of this rank's place,
    by host; host: which of them this rank is.  rows: (ranks of the host, n), what they add; total: (n,),
    where the sum is made.  whole: the slice.  is_lost: asked every LOOK seconds of waiting, whether a rank will
    never come.
    """

    def __init__(
        self,
        comm: Any,
        kind: Any,
        peers: Sequence[int],
        host: int,
        rows: np.ndarray,
        total: np.ndarray,
        whole: slice,
        is_lost: Callable[[], bool],
    ) -> None:
        self._comm, self._kind, self._peers = comm, kind, peers
        self._rows, self._total, self._is_lost = rows, total, is_lost
        most = MESSAGE // total.itemsize
        self._rounds = [
            (part, slices.stages(host, len(peers), part))
            for part in slices.rounds(whole, len(peers), most)
            if part.stop > part.start
        ]
        longest = max(
            (s.own.stop - s.own.start for _, made in self._rounds for s in made), default=0
        )
        widest = max(slices.directions(len(peers)), default=1)
        self._arrived = np.empty((_UNDER_WAY, widest - 1, longest), total.dtype)
        self._requests: list[Any] = []

    def add_up(self) -> None:
        """total's slice becomes the sum over all hosts, once every rank of the host has written its row.

        Raises GivenUp or an exception of MPI where a rank is lost.
        """
        try:
            self._add_up()
        except BaseException:
            _failed.append((self, self._requests))
            raise

    def _add_up(self) -> None:
        waiting = list(enumerate(self._rounds))[::-1]
        free = list(range(_UNDER_WAY))
        under_way: list[tuple[int, Iterator[list[Any]], list[Any]]] = []
        self._requests = []
        since = looked = time.monotonic()
        while waiting or under_way:
            gone_on = False
            if waiting and free:
                number, (part, made) = waiting.pop()
                place = free.pop()
                steps = self._round(number, part, made, self._arrived[place])
                under_way.append((place, steps, next(steps)))
                gone_on = True
            for one in list(under_way):
                place, steps, requests = one
                if not requests[0].Testall(requests):
                    continue
                gone_on = True
                under_way.remove(one)
                more = next(steps, None)
                if more is None:
                    free.append(place)
                else:
                    under_way.append((place, steps, more))
            if gone_on:
                since = looked = time.monotonic()
            else:
                looked = self._wait_a_little(since, looked)

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
