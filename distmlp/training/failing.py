"""How a run ends that cannot go on: events.jsonl gets the reason, for programs that watch from outside."""

import contextlib
import sys
from collections.abc import Iterator

from distmlp.errors import (
    CRASHED,
    CheckpointFailed,
    Corrupted,
    Diverged,
    Divided,
    InputError,
    status_of,
)
from distmlp.parallel.communicator import Communicator, RanksLost
from distmlp.runs import events

#: What every rank raises, so that rank 0 alone says it.
_ON_ALL_RANKS = (Diverged, CheckpointFailed, Corrupted)

#: Bad input has no run that could watch it.  A part that has lost the run directory leaves it to the others.
_NOT_THIS_RUNS = (InputError, Divided, RanksLost)


@contextlib.contextmanager
def failures_noted(directory: str, comm: Communicator) -> Iterator[None]:
    """Appends what a rank fails of inside to the run directory's events, and raises it on."""
    try:
        yield
    except _NOT_THIS_RUNS:
        raise
    except _ON_ALL_RANKS as error:
        if comm.rank == 0:
            _note(
                directory, events.failed(comm.rank, str(error), place_of(error), status_of(error))
            )
        raise
    except BaseException as error:
        who = f"rank {comm.rank} of {comm.size} on {comm.hosts[comm.rank]}"
        words = f"{who} failed: {type(error).__name__}: {error}"
        _note(directory, events.failed(comm.rank, words, place_of(error), status_of(error)))
        raise


def say(words: str) -> None:
    """Says something on standard error, from a thread beside the report."""
    print(f"distmlp: {words}", file=sys.stderr, flush=True)


def end_job(directory: str | None, comm: Communicator, words: str) -> None:
    """Ends every rank at once, after this one has said why.  directory: the run's, where there is a run."""
    say(words)
    if directory is not None:
        _note(directory, events.failed(comm.rank, words, None))
    comm.abort(CRASHED)


def _note(directory: str, event: events.Event) -> None:
    # The directory may not be made yet, or the disk be full; the run's own words say why it ends.
    with contextlib.suppress(OSError):
        events.append(directory, event)


def put_place(error: BaseException, place: str) -> None:
    """Notes where a rank was, such as "step 31", when it raised an error; the traceback says so too."""
    error.add_note(f"this was in {place}")
    error.__dict__["place"] = place


def place_of(error: BaseException) -> str | None:
    """Where a rank was when it raised an error, or None."""
    return error.__dict__.get("place")
