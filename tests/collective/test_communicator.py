"""communicator.py on real ranks: the same bodies on the world, a duplicate, a part in reverse order, and one rank alone."""

import numpy as np
import pytest
from mpi4py import MPI

from distmlp.parallel import launchers
from distmlp.parallel.communicator import SingleProcess
from distmlp.parallel.mpi import MpiCommunicator

pytestmark = pytest.mark.mpi

WORLD = MPI.COMM_WORLD
KINDS = {
    "world": lambda: launchers.world(),
    "duplicate": lambda: launchers.of(WORLD.Dup()),
    "reversed": lambda: launchers.of(WORLD.Split(0, key=-WORLD.rank)),
    "self": lambda: launchers.of(MPI.COMM_SELF),
    "alone": lambda: launchers.of(SingleProcess()),
}


@pytest.fixture(params=KINDS)
def comm(request):
    return KINDS[request.param]()


def test_what_it_is(comm):
    assert isinstance(comm, (MpiCommunicator, SingleProcess))
    assert comm.all_gather(comm.rank) == list(range(comm.size))
    assert len(comm.hosts) == len(comm.pids) == comm.size
    assert len(set(comm.pids)) == comm.size
    assert len(set(comm.hosts)) == 1


def test_the_world_is_all_ranks():
    assert (launchers.world().rank, launchers.world().size) == (WORLD.rank, WORLD.size)
    reverse = KINDS["reversed"]()
    assert (reverse.rank, reverse.size) == (WORLD.size - 1 - WORLD.rank, WORLD.size)
    assert KINDS["self"]().size == KINDS["alone"]().size == 1


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float32, np.float64])
def test_sum_and_max(comm, dtype):
    # 70000 entries: beyond what an MPI sends eagerly, and split by the ring algorithms
    for entries in (1, 70000):
        mine = (np.arange(entries) % 97 + comm.rank).astype(dtype)
        total, largest = mine.copy(), mine.copy()
        comm.sum(total)
        comm.max(largest)
        n = comm.size
        base = np.arange(entries) % 97
        assert total.dtype == largest.dtype == dtype
        assert np.array_equal(total, n * base + n * (n - 1) // 2)
        assert np.array_equal(largest, base + n - 1)


def test_integers_are_summed_to_their_very_ends(comm):
    """Sums that wrap on the way and not at the end come out right, in any order: what the exact sum stands on."""
    for dtype in (np.int32, np.int64):
        most = np.iinfo(dtype).max
        mine = np.array([most - 1 if comm.rank % 2 == 0 else 1 - most, comm.rank == 0], dtype)
        comm.sum(mine)
        assert mine.tolist() == [most - 1 if comm.size % 2 else 0, 1]


def test_broadcast(comm):
    value = {"rank": comm.rank, "big": b"x" * 100_000}
    assert comm.broadcast(value)["rank"] == 0
    if not isinstance(comm, SingleProcess):
        assert comm.broadcast(comm.rank, root=comm.size - 1) == comm.size - 1


def test_gather(comm):
    # messages of different lengths
    found = comm.gather("x" * comm.rank)
    assert found == (["x" * rank for rank in range(comm.size)] if comm.rank == 0 else None)
    assert comm.all_gather(comm.rank**2) == [rank**2 for rank in range(comm.size)]


def test_barrier(comm):
    comm.barrier()
    comm.agree()


def test_channel_tells_what_ranks_wait_for(comm):
    channel = comm.channel()
    if channel is None:
        assert isinstance(comm, SingleProcess) or MPI.Query_thread() != MPI.THREAD_MULTIPLE
        return
    assert channel.exchange(f"rank {comm.rank}", 10) == {
        rank: f"rank {rank}" for rank in range(comm.size)
    }


def test_leave_returns_the_status(comm):
    assert comm.leave(75) == 75
