"""What the commands on checkpoints do: evaluate, predict, inspect."""

import json
import os
from contextlib import ExitStack
from pathlib import Path

import h5py
import numpy as np

from distmlp import arithmetic, checkpoint
from distmlp.config import Config, InputError, from_json
from distmlp.dataset import DataSet, check_against_network
from distmlp.evaluation import Metrics, predict as predict_blocks
from distmlp.evaluation import evaluate as evaluate_set
from distmlp.training import RankFault, network_of, on_rank_0


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


def _open_set(spec: str, config: Config, comm, stack: ExitStack) -> DataSet:
    """The set, checked on rank 0 before the others open it."""

    def opened() -> DataSet:
        data = DataSet(spec, config.data.inputs, config.data.targets)
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
        raise InputError(f"{found.path}: its config names no data.validation; --data FILE.h5:/group says what to evaluate on")
    with ExitStack() as stack:
        stack.enter_context(arithmetic.one_thread())
        data = _open_set(spec, config, comm, stack)
        return evaluate_set(network_of(config), found.v, data, config.data.scale, comm)


def predict(place, spec: str, out: Path, comm) -> int:
    """Writes the network's outputs for a set to the dataset `a` of an HDF5 file, in the set's order; returns the rows.

    Beside it `class`, (n,), the most likely one, where the set's targets are classes.  The file is
    written under a temporary name and renamed.  Raises InputError.
    """
    found, config = load(place, comm)
    network = network_of(config)
    temporary = out.with_name(f"{out.name}.{os.getpid()}.writing")
    with ExitStack() as stack:
        stack.enter_context(arithmetic.one_thread())
        data = _open_set(spec, config, comm, stack)
        file = None

        def create() -> None:
            nonlocal file
            file = stack.enter_context(h5py.File(temporary, "w"))
            file.create_dataset("a", (data.rows, network.layers[-1]), found.v.dtype)
            if data.classes:
                file.create_dataset("class", (data.rows,), np.int64)
            file.attrs["checkpoint"] = str(found.path)
            file.attrs["v_sha256"] = found.facts["v_sha256"]
            file.attrs["data"] = spec

        def write(row: int, a) -> None:
            file["a"][row : row + len(a)] = a
            if data.classes:
                told = a[:, 0] > 0.5 if a.shape[1] == 1 else a.argmax(axis=1)
                file["class"][row : row + len(a)] = told

        on_rank_0(comm, create)
        try:
            predict_blocks(network, found.v, data, config.data.scale, comm, write)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        rows = data.rows
    on_rank_0(comm, lambda: os.replace(temporary, out))
    return rows


def inspect(place) -> dict:
    """What a checkpoint says of itself, as one object.  Raises InputError."""
    found, _ = checkpoint.find(place)
    facts = {**found.facts, "config": json.loads(found.facts["config"]), "path": str(found.path)}
    if checkpoint.v_sha256(found.v) != facts["v_sha256"]:
        raise checkpoint.Damaged(f"{found.path}: v is not the one whose SHA-256 the checkpoint keeps")
    return facts
