"""The commands: what each calls, and what rank 0 prints of it.

A handler is given the command line and the communicator, and returns the exit status, the same on every rank.
What it calls is imported inside, so that no command waits for what only others need.
"""

import json
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from distmlp.cli import completion, convert, data, find_rate, init, seeing
from distmlp.cli import many as many_networks
from distmlp.cli import train as training
from distmlp.errors import COMPLETE, CRASHED, STOPPED

if TYPE_CHECKING:
    from distmlp.parallel.communicator import Communicator

#: What `inspect` prints for people, in this order.
_FACTS = (
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
)


def _say(notes: list[str]) -> None:
    """Tells people, beside what a command prints, once it has done what it should: a refusal stays one sentence."""
    for text in notes:
        print(f"distmlp: {text}", file=sys.stderr, flush=True)


def evaluate(args: Namespace, comm: "Communicator") -> int:
    """Prints a checkpoint's metrics on a set, or those of the mean of many networks."""
    from distmlp.many import ensemble
    from distmlp.results import checkpoint_commands, metrics_text

    notes: list[str] = []
    names = args.inputs, args.targets
    given = args.checkpoint, args.data, comm, args.which, notes.append, names
    many = ensemble.evaluate(*given)
    metrics, networks = many or (checkpoint_commands.evaluate(*given), 1)
    _say(notes)
    if comm.rank == 0:
        if args.json:
            single, scores = dict(vars(metrics)), metrics.scores or {}
            plain = metrics.unweighted
            del single["scores"], single["unweighted"]
            if plain is not None:
                single["unweighted"] = {"cost": plain.cost, "accuracy": plain.accuracy}
            of = {"networks": networks} if many else {}
            print(json.dumps({**of, **single, **scores}))
        else:
            if many:
                print(f"networks {networks}, of whose outputs the mean is taken")
            print(metrics_text.text(metrics))
    return COMPLETE


def predict(args: Namespace, comm: "Communicator") -> int:
    """Writes a network's outputs for a set, or the mean and the spread of many networks'."""
    from distmlp.many import ensemble
    from distmlp.results import checkpoint_commands
    from distmlp.results.kept import Kept

    notes: list[str] = []
    given = args.checkpoint, args.data, args.output, comm, args.which, notes.append, args.overwrite
    more = args.inputs, Kept(args.keep, args.row_numbers)
    many = ensemble.predict(*given, *more)
    rows, networks = many or (checkpoint_commands.predict(*given, *more), 1)
    _say(notes)
    if comm.rank == 0:
        of = f", the mean and the spread of {networks} networks" if many else ""
        print(f"{args.output}: {rows} rows{of}")
    return COMPLETE


def inspect(args: Namespace, comm: "Communicator") -> int:
    """Prints what a checkpoint says of itself."""
    from distmlp.parallel.rank0 import on_rank_0
    from distmlp.results import checkpoint_commands

    notes: list[str] = []
    given = args.checkpoint, args.which, notes.append
    facts = on_rank_0(comm, lambda: checkpoint_commands.inspect(*given))
    _say(notes)
    if comm.rank == 0:
        if args.json:
            print(json.dumps(facts))
        else:
            for name in _FACTS:
                print(f"{name:<15} {facts[name]}")
            print(f"{'arithmetic':<15} {facts['fingerprint']}")
            for name, digest in facts.get("data", {}).items():
                if digest:
                    print(f"{f'data.{name}':<15} {digest}")
            start = facts.get("start")
            if start:
                print(
                    f"{'began with':<15} {start['path']}, step {start['step']}, v_sha256 {start['v_sha256']}"
                )
    return COMPLETE


def verify(args: Namespace, comm: "Communicator") -> int:
    """Trains a run again; CRASHED where its bits are different."""
    from distmlp.results import verification
    from distmlp.wording import counted

    verdict = verification.verify(args.run, comm, args.whole)
    if comm.rank == 0:
        where = f"{args.run}: steps {verdict.first} to {verdict.last}, trained again with {counted(comm.size, 'rank')}"
        if verdict.differing is None:
            print(f"{where}: the same bits ({verdict.compared} digests compared)")
        else:
            step, then, now = verdict.differing
            print(f"{where}: other bits from step {step} at the latest: {then} then, {now} now")
    return COMPLETE if verdict.differing is None else CRASHED


def export(args: Namespace, comm: "Communicator") -> int:
    """Writes a network for other programs."""
    from distmlp.parallel.rank0 import on_rank_0
    from distmlp.results import checkpoint_commands

    notes: list[str] = []
    source, written = on_rank_0(
        comm,
        lambda: checkpoint_commands.export_network(
            args.checkpoint, args.output, args.which, notes.append, args.overwrite
        ),
    )
    _say(notes)
    if comm.rank == 0:
        print(f"{', '.join(map(str, written))}: the network of {source}")
    return COMPLETE


def compare(args: Namespace, comm: "Communicator") -> int:
    """Prints a table of runs, and writes it."""
    from distmlp.parallel.rank0 import on_rank_0
    from distmlp.results import comparison

    out = args.output or Path("comparison.csv")

    def compared() -> tuple[str, bool]:
        rows = comparison.compare(args.runs)
        writes = args.output is not None or args.overwrite or not out.exists()
        if writes:
            comparison.write(rows, out, args.overwrite)
        return comparison.text(rows), writes

    table, written = on_rank_0(comm, compared)
    if comm.rank == 0:
        where = "every digit is in" if written else "--overwrite writes every digit to the present"
        print(f"{table}\n\n{where} {out}")
    return COMPLETE


def submit(args: Namespace, comm: "Communicator") -> int:
    """Writes the SLURM job of a run and submits it."""
    from distmlp.cluster import submission
    from distmlp.parallel.rank0 import on_rank_0

    job = submission.Job(
        nodes=args.nodes,
        ntasks=args.ntasks,
        time=args.time,
        cpus_per_task=args.cpus_per_task,
        warning=args.warning,
        launch=args.launch,
        bind=args.bind,
        setup=str(Path(args.setup).resolve()) if args.setup else None,
        ft=args.ft,
        more=tuple(args.sbatch),
    )
    run = Path(args.config.run.directory)
    submission.check(job)
    if args.dry_run:
        if comm.rank == 0:
            print(submission.script(job, run), end="")
        return COMPLETE
    number = on_rank_0(comm, lambda: submission.submit(submission.write(job, args.config)))
    if comm.rank == 0:
        print(f"submitted as job {number}, from {run / 'job.sbatch'}")
        print(f"  squeue -j {number}              whether it waits or runs")
        print(f"  tail -F {run / f'job-{number}.out'}")
        print(f"  distmlp status {run / 'job.toml'}")
        print(
            f"  scancel {number}                ends it; the same command goes on from its last checkpoint"
        )
    return COMPLETE


def status(args: Namespace, comm: "Communicator") -> int:
    """Says how far a run is; STOPPED where it is not complete."""
    from distmlp.cluster import submission
    from distmlp.parallel.rank0 import on_rank_0
    from distmlp.runs import events

    if args.ends:
        happened = on_rank_0(comm, lambda: events.since(args.config.run.directory, None))
        if comm.rank == 0:
            said = events.status_of(happened)
            print(len(happened), CRASHED if said is None else said)
        return COMPLETE

    complete, words = on_rank_0(comm, lambda: submission.progress(args.config))
    if comm.rank == 0:
        print(words)
    return COMPLETE if complete else STOPPED


HANDLERS: dict[str, Callable[[Namespace, "Communicator"], int]] = {
    "train": training.run,
    "many": many_networks.run,
    "find-rate": find_rate.run,
    "evaluate": evaluate,
    "predict": predict,
    "inspect": inspect,
    "verify": verify,
    "export": export,
    "compare": compare,
    "watch": seeing.watch,
    "plot": seeing.plot,
    "report": seeing.report,
    "submit": submit,
    "status": status,
    "convert": convert.run,
    "data": data.run,
    "init": init.run,
    "completion": completion.run,
}
