"""Another run's v as the beginning of this one: which layers are taken over, and what inputs and outputs they are for.

A run that began so keeps where its v came from.  Once it has a checkpoint of its own, the other run is not needed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from distmlp.config.reading import from_json
from distmlp.config.sections import Config
from distmlp.data.dataset import DataSet
from distmlp.errors import InputError
from distmlp.mathematics.layout import Layout
from distmlp.parallel.communicator import Communicator
from distmlp.parallel.rank0 import on_rank_0
from distmlp.runs import checkpoint
from distmlp.runs.checkpoint import Checkpoint
from distmlp.runs.directory import RunDirectory


@dataclass(frozen=True, eq=False)
class Start:
    """Where the first v of a run came from.

    path: the checkpoint, which is of `step`; v_sha256: of its v, or of its average where it has one.  layers: how many
    are taken over, from the input on.  arrays: what of the transform of rows is taken over, by name.  v: (k,), laid
    out for the network with the layers `of`; None where the run goes on from a checkpoint of its own.  columns: what
    inputs are called there.  passed_over: what is wrong with damaged checkpoints in whose place this one was taken.
    """

    path: str
    step: int
    v_sha256: str
    layers: int
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    v: np.ndarray | None = None
    of: tuple[int, ...] = ()
    columns: list[str] | None = None
    passed_over: tuple[str, ...] = ()

    def take_over(self, v: np.ndarray, layout: Layout) -> None:
        """Puts the layers that are taken over into v, (k,), rounded to its dtype.  Raises InputError where they are gone."""
        if self.v is None:
            raise InputError(
                f"{self.path}: the run began with this checkpoint's v, and has no good checkpoint of its own any more; "
                "--resume never begins anew"
            )
        (w, b), (from_w, from_b) = layout.views(v), Layout(self.of).views(self.v)
        for l in range(1, self.layers + 1):
            w[l][...], b[l][...] = from_w[l], from_b[l]

    def doubts(self, data: DataSet) -> list[str]:
        """What is to be warned of: damaged checkpoints, and inputs of a set with other names than there, or in a different order."""
        found = [f"network.start_from: {words}; passed over" for words in self.passed_over]
        if data.column_names and self.columns and data.column_names != self.columns:
            found.append(
                f"{data.spec}: its inputs have not the names, or the order, of those of {self.path}, and are taken by "
                'their places; data.inputs = "x[…]" puts columns in a different order'
            )
        return found

    def words(self, N: int) -> str:
        """What is taken over into a network of N layers, for people."""
        layers = _layers(1, self.layers)
        kept = f"{layers} of {self.path} (step {self.step}, v sha256 {self.v_sha256[:12]}…)"
        drawn = f"; {_layers(self.layers + 1, N)} drawn anew" if self.layers < N else ""
        scaled = "; rows transformed as there" if self.arrays else ""
        return f"{kept}{drawn}{scaled}"

    def facts(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        return {
            "path": self.path,
            "step": self.step,
            "v_sha256": self.v_sha256,
            "layers": self.layers,
            "arrays": sorted(self.arrays),
        }


def _layers(first: int, last: int) -> str:
    return f"layer {first}" if first == last else f"layers {first} to {last}"


def start_of(config: Config, comm: Communicator, resume: str) -> Start | None:
    """What a run begins with, or began with where it goes on; None where its first v is drawn.  Collective.

    resume: as `loop.train` is given it.  Raises InputError.
    """
    if not config.network.start_from:
        return None
    return on_rank_0(comm, lambda: _start(config, resume))


def _start(config: Config, resume: str) -> Start:
    own = None
    if resume == "auto":
        own = checkpoint.newest_good(RunDirectory(config.run.directory).checkpoints)[0]
    elif resume != "never":
        own = checkpoint.find(resume)[0]
    return _taken_over(config) if own is None else _begun_with(config, own)


def _begun_with(config: Config, own: Checkpoint) -> Start:
    """The start that a run's own checkpoint keeps."""
    place, facts = config.network.start_from, own.facts.get("start")
    if facts is None:
        raise InputError(
            f'{own.path}: the run did not begin with another\'s v, but network.start_from is "{place}"; '
            "give a new run.directory for a run that does"
        )
    if from_json(own.facts["config"]).network.start_from != place:
        there = _found(place)[0].facts["v_sha256"]
        if there != facts["v_sha256"]:
            raise InputError(
                f"{own.path}: the run began with the v of {facts['path']} (v_sha256 {facts['v_sha256']}), but that of "
                f'network.start_from "{place}" is {there}; give a new run.directory for a run that begins with it'
            )
    arrays = {name: own.data[name] for name in facts["arrays"] if name in own.data}
    return Start(facts["path"], facts["step"], facts["v_sha256"], facts["layers"], arrays)


def check_unchanged(config: Config, facts: dict[str, Any] | None) -> None:
    """InputError where a run's start is not there any more, or has a different v.  facts: what the run keeps of it."""
    if facts is not None:
        found, _ = _found(config.network.start_from)
        if found.facts["v_sha256"] != facts["v_sha256"]:
            raise InputError(
                f"{found.path}: the run began with a v whose SHA-256 is {facts['v_sha256']}, but this one's is "
                f"{found.facts['v_sha256']}: it cannot be trained again from the start"
            )


def _found(place: str) -> tuple[Checkpoint, list[str]]:
    """The checkpoint that a config's start_from names: the best epoch's where there is one, with the averaged v.

    And what is wrong with those passed over.
    """
    try:
        found, passed_over = checkpoint.find(place, "best")
        return checkpoint.averaged(found), passed_over
    except InputError as error:
        raise InputError(f"network.start_from: {error}") from None


def _taken_over(config: Config) -> Start:
    found, passed_over = _found(config.network.start_from)
    there, N = from_json(found.facts["config"]), len(config.network.layers) - 1
    layers = _layers_alike(config, found)
    begins = f"network.start_from: {found.path}"
    hidden = min(layers, N - 1, len(there.network.layers) - 2)
    if hidden and there.network.activation != config.network.activation:
        raise InputError(
            f'{begins} has network.activation "{there.network.activation}", for which its weights are, but the config has '
            f'"{config.network.activation}"; expected the same'
        )
    kept: list[str] = []
    for key, names in (
        ("scale_inputs", ("inputs_shift", "inputs_divisor")),
        ("missing", ("fill", "indicators")),
    ):
        _check_alike(key, there, config, begins, "")
        kept += names
    if layers == N == len(there.network.layers) - 1:
        other = f", or network.start_layers = {N - 1}, which draws the output layer anew" * (N > 1)
        _check_alike("scale_targets", there, config, begins, other)
        kept += ["targets_shift", "targets_divisor"]
    return Start(
        str(found.path),
        found.facts["step"],
        found.facts["v_sha256"],
        layers,
        {name: found.data[name] for name in kept if name in found.data},
        found.v,
        tuple(there.network.layers),
        found.facts.get("columns"),
        tuple(passed_over),
    )


def _layers_alike(config: Config, found: Checkpoint) -> int:
    """How many layers are taken over: those of the same shape, from the input on.  Raises InputError."""
    here, there, asked = config.network.layers, found.facts["layers"], config.network.start_layers
    alike = 0
    for mine, others in zip(pairwise(here), pairwise(there), strict=False):
        if mine != tuple(others):
            break
        alike += 1
    if alike < max(1, asked):
        few = "its first layer does not fit" if not alike else f"only {_layers(1, alike)} would fit"
        wanted = f", and network.start_layers is {asked}" if asked else ""
        raise InputError(
            f"network.start_from: {found.path} has the layers {there}, and network.layers is {list(here)}{wanted}: {few}; "
            f"expected at least {(asked or 1) + 1} numbers alike at the beginning"
        )
    return asked or alike


def _check_alike(key: str, there: Config, here: Config, begins: str, other: str) -> None:
    """InputError where a key of [data] differs: the layers that are taken over are for rows so transformed."""
    then, now = getattr(there.data, key), getattr(here.data, key)
    if then != now:
        raise InputError(
            f"{begins} was trained with data.{key} = {_quoted(then)}, for which its weights are, but the config has "
            f"{_quoted(now)}; expected the same{other}"
        )


def _quoted(value: str | tuple[str, ...]) -> str:
    return f'"{value}"' if isinstance(value, str) else str(list(value))
