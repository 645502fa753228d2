"""quickest.py: the way that stays is the one whose steps take least, whatever a few of them take."""

import itertools

import numpy as np
import pytest

from distmlp.parallel.addends import SharedAddends, bytes_of
from distmlp.parallel.quickest import TURN, TURNS, Trial


def tried(ways, seconds):
    """The ways of the steps, and the one that stays; seconds: step number and way → how long it takes."""
    now, gone, steps, stays = 0.0, ways[0], [], False
    trial = Trial(ways, clock=lambda: now)
    while not stays:
        now += seconds(len(steps), gone)
        steps.append(gone)
        gone, stays = trial.next()
    return steps, gone


@pytest.mark.parametrize("quick", ["first", "second"])
def test_the_quickest_way_stays_though_some_steps_take_long(quick):
    def seconds(number, way):
        late = 50.0 if number % 7 == 0 else 0.0
        return late + (1.0 if way == quick else 1.1)

    steps, stays = tried(["first", "second"], seconds)
    assert stays == quick
    turns = [list(turn) for _, turn in itertools.groupby(steps)]
    assert [turn[0] for turn in turns] == TURNS * ["first", "second"]
    assert {len(turn) for turn in turns} == {TURN}


def test_the_step_after_a_change_does_not_count():
    def seconds(number, way):
        return 100.0 if number % TURN == 0 and way == "second" else 1.0 + (way == "first")

    assert tried(["first", "second"], seconds)[1] == "second"


def test_the_ranks_of_a_host_try_stores_and_then_keep_to_one_way():
    n = 100
    memory = bytearray(bytes_of(n, np.int32, 1))
    alone = SharedAddends(memory, n, np.int32, 0, 1)
    assert alone.kept == slice(0, n)
    pair = SharedAddends(bytearray(bytes_of(n, np.int32, 2)), n, np.int32, 1, 2)
    pair.meeting.meet = lambda: None
    seen = []
    assert pair.kept == slice(64, 100)
    for _ in range(2 * TURN * TURNS + 50):
        pair.add_up()
        seen.append((pair.kept.start, pair.kept.stop))
    assert set(seen) == {(64, 100), (0, 100)}
    assert len(set(seen[2 * TURN * TURNS :])) == 1
