"""hostmemory.py without ranks; tests/collective/test_hostmemory.py has it on real ones."""

import mmap
import tempfile

import numpy as np
import pytest
from twins import compiled

from distmlp.parallel import hostmemory
from distmlp.parallel.hostmemory import SharedAddends, add, add_in_numpy

DTYPES = ["int32", "int64", "float32", "float64"]


def numbers(random, shape, dtype):
    """Some that wrap or round when they are added."""
    if np.issubdtype(dtype, np.integer):
        return random.integers(
            np.iinfo(dtype).min, np.iinfo(dtype).max, shape, dtype, endpoint=True
        )
    return (random.normal(size=shape) * 10.0 ** random.integers(-5, 6, shape)).astype(dtype)


@compiled
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [0, 1, 2, 5])
@pytest.mark.parametrize("shift", [0, 1])
def test_compiled_sum_has_the_bits_of_the_one_in_numpy(dtype, rows, shift):
    """Of every length around whole cache lines, into memory that begins with one and that does not."""
    random = np.random.default_rng(rows)
    for n in (0, 1, 7, 8, 15, 16, 17, 64, 1000, 1001):
        first, others = numbers(random, n, dtype), numbers(random, (rows, n + 3), dtype)[:, :n]
        memory = np.full(n + 40, 77, dtype)
        start = -memory.ctypes.data // memory.itemsize % (64 // memory.itemsize) + shift
        found, expected = memory[start : start + n], np.empty(n, dtype)
        add(first, others, found)
        add_in_numpy(first, others, expected)
        assert found.tobytes() == expected.tobytes()
        assert (memory[:start] == 77).all() and (memory[start + n :] == 77).all()


@compiled
def test_the_compiled_part_refuses_what_it_would_read_beyond():
    first, others, out = np.zeros(8, np.int32), np.zeros((2, 8), np.int32), np.zeros(8, np.int32)
    for wrong in (
        (first, others, out[:7]),
        (first[:7], others, out),
        (first, others[:, :7], out),
        (first, others[0], out),
        (first, others.astype(np.float32), out),
        (first.astype(np.float32), others, out),
        (first, others, out.astype(np.int64)),
        (first[::2], others[:, :4], out[:4]),
    ):
        with pytest.raises(ValueError):
            add(*wrong)
    with pytest.raises(TypeError):
        add(first, out)
    out.flags.writeable = False
    with pytest.raises(ValueError):
        add(first, others, out)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 1023, 1024, 1025, 10_000])
@pytest.mark.parametrize("size", [2, 3, 4, 64])
def test_ranks_that_take_turns(size, n, dtype, monkeypatch):
    """All ranks in one process: each entry of the sum has every rank's number once, also of ranks without a part, compiled or not."""
    random = np.random.default_rng(size)
    with tempfile.TemporaryFile() as file:
        file.truncate(hostmemory._bytes(n, dtype, size))
        ranks = [SharedAddends(file.fileno(), n, dtype, rank, size) for rank in range(size)]
    for function in (add, add_in_numpy):
        monkeypatch.setattr(hostmemory, "add", function)
        added = random.integers(-1000, 1000, (size, n)).astype(dtype)
        for ours, mine in zip(ranks, added, strict=True):
            ours.mine[:] = mine
        for ours in ranks:
            ours.add()
        for ours, mine in zip(ranks, added, strict=True):
            assert np.array_equal(ours.total, added.sum(axis=0)) and np.array_equal(ours.mine, mine)


@pytest.mark.parametrize("n", [1, 1024, 1025, 10_000])
@pytest.mark.parametrize("size", [2, 3, 4, 64])
def test_every_entry_is_kept_by_one_rank(size, n):
    """And no two ranks write to one page of the sum."""
    with tempfile.TemporaryFile() as file:
        file.truncate(hostmemory._bytes(n, "int32", size))
        kept = [SharedAddends(file.fileno(), n, "int32", rank, size).kept for rank in range(size)]
    assert [entry for part in kept for entry in range(n)[part]] == list(range(n))
    assert all(part.start % (mmap.PAGESIZE // 4) == 0 for part in kept if part.start < n)
