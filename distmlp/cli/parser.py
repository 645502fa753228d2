"""The command line: which commands and options there are, and what --help says of them."""

import argparse
from pathlib import Path
from typing import Any, NoReturn

from distmlp import __version__
from distmlp.cli import (
    completion,
    convert,
    data,
    find_rate,
    init,
    jobs,
    launch,
    many,
    seeing,
    train,
)
from distmlp.config.hints import key_of_option
from distmlp.config.reading import known_keys
from distmlp.errors import InputError
from distmlp.parallel import launchers

_CHECKPOINT = "a checkpoint file, or a run directory, of which --which takes one"


class _Parser(argparse.ArgumentParser):
    """argparse that raises InputError and lets one rank print."""

    def error(self, message: str) -> NoReturn:
        unknown = message.removeprefix("unrecognized arguments: ").partition(" ")[0]
        key = key_of_option(unknown, known_keys()) if unknown.startswith("--") else None
        if key is not None:
            message += f"; distmlp train takes this key of the config as --set {key}=VALUE"
        raise InputError(
            f"{message} (distmlp {self.prog.partition(' ')[2]} --help tells how)".replace("  ", " ")
        )

    def _print_message(self, message: str, file: Any = None) -> None:
        if launchers.is_first():
            super()._print_message(message, file)


def make() -> argparse.ArgumentParser:
    """The parser of the command line; `command` of what it gives is the command's name.

    Parsing raises InputError for what is no command.
    """
    parser = _Parser(
        prog="distmlp",
        description="Trains multi-layer perceptrons over MPI ranks; the result is the same bits\nat any rank count.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="""to begin with:
  distmlp init houses.csv --targets price    a commented config for a table or an HDF5 file
  distmlp train houses.toml                  in one process
  distmlp launch -n 4 houses.toml            the same from four ranks, also as root and on fewer cores
  distmlp report runs/houses                 what came of it, as a page

distmlp COMMAND --help has a command's options.  Every command runs alone or under mpirun.""",
    )
    parser.add_argument("--version", action="version", version=f"distmlp {__version__}")
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=_Parser
    )
    _add_train(commands)
    _add_evaluate(commands)
    _add_predict(commands)
    _add_inspect(commands)
    _add_verify(commands)
    _add_export(commands)
    _add_compare(commands)
    seeing.add_watch(_add(commands, "watch", seeing.WATCH, seeing.WATCH_EPILOG))
    seeing.add_plot(_add(commands, "plot", seeing.PLOT, seeing.PLOT_EPILOG))
    seeing.add_report(_add(commands, "report", seeing.REPORT, seeing.REPORT_EPILOG))
    _add_submit(commands)
    _add_status(commands)
    _add_many(commands)
    _add_find_rate(commands)
    launch.add_arguments(_add(commands, "launch", launch.HELP, launch.EPILOG))
    convert.add_arguments(_add(commands, "convert", convert.HELP, convert.EPILOG))
    data.add_arguments(_add(commands, "data", data.HELP, data.EPILOG))
    init.add_arguments(_add(commands, "init", init.HELP, init.EPILOG))
    completion.add_arguments(
        _add(commands, "completion", completion.HELP, completion.EPILOG), commands.choices
    )
    return parser


def _add(commands: Any, name: str, help: str, epilog: str | None = None) -> argparse.ArgumentParser:
    """A command's parser, whose epilog keeps its lines."""
    return commands.add_parser(
        name,
        help=help,
        description=help,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config_file", metavar="CONFIG.toml", help="what to train")
    parser.add_argument(
        "--set",
        metavar="section.key=value",
        action="append",
        default=[],
        dest="overrides",
        help="replace a key of the config; paths are taken from the current directory; may be repeated",
    )


def _add_checkpoint(parser: argparse.ArgumentParser, which: str) -> None:
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help=_CHECKPOINT)
    parser.add_argument(
        "--which",
        metavar="best|last|STEP",
        default=which,
        help="of a run directory: best, the best epoch's, or the newest where none was the best; last, the newest good "
        "one; or a step's (default %(default)s)",
    )


def _add_train(commands: Any) -> None:
    parser = _add(commands, "train", train.HELP, train.EPILOG)
    _add_config(parser)
    train.add_arguments(parser)


def _add_many(commands: Any) -> None:
    parser = _add(commands, "many", many.HELP, many.EPILOG)
    _add_config(parser)
    many.add_arguments(parser)


def _add_find_rate(commands: Any) -> None:
    parser = _add(commands, "find-rate", find_rate.HELP, find_rate.EPILOG)
    _add_config(parser)
    find_rate.add_arguments(parser)


def _add_evaluate(commands: Any) -> None:
    parser = _add(
        commands,
        "evaluate",
        "Print the cost and the metrics of a checkpoint on a set.",
        "Classes: accuracy, balanced accuracy, top-k, precision, recall, F1, ROC AUC, log loss, Brier score, all by class,\n"
        "and the confusion matrix.  Numbers: R², RMSE, MAE and the largest error, by output.",
    )
    _add_checkpoint(parser, "best")
    parser.add_argument(
        "--data",
        metavar="FILE.h5:/group",
        action="append",
        help="the set, or a table that convert takes, whose columns are found by name; by default the config's "
        "data.validation; repeated, or with * in the name: the rows of several files",
    )
    _add_names(parser, "inputs", "targets")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _add_predict(commands: Any) -> None:
    parser = _add(
        commands,
        "predict",
        "Write the network's outputs for a set, in the set's order.",
        "OUT.h5 gets a (n, outputs), the outputs, class (n,), the most likely one, where there are classes, and\n"
        "label (n,), its name, where it has one.  OUT.csv gets the same as columns, a line for each row.  --keep id writes\n"
        "the data's own column id before them, and to the group kept of OUT.h5.",
    )
    _add_checkpoint(parser, "best")
    parser.add_argument(
        "--data",
        metavar="FILE.h5:/group",
        action="append",
        required=True,
        help="the set, or a table that convert takes, whose columns are found by name; repeated, or with * in the name: "
        "the rows of several files",
    )
    _add_names(parser, "inputs")
    parser.add_argument(
        "--output",
        metavar="OUT.csv|OUT.h5",
        required=True,
        type=Path,
        help="the file to write, a table or HDF5 by its ending",
    )
    parser.add_argument(
        "--keep",
        metavar="NAME",
        action="append",
        default=[],
        help="write a column of the table, or a dataset of the set, beside the answers, such as id; repeated: several",
    )
    parser.add_argument(
        "--row-numbers", action="store_true", help="write the number of each row too, from 0"
    )
    _add_overwrite(parser)


def _add_names(parser: argparse.ArgumentParser, *columns: str) -> None:
    for name in columns:
        parser.add_argument(
            f"--{name}",
            metavar="NAME",
            action="append",
            help=f"the set's {name}, where their name is not the config's data.{name}; repeated: side by side",
        )


def _add_overwrite(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the file where it exists already"
    )


def _add_inspect(commands: Any) -> None:
    parser = _add(commands, "inspect", "Print what a checkpoint says of itself.")
    _add_checkpoint(parser, "last")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _add_verify(commands: Any) -> None:
    parser = _add(
        commands,
        "verify",
        "Train a run again and say whether the bits are the same.",
        "Trains from the run's oldest checkpoint to its newest, with any number of ranks, in a temporary\n"
        "directory, and compares v's digests, epoch by epoch.  Exit status 1 where they differ.",
    )
    parser.add_argument(
        "run", metavar="RUN_DIRECTORY", type=Path, help="the run's directory; it is only read"
    )
    parser.add_argument("--whole", action="store_true", help="train from the start instead")


def _add_export(commands: Any) -> None:
    parser = _add(
        commands,
        "export",
        "Write a trained network for other programs.",
        "The ending names the format.  .c writes OUT.c, OUT.h and OUT_fortran.f90, which need no library and give the\n"
        "bits of predict.  .npz needs nothing more, .onnx and .safetensors pip install 'distmlp[export]', .pt PyTorch.\n"
        ".c, .onnx and .pt take raw inputs; .npz and .safetensors hold w1 … wN, b1 … bN and the scale.",
    )
    _add_checkpoint(parser, "best")
    parser.add_argument(
        "output",
        metavar="OUT.c|OUT.onnx|OUT.pt|OUT.safetensors|OUT.npz",
        type=Path,
        help="the file to write",
    )
    _add_overwrite(parser)


def _add_compare(commands: Any) -> None:
    parser = _add(
        commands,
        "compare",
        "Print a table of runs, the best first, and write it as CSV.",
        "example:\n  distmlp compare runs/sweep\n\n"
        "The best run has the highest accuracy in its last epoch or, without classes, the lowest cost.",
    )
    parser.add_argument(
        "runs", metavar="RUN", nargs="+", help="a run directory, or a directory of run directories"
    )
    parser.add_argument(
        "--output",
        metavar="FILE.csv",
        type=Path,
        help="the table with every digit (default comparison.csv, which is left as it is where it exists)",
    )
    _add_overwrite(parser)


def _add_submit(commands: Any) -> None:
    parser = _add(
        commands,
        "submit",
        "Submit the training of a config to SLURM, as a job that comes back until the run is complete.",
        "example:\n  distmlp submit digits.toml --nodes 2 --ntasks 64 --time 12:00:00 --launch 'srun --mpi=pmix'\n\n"
        "job.sbatch and job.toml, the config as resolved, are kept in the run directory.  The job checkpoints before\n"
        "its time is up and goes back into the queue.",
    )
    _add_config(parser)
    jobs.add_arguments(parser)


def _add_status(commands: Any) -> None:
    parser = _add(
        commands,
        "status",
        "Say how far the run of a config is; the exit status is 0 where it is complete, else 75.",
    )
    _add_config(parser)
    parser.add_argument(
        "--ends",
        action="store_true",
        help="print how many events the run has had and the exit status that its last end says, for scripts",
    )
