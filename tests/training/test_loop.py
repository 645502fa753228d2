"""The loop, on ranks that are threads: one v for any number of them, and what a wrong bit leaves behind."""

import numpy as np
import pytest
from example import lawful, log, steps
from preparing import Heard, config_in
from simulated import on_ranks

from distmlp.data import feed
from distmlp.parallel.communicator import SingleProcess
from distmlp.training import auditing, loop
from distmlp.training.loop import train
from distmlp.training.reporting import LogOnly


def run(place, name, size, changes={}, **more):
    changes = {"run.directory": str(place / name), **changes}
    return on_ranks(
        size,
        lambda comm: train(
            config_in(place, changes), comm, report=LogOnly() if comm.rank == 0 else None, **more
        ),
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("loop")
    config_in(place)
    (result,) = run(place, "alone", 1)
    assert result.complete and result.step == 42 and result.record["epoch"] == 2
    return place


def test_ranks_that_are_threads_have_the_v_of_one(place):
    found = run(place, "three", 3)
    assert lawful(place / "three") == lawful(place / "alone")
    assert {result.v_sha256 for result in found} == {lawful(place / "alone")[-1]["v_sha256"]}


def test_a_wrong_bit_costs_steps_and_changes_nothing(place, monkeypatch):
    """All go back to the last checkpoint, and the log has each epoch once."""
    struck = []

    def flip(state, comm):
        if comm.rank == 2 and state.step == 30 and not struck:
            struck.append(state.step)
            state.v.view(np.uint32)[5] ^= 1 << 12
        return odd_ones_out(state, comm)

    odd_ones_out = auditing.odd_ones_out
    monkeypatch.setattr(auditing, "odd_ones_out", flip)
    changes = {"run.checkpoint_every": "20 steps", "run.check_every": 10}
    with pytest.warns(UserWarning, match="rank 2 .* all go back to step 20"):
        run(place, "flipped", 3, changes)
    assert struck == [30]
    assert lawful(place / "flipped") == lawful(place / "alone")
    assert steps(place / "flipped")[-1] == 42


def test_until_ends_a_run_in_the_middle_of_an_epoch(place):
    (result,) = run(place, "until", 1, until=25)
    assert result.complete and result.step == 25 and steps(place / "until") == [21, 25]
    (resumed,) = run(place, "until", 1)
    assert resumed.step == 42
    assert lawful(place / "until") == lawful(place / "alone")


def test_a_rank_that_asks_stops_all(place):
    asked = []

    def should_stop():
        asked.append(1)
        return len(asked) == 30

    found = run(place, "stopped", 3, should_stop=should_stop)
    assert len({result.step for result in found}) == 1
    assert not any(result.complete for result in found)
    assert 9 < found[0].step < 42 and steps(place / "stopped")[-1] == found[0].step


def test_the_time_limit_stops_after_a_step(place):
    (result,) = run(place, "late", 1, {"run.time_limit": "0.000001 seconds"})
    assert not result.complete and result.step == 1


def test_the_stop_rule_ends_a_run_after_an_epoch(place):
    (result,) = run(place, "settled", 1, {"training.epsilon": 10.0, "training.epochs": 50})
    assert result.complete and result.record["epoch"] == 2


def test_the_report_is_told_of_every_step_and_epoch(place):
    heard = Heard()
    steps_taken = []
    heard.advance = lambda: steps_taken.append(1)
    train(config_in(place, {"run.directory": str(place / "told")}), SingleProcess(), report=heard)
    assert len(steps_taken) == 42
    assert heard.said == [("start", 0, 42), ("epoch", 1, 2), ("epoch", 2, 2), ("close",)]


def test_the_clock_begins_anew_with_every_epoch(place, monkeypatch):
    """Each epoch's seconds are its own, and begin when the epoch before is settled."""
    ticks = iter(range(1000))
    monkeypatch.setattr(loop.time, "perf_counter", lambda: float(next(ticks)))
    (result,) = run(place, "ticks", 1, {"training.epochs": 3})
    assert [record["seconds"] for record in log(place / "ticks")] == [1.0, 1.0, 1.0]
    assert result.record["samples_per_second"] == 1009


#: 73 micro-batches a step, the epoch's last one smaller by a sample, and 145 in one step an epoch.
LARGE = {
    "steps": {"training.batch_size": 505, "training.epochs": 3},
    "all": {"training.batch_size": "all", "training.epochs": 5, "optimizer.learning_rate": 2.0},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_a_batch_that_fits_no_window_has_the_v_of_one_that_does(name, place, monkeypatch):
    """Windows of one step, of a few micro-batches and of less than one; pieces of one; the set held, or read again."""
    one_step = {"steps": "130 kB", "all": "300 MB"}[name]
    changes = {**LARGE[name], "data.window": one_step}
    (expected,) = run(place, f"{name}-fits", 1, changes)
    first, *_, last = lawful(place / f"{name}-fits")
    assert expected.complete and last["cost"] < first["cost"]
    monkeypatch.setattr(feed, "PIECE_BYTES", 5000)
    for window, ranks in (("100 kB", 1), ("20 kB", 3), ("1 kB", 2)):
        here = f"{name}-{window}-{ranks}"
        found = run(place, here, ranks, {**changes, "data.window": window})
        assert lawful(place / here) == lawful(place / f"{name}-fits")
        assert {result.v_sha256 for result in found} == {expected.v_sha256}


def test_a_batch_that_fits_no_window_goes_on_from_an_odd_step(place):
    changes = {**LARGE["steps"], "data.window": "20 kB"}
    (expected,) = run(place, "large", 1, changes)
    run(place, "large-halted", 3, changes, until=5)
    for result in run(place, "large-halted", 2, changes):
        assert result.complete and result.v_sha256 == expected.v_sha256
