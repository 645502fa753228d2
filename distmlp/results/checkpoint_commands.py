"""What the commands on checkpoints do: evaluate, predict, inspect, export."""

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from distmlp import files
from distmlp.config.paths import specs_of
from distmlp.config.reading import from_json
from distmlp.config.sections import Config
from distmlp.data.checking import check_against_network
from distmlp.data.dataset import DataSet
from distmlp.data.matching import Names
from distmlp.data.opening import NoDataset
from distmlp.data.sets import opened as opened_set
from distmlp.data.sets import weigh
from distmlp.data.several_files import Spec, files_of, shown
from distmlp.data.transform import transform_of
from distmlp.errors import InputError
from distmlp.parallel.alike import on_every_rank
from distmlp.parallel.communicator import Communicator
from distmlp.parallel.rank0 import on_rank_0
from distmlp.results import answers
from distmlp.results.export import contents
from distmlp.results.kept import NOTHING, Kept
from distmlp.results.kept import write as write_kept
from distmlp.results.outputs import check_output
from distmlp.results.temporary_sets import set_of, without_targets
from distmlp.runs import checkpoint
from distmlp.runs.checkpoint import Checkpoint
from distmlp.training.agreeing import check_same_sets
from distmlp.training.evaluation import Metrics
from distmlp.training.evaluation import evaluate as evaluate_set
from distmlp.training.evaluation import predict as predict_blocks
from distmlp.training.parts import network_of
from distmlp.training.preparation import (
    check_arithmetic,
    open_sets,
    scan_all,
)
from distmlp.training.set_metrics import Scores


def _nothing(text: str) -> None:
    """What hears which checkpoint was taken, where nobody wants to know."""


#: Names of columns, None for those of the config; and those of inputs and targets.
Name = str | Sequence[str] | None
Asked = tuple[Name, Name]


def load(
    place: str | Path,
    comm: Communicator,
    which: str,
    say: Callable[[str], None],
    says_best: bool = True,
) -> tuple[Checkpoint, Config]:
    """The checkpoint that a place names, read by rank 0, on every rank; see `checkpoint.find`.  Raises InputError.

    say: hears on rank 0 which damaged ones were passed over, and where `says_best` that it is the best epoch's.
    """
    found = on_rank_0(comm, lambda: _taken(place, which, say, says_best))
    return found, from_json(found.facts["config"])


def _found(place: str | Path, which: str, say: Callable[[str], None]) -> Checkpoint:
    found, passed_over = checkpoint.find(place, which)
    for words in passed_over:
        say(f"{words}; passed over")
    return found


def _taken(
    place: str | Path, which: str, say: Callable[[str], None], says_best: bool = True
) -> Checkpoint:
    found = _found(place, which, say)
    if says_best and checkpoint.is_best(found):
        shown = found.facts["shown"]
        metric, (value, step, _) = shown["metric"], shown["best"]
        say(
            f"taking {found.path}, the best epoch's (step {step}, {metric} {value:.9g}); --which last takes the newest"
        )
    return checkpoint.averaged(found)


def _open_set(
    given: Spec,
    asked: Asked,
    facts: dict[str, Any],
    comm: Communicator,
    stack: ExitStack,
    columns: Name = None,
    scratch: Path | None = None,
    rows: str = "",
) -> DataSet:
    """The set, or the table, checked on rank 0 before the others open it.

    asked: names of its inputs, None for the config's, and of its targets, None for a set without them.  columns: the
    targets of a table, None for those of the training set.  scratch: where a table is written as a set meanwhile.
    rows: as data.validation_rows has them.
    """
    config = from_json(facts["config"])
    wanted = () if asked[1] is None else columns or facts.get("target_columns")
    spec, is_table = set_of(given, wanted, facts, scratch, comm, stack)
    inputs, targets = asked[0] or config.data.inputs, asked[1]
    if is_table:
        inputs, targets = "x", None if targets is None else "y"
    names = Names(facts.get("columns"), facts.get("targets"), renamed=columns is not None)

    def opened() -> DataSet:
        try:
            data = opened_set(spec, inputs, targets, names, rows, "data.validation_rows")
        except NoDataset as error:
            named = [targets] if isinstance(targets, str) else targets or ()
            if error.name not in [name.partition("[")[0] for name in named]:
                raise
            why = f"no dataset {error.name!r}, only {error.there}"
            raise without_targets(shown(given), why) from None
        if is_table:
            data.spec = shown(given)
        how = "classes" if facts["classes"] else "numbers"
        data.settle(config.network.targets, config.network.output, how)
        check_against_network(data, config, "--data")
        if targets is not None:
            weigh(data, spec, config.data)
        return data

    def check() -> None:
        with opened() as data:
            data.check_whole()

    def open_here() -> DataSet:
        try:
            return stack.enter_context(opened())
        except InputError as error:
            raise InputError(f"rank 0 could open the data, but this rank cannot: {error}") from None

    on_rank_0(comm, check)
    data = on_every_rank(comm, open_here)
    check_same_sets(comm, [data])
    return data


def open_asked(
    spec: Spec | None, names: Asked, facts: dict[str, Any], comm: Communicator, stack: ExitStack
) -> DataSet | None:
    """The set to look at with a checkpoint of these facts: by default what the run is validated on, those rows alone.

    None where that is nothing.  names: of the inputs and the targets, None for the config's.  Collective.
    Raises InputError.
    """
    config = from_json(facts["config"])
    there = config.data
    if not spec and (there.fold or there.share):
        return open_sets(config, comm, stack)[1]
    rows = "" if spec else there.validation_rows
    spec = specs_of(spec, Path.cwd()) if spec else there.validation_set
    if not spec:
        return None
    inputs, targets = there.inputs, there.targets
    if spec == there.validation_set:
        inputs, targets = there.validation_inputs or inputs, there.validation_targets or targets
    asked = names[0] or inputs, names[1] or targets
    return _open_set(spec, asked, facts, comm, stack, columns=names[1], rows=rows)


def evaluate(
    place: str | Path,
    spec: Spec | None,
    comm: Communicator,
    which: str = "best",
    say: Callable[[str], None] = _nothing,
    names: Asked = (None, None),
) -> Metrics:
    """Metrics of a checkpoint on a set, by default the config's validation set, with all scores; which, say: see `load`.

    Raises InputError.
    """
    check_arithmetic(comm)
    found, config = load(place, comm, which, say)
    with ExitStack() as stack:
        data = open_asked(spec, names, found.facts, comm, stack)
        if data is None:
            raise InputError(
                f"{found.path}: its config names no data.validation; --data FILE.h5:/group says what to evaluate on"
            )
        scan_all(config, comm, data)
        network = network_of(config)
        transform = transform_of(config.data, found.data)
        scores = Scores(network, data, transform=transform)
        return evaluate_set(network, found.v, data, transform, comm, scores)


def predict(
    place: str | Path,
    spec: Spec,
    out: Path,
    comm: Communicator,
    which: str = "best",
    say: Callable[[str], None] = _nothing,
    overwrite: bool = False,
    inputs: Name = None,
    kept: Kept = NOTHING,
) -> int:
    """Writes the network's outputs for a set, or for a table, to the dataset `a` of an HDF5 file, in the set's order; returns the rows.

    Where `out` ends in .csv, all of this becomes the columns of a table.

    Beside it `class`, (n,), the most likely one, where the network was trained on classes, and `label`, its name, where
    classes have names; of gaussian-nll `mean` and `spread`, (n, k).  Inputs are matched by name where both the set and the training set have names.  inputs: what
    they are called in the set, where that is not the config's.  kept: what is written beside the answers, to the group
    `kept`.  The file is whole or not there; one that is there is replaced only where `overwrite` says so.  which, say: see `load`.  Raises InputError.
    """
    check_arithmetic(comm)
    return predict_with(load(place, comm, which, say), spec, out, comm, overwrite, inputs, kept)


def predict_with(
    loaded: tuple[Checkpoint, Config],
    spec: Spec,
    out: Path,
    comm: Communicator,
    overwrite: bool,
    inputs: Name,
    kept: Kept,
) -> int:
    """As `predict`, with a checkpoint that `load` has given."""
    found, config = loaded
    network = network_of(config)
    asked, spec = shown(spec), specs_of(spec, Path.cwd())
    reads = [spec, config.data.train, config.data.validation_set]
    never = [found.path, *(path for name in reads if name for path in files_of(name))]
    on_rank_0(comm, lambda: check_output(out, overwrite, answers.ENDINGS, never))
    with ExitStack() as stack:
        data = _open_set(spec, (inputs, None), found.facts, comm, stack, scratch=out.parent)
        scan_all(config, comm, data)
        transform = transform_of(config.data, found.data)
        dtype = np.dtype(np.float64) if transform.targets else found.v.dtype
        output = stack.enter_context(ExitStack())
        file: h5py.File = None  # rank 0's alone

        def create() -> None:
            nonlocal file
            file = output.enter_context(answers.created(out, overwrite))
            answers.describe(file, found, data.rows, network.targets, dtype, asked)
            write_kept(file, spec, kept, data.rows)

        def write(row: int, a: np.ndarray) -> None:
            answers.write_rows(file, row, a, labels)

        labels = answers.labels_of(found)
        on_rank_0(comm, create)
        predict_blocks(network, found.v, data, transform, comm, write)
        on_rank_0(comm, output.close)
        return data.rows


def export_network(
    place: str | Path,
    out: Path,
    which: str = "best",
    say: Callable[[str], None] = _nothing,
    overwrite: bool = False,
) -> tuple[str, list[Path]]:
    """Writes a checkpoint's network in another format; returns which checkpoint it was, and the files written.

    It replaces a file only where `overwrite` says so.  which, say: see `load`.  Raises InputError.
    """
    found = _taken(place, which, say)
    written = contents(found, out)
    for path in written:
        check_output(path, overwrite, never=[found.path], option="")
    for path, content in written.items():
        files.write(path, content, must_not_exist=not overwrite)
    return str(found.path), list(written)


def inspect(
    place: str | Path, which: str = "last", say: Callable[[str], None] = _nothing
) -> dict[str, Any]:
    """What a checkpoint says of itself, as one object; which, say: see `load`.  Raises InputError."""
    found = _found(place, which, say)
    facts = {**found.facts, "config": json.loads(found.facts["config"]), "path": str(found.path)}
    if checkpoint.v_sha256(found.v) != facts["v_sha256"]:
        raise checkpoint.Damaged(
            f"{found.path}: v is not the one whose SHA-256 the checkpoint keeps"
        )
    return facts
