"""The logic for 65,536 ranks on 1,024 hosts, in one process: who has what, what a rank keeps, and the sum itself."""

import pickle
import tracemalloc

import numpy as np
import pytest
from simulated import Part
from summing import content, fresh, problem

from distmlp.data.feed import MicroBatches
from distmlp.mathematics import exact
from distmlp.mathematics.network import Network
from distmlp.mathematics.optimizers import SGD
from distmlp.mathematics.shards import EpochOrder, Shards, share
from distmlp.parallel.communicator import SingleProcess
from distmlp.training.holding import rows_of_part
from distmlp.training.step import ASKED, TIME_IS_UP, Step, reason_to_stop

HOSTS, RANKS = 1024, 65_536

#: A set of a billion rows, and chunks of a file.
ROWS, CHUNK = 10**9, 4096

#: The whole set as a batch; batches of one micro-batch a rank, and fewer of them than ranks.
SHARDINGS = {
    "all": Shards(ROWS, ROWS, 128),
    "one each": Shards(ROWS, 128 * RANKS, 128),
    "idle ranks": Shards(ROWS, 100_000, 128),
}


def kept_by(function):
    """Bytes that stay in use of what function() returns, and that."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        found = function()
        return tracemalloc.get_traced_memory()[0] - before, found
    finally:
        tracemalloc.stop()


@pytest.mark.slow
@pytest.mark.parametrize("name", SHARDINGS)
def test_every_shard_and_every_row_has_one_rank(name):
    sharding = SHARDINGS[name]
    end, row, lengths = 0, 0, set()
    for rank in range(RANKS):
        mine = share(sharding.count, RANKS, rank)
        assert mine.start == end and sharding.start(mine.start) == row
        end, row = mine.stop, sharding.start(mine.stop)
        lengths.add(len(mine))
        groups = sharding.groups(mine)
        assert sum(len(group.shards) for group in groups) == len(mine) and len(groups) <= 3
    assert end == sharding.count and row == ROWS
    assert max(lengths) - min(lengths) <= 1


@pytest.mark.slow
def test_a_chunk_of_the_file_is_read_by_one_rank_but_at_the_seams():
    """In an epoch's order; and in the file's, in which a set is looked through."""
    sharding, order = SHARDINGS["all"], EpochOrder(1, 0, ROWS, CHUNK)
    chunks, reads, rows, last = -(-ROWS // CHUNK), 0, 0, 0
    for rank in range(RANKS):
        mine = share(sharding.count, RANKS, rank)
        pieces = order.pieces(sharding.start(mine.start), sharding.start(mine.stop))
        reads += len(pieces)
        for start, stop in pieces:
            assert 0 <= start < stop <= ROWS and start // CHUNK == (stop - 1) // CHUNK
            rows += stop - start
        part = rows_of_part(ROWS, CHUNK, RANKS, rank)
        assert part.start == last and (part.start % CHUNK == 0 or part.start == ROWS)
        last = part.stop
    assert rows == last == ROWS
    assert reads <= chunks + RANKS - 1


@pytest.mark.slow
def test_what_a_rank_keeps():
    """Of what grows with ranks or rows only this: sixteen bytes a chunk of the file, and the ranks' names."""

    def sharding():
        made = Shards(ROWS, ROWS, 128)
        mine = share(made.count, RANKS, 777)
        return made, mine, made.groups(mine), made.steps_per_epoch

    assert kept_by(sharding)[0] < 4096

    def order():
        made = EpochOrder(1, 0, ROWS, CHUNK)
        made.pieces(10**6, 10**6 + 1)
        return made

    chunks = -(-ROWS // CHUNK)
    assert kept_by(order)[0] < 16 * chunks + 4096

    def names():
        """As an Allgather leaves them: (rank, host, process) of each, and the lists of two of these."""
        told = [pickle.dumps((rank, f"node{rank % HOSTS:05}", rank)) for rank in range(RANKS)]
        everyone = [pickle.loads(one) for one in told]
        return everyone, [host for _, host, _ in everyone], [pid for _, _, pid in everyone]

    assert kept_by(names)[0] < 256 * RANKS


def test_what_all_ranks_ask_for_fits_a_message():
    everyone = RANKS * ASKED
    assert reason_to_stop(everyone) == reason_to_stop(everyone + TIME_IS_UP) == "signal"
    assert reason_to_stop(TIME_IS_UP) == "time limit" and reason_to_stop(0) == ""
    assert everyone + TIME_IS_UP < np.iinfo(np.int32).max  # of few micro-batches
    counting = exact.Counting.of("float32", RANKS)
    assert counting.carrier == np.int64 and RANKS * 2**16 < np.iinfo(np.int64).max  # limbs
    assert exact.MOST_MICRO_BATCHES * 2**32 < np.iinfo(np.int64).max  # lower parts of counts


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_sum_of_all_ranks_is_that_of_one(dtype):
    """A micro-batch each, added up host by host, then between the hosts; and the last rank alone at the end."""
    network = Network((3, 4, 2), "tanh", "softmax", "cross-entropy")
    v, x, y = problem(network, dtype, RANKS)
    x, y, state = x[:, None], y[:, None], fresh(v)
    alone = Step(network, SGD(), dtype, True, SingleProcess(), RANKS)
    state.grid = alone.gradient(state, [MicroBatches(x, y, None)])
    expected = content(network, alone.message.buffer, alone.counting)
    assert alone.message.totals[0] == RANKS and alone.sum_in(alone.message).all()

    step = Step(network, SGD(), dtype, True, Part(), RANKS)
    by_host = np.zeros((HOSTS, step.message.buffer.size), np.int64)
    for rank in range(RANKS):
        mine = [MicroBatches(x[rank : rank + 1], y[rank : rank + 1], None, rank)]
        assert step.gradient(state, mine) is state.grid
        by_host[rank % HOSTS] += step.comm.sent
    for order in (by_host, by_host[::-1]):
        total = order.sum(axis=0)
        assert content(network, total, step.counting) == expected
        step.message.buffer[:] = total
        assert step.sum_in(step.message).tobytes() == alone.sum_in(alone.message).tobytes()
