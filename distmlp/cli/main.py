"""The command `distmlp`: what is asked, on every rank; what is said, by rank 0; one exit status for all.

    0   complete                      3   diverged: a NaN or an infinity
    1   a crash                      75   stopped by a signal after a checkpoint: run it again to go on
    2   bad config, data or command

numpy is imported only once the arithmetic is known, so that its kernels can be pinned.
"""

import argparse
import contextlib
import faulthandler
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path

from distmlp import __version__, arithmetic
from distmlp.config import reading as config
from distmlp.errors import (
    BAD_INPUT,
    COMPLETE,
    CRASHED,
    DIVERGED,
    STOPPED,
    CheckpointFailed,
    Corrupted,
    Diverged,
    Divided,
    InputError,
    RankFault,
)
from distmlp.parallel import launchers


class _Parser(argparse.ArgumentParser):
    """argparse that raises InputError and lets one rank print."""

    def error(self, message):
        raise InputError(
            f"{message} (distmlp {self.prog.partition(' ')[2]} --help tells how)".replace("  ", " ")
        )

    def _print_message(self, message, file=None):
        if launchers.is_first():
            super()._print_message(message, file)


def _parser(first: str | None) -> argparse.ArgumentParser:
    """The parser; first: the first word of the command line, since only convert's options need numpy."""
    parser = _Parser(
        prog="distmlp",
        description="Trains multi-layer perceptrons over MPI ranks; the result is the same bits at any rank count.",
        epilog="Every command runs alone or under mpirun: mpirun -n 4 distmlp train digits.toml",
    )
    parser.add_argument("--version", action="version", version=f"distmlp {__version__}")
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=_Parser
    )

    def command(name: str, help: str, **more):
        return commands.add_parser(
            name,
            help=help,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            description=help,
            **more,
        )

    def of_a_config(parser):
        parser.add_argument(
            "config", metavar="CONFIG.toml", help="what to train; every key is in docs/config.md"
        )
        parser.add_argument(
            "--set",
            metavar="section.key=value",
            action="append",
            default=[],
            dest="overrides",
            help="replace a key of the config; paths are taken from the current directory; may be repeated",
        )

    train = command(
        "train",
        "Train the network that a config describes.",
        epilog="examples:\n"
        "  mpirun -n 2 distmlp train digits.toml\n"
        "  distmlp train digits.toml --set training.epochs=5 --set optimizer.name=adam\n\n"
        "A run that was stopped or killed goes on when the same command is given again, from its newest\n"
        "good checkpoint, with any number of ranks, to the same bits.",
    )
    of_a_config(train)
    train.add_argument(
        "--resume",
        metavar="auto|never|CHECKPOINT",
        default="auto",
        help="auto (default): from the run directory's newest good checkpoint, or the start; "
        "never: from the start, setting aside what is there; CHECKPOINT: from that one",
    )
    train.add_argument(
        "--progress",
        choices=("auto", "bar", "none"),
        default="auto",
        help="the progress bar on standard error; auto (default): where that is a terminal",
    )

    place_help = "a checkpoint file, or a run directory, meaning its newest good one"
    evaluate = command("evaluate", "Print the cost and the accuracy of a checkpoint on a set.")
    evaluate.add_argument("checkpoint", metavar="CHECKPOINT", help=place_help)
    evaluate.add_argument(
        "--data", metavar="FILE.h5:/group", help="the set; by default the config's data.validation"
    )
    evaluate.add_argument("--json", action="store_true", help="print one JSON object")

    predict = command(
        "predict",
        "Write the network's outputs for a set, in the set's order.",
        epilog="OUT.h5 gets a (n, outputs), the outputs, and class (n,), the most likely one, where there are classes.",
    )
    predict.add_argument("checkpoint", metavar="CHECKPOINT", help=place_help)
    predict.add_argument("--data", metavar="FILE.h5:/group", required=True, help="the set")
    predict.add_argument(
        "--output", metavar="OUT.h5", required=True, type=Path, help="the file to write"
    )

    inspect = command("inspect", "Print what a checkpoint says of itself.")
    inspect.add_argument("checkpoint", metavar="CHECKPOINT", help=place_help)
    inspect.add_argument("--json", action="store_true", help="print one JSON object")

    verify = command(
        "verify",
        "Train a run again and say whether the bits are the same.",
        epilog="Trains from the run's oldest checkpoint to its newest, with any number of ranks, in a temporary\n"
        "directory, and compares v's digests, epoch by epoch.  Exit status 1 where they differ.",
    )
    verify.add_argument(
        "run", metavar="RUN_DIRECTORY", type=Path, help="the run's directory; it is only read"
    )
    verify.add_argument("--whole", action="store_true", help="train from the start instead")

    export = command(
        "export",
        "Write a trained network for other programs.",
        epilog="The format follows from the ending: .npz needs nothing more, .safetensors and .onnx need\n"
        'pip install "distmlp[export]".  Tensors are named w1 … wN and b1 … bN.',
    )
    export.add_argument("checkpoint", metavar="CHECKPOINT", help=place_help)
    export.add_argument(
        "output", metavar="OUT.onnx|OUT.safetensors|OUT.npz", type=Path, help="the file to write"
    )

    compare = command(
        "compare",
        "Print a table of runs, the best first, and write it as CSV.",
        epilog="example:\n  distmlp compare runs/sweep\n\n"
        "The best run has the highest accuracy in its last epoch or, without classes, the lowest cost.",
    )
    compare.add_argument(
        "runs", metavar="RUN", nargs="+", help="a run directory, or a directory of run directories"
    )
    compare.add_argument(
        "--output",
        metavar="FILE.csv",
        type=Path,
        default=Path("comparison.csv"),
        help="the table with every digit (default %(default)s)",
    )

    submit = command(
        "submit",
        "Submit the training of a config to SLURM, as a job that comes back until the run is complete.",
        epilog="example:\n  distmlp submit digits.toml --nodes 2 --ntasks 64 --time 12:00:00 --launch 'srun --mpi=pmix'\n\n"
        "job.sbatch and job.toml, the config as resolved, are kept in the run directory.  The job checkpoints before\n"
        "its time is up and goes back into the queue; docs/clusters.md tells how a cluster is set up for it.",
    )
    of_a_config(submit)
    submit.add_argument(
        "--nodes", metavar="N", type=_at_least_1, default=1, help="how many nodes (default 1)"
    )
    submit.add_argument(
        "--ntasks",
        metavar="N",
        type=_at_least_1,
        required=True,
        help="how many ranks, over all nodes",
    )
    submit.add_argument(
        "--time",
        required=True,
        help="each job's time limit, as for sbatch: 12:00:00; the run may take many of them",
    )
    submit.add_argument(
        "--cpus-per-task",
        metavar="N",
        type=_at_least_1,
        default=1,
        help="cores a rank is bound to (default 1, which it uses)",
    )
    submit.add_argument(
        "--launch",
        metavar="COMMAND",
        help="mpirun (default), 'srun --mpi=pmix' for Open MPI or 'srun --mpi=pmi2' for MPICH",
    )
    submit.add_argument(
        "--ft", choices=("ulfm",), help="go on without ranks that are lost (Open MPI's mpirun)"
    )
    submit.add_argument(
        "--bind",
        choices=("core", "socket", "numa", "none"),
        help="what a rank is bound to (default core)",
    )
    submit.add_argument(
        "--setup",
        metavar="FILE",
        help="a file that the job sources first: module load, conda activate",
    )
    submit.add_argument(
        "--warning",
        metavar="SECONDS",
        type=_at_least_1,
        default=120,
        help="how long before the time limit to stop and checkpoint (default 120)",
    )
    submit.add_argument(
        "--sbatch",
        metavar="OPTION",
        action="append",
        default=[],
        help="a further option of sbatch, such as --sbatch=--partition=short; may be repeated",
    )
    submit.add_argument(
        "--dry-run", action="store_true", help="print the job's file; write and submit nothing"
    )

    status = command(
        "status",
        "Say how far the run of a config is; the exit status is 0 where it is complete, else 75.",
    )
    of_a_config(status)

    convert = command(
        "convert", "Write MNIST-style IDX, CSV, .npy or .npz files as HDF5 that can be trained on."
    )
    if first == "convert":
        arithmetic.pin("portable")
        from distmlp.data.conversion import convert as conversion

        conversion.add_arguments(convert)
    return parser


def _at_least_1(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}, but expected a whole number of at least 1")
    return number


def main(arguments: list[str] | None = None) -> int:
    """Runs a command and returns its exit status, the same on every rank."""
    asked, settings, fault = None, None, None
    try:
        words = sys.argv[1:] if arguments is None else arguments
        asked = _parser(words[0] if words else None).parse_args(words)
        if asked.command in ("train", "status", "submit"):
            settings = config.load(asked.config, asked.overrides)
        if asked.command == "train":
            asked.stop = _StopFlag()  # first of all, for a signal may come while MPI starts
    except InputError as error:
        # Said only once all ranks are there: a launcher ends the rest as soon as one has failed.
        fault = error
    arithmetic.pin(settings.arithmetic if settings else "portable")
    return _run(asked, settings, fault)


def _run(asked, settings, fault) -> int:
    from distmlp.parallel import communicator

    comm = communicator.SingleProcess()
    try:
        if asked and asked.command in ("evaluate", "predict", "verify"):
            _restart_for(asked.run if asked.command == "verify" else asked.checkpoint)
        with _bounded(settings.run.stall_seconds if settings else 600.0):
            comm = launchers.world(training=asked is not None and asked.command == "train")
        faulthandler.enable(
            sys.__stderr__
        )  # after MPI, whose own handlers would say it cannot have the signals
        if fault:
            raise fault
        return comm.leave(_COMMANDS[asked.command](asked, settings, comm))
    except InputError as error:
        return _end(comm, BAD_INPUT, error)
    except Diverged as error:
        return _end(comm, DIVERGED, error)
    except (CheckpointFailed, Divided, Corrupted) as error:
        return _end(comm, CRASHED, error)
    except BaseException as error:
        # This rank alone: the others wait for it in vain, so they are ended.
        alone = isinstance(error, RankFault)
        where = f"distmlp: rank {comm.rank} of {comm.size} on {comm.hosts[comm.rank]}"
        words = (
            f"{where}: {error}"
            if alone
            else f"{where} failed and ends the others:\n{traceback.format_exc()}"
        )
        print(words, file=sys.stderr, flush=True)
        comm.abort(BAD_INPUT if alone else CRASHED)
        raise


def _end(comm, status: int, error) -> int:
    """Ends every rank with the same status, after rank 0 has said why."""
    from distmlp.parallel.communicator import RanksLost, SingleProcess

    if isinstance(comm, SingleProcess) and not launchers.is_first():
        time.sleep(
            2
        )  # ranks that came up apart: the first says why before its launcher ends it with the others
    elif comm.rank == 0:
        print(f"distmlp: {error}", file=sys.stderr, flush=True)
    with contextlib.suppress(RanksLost):
        comm.barrier()
    return comm.leave(status)


def _restart_for(place) -> None:
    """Starts again with the arithmetic that the checkpoint asks for, where that is not portable."""
    from distmlp.results import scoring as commands

    wanted = commands.arithmetic_of(place)
    if (
        wanted != "portable"
        and arithmetic.is_pinned("portable")
        and not arithmetic.is_pinned(wanted)
    ):
        arithmetic.restart_pinned(wanted)


def _train(asked, settings, comm) -> int:
    from distmlp.training import loop as training
    from distmlp.training import reporting

    asked.stop.comm = comm
    bar = {"auto": None, "bar": True, "none": False}[asked.progress]
    result = training.train(
        settings, comm, resume=asked.resume, report=reporting.Report(bar), should_stop=asked.stop
    )
    if comm.rank == 0:
        if not result.complete:
            print(f"stopped after step {result.step}; the same command goes on from there")
        print(f"checkpoint {result.checkpoint}")
        print(f"v sha256   {result.v_sha256}", flush=True)
    return COMPLETE if result.complete else STOPPED


@contextlib.contextmanager
def _bounded(seconds: float):
    """Ends this process where what is inside takes longer, with its traceback: for waits in C that hold Python up.

    Where a rank dies before MPI has come up, the others wait for it there.
    """
    if seconds < threading.TIMEOUT_MAX:
        faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


class _StopFlag:
    """Whether SIGTERM, SIGINT or SIGUSR1 has come; a second SIGINT ends all ranks at once.

    A handler in Python would wait until MPI returns from what it does, so the handlers do nothing and
    a thread reads the signals' numbers from the pipe that C writes them to.
    """

    #: Seconds within which two SIGINTs are one: a terminal sends it to the ranks, and so may mpirun.
    ONE = 0.5

    def __init__(self):
        self.comm = None
        self._came = {}
        self._reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing)
        threading.Thread(target=self._read, name="signals", daemon=True).start()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            signal.signal(number, lambda *_: None)

    def __call__(self) -> bool:
        return bool(self._came)

    def _read(self) -> None:
        while True:
            for number in os.read(self._reading, 64):
                first = self._came.setdefault(number, time.monotonic())
                if number == signal.SIGINT and time.monotonic() - first > self.ONE:
                    if self.comm:
                        self.comm.abort(128 + number)
                    os._exit(128 + number)


def _evaluate(asked, settings, comm) -> int:
    import json

    from distmlp.results import scoring as commands

    metrics = commands.evaluate(asked.checkpoint, asked.data, comm)
    if comm.rank == 0:
        if asked.json:
            print(json.dumps(vars(metrics)))
        else:
            print(f"samples  {metrics.samples}\ncost     {metrics.cost:.9g}")
            if metrics.accuracy is not None:
                print(f"accuracy {100 * metrics.accuracy:.2f} %")
    return COMPLETE


def _predict(asked, settings, comm) -> int:
    from distmlp.results import scoring as commands

    rows = commands.predict(asked.checkpoint, asked.data, asked.output, comm)
    if comm.rank == 0:
        print(f"{asked.output}: {rows} rows")
    return COMPLETE


def _inspect(asked, settings, comm) -> int:
    import json

    from distmlp.parallel.rank0 import on_rank_0
    from distmlp.results import scoring as commands

    facts = on_rank_0(comm, lambda: commands.inspect(asked.checkpoint))
    if comm.rank == 0:
        if asked.json:
            print(json.dumps(facts))
        else:
            for key in (
                "path",
                "layers",
                "dtype",
                "parameters",
                "step",
                "epoch",
                "step_in_epoch",
                "samples",
                "ranks",
                "mpi",
                "v_sha256",
                "fingerprint",
            ):
                print(f"{key:<13} {facts[key]}")
    return COMPLETE


def _verify(asked, settings, comm) -> int:
    from distmlp.results import scoring as commands

    verdict = commands.verify(asked.run, comm, asked.whole)
    if comm.rank == 0:
        where = f"{asked.run}: steps {verdict.first} to {verdict.last}, trained again with {comm.size} ranks"
        if verdict.differing is None:
            print(f"{where}: the same bits ({verdict.compared} digests compared)")
        else:
            step, then, now = verdict.differing
            print(f"{where}: other bits from step {step} at the latest: {then} then, {now} now")
    return COMPLETE if verdict.differing is None else CRASHED


def _export(asked, settings, comm) -> int:
    from distmlp.parallel.rank0 import on_rank_0
    from distmlp.results import scoring as commands

    source = on_rank_0(comm, lambda: commands.export_network(asked.checkpoint, asked.output))
    if comm.rank == 0:
        print(f"{asked.output}: the network of {source}")
    return COMPLETE


def _compare(asked, settings, comm) -> int:
    from distmlp.parallel.rank0 import on_rank_0
    from distmlp.results import comparison

    def compared():
        rows = comparison.compare(asked.runs)
        comparison.write(rows, asked.output)
        return comparison.text(rows)

    table = on_rank_0(comm, compared)
    if comm.rank == 0:
        print(f"{table}\n\nevery digit is in {asked.output}")
    return COMPLETE


def _submit(asked, settings, comm) -> int:
    from distmlp.cluster import submission
    from distmlp.parallel.rank0 import on_rank_0

    setup = str(Path(asked.setup).resolve()) if asked.setup else None
    job = submission.Job(
        asked.nodes,
        asked.ntasks,
        asked.time,
        asked.cpus_per_task,
        asked.warning,
        asked.launch,
        asked.bind,
        setup,
        asked.ft,
        tuple(asked.sbatch),
    )
    run = Path(settings.run.directory)
    submission.check(job)
    if asked.dry_run:
        if comm.rank == 0:
            print(submission.script(job, run), end="")
        return COMPLETE
    number = on_rank_0(comm, lambda: submission.submit(submission.write(job, settings)))
    if comm.rank == 0:
        print(f"submitted as job {number}, from {run / 'job.sbatch'}")
        print(f"  squeue -j {number}              whether it waits or runs")
        print(f"  tail -F {run / f'job-{number}.out'}")
        print(f"  distmlp status {run / 'job.toml'}")
        print(
            f"  scancel {number}                ends it; the same command goes on from its last checkpoint"
        )
    return COMPLETE


def _status(asked, settings, comm) -> int:
    from distmlp.cluster import submission
    from distmlp.parallel.rank0 import on_rank_0

    complete, words = on_rank_0(comm, lambda: submission.progress(settings))
    if comm.rank == 0:
        print(words)
    return COMPLETE if complete else STOPPED


def _convert(asked, settings, comm) -> int:
    from distmlp.data.conversion import convert as conversion
    from distmlp.parallel.rank0 import on_rank_0

    on_rank_0(comm, lambda: conversion.convert_from_arguments(asked))
    return COMPLETE


_COMMANDS = {
    "train": _train,
    "evaluate": _evaluate,
    "predict": _predict,
    "inspect": _inspect,
    "verify": _verify,
    "export": _export,
    "compare": _compare,
    "submit": _submit,
    "status": _status,
    "convert": _convert,
}
