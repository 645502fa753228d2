"""addends.py without ranks; tests/collective/test_addends.py has it on real ones."""

import numpy as np
import pytest

from distmlp.kernels import choice, numpy_messages
from distmlp.parallel import addends as sums
from distmlp.parallel.addends import SharedAddends

pytestmark = pytest.mark.skipif(choice.compiled is None, reason="nothing compiled is there")

DTYPES = ["int32", "int64", "float32", "float64"]


def ranks_of(n, dtype, size):
    """All ranks' addends, in one process."""
    memory = bytearray(sums.bytes_of(n, dtype, size))
    return [SharedAddends(memory, n, dtype, rank, size) for rank in range(size)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 1023, 1024, 1025, 10_000])
@pytest.mark.parametrize("size", [2, 3, 4, 64])
def test_ranks_that_take_turns(size, n, dtype, monkeypatch):
    """Each entry of the sum has every rank's number once, also of ranks without a part, compiled or not."""
    random = np.random.default_rng(size)
    ranks = ranks_of(n, dtype, size)
    for kernels in (choice, numpy_messages):
        monkeypatch.setattr(sums, "kernels", kernels)
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
    """And no two ranks write to one cache line of the sum."""
    kept = [ours.kept for ours in ranks_of(n, "int32", size)]
    assert [entry for part in kept for entry in range(n)[part]] == list(range(n))
    assert all(part.start % (64 // 4) == 0 for part in kept if part.start < n)
