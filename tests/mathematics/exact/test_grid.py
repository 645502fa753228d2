"""Holds the grid: steps on too fine a grid are summed again, and largest entries bound sums."""

from fractions import Fraction

import numpy as np
import pytest
from simulated import Counting, gradients, micro_batches, on_ranks, one_pass
from summing import INTEGERS, NETWORKS, content, counted, fresh, problem, state_bytes, units_of

from distmlp.mathematics import exact
from distmlp.mathematics.optimizers import SGD
from distmlp.mathematics.shards import Shards, deal
from distmlp.parallel.communicator import SingleProcess
from distmlp.training.step import Step


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("too_fine", [8, 20, 60])
def test_a_step_that_overflows_its_grid_is_summed_again(dtype, too_fine):
    network, t, S = NETWORKS["relu, softmax"], 64, 8
    cut = Shards(t, t, t // S)
    v, x, y = problem(network, dtype, t)
    batches = micro_batches(cut, range(S), x, y)
    fitting = Step(network, SGD(), dtype, True, SingleProcess(), S)
    grid = fitting.gradient(fresh(v), batches)

    state, comm = fresh(v), Counting()
    state.grid = exact.Grid([e + too_fine for e in grid.exponents], dtype)
    step = Step(network, SGD(), dtype, True, comm, S)
    before = state_bytes(state)
    found = step.gradient(state, batches)
    assert (comm.sums, comm.maxes) == (2, 1)
    assert state_bytes(state) == before
    assert found.exponents == grid.exponents
    assert step.message.buffer.tobytes() == fitting.message.buffer.tobytes()
    step.update(state, found, 0.5)
    assert state.step == 1 and state.v.tobytes() != v.tobytes()


@pytest.mark.parametrize("dtype", INTEGERS)
def test_grids_agree_to_a_unit_a_micro_batch(dtype):
    """Whatever grid a sum is made on, it is off by less than a unit for each micro-batch."""
    network, t, S = NETWORKS["sigmoid"], 64, 8
    cut = Shards(t, t, t // S)
    v, x, y = problem(network, dtype, t)
    batches = micro_batches(cut, range(S), x, y)
    sums, finest = [], None
    for coarser in (0, 12, 18):  # float64 gradients have fewer bits than their finest grids
        step, state, comm = (
            Step(network, SGD(), dtype, True, SingleProcess(), S),
            fresh(v),
            Counting(),
        )
        if coarser:
            state.grid = exact.Grid([e - coarser for e in finest.exponents], dtype)
            step.comm = comm
        grid = step.gradient(state, batches)
        finest = finest or grid
        assert comm.sums <= 1 and comm.maxes == 0
        units = np.array([2.0**-e for e in grid.exponents])
        sums.append(
            (
                units,
                [
                    step.message.gradient[part] * unit
                    for part, unit in zip(network.layout.slices, units, strict=True)
                ],
            )
        )
    (fine_units, fine), *others = sums
    for units, coarse in others:
        assert (units > fine_units).all()
        for unit, fine_unit, a, b in zip(units, fine_units, coarse, fine, strict=True):
            difference = np.abs(a - b).max()
            assert 0.0 < difference < S * (unit + fine_unit)


def test_one_ranks_overflow_is_heard_by_all():
    """The first rank's micro-batch alone is too large for the grid: every rank sums again, to the same bits."""
    network, cut = NETWORKS["softplus, numbers"], Shards(12, 12, 4)
    v, x, y = problem(network, "float32", 12)
    small = Step(network, SGD(), "float32", True, SingleProcess(), 3)
    grid = small.gradient(fresh(v), micro_batches(cut, range(3), x, y))
    x[:4] *= 1000.0

    def train(comm):
        with np.errstate(all="ignore"):
            state = fresh(v)
            state.grid = grid
            mine = deal(3, comm.size)[comm.rank]
            step = Step(network, SGD(), "float32", True, comm, 3)
            found = step.gradient(state, micro_batches(cut, mine, x, y))
            return found.exponents, content(network, step.message.buffer)

    (expected,) = on_ranks(1, train)
    assert expected[0] < grid.exponents
    for ranks in (2, 3, 4):
        assert on_ranks(ranks, train) == [expected] * ranks


def test_a_grid_coarsens_at_once_and_refines_by_a_bit():
    grid = exact.Grid([10, 10, 10, 10], "float32")
    # whole room: 3 bits coarser; an eighth of it: as it is; far less, and nothing: finer by one
    assert grid.next([2**17 - 1, 2**14 - 1, 5, 0]).exponents == (7, 10, 11, 11)
    assert grid.next([2**14 - 1] * 4) is grid


@pytest.mark.parametrize("dtype", INTEGERS)
def test_next_grid_leaves_headroom_and_no_more(dtype):
    """Where Σ T stays as it is, the grid that follows step by step holds 2^HEADROOM times it, and not 2^(HEADROOM + 2) times."""
    random = np.random.default_rng(3)
    for _ in range(50):
        largest = random.lognormal(0.0, 3.0, (8, 2))
        grid = exact.Grid.fitting(random.integers(-20, 30, 2).tolist(), dtype)
        for _ in range(80):
            grid = grid.next([int(n) for n in counted(grid, largest)])
        assert grid.holds(counted(grid, 2.0 ** (exact.HEADROOM - 0.1) * largest).tolist())
        assert not any(
            grid.holds([n]) for n in counted(grid, 2.0 ** (exact.HEADROOM + 2) * largest)
        )


@pytest.mark.parametrize("S", [2, 8, exact.MOST_IN_ONE])
def test_a_grid_becomes_fine_again_however_many_micro_batches_there_are(S):
    """After a thousandfold fall of Σ T the grid follows, though each micro-batch's is rounded up by itself."""
    grid = exact.Grid.fitting([(S - 1).bit_length()], "float32")
    assert grid.holds(counted(grid, np.full((S, 1), 0.9)).tolist())
    before = grid.exponents[0]
    for _ in range(40):
        grid = grid.next([int(n) for n in counted(grid, np.full((S, 1), 0.9 / 1024))])
    assert grid.exponents[0] >= before + 8


# The largest entries


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("pass_bytes", [256, 2**20])
@pytest.mark.parametrize("name", ["sigmoid", "relu, softmax", "softplus, numbers"])
def test_a_message_carries_the_largest_entries_of_its_micro_batches(
    name, pass_bytes, dtype, monkeypatch
):
    """However many passes they are made in, and if the entry is a negative one."""
    monkeypatch.setattr("distmlp.training.gradient.PASS_BYTES", pass_bytes)
    network, S = NETWORKS[name], 8
    v, x, y = problem(network, dtype, 4 * S)
    step, batches = (
        Step(network, SGD(), dtype, True, SingleProcess(), S),
        micro_batches(Shards(4 * S, 4 * S, 4), range(S), x, y),
    )
    grid = step.gradient(fresh(v), batches)
    G = np.abs(gradients(network, one_pass(network, v, batches[0].x, batches[0].y)))
    largest = np.stack([G[:, part].max(axis=1) for part in network.layout.slices], axis=1).astype(
        np.float64
    )
    for tensor, (e, units) in enumerate(
        zip(grid.exponents, step.message.units.tolist(), strict=True)
    ):
        unit = 2.0 ** (8 * INTEGERS[dtype].itemsize - 1 - exact.ROOM_BITS - e)
        assert units == np.ceil(largest[:, tensor] / unit).sum()


def test_units_round_every_micro_batch_up():
    grid = exact.Grid([0], "float64")
    unit = 2.0 ** (63 - exact.ROOM_BITS)
    assert units_of(
        grid, np.array([[0.0], [1e-9 * unit], [0.999 * unit], [1.001 * unit], [5.5 * unit]])
    ).tolist() == [0 + 1 + 1 + 2 + 6]


@pytest.mark.parametrize("dtype", INTEGERS)
def test_sums_whose_largest_entries_fit_stay_within_the_integers(dtype):
    """Grids on the edge: wherever `holds` says so, the largest possible sum is below the integers' largest."""
    random = np.random.default_rng(8)
    most = np.iinfo(INTEGERS[dtype]).max
    held = 0
    for _ in range(500):
        largest = random.lognormal(0.0, 2.0, (int(random.integers(1, 50)), 1))
        grid = exact.Grid([int(random.integers(-5, 10)) + 8 * INTEGERS[dtype].itemsize - 12], dtype)
        if grid.holds(counted(grid, largest).tolist()):
            held += 1
            assert (
                sum(Fraction(T) for T in largest[:, 0]) * Fraction(2) ** grid.exponents[0] <= most
            )
    assert 50 < held < 450
