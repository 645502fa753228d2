"""meeting.py with ranks that are threads: all meet or none does, whoever sleeps is woken, and a loss ends every wait."""

import random
import threading
import time

import numpy as np
import pytest

from distmlp.kernels import choice
from distmlp.parallel import meeting
from distmlp.parallel.meeting import WORDS, GivenUp, Meeting

pytestmark = pytest.mark.skipif(choice.compiled is None, reason="nothing compiled is there")


def on_ranks(size, function, is_lost=lambda: False):
    """What function(meeting, rank) returned or raised on each of so many threads."""
    words = np.zeros(WORDS, np.uint32)
    outcomes = [None] * size

    def run(rank):
        try:
            outcomes[rank] = function(Meeting(words, size, is_lost), rank)
        except GivenUp as error:
            outcomes[rank] = error

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    return outcomes


@pytest.mark.parametrize("spinning", [0.0, 3e-6, 1e-3])
@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_nobody_is_ahead(size, spinning, monkeypatch):
    """Spinning for no time, a short one that holds Python's lock, and a long one."""
    monkeypatch.setattr(meeting, "SPINNING", spinning)
    times = [0] * size

    def function(ours, rank):
        for turn in range(200):
            if random.Random(turn * size + rank).random() < 0.01:
                time.sleep(0.001)
            times[rank] = turn
            ours.meet()
            assert min(times) >= turn
            ours.meet()
        return "done"

    assert on_ranks(size, function) == ["done"] * size


def test_the_count_of_meetings_begins_again():
    words = np.zeros(WORDS, np.uint32)
    words[0] = 0x7FFF0000
    ours = Meeting(words, 1, lambda: False)
    ours.meet()
    assert words[0] == 0
    ours.meet()
    assert words[0] == 0x10000


def test_a_rank_that_gives_up_ends_all_waits():
    def function(ours, rank):
        ours.meet()
        if rank == 1:
            time.sleep(0.05)
            ours.give_up()
        else:
            ours.meet()
        return rank

    first, second, third = on_ranks(3, function)
    assert second == 1 and isinstance(first, GivenUp) and isinstance(third, GivenUp)


def test_a_lost_rank_ends_all_waits():
    def function(ours, rank):
        ours.meet()
        if rank != 2:
            ours.meet()

    began = time.monotonic()
    *waited, _ = on_ranks(3, function, lambda: True)
    assert all(isinstance(one, GivenUp) for one in waited)
    assert time.monotonic() - began < 5


def test_who_has_met_has_met_though_another_gives_up_next():
    def function(ours, rank):
        ours.meet()
        if rank == 0:
            ours.give_up()
        return "met"

    assert on_ranks(2, function) == ["met", "met"]
