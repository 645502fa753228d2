"""The command `distmlp train`."""

import argparse
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from distmlp.errors import COMPLETE, STOPPED, RanksMissing

if TYPE_CHECKING:
    from distmlp.parallel.communicator import Communicator
    from distmlp.training.loop import Result

HELP = "Train the network that a config describes."

EPILOG = """examples:
  distmlp train digits.toml
  mpirun -n 2 distmlp train digits.toml      or distmlp launch -n 2 digits.toml, also as root
  distmlp train digits.toml --set training.epochs=5 --set optimizer.name=adam

A run that was stopped or killed goes on when the same command is given again, from its newest
good checkpoint, with any number of ranks, to the same bits."""

#: Why a run is complete, for people.
_ENDS = {
    "patience": "no epoch was better for training.patience epochs",
    "stop rule": "the cost changed by less than training.epsilon",
    "until": "the step asked for",
    "converged": "no entry of the gradient is above optimizer.tolerance",
    "line search": "no step along the gradient makes the cost smaller, to the precision of the dtype",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what `distmlp train` takes beside the config."""
    parser.add_argument(
        "--resume",
        metavar="auto|never|CHECKPOINT",
        default="auto",
        help="auto (default): from the run directory's newest good checkpoint, or the start; "
        "never: from the start, setting aside what is there; CHECKPOINT: from that one",
    )
    parser.add_argument(
        "--all-ranks",
        action="store_true",
        help="end with status 1 where ranks were lost while MPI came up, rather than begin without them: for launchers "
        "that start again (with Open MPI's fault tolerance)",
    )
    parser.add_argument(
        "--progress",
        choices=("auto", "bar", "none"),
        default="auto",
        help="the progress bar on standard error; auto (default): where that is a terminal",
    )


def run(args: argparse.Namespace, comm: "Communicator") -> int:
    """Trains; says where the checkpoint is and what v is.  STOPPED where it was asked to stop."""
    from distmlp.training import loop, reporting

    if args.all_ranks and comm.missed:
        raise RanksMissing(
            f"lost {comm.missed} of the ranks that were started, while MPI came up, so the {comm.size} left end too (--all-ranks)"
        )
    args.stop.comm, began = comm, time.monotonic()
    bar = {"auto": None, "bar": True, "none": False}[args.progress]
    result = loop.train(
        args.config, comm, resume=args.resume, report=reporting.Report(bar), should_stop=args.stop
    )
    if comm.rank == 0:
        _say_how_it_ended(result, Path(args.config.run.directory), time.monotonic() - began)
    return COMPLETE if result.complete else STOPPED


def _say_how_it_ended(result: "Result", run: Path, seconds: float) -> None:
    """Prints what a training has come to, and what to do next."""
    from distmlp.runs.log import read_records
    from distmlp.training import summary, terminal

    records = read_records(run / "log.jsonl")
    if not result.complete:
        why = "the time limit" if result.reason == "time limit" else "a signal"
        print(f"stopped after step {result.step} by {why}; the same command goes on from there")
    elif result.reason != "epochs":
        print(f"ended after step {result.step}: {_ENDS[result.reason]}")
    shown = os.path.relpath(run) if run.is_relative_to(Path.cwd()) else str(run)
    rows = [
        *summary.end_of(result.shown, records, seconds),
        ("checkpoint", str(result.checkpoint)),
        ("v sha256", result.v_sha256),
        ("next", f"distmlp evaluate {shown}    prints every metric"),
        ("", f"distmlp report {shown}      makes a page of curves, figures and digests"),
    ]
    print(f"\n{terminal.text_of(rows)}", flush=True)
