"""The options of `distmlp submit`: how a job of SLURM is laid out, and how its ranks are started."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what `distmlp submit` takes beside the config."""
    _add_ranks(parser)
    parser.add_argument(
        "--time",
        required=True,
        help="each job's time limit, as for sbatch: 12:00:00; the run may take many of them",
    )
    parser.add_argument(
        "--setup",
        metavar="FILE",
        help="a file that the job sources first: module load, conda activate",
    )
    parser.add_argument(
        "--warning",
        metavar="SECONDS",
        type=_at_least_1,
        default=120,
        help="how long before the time limit to stop and checkpoint (default 120)",
    )
    parser.add_argument(
        "--sbatch",
        metavar="OPTION",
        action="append",
        default=[],
        help="a further option of sbatch, such as --sbatch=--partition=short; may be repeated",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print the job's file; write and submit nothing"
    )


def _add_ranks(parser: argparse.ArgumentParser) -> None:
    """How a job's ranks are laid out and started."""
    parser.add_argument(
        "--nodes", metavar="N", type=_at_least_1, default=1, help="how many nodes (default 1)"
    )
    parser.add_argument(
        "--ntasks",
        metavar="N",
        type=_at_least_1,
        required=True,
        help="how many ranks, over all nodes",
    )
    parser.add_argument(
        "--cpus-per-task",
        metavar="N",
        type=_at_least_1,
        default=1,
        help="cores a rank is bound to (default 1, which it uses)",
    )
    parser.add_argument(
        "--launch",
        metavar="COMMAND",
        help="mpirun (default), 'srun --mpi=pmix' for Open MPI or 'srun --mpi=pmi2' for MPICH",
    )
    parser.add_argument(
        "--ft", choices=("ulfm",), help="go on without ranks that are lost (Open MPI's mpirun)"
    )
    parser.add_argument(
        "--bind",
        choices=("core", "socket", "numa", "none"),
        help="what a rank is bound to (default core)",
    )


def _at_least_1(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}, but expected a whole number of at least 1")
    return number
