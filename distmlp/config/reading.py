"""The configuration: TOML to frozen dataclasses, each key checked where it is declared.

Standard library only: a command reads its config before numpy is imported, because the arithmetic
that the config asks for must be set before.

A key that does not decide v may differ when a run is resumed; those are declared `free`.
"""

import difflib
import json
import math
import os
import sys
import tomllib
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path

from distmlp.errors import InputError


def _key(default, expected: str, accepts, free: bool = False):
    """A config key: its default, what is expected in words, the test for it, and whether v is free of it."""
    return field(default=default, metadata={"expected": expected, "accepts": accepts, "free": free})


def _is_int(x) -> bool:
    return isinstance(x, int) and not isinstance(x, bool)


def _is_number(x) -> bool:
    # |x| ≤ the largest float64: TOML's whole numbers know no bound
    return (_is_int(x) or isinstance(x, float)) and abs(x) <= sys.float_info.max


def _choice(default: str, *names: str, free: bool = False):
    return _key(default, f"one of {', '.join(names)}", lambda x: x in names, free)


#: More than any count here can be, and still a whole number that numpy takes.
_MOST = 2**62


def _count(default: int, least: int = 1, free: bool = False):
    return _key(
        default,
        f"a whole number of at least {least} and at most 2**62",
        lambda x: _is_int(x) and least <= x <= _MOST,
        free,
    )


def _number(default: float, words: str = "a number", test=lambda x: True, free: bool = False):
    return _key(default, words, lambda x: _is_number(x) and test(x), free)


def _text(default: str, expected: str, free: bool = False):
    """Text, which may be empty only where that is the default."""
    return _key(
        default, expected, lambda x: isinstance(x, str) and (x != "" or default == ""), free
    )


def _flag(default: bool, free: bool = False):
    return _key(default, "true or false", lambda x: isinstance(x, bool), free)


_UNITS = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_SECONDS = {"second": 1, "seconds": 1, "minute": 60, "minutes": 60, "hour": 3600, "hours": 3600}
_EVERY = {"epoch", "epochs", "step", "steps", "minute", "minutes"}


def _quantity(text, units) -> tuple[float, str] | None:
    """("30", "minutes") of "30 minutes" as (30.0, "minutes"); None where it is no such text."""
    if not isinstance(text, str):
        return None
    parts = text.split()
    if len(parts) != 2 or parts[1] not in units:
        return None
    try:
        value = float(parts[0])
    except ValueError:
        return None
    return (value, parts[1]) if value > 0 and math.isfinite(value) else None


def _is_size(x) -> bool:
    quantity = _quantity(x, _UNITS)
    return quantity is not None and quantity[0] * _UNITS[quantity[1]] <= _MOST


def _is_every(x) -> bool:
    quantity = _quantity(x, _EVERY)
    return quantity is not None and (
        quantity[1].startswith("minute") or quantity[0] == int(quantity[0])
    )


_DURATION_WORDS = 'a time such as "90 seconds", "30 minutes" or "12 hours", or "" for none'


def _is_duration(x) -> bool:
    return x == "" or _quantity(x, _SECONDS) is not None


def _seconds(text: str) -> float:
    if not text:
        return math.inf
    value, unit = _quantity(text, _SECONDS)
    return value * _SECONDS[unit]


@dataclass(frozen=True)
class NetworkConfig:
    layers: tuple[int, ...] = _key(
        None,
        "a list of at least two whole numbers below 2**31, the neurons per layer, the input first, such as [64, 30, 10]",
        lambda x: (
            isinstance(x, list) and len(x) >= 2 and all(_is_int(n) and 1 <= n < 2**31 for n in x)
        ),
    )
    activation: str = _choice(
        "sigmoid", "sigmoid", "tanh", "relu", "softplus", "identity", "softmax"
    )
    output: str = _choice("sigmoid", "sigmoid", "tanh", "relu", "softplus", "identity", "softmax")
    cost: str = _choice("mse", "mse", "cross-entropy")
    initializer: str = _choice(
        "scaled-normal", "normal", "scaled-normal", "he-normal", "glorot-uniform"
    )


@dataclass(frozen=True)
class DataConfig:
    train: str = _text(None, 'a file and a group in it, such as "digits.h5:/train"', free=True)
    validation: str = _text("", 'a file and a group in it, such as "digits.h5:/test"', free=True)
    inputs: str = _text("x", "the name of a dataset in the group")
    targets: str = _text("y", "the name of a dataset in the group")
    scale: float = _number(1.0)
    chunk_rows: int = _count(0, least=0)
    window: str = _key("256 MB", 'a size such as "256 MB" or "2 GiB"', _is_size)
    scan: bool = _flag(True, free=True)

    @property
    def window_bytes(self) -> int:
        value, unit = _quantity(self.window, _UNITS)
        return int(value * _UNITS[unit])


@dataclass(frozen=True)
class TrainingConfig:
    batch_size: int | str = _key(
        32,
        'a whole number of at least 1, or "all"',
        lambda x: x == "all" or (_is_int(x) and x >= 1),
    )
    micro_batch_size: int = _count(0, least=0)
    epochs: int = _count(30, least=1, free=True)
    epsilon: float = _number(0.0, "a number of at least 0", lambda x: x >= 0, free=True)


@dataclass(frozen=True)
class OptimizerConfig:
    name: str = _choice("sgd", "sgd", "adam")
    learning_rate: float = _number(None, "a number above 0", lambda x: x > 0)
    schedule: str = _choice("constant", "constant", "linear", "exponential")
    decay: float = _number(1.0, "a number above 0 and at most 1", lambda x: 0 < x <= 1)
    momentum: float = _number(0.0, "a number from 0 to less than 1", lambda x: 0 <= x < 1)
    nesterov: bool = _flag(False)
    beta1: float = _number(0.9, "a number from 0 to less than 1", lambda x: 0 <= x < 1)
    beta2: float = _number(0.999, "a number from 0 to less than 1", lambda x: 0 <= x < 1)
    epsilon: float = _number(1e-8, "a number above 0", lambda x: x > 0)


@dataclass(frozen=True)
class RunConfig:
    directory: str = _text(None, "a directory, which is made where it is missing", free=True)
    checkpoint_every: str = _key(
        "1 epoch", '"N epochs", "N steps" or "N minutes"', _is_every, free=True
    )
    keep: int = _count(3, free=True)
    time_limit: str = _key("", _DURATION_WORDS, _is_duration, free=True)
    check_every: int = _count(100, least=0, free=True)
    on_corruption: str = _choice("repair", "repair", "stop", free=True)
    audit_every: int = _count(0, least=0, free=True)
    stall_timeout: str = _key("10 minutes", _DURATION_WORDS, _is_duration, free=True)

    @property
    def time_limit_seconds(self) -> float:
        """Infinity where there is none."""
        return _seconds(self.time_limit)

    @property
    def stall_seconds(self) -> float:
        return _seconds(self.stall_timeout)

    @property
    def every(self) -> tuple[float, str]:
        """checkpoint_every as (3.0, "epoch"), the unit in the singular."""
        value, unit = _quantity(self.checkpoint_every, _EVERY)
        return value, unit.removesuffix("s")


@dataclass(frozen=True)
class Config:
    """A whole configuration; every key has been checked by itself, and keys against one another."""

    seed: int = _key(
        1, "a whole number from 0 to 2**64 - 1", lambda x: _is_int(x) and 0 <= x < 2**64
    )
    dtype: str = _choice("float32", "float32", "float64")
    reduction: str = _choice("exact", "exact", "float")
    arithmetic: str = _choice("portable", "portable", "native")
    network: NetworkConfig = field(default_factory=NetworkConfig)
    data: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)


_SECTIONS = {
    "network": NetworkConfig,
    "data": DataConfig,
    "training": TrainingConfig,
    "optimizer": OptimizerConfig,
    "run": RunConfig,
}
_TOP = {f.name: f for f in fields(Config) if f.name not in _SECTIONS}
_KNOWN = [*_TOP, *(f"{s}.{f.name}" for s, cls in _SECTIONS.items() for f in fields(cls))]


def _nearest(name: str) -> str:
    """ "; did you mean …?" with the known key that is nearest, by the whole name or by its last part."""
    near = difflib.get_close_matches(name, _KNOWN, n=1, cutoff=0.6)
    if not near:
        last = {known.rpartition(".")[2]: known for known in _KNOWN}
        near = [
            last[n] for n in difflib.get_close_matches(name.rpartition(".")[2], list(last), n=1)
        ]
    return f"; did you mean {near[0]}?" if near else f"; the keys are {', '.join(_KNOWN)}"


def _checked(where: str, name: str, declared, value):
    """value, in the type that the dataclass holds; InputError where it is not what was declared."""
    if not declared.metadata["accepts"](value):
        raise InputError(
            f"{where}: {name} is {_toml(value)}, but expected {declared.metadata['expected']}"
        )
    if isinstance(value, list):
        return tuple(value)
    return float(value) if declared.type is float else value


def _toml(value) -> str:
    """A value as it would stand in TOML, for messages."""
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, default=str)


def _fill(cls, where: str, prefix: str, table: dict, declared: dict, **sections):
    values = {}
    for name, value in table.items():
        if name not in declared:
            raise InputError(f"{where}: unknown key {prefix}{name}{_nearest(prefix + name)}")
        values[name] = _checked(where, prefix + name, declared[name], value)
    for name, f in declared.items():
        if name not in values and f.default is None:
            raise InputError(
                f"{where}: {prefix}{name} is missing; expected {f.metadata['expected']}"
            )
    return cls(**values, **sections)


def from_tables(tables: dict, where: str = "config") -> Config:
    """A Config from nested dictionaries, such as TOML gives.  Raises InputError.

    where: how messages name the origin, such as the file.
    """
    sections = {}
    for name, cls in _SECTIONS.items():
        table = tables.get(name, {})
        if not isinstance(table, dict):
            raise InputError(f"{where}: {name} is {_toml(table)}, but expected a section [{name}]")
        sections[name] = _fill(cls, where, f"{name}.", table, {f.name: f for f in fields(cls)})
    top = {name: value for name, value in tables.items() if name not in _SECTIONS}
    for name, value in top.items():
        if isinstance(value, dict):
            near = difflib.get_close_matches(name, _SECTIONS, n=1)
            hint = (
                f"; did you mean [{near[0]}]?"
                if near
                else f"; the sections are {', '.join(_SECTIONS)}"
            )
            raise InputError(f"{where}: unknown section [{name}]{hint}")
    config = _fill(Config, where, "", top, _TOP, **sections)
    _check_together(config, where)
    return config


def _check_together(config: Config, where: str) -> None:
    """What no key can tell by itself."""
    network, training, optimizer = config.network, config.training, config.optimizer
    if network.cost == "cross-entropy" and network.output not in ("sigmoid", "softmax"):
        raise InputError(
            f'{where}: network.cost is "cross-entropy" with network.output "{network.output}", but its '
            'logarithm needs outputs between 0 and 1: use output "sigmoid" (binary) or "softmax" (categorical)'
        )
    if network.output == "softmax" and network.layers[-1] == 1:
        raise InputError(
            f'{where}: network.output is "softmax" with one output neuron, whose output is always 1: '
            'use "sigmoid", or one neuron a class'
        )
    if training.batch_size != "all" and training.micro_batch_size > training.batch_size:
        raise InputError(
            f"{where}: training.micro_batch_size is {training.micro_batch_size}, but it can be at most "
            f"training.batch_size, {training.batch_size}"
        )
    for name, needed in (
        ("momentum", "sgd"),
        ("nesterov", "sgd"),
        ("beta1", "adam"),
        ("beta2", "adam"),
    ):
        declared = next(f for f in fields(optimizer) if f.name == name)
        if getattr(optimizer, name) != declared.default and optimizer.name != needed:
            raise InputError(
                f'{where}: optimizer.{name} is set, but optimizer.name is "{optimizer.name}": it belongs to "{needed}"'
            )
    if optimizer.nesterov and not optimizer.momentum:
        raise InputError(
            f"{where}: optimizer.nesterov is true, but optimizer.momentum is 0: expected a momentum above 0"
        )
    if optimizer.decay != 1.0 and optimizer.schedule != "exponential":
        raise InputError(
            f'{where}: optimizer.decay is {optimizer.decay}, but it belongs to optimizer.schedule "exponential", '
            f'and the schedule is "{optimizer.schedule}"'
        )


def _resolved(tables: dict, base: Path) -> dict:
    """The tables with relative paths made absolute, taken from base."""
    tables = {
        name: dict(value) if isinstance(value, dict) else value for name, value in tables.items()
    }
    for section, name in (("data", "train"), ("data", "validation"), ("run", "directory")):
        table = tables.get(section)
        if isinstance(table, dict) and isinstance(table.get(name), str) and table[name]:
            table[name] = os.path.normpath(base / table[name])
    return tables


def _override(text: str) -> dict:
    """{"section": {"key": value}} from "section.key=value"; the value is TOML, or else taken as text."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise InputError(
            f"--set {text}: expected section.key=value, such as --set training.epochs=10"
        )
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except (tomllib.TOMLDecodeError, KeyError):
        parsed = value.strip()
    section, dot, key = name.strip().partition(".")
    return {section: {key: parsed}} if dot else {section: parsed}


def load(path: str | Path, overrides: list[str] = ()) -> Config:
    """The Config of a TOML file, with "section.key=value" overrides laid over it.  Raises InputError.

    Paths in the file are taken from the file's directory, those in overrides from the current one.
    """
    path = Path(path)
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such config file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a config: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not valid TOML: {error}") from None
    tables = _resolved(tables, path.resolve().parent)
    for text in overrides:
        for section, value in _resolved(_override(text), Path.cwd()).items():
            if isinstance(value, dict) and isinstance(tables.get(section, {}), dict):
                tables.setdefault(section, {}).update(value)
            else:
                tables[section] = value
    return from_tables(tables, str(path))


def from_json(text: str) -> Config:
    """The Config that `Config.to_json` wrote."""
    return from_tables(json.loads(text), "the checkpoint's config")


def _flat(config) -> dict:
    """{"section.key": (value, whether v is free of it)}."""
    flat = {}
    for f in fields(config):
        value = getattr(config, f.name)
        if is_dataclass(value):
            flat.update({f"{f.name}.{name}": pair for name, pair in _flat(value).items()})
        else:
            flat[f.name] = (value, f.metadata["free"])
    return flat


def differences(old: Config, new: Config) -> list[tuple[str, object, object]]:
    """(key, old value, new value) of every key that decides v and differs.

    Under the linear schedule the number of epochs decides v too, for α follows from it.
    """
    a, b = _flat(old), _flat(new)
    found = [(key, a[key][0], b[key][0]) for key in a if not a[key][1] and a[key][0] != b[key][0]]
    if new.optimizer.schedule == "linear" and old.training.epochs != new.training.epochs:
        found.append(("training.epochs", old.training.epochs, new.training.epochs))
    return found


def with_run_directory(config: Config, directory: str | Path) -> Config:
    """The same config for another run directory."""
    return replace(config, run=replace(config.run, directory=str(directory)))
