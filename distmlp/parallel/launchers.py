"""The ranks of this job: which launcher started this process, and a communicator of all that it started.

numpy and MPI are imported only when a communicator is asked for.
"""

import os
from typing import TYPE_CHECKING, Any

from distmlp.errors import InputError
from distmlp.parallel import openmpi

if TYPE_CHECKING:
    from distmlp.parallel.communicator import Communicator

# What launchers set in the processes that they start.
_LAUNCHERS = {
    "OMPI_COMM_WORLD_SIZE": "Open MPI's mpirun",
    "PMI_SIZE": "MPICH's mpirun or srun --mpi=pmi2",
    "PMIX_RANK": "a PMIx launcher",
    "MV2_COMM_WORLD_SIZE": "MVAPICH's mpirun",
    "PALS_RANKID": "PALS",
}

# The number of ranks.  mpirun's daemons on other nodes are srun's own tasks, so srun's count comes last.
_SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")

# This process's number among them.
_RANKS = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK", "SLURM_PROCID")

# For each MPI, launchers that speak its process management interface.
_OWN_LAUNCHERS = {
    "Open MPI": "Open MPI's own mpirun or srun --mpi=pmix",
    "MPICH": "MPICH's own mpirun or srun --mpi=pmi2",
}


def _first(names: tuple[str, ...], default: int) -> int:
    """The number in the first of these environment variables that is set."""
    return int(next((os.environ[name] for name in names if name in os.environ), default))


def launched_by() -> str | None:
    """The launcher that started this process as one of several ranks, or None."""
    words = next((words for name, words in _LAUNCHERS.items() if name in os.environ), None)
    return words or ("srun" if ranks_started() > 1 else None)


def ranks_started() -> int:
    """How many ranks the nearest launcher says that it started; 1 where none says."""
    return _first(_SIZES, 1)


def is_first() -> bool:
    """Whether the launcher calls this process its first; for where MPI does not tell."""
    return _first(_RANKS, 0) == 0


def of(comm: Any = None) -> "Communicator":
    """A communicator for whatever the caller has: an mpi4py communicator, one of these, or None for `world()`."""
    from distmlp.parallel.communicator import SingleProcess
    from distmlp.parallel.mpi import MpiCommunicator

    if comm is None:
        return world()
    return comm if isinstance(comm, (SingleProcess, MpiCommunicator)) else MpiCommunicator(comm)


def world(training: bool = False) -> "Communicator":
    """All ranks that were started together; `SingleProcess` for a process that no launcher started.

    Raises InputError where a launcher started this process but MPI cannot be used, or does not find the
    other ranks, since each rank would otherwise train a network of its own.  training: also where SLURM
    reserved room for several ranks and this process was started without a launcher.
    """
    from distmlp.parallel import mpi
    from distmlp.parallel.communicator import SingleProcess

    launcher = launched_by()
    if launcher is None:
        tasks = int(os.environ.get("SLURM_NTASKS", 1))
        if training and tasks > 1:
            raise InputError(
                f"SLURM_NTASKS says {tasks} ranks, but this process was started alone: start it with mpirun -n {tasks}, "
                "srun --mpi=pmix (Open MPI) or srun --mpi=pmi2 (MPICH); mpirun -n 1 is for one rank on purpose"
            )
        return SingleProcess()
    for name, value in openmpi.settings().items():
        os.environ.setdefault(name, value)
    try:
        started = mpi.all_ranks()
    except (ImportError, RuntimeError) as error:
        raise InputError(
            f"{launcher} started this process, but mpi4py cannot use MPI here: {error}; "
            'install mpi4py and the MPI that the launcher belongs to, such as pip install "distmlp[openmpi]"'
        ) from None
    comm = mpi.MpiCommunicator(started)
    if (
        started.Get_size() == 1 and ranks_started() > 1
    ):  # not comm's, which may have lost ranks already
        name = next((name for name in _OWN_LAUNCHERS if comm.mpi.startswith(name)), comm.mpi)
        raise InputError(
            f"{launcher} started {ranks_started()} ranks, but each came up as a run of its own, of size 1: it does not "
            f"speak the process management interface (PMI) of {name}; start this with "
            f"{_OWN_LAUNCHERS.get(name, 'its own launcher')} (srun --mpi=list tells what SLURM has)"
        )
    return comm
