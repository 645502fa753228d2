"""The command `distmlp many`: many networks from one config."""

import argparse
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from distmlp.errors import COMPLETE, CRASHED, DIVERGED, STOPPED, InputError

if TYPE_CHECKING:
    from distmlp.config.sections import Config
    from distmlp.many.plan import Member
    from distmlp.many.running import Outcome
    from distmlp.parallel.communicator import Communicator

HELP = "Train many networks: an ensemble of seeds, cross-validation, or a sweep."

EPILOG = """examples:
  distmlp many digits.toml --seeds 8 --at-once 2 --set run.directory=runs/ensemble
  mpirun -n 8 distmlp many digits.toml --folds 5 --fold-by classes --at-once 4
  distmlp many digits.toml --grid optimizer.learning_rate=[0.1,0.3,1] --grid network.layers=[[64,30,10],[64,64,10]]
  distmlp many digits.toml --random 20 --draw optimizer.learning_rate=log:0.01:10 --draw training.batch_size=[16,32,64]

Network N is trained in the config's run.directory, in N, to the v of a run by itself.  One that diverges or dies does not
end the others.  The same command goes on where an earlier one stopped; a longer plan adds networks.  At the end there is
a table of all of them, also in members.csv.  `distmlp predict` of the directory gives the mean and the spread of the networks.

--plan writes members.txt, the table that sweep.sbatch takes for a SLURM array: each network is a task of it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what `distmlp many` takes beside the config."""
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument(
        "--seeds",
        metavar="N",
        type=_at_least(1),
        help="N networks with the config's seed and those after it",
    )
    kind.add_argument(
        "--folds",
        metavar="K",
        type=_at_least(2),
        help="K-fold cross-validation of data.train: each fold is the validation set once",
    )
    kind.add_argument(
        "--grid",
        metavar="section.key=[VALUE,VALUE]",
        action="append",
        help="a network for each value; where repeated, for every combination",
    )
    kind.add_argument(
        "--random", metavar="N", type=_at_least(1), help="N networks with values that --draw draws"
    )
    parser.add_argument(
        "--draw",
        metavar="section.key=HOW",
        action="append",
        default=[],
        help="with --random: uniform:LOW:HIGH, log:LOW:HIGH, whole:LOW:HIGH or [VALUE,VALUE]; may be repeated",
    )
    parser.add_argument(
        "--fold-by",
        metavar="rows|classes|DATASET",
        default="rows",
        help="with --folds: what is spread over the folds: rows (default); the rows of each class; or whole groups, "
        "the numbers in a dataset beside the targets",
    )
    parser.add_argument(
        "--at-once",
        metavar="N",
        type=_at_least(1),
        help="how many networks are trained at a time: groups that mpirun's ranks are split into (default: a group for each "
        "rank), or else processes (default 1)",
    )
    parser.add_argument(
        "--plan", action="store_true", help="write and print the plan, and train nothing"
    )


def _at_least(least: int) -> type:
    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(
                f"{text}, but expected a whole number of at least {least}"
            )
        return value

    return number  # type: ignore[return-value]


def run(args: Namespace, comm: "Communicator") -> int:
    """Trains what a plan asks for; says how each ended, and prints the table of all."""
    from distmlp.many import plan, processes, running, summary
    from distmlp.parallel.alike import check_same
    from distmlp.parallel.communicator import SingleProcess
    from distmlp.parallel.rank0 import on_rank_0
    from distmlp.training.agreeing import given

    args.stop.comm = comm
    config: Config = args.config
    members = _planned(args)
    with running.watch_over_many(config, comm):
        check_same(comm, given(config), "config")
        on_rank_0(comm, lambda: plan.keep(config, members))
    if args.plan:
        if comm.rank == 0:
            print(plan.table(members), end="")
        return COMPLETE
    if not isinstance(comm, SingleProcess):
        outcomes = running.run_in_groups(
            config, members, comm, args.at_once or comm.size, args.stop, _say
        )
    else:
        outcomes = processes.run_as_processes(config, members, args.at_once or 1, args.stop, _say)
    directory = Path(config.run.directory)
    with running.watch_over_many(config, comm):
        table = on_rank_0(comm, lambda: summary.summary(directory, members, outcomes))
    if comm.rank == 0:
        print(table, flush=True)
    return _status(outcomes)


def _planned(args: Namespace) -> "list[Member]":
    """The members, each of whose configs has been checked.  Raises InputError."""
    from distmlp.many import plan

    config: Config = args.config
    if args.draw and not args.random:
        raise InputError("--draw belongs to --random N, which says how many networks are drawn")
    if args.seeds:
        settings = plan.seeds(config, args.seeds)
    elif args.folds:
        settings = plan.folds(args.folds, args.fold_by)
    elif args.grid:
        settings = plan.grid(args.grid)
    else:
        if not args.draw:
            raise InputError(
                "--random N needs --draw section.key=HOW, such as --draw optimizer.learning_rate=log:0.01:1"
            )
        settings = plan.random(config, args.random, args.draw)
    members = plan.members_of(settings)
    for member in members:
        plan.config_of(config, member)
    return members


def _say(text: str) -> None:
    print(text, flush=True)


def _status(outcomes: "dict[str, Outcome]") -> int:
    from distmlp.many import running

    states = {outcome.state for outcome in outcomes.values()}
    for state, status in (
        (running.STOPPED, STOPPED),
        (running.FAILED, CRASHED),
        (running.DIVERGED, DIVERGED),
    ):
        if state in states:
            return status
    return COMPLETE
