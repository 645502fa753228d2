"""The command `distmlp`: what is asked, on every rank; what is said, by rank 0; one exit status for all.

    0   complete                      3   diverged: a NaN or an infinity
    1   a crash                      75   stopped by a signal after a checkpoint: run it again to go on
    2   bad config, data or command

numpy is imported only once the arithmetic is known, so that its kernels can be pinned.
"""

import argparse
import contextlib
import os
import signal
import sys
import threading
import traceback
from pathlib import Path

from distmlp import __version__, arithmetic, config
from distmlp.config import InputError

COMPLETE, CRASHED, BAD_INPUT, DIVERGED, STOPPED = 0, 1, 2, 3, 75

_RANK_VARIABLES = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK")


class _Parser(argparse.ArgumentParser):
    """argparse that raises InputError and lets one rank print."""

    def error(self, message):
        raise InputError(f"{message} (distmlp {self.prog.partition(' ')[2]} --help tells how)".replace("  ", " "))

    def _print_message(self, message, file=None):
        rank = next((os.environ[name] for name in _RANK_VARIABLES if name in os.environ), "0")
        if rank == "0":
            super()._print_message(message, file)


def _parser(first: str | None) -> argparse.ArgumentParser:
    """The parser; first: the first word of the command line, since only convert's options need numpy."""
    parser = _Parser(
        prog="distmlp",
        description="Trains multi-layer perceptrons over MPI ranks; the result is the same bits at any rank count.",
        epilog="Every command runs alone or under mpirun: mpirun -n 4 distmlp train digits.toml",
    )
    parser.add_argument("--version", action="version", version=f"distmlp {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)

    def command(name: str, help: str, **more):
        return commands.add_parser(
            name, help=help, formatter_class=argparse.RawDescriptionHelpFormatter, description=help, **more
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
    train.add_argument("config", metavar="CONFIG.toml", help="what to train; every key is in docs/config.md")
    train.add_argument(
        "--set",
        metavar="section.key=value",
        action="append",
        default=[],
        dest="overrides",
        help="replace a key of the config; paths are taken from the current directory; may be repeated",
    )
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
    evaluate.add_argument("--data", metavar="FILE.h5:/group", help="the set; by default the config's data.validation")
    evaluate.add_argument("--json", action="store_true", help="print one JSON object")

    predict = command(
        "predict",
        "Write the network's outputs for a set, in the set's order.",
        epilog="OUT.h5 gets a (n, outputs), the outputs, and class (n,), the most likely one, where there are classes.",
    )
    predict.add_argument("checkpoint", metavar="CHECKPOINT", help=place_help)
    predict.add_argument("--data", metavar="FILE.h5:/group", required=True, help="the set")
    predict.add_argument("--output", metavar="OUT.h5", required=True, type=Path, help="the file to write")

    inspect = command("inspect", "Print what a checkpoint says of itself.")
    inspect.add_argument("checkpoint", metavar="CHECKPOINT", help=place_help)
    inspect.add_argument("--json", action="store_true", help="print one JSON object")

    verify = command(
        "verify",
        "Train a run again and say whether the bits are the same.",
        epilog="Trains from the run's oldest checkpoint to its newest, with any number of ranks, in a temporary\n"
        "directory, and compares v's digests, epoch by epoch.  Exit status 1 where they differ.",
    )
    verify.add_argument("run", metavar="RUN_DIRECTORY", type=Path, help="the run's directory; it is only read")
    verify.add_argument("--whole", action="store_true", help="train from the start instead")

    export = command(
        "export",
        "Write a trained network for other programs.",
        epilog="The format follows from the ending: .npz needs nothing more, .safetensors and .onnx need\n"
        'pip install "distmlp[export]".  Tensors are named w1 … wN and b1 … bN.',
    )
    export.add_argument("checkpoint", metavar="CHECKPOINT", help=place_help)
    export.add_argument("output", metavar="OUT.onnx|OUT.safetensors|OUT.npz", type=Path, help="the file to write")

    convert = command("convert", "Write MNIST-style IDX, CSV, .npy or .npz files as HDF5 that can be trained on.")
    if first == "convert":
        arithmetic.pin("portable")
        from distmlp import conversion

        conversion.add_arguments(convert)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Runs a command and returns its exit status, the same on every rank."""
    asked, settings, fault = None, None, None
    try:
        words = sys.argv[1:] if arguments is None else arguments
        asked = _parser(words[0] if words else None).parse_args(words)
        if asked.command == "train":
            settings = config.load(asked.config, asked.overrides)
    except InputError as error:
        # Said only once all ranks are there: a launcher ends the rest as soon as one has failed.
        fault = error
    arithmetic.pin(settings.arithmetic if settings else "portable")
    return _run(asked, settings, fault)


def _run(asked, settings, fault) -> int:
    from distmlp import communicator, training
    from distmlp.recovery import Corrupted

    comm = communicator.Alone()
    try:
        if asked and asked.command in ("evaluate", "predict", "verify"):
            _restart_for(asked.run if asked.command == "verify" else asked.checkpoint)
        comm = communicator.world()
        if fault:
            raise fault
        return comm.leave(_COMMANDS[asked.command](asked, settings, comm))
    except InputError as error:
        return _end(comm, BAD_INPUT, error)
    except training.Diverged as error:
        return _end(comm, DIVERGED, error)
    except (training.CheckpointFailed, Corrupted) as error:
        return _end(comm, CRASHED, error)
    except BaseException as error:
        # This rank alone: the others wait for it in vain, so they are ended.
        alone = isinstance(error, training.RankFault)
        where = f"distmlp: rank {comm.rank} of {comm.size} on {comm.hosts[comm.rank]}"
        words = f"{where}: {error}" if alone else f"{where} failed and ends the others:\n{traceback.format_exc()}"
        print(words, file=sys.stderr, flush=True)
        comm.abort(BAD_INPUT if alone else CRASHED)
        raise


def _end(comm, status: int, error) -> int:
    """Ends every rank with the same status, after rank 0 has said why."""
    from distmlp.communicator import RanksLost

    if comm.rank == 0:
        print(f"distmlp: {error}", file=sys.stderr, flush=True)
    with contextlib.suppress(RanksLost):
        comm.barrier()
    return comm.leave(status)


def _restart_for(place) -> None:
    """Starts again with the arithmetic that the checkpoint asks for, where that is not portable."""
    from distmlp import commands

    wanted = commands.arithmetic_of(place)
    if wanted != "portable" and arithmetic.is_pinned("portable") and not arithmetic.is_pinned(wanted):
        arithmetic.restart_pinned(wanted)


def _train(asked, settings, comm) -> int:
    from distmlp import reporting, training

    bar = {"auto": None, "bar": True, "none": False}[asked.progress]
    result = training.train(
        settings, comm, resume=asked.resume, report=reporting.Report(bar), should_stop=_stop_flag()
    )
    if comm.rank == 0:
        if not result.complete:
            print(f"stopped after step {result.step}; the same command goes on from there")
        print(f"checkpoint {result.checkpoint}")
        print(f"v sha256   {result.v_sha256}", flush=True)
    return COMPLETE if result.complete else STOPPED


def _stop_flag():
    """A function that says whether SIGTERM, SIGINT or SIGUSR1 has come; a second SIGINT ends at once.

    A handler in Python would wait until MPI returns from what it does, so the handlers do nothing and
    a thread reads the signals' numbers from the pipe that C writes them to.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    came = []

    def read():
        while True:
            for number in os.read(reading, 64):
                if number == signal.SIGINT and number in came:
                    os._exit(128 + number)
                came.append(number)

    threading.Thread(target=read, name="signals", daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, lambda *_: None)
    return lambda: bool(came)


def _evaluate(asked, settings, comm) -> int:
    import json

    from distmlp import commands

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
    from distmlp import commands

    rows = commands.predict(asked.checkpoint, asked.data, asked.output, comm)
    if comm.rank == 0:
        print(f"{asked.output}: {rows} rows")
    return COMPLETE


def _inspect(asked, settings, comm) -> int:
    import json

    from distmlp import commands
    from distmlp.training import on_rank_0

    facts = on_rank_0(comm, lambda: commands.inspect(asked.checkpoint))
    if comm.rank == 0:
        if asked.json:
            print(json.dumps(facts))
        else:
            for key in ("path", "layers", "dtype", "parameters", "step", "epoch", "step_in_epoch", "samples", "ranks", "mpi", "v_sha256", "fingerprint"):
                print(f"{key:<13} {facts[key]}")
    return COMPLETE


def _verify(asked, settings, comm) -> int:
    from distmlp import commands

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
    from distmlp import commands
    from distmlp.training import on_rank_0

    source = on_rank_0(comm, lambda: commands.export_network(asked.checkpoint, asked.output))
    if comm.rank == 0:
        print(f"{asked.output}: the network of {source}")
    return COMPLETE


def _convert(asked, settings, comm) -> int:
    from distmlp import conversion
    from distmlp.training import on_rank_0

    on_rank_0(comm, lambda: conversion.convert_from_arguments(asked))
    return COMPLETE


_COMMANDS = {
    "train": _train,
    "evaluate": _evaluate,
    "predict": _predict,
    "inspect": _inspect,
    "verify": _verify,
    "export": _export,
    "convert": _convert,
}
