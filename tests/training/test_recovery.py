"""Which survivor's state all go on from."""

import numpy as np
import pytest
from simulated import on_ranks

from distmlp.training.recovery import furthest
from distmlp.training.state import State


def state_of(rank, step, settled):
    state = State(np.full(2, rank, np.float32), {}, {}, step=step, record={"of": rank})
    if not settled:
        state.totals[0] = 1
    return state


@pytest.mark.parametrize(
    "places, chosen",
    [
        ([(4, False), (5, False), (4, False)], 1),
        ([(21, False), (21, False), (21, True)], 2),
        ([(21, True), (20, False), (21, False)], 0),
    ],
)
def test_all_have_the_state_and_the_record_that_are_furthest(places, chosen):
    def on(comm):
        return furthest(state_of(comm.rank, *places[comm.rank]), comm)

    for found in on_ranks(3, on):
        assert found.progress == places[chosen]
        assert found.v.tolist() == [chosen, chosen] and found.record == {"of": chosen}


def test_each_keeps_its_own_where_all_are_as_far():
    """Then they are equal but for what a clock says."""
    states = [state_of(rank, 5, False) for rank in range(3)]
    found = on_ranks(3, lambda comm: furthest(states[comm.rank], comm))
    assert all(mine is kept for mine, kept in zip(found, states, strict=True))
