"""Checkpoints: one HDF5 file each, whole or not there, and every byte of it checked on reading.

    /v                 the parameters, flat, (k,)
    /optimizer/NAME    each of the optimizer's arrays, (k,)
    attribute "facts"  JSON: the config and what else an exact resume needs

The file begins with an HDF5 user block of 512 bytes (the part of a file that HDF5 leaves to its
user) that holds the SHA-256 of all bytes after it.
"""

import hashlib
import json
import re
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

import h5py
import numpy as np

from distmlp import files
from distmlp.errors import InputError

FORMAT = 1
_BLOCK = 512
_MAGIC = b"distmlp checkpoint, sha256 of all after these 512 bytes: "
_NAME = re.compile(r"step-(\d+)\.h5")
_BEST = re.compile(r"best-(\d+)\.h5")


class Damaged(InputError):
    """The file is not a whole checkpoint; the message says what is wrong with it."""


@dataclass(frozen=True)
class Checkpoint:
    """v (k,), the optimizer's arrays, and the facts about the run at that step."""

    path: Path
    v: np.ndarray
    arrays: dict[str, np.ndarray]
    facts: dict


def v_sha256(v: np.ndarray) -> str:
    """SHA-256 of v's bytes, little-endian, in its dtype."""
    return hashlib.sha256(np.ascontiguousarray(v, v.dtype.newbyteorder("<")).data).hexdigest()


def name(step: int) -> str:
    return f"step-{step:09d}.h5"


def best_name(step: int) -> str:
    """The name of the best epoch's checkpoint, which is kept beside the newest ones."""
    return f"best-{step:09d}.h5"


def image(v: np.ndarray, arrays: dict[str, np.ndarray], facts: dict) -> bytes:
    """The bytes of a checkpoint's file, the user block left blank: a copy of the state, made in memory."""
    with h5py.File(
        "checkpoint", "w", driver="core", backing_store=False, userblock_size=_BLOCK
    ) as file:
        file.attrs["facts"] = json.dumps({"format": FORMAT, **facts}, sort_keys=True)
        file["v"] = v
        for key, array in arrays.items():
            file[f"optimizer/{key}"] = array
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


class Writer:
    """Writes checkpoints in a thread, one at a time, so that training waits for the copy of the state only.

    One of the newest can wait for a best one, and a best one for any; a later best takes the place of one that waits.
    """

    def __init__(self, directory: Path, keep: int):
        self._directory, self._keep = directory, keep
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._jobs: list[Future[Path | None]] = []
        self._best_alone: list[Future[Path | None]] = []  # those of the jobs
        self._began = time.monotonic()

    @property
    def busy(self) -> bool:
        """Whether one of the newest waits or is being written."""
        return not all(job.done() for job in self._jobs if job not in self._best_alone)

    @property
    def seconds(self) -> float:
        """How long ago the last write began."""
        return time.monotonic() - self._began

    def start(self, step: int, image: bytes, newest: bool = True, best: bool = False) -> None:
        """Writes after what is being written.

        newest, best: as what it is kept; of the newest, the one before must have been written.
        """
        if all(job.done() for job in self._jobs):
            self._began = time.monotonic()
        if best:
            for job in [job for job in self._best_alone if job.cancel()]:
                self._jobs.remove(job)
                self._best_alone.remove(job)
        job = self._thread.submit(self._write, step, image, newest, best)
        self._jobs.append(job)
        if not newest:
            self._best_alone.append(job)

    def finish(self) -> Path | None:
        """Waits for what is being written, and returns what `finished` does."""
        wait(self._jobs)
        return self.finished()

    def finished(self) -> Path | None:
        """The newest one's path that has been written since this was last asked, or None.  Raises the first OSError."""
        jobs = [job for job in self._jobs if job.done()]
        self._jobs = [job for job in self._jobs if job not in jobs]
        self._best_alone = [job for job in self._best_alone if job not in jobs]
        paths = [path for path in [job.result() for job in jobs] if path]
        return paths[-1] if paths else None

    def close(self) -> None:
        self._thread.shutdown(wait=True)

    def _write(self, step: int, image: bytes, newest: bool, best: bool) -> Path | None:
        path = write(self._directory, step, image) if newest else None
        if best:
            self._keep_best(path, step, image)
        if newest:
            prune(self._directory, self._keep)
        return path

    def _keep_best(self, same: Path | None, step: int, image: bytes) -> None:
        """Keeps the image as the best, in place of the one before; same: a file that has it already."""
        path = self._directory / best_name(step)
        if same is None or not files.linked(same, path):
            write(self._directory, step, image, best=True)
        for old in _all_best(self._directory):
            if old != path:
                old.unlink(missing_ok=True)


def _digest(file: BufferedReader) -> str:
    """SHA-256 of an open file's bytes after the user block."""
    file.seek(_BLOCK)
    return hashlib.file_digest(file, "sha256").hexdigest()


def _native(stored: h5py.Dataset) -> np.ndarray:
    """A dataset's numbers in this machine's byte order; the file's is that of the machine that wrote it."""
    return stored.astype(stored.dtype.newbyteorder("="))[...]


def read(path: str | Path) -> Checkpoint:
    """The checkpoint in a file.  Raises Damaged where a byte of it is not what was written."""
    path = Path(path)
    try:
        with open(path, "rb") as file:
            block = file.read(_BLOCK)
            if not block.startswith(_MAGIC):
                raise Damaged(
                    f"{path}: not a checkpoint of distmlp, or its first bytes are damaged"
                )
            if block != (_MAGIC + _digest(file).encode() + b"\n").ljust(_BLOCK, b"\0"):
                raise Damaged(
                    f"{path}: the checkpoint is damaged or cut short: its SHA-256 is not the one it was written with"
                )
        with h5py.File(path, "r", locking=False) as file:
            facts = json.loads(file.attrs["facts"])
            if facts["format"] != FORMAT:
                raise Damaged(
                    f"{path}: the checkpoint has the format {facts['format']}, but this distmlp reads format {FORMAT}"
                )
            arrays = {key: _native(array) for key, array in file.get("optimizer", {}).items()}
            return Checkpoint(path, _native(file["v"]), arrays, facts)
    except FileNotFoundError:
        raise InputError(f"{path}: no such checkpoint") from None
    except OSError as error:
        raise Damaged(f"{path}: the checkpoint cannot be read: {error}") from None


def listed(directory: Path) -> list[Path]:
    """The checkpoints in a directory, the newest first, unread."""
    if not directory.is_dir():
        return []
    return sorted(
        (path for path in directory.iterdir() if _NAME.fullmatch(path.name)), reverse=True
    )


def _all_best(directory: Path) -> list[Path]:
    return [path for path in directory.iterdir() if _BEST.fullmatch(path.name)]


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
        if directory.is_dir() and (listed(directory) or _all_best(directory)):
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


def is_best(found: Checkpoint) -> bool:
    """Whether it is kept because its epoch is the best."""
    return _BEST.fullmatch(found.path.name) is not None


def _best_good(directory: Path) -> tuple[Checkpoint | None, list[str]]:
    """The best epoch's checkpoint, None where there is none that reads well; and what is wrong with those passed over."""
    passed_over: list[str] = []
    for path in sorted(_all_best(directory), reverse=True):
        try:
            return read(path), passed_over
        except Damaged as error:
            passed_over.append(str(error))
    return None, passed_over


def _of_step(directory: Path, step: str) -> Path:
    """A step's checkpoint.  Raises InputError where there is none, and says which there are."""
    there = {}
    for path in [*_all_best(directory), *listed(directory)]:
        there[int(path.stem.partition("-")[2])] = path
    if not step.isdecimal() or int(step) not in there:
        steps = ", ".join(map(str, sorted(there)))
        raise InputError(
            f"--which {step}: {directory} has no checkpoint of that step; "
            f"expected best, last, or one of {steps}"
        )
    return there[int(step)]


def prune(directory: Path, keep: int) -> None:
    """Removes all but the newest `keep` checkpoints."""
    for path in listed(directory)[keep:]:
        path.unlink(missing_ok=True)
