"""What the commands on checkpoints do: evaluate, predict, inspect, verify, export."""

import json
import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from distmlp import arithmetic, files
from distmlp.config.reading import from_json, with_run_directory
from distmlp.config.sections import Config
from distmlp.data.dataset import DataSet, check_against_network
from distmlp.errors import InputError, RankFault
from distmlp.mathematics.metrics import predicted_classes
from distmlp.parallel.rank0 import on_rank_0
from distmlp.results.export import export
from distmlp.runs import checkpoint
from distmlp.runs.log import read_log
from distmlp.training.evaluation import Metrics
from distmlp.training.evaluation import evaluate as evaluate_set
from distmlp.training.evaluation import predict as predict_blocks
from distmlp.training.loop import train
from distmlp.training.preparation import network_of, scan_all
from distmlp.training.reporting import LogOnly


def load(place, comm) -> tuple[checkpoint.Checkpoint, Config]:
    """The checkpoint that a place names, read by rank 0, on every rank.  Raises InputError."""
    found, _ = on_rank_0(comm, lambda: checkpoint.find(place))
    return found, from_json(found.facts["config"])


def arithmetic_of(place) -> str:
    """Which arithmetic the checkpoint's config asks for; "portable" where it cannot be read (a later read says why)."""
    try:
        return from_json(checkpoint.find(place)[0].facts["config"]).arithmetic
    except InputError:
        return "portable"


def _open_set(spec: str, targets: str | None, config: Config, comm, stack: ExitStack) -> DataSet:
    """The set, checked on rank 0 before the others open it."""

    def opened() -> DataSet:
        data = DataSet(spec, config.data.inputs, targets)
        check_against_network(data, config.network.layers, "--data")
        return data

    on_rank_0(comm, lambda: opened().close())
    try:
        return stack.enter_context(opened())
    except InputError as error:
        raise RankFault(f"rank 0 could open the data, but this rank cannot: {error}") from None


def evaluate(place, spec: str | None, comm) -> Metrics:
    """Metrics of a checkpoint on a set, by default the config's validation set.  Raises InputError."""
    found, config = load(place, comm)
    spec = spec or config.data.validation
    if not spec:
        raise InputError(
            f"{found.path}: its config names no data.validation; --data FILE.h5:/group says what to evaluate on"
        )
    with ExitStack() as stack:
        stack.enter_context(arithmetic.one_thread())
        data = _open_set(spec, config.data.targets, config, comm, stack)
        scan_all(config, comm, [data])
        return evaluate_set(network_of(config), found.v, data, config.data.scale, comm)


def predict(place, spec: str, out: Path, comm) -> int:
    """Writes the network's outputs for a set to the dataset `a` of an HDF5 file, in the set's order; returns the rows.

    Beside it `class`, (n,), the most likely one, where the network was trained on classes.  The file is
    whole or not there.  Raises InputError.
    """
    found, config = load(place, comm)
    network = network_of(config)
    with ExitStack() as stack:
        stack.enter_context(arithmetic.one_thread())
        data = _open_set(spec, None, config, comm, stack)
        classes = found.facts["classes"]
        file = None
        output = stack.enter_context(ExitStack())

        def create() -> None:
            nonlocal file
            if not out.parent.is_dir():
                raise InputError(f"--output {out}: there is no directory {out.parent}")
            if out.is_dir():
                raise InputError(
                    f"--output {out} is a directory, but expected the name of a file to write"
                )
            if out.exists() and out.samefile(spec.rpartition(":")[0]):
                raise InputError(
                    f"--output {out} is the file that --data names; the outputs would replace the set"
                )
            temporary = output.enter_context(files.replacing(out))
            file = output.enter_context(h5py.File(temporary.name, "w"))
            file.create_dataset("a", (data.rows, network.layers[-1]), found.v.dtype)
            if classes:
                file.create_dataset("class", (data.rows,), np.int64)
            file.attrs["checkpoint"] = str(found.path)
            file.attrs["v_sha256"] = found.facts["v_sha256"]
            file.attrs["data"] = spec

        def write(row: int, a) -> None:
            file["a"][row : row + len(a)] = a
            if classes:
                file["class"][row : row + len(a)] = predicted_classes(a)

        on_rank_0(comm, create)
        predict_blocks(network, found.v, data, config.data.scale, comm, write)
        on_rank_0(comm, output.close)
        return data.rows


def export_network(place, out: Path) -> str:
    """Writes a checkpoint's network in another format; returns which checkpoint it was.  Raises InputError."""
    found, _ = checkpoint.find(place)
    export(found, from_json(found.facts["config"]), out)
    return str(found.path)


def inspect(place) -> dict:
    """What a checkpoint says of itself, as one object.  Raises InputError."""
    found, _ = checkpoint.find(place)
    facts = {**found.facts, "config": json.loads(found.facts["config"]), "path": str(found.path)}
    if checkpoint.v_sha256(found.v) != facts["v_sha256"]:
        raise checkpoint.Damaged(
            f"{found.path}: v is not the one whose SHA-256 the checkpoint keeps"
        )
    return facts


@dataclass(frozen=True)
class Verdict:
    """What training again has shown.

    first, last: the steps between.  compared: how many digests of v were compared.  differing: the step
    of the first one that differs, and the two digests; None where all are the same.
    """

    first: int
    last: int
    compared: int
    differing: tuple[int, str, str] | None


def verify(run: Path, comm, whole: bool = False) -> Verdict:
    """Trains a run again, from its oldest checkpoint to its newest or from the start, and compares the digests of v.

    Every epoch of the log in between is compared, and the newest checkpoint, with its optimizer's state.
    Collective, with any number of ranks; the run's directory is only read.  Raises InputError.
    """

    def prepare():
        found = [checkpoint.read(path) for path in checkpoint.listed(run / "checkpoints")]
        if not found or (len(found) == 1 and not whole):
            raise InputError(
                f"{run}: {len(found)} checkpoints in checkpoints/, but expected "
                f"{'one' if whole else 'two to train from one to the other; --whole trains from the start'}"
            )
        return found[-1], found[0], tempfile.mkdtemp(prefix="distmlp-verify-")

    start, end, scratch = on_rank_0(comm, prepare)
    try:
        config = with_run_directory(from_json(end.facts["config"]), scratch)
        again = train(
            config,
            comm,
            resume="never" if whole else str(start.path),
            report=LogOnly(),
            until=end.facts["step"],
        )
        first = 0 if whole else start.facts["step"]
        return on_rank_0(
            comm,
            lambda: _compared(run, Path(scratch), first, end, checkpoint.read(again.checkpoint)),
        )
    finally:
        if comm.rank == 0:
            shutil.rmtree(scratch)


def _compared(run: Path, scratch: Path, first: int, end, again) -> Verdict:
    logged = {record["step"]: record["v_sha256"] for record in read_log(scratch / "log.jsonl")}
    pairs = [
        (record["step"], record["v_sha256"], logged[record["step"]])
        for record in read_log(run / "log.jsonl")
        if record["step"] in logged and first < record["step"] <= end.facts["step"]
    ]
    for then, now in (
        (end.v, again.v),
        *((end.arrays[name], again.arrays[name]) for name in end.arrays),
    ):
        pairs.append((end.facts["step"], checkpoint.v_sha256(then), checkpoint.v_sha256(now)))
    differing = next((pair for pair in pairs if pair[1] != pair[2]), None)
    return Verdict(first, end.facts["step"], len(pairs), differing)
