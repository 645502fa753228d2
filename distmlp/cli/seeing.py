"""The commands that let people see a run: their options, what each calls, and what rank 0 prints of it.

What is imported in functions, other commands need not.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distmlp.parallel.communicator import Communicator

#: What a shell makes of a command that Ctrl-C has ended.
_INTERRUPTED = 130

WATCH = "Follow a run from a different terminal, until it ends."
WATCH_EPILOG = """example:
  distmlp watch runs/digits

It only reads the run's directory.  The exit status is the run's: 0 complete, 75 stopped, 1 failed."""


def add_watch(parser: argparse.ArgumentParser) -> None:
    """The options of `distmlp watch`."""
    parser.add_argument("run", metavar="RUN_DIRECTORY", type=Path, help="the run's directory")
    parser.add_argument("--once", action="store_true", help="say how far it is, and end")


def watch(args: argparse.Namespace, comm: "Communicator") -> int:
    """Follows a run until it ends; the status is the run's."""
    from distmlp.parallel.rank0 import on_rank_0
    from distmlp.results import following

    try:
        return on_rank_0(comm, lambda: following.follow(args.run, once=args.once))
    except KeyboardInterrupt:
        return _INTERRUPTED
