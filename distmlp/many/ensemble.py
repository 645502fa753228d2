"""The outputs of many networks for one set: their mean, their spread, and the metrics of the mean."""

import contextlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from distmlp.config.sections import Config
from distmlp.data.several_files import Spec, files_of, shown
from distmlp.data.transform import transform_of
from distmlp.errors import InputError
from distmlp.many.plan import kept
from distmlp.parallel.communicator import Communicator
from distmlp.parallel.rank0 import on_rank_0
from distmlp.results import answers, checkpoint_commands
from distmlp.results.checkpoint_commands import Name
from distmlp.results.kept import GROUP, NOTHING, Kept
from distmlp.results.outputs import check_output
from distmlp.runs.checkpoint import Checkpoint
from distmlp.runs.directory import end_of
from distmlp.training.evaluation import Metrics, evaluate_mean
from distmlp.training.parts import network_of
from distmlp.training.preparation import check_arithmetic, scan_all
from distmlp.training.set_metrics import Scores

#: Rows whose outputs are added up at a time.
_ROWS = 4096


def predict(
    place: str | Path,
    spec: Spec,
    out: Path,
    comm: Communicator,
    which: str,
    say: Callable[[str], None],
    overwrite: bool,
    inputs: Name = None,
    kept: Kept = NOTHING,
) -> tuple[int, int] | None:
    """Writes the complete networks' outputs for a set to an HDF5 file, or to CSV; returns (rows, networks), None where place holds no many.

    `a` (n, outputs) is their mean and `spread` (n, outputs) their standard deviation (with networks − 1), both float64, added
    up from the first network to the last; `class` (n,) and `label`, its name, are the mean's, where there are classes.  The file
    is whole or not there.  It replaces a file only where `overwrite` says so.  which, inputs, kept: see `checkpoint_commands.predict`.
    Collective.  Raises InputError.
    """
    names = on_rank_0(comm, lambda: _complete(place, say))
    if names is None:
        return None
    loaded = _loaded(place, names, comm, which, say)
    _check_alike(str(place), names, loaded)
    check_arithmetic(comm)

    def scratch() -> Path:
        reads = [
            spec,
            *(of for _, own in loaded for of in (own.data.train, own.data.validation_set)),
        ]
        check_output(
            out, overwrite, answers.ENDINGS, [path for of in reads if of for path in files_of(of)]
        )
        return Path(tempfile.mkdtemp(prefix=f"{out.name}.", dir=out.parent))

    made = on_rank_0(comm, scratch)
    try:
        outputs = [made / f"{name}.h5" for name in names]
        for network, one in zip(loaded, outputs, strict=True):
            beside = kept if one is outputs[0] else NOTHING
            rows = checkpoint_commands.predict_with(
                network, spec, one, comm, overwrite=False, inputs=inputs, kept=beside
            )
        on_rank_0(comm, lambda: _combine(outputs, loaded[0][0], out, shown(spec), overwrite))
    finally:
        if comm.rank == 0:
            shutil.rmtree(made, ignore_errors=True)
    return rows, len(names)


def evaluate(
    place: str | Path,
    spec: Spec | None,
    comm: Communicator,
    which: str = "best",
    say: Callable[[str], None] = lambda words: None,
    names: checkpoint_commands.Asked = (None, None),
) -> tuple[Metrics, int] | None:
    """Metrics of the mean of the complete networks' answers, and how many they are; None where place holds no many.

    The cost is that of the mean, in the targets' own units.  The arguments are those of `checkpoint_commands.evaluate`.  Collective.
    Raises InputError.
    """
    members = on_rank_0(comm, lambda: _complete(place, say))
    if members is None:
        return None
    check_arithmetic(comm)
    loaded = _loaded(place, members, comm, which, say)
    _check_alike(str(place), members, loaded, of_one_cost=True)
    (first, config), *_ = loaded
    if (config.data.fold or config.data.share) and not spec:
        raise InputError(
            f"{place}: each of its networks left out rows that the others were trained on; --data FILE.h5:/group names a set "
            f"that none has seen, and distmlp evaluate {place}/{members[0]} takes those of that network"
        )
    with contextlib.ExitStack() as stack:
        data = checkpoint_commands.open_asked(spec, names, first.facts, comm, stack)
        if data is None:
            raise InputError(
                f"{place}: its config names no data.validation; --data FILE.h5:/group says what to evaluate on"
            )
        scan_all(config, comm, data)
        networks = [
            (network_of(own), found.v, transform_of(own.data, found.data)) for found, own in loaded
        ]
        return evaluate_mean(networks, data, comm, Scores(networks[0][0], data)), len(networks)


def _loaded(
    place: str | Path,
    names: list[str],
    comm: Communicator,
    which: str,
    say: Callable[[str], None],
) -> list[tuple[Checkpoint, Config]]:
    """The checkpoint and the config of each network; say hears of damaged ones passed over.  Collective.  Raises InputError."""
    return [
        checkpoint_commands.load(Path(place) / name, comm, which, say, says_best=False)
        for name in names
    ]


def _check_alike(
    place: str,
    names: list[str],
    loaded: list[tuple[Checkpoint, Config]],
    of_one_cost: bool = False,
) -> None:
    """Raises InputError where the networks' answers are of different kinds, so that they have no mean.

    of_one_cost: that of the mean is wanted too.
    """

    def kind(found: Checkpoint, config: Config) -> dict[str, object]:
        network, data = config.network, config.data
        return {
            "the inputs": (data.inputs, found.facts.get("columns")),
            "the targets": (data.targets, found.facts.get("targets"), found.facts["classes"]),
            "the number of outputs": network.layers[-1],
            "network.output": network.output,
            **({"network.cost": network.cost} if of_one_cost else {}),
        }

    first = kind(*loaded[0])
    for name, one in zip(names, loaded, strict=True):
        for what, value in kind(*one).items():
            if value != first[what]:
                raise InputError(
                    f"{place}: network {name} differs from network {names[0]} in {what}; a mean needs the same of all"
                )


def _complete(place: str | Path, say: Callable[[str], None]) -> list[str] | None:
    """The names of the networks whose runs are complete; None where a place is no directory of many networks."""
    members = kept(place)
    if members is None:
        return None
    names = [member.name for member in members if end_of(Path(place) / member.name)]
    if not names:
        raise InputError(f"{place}: none of its {len(members)} networks is complete")
    if len(names) < len(members):
        say(
            f"{len(names)} of the {len(members)} networks of {place} are complete; the others are left out"
        )
    return names


def _combine(outputs: list[Path], first: Checkpoint, out: Path, spec: str, overwrite: bool) -> None:
    """Writes the mean and the spread of the outputs in some files.  first: a network's, whose classes are those of all."""
    with contextlib.ExitStack() as stack:
        parts = [stack.enter_context(h5py.File(one, "r")) for one in outputs]
        shape = parts[0]["a"].shape
        file = stack.enter_context(answers.created(out, overwrite))
        answers.describe(file, first, shape[0], shape[1], np.dtype(np.float64), spec)
        spread = file.create_dataset("spread", shape, np.float64)
        if "columns" in file["a"].attrs:
            names = list(file["a"].attrs["columns"])
            spread.attrs.create("columns", names, dtype=h5py.string_dtype())
        if GROUP in parts[0]:
            parts[0].copy(GROUP, file)
        labels = answers.labels_of(first)
        for start in range(0, shape[0], _ROWS):
            here = slice(start, start + _ROWS)
            mean, spread[here] = _mean_and_spread(
                [part["a"][here].astype(np.float64) for part in parts]
            )
            answers.write_rows(file, start, mean, labels)
        file.attrs["networks"] = len(parts)
        for name in ("checkpoint", "v_sha256"):
            file.attrs[name] = [part.attrs[name] for part in parts]


def _mean_and_spread(a: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Of equal arrays, entry by entry, added up from the first to the last."""
    total, squares = np.zeros_like(a[0]), np.zeros_like(a[0])
    for one in a:
        total += one
    mean = total / len(a)
    for one in a:
        squares += (one - mean) * (one - mean)
    return mean, np.sqrt(squares / max(1, len(a) - 1))
