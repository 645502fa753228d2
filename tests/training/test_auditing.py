"""Wrong bits: that each is seen in the digest, which rank is named, and what the repair gives back."""

import dataclasses

import numpy as np
import pytest
from preparing import Heard, config_in, prepared
from simulated import on_ranks

from distmlp.errors import Corrupted
from distmlp.mathematics import exact
from distmlp.training import auditing
from distmlp.training.auditing import Auditor, digest, odd_ones_out
from distmlp.training.resuming import new_state
from distmlp.training.saving import Saver
from distmlp.training.state import State


def some_state():
    v, mean, square = np.linspace(-1, 1, 30, dtype=np.float32).reshape(3, 10).copy()
    arrays = {"mean": mean, "square": square}
    return State(v, arrays, {"power": 0.5}, exact.Grid([3, 4], np.float32), 7)


def flipped(what):
    state = some_state()
    if what == "v":
        state.v.view(np.uint32)[4] ^= 1
    elif what in state.arrays:
        state.arrays[what].view(np.uint32)[9] ^= 1 << 31
    elif what == "scalars":
        state.scalars["power"] = np.nextafter(0.5, 1)
    elif what == "grid":
        state.grid = exact.Grid([3, 5], np.float32)
    elif what == "totals":
        state.totals[-1] += 1
    else:
        setattr(state, what, 1)
    return state


@pytest.mark.parametrize(
    "what",
    [
        "v",
        "mean",
        "square",
        "scalars",
        "grid",
        "step",
        "totals",
        "last_cost",
        "last_change",
        "least_change",
    ],
)
def test_any_flipped_bit_changes_the_digest(what):
    assert digest(some_state()) == digest(some_state())
    assert digest(flipped(what)) != digest(some_state())


def test_what_may_differ_between_ranks_does_not_change_the_digest():
    state = some_state()
    state.record = {"seconds": 1.0}
    assert digest(state) == digest(some_state())
    named = {field.name for field in dataclasses.fields(State)}
    costs = {"last_cost", "last_change", "least_change"}
    in_the_digest = {"v", "arrays", "scalars", "grid", "step", "totals", *costs}
    in_the_digest.add("shown")
    assert named - in_the_digest == {"stop", "save", "record"}


@pytest.mark.parametrize(
    "size, wrong, odd",
    [
        (1, [], []),
        (3, [], []),
        (3, [0], [0]),
        (5, [1, 4], [1, 4]),
        (2, [1], None),
        (4, [2, 3], None),
    ],
)
def test_the_majority_tells_who_is_wrong(size, wrong, odd):
    def on(comm):
        return odd_ones_out(flipped("v") if comm.rank in wrong else some_state(), comm)

    assert on_ranks(size, on) == [odd] * size


def repaired(place, wrong, size=3, changes={}, times=1):
    """What each rank's repair made of it, (returned or raised, state, what rank 0 has heard)."""
    heard = Heard()
    config_in(place)

    def on(comm):
        with prepared(place, changes, comm, heard if comm.rank == 0 else None) as run:
            saver = Saver(run)
            auditor = Auditor(run, saver)
            for _ in range(times):
                state = new_state(run)
                state.step, state.record = 9, {"epoch": 1}
                if comm.rank in wrong:
                    state.v.view(np.uint32)[0] ^= 1
                try:
                    outcome = auditor.repair(state)
                except Corrupted as error:
                    outcome = str(error)
            saver.close()
            return outcome, state

    return on_ranks(size, on), heard.said


def test_equal_states_stay_as_they_are(tmp_path):
    found, said = repaired(tmp_path, [])
    assert [(outcome, state.step) for outcome, state in found] == [(False, 9)] * 3
    assert said == []


def test_all_go_back_where_one_is_wrong(tmp_path):
    """Without a checkpoint to the start; the last epoch's record stays."""
    found, said = repaired(tmp_path, [1])
    with prepared(tmp_path) as run:
        start = digest(new_state(run))
    for outcome, state in found:
        assert outcome is True
        assert (digest(state), state.record) == (start, {"epoch": 1})
    (warning, text), started = said
    assert warning == "warn" and started == ("start", 0, 42)
    assert text.startswith("rank 1 on host-1 (process 101): ") and text.endswith("to step 0")


@pytest.mark.parametrize(
    "wrong, size, changes, times, words",
    [
        ([1], 2, {}, 1, "no majority tells which is wrong"),
        ([1], 3, {"run.on_corruption": "stop"}, 1, "rank 1 on host-1"),
        ([2], 3, {}, auditing.MOST_REPAIRS + 1, "rank 2 on host-2"),
    ],
    ids=["no majority", "as the config says", "again and again"],
)
def test_all_stop(wrong, size, changes, times, words, tmp_path):
    found, _ = repaired(tmp_path, wrong, size, changes, times)
    for outcome, state in found:
        assert words in outcome and outcome.endswith("no checkpoint has been written")
        assert state.step == 9


def test_states_are_compared_as_often_as_the_config_says(tmp_path):
    for every, expected in ((0, []), (4, [0, 4, 8])):
        with prepared(tmp_path, {"run.check_every": every}) as run:
            auditor, state = Auditor(run, None), new_state(run)
            found = []
            for state.step in range(10):
                if auditor.compares(state):
                    found.append(state.step)
        assert found == expected
