"""What Open MPI is told, and whether it lets the survivors of a lost rank go on.  Standard library only.

mpirun gets `fault_tolerance` on its command line, from `distmlp launch` and from SLURM jobs alike.
Each rank sets `settings` in its environment before MPI starts, where the user has not said otherwise.
"""

import ctypes
import os
from typing import Any

# Open MPI's own names, which are not in capitals.
_ULFM, _COLLECTIVES = "OMPI_MCA_mpi_ft_enable", "OMPI_MCA_coll"

_SETTINGS = {
    # One-sided messages over libfabric, which nothing here uses, take a second to set up.
    "OMPI_MCA_btl": "^ofi",
    # On one host, bytes up to which a message goes through shared memory: faster than one process reading the
    # other's memory, page by page, through the kernel.
    "OMPI_MCA_btl_sm_eager_limit": "524288",
}

# Bytes that travel over TCP in one piece, where ranks are on several hosts.  A rank that dies between two pieces of a
# message can go unnoticed, and the survivors then wait for the rest of it.  4 MiB hold every message of a sum.
_PIECE = 4 * 2**20
_PIECES = ("eager_limit", "rndv_eager_limit", "max_send_size")

# And for survivors to go on with the right bits.
_ULFM_SETTINGS = {
    # Its hierarchical collectives, which it takes where ranks are on several hosts, return success and an
    # incomplete sum when a host is lost meanwhile; the flat ones raise an error.
    _COLLECTIVES: "^han",
    # Its daemons do not tell the ranks on other hosts of a loss, which then wait in Shrink for ever.
    "OMPI_MCA_mpi_ft_propagator_with_rbcast": "true",
}

# Where Open MPI 5.0 has what receives a message, by tag (a pointer to a function, and one to its data), and the tag of
# heartbeats.
_RECEIVERS, _HEARTBEAT = "mca_btl_base_active_message_trigger", 0x30


def fault_tolerance(hosts: int, detect: float) -> list[str]:
    """The options of Open MPI 5's mpirun that let survivors go on, for ranks on so many hosts.

    detect: seconds that a host may be silent before its ranks count as lost.
    """
    options = ["--with-ft", "ulfm", "--mca", "pml", "ob1"]
    if hosts > 1:
        # A daemon sees its own ranks die; that a whole host is silent, only heartbeats tell.
        detector = {
            "": "true",
            "_thread": "true",
            "_timeout": f"{detect:g}",
            "_period": f"{detect / 5:g}",
        }
        for name, value in detector.items():
            options += ["--mca", f"mpi_ft_detector{name}", value]
        for name in _PIECES:
            options += ["--mca", f"btl_tcp_{name}", str(_PIECE)]
        # mpirun ends the whole job when TCP tells it that a daemon is out of reach, after 8 minutes of silence.
        options += ["--prtemca", "oob_tcp_keepalive_time", "0"]
    return options


def settings() -> dict[str, str]:
    """The environment in which MPI is to start; other MPIs do not look at it."""
    return _SETTINGS | _ULFM_SETTINGS if is_asked_for_ulfm() else dict(_SETTINGS)


def is_asked_for_ulfm() -> bool:
    """Whether mpirun was told --with-ft ulfm."""
    return os.environ.get(_ULFM, "0").lower() in ("1", "true")


def _hierarchical_sums_are_off() -> bool:
    chosen = os.environ.get(_COLLECTIVES, "")
    return ("han" in chosen.lstrip("^").split(",")) == chosen.startswith("^")


def drop_early_heartbeats(MPI: Any) -> None:
    """Mends a race in MPI_Init of Open MPI 5.0; to be called before it.

    A rank sends its first heartbeat within MPI_Init, as soon as its detector has a thread (fd_progress in
    ompi/communicator/ft/comm_ft_detector.c).  For a rank that has not come as far, no function is registered for it, and
    the rank calls address 0: of starts of 1, 2 and 3 ranks on three hosts, 14 of 95 lost ranks.  Until Open MPI registers
    its own, a function that does nothing stands there.

    MPI: the module mpi4py.MPI.
    """
    if not is_asked_for_ulfm() or not MPI.Get_library_version().startswith("Open MPI v5.0."):
        return
    try:
        by_tag = (ctypes.c_void_p * 2 * (_HEARTBEAT + 1)).in_dll(
            ctypes.CDLL(MPI.__file__), _RECEIVERS
        )
    except ValueError:  # a build that keeps its symbols to itself; then a start may lose ranks
        return
    receiver = by_tag[_HEARTBEAT]
    if receiver[0] is None:
        receiver[0] = ctypes.cast(ctypes.CDLL(None).abs, ctypes.c_void_p).value  # does nothing


def has_ulfm(MPI: Any) -> bool:
    """Whether survivors can go on: Open MPI was started with --with-ft ulfm, and a revocation works.

    Nor where hierarchical collectives are on, which do not tell a wrong sum from a right one.
    Shrink and Agree exist without ULFM too and quietly do nothing of use, so they prove nothing; and a
    local revocation works in Open MPI even where its launcher ends the job for one lost rank.
    MPI: the module mpi4py.MPI.
    """
    if not is_asked_for_ulfm() or not _hierarchical_sums_are_off():
        return False
    probe = MPI.COMM_SELF.Dup()
    try:
        probe.Revoke()
        return True
    except (MPI.Exception, NotImplementedError):
        return False
    finally:
        probe.Free()


def is_loss(MPI: Any, error: Exception) -> bool:
    """Whether MPI raised this because a rank is lost."""
    # ERR_IN_STATUS: one of several messages has failed.
    failed = (MPI.ERR_PROC_FAILED, MPI.ERR_PROC_FAILED_PENDING, MPI.ERR_IN_STATUS)
    lost = (*failed, MPI.ERR_REVOKED)
    return isinstance(error, MPI.Exception) and error.Get_error_class() in lost


def is_one_lost(MPI: Any, comm: Any, resilient: bool) -> bool:
    """Whether MPI knows that a rank of a communicator is lost, or a rank has revoked it; not where it cannot know.

    comm: an mpi4py communicator.
    """
    if not resilient:
        return False
    try:
        comm.Iprobe()  # lets MPI hear of it
        failed = comm.Get_failed()
        lost = failed.Get_size() > 0 or comm.Is_revoked()
        failed.Free()
        return lost
    except MPI.Exception as error:
        if is_loss(MPI, error):
            return True
        raise
