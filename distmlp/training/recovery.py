"""Going on without lost ranks: the survivors agree on a state, and one takes over rank 0's work.

All ranks hold the same state between steps, so losing one loses nothing.
"""

import time

from distmlp.errors import Divided, InputError
from distmlp.parallel.communicator import Communicator, RanksLost
from distmlp.parallel.rank0 import on_rank_0
from distmlp.runs import events
from distmlp.training.preparation import Prepared
from distmlp.training.saving import Saver
from distmlp.training.state import State
from distmlp.training.watch import within


def survive(run: Prepared, saver: Saver, state: State) -> None:
    """Shrinks to the survivors; the state becomes the furthest one's, on all of them.

    Raises Divided where this part of the job cannot have the run directory.
    """
    began, logged = time.monotonic(), state.record
    unsaid: list[str] = []

    def lead() -> None:
        nonlocal logged
        _lead(run, saver, state, logged)
        logged = state.record
        run.report.event(events.lost(unsaid, run.comm.size, state.step))
        run.report.warn(
            f"lost {', '.join(unsaid)}; {run.comm.size} go on from step {state.step} "
            f"after {time.monotonic() - began:.2f} s"
        )

    with within(run.config.run, "going on without lost ranks", run.comm):
        while True:
            try:
                unsaid += run.comm.survive()
                state.become(furthest(state, run.comm))
                # Where rank 0 dies in this, the others know that it may not have said whom it lost.
                on_rank_0(run.comm, lead)
                return
            except InputError as error:
                raise Divided(
                    f"this part of the job ends, for it cannot have the run directory: {error}"
                ) from None
            except RanksLost:
                continue


def furthest(state: State, comm: Communicator) -> State:
    """The furthest survivor's state, on every rank; states differ by one step at most."""
    places = comm.all_gather(state.progress)
    if len(set(places)) == 1:
        return state
    root = places.index(max(places))
    return comm.broadcast(state if comm.rank == root else None, root)


def _lead(run: Prepared, saver: Saver, state: State, logged: dict | None) -> None:
    """What rank 0 does first after a recovery, so that the log has every epoch that is settled.

    logged: the last record that this rank had before.
    """
    record = state.record
    if not run.directory.is_ours:
        _take_over(run, saver, state)
    elif record is not None and (logged is None or logged["step"] < record["step"]):
        # A different rank had settled an epoch whose metrics had not reached this one.
        run.report.epoch(record, run.config.training.epochs)


def _take_over(run: Prepared, saver: Saver, state: State) -> None:
    """What a new rank 0 does: takes the directory's lock, and goes on with its log.

    Raises InputError where the old rank 0 lives, or has come to the end without this part.  Then the
    network broke, and each part believes that the other died; the lock tells which one goes on.
    """
    directory = run.directory
    directory.lock(patience=5.0)
    finished = directory.finished_step()
    if finished is not None and finished > state.step:
        raise InputError(
            f"run.directory {directory.path}: another part of the job has completed the run"
        )
    directory.remove_leftovers()
    saver.took_over()
    step = state.step if state.is_settled else state.step - 1
    run.report.start(directory.log, step, run.last_step, state.record)
