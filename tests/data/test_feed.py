"""Holds feed.py: each micro-batch has the rows that shards.py says, however a step is cut into windows and pieces."""

import functools

import numpy as np
import pytest
from example import ROWS, rows, tables, write_set

from distmlp.config.keys import bytes_of
from distmlp.config.reading import from_tables
from distmlp.data import feed as feeding
from distmlp.data.dataset import DataSet
from distmlp.data.digest import RowHash
from distmlp.errors import InputError
from distmlp.mathematics.shards import EpochOrder, Shards, rows_of, share

SEED, CHUNK = 3, 50

#: (batch, micro-batch): several steps with a smaller last one; the whole set; a last step with empty micro-batches.
SHAPES = [(100, 7), (ROWS, 32), (ROWS, 1000), (1008, 1)]

#: The set is held; a window of several steps; of one step at most of any batch here; of less than a micro-batch.
WINDOWS = ["256 MB", "100 kB", "20 kB", "1 kB"]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("feed") / "set.h5")


def fed(data, shape, window, shards=None, changes={}):
    """A feed of some shards, all by default, and its sharding."""
    sharding = Shards(data.rows, *shape)
    more = {"data.window": window, "data.chunk_rows": CHUNK, **changes}
    config = from_tables(tables(more)).data
    shards = range(sharding.count) if shards is None else shards
    return feeding.Feed(data, sharding, shards, config, SEED, 5, "float32"), sharding


def stacks_of(batches):
    """Each micro-batch by its shard, as (x, labels); what the feed overwrites is copied."""
    found, ended = {}, []
    for batch in batches:
        for i, (x, labels) in enumerate(zip(batch.x, batch.labels, strict=True)):
            found[batch.shard + i] = x.copy(), labels.copy()
        ended.append(batch.ends)
    assert ended == [False] * (len(ended) - 1) + [True] * (len(ended) > 0)
    return found


@functools.cache  # the size of a piece and the number of ranks are nothing to it
def expected(sharding, epoch, step, window_steps):
    """The rows of each micro-batch of a step, where windows are of so many steps: written once more, shard by shard."""
    order, found = EpochOrder(SEED, epoch, ROWS, CHUNK), {}
    window, inside = divmod(step, window_steps)
    for shard in range(sharding.count):
        sizes = [sharding.size(shard)] * sharding.full_steps + [sharding.last_size(shard)]
        first, last = window * window_steps, (window + 1) * window_steps
        before, here = sum(sizes[:first]), sizes[first:last]
        start = sharding.start(shard) + before
        taken = rows_of(order.pieces(start, start + sum(here))) if sum(here) else np.array([], int)
        taken = taken[order.shuffle(shard, window, sum(here))]
        mine = taken[sum(here[:inside]) :][: here[inside]]
        if len(mine):
            found[shard] = mine
    return found


@pytest.mark.slow
@pytest.mark.parametrize("piece_bytes", [1, 3000, 2**22])
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_rows_of_each_micro_batch(shape, window, piece_bytes, file, monkeypatch):
    monkeypatch.setattr(feeding, "PIECE_BYTES", piece_bytes)
    x, y = rows(ROWS)
    for ranks in (1, 3):
        with DataSet(f"{file}:/train") as data:
            made = [
                fed(data, shape, window, share(Shards(ROWS, *shape).count, ranks, rank))
                for rank in range(ranks)
            ]
            sharding = made[0][1]
            memory = bytes_of(window) - (data.stored_bytes if data.held else 0)
            row, stored = (20 + 5) * 4 + 16, data.stored_bytes // ROWS
            steps = memory // (2 * sharding.batch_size * row + stored * sharding.size(0))
            steps = max(1, min(sharding.steps_per_epoch, steps))
            for epoch in (0, 1):
                for step in range(sharding.steps_per_epoch):
                    found = {}
                    for feed, _ in made:
                        batches = feed.step(epoch, step)
                        once, again = stacks_of(batches), stacks_of(batches)
                        assert once.keys() == again.keys()
                        for shard, (a, labels) in once.items():
                            assert np.array_equal(a, again[shard][0])
                            assert np.array_equal(labels, again[shard][1])
                        found |= once
                    wanted = expected(sharding, epoch, step, steps)
                    assert found.keys() == wanted.keys()
                    for shard, which in wanted.items():
                        assert np.array_equal(found[shard][0], x[which])
                        assert np.array_equal(found[shard][1], y[which])
            for feed, _ in made:
                feed.close()


@pytest.mark.slow
@pytest.mark.parametrize("window", WINDOWS[1:])
@pytest.mark.parametrize("shape", SHAPES)
def test_rows_that_are_read_again_count_once_in_the_digest(shape, window, file):
    x, y = rows(ROWS)
    whole = RowHash(x, y).sum(0, x, y)
    with DataSet(f"{file}:/train") as data:
        feed, sharding = fed(data, shape, window)
        for epoch in (0, 1):
            for step in range(sharding.steps_per_epoch):
                batches = feed.step(epoch, step)
                for _ in range(2):
                    for _ in batches:
                        pass
            assert feed.read_in(epoch) == (whole, ROWS)
        feed.close()


def test_a_part_of_a_stack_ends_the_step_where_it_is_the_last():
    whole = feeding.MicroBatches(np.zeros((5, 2, 3)), np.zeros((5, 2, 1)), None, shard=7)
    assert [whole.part(0, 2).ends, whole.part(2, 5).ends] == [False, True]
    assert whole.part(2, 5).shard == 9
    whole.ends = False
    assert not whole.part(2, 5).ends


def test_a_row_that_is_not_finite_is_named_while_a_large_step_is_gone_through(tmp_path):
    x, y = rows(ROWS)
    x[777, 3] = np.nan
    file = write_set(tmp_path / "set.h5", train=(x, y))
    with DataSet(f"{file}:/train") as data:
        feed, _ = fed(data, (ROWS, 32), "1 kB", changes={"data.scan": False})
        batches = feed.step(0, 0)
        with pytest.raises(InputError, match="row 777: its inputs hold a NaN"):
            for _ in batches:
                pass
        feed.close()
