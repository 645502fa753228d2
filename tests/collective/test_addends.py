"""hostmemory.py on real ranks: sums made where they are written, and the way round where memory cannot be shared."""

import gc
import os
import time

import numpy as np
import pytest
from mpi4py import MPI

from distmlp.parallel import launchers
from distmlp.parallel.addends import TRIALS, AddendsOfHosts, SharedAddends
from distmlp.parallel.exchange import Exchange

pytestmark = pytest.mark.mpi

WORLD = MPI.COMM_WORLD


@pytest.fixture
def comm():
    return launchers.of(WORLD.Dup())


def check_sums(comm, addends, n, dtype):
    """Several sums in a row, each of other numbers: nobody may see what is left of the one before, or what comes after."""
    entries = np.arange(n) % 89
    for again in range(5):
        addends.mine[:] = entries + 10 * again + comm.rank
        comm.add_up(addends)
        expected = comm.size * (entries + 10 * again) + comm.size * (comm.size - 1) // 2
        assert addends.total.dtype == dtype and np.array_equal(addends.total, expected)


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 2, 17, 1000, 200_003])
def test_sums(comm, n, dtype):
    """Fewer entries than ranks, ranks without a part, parts of many pages."""
    addends = comm.addends(n, dtype)
    assert isinstance(addends, SharedAddends) == (comm.size > 1)
    assert addends.mine.shape == addends.total.shape == (n,) and not addends.mine.any()
    check_sums(comm, addends, n, dtype)


def test_integers_wrap_on_the_way_and_not_at_the_end(comm):
    for dtype in (np.int32, np.int64):
        most = np.iinfo(dtype).max
        addends = comm.addends(1, dtype)
        addends.mine[0] = most - 1 if comm.rank % 2 == 0 else 1 - most
        comm.add_up(addends)
        assert addends.total.tolist() == [most - 1 if comm.size % 2 else 0]


def test_several_at_a_time_do_not_touch_each_other(comm):
    few, many = comm.addends(5, np.int32), comm.addends(50_000, np.float64)
    few.mine[:] = 1
    check_sums(comm, many, 50_000, np.float64)
    comm.add_up(few)
    assert few.total.tolist() == [comm.size] * 5


def _refuse(*_, **__):
    raise OSError("refused by this test")


@pytest.mark.parametrize(
    "where",
    [
        "rank 0 has no memory",
        "no such system call",
        "the last rank cannot open it",
        "it is another process's",
    ],
)
def test_where_memory_cannot_be_shared_mpi_adds(comm, where, monkeypatch):
    """One rank that cannot is enough, and all learn of it; those of a different host share what they have."""
    if comm.size == 1:
        pytest.skip("one rank shares nothing")
    if where == "rank 0 has no memory" and comm.rank == 0:
        monkeypatch.setattr(os, "memfd_create", _refuse)
    if where == "no such system call":
        monkeypatch.delattr(os, "memfd_create")
    if where == "the last rank cannot open it" and comm.rank == comm.size - 1:
        monkeypatch.setattr(os, "readlink", _refuse)
    if where == "it is another process's" and comm.rank == comm.size - 1:
        monkeypatch.setattr(
            os, "readlink", lambda path: "/memfd:distmlp-0123456789abcdef (deleted)"
        )
    addends, memory = comm.addends(1000, np.int32), comm.host_memory(1000)
    comm.hosts = ["a" if rank < comm.size - 1 else "b" for rank in range(comm.size)]
    by_host = comm.host_memory(1000)
    monkeypatch.undo()
    assert not isinstance(addends, SharedAddends) and addends.mine is addends.total
    check_sums(comm, addends, 1000, np.int32)
    assert memory is None
    lacks = {"rank 0 has no memory": comm.rank < comm.size - 1, "no such system call": True}
    assert (by_host is None) == lacks.get(where, comm.rank == comm.size - 1)


#: Which rank is on which host.
PLACES = {
    "each alone": lambda rank, size: rank,
    "dealt in turn": lambda rank, size: rank % 2,
    "unequal": lambda rank, size: min(rank, 1),
}


@pytest.mark.parametrize("places", PLACES)
@pytest.mark.parametrize("dtype", [np.int32, np.float64])
@pytest.mark.parametrize("n", [1, 1000, 700_003])
def test_sums_over_several_hosts(comm, n, dtype, places):
    """Hosts that have no part, slices in one message and in several rounds of them."""
    comm.hosts = [f"host{PLACES[places](rank, comm.size)}" for rank in range(comm.size)]
    addends = comm.addends(n, dtype)
    assert isinstance(addends, AddendsOfHosts) == (comm.size > 1)
    check_sums(comm, addends, n, dtype)


@pytest.mark.parametrize("places", PLACES)
def test_pieces_travel_while_the_rest_is_written(comm, places):
    """Ranks write at their own pace, one tells of nothing, and no rank has a piece before all of its host wrote it."""
    comm.hosts = [f"host{PLACES[places](rank, comm.size)}" for rank in range(comm.size)]
    n = 700_003
    addends, entries = comm.addends(n, np.int32), np.arange(n) % 89
    assert (addends.piece < n) == (comm.size > 1)
    for again in range(6):
        for end in range(50_000, n + 50_000, 50_000):
            here = slice(end - 50_000, min(end, n))
            addends.mine[here] = entries[here] + 10 * again + comm.rank
            if comm.rank != again:
                time.sleep(0.002 * ((comm.rank + again) % 3 == 0))
                addends.written(here.stop)
        comm.add_up(addends)
        expected = comm.size * (entries + 10 * again) + comm.size * (comm.size - 1) // 2
        assert np.array_equal(addends.total, expected)


@pytest.mark.parametrize("longer", ["waited", "worked"])
def test_pieces_travel_early_where_ranks_wait_longer_than_they_work(comm, longer, monkeypatch):
    """All ranks decide alike, by what the sums after the first one tell; one host has nothing to decide."""
    comm.hosts = [f"host{rank % 2}" for rank in range(comm.size)]
    addends = comm.addends(700_003, np.int32)
    finish = Exchange.finish

    def timed(self):
        finish(self)
        self.waited = self.worked = 1.0
        setattr(self, longer, 1.5 if comm.rank == 0 else 1.0)

    monkeypatch.setattr(Exchange, "finish", timed)
    for _ in range(TRIALS):
        assert not addends.early
        comm.add_up(addends)
    assert addends.early == (comm.size > 1 and longer == "waited")


def test_a_fault_while_pieces_travel_is_raised_by_the_sum(comm, monkeypatch):
    if comm.size == 1:
        pytest.skip("one rank sends nothing")
    comm.hosts = [f"host{rank}" for rank in range(comm.size)]
    addends = comm.addends(700_003, np.int32)

    def fail(*_):
        raise RuntimeError("the wire is cut")

    monkeypatch.setattr(Exchange, "go_on", fail)
    addends.written(600_000)
    addends.written(700_000)
    monkeypatch.undo()
    with pytest.raises(RuntimeError, match="the wire is cut"):
        comm.add_up(addends)


def test_ranks_that_cannot_share_count_as_hosts(comm, monkeypatch):
    """The last host's ranks, which then have none apart from themselves; all learn of it."""
    if comm.size < 3:
        pytest.skip("one host of one rank and one of two")
    comm.hosts = ["first", *["second"] * (comm.size - 1)]
    if comm.rank == comm.size - 1:
        monkeypatch.setattr(os, "readlink", _refuse)
    addends = comm.addends(1000, np.int32)
    monkeypatch.undo()
    assert comm.apart == ["second"]
    assert isinstance(addends, AddendsOfHosts) and addends.meeting is None
    check_sums(comm, addends, 1000, np.int32)


def test_memory_of_a_host_is_one(comm):
    for hosts in (comm.hosts, [f"host{rank % 2}" for rank in range(comm.size)]):
        comm.hosts = hosts
        here = [rank for rank, host in enumerate(comm.hosts) if host == comm.hosts[comm.rank]]
        found = comm.host_memory(10_007)
        if comm.size == 1:
            assert found is None
            continue
        assert (found.rank, found.ranks) == (here.index(comm.rank), len(here))
        assert found.content.shape == (10_007,) and not found.content.any()
        comm.barrier()
        found.content[found.rank :: found.ranks] = 1 + comm.rank
        comm.barrier()
        assert found.content[: len(here)].tolist() == [1 + rank for rank in here]
        comm.barrier()


def test_nothing_is_left_open(comm):
    """Files and mappings are gone with the arrays."""

    def held():
        gc.collect()
        with open("/proc/self/maps", encoding="ascii") as maps:
            mapped = sum("/memfd:distmlp" in line for line in maps)
        return len(os.listdir("/proc/self/fd")), mapped

    comm.add_up(comm.addends(10, np.int32))
    before = held()
    kept = [comm.addends(1000, np.int32) for _ in range(20)]
    kept += [comm.host_memory(1000) for _ in range(20)]
    new = 40 * (comm.size > 1)  # an mmap has a descriptor of its own
    assert held() == (before[0] + new, before[1] + new)
    del kept
    assert held() == before
