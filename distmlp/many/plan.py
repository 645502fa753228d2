"""Plans: which networks a command trains, each a config of its own with a few keys set."""

import itertools
import json
import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from distmlp import files
from distmlp.config.comparing import differences
from distmlp.config.reading import from_tables, load, resolved, value_of
from distmlp.config.sections import Config
from distmlp.errors import InputError
from distmlp.kernels import choice, numbers
from distmlp.mathematics.randomness import Purpose, stream

#: In the directory of many networks: the plan, and the same as a table for slurm/sweep.sbatch.
PLAN, TABLE = "many.json", "members.txt"

#: More members than anybody can mean.
MOST = 100_000

Settings = dict[str, Any]


@dataclass(frozen=True)
class Member:
    """One network of many.  name: of its run directory, from "1" on.  settings: {"section.key": value}."""

    name: str
    settings: Settings

    @property
    def words(self) -> str:
        """The settings for people."""
        if "data.fold" in self.settings:
            return f"fold {self.settings['data.fold']} of {self.settings['data.folds']}"
        return ", ".join(f"{key} = {_toml(value)}" for key, value in self.settings.items())


def seeds(config: Config, count: int) -> list[Settings]:
    """An ensemble: the config's seed and those after it."""
    return [{"seed": (config.seed + i) % 2**64} for i in range(count)]


def folds(count: int, by: str) -> list[Settings]:
    """Cross-validation: each fold of the training set is the validation set once.

    by: "rows", "classes", or the name of a dataset of groups.
    """
    return [
        {"data.folds": count, "data.fold": i + 1, "data.fold_by": by, "data.validation": ""}
        for i in range(count)
    ]


def grid(given: list[str]) -> list[Settings]:
    """Every combination of the values of each "section.key=[value, value]", the last key changing fastest.

    Raises InputError.
    """
    values = dict(_listed(text, "--grid") for text in given)
    if len(values) < len(given):
        raise InputError("--grid names a key twice: expected all of its values in one list")
    return [dict(zip(values, of, strict=True)) for of in itertools.product(*values.values())]


def random(config: Config, count: int, given: list[str]) -> list[Settings]:
    """So many draws of each "section.key=how", by counters from the config's seed; so the first ten of twenty are those of ten.

    how: uniform:low:high, log:low:high, whole:low:high, or a list of values.  Raises InputError.
    """
    drawn: dict[str, list[Any]] = {}
    for number, text in enumerate(given):
        key, _, how = text.partition("=")
        if key.strip() in drawn:
            raise InputError(f"--draw {text}: names {key.strip()} a second time; expected it once")
        words = stream(config.seed, Purpose.DRAWS, number)
        # from 0 to less than 1, as a whole number of 2^-53
        u = (words.random_raw(count) >> np.uint64(11)).astype(np.float64) * 2.0**-53
        drawn[key.strip()] = _drawn(text, how.strip(), u)
    return [{key: values[i] for key, values in drawn.items()} for i in range(count)]


def _drawn(text: str, how: str, u: np.ndarray) -> list[Any]:
    found = re.fullmatch(r"(uniform|log|whole):([^:]+):([^:]+)", how)
    if not found:
        _, values = _listed(text, "--draw")
        return [values[i] for i in (u * len(values)).astype(int)]
    try:
        low, high = float(found[2]), float(found[3])
    except ValueError:
        low, high = 1.0, 0.0
    if not low < high or (found[1] == "log" and low <= 0) or max(-low, high) > 1e300:
        raise InputError(
            f"--draw {text}: expected two numbers, the lower first (log: above 0), as in {found[1]}:0.001:1"
        )
    if found[1] == "whole":
        first, last = math.ceil(low), math.floor(high)
        if first > last:
            raise InputError(f"--draw {text}: there is no whole number from {low:g} to {high:g}")
        return [first + int(part) for part in u * (last - first + 1)]
    if found[1] == "log":
        ends = np.array([low, high])
        choice.function(numbers.Function.LOG, ends)
        powers = ends[0] + u * (ends[1] - ends[0])
        choice.function(numbers.Function.EXP, powers)
        return [float(f"{value:.6g}") for value in powers.tolist()]
    return [float(f"{value:.6g}") for value in (low + u * (high - low)).tolist()]


def _listed(text: str, option: str) -> tuple[str, list[Any]]:
    """A key and its values, from "section.key=[value, value]"."""
    key, equals, value = text.partition("=")
    try:
        values = value_of(value)
    except (ValueError, RecursionError):
        values = None
    if not equals or not isinstance(values, list) or not values:
        raise InputError(
            f"{option} {text}: expected section.key=[value, value], such as "
            f"{option} optimizer.learning_rate=[0.1,0.3]"
        )
    return key.strip(), values


def members_of(settings: list[Settings]) -> list[Member]:
    """The members with these settings, named from 1 on.  Raises InputError."""
    if len(settings) > MOST:
        raise InputError(f"the plan has {len(settings)} networks, but {MOST} is the most")
    return [Member(str(i + 1), of) for i, of in enumerate(settings)]


def config_of(config: Config, member: Member) -> Config:
    """A member's own config, with a run directory of its own in the config's.  Raises InputError."""
    tables = json.loads(config.to_json())
    for name, value in member.settings.items():
        section, dot, key = name.rpartition(".")
        table = tables.get(section) if dot else tables
        if not isinstance(table, dict) or section == "run":
            raise InputError(
                f"{name} cannot be set for each network: expected a key that decides v"
            )
        # as --set takes it: a path from the current directory
        table[key] = resolved({section: {key: value}}, Path.cwd())[section][key]
    if "data.fold" in member.settings:  # the fold takes the place of what the config held out
        tables["data"] |= {"validation_by": "rows", "validation_rows": "", "validation_weights": ""}
    found = from_tables(tables, f"network {member.name} ({member.words})")
    directory = str(Path(config.run.directory) / member.name)
    # the time limit is that of the whole command
    return replace(found, run=replace(found.run, directory=directory, time_limit=""))


def keep(config: Config, members: list[Member]) -> None:
    """Writes the plan to the config's run directory.

    Raises InputError where a different one is there, or networks that have begun with a different config.
    """
    directory = Path(config.run.directory)
    if (directory / "config.toml").exists():
        raise InputError(
            f"run.directory {directory} holds a run of one network: expected a new directory, or one of many networks"
        )
    there = kept(directory) or []
    for before, now in zip(there, members, strict=False):
        if before.settings != now.settings:
            raise InputError(
                f"{directory / PLAN}: network {now.name} was {before.words}, but is now {now.words}: "
                "expected the same plan, or a longer one, or a different run.directory"
            )
    for member in members:
        _check_as_before(config, member)
    if len(there) > len(members):
        return  # a part of what there was
    try:
        directory.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"members": [vars(member) for member in members]}, indent=1)
        files.write(directory / PLAN, f"{text}\n".encode())
        files.write(directory / TABLE, table(members).encode())
    except OSError as error:
        raise InputError(
            f"run.directory {directory} cannot be written: {error.strerror or error}; "
            "expected a directory that this user may write"
        ) from None


def _check_as_before(config: Config, member: Member) -> None:
    """Raises InputError where a member has begun, or has been trained, with a config that gives a different v."""
    begun = Path(config.run.directory) / member.name / "config.toml"
    if not begun.exists():
        return
    before, now = load(begun), config_of(config, member)
    found = differences(before, now)
    if before.training.epochs != now.training.epochs:
        found.append(("training.epochs", before.training.epochs, now.training.epochs))
    for key, old, new in found:
        raise InputError(
            f"{begun}: network {member.name} has {key} = {old}, but the config now has {new}: "
            "all networks of one directory have the same; take a different run.directory"
        )


def kept(directory: str | Path) -> list[Member] | None:
    """The members of a directory of many networks; None where it is none.  Raises InputError."""
    path = Path(directory) / PLAN
    try:
        text = files.text_in(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as the plan of distmlp many: {error}") from None
    try:
        members = [Member(of["name"], dict(of["settings"])) for of in json.loads(text)["members"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        members = []
    # a name is that of a directory here, and leads nowhere else
    if not members or any(member.name != str(i) for i, member in enumerate(members, 1)):
        raise InputError(f"{path} is damaged: expected the plan that distmlp many wrote")
    return members


def table(members: list[Member]) -> str:
    """The settings, a line for each member, as slurm/sweep.sbatch takes them."""
    lines = [list(members[0].settings)]
    lines += [[_toml(value) for value in member.settings.values()] for member in members]
    return "".join(f"{' '.join(line)}\n" for line in lines)


def _toml(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
