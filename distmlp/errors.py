"""The errors that end a run in a known way, and the exit status that each comes to.

Every rank ends with the same status; the message is one sentence, which rank 0 prints.
"""

#: The run is complete.
COMPLETE = 0
#: A crash: anything that has no status of its own.
CRASHED = 1
#: Bad config, data or command, before any training.
BAD_INPUT = 2
#: The training diverged; the last good checkpoint is kept.
DIVERGED = 3
#: Stopped by a signal after a checkpoint; the same command goes on.
STOPPED = 75


class InputError(ValueError):
    """What the user gave cannot be used; the sentence says what to do.  Status BAD_INPUT."""


class RankFault(RuntimeError):
    """One rank alone cannot go on, so it ends the others.  Status BAD_INPUT."""


class Diverged(ArithmeticError):
    """The training met a NaN or an infinity, on every rank.  Status DIVERGED."""


class RanksMissing(RuntimeError):
    """Ranks were lost while MPI came up, and all were asked for, so the others end too.  Status CRASHED."""


class CheckpointFailed(OSError):
    """A run could not write its last checkpoint, on every rank.  Status CRASHED."""


class Divided(RuntimeError):
    """The network split the job and the other part continues, so this part stops.  Status CRASHED."""


class Corrupted(RuntimeError):
    """States or gradients of ranks differ though they cannot: a fault of a machine.  Status CRASHED."""


def status_of(error: BaseException) -> int:
    """The exit status that an error comes to."""
    if isinstance(error, InputError | RankFault):
        return BAD_INPUT
    return DIVERGED if isinstance(error, Diverged) else CRASHED
