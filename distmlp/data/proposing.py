"""A config to begin with: layers, output, cost and scaling follow from what is in the set."""

import math
from dataclasses import dataclass
from typing import Any

from distmlp.errors import InputError

#: Steps that a small network of a small set is trained for at most, and epochs of any.
_STEPS, _MOST_EPOCHS, _LEAST_EPOCHS = 20_000, 400, 20
#: Steps from one checkpoint to the next, of a set whose epochs are shorter.
_STEPS_BETWEEN = 1000
#: Fewer rows than this and a tenth of them says little about which epoch is the best.
_FEW_ROWS = 50


@dataclass(frozen=True)
class Proposal:
    """What a set asks for.  classes: names, () where targets are numbers.  why_numbers: of whole ones.  See `proposed`."""

    rows: int
    layers: tuple[int, ...]
    classes: tuple[str, ...]
    activation: str
    output: str
    cost: str
    missing: bool
    batch_size: int
    epochs: int
    doubtful: tuple[str, ...]
    why_numbers: str


def proposed(found: dict[str, Any], targets_are: str = "auto") -> Proposal:
    """What a described set, one of describing.describe's, asks for; targets_are: as data.targets_are.  Raises InputError."""
    rows, columns, targets = found["rows"], found["columns"], found["targets"]
    classes = tuple(found["classes"])
    why_numbers, doubtful = _why_numbers(found, targets_are)
    if not classes and not targets:
        raise InputError(
            f"{found['spec']}: has no targets to train on; --targets names the dataset"
        )
    infinite = [c["name"] for c in (*columns, *targets) if c["infinite"]]
    if infinite or any(t["missing"] for t in targets):
        names = infinite or [t["name"] for t in targets if t["missing"]]
        raise InputError(
            f"{found['spec']}: {names[0]} holds values that are {'infinite' if infinite else 'missing'}, and no training takes those"
        )
    binary = found["most_class"] == 1 and len(classes) == 2
    outputs = (1 if binary else found["most_class"] + 1) if classes else len(targets)
    if why_numbers:
        classes, outputs = (), 1
    elif classes and len(classes) < 2:
        raise InputError(
            f"{found['spec']}: all targets are the same class, {classes[0]}; there is nothing to learn"
        )
    # Few rows are fitted by one layer; more layers only fit their noise.
    hidden = (100,) if rows < 1000 else (64, 64) if rows < 100_000 else (128, 128)
    batch = 32 if rows < 5000 else 128 if rows < 100_000 else 512
    steps = math.ceil(rows / batch)
    epochs = min(_MOST_EPOCHS, max(_LEAST_EPOCHS, math.ceil(_STEPS / steps)))
    return Proposal(
        rows,
        (len(columns), *hidden, outputs),
        classes,
        "relu" if classes and rows >= 1000 else "tanh",
        ("sigmoid" if binary else "softmax") if classes else "identity",
        "cross-entropy" if classes else "mse",
        any(c["missing"] for c in columns),
        min(batch, rows),
        epochs,
        # What the config answers is doubtful no more.
        (*doubtful, *(words for words in found["doubtful"] if "data." not in words)),
        why_numbers,
    )


def _why_numbers(found: dict[str, Any], targets_are: str) -> tuple[str, list[str]]:
    """Why a set's classes are taken as numbers, "" where they are not; and what is doubtful of it."""
    if not found["classes"] or targets_are == "classes":
        return "", []
    if targets_are == "numbers":
        return "whole ones are classes without this", []
    if not found["likely_numbers"]:
        return "", []
    least, most = found["least_class"], found["most_class"]
    why = f"whole ones from {least} to {most} are likely to be no classes"
    return why, [
        f"targets are whole numbers from {least} to {most}, and taken as numbers; --classes takes them as classes"
    ]


def text(
    proposal: Proposal, train: str, validation: str, names: tuple[str, str], directory: str
) -> str:
    """The config as commented TOML.

    train, validation: as data.train and data.validation say it; where validation is "" a tenth of the rows is held out.
    names: of the datasets.  directory: of the run.
    """
    held_out = not validation and proposal.rows >= _FEW_ROWS
    lines = [
        f"# Made by `distmlp init` for {proposal.rows} rows.",
        *(f"# Doubtful: {words}" for words in proposal.doubtful),
        "seed = 1",
        "",
        *_network(proposal),
        "",
        "[data]",
        f"train = {_quoted(train)}",
    ]
    if validation:
        lines.append(f"validation = {_quoted(validation)}")
    if held_out:
        lines += _folds(proposal)
    if names != ("x", "y"):
        lines += [f"inputs = {_quoted(names[0])}", f"targets = {_quoted(names[1])}"]
    if proposal.why_numbers:
        lines.append(f'targets_are = "numbers"  # {proposal.why_numbers}')
    lines += [*_scaling(proposal), "", *_training(proposal, bool(validation) or held_out)]
    every = max(1, _STEPS_BETWEEN * proposal.batch_size // proposal.rows)
    lines += ["", "[run]", f"directory = {_quoted(directory)}"]
    lines.append(f'checkpoint_every = "{every} epochs"  # the best epoch is kept in any case')
    return "\n".join([*lines, ""])


def _network(p: Proposal) -> list[str]:
    what = f"{len(p.classes)} classes" if p.classes else f"{p.layers[-1]} numbers, in any range"
    initializer = "glorot-uniform" if p.activation == "tanh" else "he-normal"
    return [
        "[network]",
        f"layers = {list(p.layers)}  # inputs, neurons of each hidden layer, outputs",
        f'activation = "{p.activation}"',
        f'output = "{p.output}"  # {what}',
        f'cost = "{p.cost}"',
        f'initializer = "{initializer}"',
    ]


def _folds(p: Proposal) -> list[str]:
    lines = [
        "folds = 10  # a tenth of the rows, drawn by the seed, is the validation set",
        "fold = 1",
    ]
    if p.classes:
        lines.append('fold_by = "classes"  # as much of each class in it as in the others')
    return lines


def _scaling(p: Proposal) -> list[str]:
    lines = [
        'scale_inputs = "standardise"  # by column: mean 0, deviation 1 over the training rows'
    ]
    if not p.classes:
        lines.append(
            'scale_targets = "standardise"  # predictions and metrics are in their own units'
        )
    if p.missing:
        lines.append('missing = "mean"  # what is missing becomes the training mean of its column')
    return lines


def _training(p: Proposal, validated: bool) -> list[str]:
    lines = ["[training]", f"batch_size = {p.batch_size}", f"epochs = {p.epochs}"]
    if validated:
        patience = max(10, p.epochs // 5)
        lines.append(f"patience = {patience}  # end when no epoch was better for so many")
    return [*lines, "", "[optimizer]", 'name = "adam"', "learning_rate = 0.001"]


def _quoted(value: str) -> str:
    """Text as a TOML string."""
    escaped = "".join(
        f"\\u{ord(c):04x}" if ord(c) < 32 or ord(c) == 127 else "\\" + c if c in '"\\' else c
        for c in value
    )
    return f'"{escaped}"'
