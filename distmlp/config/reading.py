"""Reading configs: TOML, overrides and JSON become a `Config`; what is wrong is named, with the nearest key.

Standard library only, so that a command says at once what is wrong with its config.
"""

import difflib
import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import Field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from distmlp import files
from distmlp.config import keys, paths
from distmlp.config.hints import nearest
from distmlp.config.sections import (
    Config,
    DataConfig,
    NetworkConfig,
    OptimizerConfig,
    RunConfig,
    TrainingConfig,
)
from distmlp.errors import InputError

_SECTIONS = {
    "network": NetworkConfig,
    "data": DataConfig,
    "training": TrainingConfig,
    "optimizer": OptimizerConfig,
    "run": RunConfig,
}
_TOP = {f.name: f for f in fields(Config) if f.name not in _SECTIONS}
_KNOWN = [*_TOP, *(f"{s}.{f.name}" for s, cls in _SECTIONS.items() for f in fields(cls))]


def known_keys() -> list[str]:
    """Every key, by its section: "seed", "network.layers", …"""
    return list(_KNOWN)


def _checked(where: str, name: str, declared: Field[Any], value: Any) -> Any:
    """value, in the type that the dataclass holds; InputError where it is not what was declared."""
    if not keys.accepts(declared, value):
        raise InputError(
            f"{where}: {name} is {_toml(value)}, but expected {keys.expected(declared)}"
        )
    if isinstance(value, list):
        return tuple(value)
    return keys.float_of(value) if declared.type is float else value


def _toml(value: object) -> str:
    """A value as it would stand in TOML, for messages, shortened where it is very long."""
    if isinstance(value, bool):
        return str(value).lower()
    try:
        text = json.dumps(value, default=str)
    except (ValueError, RecursionError):
        return "too long or too deep a value"
    return text if len(text) <= 400 else f"{text[:400]}…"


def _fill(
    cls: type,
    where: str,
    prefix: str,
    table: dict,
    declared: dict[str, Field[Any]],
    overrides: Mapping[str, str],
    **sections: object,
) -> Any:
    values = {}
    for name, value in table.items():
        origin = overrides.get(prefix + name, where)
        if name not in declared:
            raise InputError(
                f"{origin}: unknown key {prefix}{name}{nearest(prefix + name, _KNOWN)}"
            )
        values[name] = _checked(origin, prefix + name, declared[name], value)
    for name, f in declared.items():
        if name not in values and f.default is None:
            raise InputError(f"{where}: {prefix}{name} is missing; expected {keys.expected(f)}")
    return cls(**values, **sections)


def from_tables(
    tables: dict, where: str = "config", overrides: Mapping[str, str] = MappingProxyType({})
) -> Config:
    """A Config from nested dictionaries, such as TOML gives.  Raises InputError.

    where: how messages name the origin, such as the file.  overrides: by key, what they name in its place.
    """
    if "arithmetic" in tables:
        raise InputError(
            f"{where}: arithmetic is a key no more: every machine computes the same bits; leave it out"
        )
    sections = {}
    for name, cls in _SECTIONS.items():
        table = tables.get(name, {})
        if not isinstance(table, dict):
            raise InputError(f"{where}: {name} is {_toml(table)}, but expected a section [{name}]")
        declared = {f.name: f for f in fields(cls)}
        sections[name] = _fill(cls, where, f"{name}.", table, declared, overrides)
    top = {name: value for name, value in tables.items() if name not in _SECTIONS}
    for name, value in top.items():
        if isinstance(value, dict):
            near = difflib.get_close_matches(name, _SECTIONS, n=1)
            hint = (
                f"; did you mean [{near[0]}]?"
                if near
                else f"; the sections are {', '.join(_SECTIONS)}"
            )
            origin = next((o for key, o in overrides.items() if key.startswith(f"{name}.")), where)
            raise InputError(f"{origin}: unknown section [{name}]{hint}")
    config = _fill(Config, where, "", top, _TOP, overrides, **sections)
    where = " ".join([where, *(["with"] if overrides else []), *dict.fromkeys(overrides.values())])
    _check_together(config, where)
    _check_folds(config.data, where)
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
    _check_scaling(config, where)
    batch_size = training.batch_size
    if isinstance(batch_size, int) and training.micro_batch_size > batch_size:
        raise InputError(
            f"{where}: training.micro_batch_size is {training.micro_batch_size}, but it can be at most "
            f"training.batch_size, {batch_size}"
        )
    known = "auto", "none", "cost", "validation_cost", "accuracy", *training.metrics
    if training.monitor not in known:
        raise InputError(
            f'{where}: training.monitor is "{training.monitor}", but expected one of {", ".join(known)}; '
            "training.metrics says what else is measured"
        )
    if training.monitor == "none" and training.patience:
        raise InputError(
            f'{where}: training.patience is {training.patience}, but training.monitor is "none": '
            "patience needs a metric to wait for"
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


def _check_folds(data: DataConfig, where: str) -> None:
    """What data.folds, data.fold and data.fold_by can only be together."""
    if bool(data.folds) != bool(data.fold) or data.folds == 1 or data.fold > data.folds:
        raise InputError(
            f"{where}: data.fold is {data.fold} and data.folds is {data.folds}, but expected 0 and 0, or a fold from 1 to "
            "data.folds, of which there are at least 2"
        )
    if data.fold_by != "rows" and not data.folds:
        raise InputError(
            f'{where}: data.fold_by is "{data.fold_by}", but data.folds is 0: expected how many folds there are'
        )
    if data.fold and data.validation:
        raise InputError(
            f'{where}: data.fold is {data.fold}, the fold to validate on, but data.validation is "{data.validation}": '
            "expected one of the two"
        )


def _check_scaling(config: Config, where: str) -> None:
    data = config.data
    if data.scale != 1 and data.scales_inputs:
        raise InputError(
            f"{where}: data.scale is {data.scale} and data.scale_inputs is {_toml(data.scale_inputs)}: "
            "expected one of the two"
        )
    if config.network.cost == "cross-entropy" and data.scales_targets:
        raise InputError(
            f'{where}: data.scale_targets is {_toml(data.scale_targets)}, but network.cost "cross-entropy" '
            "needs targets as they are"
        )


def _resolved(tables: dict, base: Path) -> dict:
    """The tables with relative paths made absolute, taken from base."""
    tables = {
        name: dict(value) if isinstance(value, dict) else value for name, value in tables.items()
    }
    for section, name in (("data", "train"), ("data", "validation"), ("run", "directory")):
        table = tables.get(section)
        if isinstance(table, dict) and isinstance(table.get(name), str) and table[name]:
            table[name] = (paths.spec_of if section == "data" else paths.path_of)(table[name], base)
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
    except (ValueError, RecursionError, KeyError):
        parsed = value.strip()
    section, dot, key = name.strip().partition(".")
    return {section: {key: parsed}} if dot else {section: parsed}


def load(path: str | Path, overrides: Iterable[str] = ()) -> Config:
    """The Config of a TOML file, with "section.key=value" overrides laid over it.  Raises InputError.

    Paths in the file are taken from the file's directory, those in overrides from the current one.
    """
    path = Path(path)
    try:
        tables = tomllib.loads(files.read_given(path).decode("utf-8-sig"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such config file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a config: {error}") from None
    except (ValueError, RecursionError) as error:  # too many digits, or nested too deeply
        raise InputError(f"{path}: not valid TOML: {error}") from None
    tables = _resolved(tables, path.resolve().parent)
    origins = {}
    for text in overrides:
        origins[text.partition("=")[0].strip()] = f"--set {text}"
        for section, value in _resolved(_override(text), Path.cwd()).items():
            if isinstance(value, dict) and isinstance(tables.get(section, {}), dict):
                tables.setdefault(section, {}).update(value)
            else:
                tables[section] = value
    return from_tables(tables, str(path), origins)


def from_json(text: str) -> Config:
    """The Config that `Config.to_json` wrote, or that of version 0.1.0, whose `arithmetic` had no successor.

    Raises InputError.
    """
    try:
        tables = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the checkpoint's config is no JSON: {error}") from None
    if not isinstance(tables, dict):
        raise InputError("the checkpoint's config is no JSON object")
    tables.pop("arithmetic", None)
    return from_tables(tables, "the checkpoint's config")


def with_run_directory(config: Config, directory: str | Path) -> Config:
    """The same config for another run directory."""
    return replace(config, run=replace(config.run, directory=str(directory)))
