"""Schedules: α of each step, against worked numbers and PyTorch's schedulers."""

import math

import pytest
from torch_schedules import (
    ALPHA,
    SCHEDULES,
    STEPS,
    STEPS_PER_EPOCH,
    TORCH,
    WARMUP,
    V,
    gradient,
)

from distmlp.mathematics.schedules import Schedule


def by_epoch(name, alpha, decay=1.0, epochs=4, **more):
    """α of each epoch, of 5 steps each; in an epoch it stays."""
    schedule = Schedule(name, alpha, 5 * epochs, 5, decay=decay, **more)
    rates = [schedule.rate(step) for step in range(5 * epochs)]
    assert rates == [rate for rate in rates[::5] for _ in range(5)]
    return rates[::5]


def test_schedules_by_epoch():
    assert by_epoch("constant", 0.8) == [0.8] * 4
    assert by_epoch("linear", 0.8) == pytest.approx([0.8, 0.6, 0.4, 0.2])
    assert by_epoch("exponential", 0.8, 0.5) == pytest.approx([0.8, 0.4, 0.2, 0.1])
    assert by_epoch("exponential", 3.0, 0.97, 100)[40] == pytest.approx(3.0 * 0.97**40, rel=1e-13)
    assert by_epoch("step", 0.8, 0.5, period=2) == [0.8, 0.8, 0.4, 0.4]
    assert by_epoch("step", 0.8, 0.5, milestones=(1, 3)) == [0.8, 0.4, 0.4, 0.2]
    assert by_epoch("polynomial", 1.0, power=2.0) == pytest.approx([1.0, 9 / 16, 1 / 4, 1 / 16])
    half = [1.0, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2]
    assert by_epoch("cosine", 1.0) == pytest.approx(half, rel=1e-14)
    assert by_epoch("cosine", 1.0, epochs=8, period=4) == pytest.approx(half * 2, rel=1e-14)
    assert by_epoch("cosine", 1.0, epochs=6, period=2, period_growth=2) == pytest.approx(
        [1.0, 0.5, *half], rel=1e-14
    )


def test_by_step():
    assert [
        Schedule("linear", 0.8, 8, 2, by_step=True).rate(step) for step in range(8)
    ] == pytest.approx([0.1 * left for left in range(8, 0, -1)])
    one_cycle = Schedule("one-cycle", 1.0, 11, 2, True, rise=0.5, start=0.1, least=0.01)
    rates = [one_cycle.rate(step) for step in range(11)]
    assert (rates[0], rates[-1]) == pytest.approx((0.1, 0.01), rel=1e-14)
    assert rates[:5] == sorted(rates[:5]) and rates[5:] == sorted(rates[5:], reverse=True)
    assert max(rates) < 1.0 == Schedule("one-cycle", 1.0, 10, 2, True, rise=0.5).rate(4)


def test_a_warm_up_rises_evenly_and_comes_before_the_rest():
    schedule = Schedule("exponential", 0.8, 40, 5, decay=0.5, start=0.25, warmup=10)
    rates = [schedule.rate(step) for step in range(40)]
    assert rates[:10] == pytest.approx([0.2 + 0.06 * step for step in range(10)])
    assert rates[10::5] == by_epoch("exponential", 0.8, 0.5, 6)
    longer_than_all = Schedule("cosine", 1.0, 10, 5, warmup=100)
    assert longer_than_all.rate(9) == pytest.approx(0.04 + 0.96 * 0.09)


def test_a_plateau_reduces_to_the_least_rate():
    schedule = Schedule("plateau", 0.8, 40, 5, decay=0.5, least=0.15)
    assert [schedule.rate(7, k) for k in range(4)] == [0.8, 0.4, 0.2, 0.15]


@pytest.mark.parametrize("rise", [0.0, 0.01, 1.0])
@pytest.mark.parametrize("T", [1, 2, 3, 50])
def test_one_cycle_of_any_length(rise, T):
    schedule = Schedule("one-cycle", 0.5, T, 1, True, rise=rise)
    assert all(0.0 <= schedule.rate(step) <= 0.5 for step in range(T))


def test_a_product_does_not_depend_on_what_was_asked_before():
    one, other = (Schedule("exponential", 0.7, 900, 1, decay=0.99) for _ in range(2))
    forth = [one.rate(step) for step in range(900)]
    back = [other.rate(step) for step in reversed(range(900))]
    assert forth == back[::-1]
    value = 0.7
    for _ in range(899):
        value *= 0.99
    assert forth[-1] == value


def descended(**keys):
    """v after STEPS steps of gradient descent."""
    schedule = Schedule(alpha=ALPHA, steps_per_epoch=STEPS_PER_EPOCH, **keys)
    v = list(V)
    for step in range(STEPS):
        alpha = schedule.rate(step)
        v = [x - alpha * gradient(x) for x in v]
    return v


@pytest.mark.parametrize("name", SCHEDULES)
def test_v_is_pytorchs_after_50_steps(name):
    keys, _ = SCHEDULES[name]
    for kind, how in {
        "by step": {"steps": STEPS, "by_step": True},
        "by epoch": {"steps": -(-STEPS // STEPS_PER_EPOCH) * STEPS_PER_EPOCH},
        "after a warm-up": {"steps": STEPS, "by_step": True, "warmup": WARMUP},
    }.items():
        if (name, kind) == ("one-cycle", "after a warm-up"):
            continue
        expected = TORCH[f"{name} {kind}"]
        assert descended(**keys, **how) == pytest.approx(expected, rel=0, abs=1e-9), kind
