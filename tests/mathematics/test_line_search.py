"""line_search.py: the strong Wolfe conditions are met, wherever a search begins, in few evaluations, also when it is left between them."""

import json
import math

import pytest

from distmlp.mathematics.line_search import CURVATURE, DECREASE, MOST, Search

#: (f, f') along a direction, with f'(0) < 0: of Moré and Thuente's paper, section 5, the first four; and a quadratic.
FUNCTIONS = {
    "quadratic": (lambda t: (t - 3.0) ** 2, lambda t: 2.0 * (t - 3.0)),
    "5.1": (
        lambda t: -t / (t * t + 2.0),
        lambda t: (t * t - 2.0) / (t * t + 2.0) ** 2,
    ),
    "5.2": (
        lambda t: (t + 0.004) ** 5 - 2.0 * (t + 0.004) ** 4,
        lambda t: 5.0 * (t + 0.004) ** 4 - 8.0 * (t + 0.004) ** 3,
    ),
    "5.4": (
        lambda t: 0.9 * (math.hypot(1.0 - t, 1e-3)) + 0.1 * math.hypot(t, 1e-3) - 0.2 * t,
        lambda t: (
            -0.9 * (1.0 - t) / math.hypot(1.0 - t, 1e-3) + 0.1 * t / math.hypot(t, 1e-3) - 0.2
        ),
    ),
    "exponential": (lambda t: math.exp(t) - 9.0 * t, lambda t: math.exp(t) - 9.0),
}


def searched(f, slope, first, limit=MOST):
    """(t, evaluations) of a search; its state goes through JSON each time, as in a checkpoint."""
    search = Search.begun(f(0.0), slope(0.0), first)
    for tried in range(1, limit + 1):
        search = Search.of(json.loads(json.dumps(search.numbers())))
        t = search.trial
        if search.meets(f(t), slope(t)):
            return t, tried
        search = search.after(f(t), slope(t))
        if search is None:
            return None, tried
    raise AssertionError("the search does not end")


@pytest.mark.parametrize("first", [1e-3, 0.1, 1.0, 10.0, 100.0])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_both_conditions_are_met(name, first):
    f, slope = FUNCTIONS[name]
    t, tried = searched(f, slope, first)
    assert f(t) <= f(0.0) + DECREASE * t * slope(0.0)
    assert abs(slope(t)) <= CURVATURE * abs(slope(0.0))
    assert tried <= (16 if name == "5.2" else 9)  # whose slope at 0 is 10⁻⁷ of that beyond


def test_a_good_first_step_is_taken_at_once():
    assert searched(*FUNCTIONS["quadratic"], 3.0) == (3.0, 1)


def test_a_bracket_s_cubic_is_exact_for_a_cubic():
    """f = t³ − 3 t has its minimum at 1: one step to bracket it, one to hit it."""
    search = Search.begun(0.0, -3.0, 4.0).after(4.0**3 - 12.0, 45.0)
    assert search.trial == pytest.approx(1.0, rel=1e-12)


def test_where_nothing_is_smaller_it_fails():
    t, tried = searched(lambda t: t, lambda t: -1.0, 1.0)  # a slope that is not the function's
    assert t is None
    assert tried <= MOST


def test_where_the_cost_falls_without_end_it_fails():
    t, tried = searched(lambda t: -t, lambda t: -1.0, 1.0)
    assert (t, tried) == (None, MOST)
