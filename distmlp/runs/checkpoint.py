"""Checkpoints: one HDF5 file each, whole or not there, and every byte of it checked on reading.

    /v                 the parameters, flat, (k,)
    /optimizer/NAME    each of the optimizer's arrays, (k,)
    attribute "facts"  JSON: the config and what else an exact resume needs

The file begins with an HDF5 user block of 512 bytes (the part of a file that HDF5 leaves to its
user) that holds the SHA-256 of all bytes after it.
"""

import hashlib
import json
import os
import sys
from dataclasses import dataclass, field, replace
from io import BufferedReader
from pathlib import Path

import h5py
import numpy as np

from distmlp import files
from distmlp.errors import InputError
from distmlp.runs import checkpoint_format
from distmlp.runs.checkpoint_names import best_name, is_best_name, listed_best
from distmlp.runs.checkpoint_names import listed as listed
from distmlp.runs.checkpoint_names import name as name
from distmlp.runs.checkpoint_names import step_of as step_of

FORMAT = 1

#: The name of the array in which v is averaged, beside the optimizer's.
AVERAGE = "average"
_BLOCK = 512
_MAGIC = b"distmlp checkpoint, sha256 of all after these 512 bytes: "

#: What identifies a file as long as nobody has touched it.
Identity = tuple[int, int, int]


class Damaged(InputError):
    """The file is not a whole checkpoint; the message says what is wrong with it."""


@dataclass(frozen=True)
class Checkpoint:
    """v (k,), the optimizer's arrays, and the facts about the run at that step.

    data: what the training set decided of how rows are transformed, by name.
    """

    path: Path
    v: np.ndarray
    arrays: dict[str, np.ndarray]
    facts: dict
    data: dict[str, np.ndarray] = field(default_factory=dict)


def v_sha256(v: np.ndarray) -> str:
    """SHA-256 of v's bytes, little-endian, in its dtype."""
    return hashlib.sha256(np.ascontiguousarray(v, v.dtype.newbyteorder("<")).data).hexdigest()


def image(
    v: np.ndarray,
    arrays: dict[str, np.ndarray],
    facts: dict,
    data: dict[str, np.ndarray] | None = None,
) -> bytes:
    """The bytes of a checkpoint's file, the user block left blank: a copy of the state, made in memory."""
    with h5py.File(
        "checkpoint", "w", driver="core", backing_store=False, userblock_size=_BLOCK
    ) as file:
        file.attrs["facts"] = json.dumps({"format": FORMAT, **facts}, sort_keys=True)
        file["v"] = v
        for key, array in arrays.items():
            file[f"optimizer/{key}"] = array
        for key, array in (data or {}).items():
            file[f"data/{key}"] = array
        file.flush()
        return file.id.get_file_image()


def write(directory: Path, step: int, image: bytes, best: bool = False) -> Path:
    """Writes a checkpoint's image into a directory and returns its path.  Raises OSError.

    best: under the name of the best epoch's.

    Where it fails, whatever stood under the name before still stands there.
    """
    path = directory / (best_name if best else name)(step)
    block = (_MAGIC + hashlib.sha256(image).hexdigest().encode() + b"\n").ljust(_BLOCK, b"\0")
    with files.replacing(path) as file:
        file.write(block)
        file.write(image)
    return path


def _digest(file: BufferedReader) -> str:
    """SHA-256 of an open file's bytes after the user block."""
    file.seek(_BLOCK)
    return hashlib.file_digest(file, "sha256").hexdigest()


def _check_whole(path: Path, file: BufferedReader) -> None:
    """Raises Damaged where a byte of an open file is not what was written."""
    block = file.read(_BLOCK)
    if not block.startswith(_MAGIC):
        raise Damaged(f"{path}: not a checkpoint of distmlp, or its first bytes are damaged")
    if block != (_MAGIC + _digest(file).encode() + b"\n").ljust(_BLOCK, b"\0"):
        raise Damaged(
            f"{path}: the checkpoint is damaged or cut short: its SHA-256 is not the one it was written with"
        )


def read(path: str | Path) -> Checkpoint:
    """The checkpoint in a file.

    Raises Damaged where a byte of it is not what was written, and where it is not what a run writes.
    """
    path = Path(path)
    try:
        with files.open_regular(path) as file:
            _check_whole(path, file)
            with h5py.File(file, "r") as stored:
                facts = checkpoint_format.facts_in(stored)
                if facts.get("format") != FORMAT:
                    raise Damaged(
                        f"{path}: the checkpoint has the format {facts.get('format')!s:.20}, but this distmlp reads format {FORMAT}"
                    )
                bytes_there = os.fstat(file.fileno()).st_size
                v, arrays = checkpoint_format.arrays_in(stored, bytes_there)
                data = checkpoint_format.data_in(stored, bytes_there)
            checkpoint_format.check_facts(facts, v, v_sha256(v))
            return Checkpoint(path, v, arrays, facts, data)
    except FileNotFoundError:
        raise InputError(f"{path}: no such checkpoint or run directory") from None
    except InputError:
        raise
    except checkpoint_format.Unfit as error:
        raise Damaged(f"{path}: no run of distmlp wrote this checkpoint: {error}") from None
    except OSError as error:
        raise Damaged(f"{path}: the checkpoint cannot be read: {error}") from None
    # h5py has all of these for a file whose structure is wrong.
    except (KeyError, ValueError, TypeError, RuntimeError, MemoryError) as error:
        words = f"{type(error).__name__}: {error}"
        raise Damaged(f"{path}: no run of distmlp wrote this checkpoint: {words}") from None


def newest_good(directory: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint of a directory that reads well, or None; and what was said of those passed over."""
    passed_over: list[str] = []
    for path in listed(directory):
        try:
            return read(path), passed_over
        except Damaged as error:
            passed_over.append(str(error))
    return None, passed_over


def find(place: str | Path, which: str = "last") -> tuple[Checkpoint, list[str]]:
    """The checkpoint that a command's CHECKPOINT names: a file, or one of a run directory.

    which: "last" is a directory's newest good one; "best" that of the best epoch, or the newest where no epoch was the
    best; a step's number that step's.  Raises InputError; returns too what was said of damaged ones passed over.
    """
    place = Path(place)
    if not place.is_dir():
        return read(place), []
    for directory in (place / "checkpoints", place):
        if directory.is_dir() and (listed(directory) or listed_best(directory)):
            if which not in ("last", "best"):
                return read(_of_step(directory, which)), []
            best, passed_over = _best_good(directory) if which == "best" else (None, [])
            if best is not None:
                return best, passed_over
            found, more = newest_good(directory)
            if found is None:
                words = "; ".join([*passed_over, *more])
                raise Damaged(f"{place}: none of its checkpoints is good: {words}")
            return found, passed_over + more
    raise InputError(f"{place}: no checkpoint in this directory or in its checkpoints/")


def averaged(found: Checkpoint) -> Checkpoint:
    """The same with the averaged v in place of v, where it has one: what is to be evaluated and used."""
    if AVERAGE not in found.arrays:
        return found
    v = found.arrays[AVERAGE]
    return replace(found, v=v, facts={**found.facts, "v_sha256": v_sha256(v)})


def is_best(found: Checkpoint) -> bool:
    """Whether it is kept because its epoch is the best."""
    return is_best_name(found.path)


def _best_good(directory: Path) -> tuple[Checkpoint | None, list[str]]:
    """The best epoch's checkpoint, None where there is none that reads well; and what is wrong with those passed over."""
    passed_over: list[str] = []
    for path in listed_best(directory):
        try:
            return read(path), passed_over
        except Damaged as error:
            passed_over.append(str(error))
    return None, passed_over


def _of_step(directory: Path, step: str) -> Path:
    """A step's checkpoint.  Raises InputError where there is none, and says which there are."""
    there = {}
    for path in [*listed_best(directory), *listed(directory)]:
        there[step_of(path)] = path
    if not step.isdecimal() or int(step) not in there:
        steps = ", ".join(map(str, sorted(there)))
        raise InputError(
            f"--which {step}: {directory} has no checkpoint of that step; "
            f"expected best, last, or one of {steps}"
        )
    return there[int(step)]


def identity(path: Path) -> Identity:
    """What identifies a checkpoint's file."""
    stat = path.lstat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def is_whole(path: Path) -> bool:
    """Whether every byte of a checkpoint is what was written."""
    try:
        with files.open_regular(path) as file:
            _check_whole(path, file)
    except (OSError, Damaged):
        return False
    return True


def prune(
    directory: Path, keep: int, step: int = sys.maxsize, good: set[Identity] | None = None
) -> None:
    """Removes those that are older than the newest `keep` whole checkpoints up to a step.

    A damaged one is not counted among them.  good: those that are known to be whole, which need not be read;
    those that are read are added to it.
    """
    good, kept = set() if good is None else good, 0
    for path in listed(directory):
        if step_of(path) > step:
            continue
        if kept == keep:
            path.unlink(missing_ok=True)
            continue
        here = identity(path)
        if here in good or is_whole(path):
            good.add(here)
            kept += 1
