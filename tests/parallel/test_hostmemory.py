"""hostmemory.py without ranks; tests/collective/test_hostmemory.py has it on real ones."""

import mmap
import tempfile

import numpy as np
import pytest

from distmlp.kernels import choice, message_twins
from distmlp.parallel import hostmemory
from distmlp.parallel.hostmemory import SharedAddends

DTYPES = ["int32", "int64", "float32", "float64"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 1023, 1024, 1025, 10_000])
@pytest.mark.parametrize("size", [2, 3, 4, 64])
def test_ranks_that_take_turns(size, n, dtype, monkeypatch):
    """All ranks in one process: each entry of the sum has every rank's number once, also of ranks without a part, compiled or not."""
    random = np.random.default_rng(size)
    with tempfile.TemporaryFile() as file:
        file.truncate(hostmemory._bytes(n, dtype, size))
        ranks = [SharedAddends(file.fileno(), n, dtype, rank, size) for rank in range(size)]
    for kernels in (choice, message_twins):
        monkeypatch.setattr(hostmemory, "kernels", kernels)
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
