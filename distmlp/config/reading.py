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
from distmlp.config.contradictions import check_together
from distmlp.config.hints import nearest
from distmlp.config.sections import (
    Config,
    DataConfig,
    NetworkConfig,
    OptimizerConfig,
    RegularizationConfig,
    RunConfig,
    TrainingConfig,
)
from distmlp.errors import InputError

_SECTIONS = {
    "network": NetworkConfig,
    "data": DataConfig,
    "training": TrainingConfig,
    "optimizer": OptimizerConfig,
    "regularization": RegularizationConfig,
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
            origin = overrides.get(name, where)
            raise InputError(f"{origin}: {name} is {_toml(table)}, but expected a section [{name}]")
        if name == "optimizer" and table.get("name") == "lbfgs":
            table = {"learning_rate": 1.0, **table}  # a quasi-Newton step has its own length
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
    check_together(config, where)
    return config


def resolved(tables: dict, base: Path) -> dict:
    """The tables with relative paths made absolute, taken from base.  Raises InputError."""
    tables = {
        name: dict(value) if isinstance(value, dict) else value for name, value in tables.items()
    }
    for section, name in (
        ("data", "train"),
        ("data", "validation"),
        ("network", "start_from"),
        ("run", "directory"),
    ):
        table = tables.get(section)
        given = table.get(name) if isinstance(table, dict) else None
        whole = paths.spec_of if section == "data" else paths.path_of
        if isinstance(table, dict) and isinstance(given, str) and given:
            table[name] = whole(given, base)
        elif isinstance(table, dict) and section == "data" and isinstance(given, list):
            table[name] = [whole(x, base) if isinstance(x, str) and x else x for x in given]
    return tables


def value_of(text: str) -> Any:
    """The value that a text is in TOML.  Raises ValueError, also where more than a value follows, and RecursionError."""
    (value,) = tomllib.loads(f"value = {text}").values()
    return value


def override(text: str) -> dict:
    """{"section": {"key": value}} from "section.key=value"; the value is TOML, or else taken as text."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise InputError(
            f"--set {text}: expected section.key=value, such as --set training.epochs=10"
        )
    try:
        parsed = value_of(value)
    except (ValueError, RecursionError):
        parsed = value.strip()
    section, dot, key = name.strip().partition(".")
    return {section: {key: parsed}} if dot else {section: parsed}


def check_all_can_read(path: str | Path) -> None:
    """InputError where a config is a pipe or the like, of which every rank but one would read nothing."""
    if files.is_given_to_one(path):
        raise InputError(
            f"{path}: every rank reads the config, but this can be read by one process only; write it to a file"
        )


def _if_a_set(path: Path) -> str:
    """A way out for those who gave the data where a config is expected."""
    if path.suffix == ".toml":
        return ""
    return "; a config is a TOML file, and distmlp init makes one for a set or a table"


def load(path: str | Path, overrides: Iterable[str] = ()) -> Config:
    """The Config of a TOML file, with "section.key=value" overrides laid over it.  Raises InputError.

    Paths in the file are taken from the file's directory, those in overrides and in a pipe from the current one.
    """
    path = Path(path)
    try:
        tables = tomllib.loads(files.read_given(path).decode("utf-8-sig"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such config file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a config: {error}{_if_a_set(path)}") from None
    except (ValueError, RecursionError) as error:  # too many digits, or nested too deeply
        raise InputError(f"{path}: not valid TOML: {error}{_if_a_set(path)}") from None
    tables = resolved(tables, path.resolve().parent if path.is_file() else Path.cwd())
    origins = {}
    for text in overrides:
        for section, value in resolved(override(text), Path.cwd()).items():
            names = [f"{section}.{key}" for key in value] if isinstance(value, dict) else [section]
            origins.update(dict.fromkeys(names, f"--set {text}"))
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
