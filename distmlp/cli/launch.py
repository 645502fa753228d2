"""The command `distmlp launch`: its options, and what they ask cluster/ for.

It starts mpirun itself, so it needs neither numpy nor MPI.  What is imported in functions, other commands need not.
"""

import argparse
import math
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from distmlp.config import reading
from distmlp.errors import BAD_INPUT, COMPLETE, InputError
from distmlp.parallel import openmpi

if TYPE_CHECKING:
    from distmlp.cluster.launch import Launch

HELP = "Train on many ranks to the end, through crashes and lost hosts."

EPILOG = """examples:
  distmlp launch -n 4 digits.toml
  distmlp launch -n 64 -H node1:32,node2:32 config.toml --set training.epochs=100

Starts mpirun with what the run needs to survive a lost rank (Open MPI 5: ULFM and, over several hosts,
its failure detector).  After a crash it starts again from the newest good checkpoint: with fewer ranks
if hosts are gone, at most --restarts times, and not where the crash repeats at the same step, for that
is a bug and no fault.  SIGTERM, SIGINT and SIGUSR1 let the run write a checkpoint and stop; a second
SIGINT ends it at once.  What happened is summed up at the end.

Exit status: 0 complete, 2 bad config or data, 3 diverged, 75 stopped (the same command goes on),
anything else a crash.  Options after CONFIG.toml are those of distmlp train."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `distmlp launch`."""
    parser.add_argument(
        "-n",
        type=int,
        default=2,
        metavar="RANKS",
        dest="ranks",
        help="how many ranks (default %(default)s)",
    )
    parser.add_argument(
        "-H", "--hosts", default="", help="host[:ranks],… to run on; this one if left out"
    )
    parser.add_argument(
        "--restarts",
        type=int,
        default=5,
        metavar="N",
        help="how often to start again after a crash (default %(default)s)",
    )
    parser.add_argument(
        "--detect",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="how long a host may be silent before its ranks count as lost (default %(default)g); with less "
        "than 5, ranks that are slow to start may too (several hosts, Open MPI)",
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=20.0,
        metavar="SECONDS",
        help="how long mpirun may stay after the run has ended (default %(default)g): it can wait for ever "
        "for a lost host",
    )
    _add_rarer_arguments(parser)
    parser.add_argument("config_file", metavar="CONFIG.toml", nargs="?", help="what to train")
    parser.add_argument(
        "rest", nargs=argparse.REMAINDER, metavar="…", help="options of distmlp train"
    )


def _add_rarer_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--python",
        default=sys.executable,
        help="the python that has distmlp (default: this one); its mpirun is taken, else the one on the path",
    )
    parser.add_argument(
        "--ssh-agent",
        metavar="COMMAND",
        help="what reaches a host in place of ssh: COMMAND HOST WORDS…",
    )
    parser.add_argument(
        "--mpirun-options",
        default="",
        metavar="WORDS",
        help="further options for mpirun, in one word",
    )
    parser.add_argument(
        "--print-options",
        type=int,
        metavar="HOSTS",
        help="only print the options with which Open MPI's mpirun goes on without lost ranks, on so many hosts",
    )


def run(args: argparse.Namespace) -> int:
    """Does what is asked and returns the exit status."""
    from distmlp.cluster import launch

    try:
        if args.print_options is not None:
            print(*openmpi.fault_tolerance(args.print_options, args.detect))
            return COMPLETE
        return launch.run(_asked(args))
    except InputError as error:
        print(f"distmlp launch: {error}", file=sys.stderr)
        return BAD_INPUT


def _asked(args: argparse.Namespace) -> "Launch":
    """The launch that the options ask for.  Raises InputError."""
    from distmlp.cluster import mpirun
    from distmlp.cluster.hosts import hosts_of
    from distmlp.cluster.launch import Launch

    if args.config_file is None:
        raise InputError("CONFIG.toml is missing (distmlp launch --help tells how)")
    if args.ranks < 1:
        raise InputError(f"-n is {args.ranks}, but expected a number of ranks")
    training, rest = _options_of_train().parse_known_args(args.rest)
    reading.check_all_can_read(args.config_file)
    directory = reading.load(args.config_file, training.overrides).run.directory
    progress = training.progress or ("bar" if sys.stderr.isatty() else "auto")
    words = ["train", args.config_file, "--progress", progress, *rest]
    for override in training.overrides:
        words += ["--set", override]
    if not (args.detect > 0 and args.patience >= 0) or math.isinf(args.detect + args.patience):
        raise InputError(
            f"--detect is {args.detect:g} and --patience {args.patience:g}, but expected seconds"
        )
    _split("--ssh-agent", args.ssh_agent or "")
    path, open_mpi = mpirun.find(args.python)
    return Launch(
        mpirun.Mpirun(
            path,
            open_mpi,
            args.python,
            args.detect,
            args.ssh_agent,
            _split("--mpirun-options", args.mpirun_options),
        ),
        args.ranks,
        hosts_of(args.hosts, args.ranks),
        args.restarts,
        args.patience,
        Path(os.path.abspath(directory)),
        tuple(words),
        ("--resume", training.resume) if training.resume else (),
    )


def _split(option: str, text: str) -> tuple[str, ...]:
    """The words of an option, as a shell would take them.  Raises InputError."""
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise InputError(f"{option} {text}: {error}") from None


def _options_of_train() -> argparse.ArgumentParser:
    """Those options of `distmlp train` that a launch must know; the ranks say what is wrong with others."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--resume")
    parser.add_argument("--progress")
    return parser
