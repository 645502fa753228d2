"""The state: what an epoch's end makes of it, and what it takes on of a second one."""

import numpy as np

from distmlp.mathematics import exact_costs
from distmlp.training.state import State


def state(step=0, **more):
    return State(np.zeros(3, np.float32), {"mean": np.ones(3, np.float32)}, {"power": 1.0}, **more)


def test_the_changes_of_the_cost_are_known_from_the_second_epoch_on():
    found = state()
    assert (found.last_cost, found.last_change, found.record) == (None, None, None)
    found.end_epoch({"cost": 2.0})
    assert (found.last_cost, found.last_change) == (2.0, None)
    found.end_epoch({"cost": 2.5, "epoch": 2})
    assert (found.last_cost, found.last_change) == (2.5, 0.5)
    assert found.record == {"cost": 2.5, "epoch": 2}


def test_an_epoch_is_settled_when_it_is_on_record():
    found = state()
    assert found.is_settled and found.progress == (0, True)
    found.step = 4
    found.totals[:2] = 8, 3
    assert not found.is_settled and found.progress == (4, False)
    found.end_epoch({"cost": 1.0})
    assert found.is_settled and found.progress == (4, True)
    assert found.totals.tolist() == exact_costs.no_totals().tolist()


def test_settled_is_further_than_not_settled():
    before, after = state(), state()
    before.step = after.step = 21
    before.totals[0] = 1
    assert after.progress > before.progress


def test_become_takes_on_everything():
    found, other = state(), state()
    other.v += 1
    other.step, other.last_cost, other.record = 7, 0.5, {"epoch": 1}
    found.become(other)
    assert found == found and vars(found).keys() == vars(other).keys()
    assert all(vars(found)[name] is value for name, value in vars(other).items())
