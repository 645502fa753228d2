"""Holds that a checkpoint is whole or not there: 200 kills -9 while writing, and writes that fail."""

import hashlib
import os
import random
import signal
import time

import numpy as np
import pytest
from example import facts

from distmlp import files
from distmlp.runs import checkpoint
from distmlp.runs.checkpoint_writer import Writer

KILLS = 200


def image_of(step):
    v = np.full(250_000, step, np.float64)
    return checkpoint.image(v, {"mean": v + 1}, facts(v, step))


def write_for_ever(directory, step):
    """Writes checkpoints of 4 MB that each say their own step, until it is killed."""
    while True:
        step += 1
        checkpoint.write(directory, step, image_of(step))
        checkpoint.prune(directory, 2)


@pytest.mark.slow
def test_there_is_always_a_good_newest_one(tmp_path):
    """Whatever moment a writer is killed at; and at least some kills come in the middle of a file."""
    randomly = random.Random(1)
    newest = halves = 0
    began = time.monotonic()
    checkpoint.write(tmp_path, 0, image_of(0))
    longest = max(0.03, 2 * (time.monotonic() - began))
    for _ in range(KILLS):
        child = os.fork()
        if child == 0:
            write_for_ever(tmp_path, newest)
            os._exit(1)
        time.sleep(randomly.uniform(0.0, longest))
        os.kill(child, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        found, passed_over = checkpoint.newest_good(tmp_path)
        assert not passed_over and found.path == checkpoint.listed(tmp_path)[0]
        step = found.facts["step"]
        assert (
            step >= newest and (found.v == step).all() and (found.arrays["mean"] == step + 1).all()
        )
        newest = step
        halves += bool(list(tmp_path.glob("*.writing")))
        files.remove_leftovers(tmp_path)
    assert newest > 1 and halves > KILLS // 20


@pytest.mark.slow
def test_every_flipped_byte_is_found(tmp_path):
    v = np.arange(40, dtype=np.float32)
    path = checkpoint.write(tmp_path, 1, checkpoint.image(v, {}, facts(v, 1)))
    whole = path.read_bytes()
    assert (checkpoint.read(path).v == v).all()
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(checkpoint.Damaged):
            checkpoint.read(path)
    for length in (0, 100, 512, 513, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(checkpoint.Damaged):
            checkpoint.read(path)


def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    image = checkpoint.image(np.zeros(3), {}, {"step": 1})
    before = checkpoint.write(tmp_path, 1, image).read_bytes()

    def no_room(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.write(tmp_path, 1, checkpoint.image(np.ones(3), {}, {"step": 1}))
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint.name(1)]
    assert (tmp_path / checkpoint.name(1)).read_bytes() == before


def test_a_writer_keeps_the_newest(tmp_path):
    writer = Writer(tmp_path, keep=2)
    for step in (1, 2, 3):
        writer.start(step, checkpoint.image(np.zeros(3), {}, {"step": step}))
        assert writer.finish() == tmp_path / checkpoint.name(step)
    writer.close()
    assert [path.name for path in checkpoint.listed(tmp_path)] == [
        checkpoint.name(3),
        checkpoint.name(2),
    ]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_writing_machines_byte_order_does_not_matter(tmp_path, dtype, order):
    """A checkpoint of a little-endian machine is read on a big-endian one, and the other way round."""
    v = np.arange(1, 8, dtype=dtype) / 3
    stored = v.astype(v.dtype.newbyteorder(order))
    image = checkpoint.image(stored, {"mean": stored[::-1]}, facts(stored, 1))
    found = checkpoint.read(checkpoint.write(tmp_path, 1, image))
    for array, expected in ((found.v, v), (found.arrays["mean"], v[::-1])):
        assert array.dtype.isnative
        assert array.dtype == dtype
        np.testing.assert_array_equal(array, expected)
    little = hashlib.sha256(v.astype(v.dtype.newbyteorder("<")).tobytes()).hexdigest()
    assert checkpoint.v_sha256(found.v) == checkpoint.v_sha256(stored) == little
