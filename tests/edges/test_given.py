"""Files and options that a user gives: streams, FIFOs, arrays of too many dimensions, the current directory as a file."""

import os
import time
import zipfile

import numpy as np
import pytest
from bad_cases import SECONDS, answers, is_one_sentence
from example import steps, write_config, write_set
from launching import distmlp, launched

from distmlp.cluster.hosts import hosts_of
from distmlp.data.conversion.convert import convert
from distmlp.data.conversion.sources import ConversionError
from distmlp.errors import InputError
from distmlp.runs import events

# Streams and FIFOs


@pytest.mark.parametrize("ranks", [1, 3])
def test_a_config_that_one_rank_alone_could_read(ranks, mpi):
    """Under Open MPI's mpirun one rank waits too: it never hears that its input has ended."""
    done = distmlp("train", "/dev/stdin", mpi=mpi, ranks=ranks, timeout=SECONDS)
    assert done.status == 2
    is_one_sentence("\n".join(done.said), ["/dev/stdin", "every rank reads the config"])


def test_a_launch_whose_ranks_could_not_read_the_config(openmpi, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for place in ("/dev/stdin", tmp_path / "fifo"):
        with launched(openmpi.python, ["-n", "2", place]) as running:
            done = running.wait(SECONDS)
        assert done.status == 2 and len(done.err.splitlines()) == 1
        assert f"{place}: every rank reads the config" in done.err


@pytest.mark.slow
def test_nothing_waits_for_a_fifo(tmp_path):
    write_set(tmp_path / "set.h5")
    config = write_config(tmp_path / "config.toml", {"training.epochs": 1})
    for name in ("fifo", "fifo.csv", "fifo.npz", "fifo.h5"):
        os.mkfifo(tmp_path / name)
    trained, *others = answers(
        tmp_path,
        ["train", str(config)],
        ["convert", "fifo", "fifo", "out.h5"],
        ["convert", "fifo.csv", "out.h5"],
        ["convert", "fifo.npz", "out.h5"],
        ["data", "fifo.csv"],
        ["data", "fifo.h5"],
        ["init", "fifo.h5:/train"],
        ["predict", "run", "--data", "fifo.csv", "--output", "out.h5"],
        ["evaluate", "run", "--data", "fifo.h5:/test"],
    )
    assert trained[0] == 0
    for status, said in others:
        assert status == 2, said
        is_one_sentence(said.splitlines()[-1], ["fifo"])
    assert not (tmp_path / "out.h5").exists()


@pytest.mark.slow
def test_the_current_directory_is_no_file_to_write(tmp_path):
    write_set(tmp_path / "set.h5")
    config = write_config(tmp_path / "config.toml", {"training.epochs": 1})
    (tmp_path / "a.csv").write_text("x,y\n1,2\n3,4\n")
    trained, *others = answers(
        tmp_path,
        ["train", str(config)],
        ["predict", "run", "--data", "set.h5:/test", "--output", "."],
        ["predict", "run", "--data", "set.h5:/test", "--output", ".", "--overwrite"],
        ["report", "run", "--output", "."],
        ["compare", "run", "--output", "."],
        ["export", "run", "."],
        ["init", "set.h5:/train", "--output", "."],
        ["convert", "a.csv", "."],
    )
    assert trained[0] == 0
    for status, said in others:
        assert status == 2, said
        is_one_sentence(said.splitlines()[-1], ["."])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("a.csv", "config.toml", "run", "set.h5")
    ]


# Arrays that cannot be


def idx(path, dimensions, content):
    head = bytes([0, 0, 8, len(dimensions)])
    path.write_bytes(head + b"".join(n.to_bytes(4, "big") for n in dimensions) + content)
    return path


def npy(stream, shape, content):
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    stream.write(content)


def test_arrays_of_more_dimensions_than_numpy_has(tmp_path):
    many, out = (1,) * 65, tmp_path / "out.h5"
    with open(tmp_path / "many.npy", "wb") as stream:
        npy(stream, many, bytes(4))
    np.savez(tmp_path / "many.npz", y=np.zeros(1, int))
    with zipfile.ZipFile(tmp_path / "many.npz", "a") as archive:
        archive.write(tmp_path / "many.npy", "x.npy")
    labels = idx(tmp_path / "labels", (1,), b"\0")
    for sources in (
        [idx(tmp_path / "images", many, b"\0"), labels],
        [tmp_path / "many.npy"],
        [tmp_path / "many.npz"],
    ):
        with pytest.raises(ConversionError, match="has 65 dimensions, but expected 64 at most"):
            convert(sources, out)
    convert([idx(tmp_path / "images", many[:64], b"\7"), labels], out)
    assert out.exists()


def test_a_header_that_promises_more_than_memory_takes_none(tmp_path):
    images = idx(tmp_path / "images", (1, 2**31, 1), b"\0")
    with pytest.raises(ConversionError) as raised:
        convert([images, idx(tmp_path / "labels", (1,), b"\0")], tmp_path / "out.h5")
    assert "\n" not in str(raised.value) and not (tmp_path / "out.h5").exists()


# Launches


def test_a_launch_takes_what_train_takes(openmpi, tmp_path):
    """Abbreviated options, and --set with a whole section."""
    write_set(tmp_path / "set.h5")
    config = write_config(tmp_path / "config.toml")
    place = tmp_path / "elsewhere"
    words = ["-n", "2", config, "--prog", "none", "--se", f'run={{directory="{place}"}}']
    with launched(openmpi.python, [*words, "--res", "never"]) as running:
        done = running.wait(2 * SECONDS)
    assert done.status == 0, done.err
    assert "complete after 1 start" in done.err and steps(place)[-1] == 42
    assert not (tmp_path / "run").exists()


def test_a_launch_that_is_killed_stops_its_ranks_with_a_checkpoint(mpi, tmp_path):
    write_set(tmp_path / "set.h5")
    config = write_config(tmp_path / "config.toml", {"training.epochs": 10**6})
    with launched(mpi.python, ["-n", "2", config, "--progress", "none"]) as running:
        running.until(lambda: (tmp_path / "run" / "log.jsonl").exists())
        running.process.kill()
        limit = time.monotonic() + 10
        while running.ranks():
            assert time.monotonic() < limit
            time.sleep(0.05)
    assert steps(tmp_path / "run")
    happened = [event["event"] for event in events.since(tmp_path / "run", None)]
    assert happened == ["began", "stopped"]


@pytest.mark.parametrize("text", [",", ",,", "a:", "a:x", "a:0", ":2", "a b", "-o", "a:1:2"])
def test_hosts_that_are_none(text):
    with pytest.raises(InputError, match=r"-H .* expected host\[:ranks\]"):
        hosts_of(text, 4)


def test_a_launch_on_hosts_that_are_none(openmpi, tmp_path):
    config = write_config(tmp_path / "config.toml")
    with launched(openmpi.python, ["-n", "2", "-H", "a:x", config]) as running:
        done = running.wait(SECONDS)
    assert done.status == 2
    assert done.err.splitlines() == [
        "distmlp launch: -H a:x: a:x is no host; expected host[:ranks],… such as node1:32,node2:32"
    ]
