"""The command `distmlp`: what is asked, on every rank; what is said, by rank 0; one exit status for all.

0   complete                      3   diverged: a NaN or an infinity
1   a crash                      75   stopped by a signal after a checkpoint: run it again to go on
2   bad config, data or command
"""

import argparse
import contextlib
import faulthandler
import sys
import time
import traceback
import warnings
from typing import TYPE_CHECKING

from distmlp.cli import launch, parser, signals, streams
from distmlp.cli.handlers import HANDLERS
from distmlp.config import reading
from distmlp.errors import (
    CheckpointFailed,
    Corrupted,
    Diverged,
    Divided,
    InputError,
    RankFault,
    RanksMissing,
    status_of,
)
from distmlp.parallel import launchers

if TYPE_CHECKING:
    from distmlp.parallel.communicator import Communicator

#: What ranks may be given apart: names of files, which may differ from host to host, and what rank 0 alone does.  What is
#: in the files is compared where it is read.
_APART = {
    *("config", "config_file", "overrides", "stop", "checkpoint", "data", "run", "runs"),
    *("output", "out", "sources", "specs", "setup", "progress"),
}

#: Seconds that MPI may take to come up, where no config says.
_STARTING = 600.0


def main(words: list[str] | None = None) -> int:
    """Runs a command and returns its exit status, the same on every rank.

    words: the command line, by default this process's.
    """
    with streams.heard_or_not(), warnings.catch_warnings():
        warnings.showwarning = _say_warning
        return _main(sys.argv[1:] if words is None else words)


def _say_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: object = None,
    line: str | None = None,
) -> None:
    """Says our own warnings as a command says things; those of libraries with their place, as Python does."""
    if category is UserWarning:
        print(f"distmlp: {message}", file=sys.stderr, flush=True)
    else:
        text = warnings.formatwarning(message, category, filename, lineno, line)
        print(text, end="", file=sys.stderr, flush=True)


def _main(words: list[str]) -> int:
    args, fault = argparse.Namespace(command=None, config=None), None
    try:
        if any("\0" in word for word in words):
            raise InputError("a word of the command has a NUL character in it")
        args = parser.make().parse_args(words, argparse.Namespace(config=None))
        if args.command in ("train", "many", "find-rate", "status", "submit"):
            # also of one rank: mpirun may never say that its input has ended
            if launchers.launched_by():
                reading.check_all_can_read(args.config_file)
            args.config = reading.load(args.config_file, args.overrides)
        if args.command in ("train", "many"):
            args.stop = signals.StopFlag()  # first of all, for a signal may come while MPI starts
        if args.command == "launch":
            return launch.run(args)  # no rank itself
    except InputError as error:
        # Said only once all ranks are there: a launcher ends the rest as soon as one has failed.
        fault = error
    return _run(args, fault)


def _run(args: argparse.Namespace, fault: InputError | None) -> int:
    from distmlp.parallel import communicator

    comm: Communicator = communicator.SingleProcess()
    try:
        with signals.bounded(args.config.run.stall_seconds if args.config else _STARTING):
            comm = launchers.world(training=args.command in ("train", "many"))
        # after MPI, whose own handlers would say that it cannot have the signals
        faulthandler.enable(signals.STDERR)
        _agree(args, fault, comm)
        if args.command in ("train", "many"):  # which have watches of their own
            return comm.leave(HANDLERS[args.command](args, comm))
        from distmlp.training.watch import Watch

        with Watch(_STARTING, comm, f"distmlp {args.command}"):
            status = HANDLERS[args.command](args, comm)
        return comm.leave(status)
    except (InputError, Diverged, CheckpointFailed, Divided, Corrupted, RanksMissing) as error:
        return _end(comm, error)
    except BaseException as error:
        _end_others(comm, error)
        raise


def _agree(args: argparse.Namespace, fault: InputError | None, comm: "Communicator") -> None:
    """InputError on every rank where one has a fault, or where they were not asked for the same.

    A rank alone with a fault would leave the others waiting.
    """
    from distmlp.parallel.alike import check_same, raise_first
    from distmlp.parallel.communicator import RanksLost

    asked = {name: value for name, value in vars(args).items() if name not in _APART}
    if asked.get("resume") not in (None, "auto", "never"):
        asked["resume"] = "a checkpoint"
    while True:
        try:
            raise_first(comm, comm.all_gather(None if fault is None else str(fault)))
            check_same(comm, asked, "command")
            return
        except RanksLost:
            if not comm.resilient:
                raise
            before = comm.size
            comm.survive()
            comm.missed += before - comm.size


def _end(comm: "Communicator", error: Exception) -> int:
    """Ends every rank with the error's status, after rank 0 has said why."""
    from distmlp.parallel.communicator import RanksLost, SingleProcess

    if isinstance(comm, SingleProcess) and not launchers.is_first():
        # Ranks that came up apart: the first says why before its launcher ends it with the others.
        time.sleep(2)
    elif comm.rank == 0:
        print(f"distmlp: {error}", file=sys.stderr, flush=True)
    with contextlib.suppress(RanksLost):
        comm.barrier()
    return comm.leave(status_of(error))


def _end_others(comm: "Communicator", error: BaseException) -> None:
    """Ends the other ranks, which would wait in vain for this one, after this one has said why."""
    where = f"distmlp: rank {comm.rank} of {comm.size} on {comm.hosts[comm.rank]}"
    if isinstance(error, RankFault):
        words = f"{where}: {error}"
    else:
        words = f"{where} failed and ends the others:\n{traceback.format_exc()}"
    print(words, file=sys.stderr, flush=True)
    comm.abort(status_of(error))
