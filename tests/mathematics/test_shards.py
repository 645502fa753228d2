"""Holds shards.py: each sample once an epoch, sizes from the numbers alone, dealing that changes nothing, any step at once."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from simulated import sizes_of

from distmlp.mathematics.shards import EpochOrder, Shards, deal, default_micro_batch_size, split

# (n, batch, micro-batch, rows of a chunk): prime sets, nothing that divides, the batch the whole set,
# micro-batches of one, chunks of one row and chunks larger than the set
AWKWARD = [
    (1, 1, 1, 1),
    (7, 7, 7, 100),
    (13, 5, 2, 3),
    (97, 10, 3, 7),
    (97, 97, 10, 97),
    (101, 32, 8, 256),
    (128, 32, 8, 16),
    (128, 32, 1, 1),
    (1009, 64, 7, 50),
    (1009, 100, 100, 13),
    (250, 249, 50, 31),
    (60, 59, 1, 60),
    (500, 7, 7, 11),
]


def random_cases(count, seed):
    random = np.random.default_rng(seed)
    for _ in range(count):
        n = int(random.integers(1, 400))
        batch = int(random.integers(1, n + 1))
        yield n, batch, int(random.integers(1, batch + 1)), int(random.integers(1, 2 * n + 1))


CASES = [*AWKWARD, *random_cases(40, seed=1)]


def rows_of(pieces):
    return [row for start, stop in pieces for row in range(start, stop)]


def epoch_rows(cut, order, window=3):
    """The rows of each (step, shard) of an epoch, shards read by windows of so many steps and shuffled in them."""
    steps = {}
    for shard in range(cut.count):
        sizes = [cut.size(shard)] * cut.full_steps + [cut.last_size(shard)] * (
            cut.steps_per_epoch - cut.full_steps
        )
        place = cut.start(shard)
        for number, first in enumerate(range(0, cut.steps_per_epoch, window)):
            rows = sum(sizes[first : first + window])
            stream = rows_of(order.pieces(place, place + rows))
            taken = [stream[i] for i in order.shuffle(shard, number, rows)]
            for step, size in enumerate(sizes[first : first + window], first):
                steps[step, shard], taken = taken[:size], taken[size:]
            assert not taken
            place += rows
        assert place == cut.start(shard + 1)
    return steps


@pytest.mark.parametrize("n, batch, micro, chunk", CASES)
def test_each_sample_is_met_exactly_once_an_epoch(n, batch, micro, chunk):
    cut = Shards(n, batch, micro)
    for epoch in (0, 1):
        steps = epoch_rows(cut, EpochOrder(3, epoch, n, chunk))
        met = Counter(row for rows in steps.values() for row in rows)
        assert met == Counter(range(n))
        for step in range(cut.steps_per_epoch):
            t = sum(len(steps[step, shard]) for shard in range(cut.count))
            assert t == (batch if step < n // batch else n % batch)


@pytest.mark.parametrize("n, batch, micro, chunk", CASES)
def test_sizes(n, batch, micro, chunk):
    cut = Shards(n, batch, micro)
    full, last = sizes_of(cut), sizes_of(cut, last=True)
    assert cut.count == -(-batch // micro)
    assert sum(full) == batch and sum(last) == n % batch
    for sizes in (full, last):
        assert max(sizes) <= micro and max(sizes) - min(sizes) <= 1
        assert sizes == sorted(sizes, reverse=True)
    assert min(full) >= 1
    assert cut.start(0) == 0 and cut.start(cut.count) == n
    assert cut.steps_per_epoch == cut.full_steps + (n % batch > 0)


def test_sizes_worked_by_hand():
    cut = Shards(samples=53, batch_size=20, micro_batch_size=6)
    assert cut.count == 4 and cut.full_steps == 2 and cut.steps_per_epoch == 3
    assert sizes_of(cut) == [5, 5, 5, 5]
    assert sizes_of(cut, last=True) == [4, 3, 3, 3]
    assert [cut.start(shard) for shard in range(5)] == [0, 14, 27, 40, 53]
    assert split(11, 3) == [4, 4, 3] and split(2, 3) == [1, 1, 0]


@pytest.mark.parametrize("n, batch, micro, chunk", CASES)
def test_groups_are_stacks_of_equal_micro_batches(n, batch, micro, chunk):
    cut = Shards(n, batch, micro)
    for ranks in (1, 2, 3, cut.count, cut.count + 2):
        for mine in deal(cut.count, ranks):
            groups = cut.groups(mine)
            assert [i for group in groups for i in group.shards] == list(mine)
            assert len(groups) <= 3
            for group in groups:
                assert {(cut.size(i), cut.last_size(i)) for i in group.shards} == {
                    (group.size, group.last)
                }


def test_dealing_worked_by_hand():
    assert deal(8, 3) == [range(3), range(3, 6), range(6, 8)]
    assert deal(8, 1) == [range(8)]
    assert [list(mine) for mine in deal(2, 4)] == [[0], [1], [], []]


def test_dealing_is_contiguous_whole_and_even():
    for shards in (1, 2, 3, 7, 8, 16, 100, 4096):
        for ranks in (1, 2, 3, 5, 8, 17, 4096, 5000):
            dealt = deal(shards, ranks)
            assert len(dealt) == ranks
            assert [i for mine in dealt for i in mine] == list(range(shards))
            lengths = [len(mine) for mine in dealt]
            assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize("n, batch, micro, chunk", AWKWARD)
def test_a_run_is_reached_without_those_before_it(n, batch, micro, chunk):
    """Any part of the stream, asked of an order made anew, is that part of the whole; and so is any window's shuffle."""
    whole = rows_of(EpochOrder(5, 4, n, chunk).pieces(0, n))
    random = np.random.default_rng(2)
    for _ in range(20):
        start, stop = sorted(random.integers(0, n + 1, 2).tolist())
        assert rows_of(EpochOrder(5, 4, n, chunk).pieces(start, stop)) == whole[start:stop]
    order = EpochOrder(5, 4, n, chunk)
    shuffles = [
        order.shuffle(shard, window, 20).tolist() for shard in range(3) for window in range(3)
    ]
    again = [
        EpochOrder(5, 4, n, chunk).shuffle(shard, window, 20).tolist()
        for shard in (2, 1, 0)
        for window in (2, 1, 0)
    ]
    assert shuffles == again[::-1]
    assert len({tuple(shuffle) for shuffle in shuffles}) == 9  # each has an order of its own


@pytest.mark.parametrize("n, batch, micro, chunk", CASES)
def test_pieces_are_whole_chunks_in_the_order_of_the_file(n, batch, micro, chunk):
    """The stream is the chunks, each unbroken, in another order; a run of it cuts at most its two end chunks."""
    pieces = EpochOrder(1, 0, n, chunk).pieces(0, n)
    assert sorted(pieces) == [(start, min(start + chunk, n)) for start in range(0, n, chunk)]
    cut, order = Shards(n, batch, micro), EpochOrder(1, 0, n, chunk)
    for start, stop in pairwise(map(cut.start, range(cut.count + 1))):
        run = order.pieces(start, stop)
        assert sum(b - a for a, b in run) == stop - start
        assert all(a // chunk == (b - 1) // chunk for a, b in run)
        assert all((a, b) in pieces for a, b in run[1:-1])


def test_epochs_and_seeds_have_orders_of_their_own():
    n = 1000
    streams = [
        tuple(rows_of(EpochOrder(seed, epoch, n, 10).pieces(0, n)))
        for seed in (1, 2)
        for epoch in (0, 1, 2)
    ]
    assert len(set(streams)) == 6
    shuffles = [
        tuple(EpochOrder(seed, epoch, n, 10).shuffle(0, 0, 50))
        for seed in (1, 2)
        for epoch in (0, 1, 2)
    ]
    assert len(set(shuffles)) == 6


def test_chunks_travel_evenly():
    """Over many epochs a chunk is anywhere in the stream as often as not: mean place within five standard errors."""
    n, epochs = 20, 400
    places = np.array(
        [np.argsort(rows_of(EpochOrder(1, epoch, n, 1).pieces(0, n))) for epoch in range(epochs)]
    )
    error = np.sqrt((n**2 - 1) / 12 / epochs)
    assert np.abs(places.mean(axis=0) - (n - 1) / 2).max() < 5 * error


def test_default_micro_batch_size():
    assert [
        default_micro_batch_size(b)
        for b in (1, 2, 3, 10, 32, 33, 128, 200, 256, 384, 512, 513, 60000)
    ] == [1, 1, 2, 5, 16, 17, 64, 64, 64, 96, 128, 128, 128]
    for batch in range(1, 600):
        assert 1 <= default_micro_batch_size(batch) <= batch
