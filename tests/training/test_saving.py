"""Checkpoints: when they are due, and that what they keep is all that a state is."""

import pickle

import numpy as np
import pytest
from preparing import config_in, prepared
from simulated import on_ranks

from distmlp.errors import CheckpointFailed
from distmlp.mathematics import exact
from distmlp.runs import checkpoint
from distmlp.training import saving
from distmlp.training.resuming import new_state, restored
from distmlp.training.saving import Saver

EVERYTHING = [1, 2, 3, 4, 20, 21, 22, 41, 42, 43, 63, 84]


def due(place, every):
    with prepared(place, {"run.checkpoint_every": every}) as run:
        saver, state = Saver(run), new_state(run)
        found = []
        for state.step in [0, *EVERYTHING]:
            if saver.is_due(state):
                found.append(state.step)
        saver.close()
    return found


def test_steps_and_epochs(tmp_path):
    assert due(tmp_path, "1 epoch") == [21, 42, 63, 84]
    assert due(tmp_path, "2 epochs") == [42, 84]
    assert due(tmp_path, "2 steps") == [2, 4, 20, 22, 42, 84]
    assert due(tmp_path, "1000 minutes") == []


def test_minutes_are_rank_0s(tmp_path, monkeypatch):
    """Its clock asks before a step, and the step tells all ranks that a checkpoint is due after it."""
    with prepared(tmp_path, {"run.checkpoint_every": "2 minutes"}) as run:
        saver, state = Saver(run), new_state(run)
        now = saving.time.monotonic()
        assert not saver.asks()
        monkeypatch.setattr(saving.time, "monotonic", lambda: now + 121)
        assert saver.asks()
        state.step = 5
        assert not saver.is_due(state)
        state.save = True
        assert saver.is_due(state)
        run.comm.rank = 1
        assert not saver.asks()
        saver.close()


def test_none_is_due_in_the_state_that_was_resumed(tmp_path):
    with prepared(tmp_path, {"run.checkpoint_every": "5 steps"}) as run:
        saver, state = Saver(run), new_state(run)
        state.step = 10
        assert saver.is_due(state)
        saver.went_back(state)
        assert not saver.is_due(state)
        state.step = 15
        assert saver.is_due(state)
        saver.close()


def some_state(run):
    """A state in which no number is what it is at the start."""
    state = new_state(run)
    state.step, state.last_cost, state.last_change = 26, 0.1, 1 / 3
    state.grid = exact.Grid(range(len(run.network.layout.slices)), run.config.dtype)
    state.totals[:] = range(1, len(state.totals) + 1)
    for name in state.arrays:
        state.arrays[name][:] = np.arange(len(state.v))
    state.scalars = dict.fromkeys(state.scalars, 0.1)
    return state


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_checkpoint_restores_the_state_that_it_keeps(tmp_path, dtype):
    changes = {"dtype": dtype, "optimizer.name": "adam", "optimizer.learning_rate": 0.01}
    with prepared(tmp_path, changes) as run:
        run.directory.prepare(run.config, anew=True)
        state, saver = some_state(run), Saver(run)
        saver.save(state, last=True, complete=False)
        saver.close()
        found = restored(run, checkpoint.read(saver.written))
        run.directory.release()
    for name, value in vars(state).items():
        same = vars(found)[name]
        if name == "grid":
            value, same = value.exponents, same.exponents
        assert pickle.dumps(same) == pickle.dumps(value), name


def test_only_a_complete_run_is_marked_as_finished(tmp_path):
    with prepared(tmp_path) as run:
        run.directory.prepare(run.config, anew=True)
        saver, state = Saver(run), some_state(run)
        saver.save(state, last=True, complete=False)
        assert run.directory.finished_step() is None
        state.step += 1
        saver.save(state, last=True, complete=True)
        assert run.directory.finished_step() == state.step
        saver.close()
        run.directory.release()


def test_a_last_checkpoint_that_fails_is_an_error_on_every_rank(tmp_path):
    config_in(tmp_path)

    def on(comm):
        with prepared(tmp_path, comm=comm) as run:
            saver = Saver(run)  # the run directory has not been made, so nothing can be written
            try:
                saver.save(some_state(run), last=True, complete=True)
            finally:
                saver.close()

    for error in on_ranks(3, on):
        assert isinstance(error, CheckpointFailed)
        assert str(error).endswith("no checkpoint has been written")
