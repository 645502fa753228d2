"""train() and evaluate() from Python over an mpi4py communicator: on every rank what one process gets."""

import h5py
import numpy as np
import pytest
from example import ROWS, lawful, log, tables, write_set
from mpi4py import MPI

import distmlp
from distmlp.config.reading import from_tables
from distmlp.errors import Diverged, InputError
from distmlp.mathematics.initializers import initialize
from distmlp.mathematics.layout import Layout
from distmlp.parallel import launchers, slices
from distmlp.parallel.addends import AddendsOfHosts
from distmlp.training.holding import shelve

pytestmark = pytest.mark.mpi

WORLD = MPI.COMM_WORLD


def config(shared, name, changes={}):
    places = {"data.train": f"{shared}/set.h5:/train", "data.validation": f"{shared}/set.h5:/test"}
    return tables({**places, "run.directory": str(shared / name), **changes})


def alone(shared, changes={}):
    """What a communicator of one gets, on each rank by itself."""
    return distmlp.train(config(shared, f"alone-{WORLD.rank}", changes), MPI.COMM_SELF)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_rank_has_the_v_of_one_alone(shared, dtype):
    changes = {"dtype": dtype}
    expected = alone(shared, changes)
    for name, comm in (
        ("world", None),
        ("given", WORLD),
        ("duplicate", WORLD.Dup()),
        ("reversed", WORLD.Split(0, -WORLD.rank)),
    ):
        found = distmlp.train(config(shared, name, changes), comm)
        assert found.complete and found.step == expected.step
        assert found.v.dtype == dtype
        assert np.array_equal(found.v, expected.v)
        assert found.v_sha256 == expected.v_sha256
        WORLD.Barrier()  # rank 0 of the communicator has closed its log
        assert log(shared / name)[-1]["ranks"] == WORLD.size
        assert lawful(shared / name) == lawful(shared / f"alone-{WORLD.rank}")


@pytest.mark.parametrize(
    "hosts, frozen", [("each alone", []), ("in turn", []), ("in turn", [1]), ("each alone", [2, 3])]
)
def test_pieces_that_travel_while_others_are_computed_change_no_bit(
    shared, hosts, frozen, monkeypatch
):
    """The parts of frozen layers travel too, and nobody computes them."""
    changes = {"network.layers": [20, 13, 9, 5], "training.frozen": frozen}
    expected = alone(shared, changes)
    host = WORLD.rank if hosts == "each alone" else WORLD.rank % 2
    monkeypatch.setattr(MPI, "Get_processor_name", lambda: f"host{host}")
    monkeypatch.setattr(slices, "PIECE", 128)
    monkeypatch.setattr(AddendsOfHosts, "early", True)
    monkeypatch.setattr(AddendsOfHosts, "_try", lambda self: None)
    told, written = [], AddendsOfHosts.written
    monkeypatch.setattr(
        AddendsOfHosts, "written", lambda self, end: [told.append(end), written(self, end)]
    )
    found = distmlp.train(config(shared, hosts, changes), WORLD)
    assert np.array_equal(found.v, expected.v)
    assert (len(set(told)) > 2) == (WORLD.size > 1)


@pytest.mark.parametrize("size", [1, 16])
def test_frozen_layers_are_those_of_the_start_at_any_rank_count(shared, size):
    """Also with more than 64 micro-batches."""
    changes = {"training.frozen": [1], "training.batch_size": 80, "training.micro_batch_size": size}
    found = distmlp.train(config(shared, "frozen", changes), WORLD)
    expected = alone(shared, changes)
    assert np.array_equal(found.v, expected.v)
    layout = Layout((20, 13, 5))
    start = initialize(layout, "scaled-normal", 7, found.v.dtype)
    same = [np.array_equal(found.v[part], start[part]) for part in layout.slices]
    assert same == [True, False, True, False]


def test_a_part_of_the_ranks_trains(shared):
    """Two communicators train two networks at the same time, each on its own ranks."""
    color = WORLD.rank % 2
    part = WORLD.Split(color)
    found = distmlp.train(config(shared, f"part-{color}", {"seed": color}), part)
    assert found.v_sha256 == alone(shared, {"seed": color}).v_sha256


def test_evaluate_is_equal_on_all_ranks(shared):
    result = distmlp.train(config(shared, "run"), WORLD)
    here = distmlp.evaluate(result.checkpoint, comm=WORLD)
    assert here.samples == 301
    assert WORLD.allgather(here) == [here] * WORLD.size
    assert distmlp.evaluate(result.checkpoint, comm=MPI.COMM_SELF) == here
    assert (here.cost, here.accuracy) == (
        result.record["validation_cost"],
        result.record["accuracy"],
    )
    # A set of more blocks than ranks, and the other way round
    train = distmlp.evaluate(shared / "run", f"{shared}/set.h5:/train", WORLD)
    assert train.samples == ROWS
    assert train == distmlp.evaluate(shared / "run", f"{shared}/set.h5:/train", MPI.COMM_SELF)


def test_stopped_by_one_rank_and_resumed(shared):
    """should_stop on the last rank alone stops all after the same step, with a checkpoint to go on from."""
    asked = []

    def should_stop():
        asked.append(1)
        return WORLD.rank == WORLD.size - 1 and len(asked) == 10

    stopped = distmlp.train(config(shared, "run"), WORLD, should_stop=should_stop)
    assert not stopped.complete
    assert WORLD.allgather(stopped.step) == [10] * WORLD.size
    gone_on = distmlp.train(config(shared, "run"), WORLD)
    assert gone_on.complete
    assert gone_on.v_sha256 == alone(shared).v_sha256


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"network.layers": [19, 5]}, "20 inputs, but network.layers begins with 19"),
        ({"training.batch_size": 2000}, "training.batch_size is 2000"),
        ({"data.train": "/nowhere.h5:/train"}, "no such file"),
    ],
)
def test_what_cannot_be_trained_is_raised_on_every_rank(shared, changes, words):
    with pytest.raises(InputError, match=words):
        distmlp.train(config(shared, "run", changes), WORLD)
    WORLD.Barrier()
    assert not (shared / "run").exists()


def test_divergence_is_raised_on_every_rank(shared):
    with pytest.raises(Diverged, match="step 2"):
        distmlp.train(
            config(shared, "run", {"optimizer.learning_rate": 1e38, "network.activation": "relu"}),
            WORLD,
        )


@pytest.mark.parametrize("refusing", [None, 0, -1])
def test_a_set_is_on_the_shelf_of_all_hosts_or_of_none(shared, refusing, monkeypatch):
    """Nobody waits for the ranks of a host that cannot share memory."""
    comm = launchers.of(WORLD.Dup())
    if refusing is not None and comm.rank == refusing % comm.size:
        there = comm.host_memory
        monkeypatch.setattr(comm, "host_memory", lambda size: there(size) and None)
    several = [from_tables(config(shared, f"seed-{seed}", {"seed": seed})) for seed in (1, 2)]
    found = shelve(several, comm)
    assert len(found) == (2 if refusing is None and comm.size > 1 else 0)


def test_what_cannot_be_read_is_on_no_shelf(shared):
    """Each network that reads it says so; the others train."""
    comm = launchers.of(WORLD.Dup())
    damaged = shared / "damaged.h5"
    if comm.rank == 0:
        write_set(damaged, "gzip")
        with h5py.File(damaged) as file:
            chunk = file["train/x"].id.get_chunk_info(0)
        with open(damaged, "r+b") as file:
            file.seek(chunk.byte_offset)
            file.write(bytes(chunk.size))
    comm.barrier()
    several = [
        from_tables(config(shared, f"seed-{seed}", {"seed": seed, "data.train": train}))
        for train in (f"{shared}/set.h5:/train", f"{damaged}:/train")
        for seed in (1, 2)
    ]
    assert len(shelve(several, comm)) == (2 if comm.size > 1 else 0)
