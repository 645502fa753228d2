"""Writing checkpoints while training goes on."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

from distmlp import files
from distmlp.runs import checkpoint
from distmlp.runs.checkpoint_names import best_name, listed_best


class Writer:
    """Writes checkpoints in a thread, one at a time, so that training waits for the copy of the state only.

    One of the newest can wait for a best one, and a best one for any; a later best takes the place of one that waits.

    check: raises OSError where the directory is not to be written to any more.
    """

    def __init__(self, directory: Path, keep: int, check: Callable[[], None] = lambda: None):
        self._directory, self._keep, self._check = directory, keep, check
        self._good: set[checkpoint.Identity] = set()
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
        self._check()
        path = checkpoint.write(self._directory, step, image) if newest else None
        if best:
            self._keep_best(path, step, image)
        if path is not None:
            self._good.add(checkpoint.identity(path))
            checkpoint.prune(self._directory, self._keep, step, self._good)
        return path

    def _keep_best(self, same: Path | None, step: int, image: bytes) -> None:
        """Keeps the image as the best, in place of the one before; same: a file that has it already."""
        path = self._directory / best_name(step)
        if same is None or not files.linked(same, path):
            checkpoint.write(self._directory, step, image, best=True)
        for old in listed_best(self._directory):
            if old != path:
                old.unlink(missing_ok=True)
