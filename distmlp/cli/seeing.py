"""The commands that let people see a run: their options, what each calls, and what rank 0 prints of it.

What is imported in functions, other commands need not.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from distmlp.errors import COMPLETE

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


PLOT = "Draw a run's learning curves and what a set says of it; several runs are compared."
PLOT_EPILOG = """examples:
  distmlp plot runs/digits                          into runs/digits/figures
  distmlp plot runs/a runs/b --output figures --format pdf

One run: the curves; with a validation set or --data, the confusion matrix, or predicted against true and
residuals by output, and, where rows were pictures, those it is most wrong about.  Needs matplotlib:
pip install "distmlp[plots]"."""

REPORT = "Write all that a run is and has come to as one page of HTML."
REPORT_EPILOG = """example:
  distmlp report runs/digits                        writes runs/digits/report.html

The page needs no network and no other file.  Needs matplotlib: pip install "distmlp[plots]"."""


def add_plot(parser: argparse.ArgumentParser) -> None:
    """The options of `distmlp plot`."""
    parser.add_argument("runs", metavar="RUN_DIRECTORY", nargs="+", type=Path, help="a run")
    parser.add_argument(
        "--output",
        metavar="DIRECTORY",
        type=Path,
        help="where the figures go; by default the run's figures/, or figures/ for several runs",
    )
    parser.add_argument(
        "--format",
        metavar="png|svg|pdf",
        choices=("png", "svg", "pdf"),
        action="append",
        help="what is written (default png); may be repeated",
    )
    _add_look(parser)


def add_report(parser: argparse.ArgumentParser) -> None:
    """The options of `distmlp report`."""
    parser.add_argument("run", metavar="RUN_DIRECTORY", type=Path, help="the run's directory")
    parser.add_argument(
        "--output",
        metavar="FILE.html",
        type=Path,
        help="the page; by default the run's report.html",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the file that --output names"
    )
    _add_look(parser)


def _add_look(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        metavar="FILE.h5:/group",
        action="append",
        help="the set; by default the config's data.validation; repeated: the rows of several files",
    )
    parser.add_argument(
        "--which",
        metavar="best|last|STEP",
        default="best",
        help="the checkpoint: the best epoch's (default), the newest, or a step's",
    )


def plot(args: argparse.Namespace, comm: "Communicator") -> int:
    """Writes the figures of a run, or of several side by side."""
    from distmlp.parallel.rank0 import on_rank_0
    from distmlp.results import plots

    formats = tuple(dict.fromkeys(args.format or ["png"]))
    written = on_rank_0(
        comm, lambda: plots.plot(args.runs, args.output, formats, args.which, args.data)
    )
    if comm.rank == 0:
        print("\n".join(map(str, written)))
    return COMPLETE


def report(args: argparse.Namespace, comm: "Communicator") -> int:
    """Writes the page of a run."""
    from distmlp.parallel.rank0 import on_rank_0
    from distmlp.results import html_report as page
    from distmlp.results.outputs import check_output

    out = args.output or args.run / "report.html"

    def write() -> None:
        if args.output:
            check_output(out, args.overwrite, (".html",))
        page.report(args.run, out, args.which, args.data)

    on_rank_0(comm, write)
    if comm.rank == 0:
        print(out)
    return COMPLETE
